"""The outbox: at least once, with retries and back-off, each channel by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from parcours.core.effects import Message, What
from parcours.core.gate import Arrival, Happened, Learned
from parcours.core.inputs import Reaction
from parcours.errors import ParcoursError, PermanentFailureError, StoreError, TemporaryFailureError
from parcours.ports import Changes, Channel, Delivery, Settlement, Store
from parcours.runtimes import embedded as embedded_module
from parcours.runtimes import outbox as outbox_module
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded, OverloadedError
from parcours.runtimes.engine import Engine, folding
from parcours.runtimes.outbox import LONGEST_PAUSE, MOST_ATTEMPTS, SENDERS, pause
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing import conformance
from parcours.testing.faults import FaultyStore
from parcours.web.telemetry import Telemetry
from tests.core.world import email, journey, push, send, to_reaction, wait_for
from tests.runtimes.waiting import Unwritable, until

MAIL = email("mail", purpose="transactional")
PING = push("ping", purpose="transactional")
BOUNCED = {
    "s": send("mail", "ping", next="w"),
    "w": wait_for(to_reaction("bounced", message="mail", next="e")),
    "e": {"type": "end"},
}


class Provider:
    """A channel that does as it is told, delivery by delivery, and accepts when it was told nothing."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.accepted: list[Delivery] = []
        self.failures: list[Exception] = []
        self.always: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = self.most = 0
        self.closed = False

    async def send(self, delivery: Delivery) -> None:
        self.tried.append(delivery.id)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)
            if self.always is not None:
                raise self.always
            self.accepted.append(delivery)
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        self.closed = True


def render(definition: Any, data: Any) -> dict[str, str]:
    if data["contact"].get("name") == "unprintable":
        raise PermanentFailureError("the template fails")
    return {"subject": f"{definition.content.get('subject', '')} {data['interaction'].get('n', '')}"}


