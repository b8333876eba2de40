"""What every comparison needs: the programs, built; a Redis; instances; a browser; their costs.

    import lab

    lab.build("ours", "express")
    with lab.Redis() as redis, lab.Server("express", redis.url) as server:
        browser = lab.Browser(server.port)
        print(browser.view("/foo"), server.usage(), redis.commands())

Whatever is built or installed lies in `target/compare`. Python 3.11's standard library suffices.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).resolve().parent / "peers"
CACHE = ROOT / "target" / "compare"

#: Everything that can be compared, in the order of tables.
NAMES = ("ours", "ceiling", "actix", "axum", "naive", "express")
PATHS = ("/", "/foo", "/bar")
#: Built with the project's own Cargo.lock. `crate` is the session crate with the routes that
#: races need; it draws no pages.
BY_THEMSELVES = ("ceiling", "crate")

#: Seals the cookies of all instances alike; worth nothing outside of comparisons.
_SECRET_KEY = "Y29tcGFyaXNvbnMgb25seSwgbmV2ZXIgZGVwbG95ZWQ="

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Missing(Exception):
    """A program that is needed is not there; the message says what to do."""


def need(*programs):
    """Fails, with the remedy, where a program is missing."""
    packages = {"node": "nodejs", "wrk": "wrk", "npm": "npm", "redis-server": "redis-server"}
    for program in programs:
        if not shutil.which(program):
            package = packages.get(program, program)
            raise Missing(f"{program} is missing; install it: apt-get install {package}")


def build(*names):
    """Builds or installs these, or everything; quick where that was done before."""
    names = names or NAMES
    need("cargo", "redis-server")
    CACHE.mkdir(parents=True, exist_ok=True)
    if "ours" in names:
        _run("cargo", "build", "--release", "--locked", "--bin", "cloud-run-sessions", cwd=ROOT)
    rust = [name for name in names if (PEERS / name / "Cargo.toml").exists()]
    for name in rust:
        # One at a time: built together, they would share each other's features.
        if name in BY_THEMSELVES:
            shutil.copy(ROOT / "Cargo.lock", PEERS / name)
            _run("cargo", "build", "--release", cwd=PEERS / name)
        else:
            _run("cargo", "build", "--release", "--locked", "--package", f"peer-{name}", cwd=PEERS)
    if "express" in names:
        need("node", "npm")
        home = CACHE / "express"
        lock = (PEERS / "express" / "package-lock.json").read_bytes()
        installed = home / "installed-lock.json"
        shutil.copytree(PEERS / "express", home, dirs_exist_ok=True)
        if not installed.exists() or installed.read_bytes() != lock:
            _run("npm", "ci", "--omit=dev", "--no-audit", "--no-fund", cwd=home)
            installed.write_bytes(lock)


def _run(*command, cwd):
    environment = dict(os.environ)
    if cwd != ROOT:
        environment["CARGO_TARGET_DIR"] = str(CACHE / "cargo")
    log = CACHE / "build.log"
    with open(log, "ab") as out:
        done = subprocess.run(command, cwd=cwd, env=environment, stdout=out, stderr=out)
    if done.returncode:
        raise Missing(f"`{' '.join(command)}` failed in {cwd}; {log} says why")


def _command(name):
    if name == "ours":
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        return [str(target / "release" / "cloud-run-sessions")]
    if name == "express":
        return ["node", str(CACHE / "express" / "server.js")]
    if (PEERS / name / "Cargo.toml").exists():
        return [str(CACHE / "cargo" / "release" / f"peer-{name}")]
    raise ValueError(f"there is no {name}; there are {', '.join(NAMES)}")


def free_port():
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Usage:
    """What a process has used so far, and what it holds."""

    cpu: float
    """Seconds of processor time, of user and system."""
    rss: int
    """Bytes of memory that it holds."""
    peak_rss: int
    """The most it has held."""
    threads: int


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
        """What the process costs, from /proc."""
        proc = Path("/proc") / str(self.pid)
        # What follows the name, which may hold anything, begins with the third field.
        stat = (proc / "stat").read_text().rpartition(")")[2].split()
        status = dict(re.findall(r"^(\w+):\s+(\d+)", (proc / "status").read_text(), re.M))
        return Usage(
            cpu=(int(stat[11]) + int(stat[12])) / _TICK,
            rss=int((proc / "statm").read_text().split()[1]) * _PAGE,
            peak_rss=int(status["VmHWM"]) * 1024,
            threads=int(stat[17]),
        )

    def signal(self, number):
        self._child.send_signal(number)

    def kill(self):
        """Ends it as a crash would."""
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
            cwd=CACHE if CACHE.exists() else None,
            log=CACHE.parent / "compare-redis.log" if not CACHE.exists() else CACHE / "redis.log",
        )
        wait_for(lambda: self.command("PING") == "PONG", "redis-server")

    def command(self, *words):
        """Sends one command over a connection of its own, and gives the reply."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as link:
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
        """How often each command was carried out since the start, but for those of `Redis`."""
        calls = {
            name.removeprefix("cmdstat_"): int(re.search(r"calls=(\d+)", text)[1])
            for name, text in self.info("commandstats").items()
        }
        return {name: count for name, count in calls.items() if name not in ("info", "ping")}

    def cpu(self):
        """Seconds of processor time, by INFO cpu."""
        info = self.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def memory(self):
        """Bytes of the data set."""
        return int(self.info("memory")["used_memory_dataset"])


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
    """An instance of one of `NAMES`, which has answered a first page once it is made.

    Several of one name on one Redis are instances of one service.
    """

    def __init__(self, name, redis_url, port=None, environment=None):
        self.name = name
        self.port = port or free_port()
        settings = {
            "PORT": str(self.port),
            "REDIS_URL": redis_url,
            "NODE_ENV": "production",
            "ROCKET_SECRET_KEY": _SECRET_KEY,
            **(environment or {}),
        }
        start = time.perf_counter()
        super().__init__(_command(name), {**_clean(), **settings}, log=CACHE / f"{name}.log")
        with contextlib.ExitStack() as undo:
            undo.callback(self.kill)
            wait_for(self._answers, name, pause=0.0005)
            undo.pop_all()
        #: Seconds from the start of the process to the whole first page.
        self.first_page_after = time.perf_counter() - start

    def _answers(self):
        if not self.is_running:
            raise Missing(f"{self.name} does not start; {self.log} says why")
        return Browser(self.port).get("/foo").status == 200


