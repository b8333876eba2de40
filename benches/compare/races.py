#!/usr/bin/env python3
"""Races two requests of one visitor on two instances, and counts what is lost, revived or stolen.

    benches/compare/races.py [--rounds 1000] [--names crate,express,axum,actix]

Each round has a new visitor with a view or two. Everything is judged from the browser's side: which
requests were acknowledged, and which session a cookie opens afterwards. A request that was refused
(a status of 400 or more) must have no effect. Refused requests are counted too.
"""

import argparse
import functools
import itertools
import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import lab

VIEW = ("GET", "/foo")
RIGHTS = ("GET", "/session/rights")
SLOW_READ = ("GET", "/session/slow-read")
SLOW_WRITE = ("GET", "/session/slow-write")
REGENERATE = ("POST", "/session/regenerate")
DESTROY = ("POST", "/session/destroy")
ELEVATE = ("POST", "/session/elevate")
LOG_OUT_EVERYWHERE = ("POST", "/session/log-out-everywhere")

#: The second request follows this many seconds after a slow one, which takes 0.2.
GAP = 0.05
NO_FEATURE = "no such feature"

_users = itertools.count()


def log_in(user="alice"):
    return ("POST", f"/session/log-in?user={user}")


@dataclass
class Answered:
    """An answer, when it arrived, and a browser that received no other answer."""

    answer: lab.Answer
    browser: lab.Browser
    at: float

    @property
    def is_ok(self):
        return self.answer.status < 400


class Arena:
    """Two instances on one Redis, and which requests of a race were refused."""

    def __init__(self, instances, pool):
        self.instances, self.pool = instances, pool
        self.refused = Counter()

    def visitor(self, views=2):
        visitor = lab.Browser(self.instances[0].port)
        for _ in range(views):
            visitor.view("/foo")
        visitor.close()
        return visitor

    def race(self, *requests, gap=0):
        """Sends the requests, each with its browser's cookies, to the instances in turn."""
        start = Barrier(len(requests))

        def send(at):
            browser, request = requests[at]
            twin = browser.twin(self.instances[at % 2].port)
            twin.connect()
            start.wait()
            time.sleep(at * gap)
            return Answered(ask(twin, request), twin, time.monotonic())

        answered = list(self.pool.map(send, range(len(requests))))
        self.refused.update(it.answer.status for it in answered if not it.is_ok)
        return answered


def ask(browser, request):
    try:
        return browser.request(*request, {"Accept": "application/json"})
    finally:
        browser.close()


def shown(browser, request):
    """The JSON that a browser gets, or an empty one if its session has just changed."""
    answer = ask(browser.twin(), request)
    if answer.status == 409:
        return {}
    if answer.status != 200:
        raise RuntimeError(f"{request} was answered {answer.status}")
    return json.loads(answer.body)


def views_of(browser):
    """The count of the browser's session, including this view."""
    return shown(browser, VIEW).get("views", 0)


def is_alive(browser):
    """Whether the browser's session still has the two views from before the race."""
    return views_of(browser) >= 3


def rights_of(browser):
    return shown(browser, RIGHTS).get("rights")


def note_of(browser):
    return shown(browser, RIGHTS).get("note")


def changed(answered, visitor):
    """The browsers whose cookie has changed and was not removed."""
    browsers = [it.browser for it in answered]
    return [it for it in browsers if it.cookies and it.cookies != visitor.cookies]


def views_at_once(arena):
    visitor = arena.visitor()
    counted = sum(it.is_ok for it in arena.race((visitor, VIEW), (visitor, VIEW)))
    # A view that was not answered in time may have been counted.
    return {"views lost": max(0, 3 + counted - views_of(visitor))}


def destroy_beside(arena, other):
    visitor = arena.visitor()
    answered = arena.race((visitor, DESTROY), (visitor, other))
    is_destroyed = answered[0].is_ok or other == DESTROY and answered[1].is_ok
    alive = any(is_alive(it) for it in [visitor, *changed(answered, visitor)])
    return {"sessions that came back": is_destroyed and alive}


def regenerate_and_views(arena):
    visitor = arena.visitor()
    regenerate, *views = arena.race((visitor, REGENERATE), (visitor, VIEW), (visitor, VIEW))
    expected = 3 + sum(it.is_ok for it in views)
    return {"views lost": max(0, expected - views_of(regenerate.browser))}


def regenerate_and_regenerate(arena):
    visitor = arena.visitor()
    answered = arena.race((visitor, REGENERATE), (visitor, REGENERATE))
    views = [views_of(it) for it in changed(answered, visitor)]
    return {
        "two live successors": sum(it >= 3 for it in views) > 1,
        "views lost": max(0, 3 - max(views, default=0)),
    }


def fixation(arena, by_thief, by_victim):
    victim = arena.visitor()
    thief = victim.twin()
    answered = arena.race((thief, by_thief), (victim, by_victim))
    gain = answered[1]
    stolen = any(rights_of(it) for it in (thief, answered[0].browser))
    return {
        "rights that the thief gets": stolen,
        "rights that were granted and lost": gain.is_ok and not rights_of(gain.browser),
        "victims refused": not gain.is_ok,
    }