Start = Callable[..., Any]


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Return a function that starts a host on a store; pauses are short, and everything is closed at the end."""
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(outbox_module, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(outbox_module, "PAUSE_AFTER_FAILURE", 0.01)
    monkeypatch.setattr(embedded_module, "PAUSE_AFTER_FAILURE", 0.01)
    hosts: list[Embedded] = []

    async def start(store: Store, **channels: Channel) -> Embedded:
        host = Embedded(Engine(store, SystemClock()), channels, render)
        hosts.append(host)
        await host.start()
        return host

    yield start
    for host in hosts:
        await host.close()


async def goes(host: Embedded, *people: str, name: str = "Go", **traits: Any) -> None:
    """People with addresses for both channels do something, each once."""
    if not host.engine.plan.workspace.journeys:
        errors, _ = await host.publish([MAIL, PING, journey(BOUNCED)])
        assert errors == []
    for who in people:
        identity = (("user_id", who),)
        attributes = {"email": f"{who}@parcours.dev", "push_token": who, **traits}
        known = Learned(attributes, {"email": f"{who}@parcours.dev", "push": who})
        await host.submit(
            [
                Arrival("test", f"known-{who}", identity, known),
                Arrival("test", f"goes-{who}-{name}", identity, Happened(name, {"n": who})),
            ]
        )


def states(store: Store, channel: str = "email") -> dict[str, int]:
    return {state: count for (name, _, state), count in store.outbox_counts().items() if name == channel}


# --- the table of pauses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempts, jitter, seconds",
    [
        (1, 0.0, 0.5), (1, 0.999_999, 1.0), (2, 0.0, 1.0), (2, 0.999_999, 2.0), (3, 0.0, 2.0), (4, 0.0, 4.0),
        (12, 0.0, 1_024.0), (13, 0.0, 1_800.0), (13, 0.999_999, 3_600.0), (36, 0.0, 1_800.0), (10_000, 0.0, 1_800.0),
    ],
)  # fmt: skip
def test_pauses_double_up_to_an_hour_and_are_spread(attempts: int, jitter: float, seconds: float):
    assert pause(attempts, 0.0, jitter) == pytest.approx(seconds, rel=1e-5)


def test_the_providers_own_wish_wins_when_it_is_longer():
    assert pause(1, 120.0, 0.5) == 120.0
    assert pause(1, 7_200.0, 0.5) == 7_200.0
    assert pause(12, 1.0, 0.0) == 1_024.0


@pytest.mark.parametrize("wish", [86_401.0, 1e12, float("inf")])
def test_the_providers_own_wish_ends_at_a_day(wish: float):
    assert pause(1, wish, 0.5) == 86_400.0


def test_a_message_is_given_up_after_a_day_or_so():
    shortest = sum(pause(attempt, 0.0, 0.0) for attempt in range(1, MOST_ATTEMPTS))
    longest = sum(pause(attempt, 0.0, 1.0) for attempt in range(1, MOST_ATTEMPTS))
    assert 10 * 3_600 < shortest < longest < 30 * 3_600
    assert LONGEST_PAUSE == 3_600


# --- what becomes of a try --------------------------------------------------------------------------------------------


async def test_what_the_provider_accepts_is_sent_once(start: Start):
    store, mail, ping = MemoryStore(), Provider(), Provider()
    host = await start(store, email=mail, push=ping)
    await goes(host, "ann", "bob")
    await until(lambda: states(store) == {"sent": 2} and states(store, "push") == {"sent": 2})
    assert len(mail.tried) == len(set(mail.tried)) == 2
    assert [delivery.address for delivery in mail.accepted] == ["ann@parcours.dev", "bob@parcours.dev"]
    assert [delivery.content for delivery in mail.accepted] == [{"subject": "s ann"}, {"subject": "s bob"}]
    assert (host.sent, host.failed, host.retried) == (4, 0, 0)
    assert host.outbox.busy == 0


async def test_a_temporary_failure_is_tried_again_with_the_same_id(start: Start):
    store, mail = MemoryStore(), Provider()
    mail.failures = [TemporaryFailureError("later"), TemporaryFailureError("still later", retry_after=0.002)]
    host = await start(store, email=mail)
    await goes(host, "ann")
    await until(lambda: states(store) == {"sent": 1})
    assert len(mail.tried) == 3
    assert len(set(mail.tried)) == 1
    assert (host.sent, host.retried) == (1, 2)


async def test_what_is_tried_again_is_noted_with_the_number_of_tries_and_the_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 1_000.0)
    monkeypatch.setattr(outbox_module, "LONGEST_PAUSE", 1_000.0)
    store, mail = MemoryStore(), Provider()
    mail.always = TemporaryFailureError("the mailbox is full")
    host = await start(store, email=mail)
    await goes(host, "ann")
    await until(lambda: store.pending("email")[0].attempts)
    (item,) = store.pending("email")
    assert item.attempts == 1
    assert item.error == "the mailbox is full"
    assert 400_000 < item.due - outbox_module.wall_time() < 1_000_000
    assert len(mail.tried) == 1


async def bounces(store: Store) -> list[Reaction]:
    items = [record.input() for record in store.log(limit=10_000)]
    return [item for item in items if isinstance(item, Reaction)]


def failed(store: Store) -> dict[tuple[str, str, str], int]:
    """What failed for good: journey, step and reason to how often."""
    found = store.statistics().items()
    return {(name, step, reason): count for (name, _, step, what, reason), count in found if what == What.UNDELIVERED}


async def test_a_permanent_failure_is_a_bounce_that_moves_the_run(start: Start):
    store, mail, ping = MemoryStore(), Provider(), Provider()
    mail.always = PermanentFailureError("no such user")
    host = await start(store, email=mail, push=ping)
    await goes(host, "ann")
    await until(lambda: states(store) == {"failed": 1})
    (reaction,) = await bounces(store)
    assert (reaction.reaction, reaction.message) == ("bounced", mail.tried[0])
    assert reaction.attributes == {"channel": "email", "error": "no such user"}
    assert len(mail.tried) == 1
    ended = [place for place in store.statistics() if place[3] == What.ENDED]
    assert [place[4] for place in ended] == ["finished"]
    assert failed(store) == {("j", "s", "refused"): 1}


async def test_temporary_too_often_is_a_bounce(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "MOST_ATTEMPTS", 3)
    store, mail = MemoryStore(), Provider()
    mail.always = TemporaryFailureError("later")
    host = await start(store, email=mail)
    await goes(host, "ann")
    await until(lambda: states(store) == {"failed": 1})
    assert len(mail.tried) == 3
    (reaction,) = await bounces(store)
    assert reaction.attributes["error"] == "gave up after 3 tries: later"
    assert failed(store) == {("j", "s", "given_up"): 1}


async def test_a_text_that_cannot_be_made_is_a_bounce(start: Start):
    store, mail = MemoryStore(), Provider()
    host = await start(store, email=mail)
    await goes(host, "bob")
    identity = (("user_id", "ann"),)
    known = Learned({"email": "a@b.dev", "name": "unprintable"}, {"email": "a@b.dev"})
    await host.submit([Arrival("test", "1", identity, known), Arrival("test", "2", identity, Happened("Go", {}))])
    await until(lambda: states(store) == {"failed": 1, "sent": 1})
    assert len(mail.tried) == 1
    (reaction,) = await bounces(store)
    assert "template" in reaction.attributes["error"]


async def test_a_defect_in_a_channel_costs_tries_and_neither_the_line_nor_the_others(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_module, "MOST_ATTEMPTS", 4)
    store, mail = MemoryStore(), Provider()
    mail.failures = [ZeroDivisionError("a defect"), KeyError("another")]
    host = await start(store, email=mail)
    await goes(host, "ann")
    await until(lambda: states(store) == {"sent": 1})
    mail.always = ZeroDivisionError("a defect that stays")
    await goes(host, "bob")
    await until(lambda: states(store) == {"sent": 1, "failed": 1})
    mail.always = None
    await goes(host, *(f"p{number}" for number in range(2 * SENDERS)))
    await until(lambda: states(store) == {"sent": 1 + 2 * SENDERS, "failed": 1})


@pytest.mark.parametrize("error", [StoreError("the disk is full"), OverloadedError("too much is waiting")])
async def test_a_bounce_that_cannot_be_kept_now_is_told_later_and_the_line_goes_on(
    start: Start, error: ParcoursError, monkeypatch: pytest.MonkeyPatch
):
    store, mail = MemoryStore(), Provider()
    host = await start(store, email=mail)
    mail.failures = [PermanentFailureError("no such user")] * (SENDERS + 5)
    real, refused = host.submit, [error] * (SENDERS + 5)

    async def submit(arrivals: Any) -> Any:
        if refused and arrivals[0].source == "parcours":
            raise refused.pop()
        return await real(arrivals)

    monkeypatch.setattr(host, "submit", submit)
    mail.always = PermanentFailureError("no such user")
    await goes(host, *(f"p{number}" for number in range(SENDERS + 5)))
    await until(lambda: states(store) == {"failed": SENDERS + 5})
    assert refused == []
    assert len(await bounces(store)) == SENDERS + 5


def deaf_to_reactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a defect in the fold: it fails at every reaction."""
    real = folding.fold

    def fold(plan: Any, contact: Any, item: Any) -> Any:
        if isinstance(item, Reaction):
            raise KeyError("a defect of ours")
        return real(plan, contact, item)

    monkeypatch.setattr(folding, "fold", fold)


