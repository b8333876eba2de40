"""What every comparison needs: a Redis, instances of the programs, and their usage.

    import lab

    lab.build("ours", "express")
    with lab.Redis() as redis, lab.Server("express", redis.url) as server:
        browser = lab.Browser(server.port)
        print(browser.view("/foo"), server.usage(), redis.commands())

Python 3.11's standard library suffices.
"""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from browser import Answer, Browser, normalized
from programs import CACHE, PROGRAMS, ROOT, Missing, build, need

__all__ = ["Answer", "Browser", "Missing", "Proxy", "Redis", "Server", "build", "need", "normalized"]

PATHS = ("/", "/foo", "/bar")

#: Encrypts the cookies of all instances. It is only used in comparisons.
_SECRET_KEY = "Y29tcGFyaXNvbnMgb25seSwgbmV2ZXIgZGVwbG95ZWQ="

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def end_on_signals():
    """Makes a signal end the program as an error does, with all processes that it has started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: (_ for _ in ()).throw(SystemExit(128 + number)))


def free_port():
    """A port on which no program listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Usage:
    """The processor time and the memory that a process and its children use."""

    cpu: float
    """Seconds of processor time, of user and system."""
    rss: int
    """Bytes of memory."""

    @classmethod
    def of(cls, pid):
        """Reads /proc/PID/stat. The fields are counted after the name, which may contain anything."""
        cpu = rss = 0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = file.read_text().rpartition(")")[2].split()
                if pid in (int(file.parent.name), int(fields[1])):
                    cpu += (int(fields[11]) + int(fields[12])) / _TICK
                    rss += int(fields[21]) * _PAGE
        return cls(cpu, rss)


class Process:
    """A child process that ends with its `with` block; it is killed if it does not."""

    def __init__(self, command, environment=None, cwd=ROOT, log=None):
        CACHE.mkdir(parents=True, exist_ok=True)
        self.log = Path(log or CACHE / "server.log")
        with open(self.log, "ab") as out:
            self._child = subprocess.Popen(
                command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.pid = self._child.pid

    @property
    def is_running(self):
        return self._child.poll() is None

    def usage(self):
        return Usage.of(self.pid)

    def wait_for(self, is_so, what, pause=0.005):
        """Waits until `is_so()`, and kills the process if it never is."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.kill)
            wait_for(is_so, what, pause=pause)
            undo.pop_all()

    def signal(self, number):
        self._child.send_signal(number)

    def kill(self):
        """Ends the process as a crash would."""
        self._child.kill()
        self._child.wait()

    def stop(self):
        if self.is_running:
            self._child.terminate()
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Redis(Process):
    """A redis-server of one's own, in memory only, on a free port of 127.0.0.1."""

    def __init__(self, port=None, *options):
        need("redis-server")
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", ""]
        super().__init__(
            [str(word) for word in (*command, "--appendonly", "no", *options)],
            cwd=CACHE,
            log=CACHE / "redis.log",
        )
        self.wait_for(self.ping, "redis-server")

    def ping(self, port=None):
        """Whether Redis answers, at its own port or at that of a proxy."""
        return self.command("PING", port=port) == "PONG"

    def command(self, *words, port=None):
        """Sends one command over a new connection, and returns the reply."""
        with socket.create_connection(("127.0.0.1", port or self.port), 10) as link:
            parts = [str(word).encode() for word in words]
            request = b"*%d\r\n" % len(parts)
            request += b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
            link.sendall(request)
            with link.makefile("rb") as replies:
                return _reply(replies)

    def info(self, section):
        """A section of INFO, as texts by name."""
        lines = self.command("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def commands(self):
        """How often each command was run since the start, except those that this class sends."""
        calls = {
            name.removeprefix("cmdstat_"): int(re.search(r"calls=(\d+)", text)[1])
            for name, text in self.info("commandstats").items()
        }
        return {name: count for name, count in calls.items() if name not in ("info", "ping")}

    def cpu(self):
        """Seconds of processor time, by INFO cpu."""
        info = self.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


class Proxy(Process):
    """Delays the replies of a Redis by this many milliseconds."""

    def __init__(self, tool, redis, milliseconds):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        command = [tool, self.port, redis.port, round(milliseconds * 1000)]
        super().__init__([str(word) for word in command], log=CACHE / "delay.log")
        self.wait_for(lambda: redis.ping(self.port), "the delaying proxy")


def _reply(replies):
    line = replies.readline()
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"+":
        return rest
    if kind == b"-":
        raise RuntimeError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else replies.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return None if rest == "-1" else [_reply(replies) for _ in range(int(rest))]
    raise ConnectionError(f"Redis said {line!r}")


class Server(Process):
    """An instance of one of `PROGRAMS`. It is started, and has answered a first page.

    Several instances of one program on one Redis form one service.
    """

    def __init__(self, name, redis_url, port=None, environment=None):
        program = PROGRAMS[name]
        self.name = name
        self.port = port or free_port()
        settings = {
            "PORT": str(self.port),
            "REDIS_URL": redis_url,
            "NODE_ENV": "production",
            "ROCKET_SECRET_KEY": _SECRET_KEY,
            **program.environment,
            **(environment or {}),
        }
        start = time.perf_counter()
        super().__init__(
            program.command, {**_clean(), **settings}, program.folder, CACHE / f"{name}.log"
        )
        self.wait_for(self._answers, name, pause=0.0005)
        #: Seconds from the start of the process to the whole first page.
        self.first_page_after = time.perf_counter() - start

    def _answers(self):
        if not self.is_running:
            raise Missing(f"{self.name} does not start; {self.log} says why")
        return Browser(self.port).get("/foo").status == 200


def _clean():
    foreign = ("REDIS_", "ROCKET_", "RUST_LOG", "PORT", "PAGES", "SESSIONS", "WORKERS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def wait_for(is_so, what, seconds=15, pause=0.005):
    """Waits until `is_so()` is true. A failed connection counts as false."""
    end = time.monotonic() + seconds
    while True:
        try:
            if is_so():
                return
        except (OSError, http.client.HTTPException):
            pass
        if time.monotonic() > end:
            raise Missing(f"{what} was not ready within {seconds} s")
        time.sleep(pause)