def _clean():
    foreign = ("REDIS_", "ROCKET_", "RUST_LOG", "PORT")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


@dataclass
class Answer:
    """What a server has answered."""

    status: int
    headers: list
    body: str
    seconds: float

    def header(self, name):
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None


@dataclass
class Browser:
    """One visitor: a cookie jar, and a connection that is kept open.

    Cookies that are marked `Secure` are sent to 127.0.0.1, as browsers do.
    """

    port: int
    cookies: dict = field(default_factory=dict)
    timeout: float = 10
    _link: http.client.HTTPConnection | None = None

    def request(self, method, path, headers=None):
        self.connect()
        sent = {"Accept": "text/html", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = self.cookie_header
        start = time.perf_counter()
        try:
            self._link.request(method, path, headers=sent)
            response = self._link.getresponse()
            body = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        answer = Answer(response.status, response.getheaders(), body, time.perf_counter() - start)
        self.receive(answer)
        return answer

    def receive(self, answer):
        """Keeps the cookies of an answer. It may be one to another request of the same visitor."""
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                self._keep(value)

    def connect(self):
        """Opens the connection, so that the next request leaves at once."""
        if self._link is None:
            self._link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            self._link.connect()

    def get(self, path, headers=None):
        return self.request("GET", path, headers)

    def post(self, path, headers=None):
        return self.request("POST", path, headers)

    def view(self, path):
        """Views a page, and gives its counts: `{"page": …, "views": …, "pages": {…}}`."""
        answer = self.get(path, {"Accept": "application/json"})
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        return json.loads(answer.body)

    @property
    def cookie_header(self):
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def twin(self, port=None):
        """The same visitor on a connection of its own, perhaps to another instance."""
        return Browser(port or self.port, dict(self.cookies), self.timeout)

    def close(self):
        if self._link is not None:
            self._link.close()
            self._link = None

    def _keep(self, header):
        pair, *attributes = header.split(";")
        name, _, value = pair.strip().partition("=")
        settings = dict(part.strip().lower().partition("=")[::2] for part in attributes)
        expires = settings.get("expires", "")
        if settings.get("max-age", "1").startswith(("0", "-")) or "1970" in expires:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def wait_for(is_so, what, seconds=15, pause=0.005):
    """Waits until `is_so()`; what cannot be connected to is not so yet."""
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


def normalized(html):
    """A page without what may differ: names of instances and files, times, escaped slashes."""
    html = html.replace("&#x2F;", "/")
    html = re.sub(r"<code>[0-9a-f]+</code>", "<code>…</code>", html)
    html = re.sub(r"/static/(\w+)(\.[0-9a-f]{12})?\.(\w+)", r"/static/\1.\3", html)
    html = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "…", html)
    html = re.sub(r"just now|\d+ (second|minute|hour|day)s? ago", "…", html)
    return re.sub(r"in \d+ (second|minute|hour|day)s?", "…", html)