async def test_a_bounce_that_is_refused_is_told_with_the_message_logged_and_counted(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    deaf_to_reactions(monkeypatch)
    store, mail = MemoryStore(), Provider()
    mail.always = PermanentFailureError("no such user")
    host = await start(store, email=mail)
    with capture_logs() as logs:
        await goes(host, "ann")
        await until(lambda: states(store) == {"failed": 1})
    (posted,) = (one for one in store.outbox() if one.message.channel == "email")
    assert posted.error == "no such user; the outcome was refused: could not be processed: KeyError"
    (said,) = [line for line in logs if line["event"] == "outcome_refused"]
    assert said["log_level"] == "error"
    assert {name: said[name] for name in ("channel", "message_id", "outcome", "code")} == {
        "channel": "email",
        "message_id": posted.message.id,
        "outcome": "bounced",
        "code": "internal_error",
    }
    assert host.outbox.refused == 1
    assert b"parcours_refused_outcomes_total 1.0" in Telemetry(host).text()
    assert await bounces(store) == []


async def test_giving_up_while_the_engine_is_overloaded_kills_nobody_who_sends(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    store, mail = MemoryStore(), Provider()
    host = await start(store, email=mail)
    mail.gate.clear()
    mail.always = PermanentFailureError("550 no such user")
    people = [f"p{number}" for number in range(SENDERS + 8)]
    await goes(host, *people)
    monkeypatch.setattr(embedded_module, "MOST_QUEUED", -1)
    mail.gate.set()
    await until(lambda: host.retried > 2 * SENDERS, "all of them were put off")
    assert states(store).get("failed", 0) == 0
    assert host.healthy
    monkeypatch.undo()
    await until(lambda: states(store) == {"failed": len(people)})
    assert host.healthy
    mail.always = None
    await goes(host, "ann")
    await until(lambda: states(store) == {"failed": len(people), "sent": 1})


@pytest.mark.parametrize("failure", [TemporaryFailureError("later"), ZeroDivisionError("a defect"), None])
async def test_a_log_line_that_cannot_be_written_costs_no_message(
    start: Start, failure: Exception | None, monkeypatch: pytest.MonkeyPatch
):
    store, mail = MemoryStore(), Provider()
    host = await start(store, email=mail)
    monkeypatch.setattr(outbox_module, "_log", Unwritable())
    people = [f"p{number}" for number in range(2 * SENDERS)]
    mail.failures = [failure or PermanentFailureError("no such user")] * (SENDERS + 5)
    await goes(host, *people)
    await until(lambda: not states(store).get("pending"))
    assert states(store)["sent"] == (2 * SENDERS if failure else SENDERS - 5)
    assert host.healthy


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), ValueError("cannot be decoded")])
@pytest.mark.parametrize("written", [True, False])
async def test_messages_that_could_not_be_read_are_read_later(
    start: Start, error: Exception, written: bool, monkeypatch: pytest.MonkeyPatch
):
    store, mail = FaultyStore(MemoryStore()), Provider()
    host = await start(store, email=mail)
    if not written:
        monkeypatch.setattr(outbox_module, "_log", Unwritable())
    await goes(host, "ann")
    await until(lambda: states(store) == {"sent": 1})
    store.fail("pending", error, times=3)
    await goes(host, "bob")
    await until(lambda: states(store) == {"sent": 2})
    assert store.failed == 3
    assert host.healthy


