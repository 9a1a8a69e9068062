"""Calls of other services: HTTP requests that steps of journeys make, and what is answered.

Who writes a journey chooses where a call goes, so it must not reach what only this machine can: the address of the host
is looked at after it was resolved, for every redirect anew, and connected to as it was looked at.

| address                                                           | called                          |
|-------------------------------------------------------------------|---------------------------------|
| one of the internet                                               | yes                             |
| private, loopback, link-local, shared, reserved, multicast        | only if the host is allowed     |
| an IPv6 address with one of these in it (mapped, 6to4, NAT64)     | only if the host is allowed     |

| answer                                  | is                                                                |
|-----------------------------------------|-------------------------------------------------------------------|
| 2xx                                     | an answer                                                         |
| 301, 302, 303 to a GET; 307, 308        | followed, up to 3 times, without the headers that are for the host |
| the same to another host, with a body that holds a secret | a failure for good                              |
| 408, 425, 429, 5xx; none in time        | a failure that another try may mend                               |
| any other                               | a failure for good                                                |
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from parcours.channels.push import retry_after_of
from parcours.channels.signing import signed
from parcours.core.checks import too_deep
from parcours.core.codec import UNENCODABLE, encode
from parcours.definitions.steps import PORTS
from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Answer, Delivery

LARGEST_ANSWER: Final = 16_384
"""Bytes of an answer that are kept; of a larger one, nothing is."""

_REDIRECTS: Final = 3
_SUCCESS: Final = range(200, 300)
_MOVED: Final = frozenset({301, 302, 303})
_KEPT: Final = frozenset({307, 308})
_TEMPORARY: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500
_EVERYWHERE: Final = frozenset({"accept", "accept-language", "content-type", "user-agent", "idempotency-key"})
"""Headers that are no secret between us and one host."""

_EMBEDDED: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
_LINE_BREAKS: Final = re.compile(r"[\r\n]+")


class _RefusedAddressError(OSError):
    """An address that may not be called."""


def is_public(address: str) -> bool:
    """Return whether an address is one of the internet, and leads nowhere else."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in network for network in _EMBEDDED):
            return False
    return ip.is_global and not ip.is_multicast


class _Resolver(AbstractResolver):
    """Resolves names to those of their addresses that may be called."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._resolver = aiohttp.DefaultResolver()
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if _is_allowed(host, port, self._allowed):
            return found
        public = [one for one in found if is_public(one["host"])]
        if not public:
            raise _RefusedAddressError(f"{host} is an address of a private network")
        return public

    async def close(self) -> None:
        await self._resolver.close()


def _is_allowed(host: str, port: int, allowed: frozenset[str]) -> bool:
    name = host.lower().strip("[]")
    return name in allowed or f"{name}:{port}" in allowed


class WebhookChannel:
    """Calls webhooks; a `ports.Channel` whose deliveries are answered.

    Args:
        allow: Hosts, with or without a port, that may be called although they are in a private network.
        connections: How many calls may be on their way at a time.
        clock: Returns the seconds since 1970 that calls are signed with.
    """

    def __init__(
        self, allow: Iterable[str] = (), *, connections: int = 64, clock: Callable[[], float] = time.time
    ) -> None:
        self._allowed = frozenset(allow)
        self._connections = connections
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def send(self, delivery: Delivery) -> Answer:
        """Make a call and return what was answered.

        The address is the URL; `content` has `method`, `timeout` in seconds, `headers` as JSON, and may have a `body`,
        and with `sign` the text of the secret that it is signed with.

        Raises:
            TemporaryFailureError: Nothing was answered in time, or what another try may mend.
            PermanentFailureError: The URL may not be called, or the service refused.
        """
        content = delivery.content
        headers = {"User-Agent": "parcours", "Idempotency-Key": delivery.id}
        headers |= {
            name: _LINE_BREAKS.sub(" ", value)
            for name, value in msgspec.json.decode(content["headers"], type=dict[str, str]).items()
        }
        body = content["body"].encode() if "body" in content else None
        if "sign" in content:
            headers |= signed(content["sign"], delivery.id, int(self._clock()), body or b"")
        bound = body is not None and any(text in content["body"] for text in delivery.private)
        within = aiohttp.ClientTimeout(total=float(content["timeout"]))
        try:
            return await self._call(
                content["method"], _LINE_BREAKS.sub("", delivery.address), headers, body, within, bound=bound
            )
        except TimeoutError:
            raise TemporaryFailureError("there was no answer in time") from None
        except (aiohttp.InvalidURL, ValueError) as error:
            raise PermanentFailureError(f"the call cannot be made: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            refused = error.__cause__ if isinstance(error.__cause__, _RefusedAddressError) else error
            if isinstance(refused, _RefusedAddressError):
                raise PermanentFailureError(str(refused)) from None
            raise TemporaryFailureError(f"the service cannot be reached: {error}") from None

    async def _call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        within: aiohttp.ClientTimeout,
        *,
        bound: bool,
    ) -> Answer:
        for _ in range(_REDIRECTS + 1):
            self._look_at(url)
            async with self._open().request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=within,
                allow_redirects=False,
            ) as response:
                status, place = response.status, response.headers.get("Location")
                said = await _said(response)
                retry_after = retry_after_of(response.headers.get("Retry-After"))
            if place is None or not (status in _KEPT or (status in _MOVED and method == "GET")):
                return _judged(Answer(status, said), retry_after)
            ahead = urljoin(url, place)
            if _origin(ahead) != _origin(url):
                if bound:
                    raise PermanentFailureError("the service sends to another host, which may not have the secret")
                headers = {name: value for name, value in headers.items() if name.lower() in _EVERYWHERE}
            url = ahead
        raise PermanentFailureError("the service sends from one place to another without end")

    def _look_at(self, url: str) -> None:
        """Refuse addresses that are written into the URL, for nobody resolves them."""
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, 0)
        if parts.scheme not in PORTS or not host:
            # It is not repeated: a part of a secret would not be known as one.
            raise PermanentFailureError(
                "this is no URL that can be called: it has to have http:// or https:// and a host"
            )
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            # Also 127.1 and 0x7f.1, which a resolver reads as addresses: it is asked, and its answer looked at.
            return
        if not is_public(host) and not _is_allowed(host, port, self._allowed):
            raise _RefusedAddressError(f"{host} is an address of a private network")

    def _open(self) -> aiohttp.ClientSession:
        # Made here because a session belongs to the running event loop, and a channel is made before there is one.
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections, keepalive_timeout=30.0, resolver=_Resolver(self._allowed), ttl_dns_cache=10
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection; calls on their way fail."""
        if self._session is not None:
            await self._session.close()


async def _said(response: aiohttp.ClientResponse) -> Any:
    """Return the body of an answer: JSON as what it says, other text as it is; None where it is too large to be kept."""
    body = b""
    while piece := await response.content.read(LARGEST_ANSWER + 1 - len(body)):
        body += piece
        if len(body) > LARGEST_ANSWER:
            response.close()
            return None
    try:
        said = msgspec.json.decode(body)
        encode(said)
    except (msgspec.DecodeError, *UNENCODABLE):
        text = body.decode("utf-8", "replace").replace("\0", "")
        return text or None
    return None if too_deep({"body": said}) else said


def _judged(answer: Answer, retry_after: float) -> Answer:
    if answer.status in _SUCCESS:
        return answer
    said = f"the service answered {answer.status}"
    if answer.status in _TEMPORARY or answer.status >= _SERVER_ERROR:
        raise TemporaryFailureError(said, retry_after=retry_after, answer=answer)
    raise PermanentFailureError(said, answer=answer)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
