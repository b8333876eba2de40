#!/usr/bin/env python3
"""Requests of one visitor that meet in two instances: what each program loses and revives.

    benches/compare/races.py [--rounds 1000] [--names ours,express]

Each round is a new visitor with two views. Everything is judged by what a browser sees: which
counts were acknowledged, and which cookies lead to the session afterwards.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import lab

END, REGENERATE = "/session/destroy", "/session/regenerate"


class Arena:
    """Two instances on one Redis."""

    def __init__(self, instances, pool):
        self.instances, self.pool = instances, pool

    def visitor(self):
        visitor = lab.Browser(self.instances[0].port)
        visitor.view("/foo")
        visitor.view("/foo")
        return visitor

    def race(self, visitor, paths):
        """The same visitor asks for all of these at once, the instances in turn."""
        start = Barrier(len(paths))
        ports = [self.instances[at % 2].port for at in range(len(paths))]
        asked = zip((visitor.twin(port) for port in ports), paths)
        return list(self.pool.map(lambda it: ask(*it, start), asked))


def ask(browser, path, start):
    """Asks once everybody is ready; gives the browser, and the views where they were shown."""
    start.wait()
    if path.startswith("/session/"):
        browser.post(path)
        views = None
    else:
        views = browser.view(path)["views"]
    browser.close()
    return browser, views


def views_of(browser):
    """The count that a cookie leads to, this view included."""
    twin = browser.twin()
    try:
        return twin.view("/foo")["views"]
    finally:
        twin.close()


def fresh(browsers, visitor):
    """Those whose cookie has changed and not been taken away."""
    return [it for it in browsers if it.cookies and it.cookies != visitor.cookies]


def views_at_once(arena, rounds):
    """Each round two views at once; the loss is what is missing in the end."""
    visitor = arena.visitor()
    for _ in range(rounds):
        arena.race(visitor, ["/foo", "/foo"])
    return {"views lost": 2 + 2 * rounds + 1 - views_of(visitor)}


def end_and_view(arena, rounds):
    revived = 0
    for _ in range(rounds):
        visitor = arena.visitor()
        arena.race(visitor, [END, "/foo"])
        revived += views_of(visitor) > 1
    return {"sessions that came back": revived}


def end_and_end(arena, rounds):
    revived = 0
    for _ in range(rounds):
        visitor = arena.visitor()
        arena.race(visitor, [END, END])
        revived += views_of(visitor) > 1
    return {"sessions that came back": revived}


def end_and_regenerate(arena, rounds):
    revived = 0
    for _ in range(rounds):
        visitor = arena.visitor()
        browsers = [browser for browser, _ in arena.race(visitor, [END, REGENERATE])]
        revived += any(views_of(it) > 1 for it in [visitor, *fresh(browsers, visitor)])
    return {"sessions that came back": revived}


def regenerate_and_views(arena, rounds):
    lost = 0
    for _ in range(rounds):
        visitor = arena.visitor()
        answers = arena.race(visitor, [REGENERATE, "/foo", "/foo"])
        successor = fresh([browser for browser, _ in answers], visitor)[0]
        lost += max(0, 5 - views_of(successor))
    return {"views lost": lost}


def regenerate_and_regenerate(arena, rounds):
    doubled = lost = 0
    for _ in range(rounds):
        visitor = arena.visitor()
        browsers = [browser for browser, _ in arena.race(visitor, [REGENERATE, REGENERATE])]
        views = [views_of(it) for it in fresh(browsers, visitor)]
        doubled += sum(it >= 3 for it in views) > 1
        lost += max(0, 3 - max(views, default=0))
    return {"two live successors": doubled, "views lost": lost}


RACES = (
    views_at_once,
    end_and_view,
    end_and_end,
    end_and_regenerate,
    regenerate_and_views,
    regenerate_and_regenerate,
)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--rounds", type=int, default=1000)
    options.add_argument("--names", default="ours,express")
    options = options.parse_args()
    names = options.names.split(",")
    lab.build(*names)
    found = {}
    for name in names:
        with lab.Redis() as redis, ThreadPoolExecutor(8) as pool:
            with lab.Server(name, redis.url) as one, lab.Server(name, redis.url) as two:
                for race in RACES:
                    for what, count in race(Arena((one, two), pool), options.rounds).items():
                        found.setdefault((race.__name__.replace("_", " "), what), {})[name] = count
    print(f"| {options.rounds} rounds of | | " + " | ".join(names) + " |")
    print("|---|---|" + "---:|" * len(names))
    for (race, what), counts in found.items():
        print(f"| {race} | {what} | " + " | ".join(str(counts[name]) for name in names) + " |")


if __name__ == "__main__":
    main()