async def test_a_line_that_has_ended_is_no_health(start: Start):
    host = await start(MemoryStore(), email=Provider())
    assert host.healthy
    host.outbox._lines["email"]._tasks[3].cancel()
    await until(lambda: not host.healthy)


# --- lines ------------------------------------------------------------------------------------------------------------


async def test_a_channel_without_a_provider_keeps_its_messages_until_there_is_one(start: Start, tmp_path: Path):
    store, mail = SqliteStore(tmp_path / "store.db"), Provider()
    host = await start(store, email=mail)
    await goes(host, "ann", "bob")
    await until(lambda: states(store) == {"sent": 2})
    assert states(store, "push") == {"pending": 2}
    await host.close()
    assert mail.closed
    store, ping = SqliteStore(tmp_path / "store.db"), Provider()
    await start(store, push=ping)
    await until(lambda: states(store, "push") == {"sent": 2})
    assert [delivery.address for delivery in ping.accepted] == ["ann", "bob"]


async def test_a_provider_that_is_slow_holds_up_nobody_elses(start: Start):
    store, mail, ping = MemoryStore(), Provider(), Provider()
    mail.gate.clear()
    host = await start(store, email=mail, push=ping)
    people = [f"p{number}" for number in range(3 * SENDERS)]
    await goes(host, *people)
    await until(lambda: states(store, "push") == {"sent": len(people)})
    assert states(store) == {"pending": len(people)}
    assert mail.most == SENDERS
    mail.gate.set()
    await until(lambda: states(store) == {"sent": len(people)})
    assert mail.most == SENDERS
    assert len(set(mail.tried)) == len(mail.tried) == len(people)


