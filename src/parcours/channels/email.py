"""E-mail by SMTP, with a small pool of open connections."""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import ipaddress
import re
import ssl
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, formataddr
from typing import Final, Literal, NamedTuple, get_args

from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPStatus
from email_validator import EmailNotValidError, validate_email

from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Delivery

TlsMode = Literal["starttls", "implicit", "opportunistic", "none"]
"""`starttls` and `implicit` (port 465) require TLS, `opportunistic` takes it when offered, `none` never does."""

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9.-]+")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9._~-]{1,200}")
_LINE_BREAKS = re.compile(r"[\r\n]+")
_HIGH_BYTES: Final = bytes(range(128, 256))
_WORD_BYTES: Final = 45
"""So many bytes in base64 and `=?utf-8?b??=` around them stay within the 75 characters of RFC 2047."""
_BOUNDARY: Final = "=_parcours"
"""Neither base64 nor quoted-printable can contain `=_`, so no text can contain the boundary (RFC 2045, 6.7)."""
_ADDRESS_LENGTH: Final = 254
_UNFOLDED_LENGTH: Final = 200
_CLOSE_SECONDS: Final = 5.0
_PERMANENT: Final = range(500, 600)
_NOT_THE_MESSAGE: Final = frozenset({530, 534, 535, 538})
"""Permanent replies that are about our login: the message can go once that is mended."""


class _Mailbox(NamedTuple):
    name: str
    address: str
    utf8: bool
    """Whether only a server with SMTPUTF8 (RFC 6531) can take the address."""

    def header(self) -> str:
        if not self.name:
            return self.address
        if _is_plain(self.name):
            return formataddr((self.name, self.address))
        return f"{_words(self.name)} <{self.address}>"


def _mailbox(text: str) -> _Mailbox | None:
    """Read `address` or `Name <address>`; None when it is neither."""
    text = text.strip()
    name, address = "", text
    if text.endswith(">"):
        name, _, address = text[:-1].rpartition("<")
        name = _LINE_BREAKS.sub(" ", name.strip().strip('"'))
    if len(address) > _ADDRESS_LENGTH:
        return None
    # The full check takes 40 µs and nearly every address is this plain.
    if _PLAIN_ADDRESS.fullmatch(address):
        return _Mailbox(name, address, utf8=False)
    try:
        valid = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return None
    return _Mailbox(name, valid.ascii_email or valid.normalized, utf8=valid.ascii_email is None)


_cached_mailbox = functools.lru_cache(maxsize=256)(_mailbox)


def _is_plain(text: str) -> bool:
    """Tell whether a header can hold the text as it is: short, printable ASCII that looks like no encoded word."""
    return text.isascii() and text.isprintable() and len(text) <= _UNFOLDED_LENGTH and "=?" not in text


