"""A visitor: a cookie jar and a connection."""

import http.client
import json
import re
import time
from dataclasses import dataclass, field


@dataclass
class Answer:
    """An answer of a server."""

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
        """Keeps the cookies of an answer, which may be to another request of the same visitor."""
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                self._keep(value)

    def connect(self):
        """Opens the connection, so that the next request is sent at once."""
        if self._link is None:
            self._link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            self._link.connect()

    def get(self, path, headers=None):
        return self.request("GET", path, headers)

    def post(self, path, headers=None):
        return self.request("POST", path, headers)

    def view(self, path):
        """Views a page, and returns its counts: `{"page": …, "views": …, "pages": {…}}`."""
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


def normalized(html):
    """A page without the parts that may differ: names of instances and files, times, escaped slashes."""
    html = html.replace("&#x2F;", "/")
    html = re.sub(r"<code>[0-9a-f]+</code>", "<code>…</code>", html)
    html = re.sub(r"/static/(\w+)(\.[0-9a-f]{12})?\.(\w+)", r"/static/\1.\3", html)
    html = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "…", html)
    html = re.sub(r"just now|\d+ (second|minute|hour|day)s? ago", "…", html)
    return re.sub(r"in \d+ (second|minute|hour|day)s?", "…", html)
