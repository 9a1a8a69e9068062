"""Calls of webhooks, over HTTP to a server on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from parcours.channels import webhook as webhook_module
from parcours.channels.webhook import LARGEST_ANSWER, WebhookChannel, is_public
from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Answer, Delivery
from parcours.wiring import allowed_hosts

Serve = Callable[[web.Request], Any]


class Server:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[web.Request, bytes]] = []
        self.answers: list[web.Response] = []
        self.slow = asyncio.Event()
        self.slow.set()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append((request, await request.read()))
        await self.slow.wait()
        return self.answers.pop(0) if self.answers else web.json_response({"ok": True})

    @property
    def port(self) -> int:
        assert self.server.port is not None
        return self.server.port

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.server.start_server()
    yield server
    server.slow.set()
    await server.server.close()


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[WebhookChannel]:
    channel = WebhookChannel([f"127.0.0.1:{server.port}"])
    yield channel
    await channel.close()


def call(url: str, method: str = "POST", within: float = 5, body: str | None = "{}", **headers: str) -> Delivery:
    content = {"method": method, "timeout": str(within), "headers": msgspec.json.encode(headers).decode()}
    if body is not None:
        content["body"] = body
    return Delivery(id="0123456789ab-1", channel="webhook", address=url, content=content)


async def test_a_call_and_its_answer(server: Server, channel: WebhookChannel):
    server.answers.append(web.json_response({"price": 7}, status=201))
    answer = await channel.send(call(server.url("/a b?x=ü"), body='{"a": "ü"}', **{"X-Key": "s\r\nX-Evil: 1"}))
    assert answer == Answer(201, {"price": 7})
    ((request, body),) = server.requests
    assert (request.method, request.path, request.query["x"], body) == ("POST", "/a b", "ü", '{"a": "ü"}'.encode())
    assert request.headers["Idempotency-Key"] == "0123456789ab-1"
    assert request.headers["X-Key"] == "s X-Evil: 1"
    assert "X-Evil" not in request.headers


@pytest.mark.parametrize(
    "said, kept",
    [
        (b"", None),
        (b"thanks", "thanks"),
        (b"[1, 2]", [1, 2]),
        (b"18446744073709551616", "18446744073709551616"),  # no state holds this number
        (b"\xff\x00", "\ufffd"),
        (b"[" * 100 + b"]" * 100, None),
        (b'"' + b"x" * LARGEST_ANSWER + b'"', None),
    ],
)
async def test_what_is_kept_of_an_answer(server: Server, channel: WebhookChannel, said: bytes, kept: object):
    server.answers.append(web.Response(body=said))
    assert await channel.send(call(server.url())) == Answer(200, kept)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_answers_that_another_try_may_mend(server: Server, channel: WebhookChannel, status: int):
    server.answers.append(web.json_response({"why": "busy"}, status=status, headers={"Retry-After": "7"}))
    with pytest.raises(TemporaryFailureError) as caught:
        await channel.send(call(server.url()))
    assert (caught.value.retry_after, caught.value.answer) == (7, Answer(status, {"why": "busy"}))


@pytest.mark.parametrize("status", [304, 400, 401, 404, 410])
async def test_answers_that_are_final(server: Server, channel: WebhookChannel, status: int):
    server.answers.append(web.Response(status=status))
    with pytest.raises(PermanentFailureError, match=str(status)) as caught:
        await channel.send(call(server.url()))
    assert caught.value.answer == Answer(status, None)


async def test_no_answer_in_time(server: Server, channel: WebhookChannel):
    server.slow.clear()
    with pytest.raises(TemporaryFailureError, match="in time"):
        await channel.send(call(server.url(), within=0.05))


async def test_nobody_there(channel: WebhookChannel, server: Server):
    url = server.url()
    await server.server.close()
    with pytest.raises(TemporaryFailureError, match="cannot be reached"):
        await channel.send(call(url))


# --- where it may go ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::"),
        *("localhost", "x", ""),
    ],
)
def test_addresses_that_are_not_of_the_internet(address: str):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet(address: str):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
async def test_this_machine_is_not_called(server: Server, host: str):
    channel = WebhookChannel()
    with pytest.raises(PermanentFailureError, match=r"private network|not a canonical"):
        await channel.send(call(server.url(host=host)))
    assert server.requests == []
    await channel.close()


async def test_a_name_is_looked_at_once_it_is_resolved(server: Server, monkeypatch: pytest.MonkeyPatch):
    """Whatever a name server says, also another thing each time, what is connected to was looked at."""
    asked: list[str] = []

    class Rebinding:
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
            asked.append(host)
            return [
                {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
                for address in ("127.0.0.1", "10.0.0.1")
            ]

        async def close(self) -> None:
            pass

    monkeypatch.setattr(webhook_module.aiohttp, "DefaultResolver", Rebinding)
    channel = WebhookChannel()
    with pytest.raises(PermanentFailureError, match="private network"):
        await channel.send(call(server.url(host="innocent.example")))
    await channel.close()
    allowed = WebhookChannel(["innocent.example"])
    assert (await allowed.send(call(server.url(host="innocent.example")))).status == 200
    await allowed.close()
    assert asked == ["innocent.example", "innocent.example"]
    assert len(server.requests) == 1


async def test_another_port_of_an_allowed_host_is_not_allowed(server: Server, channel: WebhookChannel):
    with pytest.raises(PermanentFailureError, match="private network"):
        await channel.send(call(f"http://127.0.0.1:{server.port + 1}/"))


async def test_redirects_are_looked_at_like_anything_else(server: Server, channel: WebhookChannel):
    server.answers.append(web.Response(status=307, headers={"Location": "http://169.254.169.254/latest/meta-data"}))
    with pytest.raises(PermanentFailureError, match="private network"):
        await channel.send(call(server.url()))
    server.answers.append(web.Response(status=307, headers={"Location": "file:///etc/passwd"}))
    with pytest.raises(PermanentFailureError, match="no URL"):
        await channel.send(call(server.url()))


async def test_redirects_are_followed_as_their_kind_allows(server: Server, channel: WebhookChannel):
    server.answers.append(web.Response(status=308, headers={"Location": "/there"}))
    assert (await channel.send(call(server.url(), body="x", Authorization="secret"))).status == 200
    (_, first), (there, second) = server.requests
    assert (there.method, there.path, first, second) == ("POST", "/there", b"x", b"x")
    assert there.headers["Authorization"] == "secret"
    server.answers.append(web.Response(status=302, headers={"Location": "/there"}))
    with pytest.raises(PermanentFailureError, match="302"):
        await channel.send(call(server.url()))
    server.answers.append(web.Response(status=302, headers={"Location": "/there"}))
    assert (await channel.send(call(server.url(), method="GET", body=None))).status == 200
    server.answers += [web.Response(status=307, headers={"Location": "/round"}) for _ in range(9)]
    with pytest.raises(PermanentFailureError, match="without end"):
        await channel.send(call(server.url()))


async def test_secrets_do_not_follow_to_another_host(server: Server):
    other = Server()
    await other.server.start_server()
    channel = WebhookChannel(["127.0.0.1"])
    server.answers.append(web.Response(status=307, headers={"Location": other.url()}))
    await channel.send(call(server.url(), Authorization="secret", **{"X-Api-Key": "secret", "Content-Type": "a/b"}))
    ((request, _),) = other.requests
    assert "Authorization" not in request.headers
    assert "X-Api-Key" not in request.headers
    assert request.headers["Content-Type"] == "a/b"
    await channel.close()
    await other.server.close()


def test_the_setting_names_hosts():
    assert allowed_hosts(" crm.internal, 10.0.0.7:8080,[::1]:80 ,") == {"crm.internal", "10.0.0.7:8080", "::1:80"}
    for wrong in ("http://crm.internal", "a/b", "user@host", "host:port"):
        with pytest.raises(ValueError, match=r"port|webhook_allow|Port"):
            allowed_hosts(wrong)