def _words(text: str) -> str:
    """Write any text as encoded words (RFC 2047), folded. `email.header.Header` takes 70 times as long."""
    data = text.encode("utf-8", "replace")
    words: list[str] = []
    start = 0
    while start < len(data):
        end = min(start + _WORD_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # noqa: PLR2004 (UTF-8: within a character)
            end -= 1
        words.append(f"=?utf-8?b?{base64.b64encode(data[start:end]).decode()}?=")
        start = end
    return "\r\n ".join(words)


def _part(kind: str, text: str) -> str:
    """Return one body part, its headers first, in whichever encoding is shorter."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        text += "\n"
    data = text.replace("\n", "\r\n").encode("utf-8", "replace")
    plain = len(data.translate(None, _HIGH_BYTES))
    if 2 * (len(data) - plain) < 0.37 * len(data):
        encoding, body = "quoted-printable", binascii.b2a_qp(data, istext=True)
    else:
        encoding, body = "base64", base64.encodebytes(data).replace(b"\n", b"\r\n")
    return f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body.decode()}'


class _Mail(NamedTuple):
    recipient: str
    utf8: bool
    data: bytes


class _DroppedError(TemporaryFailureError):
    """The server had hung up before it was offered the mail."""


def _refusal(code: int, text: str) -> TemporaryFailureError | PermanentFailureError:
    said = f"the mail server answered {code} {' '.join(text.split())[:300]}"
    if code in _PERMANENT and code not in _NOT_THE_MESSAGE:
        return PermanentFailureError(said)
    return TemporaryFailureError(said)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SmtpChannel:
    """Sends e-mail through one mail server; a `ports.Channel`.

    Connections are opened when they are needed, at most `connections` at a time, kept for the next mails, and closed
    after `idle_seconds` without one. A connection that the server has closed meanwhile is replaced without anybody
    noticing. A mail carries its delivery's id as `Message-ID: <id@domain>` and as `X-Parcours-Message`.

    Args:
        host: The mail server's name or address.
        port: Its port: usually 587, with `tls="implicit"` 465, for a relay in the house 25.
        sender: `address` or `Name <address>`: the envelope sender, to which bounces go, and the `From` of mails whose
            content has no `from` of its own.
        username: Who logs in; empty for no login.
        password: The password of `username`.
        tls: See `TlsMode`.
        tls_context: For a certificate authority or a client certificate of one's own.
        connections: How many mails may be on their way at a time.
        timeout: Seconds to wait for each answer of the server.
        idle_seconds: Seconds after which an unused connection is closed.
        local_hostname: The name to greet the server with; asked of the system by default.

    Raises:
        ValueError: A setting is of no use: an unknown TLS mode, no address in `sender`, a password that would be sent
            over the network in the clear.
    """

    def __init__(  # noqa: PLR0913 (one for each setting)
        self,
        host: str,
        port: int,
        sender: str,
        *,
        username: str = "",
        password: str = "",
        tls: TlsMode = "starttls",
        tls_context: ssl.SSLContext | None = None,
        connections: int = 8,
        timeout: float = 60.0,
        idle_seconds: float = 30.0,
        local_hostname: str | None = None,
    ) -> None:
        mailbox = _mailbox(sender)
        if mailbox is None:
            raise ValueError(f"sender: {sender!r} is neither an address nor a name with an <address>")
        if tls not in get_args(TlsMode):
            raise ValueError(f"tls: {tls!r} is none of {', '.join(get_args(TlsMode))}")
        if username and tls in ("none", "opportunistic") and not _is_loopback(host):
            raise ValueError(f"tls: {tls!r} would send the password in the clear; use 'starttls' or 'implicit'")
        if connections < 1:
            raise ValueError("connections: at least one is needed")
        self._host = host
        self._port = port
        self._sender = mailbox
        self._domain = mailbox.address.rpartition("@")[2]
        self._username = username
        self._password = password
        self._tls = tls
        self._tls_context = tls_context
        self._timeout = timeout
        self._idle_seconds = idle_seconds
        self._local_hostname = local_hostname
        self._slots = asyncio.Semaphore(connections)
        # The one used last is taken first, so that those not needed grow old.
        self._idle: deque[tuple[float, SMTP]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._partings: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, delivery: Delivery) -> None:
        """Hand a mail to the server; returning means the server has accepted it.

        `content` may have `subject`, `text`, `html`, `from` and `reply_to`.

        Raises:
            TemporaryFailureError: The server cannot be reached, is too slow, refuses our login, or answers 4xx.
            PermanentFailureError: The server answers 5xx, or there is no way to write such an address.
        """
        mail = self._write(delivery)
        async with self._slots:
            kept = self._take()
            if kept is not None:
                try:
                    await self._hand_over(kept, mail)
                except _DroppedError:
                    pass  # it went stale in the pool, which says nothing about the server
                else:
                    return
            await self._hand_over(await self._connect(), mail)

    async def close(self) -> None:
        """Say goodbye on every connection; those still sending close when they are done."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._part_with(self._idle.pop()[1])
        if self._partings:
            await asyncio.wait(self._partings)

    def _write(self, delivery: Delivery) -> _Mail:
        """Write the mail. By hand: `email.message.EmailMessage` needs 2.5 ms for what takes 30 µs here."""
        if not _MESSAGE_ID.fullmatch(delivery.id):
            raise PermanentFailureError(f"the id {delivery.id[:100]!r} cannot be written in a header")
        recipient = _mailbox(delivery.address)
        if recipient is None or recipient.name:
            raise PermanentFailureError(f"{delivery.address[:300]!r} is not an e-mail address")
        content = delivery.content
        author = self._author(content, "from") or self._sender
        reply_to = self._author(content, "reply_to")
        subject = _LINE_BREAKS.sub(" ", content.get("subject", "")).strip()
        lines = [
            f"From: {author.header()}",
            f"To: {recipient.address}",
            f"Subject: {subject if _is_plain(subject) else _words(subject)}",
            f"Date: {format_datetime(datetime.now(UTC))}",
            f"Message-ID: <{delivery.id}@{self._domain}>",
            f"X-Parcours-Message: {delivery.id}",
            "MIME-Version: 1.0",
        ]
        if reply_to is not None:
            lines.append(f"Reply-To: {reply_to.header()}")
        text, html = content.get("text"), content.get("html")
        if text is None or html is None:
            body = _part("plain", text or "") if html is None else _part("html", html)
        else:
            start = f"\r\n--{_BOUNDARY}\r\n"
            body = (
                f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"\r\n'
                f"{start}{_part('plain', text)}{start}{_part('html', html)}\r\n--{_BOUNDARY}--\r\n"
            )
        lines.append(body)
        utf8 = recipient.utf8 or author.utf8 or self._sender.utf8 or (reply_to is not None and reply_to.utf8)
        return _Mail(recipient.address, utf8, "\r\n".join(lines).encode())

    def _author(self, content: Mapping[str, str], field: str) -> _Mailbox | None:
        text = content.get(field)
        if not text:
            return None
        mailbox = _cached_mailbox(text)
        if mailbox is None:
            raise PermanentFailureError(f"{field}: {text[:300]!r} is neither an address nor a name with an <address>")
        return mailbox

    async def _connect(self) -> SMTP:
        if self._closed:
            raise TemporaryFailureError("the channel is closed")
        connection = SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username or None,
            password=self._password if self._username else None,
            timeout=self._timeout,
            use_tls=self._tls == "implicit",
            start_tls={"starttls": True, "opportunistic": None}.get(self._tls, False),
            tls_context=self._tls_context,
            local_hostname=self._local_hostname,
        )
        try:
            await connection.connect()
            if connection.is_ehlo_or_helo_needed:
                await connection.ehlo()
        except SMTPResponseException as error:
            connection.close()
            # Whatever the code: it is not about the message, so the message must not be given up.
            raise TemporaryFailureError(
                f"the mail server at {self._host}:{self._port} does not let us in: {error.code} {error.message[:300]}"
            ) from error
        except (SMTPException, OSError) as error:
            connection.close()
            raise TemporaryFailureError(f"no connection to the mail server: {error}") from error
        except BaseException:
            connection.close()
            raise
        # Not asked again for the next connection: the system may need a slow name server to answer.
        self._local_hostname = connection.local_hostname
        return connection

    async def _hand_over(self, connection: SMTP, mail: _Mail) -> None:
        """Send one mail, then keep the connection, or close it when its state is not known."""
        try:
            await self._transact(connection, mail)
        except (PermanentFailureError, TemporaryFailureError):
            await self._recover(connection)
            raise
        except BaseException:
            # Cancelled: the answer that is still to come must not be taken for the next mail's.
            connection.close()
            raise
        self._keep(connection)

    async def _transact(self, connection: SMTP, mail: _Mail) -> None:
        options: tuple[bytes, ...] = ()
        if mail.utf8:
            if not connection.supports_extension("smtputf8"):
                raise PermanentFailureError(f"the mail server does not take addresses such as {mail.recipient!r}")
            options = (b"SMTPUTF8", b"BODY=8BITMIME")
        offered = False
        try:
            reply = await connection.execute_command(b"MAIL", f"FROM:<{self._sender.address}>".encode(), *options)
            if reply.code == SMTPStatus.domain_unavailable:
                raise _DroppedError(f"the mail server closes the connection: {reply.message[:300]}")
            offered = True
            if reply.code == SMTPStatus.completed:
                reply = await connection.execute_command(b"RCPT", f"TO:<{mail.recipient}>".encode())
            if reply.code not in (SMTPStatus.completed, SMTPStatus.will_forward):
                raise _refusal(reply.code, reply.message)
            await connection.data(mail.data)
        except SMTPResponseException as error:
            raise _refusal(error.code, error.message) from error
        except (SMTPException, OSError) as error:
            if not offered and isinstance(error, ConnectionError):
                raise _DroppedError(f"the mail server closed the connection: {error}") from error
            raise TemporaryFailureError(f"the mail server: {error}") from error

    async def _recover(self, connection: SMTP) -> None:
        """Make a connection fit for the next mail: one that was accepted ends its transaction, a refusal does not."""
        try:
            if connection.is_connected:
                await connection.rset()
                self._keep(connection)
        except (SMTPException, OSError):
            connection.close()
        except BaseException:
            connection.close()
            raise

    def _take(self) -> SMTP | None:
        while self._idle:
            _, connection = self._idle.pop()
            if connection.is_connected:
                return connection
        return None

    def _keep(self, connection: SMTP) -> None:
        if not connection.is_connected:
            return
        if self._closed:
            self._part_with(connection)
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), connection))
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_seconds, self._close_idle)

    def _close_idle(self) -> None:
        """Close what has not been used for long enough, and look again when the next one may be due."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0][0] + self._idle_seconds <= loop.time():
            self._part_with(self._idle.popleft()[1])
        if self._idle:
            self._sweep = loop.call_at(self._idle[0][0] + self._idle_seconds, self._close_idle)

    def _part_with(self, connection: SMTP) -> None:
        task = asyncio.ensure_future(_say_goodbye(connection))
        self._partings.add(task)  # the loop itself keeps tasks by weak references only
        task.add_done_callback(self._partings.discard)


async def _say_goodbye(connection: SMTP) -> None:
    try:
        if connection.is_connected:
            await connection.quit(timeout=_CLOSE_SECONDS)
    except (SMTPException, OSError):
        pass  # it wanted to leave anyway
    finally:
        connection.close()
