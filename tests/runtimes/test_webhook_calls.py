"""Webhooks from a step to a server and back: called at least once, answered durably, the token moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from parcours.channels.render import Renderer
from parcours.channels.webhook import WebhookChannel
from parcours.core.figures import figures
from parcours.core.gate import Arrival, Happened, Learned
from parcours.core.inputs import Reaction
from parcours.definitions.message import WEBHOOK
from parcours.runtimes import outbox as outbox_module
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine, folding
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from tests.core.world import END, journey, wait
from tests.runtimes.waiting import until

ANN = (("user_id", "ann"),)


class Service:
    """A web service that answers with what is in `answers`, then with a price."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[web.Response] = []
        self.gate = asyncio.Event()
        self.gate.set()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((f"{request.method} {request.path_qs}", dict(request.headers), body.decode()))
        await self.gate.wait()
        return self.answers.pop(0) if self.answers else web.json_response({"price": 7})


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 0.001)
    service = Service()
    await service.server.start_server()
    yield service
    await service.server.close()


async def host_on(store: Any, *, allow: str = "127.0.0.1") -> Embedded:
    channel, renderer = WebhookChannel([allow]), Renderer()
    host = Embedded(Engine(store, SystemClock()), {WEBHOOK: channel}, renderer.render, renderer.check, renderer.names)
    await host.start()
    return host


def calling(service: Service, **more: Any) -> dict[str, Any]:
    call = {
        "type": "webhook",
        "url": f"http://127.0.0.1:{service.server.port}/offers/{{{{ contact.id }}}}?sku={{{{ interaction.sku | url_encode }}}}",
        "headers": {"X-Who": "{{ contact.name }}"},
        "body": {"order": {"sku": "{{ interaction.sku }}", "tags": ["a", "{{ run.key }}"]}, "count": 2},
        "save": "offer",
        "next": "ask",
        "failed": "lost",
        **more,
    }
    ask = {"type": "decision", "if": {"run": "offer.body.price", "is": 7}, "then": "cheap", "else": "dear"}
    pause = {name: wait("30d", next="end") for name in ("cheap", "dear", "lost")}
    return journey({"call": call, "ask": ask, **pause, "end": END}, entry={"key": "order"})


async def goes(host: Embedded, definition: dict[str, Any]) -> str:
    errors, _ = await host.publish([definition])
    assert errors == []
    happened = Happened("Go", {"sku": 'a "b"&c', "order": "o1"})
    await host.submit([Arrival("test", "known", ANN, Learned({"name": "Änn"})), Arrival("test", "goes", ANN, happened)])
    return host.engine.store.resolve([("user_id", "ann")])["user_id", "ann"]


def standing(host: Embedded, contact: str) -> str:
    runs = host.engine.store.contacts([contact])[contact].runs.get("j", {})
    return next(token.step for run in runs.values() for token in run.tokens)


def failed(host: Embedded) -> dict[str, int]:
    plan = host.engine.plan
    return figures(plan.journeys["j"].values(), host.engine.store.statistics()).steps[0].failed


async def test_a_call_its_answer_and_where_the_token_goes(service: Service):
    host = await host_on(MemoryStore())
    contact = await goes(host, calling(service))
    await until(lambda: standing(host, contact) == "cheap")
    ((line, headers, body),) = service.asked
    assert line == f"POST /offers/{contact}?sku=a+%22b%22%26c"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Who"].encode("utf-8", "surrogateescape").decode() == "Änn"
    assert msgspec.json.decode(body) == {"order": {"sku": 'a "b"&c', "tags": ["a", "o1"]}, "count": 2}
    (run,) = host.engine.store.contacts([contact])[contact].runs["j"].values()
    assert run.data == {"offer": {"status": 200, "body": {"price": 7}}}
    await until(lambda: host.engine.store.outbox_counts() == {(WEBHOOK, "call", "sent"): 1})
    await host.close()


async def test_it_is_tried_again_as_often_as_is_said(service: Service):
    host = await host_on(MemoryStore())
    service.answers = [web.Response(status=503), web.Response(status=500)]
    contact = await goes(host, calling(service, retries=2))
    await until(lambda: standing(host, contact) == "cheap")
    assert len({headers["Idempotency-Key"] for _, headers, _ in service.asked}) == 1
    assert len(service.asked) == 3
    await host.close()


