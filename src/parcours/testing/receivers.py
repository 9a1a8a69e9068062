"""Real receivers on this machine: an SMTP server and an HTTP push endpoint that count what arrives.

They stand where a provider would, in tests (in process), in benchmarks and in the demo (as a child process), and can
be told to refuse, to hang or to hang up:

    async with SmtpReceiver() as receiver:
        receiver.script("RCPT", "550 5.1.1 no such user", times=1)
        ...  # send to receiver.host, receiver.port
        assert receiver.counts().duplicates == 0

As a process, `python -m parcours.testing.receivers smtp --port 0` (or `push`) prints one JSON line with the port it
listens on, then answers each line on standard input with one JSON line:

    counts                          what arrived so far
    reset                           forget what arrived, answers the counts before
    script RCPT 3 451 4.3.0 later   answer the next three RCPT with this (push: `script 3 503`); 0 means from now on
    quit                            stop; so does the end of standard input
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import re
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from email.header import decode_header, make_header
from typing import Any, Self

import msgspec
from aiohttp import web

_SMTP: Any  # the library's own annotations are too loose to be of help
try:
    _SMTP = importlib.import_module("aiosmtpd.smtp").SMTP
except ImportError:  # it is no dependency of the product, only of its tests and its demo
    _SMTP = object


_SUBJECTS = 100
_HEADERS = re.compile(rb"^(message-id|subject):[ \t]*((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"\s*<([^\s<>\"\\]+)>(?:\s+(.*))?$")
_FOREVER = -1


class Counts(msgspec.Struct):
    """What a receiver has accepted; refused messages are not counted."""

    total: int
    unique: int
    """How many different message ids."""
    duplicates: int
    """How many messages whose id was there before."""
    by_subject: dict[str, int]
    """By subject or title, the most frequent first, at most 100."""


class _Tally:
    """Counts messages by id and by subject as they came, and decodes subjects only when asked."""

    def __init__(self) -> None:
        self.total = 0
        self.ids: set[bytes] = set()
        self.subjects: Counter[bytes] = Counter()

    def add(self, message_id: bytes, subject: bytes) -> None:
        self.total += 1
        self.ids.add(message_id)
        self.subjects[subject] += 1

    def counts(self, decode: Callable[[bytes], str]) -> Counts:
        by_subject: Counter[str] = Counter()
        for subject, number in self.subjects.most_common(_SUBJECTS):
            by_subject[decode(subject)] += number
        unique = len(self.ids)
        return Counts(
            total=self.total, unique=unique, duplicates=self.total - unique, by_subject=dict(by_subject.most_common())
        )


def _decode_subject(raw: bytes) -> str:
    text = re.sub(r"\r\n[ \t]", " ", raw.decode("utf-8", "replace"))
    try:
        return str(make_header(decode_header(text)))
    except (ValueError, LookupError):
        return text


class _Script:
    """Answers somebody asked for, by what they answer, in the order of asking."""

    def __init__(self) -> None:
        self._answers: dict[str, deque[tuple[Any, int]]] = {}

    def put(self, key: str, answer: Any, times: int) -> None:
        self._answers.setdefault(key, deque()).append((answer, times))

    def clear(self) -> None:
        self._answers.clear()

    def take(self, key: str) -> Any:
        answers = self._answers.get(key)
        if not answers:
            return None
        answer, times = answers[0]
        if times == 1:
            answers.popleft()
        elif times != _FOREVER:
            answers[0] = (answer, times - 1)
        return answer


HANG_UP = "hang up"
"""As an answer: close the connection instead."""
HANG = "hang"
"""As an answer: say nothing, and keep the connection."""


class SmtpReceiver:
    """A real SMTP server (aiosmtpd) that accepts every mail and counts it by `Message-ID`.

    Args:
        host: The address to listen on.
        port: The port to listen on, 0 for any free one; `port` holds it after `start`.
        keep: Whether to keep the mails themselves, as `(sender, recipients, bytes)` in `mails`.
        options: For aiosmtpd's `SMTP`, such as `enable_SMTPUTF8`, `tls_context` or `authenticator`.

    Raises:
        RuntimeError: aiosmtpd is not installed.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, keep: bool = False, **options: Any) -> None:
        self.host = host
        self.port = port
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.connections = 0
        """How many connections were opened so far."""
        self._keep = keep
        self._options = {"hostname": "localhost", "enable_SMTPUTF8": True, **options}
        self._tally = _Tally()
        self._script = _Script()
        self._server: asyncio.Server | None = None
        self._open: set[Any] = set()
        self._deserted = asyncio.Event()
        if _SMTP is object:
            raise RuntimeError("SmtpReceiver needs aiosmtpd, which is not installed: pip install 'parcours[demo]'")
        # It formats nothing while its log is off, and it logs several lines a command.
        logging.getLogger("mail.log").setLevel(logging.ERROR)

    def script(self, command: str, answer: str, *, times: int = 1) -> None:
        """Answer a command differently.

        Args:
            command: `CONNECT` (the greeting), `MAIL`, `RCPT`, `DATA` (the mail itself), `RSET` or `QUIT`.
            answer: A reply such as `451 4.3.0 later`, or `HANG_UP`, or `HANG`.
            times: How often; 0 means from now on.
        """
        self._script.put(command.upper(), answer, times or _FOREVER)

    def accept(self) -> None:
        """Forget the scripted answers and accept everything again."""
        self._script.clear()

    def counts(self) -> Counts:
        """Return what arrived."""
        return self._tally.counts(_decode_subject)

    def reset(self) -> None:
        """Forget what arrived."""
        self._tally = _Tally()
        self.mails.clear()

    def drop_connections(self) -> None:
        """Hang up on everybody, as a server does that restarts or has waited for too long."""
        for protocol in tuple(self._open):
            if protocol.transport is not None:
                protocol.transport.abort()

    async def wait_deserted(self) -> None:
        """Wait until somebody has been connected and nobody is any more."""
        await self._deserted.wait()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _SmtpProtocol(self, loop, self._options), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection and the port."""
        if self._server is not None:
            self._server.close()
            self.drop_connections()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _take(self, command: str) -> str | None:
        answer: str | None = self._script.take(command)
        return answer

    def _arrived(self, sender: str, recipients: list[str], content: bytes) -> None:
        end = content.find(b"\r\n\r\n")
        found = {
            name.lower(): value for name, value in _HEADERS.findall(content, 0, end + 2 if end >= 0 else len(content))
        }
        self._tally.add(found.get(b"message-id", b""), found.get(b"subject", b""))
        if self._keep:
            self.mails.append((sender, recipients, content))


class _SmtpProtocol(_SMTP):  # type: ignore[misc]  # of type Any
    """aiosmtpd's protocol, made quicker where it is slow: reading addresses and the mail."""

    # No limit: the DATA command below reads the whole mail at once.
    line_length_limit = 2**25

    def __init__(self, receiver: SmtpReceiver, loop: asyncio.AbstractEventLoop, options: dict[str, Any]) -> None:
        super().__init__(receiver, loop=loop, **options)
        self.receiver = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.receiver.connections += 1
        self.receiver._open.add(self)  # noqa: SLF001
        self.receiver._deserted.clear()  # noqa: SLF001
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.receiver._open.discard(self)  # noqa: SLF001
        if not self.receiver._open:  # noqa: SLF001
            self.receiver._deserted.set()  # noqa: SLF001
        super().connection_lost(error)

    async def scripted(self, command: str) -> bool:
        answer = self.receiver._take(command)  # noqa: SLF001
        if answer is None:
            return False
        if answer == HANG_UP:
            self.transport.abort()
        elif answer != HANG:
            await super().push(answer)
        return True

    async def push(self, status: str | bytes) -> None:
        # The greeting is the one reply that is no answer to a command.
        if isinstance(status, str) and status.startswith("220 ") and await self.scripted("CONNECT"):
            return
        await super().push(status)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        plain = _ADDRESS.match(arg)  # aiosmtpd parses every address by the full grammar, which takes longer
        return (plain[1], plain[2] or "") if plain else super()._getaddr(arg)

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802
        if not await self.scripted("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        if not await self.scripted("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        if not await self.scripted("RSET"):
            await super().smtp_RSET(arg)

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802
        if not await self.scripted("QUIT"):
            await super().smtp_QUIT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        if not self.envelope.rcpt_tos:
            await self.push("503 Error: need RCPT command")
            return
        if arg:
            await self.push("501 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        # aiosmtpd reads line by line; once for the whole mail is several times as fast.
        content = await self._reader.readuntil(b"\r\n.\r\n")
        content = content[:-3].replace(b"\r\n..", b"\r\n.")
        if content.startswith(b".."):
            content = content[1:]
        if not await self.scripted("DATA"):
            self.receiver._arrived(self.envelope.mail_from, self.envelope.rcpt_tos, content)  # noqa: SLF001
            await self.push("250 OK")
        self._set_post_data_state()


class PushReceiver:
    """A real HTTP server (aiohttp) that takes `POST` of JSON and counts it by `message_id`.

    Args:
        host: The address to listen on.
        port: The port to listen on, 0 for any free one; `port` holds it after `start`.
        token: What clients must send as bearer; empty accepts everybody.
        keep: Whether to keep what came, as `(headers, body)` in `requests`.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, token: str = "", keep: bool = False) -> None:
        self.host = host
        self.port = port
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self._token = token
        self._keep = keep
        self._tally = _Tally()
        self._script = _Script()
        self._released = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """Where to send."""
        return f"http://{self.host}:{self.port}/push"

    def script(
        self, status: int | str, *, times: int = 1, body: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Answer requests differently.

        Args:
            status: An HTTP status, or `HANG_UP`, or `HANG`.
            times: How often; 0 means from now on.
            body: The text of the answer.
            headers: Headers of the answer, such as `Retry-After`.
        """
        self._script.put("", (status, body, headers), times or _FOREVER)

    def accept(self) -> None:
        """Forget the scripted answers and accept everything again."""
        self._script.clear()

    def counts(self) -> Counts:
        """Return what arrived."""
        return self._tally.counts(lambda title: title.decode("utf-8", "replace"))

    def reset(self) -> None:
        """Forget what arrived."""
        self._tally = _Tally()
        self.requests.clear()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            raw = await request.read()
            answer = self._script.take("")
            if answer is not None:
                status, text, headers = answer
                if status == HANG:
                    await self._released.wait()
                if status in (HANG, HANG_UP):
                    if request.transport is not None:
                        request.transport.abort()
                    return web.Response(status=503)
                return web.Response(status=int(status), text=text, headers=headers)
            if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
                return web.Response(status=401, text="wrong token")
            try:
                body = _PUSH.decode(raw)
            except msgspec.MsgspecError as error:
                return web.Response(status=400, text=str(error))
            self._tally.add(body.message_id.encode(), body.title.encode("utf-8", "replace"))
            if self._keep:
                self.requests.append((dict(request.headers), msgspec.json.decode(raw)))
            return web.Response(status=202)

        # The low-level server: one handler needs no routes.
        self._runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection and the port."""
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class _Push(msgspec.Struct):
    message_id: str
    to: str
    title: str
    body: str


_PUSH = msgspec.json.Decoder(_Push)


def _say(value: Any) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def _obey(receiver: SmtpReceiver | PushReceiver, line: str) -> None:
    """Carry out one line from standard input."""
    words = line.split()
    match words:
        case ["counts"]:
            _say(receiver.counts())
        case ["reset"]:
            counts = receiver.counts()
            receiver.reset()
            _say(counts)
        case ["script", command, times, *answer] if isinstance(receiver, SmtpReceiver) and answer:
            receiver.script(command, " ".join(answer), times=int(times))
            _say({"ok": True})
        case ["script", times, *answer] if isinstance(receiver, PushReceiver) and answer:
            receiver.script(" ".join(answer), times=int(times))
            _say({"ok": True})
        case _:
            _say({"error": f"what is {line.strip()!r}? counts, reset, script, quit"})


async def _serve(receiver: SmtpReceiver | PushReceiver) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "quit")

    async with receiver:
        _say({"port": receiver.port})
        # A thread, because standard input may be a pipe, a file or a terminal, and event loops take pipes only.
        threading.Thread(target=read, daemon=True).start()
        while (line := await lines.get()).strip() != "quit":
            try:
                _obey(receiver, line)
            except ValueError as error:
                _say({"error": str(error)})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one receiver as a process; the module's docstring tells how to talk to it."""
    parser = argparse.ArgumentParser(prog="python -m parcours.testing.receivers", description="Count what arrives.")
    parser.add_argument("kind", choices=("smtp", "push"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one (the default)")
    chosen = parser.parse_args(arguments)
    loop_factory = None
    try:
        import uvloop  # noqa: PLC0415 (not on every platform)
    except ImportError:
        pass
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        kind = SmtpReceiver if chosen.kind == "smtp" else PushReceiver
        runner.run(_serve(kind(chosen.host, chosen.port)))


if __name__ == "__main__":
    main()
