#!/usr/bin/env python3
"""Applies the ten worst faults of a store to this application and its peers.

    benches/compare/faults.py                 # ours, express and axum
    benches/compare/faults.py ours axum

For each fault: the statuses that visitors saw (`hang` after five seconds), the longest answer, how
many cookies were replaced or removed, how many acknowledged views were missing afterwards, and how
long it took from the end of the fault until every visitor was served. Prints a table in Markdown.
"""

import collections
import http.client
import json
import socket
import sys
import threading
import time

import lab

VISITORS = 4
LASTING = 3
PATIENCE = 5
HEALING = 15


class Wire:
    """A proxy in front of Redis. `fault` handles each chunk of replies."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.fault = faultless
        self.links = []
        self.port = lab.free_port()
        self.open()

    def open(self):
        listener = socket.create_server(("127.0.0.1", self.port))
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self):
        # Closing alone does not wake the thread that waits for connections.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.close_connections()

    def close_connections(self):
        for link in self.links:
            shut(link)
        self.links.clear()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                return
            self.links += [client, server]
            threading.Thread(target=self._commands, args=(client, server), daemon=True).start()
            threading.Thread(target=self._replies, args=(client, server), daemon=True).start()

    def _commands(self, client, server):
        try:
            while chunk := client.recv(65536):
                server.sendall(chunk)
        except OSError:
            pass
        shut(server)

    def _replies(self, client, server):
        try:
            while chunk := server.recv(65536):
                self.fault(client, chunk)
        except OSError:
            pass
        shut(client)


def shut(link):
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def faultless(client, chunk):
    client.sendall(chunk)


def swallowing(_client, _chunk):
    pass


def late(client, chunk):
    time.sleep(2)
    client.sendall(chunk)


def trickling(wire):
    def fault(client, chunk):
        while chunk and wire.fault is fault:
            time.sleep(0.1)
            client.sendall(chunk[:1])
            chunk = chunk[1:]
        client.sendall(chunk)

    return fault


def cut(client, chunk):
    client.sendall(chunk[: len(chunk) // 2])
    shut(client)


def repeating(client, chunk):
    client.sendall(b":1\r\n" + chunk)


def config(redis, name, value):
    redis.command("CONFIG", "SET", name, value)


#: The name of each fault, how it begins and how it ends.
FAULTS = {
    "Redis is stopped": (lambda r, w: r.signal(19), lambda r, w: r.signal(18)),
    "the port is closed": (lambda r, w: w.close(), lambda r, w: w.open()),
    # Ends by closing connections, because no network delivers later bytes without the earlier ones.
    "replies are swallowed": (
        lambda r, w: setattr(w, "fault", swallowing),
        lambda r, w: w.close_connections(),
    ),
    "replies are 2 s late": (lambda r, w: setattr(w, "fault", late), None),
    "one byte every 100 ms": (lambda r, w: setattr(w, "fault", trickling(w)), None),
    "cut during a reply": (lambda r, w: setattr(w, "fault", cut), None),
    "replies to nothing": (lambda r, w: setattr(w, "fault", repeating), None),
    "all connections closed": (lambda r, w: w.close_connections(), None),
    "memory is used up": (
        lambda r, w: config(r, "maxmemory", 1),
        lambda r, w: config(r, "maxmemory", 0),
    ),
    "Redis becomes a replica": (
        lambda r, w: r.command("REPLICAOF", "127.0.0.1", 1),
        lambda r, w: r.command("REPLICAOF", "NO", "ONE"),
    ),
}


class Visitor:
    def __init__(self, port):
        self.browser = lab.Browser(port, timeout=PATIENCE)
        self.acknowledged = max(self.browser.view("/foo")["views"] for _ in range(2))
        self.statuses = collections.Counter()
        self.longest = 0
        self.replaced = 0
        self.lost = 0

    def view(self):
        """Views a page, and returns whether it was served."""
        before = dict(self.browser.cookies)
        start = time.perf_counter()
        try:
            answer = self.browser.get("/foo", {"Accept": "application/json"})
            status = answer.status
        except TimeoutError:
            status = "hang"
        except (OSError, http.client.HTTPException):
            status = "closed"
        self.longest = max(self.longest, time.perf_counter() - start)
        self.statuses[status] += 1
        if before.keys() != self.browser.cookies.keys() or status == 200 and self._is_new(answer):
            self.replaced += 1
        return status == 200

    def _is_new(self, answer):
        """Whether the count has started again. Counts the acknowledged views that are missing as lost."""
        views = json.loads(answer.body)["views"]
        self.lost += max(0, self.acknowledged + 1 - views)
        is_new = views < self.acknowledged
        self.acknowledged = views
        return is_new


def each(visitors, work):
    threads = [threading.Thread(target=work, args=(visitor,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def during(visitor):
    end = time.monotonic() + LASTING
    while time.monotonic() < end:
        visitor.view()
        time.sleep(0.02)


def healed(visitors, start):
    while time.monotonic() - start < HEALING:
        served = []
        each(visitors, lambda visitor: served.append(visitor.view()))
        if all(served):
            return f"{time.monotonic() - start:.1f} s"
        time.sleep(0.02)
    return f"not in {HEALING} s"


def try_one(name, fault):
    begin, end = FAULTS[fault]
    with lab.Redis() as redis:
        wire = Wire(redis.port)
        with lab.Server(name, f"redis://127.0.0.1:{wire.port}") as server:
            visitors = [Visitor(server.port) for _ in range(VISITORS)]
            begin(redis, wire)
            each(visitors, during)
            statuses = sum((visitor.statuses for visitor in visitors), collections.Counter())
            longest = max(visitor.longest for visitor in visitors)
            wire.fault = faultless
            if end:
                end(redis, wire)
            healing = healed(visitors, time.monotonic())
            if not server.is_running:
                healing = "ended"
        wire.close_connections()
    seen = ", ".join(f"{status} × {count}" for status, count in sorted(statuses.items(), key=str))
    replaced = sum(visitor.replaced for visitor in visitors)
    lost = sum(visitor.lost for visitor in visitors)
    return f"| {fault} | {name} | {seen} | {longest:.2f} s | {replaced} | {lost} | {healing} |"


def main():
    names = sys.argv[1:] or ["ours", "express", "axum"]
    lab.build(*names)
    print("| fault | program | statuses | longest | cookies replaced | views lost | healed |")
    print("|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        for name in names:
            print(try_one(name, fault), flush=True)


if __name__ == "__main__":
    main()
