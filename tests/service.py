"""`parcours serve` as a child process, on a port of its own, and a small HTTP client for it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

WRITE_KEY = "wk_test"
SECRET_KEY = "sk_test"
PATIENCE = 90.0
"""Seconds after which a service that should have started or ended has not."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A running service. What it says is in `output`; it says on standard error what goes wrong."""

    def __init__(self, data: Path, *options: str, variables: Mapping[str, str] | None = None) -> None:
        self.data = data
        command = [
            *(sys.executable, "-m", "parcours", "serve", "--data", str(data), "--port", "0"),
            *("--write-key", WRITE_KEY, "--secret-key", SECRET_KEY, *options),
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARCOURS_")}
        environment |= variables or {}
        self.errors = data.with_suffix(".log")
        with self.errors.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env={**environment, "PYTHONUNBUFFERED": "1"}
            )
        self.output: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.host, self.port = "", 0

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.decode())
            self._lines.put(line.decode())
        self._lines.put(None)

    def wait_started(self) -> Self:
        """Return once it listens; fail if it ends before."""
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            if found := re.search(r"listening on http://([^:]+):(\d+)", line):
                self.host, self.port = found[1], int(found[2])
                return self
        raise AssertionError(f"the service ended: {self.output} {self.errors.read_text()[-2_000:]}")

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def kill(self) -> None:
        """End it at once, as a power cut does to a process."""
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """Ask it to end, and return what it ended with."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self.wait_started()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()

    def post(
        self, path: str, body: Any, *, key: str | None = WRITE_KEY, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send to the ingest door as an SDK does: JSON, with the key as the user name of Basic authentication."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, raw, {**basic(key), "Content-Type": "application/json", **(headers or {})})

    def batch(self, *messages: Any, **around: Any) -> Answer:
        return self.post("/v1/batch", {"batch": messages, **around})

    def api(self, method: str, path: str, body: Any = None, *, key: str | None = SECRET_KEY) -> Answer:
        raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        return self.request(method, path, raw, headers)

    def report(self) -> Any:
        answer = self.api("GET", "/v1/report")
        assert answer.status == 200, answer
        return answer.json

    def contact(self, who: str) -> Any:
        answer = self.api("GET", f"/v1/contacts/user_id:{who}")
        assert answer.status == 200, answer
        return answer.json

    def publish(self, *definitions: Any) -> Answer:
        return self.api("PUT", "/v1/definitions", {"definitions": definitions})


def basic(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
