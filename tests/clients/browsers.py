"""The few commands of WebDriver that tests/clients/run needs.

Chromium and WebKit have a driver that accepts them over HTTP. Firefox accepts the same commands itself,
over its own protocol Marionette, so it needs no driver.
"""

import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
MINIBROWSER = next(iter(glob.glob("/usr/lib/*/webkit2gtk-4.*/MiniBrowser")), "MiniBrowser")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, DriverError):
            if found := condition():
                return found
        if time.monotonic() > end:
            raise DriverError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


class DriverError(Exception):
    """What the browser or its driver has refused."""


class Http:
    """WebDriver over HTTP, as chromedriver and WebKitWebDriver speak it."""

    PATHS = {
        "Navigate": ("POST", "/url"),
        "Refresh": ("POST", "/refresh"),
        "FindElement": ("POST", "/element"),
        "GetCookies": ("GET", "/cookie"),
    }

    def __init__(self, command, capabilities, processes):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        processes.start([*command, f"--port={port}"])
        wait_for("the driver", lambda: socket.create_connection(("127.0.0.1", port)))
        session = self.request("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.base += f"/session/{session['sessionId']}"

    def command(self, name, **parameters):
        if name == "ElementClick":
            return self.request("POST", f"/element/{parameters['id']}/click", {})
        if name == "GetElementText":
            return self.request("GET", f"/element/{parameters['id']}/text")
        method, path = self.PATHS[name]
        return self.request(method, path, parameters)

    def close(self):
        self.request("DELETE", "")

    def request(self, method, path, body=None):
        data = None if method != "POST" else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise DriverError(error.read().decode()) from None


class Marionette:
    """WebDriver as Firefox speaks it."""

    def __init__(self, command, capabilities, processes):
        port = free_port()
        profile = processes.folder("firefox")
        with open(f"{profile}/user.js", "w", encoding="utf-8") as file:
            file.write(f'user_pref("marionette.port", {port});\n')
        processes.start([*command, "--profile", profile])
        self.socket = wait_for("Firefox", lambda: socket.create_connection(("127.0.0.1", port)), 60)
        self.socket.settimeout(60)
        self.rest = b""
        self.receive()
        self.number = 0
        self.command("NewSession", **capabilities)

    def command(self, name, **parameters):
        self.number += 1
        text = json.dumps([0, self.number, f"WebDriver:{name}", parameters])
        self.socket.sendall(f"{len(text.encode())}:{text}".encode())
        _, _, error, value = self.receive()
        if error:
            raise DriverError(error["message"])
        return value["value"] if isinstance(value, dict) and set(value) == {"value"} else value

    def receive(self):
        while b":" not in self.rest:
            self.more()
        length, self.rest = self.rest.split(b":", 1)
        while len(self.rest) < int(length):
            self.more()
        text, self.rest = self.rest[: int(length)], self.rest[int(length) :]
        return json.loads(text)

    def more(self):
        if not (data := self.socket.recv(65536)):
            raise DriverError("Firefox has closed the connection")
        self.rest += data

    def close(self):
        with contextlib.suppress(DriverError, OSError):
            self.socket.sendall(b'[0,0,"Marionette:Quit",{}]')


class Processes:
    """What a browser has started, and its folders. All of it ends with this."""

    def __init__(self):
        self.running, self.folders = [], []

    def start(self, command):
        environment = os.environ | {"TMPDIR": self.folder("tmp"), "HOME": self.folder("home")}
        self.running.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def folder(self, name):
        self.folders.append(tempfile.mkdtemp(prefix=f"clients-{name}-"))
        return self.folders[-1]

    def end(self):
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


class Browser:
    """A browser with an empty profile, as a person uses it."""

    def __init__(self, name):
        self.processes = Processes()
        protocol, command, capabilities = BROWSERS[name]
        try:
            self.driver = protocol(command, capabilities, self.processes)
        except BaseException:
            self.processes.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(DriverError, OSError):
            self.driver.close()
        self.processes.end()

    def open(self, url):
        self.driver.command("Navigate", url=url)

    def reload(self):
        self.driver.command("Refresh")

    def find(self, using, value):
        return self.driver.command("FindElement", using=using, value=value)[ELEMENT]

    def click(self, text):
        xpath = f"//*[self::a or self::button or self::summary][.='{text}']"
        element = wait_for(text, lambda: self.find("xpath", xpath))
        self.driver.command("ElementClick", id=element)

    def text(self, selector):
        return self.driver.command("GetElementText", id=self.find("css selector", selector))

    def sees(self, text):
        wait_for(f"“{text}”", lambda: text in self.text("main"))

    def views(self):
        self.sees("You viewed this page")
        return int(self.text(".sentence").split()[-2])

    def cookies(self):
        return {it["name"]: it for it in self.driver.command("GetCookies")}


BROWSERS = {
    "Chromium": (
        Http,
        ["chromedriver"],
        {
            "acceptInsecureCerts": True,
            "goog:chromeOptions": {
                "args": [
                    "--headless",
                    "--no-sandbox",
                    "--disable-dev-shm-usage",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                ]
            },
        },
    ),
    "Firefox": (
        Marionette,
        ["firefox-esr", "--headless", "--marionette", "--no-remote"],
        {"acceptInsecureCerts": True},
    ),
    "WebKit": (
        Http,
        ["xvfb-run", "--auto-servernum", "WebKitWebDriver"],
        {
            "acceptInsecureCerts": True,
            "webkitgtk:browserOptions": {"binary": MINIBROWSER, "args": ["--automation"]},
        },
    ),
}
