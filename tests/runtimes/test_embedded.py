"""The embedded host: batches that gather by themselves, failures that cost no more than they must, an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parcours.core.contact import Contact
from parcours.core.effects import What
from parcours.core.gate import Arrival, Happened
from parcours.errors import StoreError
from parcours.runtimes import embedded as embedded_module
from parcours.runtimes.clocks import InputsClock, SystemClock, VirtualClock
from parcours.runtimes.embedded import Embedded, OverloadedError
from parcours.runtimes.engine import Accepted, Duplicate, Engine, Outcome, Refused, folding
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import FaultyStore
from tests.core.world import START, journey, wait
from tests.runtimes.waiting import Unwritable, until


def happened(id_: str, who: str = "ann", name: str = "Go", **attributes: object) -> Arrival:
    return Arrival("test", id_, (("user_id", who),), Happened(name, attributes))


def a_host(store: object, clock: object = None) -> Embedded:
    return Embedded(Engine(store, clock or SystemClock()), {}, lambda _definition, _data: {})


async def persist(host: Embedded, arrivals: list[Arrival]) -> list[Outcome]:
    """Send until it is kept, as senders do."""
    while True:
        try:
            return await host.submit(arrivals)
        except StoreError:
            await asyncio.sleep(0.005)


@pytest.fixture
async def faulty() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
async def host(faulty: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Embedded]:
    monkeypatch.setattr(embedded_module, "PAUSE_AFTER_FAILURE", 0.01)
    host = a_host(faulty)
    await host.start()
    yield host
    faulty.heal()
    await host.close()


async def test_what_is_submitted_at_once_is_folded_in_its_order(host: Embedded):
    groups = [[happened(f"{group}-{number}") for number in range(7)] for group in range(300)]
    outcomes = await asyncio.gather(*[host.submit(group) for group in groups])
    positions = [outcome.position for group in outcomes for outcome in group]
    assert positions == list(range(1, 2_101))
    assert host.accepted == 2_100
    assert 1 < host.batches < 300
    assert host.queued == 0


async def test_each_submitter_learns_what_became_of_its_own(host: Embedded):
    await host.submit([happened("a")])
    bad = happened("c", n=2**70)
    first, second, third = await asyncio.gather(
        host.submit([happened("a"), happened("b")]), host.submit([bad]), host.submit([happened("b"), happened("d")])
    )
    assert [type(outcome) for outcome in first] == [Duplicate, Accepted]
    assert [type(outcome) for outcome in second] == [Refused]
    assert [type(outcome) for outcome in third] == [Duplicate, Accepted]
    assert (host.accepted, host.duplicates, host.refused) == (3, 2, 1)


async def test_nothing_submitted_is_nothing_done(host: Embedded):
    assert await host.submit([]) == []


@pytest.mark.parametrize("method", ["seen", "resolve", "contacts", "write", "finish"])
@pytest.mark.parametrize("error", [StoreError("the disk is full", hint="free some space"), RuntimeError("a defect")])
@pytest.mark.parametrize("size", [1, embedded_module.SMALL_BATCH + 1])
async def test_a_store_that_fails_costs_one_answer_and_no_more(
    host: Embedded, faulty: FaultyStore, method: str, error: Exception, size: int
):
    arrivals = [happened(f"m{number}") for number in range(size)]
    faulty.fail(method, error)
    with pytest.raises(StoreError):
        await host.submit(arrivals)
    assert faulty.last_position() == 0
    assert not host.healthy
    outcomes = await persist(host, arrivals)
    assert host.healthy
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert faulty.last_position() == size


async def test_a_disk_that_is_full_is_said_to_whoever_sends_and_nothing_is_lost_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedded_module, "PAUSE_AFTER_FAILURE", 0.01)
    store = SqliteStore(tmp_path / "store.db")
    host = a_host(store)
    await host.start()
    try:
        await host.submit([happened("before")])
        pages = store._db.execute("pragma page_count").fetchone()[0]
        store._db.execute(f"pragma max_page_count = {pages + 1}")
        arrivals = [happened(f"m{number}", who=f"p{number}", text="x" * 1_000) for number in range(200)]
        with pytest.raises(StoreError) as caught:
            await host.submit(arrivals)
        assert "space" in caught.value.hint
        assert store.last_position() == 1
        store._db.execute("pragma max_page_count = 100000")
        outcomes = await persist(host, arrivals)
        assert [outcome.position for outcome in outcomes] == list(range(2, 202))
    finally:
        await host.close()


async def test_while_the_store_fails_senders_are_told_at_once(
    host: Embedded, faulty: FaultyStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedded_module, "PAUSE_AFTER_FAILURE", 60.0)
    faulty.fail("write", StoreError("the disk is full", hint="free some space"), times=10)
    for number in range(5):
        with pytest.raises(StoreError, match=r"full \(free some space\)"):
            await host.submit([happened(f"m{number}")])
    assert faulty.failed == 1
    assert not host.healthy
    assert host.queued == 0


async def test_health_comes_back_when_nothing_failed_for_a_while(
    host: Embedded, faulty: FaultyStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedded_module, "FAILING_SECONDS", 0.05)
    faulty.fail("write", StoreError("the disk is full"))
    with pytest.raises(StoreError):
        await host.submit([happened("m")])
    assert not host.healthy
    await until(lambda: host.healthy)


async def test_a_log_line_that_cannot_be_written_costs_no_answer_and_not_the_engine(
    host: Embedded, faulty: FaultyStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedded_module, "_log", Unwritable())
    faulty.fail("write", StoreError("the disk is full"), times=2)
    outcomes = await asyncio.wait_for(persist(host, [happened("a")]), 10)
    assert isinstance(outcomes[0], Accepted)
    await host.publish([journey({"w": wait("20ms")})])
    await host.submit([happened("b")])
    faulty.fail("contacts", StoreError("gone"), times=2)
    await until(lambda: not list(faulty.due_times()), "the timer fires")
    assert host.healthy


@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError("whatever")])
async def test_a_defect_in_a_turn_costs_a_pause_and_not_the_engine(
    host: Embedded, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    real, defects = host.engine.next_due, [error] * 3

    def next_due() -> int | None:
        if defects:
            raise defects.pop()
        return real()

    monkeypatch.setattr(host.engine, "next_due", next_due)
    for number in range(10):
        await asyncio.wait_for(persist(host, [happened(f"m{number}")]), 10)
        await asyncio.sleep(0.005)
    assert defects == []
    assert host.healthy


@pytest.mark.parametrize("method", ["contacts", "write", "finish"])
@pytest.mark.parametrize("error", [StoreError("gone"), RuntimeError("a defect")])
async def test_timers_that_could_not_be_kept_fire_later(
    host: Embedded, faulty: FaultyStore, method: str, error: Exception
):
    await host.publish([journey({"w": wait("200ms")})])
    await host.submit([happened("a")])
    faulty.fail(method, error, times=2)
    await until(lambda: not list(faulty.due_times()), "the timer fires")
    assert faulty.failed == 2
    (statistic,) = [place for place in faulty.statistics() if place[3] == What.ENDED]
    assert faulty.statistics()[statistic] == 1


async def test_a_contact_that_cannot_be_folded_holds_up_nobody_elses_timers(
    host: Embedded, faulty: FaultyStore, monkeypatch: pytest.MonkeyPatch
):
    real = folding.wake

    def wake(plan: object, contact: Contact, *rest: object) -> None:
        if ("user_id", "bad") in contact.identities:
            raise LookupError("a defect of ours")
        real(plan, contact, *rest)

    monkeypatch.setattr(folding, "wake", wake)
    await host.publish([journey({"w": wait("1ms")})])
    await host.submit([happened(f"m-{who}", who) for who in ("ann", "bad", "bob")])
    await until(lambda: len(list(faulty.due_times())) == 1, "the others' timers fire")
    assert len(await host.submit([happened("more", "cyd")])) == 1
    (outcome,) = await host.submit([happened("again", "bad")])
    assert isinstance(outcome, Refused)
    assert outcome.problem.code == "internal_error"


async def test_an_arrival_that_cannot_be_folded_is_refused_by_itself(host: Embedded, monkeypatch: pytest.MonkeyPatch):
    real = folding.fold

    def fold(plan: object, contact: object, item: object) -> object:
        if getattr(item, "name", "") == "bad":
            raise AssertionError("a defect of ours")
        return real(plan, contact, item)

    monkeypatch.setattr(folding, "fold", fold)
    outcomes = await host.submit([happened("a"), happened("b", name="bad"), happened("c")])
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
    assert outcomes[1].problem.code == "internal_error"
    assert host.store.last_position() == 2


@pytest.mark.parametrize("depth", [33, 400, 900, 940, 950, 960, 970, 980, 990, 1_000, 5_000, 200_000])
async def test_nesting_without_end_is_refused_by_itself(host: Embedded, depth: int):
    """How deep is too deep depends on the stack at each place that walks it; none of them may take the service down."""
    nested: object = 1
    for _ in range(depth):
        nested = [nested]
    outcomes = await host.submit([happened("a"), happened("b", nested=nested), happened("c")])
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
    assert len(await host.submit([happened("d")])) == 1


async def test_timers_fire_by_themselves(host: Embedded, faulty: FaultyStore):
    await host.publish([journey({"w": wait("20ms", next="v"), "v": wait("10ms")})])
    await host.submit([happened(f"m{number}", f"p{number}") for number in range(50)])
    await until(lambda: not list(faulty.due_times()), "all timers fire")
    ended = [count for place, count in faulty.statistics().items() if place[3] == What.ENDED]
    assert ended == [50]


async def test_timers_that_came_due_while_nobody_ran_fire_at_the_start():
    store, clock = MemoryStore(), VirtualClock(START)
    engine = Engine(store, clock)
    engine.publish([journey({"w": wait("1h")})])
    engine.accept([happened("a")])
    clock.set(START + 86_400_000)
    host = a_host(store, clock)
    await host.start()
    await until(lambda: not list(store.due_times()), "the timer fires")
    await host.close()


async def test_a_clock_that_follows_inputs_stands_still_between_them():
    store = MemoryStore()
    host = a_host(store, InputsClock(START))
    await host.start()
    await host.publish([journey({"w": wait("1h")})])
    first, second = happened("a"), happened("b", "bob", "Other")
    first.occurred_at, second.occurred_at = START + 1_000, START + 3_601_000
    await host.submit([first])
    assert [due for due, _ in store.due_times()] == [START + 3_601_000]
    await host.submit([second])
    await until(lambda: not list(store.due_times()), "the timer fires once an input has carried the clock to it")
    await host.close()


async def test_beyond_what_may_wait_senders_are_asked_to_come_back(host: Embedded, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded_module, "MOST_QUEUED", 10)
    results = await asyncio.gather(
        *[host.submit([happened(f"{group}-{number}") for number in range(6)]) for group in range(5)],
        return_exceptions=True,
    )
    taken = [result for result in results if isinstance(result, list)]
    refused = [result for result in results if isinstance(result, OverloadedError)]
    assert len(taken) + len(refused) == 5
    assert refused
    assert host.store.last_position() == 6 * len(taken)


async def test_closing_finishes_what_was_submitted_and_takes_no_more(tmp_path: Path):
    host = a_host(SqliteStore(tmp_path / "store.db"))
    await host.start()
    waiting = [asyncio.ensure_future(host.submit([happened(f"m{number}")])) for number in range(100)]
    await asyncio.sleep(0)
    await host.close()
    outcomes = await asyncio.gather(*waiting)
    assert all(isinstance(outcome, Accepted) for (outcome,) in outcomes)
    with pytest.raises(OverloadedError):
        await host.submit([happened("late")])
    store = SqliteStore(tmp_path / "store.db")
    assert store.last_position() == 100
    store.close()


async def test_closing_waits_for_no_reading_and_no_timers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Engine, "SLICE", 1)
    monkeypatch.setattr(Engine, "LARGEST_TICK", 1)
    store = MemoryStore()
    host = a_host(store)
    host.engine.publish([journey({"w": wait("1ms")})])
    host.engine.accept([happened(f"m{number}", f"p{number}") for number in range(50)])
    host.engine.publish(
        [
            {"kind": "segment", "name": "all", "condition": {"not": {"contact": "a", "is": 1}}},
            {**journey({"w": wait("1h")}, name="read"), "entry": {"type": "segment", "segment": "all"}},
        ]
    )
    assert host.engine.reading
    waiting = list(store.due_times())
    await host.start()
    await host.close()
    assert host.engine.reading
    assert len(list(store.due_times())) == len(waiting)
    assert not host.healthy


async def test_a_sender_that_went_away_leaves_its_inputs_and_everybody_elses_alone(host: Embedded):
    gone = asyncio.ensure_future(host.submit([happened("gone")]))
    stays = asyncio.ensure_future(host.submit([happened("stays")]))
    await asyncio.sleep(0)
    gone.cancel()
    (outcome,) = await stays
    assert isinstance(outcome, Accepted)
    (outcome,) = await host.submit([happened("gone")])
    assert outcome == Duplicate()
