"""One program under load: its Redis, its visitors, and the cost of its views."""

import difflib
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lab

#: With more than 150 views, no page has a tally, so all pages look the same.
WARM = 165

#: By how many bytes bodies may differ: the digits of seven counts, and two times in words.
SLACK = 40

#: Headers that cannot be the same for all programs.
_OWN_HEADERS = {"connection", "content-length", "content-type", "date", "keep-alive", "set-cookie"}


class Field:
    """A program with a Redis of its own, perhaps behind a proxy, and with visitors."""

    def __init__(self, stack, name, arguments, delay=None, proxy=None):
        self.name = name
        self.delay = delay
        self.label = name if delay is None else f"{name}-{delay}"
        self.redis = stack.enter_context(lab.Redis())
        self.url = self.redis.url
        if delay is not None:
            self.url = stack.enter_context(lab.Proxy(proxy, self.redis, delay)).url
        self.environment = {"PAGES": arguments.mode}
        self.is_json = arguments.mode == "json"
        self.sessions = arguments.sessions
        self.cookies = lab.CACHE / f"{self.label}.cookies"
        self.server = stack.enter_context(self.start())

    def start(self):
        return lab.Server(self.name, self.url, environment=self.environment)

    @property
    def is_bare(self):
        return lab.PROGRAMS[self.name].is_bare

    def warm_up(self, connections):
        """Begins the sessions, and views their pages until these no longer change in form."""
        if self.is_bare:
            self.cookies.write_text("none=0\n")
        else:
            with ThreadPoolExecutor(32) as pool:
                browsers = list(pool.map(self._begin, range(self.sessions)))
            self.cookies.write_text("".join(f"{it.cookie_header}\n" for it in browsers))
        self.wrk(connections, 2)
        while not (self.is_json or self.is_bare or self._is_warm()):
            self.wrk(connections, 2)

    def _is_warm(self):
        lines = self.cookies.read_text().splitlines()
        pages = [self._browser(line).view("/foo")["pages"] for line in (lines[0], lines[-1])]
        return min(count for counts in pages for count in counts.values()) >= WARM

    def _begin(self, _):
        browser = lab.Browser(self.server.port)
        # Twice, because a cookie may be renewed when it is sent for the first time.
        for _ in range(2):
            browser.view("/foo")
        browser.close()
        return browser

    def measure(self, connections, seconds):
        before = self._spent()
        result = self.wrk(connections, seconds)
        application, redis, commands = (end - start for start, end in zip(before, self._spent()))
        # With more visitors than can be served in time, some are refused.
        if result["errors"] and self.delay is None:
            raise SystemExit(f"{self.label} made {result['errors']} errors; {self.server.log}")
        views = result["views"]
        if not views:
            raise SystemExit(f"{self.label} served nothing in {seconds} s; {self.server.log}")
        return {
            "rate": views / result["seconds"],
            "application": application / views * 1e6,
            "redis": redis / views * 1e6,
            "cpu": (application + redis) / views * 1e6,
            "commands": commands / views,
            "p50": result["p50"],
            "p99": result["p99"],
            "rss": self.server.usage().rss / 2**20,
            "errors": result["errors"],
        }

    def _spent(self):
        return self.server.usage().cpu, self.redis.cpu(), sum(self.redis.commands().values())

    def wrk(self, connections, seconds):
        script = Path(__file__).with_name("sessions.lua")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", script, f"http://127.0.0.1:{self.server.port}/", "--"]
        command += [self.cookies, "application/json" if self.is_json else "text/html"]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=True, timeout=seconds + 30
        )
        return json.loads(re.search(r"^RESULT (.*)$", done.stdout, re.M)[1])

    def answer(self, path):
        """The answer to a visitor who has viewed the page often."""
        browser = self._browser(self.cookies.read_text().splitlines()[0])
        return browser.get(path, {"Accept": "application/json"} if self.is_json else None)

    def _browser(self, line):
        name, _, value = line.partition("=")
        return lab.Browser(self.server.port, {name: value})


def compare(fields):
    """Ends the comparison if the answers differ in more than counts, times and names.

    Returns the sizes of bodies and headers, which may differ.
    """
    answers = {field.name: field.answer("/foo") for field in fields}
    # Another commit may have had other pages.
    same = [field for field in fields if field.name != "before"]
    for field in same:
        for path in lab.PATHS:
            ours, theirs = (_masked(it.answer(path)) for it in (same[0], field))
            if ours != theirs:
                lines = difflib.unified_diff(ours, theirs, same[0].name, field.name, lineterm="")
                raise SystemExit("the answers differ:\n" + "\n".join(lines))
    bodies = [len(answers[field.name].body) for field in same]
    if max(bodies) - min(bodies) > SLACK:
        raise SystemExit(f"the answers differ in size: {bodies}")
    return {
        name: {
            "body": len(it.body.encode()),
            "headers": sum(len(f"{name}: {value}\r\n") for name, value in it.headers),
            "cookie": it.header("Set-Cookie") is not None,
        }
        for name, it in answers.items()
    }


def _masked(answer):
    """The status, the headers and the body, as lines, without numbers."""
    headers = sorted(
        f"{name.lower()}: {value}"
        for name, value in answer.headers
        if name.lower() not in _OWN_HEADERS
    )
    # A count of more than three digits is drawn smaller.
    body = re.sub(r"\d+", "0", lab.normalized(answer.body)).replace("count long", "count")
    return [str(answer.status), *headers, *body.split("\n")]
