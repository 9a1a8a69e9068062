"""The demo's child processes: the service, and the mail server it sends to. Both end when the demo does."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from parcours.demo.dataset import INSTALL, DemoError

START_SECONDS = 30.0
END_SECONDS = 20.0
TAIL_LINES = 12
TAIL_COLUMNS = 500

_T = TypeVar("_T")

_LISTENING = re.compile(rb"listening on (http://[0-9A-Za-z.\[\]:-]+:[0-9]+)")


class MailCounts(msgspec.Struct, frozen=True):
    """What the mail server has accepted."""

    total: int
    unique: int
    duplicates: int
    by_subject: dict[str, int]


class MailServer:
    """A real SMTP server on this machine that counts mails by subject and notices those that come twice."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.port = int(self._read(dict[str, int])["port"])

    def counts(self) -> MailCounts:
        """Ask what has arrived so far."""
        assert self._process.stdin is not None  # noqa: S101 (opened below)
        try:
            self._process.stdin.write(b"counts\n")
            self._process.stdin.flush()
        except OSError as error:
            raise DemoError("the mail server has ended by itself") from error
        return self._read(MailCounts)

    def _read(self, kind: type[_T]) -> _T:
        assert self._process.stdout is not None  # noqa: S101 (opened below)
        line = self._process.stdout.readline()
        if not line:
            raise DemoError("the mail server has ended by itself")
        return msgspec.json.decode(line, type=kind)


class Service:
    """`parcours serve`, and where its log is."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""

    def await_start(self) -> None:
        """Return when the service accepts connections; `url` tells where.

        Raises:
            DemoError: It has ended, or takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            # Asked before the log is read, so that the last words of an ended service are not missed.
            ended = self.process.poll() is not None
            if found := _LISTENING.search(self.log.read_bytes()):
                self.url = found[1].decode()
                return
            if ended:
                raise DemoError(f"the service did not start: it ended with {self.process.returncode}")
            time.sleep(0.05)
        raise DemoError(f"the service did not say where it listens within {START_SECONDS:.0f} s")

    def tail(self) -> str:
        """Return the last lines of the log, long ones without their middle."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        half = TAIL_COLUMNS // 2
        return "\n".join(line if len(line) <= TAIL_COLUMNS else f"{line[:half]} … {line[-half:]}" for line in lines)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server on a free port.

    Raises:
        DemoError: The package for it is not installed, or it does not start.
    """
    if importlib.util.find_spec("aiosmtpd") is None:
        raise DemoError("the demo needs the package 'aiosmtpd', a mail server", hint=INSTALL)
    command = [sys.executable, "-m", "parcours.testing.receivers", "smtp", "--port", "0"]
    with _child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield MailServer(process)


@contextmanager
def service(options: Sequence[str], log: Path) -> Iterator[Service]:
    """Run `parcours serve` with these options; everything it says goes to the file `log`.

    Raises:
        DemoError: It does not start.
    """
    command = [sys.executable, "-m", "parcours", "serve", *options]
    with log.open("wb") as output, _child(command, stdout=output, stderr=subprocess.STDOUT) as process:
        running = Service(process, log)
        try:
            running.await_start()
            yield running
        except DemoError as error:
            tail = running.tail()
            if tail and not error.details:
                error.details = f"the service's last words:\n{tail}"
            raise


@contextmanager
def _child(command: Sequence[str], **streams: int | IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that does not outlive the block, whatever happens in it."""
    # In a session of its own, for the terminal's Ctrl-C is meant for the demo, which then ends its children in order.
    process = subprocess.Popen(command, env=_environment(), start_new_session=True, **streams)  # type: ignore[call-overload]  # noqa: S603 (ourselves)
    try:
        yield process
    finally:
        _end(process)


def _environment() -> Mapping[str, str]:
    # Settings meant for a real service must not reach this one; a log in a file is wanted at once.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARCOURS_")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        if process.poll() is None:
            process.terminate()
            process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # it is killed below
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