async def test_one_message_that_fails_holds_up_none_behind_it(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 1_000.0)
    monkeypatch.setattr(outbox_module, "LONGEST_PAUSE", 1_000.0)
    store, mail = MemoryStore(), Provider()
    mail.failures = [TemporaryFailureError("later")]
    host = await start(store, email=mail)
    people = [f"p{number}" for number in range(100)]
    await goes(host, *people)
    await until(lambda: states(store) == {"sent": 99, "pending": 1})
    assert host.outbox.busy == 1


async def test_more_than_is_read_in_one_go(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "LOOK_AHEAD", 7)
    store, mail = MemoryStore(), Provider()
    mail.failures = [TemporaryFailureError("later")] * 20
    host = await start(store, email=mail)
    people = [f"p{number}" for number in range(200)]
    await goes(host, *people)
    await until(lambda: states(store) == {"sent": 200})
    assert {delivery.address for delivery in mail.accepted} == {f"{who}@parcours.dev" for who in people}
    assert len(mail.accepted) == 200


async def test_only_so_many_wait_to_be_tried_again_in_memory(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "MOST_WAITING", 10)
    monkeypatch.setattr(outbox_module, "LOOK_AHEAD", 5)
    store, mail = MemoryStore(), Provider()
    mail.failures = [TemporaryFailureError("later")] * 300
    host = await start(store, email=mail)
    await goes(host, *(f"p{number}" for number in range(100)))
    await until(lambda: states(store) == {"sent": 100})
    assert len(mail.accepted) == 100


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [10_000, 60])
async def test_those_that_wait_hold_up_none_behind_them_after_a_restart(
    start: Start, most: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_module, "LOOK_AHEAD", 7)
    monkeypatch.setattr(outbox_module, "MOST_WAITING", most)
    store, mail = MemoryStore(), Provider()
    host = await start(store)
    await goes(host, *(f"p{number}" for number in range(60)))
    due = outbox_module.wall_time() + 3_600_000
    later = [Settlement(item.sequence, "pending", 5, due) for item in store.pending("email")[:50]]
    store.commit(Changes(settlements=later))
    await start(store, email=mail)
    await until(lambda: states(store) == {"sent": 10, "pending": 50})


