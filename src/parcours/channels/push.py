"""Push notifications by HTTP POST to a provider, or to a gateway of one's own in front of FCM and APNs."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import msgspec

from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Delivery

_ANSWER_BYTES: Final = 2_048
_LONGEST_WISH: Final = 86_400.0
_SUCCESS: Final = range(200, 300)
_CLIENT_ERROR: Final = range(400, 500)
_TEMPORARY: Final = frozenset({401, 407, 408, 425, 429})
"""Client errors that another try may mend: too early, too much, or a token (ours, not the message's) to be renewed."""


class _Request(msgspec.Struct, omit_defaults=True):
    message_id: str
    to: str
    title: str
    body: str
    url: str = ""
    image: str = ""


def retry_after_of(value: str | None) -> float:
    """Read `Retry-After`, seconds or a date (RFC 9110, 10.2.3): 0 when there is none to be read, a day at the most."""
    if not value:
        return 0.0
    if value.isascii() and value.isdigit():
        return min(_LONGEST_WISH, float(value[:9]))
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if until.tzinfo is None:  # written with -0000
        until = until.replace(tzinfo=UTC)
    return min(_LONGEST_WISH, max(0.0, (until - datetime.now(UTC)).total_seconds()))


class HttpPushChannel:
    """Sends push notifications by HTTP; a `ports.Channel`.

    Each one is a POST of JSON, `{"message_id", "to", "title", "body", "url"?, "image"?}`, with
    `Authorization: Bearer` and an `Idempotency-Key` that holds the delivery's id, by which a provider can tell a
    repeat. Connections are kept open and used again.

    Args:
        url: Where to post to.
        token: The bearer token; empty sends none.
        connections: How many requests may be on their way at a time.
        timeout: Seconds for a whole request, waiting for a free connection included.
        connect_timeout: Seconds to open a connection.

    Raises:
        ValueError: `url` is no absolute HTTP URL, or the token cannot be written in a header.
    """

    def __init__(
        self, url: str, token: str, *, connections: int = 64, timeout: float = 30.0, connect_timeout: float = 5.0
    ) -> None:
        if not url.startswith(("http://", "https://")):
            # It may hold a secret, so it is not repeated; nor is it below.
            raise ValueError("url: it does not begin with http:// or https://")
        if not (token.isascii() and token.isprintable()):
            raise ValueError("token: a header can hold printable ASCII only")
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=connect_timeout)
        self._encoder = msgspec.json.Encoder()
        self._session: aiohttp.ClientSession | None = None

    async def send(self, delivery: Delivery) -> None:
        """Post a notification; returning means the provider has accepted it.

        `content` has `title` and `body`, and may have `url` and `image`.

        Raises:
            TemporaryFailureError: The provider cannot be reached, is too slow, or answers 429, 5xx, 3xx (the URL is
                out of date), 401 or 407 (the token is), 408 or 425. `retry_after` is what it asked for, in seconds.
            PermanentFailureError: It answers any other 4xx; the message quotes the beginning of its answer.
        """
        content = delivery.content
        if not (delivery.id.isascii() and delivery.id.isprintable()):
            raise PermanentFailureError(f"the id {delivery.id[:100]!r} cannot be written in a header")
        request = _Request(
            message_id=delivery.id,
            to=delivery.address,
            title=content.get("title", ""),
            body=content.get("body", ""),
            url=content.get("url", ""),
            image=content.get("image", ""),
        )
        try:
            body = self._encoder.encode(request)
        except UnicodeEncodeError as error:
            raise PermanentFailureError(f"the notification is no valid text: {error}") from error
        try:
            async with self._open().post(
                self._url, data=body, headers={"Idempotency-Key": delivery.id}, allow_redirects=False
            ) as response:
                status = response.status
                # A connection is used again only when the answer was read to its end; an endless one is cut off.
                answer = b""
                while len(answer) < _ANSWER_BYTES and (piece := await response.content.read(_ANSWER_BYTES)):
                    answer += piece
                retry_after = response.headers.get("Retry-After")
        except TimeoutError as error:
            raise TemporaryFailureError("the push provider did not answer in time") from error
        except aiohttp.InvalidURL:
            raise TemporaryFailureError("the url of the push provider cannot be read") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryFailureError(f"the push provider cannot be reached: {error}") from error
        if status in _SUCCESS:
            return
        said = (
            f"the push provider answered {status} {' '.join(answer.decode('utf-8', 'replace').split())[:200]}".strip()
        )
        if status in _CLIENT_ERROR and status not in _TEMPORARY:
            raise PermanentFailureError(said)
        raise TemporaryFailureError(said, retry_after=retry_after_of(retry_after))

    def _open(self) -> aiohttp.ClientSession:
        # Made here because a session belongs to the running event loop, and a channel is made before there is one.
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection; requests on their way fail."""
        if self._session is not None:
            await self._session.close()