async def test_it_fails_when_no_try_succeeded(service: Service):
    host = await host_on(MemoryStore())
    service.answers = [web.json_response({"why": "down"}, status=503) for _ in range(2)]
    contact = await goes(host, calling(service, retries=1))
    await until(lambda: standing(host, contact) == "lost")
    (run,) = host.engine.store.contacts([contact])[contact].runs["j"].values()
    assert (run.data["offer"]["status"], run.data["offer"]["body"]) == (503, {"why": "down"})
    assert "gave up after 2 tries" in run.data["offer"]["error"]
    assert failed(host) == {"given_up": 1}
    assert len(service.asked) == 2
    await host.close()


async def test_a_refusal_is_final(service: Service):
    host = await host_on(MemoryStore())
    service.answers = [web.Response(status=404)]
    contact = await goes(host, calling(service))
    await until(lambda: standing(host, contact) == "lost")
    assert len(service.asked) == 1
    assert failed(host) == {"refused": 1}
    await host.close()


async def test_what_may_not_be_called_fails(service: Service):
    host = await host_on(MemoryStore(), allow="other.internal")
    contact = await goes(host, calling(service))
    await until(lambda: standing(host, contact) == "lost")
    (run,) = host.engine.store.contacts([contact])[contact].runs["j"].values()
    assert "private network" in run.data["offer"]["error"]
    assert service.asked == []
    await host.close()


async def test_an_answer_that_is_refused_is_a_call_that_was_made_and_a_defect_that_is_counted(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    real = folding.fold

    def fold(plan: Any, contact: Any, item: Any) -> Any:
        if isinstance(item, Reaction):
            raise KeyError("a defect of ours")
        return real(plan, contact, item)

    monkeypatch.setattr(folding, "fold", fold)
    host = await host_on(MemoryStore())
    with capture_logs() as logs:
        contact = await goes(host, calling(service))
        await until(lambda: host.engine.store.outbox_counts() == {(WEBHOOK, "call", "sent"): 1})
    assert len(service.asked) == 1
    (posted,) = host.engine.store.outbox()
    assert posted.error == "the outcome was refused: could not be processed: KeyError"
    assert [line["outcome"] for line in logs if line["event"] == "outcome_refused"] == ["answered"]
    assert host.outbox.refused == 1
    assert standing(host, contact) == "call"
    await host.close()


async def test_what_a_service_answers_for_somebody_erased_is_no_defect(service: Service):
    service.gate.clear()
    host = await host_on(MemoryStore())
    contact = await goes(host, calling(service))
    await until(lambda: len(service.asked) == 1)
    await host.erase(contact)
    service.gate.set()
    await until(lambda: not host.outbox.busy)
    assert host.engine.store.outbox_counts() == {(WEBHOOK, "call", "cancelled"): 1}
    assert (host.refused, host.outbox.refused) == (1, 0)
    await host.close()


async def test_an_answer_is_durable(service: Service, tmp_path: Path):
    store = SqliteStore(tmp_path / "a.db")
    host = await host_on(store)
    contact = await goes(host, calling(service))
    await until(lambda: standing(host, contact) == "cheap")
    await host.close()
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    again = await host_on(store)
    assert standing(again, contact) == "cheap"
    assert len(service.asked) == 1
    await again.close()
    store.close()


@pytest.mark.parametrize(
    "change, pointer, code",
    [
        ({"url": "http://x.example/{{ contact.id | url_encod }}"}, "/url", "unknown_filter"),
        ({"headers": {"X-A": "{{ contact.id"}}, "/headers/X-A", "invalid_template"),
        ({"body": {"a": [{"b": "{% fro x in y %}"}]}}, "/body/a/0/b", "invalid_template"),
        ({"body": "{% if %}"}, "/body", "invalid_template"),
    ],
)
async def test_templates_that_cannot_be_filled_are_not_published(
    service: Service, change: dict[str, Any], pointer: str, code: str
):
    host = await host_on(MemoryStore())
    errors, _ = await host.publish([calling(service, **change)])
    assert [(error.pointer, error.code) for error in errors] == [(f"/definitions/0/steps/call{pointer}", code)]
    assert host.engine.plan.journeys == {}
    await host.close()


async def test_names_that_may_be_wrong_are_told(service: Service):
    host = await host_on(MemoryStore())
    errors, warnings = await host.publish([calling(service, headers={"X-A": "{{ run.ofer.status }}"})])
    assert errors == []
    assert "/definitions/0/steps/call/headers/X-A" in {warning.pointer for warning in warnings}
    await host.close()