def late_response(arena, slow):
    """The slow request was sent before the log-in, and its response arrives after that.

    It is the first with its cookie: if a library renews cookies at all, it does so then.
    """
    visitor = arena.visitor(views=1)
    late, gain = arena.race((visitor, slow), (visitor, log_in()), gap=GAP)
    if late.at < gain.at:
        return late_response(arena, slow)  # The machine is busy: this was no such race.
    browser = visitor.twin()
    for it in (gain, late):
        browser.receive(it.answer)
    found = {"log-ins undone": gain.is_ok and not rights_of(browser)}
    if slow == SLOW_WRITE:
        found["acknowledged writes lost"] = late.is_ok and not note_of(browser)
        found["writes that the old cookie reads"] = bool(note_of(visitor))
    return found


def everywhere_and_log_in(arena):
    user = f"user-{next(_users)}"
    device, other = arena.visitor(), arena.visitor()
    ask(device, log_in(user))
    everywhere, gain = arena.race((device, LOG_OUT_EVERYWHERE), (other, log_in(user)))
    if everywhere.answer.status == 404:
        return {"reported as destroyed, and alive": None}
    destroyed = json.loads(everywhere.answer.body)["destroyed"] if everywhere.is_ok else 0
    alive = bool(rights_of(gain.browser))
    return {
        "reported as destroyed, and alive": destroyed == 2 and alive,
        "log-ins that were granted and lost": gain.is_ok and destroyed < 2 and not alive,
        "earlier log-ins alive": everywhere.is_ok and bool(rights_of(device)),
    }


def everywhere_and_regenerate(arena):
    user = f"user-{next(_users)}"
    device, other = arena.visitor(), arena.visitor()
    for browser in (device, other):
        ask(browser, log_in(user))
    answered = arena.race((device, LOG_OUT_EVERYWHERE), (other, REGENERATE))
    if answered[0].answer.status == 404:
        return {"earlier log-ins alive": None}
    browsers = [device, other, *changed(answered, other)]
    alive = any(rights_of(it) for it in browsers)
    return {"earlier log-ins alive": answered[0].is_ok and alive}


RACES = {
    "a view and a view": views_at_once,
    "a destroy and a view": functools.partial(destroy_beside, other=VIEW),
    "a destroy and a destroy": functools.partial(destroy_beside, other=DESTROY),
    "a destroy and a regenerate": functools.partial(destroy_beside, other=REGENERATE),
    "a regenerate and two views": regenerate_and_views,
    "two regenerates": regenerate_and_regenerate,
    "a thief's regenerate and a gain of rights": functools.partial(
        fixation, by_thief=REGENERATE, by_victim=ELEVATE
    ),
    "a thief's view and a gain of rights": functools.partial(
        fixation, by_thief=VIEW, by_victim=ELEVATE
    ),
    "a thief's regenerate and a log-in": functools.partial(
        fixation, by_thief=REGENERATE, by_victim=log_in()
    ),
    "a slow read and a log-in": functools.partial(late_response, slow=SLOW_READ),
    "a slow write and a log-in": functools.partial(late_response, slow=SLOW_WRITE),
    "log-out everywhere and a log-in": everywhere_and_log_in,
    "log-out everywhere and a regenerate": everywhere_and_regenerate,
}


def run(arena, race, rounds):
    """The results of all rounds, as the cells of a column."""
    found, is_missing = Counter(), False
    arena.refused.clear()
    for _ in range(rounds):
        once = race(arena)
        is_missing = None in once.values()
        found.update({what: count or 0 for what, count in once.items()})
        if is_missing:
            return dict.fromkeys([*once, "requests refused"], NO_FEATURE)
    refused = [f"{count} × {status}" for status, count in sorted(arena.refused.items())]
    cells = {what: str(int(count)) for what, count in found.items()}
    return {**cells, "requests refused": ", ".join(refused) or "0"}


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--rounds", type=int, default=1000, help="a tenth if a request is slow")
    options.add_argument("--names", default="crate,express,axum,actix")
    options.add_argument("--races", default="", help="only those whose name contains this")
    options = options.parse_args()
    names = options.names.split(",")
    lab.build(*names)
    columns = [column(name, options) for name in names]
    print("| requests at once | counted | " + " | ".join(names) + " |")
    print("|---|---|" + "---:|" * len(names))
    for title, what in columns[0]:
        texts = [found.get((title, what), NO_FEATURE) for found in columns]
        print(f"| {title} | {what} | " + " | ".join(texts) + " |")


def column(name, options):
    """The results of one program: a cell for each race and each thing that is counted."""
    found = {}
    with (
        lab.Redis() as redis,
        lab.Server(name, redis.url) as one,
        lab.Server(name, redis.url) as two,
        ThreadPoolExecutor(8) as pool,
    ):
        arena = Arena((one, two), pool)
        for title, race in RACES.items():
            if options.races in title:
                rounds = options.rounds // (10 if "slow" in title else 1)
                counts = run(arena, race, rounds)
                found.update({(title, what): text for what, text in counts.items()})
                print(name, title, counts, file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
