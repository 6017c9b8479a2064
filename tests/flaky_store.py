"""A proxy before an S3 server that breaks a share of all requests, in turn in five ways."""

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_SEC = 0.3
"""How long a request hangs before its connection is cut, as a client's timeout would."""

ERROR = b"<Error><Code>{code}</Code><Message>told so</Message></Error>"


class FlakyProxy:
    """What the proxy has seen.

    Attributes:
        share: of requests that break, 0..1; may be changed at any time.
        attempts: (method, path) -> how often it came.
        broken: how a request broke -> how often.
    """

    def __init__(self, target: str, share: float, seed: int = 0) -> None:
        self.target = urlsplit(target)
        self.share = share
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.broken: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def fault(self, method: str, path: str) -> str | None:
        """How this request is to break; None = not."""
        with self._lock:
            self.attempts[method, path] += 1
            if self._random.random() >= self.share:
                return None
            kind = self._random.choice(("500", "503", "reset", "hang", "lost answer"))
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
        if fault in ("reset", "hang"):
            time.sleep(SLOW_SEC if fault == "hang" else 0)
            self._cut()
            return
        status, headers, answer = self._forward(body)
        if fault == "lost answer":  # carried out, but nobody hears of it
            self._cut()
            return
        self._answer(status, answer, headers)

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

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _cut(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
