"""A way to the service on which answers get lost, as they do on the way to a phone in a tunnel."""

from __future__ import annotations

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from tests.service import PATIENCE, Service


class Seen(NamedTuple):
    """A request that came by, the status of the service's answer, or 0 when it never got there, and when that was."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    at: float


class Proxy:
    """Hands requests on to a service, and its answers back.

    The next `lose` answers to a POST are lost after the service has given them; the next `refuse` POSTs are answered
    with `refusal`, a status and the seconds to wait, as the service answers that can keep nothing, and never reach it.
    """

    def __init__(self, service: Service) -> None:
        self.lose = self.refuse = 0
        self.refusal = (503, 1)
        self.seen: list[Seen] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                posted = self.command == "POST"
                if posted and proxy.refuse:
                    proxy.refuse -= 1
                    # Headers are the service's own, so that a browser may read what it might read of its answer.
                    _, headers, _ = self._forward("OPTIONS", b"")
                    status, seconds = proxy.refusal
                    headers.append(("Retry-After", str(seconds)))
                    answer = b"{}"
                    proxy.seen.append(Seen(self.command, self.path, dict(self.headers), body, 0, time.monotonic()))
                else:
                    status, headers, answer = self._forward(self.command, body)
                    proxy.seen.append(Seen(self.command, self.path, dict(self.headers), body, status, time.monotonic()))
                if posted and proxy.lose:
                    proxy.lose -= 1
                    self.close_connection = True
                    return
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_OPTIONS = _handle  # noqa: N815 (names that http.server looks for)

            def _forward(self, method: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection(service.host, service.port, timeout=PATIENCE)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
                try:
                    connection.request(method, self.path, body, headers)
                    answer = connection.getresponse()
                    return answer.status, answer.getheaders(), answer.read()
                finally:
                    connection.close()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def posted(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == "POST"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