async def test_a_restart_goes_on_where_it_was(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Three are sent, one waits for an hour to be tried again, two were under way when it ended."""
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 1_000.0)
    monkeypatch.setattr(outbox_module, "LONGEST_PAUSE", 1_000.0)
    store, mail = SqliteStore(tmp_path / "store.db"), Provider()
    host = await start(store, email=mail)
    await goes(host, "a", "b", "c")
    await until(lambda: states(store) == {"sent": 3})
    mail.failures = [TemporaryFailureError("later")]
    await goes(host, "d")
    await until(lambda: store.pending("email")[0].attempts)
    mail.gate.clear()
    await goes(host, "e", "f")
    await until(lambda: mail.under_way == 2)
    await host.close()

    store, again = SqliteStore(tmp_path / "store.db"), Provider()
    waiting, *under_way = store.pending("email")
    assert (waiting.attempts, waiting.error) == (1, "later")
    assert waiting.due > outbox_module.wall_time()
    assert [item.attempts for item in under_way] == [0, 0]
    host = await start(store, email=again)
    await until(lambda: states(store) == {"sent": 5, "pending": 1})
    assert sorted(again.tried) == sorted(mail.tried[-2:])
    assert store.pending("email")[0] == waiting
    await host.close()

    monkeypatch.setattr(outbox_module, "wall_time", lambda: waiting.due)
    store, later = SqliteStore(tmp_path / "store.db"), Provider()
    await start(store, email=later)
    await until(lambda: states(store) == {"sent": 6})
    assert later.tried == [waiting.message.id]


async def test_a_settlement_that_could_not_be_kept_is_kept_later_and_nothing_is_sent_twice(start: Start):
    store, mail = FaultyStore(MemoryStore()), Provider()
    mail.gate.clear()
    host = await start(store, email=mail)
    await goes(host, "ann", "bob")
    await until(lambda: mail.under_way == 2)
    store.fail("write", StoreError("the disk is full"), times=3)
    mail.gate.set()
    await until(lambda: states(store) == {"sent": 2})
    assert store.failed == 3
    assert len(mail.tried) == 2


async def test_closing_keeps_what_was_settled(start: Start, tmp_path: Path):
    store, mail = SqliteStore(tmp_path / "store.db"), Provider()
    host = await start(store, email=mail)
    mail.gate.clear()
    await goes(host, *(f"p{number}" for number in range(20)))
    await until(lambda: mail.under_way == 20)
    mail.gate.set()
    await until(lambda: len(mail.accepted) == 20)
    await host.close()
    store = SqliteStore(tmp_path / "store.db")
    assert states(store) == {"sent": 20}
    store.close()


async def test_what_a_message_said_when_it_was_decided_is_what_is_sent(start: Start, tmp_path: Path):
    store = SqliteStore(tmp_path / "store.db")
    host = await start(store)
    await goes(host, "ann")
    errors, _ = await host.publish([{**MAIL, "content": {"subject": "new", "text": "t"}}])
    assert errors == []
    await goes(host, "bob")
    await host.close()
    store, mail = SqliteStore(tmp_path / "store.db"), Provider()
    await start(store, email=mail)
    await until(lambda: states(store) == {"sent": 2})
    assert sorted(delivery.content["subject"] for delivery in mail.accepted) == ["new bob", "s ann"]


# --- erasure ----------------------------------------------------------------------------------------------------------


async def erase(host: Embedded, who: str) -> str:
    id_ = host.store.resolve([("user_id", who)])["user_id", who]
    await host.erase(id_)
    return id_


async def test_messages_of_an_erased_contact_that_wait_in_memory_are_not_sent(start: Start):
    provider = Provider()
    provider.gate.clear()
    host = await start(MemoryStore(), email=provider)
    people = [f"p{number}" for number in range(SENDERS + 10)]
    await goes(host, *people)
    await until(lambda: provider.under_way == SENDERS)
    erased = await erase(host, people[-1])
    assert not any(id_.startswith(erased) for id_ in provider.tried)
    provider.gate.set()
    await until(lambda: len(provider.accepted) == len(people) - 1)
    await until(lambda: not host.outbox.busy)
    assert not any(delivery.id.startswith(erased) for delivery in provider.accepted)


async def test_messages_of_an_erased_contact_that_wait_to_be_tried_again_are_not_sent(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(outbox_module, "LONGEST_PAUSE", 0.2)
    provider = Provider()
    provider.always = TemporaryFailureError("later")
    host = await start(MemoryStore(), email=provider)
    await goes(host, "ann", "bob")
    await until(lambda: len(provider.tried) == 2)
    ann = await erase(host, "ann")
    provider.always = None
    await until(lambda: not host.outbox.busy)
    assert [delivery.id.startswith(ann) for delivery in provider.accepted] == [False]


@pytest.mark.parametrize("failure", [TemporaryFailureError("later"), PermanentFailureError("never")])
async def test_what_a_channel_has_in_hand_of_an_erased_contact_is_not_tried_again(start: Start, failure: Exception):
    provider = Provider()
    provider.gate.clear()
    provider.always = failure
    host = await start(MemoryStore(), email=provider)
    await goes(host, "ann")
    await until(lambda: provider.under_way == 1)
    id_ = await erase(host, "ann")
    provider.gate.set()
    await until(lambda: not host.outbox.busy)
    assert len(provider.tried) == 1
    assert states(host.store) == {"cancelled": 1}
    assert not any(isinstance(record.input(), Reaction) for record in host.store.history(id_))


@pytest.mark.parametrize("failure", [None, TemporaryFailureError("later"), PermanentFailureError("never")])
async def test_nothing_is_kept_of_what_was_in_hand_once_it_is_out_of_it(start: Start, failure: Exception | None):
    provider = Provider()
    provider.gate.clear()
    provider.always = failure
    host = await start(MemoryStore(), email=provider)
    await goes(host, "ann")
    await until(lambda: provider.under_way == 1)
    await erase(host, "ann")
    line = host.outbox._lines["email"]
    assert len(line._dropped) == 1
    provider.gate.set()
    await until(lambda: not host.outbox.busy)
    assert line._dropped == set()


@pytest.mark.parametrize("failure", [TemporaryFailureError, PermanentFailureError])
async def test_the_log_does_not_repeat_an_address_that_a_provider_repeats(start: Start, failure: type[ParcoursError]):
    provider = Provider()
    provider.failures = [failure("550 <ANN@parcours.dev> unknown")]
    with capture_logs() as logs:
        host = await start(MemoryStore(), email=provider)
        await goes(host, "ann")
        await until(lambda: provider.tried and not host.outbox.busy)
    assert [line["error"].count("(the address)") for line in logs if "error" in line] == [1]
    assert "parcours.dev" not in str(logs).lower()


# --- channels that have no provider -----------------------------------------------------------------------------------


async def test_messages_of_a_channel_without_a_provider_wait_for_one(start: Start):
    store, mail = MemoryStore(), Provider()
    host = await start(store, email=mail)
    await goes(host, "ann", "bob")
    await until(lambda: states(store) == {"sent": 2})
    assert states(store, "push") == {"pending": 2}
    assert host.unprovided == {"push": 2}
    assert host.healthy
    ping = Provider()
    again = await start(store, email=mail, push=ping)
    await until(lambda: states(store, "push") == {"sent": 2})
    assert again.unprovided == {}


# --- priorities -------------------------------------------------------------------------------------------------------


def ranked(number: int, priority: int) -> Message:
    return conformance.message(number, name="mail", priority=priority)


async def test_of_what_is_ready_the_higher_priority_leaves_first(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "SENDERS", 1)
    store, mail = MemoryStore(), Provider()
    Engine(store, SystemClock()).publish([MAIL])
    messages = [ranked(number, priority) for number, priority in enumerate([0, -2, 5, 0, 9, 1])]
    store.commit(Changes(messages=messages))
    await start(store, email=mail)
    await until(lambda: len(mail.tried) == 6)
    # Those of one priority stay in the order of decision.
    assert mail.tried == [messages[number].id for number in (4, 2, 5, 0, 3, 1)]


async def test_what_is_urgent_overtakes_all_that_waits_in_line(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "SENDERS", 1)
    monkeypatch.setattr(outbox_module, "LOOK_AHEAD", 4)
    store, mail = MemoryStore(), Provider()
    mail.gate.clear()
    Engine(store, SystemClock()).publish([MAIL])
    line = [ranked(number, 0) for number in range(40)]
    store.commit(Changes(messages=line))
    host = await start(store, email=mail)
    await until(lambda: len(mail.tried) == 1)
    urgent = [ranked(100, 1), ranked(101, 7)]
    store.commit(Changes(messages=[*urgent, ranked(102, 0)]))
    host.outbox.notify()
    await until(lambda: host.outbox.busy >= 6)
    mail.gate.set()
    await until(lambda: len(mail.tried) == 43)
    assert mail.tried[:4] == [line[0].id, urgent[1].id, urgent[0].id, line[1].id]
    assert len(set(mail.tried)) == 43


@pytest.mark.parametrize("failure", [PermanentFailureError, TemporaryFailureError, RuntimeError])
async def test_what_a_provider_says_in_no_unicode_stops_nothing(
    start: Start, tmp_path: Path, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    """Mail servers answer in Latin-1, too; what cannot be decoded comes as halves of surrogate pairs."""
    monkeypatch.setattr(outbox_module, "MOST_ATTEMPTS", 2)
    mail = Provider()
    mail.always = failure("550 Empf\udce4nger unbekannt\0")
    host = await start(SqliteStore(tmp_path / "s.db"), email=mail)
    await goes(host, "ann")
    await until(lambda: states(host.store) == {"failed": 1})
    (bounce,) = await bounces(host.store)
    assert "550 Empf\ufffdnger unbekannt" in bounce.attributes["error"]
    await goes(host, "bob")
    assert host.healthy
