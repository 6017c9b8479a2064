"""A proxy before an S3 server that breaks a share of all requests, in turn in each of six ways."""

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "hang", "lost answer")
"""Of every request: hang = no answer at all; lost answer = carried out, but nobody hears of it."""
CUT_BODY = "cut body"
"""Of a GET too: the connection ends in the middle of the answer."""

ERROR = b"<Error><Code>{code}</Code><Message>told so</Message></Error>"


class FlakyProxy:
    """What the proxy has seen.

    Attributes:
        share: of requests that break, 0..1; may be changed at any time.
        only: how every request breaks that does; None = in turn.
        most: requests that break at most; None = any number.
        attempts: (method, path) -> how often it came.
        broken: how a request broke -> how often.
    """

    def __init__(self, target: str, share: float, seed: int = 0) -> None:
        self.target = urlsplit(target)
        self.share = share
        self.only: str | None = None
        self.most: int | None = None
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.broken: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._faults = {True: cycle((CUT_BODY, *FAULTS)), False: cycle(FAULTS)}
        self._lock = threading.Lock()

    def fault(self, method: str, path: str) -> str | None:
        """How this request is to break; None = not."""
        with self._lock:
            self.attempts[method, path] += 1
            if self._random.random() >= self.share or self.broken.total() == self.most:
                return None
            kind = self.only or next(self._faults[method == "GET"])
            self.broken[kind] += 1
            return kind


@contextmanager
def flaky_proxy(target: str, share: float, seed: int = 0) -> Iterator[tuple[str, FlakyProxy]]:
    """(URL, record) of a proxy before `target`."""
    record = FlakyProxy(target, share, seed)
    handler = type("Handler", (_Handler,), {"proxy": record})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", record
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: FlakyProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.fault(self.command, self.path)
        if fault in ("500", "503"):
            code = "InternalError" if fault == "500" else "SlowDown"
            self._answer(int(fault), ERROR.replace(b"{code}", code.encode()), {"Content-Type": "application/xml"})
            return
        if fault == "hang":
            with suppress(OSError):
                self.connection.recv(1)  # until the client has had enough
        if fault in ("reset", "hang"):
            self._cut()
            return
        status, headers, answer = self._forward(body)
        if fault == "lost answer":
            self._cut()
            return
        self._answer(status, answer[: len(answer) // 2] if fault == CUT_BODY else answer, headers, len(answer))
        if fault == CUT_BODY:
            self._cut()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = HTTPConnection(str(self.proxy.target.hostname), self.proxy.target.port, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "expect")}
        upstream.request(self.command, self.path, body, headers | {"Host": str(self.headers["Host"])})
        answered = upstream.getresponse()
        kept = {
            name: value for name, value in answered.getheaders() if name.lower() not in ("connection", "server", "date")
        }
        data = answered.read()
        upstream.close()
        return answered.status, kept, data

    def _answer(self, status: int, body: bytes, headers: dict[str, str], told_bytes: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding"):
                self.send_header(name, value)
        length = len(body) if told_bytes is None else told_bytes
        self.send_header("Content-Length", headers.get("Content-Length", str(length)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
