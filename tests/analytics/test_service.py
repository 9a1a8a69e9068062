"""The analytics database beside a running host: nothing is missed or counted twice, whoever asks and gives up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parcours.analytics import questions, service
from parcours.analytics.duckdb_store import AnalyticsError, DuckdbAnalytics, catch_up
from parcours.analytics.questions import Group
from parcours.analytics.rows import Slice
from parcours.analytics.service import Analytics
from parcours.conditions.parse import parse_condition
from parcours.core.gate import Arrival, Asked, Happened, Learned
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.stores.memory import MemoryStore
from tests.core.world import World, email, journey, send, wait
from tests.runtimes.waiting import until

NODE = parse_condition({"did": "Go"})[0]


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Embedded]:
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(service, "SLICE", 7)
    host = Embedded(Engine(MemoryStore(), SystemClock()), {}, lambda _definition, _data: {})
    host.companions.append(
        Analytics(
            DuckdbAnalytics(tmp_path / "a.duckdb"),
            store=host.store,
            turn=host.turn,
            ready=host.engine.catch_up,
            clock=host.engine.clock,
            segments=lambda: host.engine.plan.segments,
        )
    )
    await host.start()
    yield host
    await host.close()


async def go(host: Embedded, number: int) -> None:
    await host.submit([Arrival("test", f"m{number}", (("user_id", str(number)),), Happened("Go", {}))])


async def count(host: Embedded) -> int:
    group = Group(NODE, {}, host.engine.clock.now())
    return await host.companions[0].ask(lambda database: questions.count(database, group))


async def test_every_question_knows_what_was_acknowledged_before(host: Embedded):
    acknowledged = 0

    async def send(worker: int) -> None:
        nonlocal acknowledged
        for number in range(40):
            await go(host, worker * 1_000 + number)
            acknowledged += 1

    async def ask() -> None:
        for _ in range(15):
            before = acknowledged
            assert await count(host) >= before

    async def give_up() -> None:
        for _ in range(30):
            task = asyncio.create_task(count(host))
            await asyncio.sleep(0.003)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    await asyncio.gather(*(send(worker) for worker in range(5)), ask(), ask(), give_up())
    assert await count(host) == 200
    assert host.companions[0].database.db.execute("select count(*), count(distinct position) from i1").fetchall() == [
        (200, 200)
    ]


async def test_a_question_does_not_go_after_what_arrives_meanwhile(host: Embedded, monkeypatch: pytest.MonkeyPatch):
    host.companions[0]._task.cancel()  # nothing else follows meanwhile
    await go(host, 0)
    assert await count(host) == 1  # everybody was gone through
    for number in range(1, 30):
        await go(host, number)
    loop, database, slices = asyncio.get_running_loop(), host.companions[0].database, 0
    feed = database.feed

    async def more() -> None:
        for number in range(20):
            await go(host, slices * 1_000 + number)

    def feed_and_send(found: Slice) -> None:
        nonlocal slices
        slices += 1
        assert slices <= 10, "it never ends"
        feed(found)
        asyncio.run_coroutine_threadsafe(more(), loop).result()

    monkeypatch.setattr(database, "feed", feed_and_send)
    assert await count(host) >= 30


async def test_a_question_knows_what_came_of_what_was_acknowledged_also_where_that_is_more(host: Embedded):
    """There are fewer records than messages, so the end of the log is reached while messages are still to be read."""
    analytics = host.companions[0]
    analytics._task.cancel()  # nothing else follows meanwhile
    steps = {f"s{number}": send("m", next=f"s{number + 1}") for number in range(5)} | {"s5": send("m")}
    errors, _ = await host.publish([email("m", purpose="transactional"), journey(steps)])
    assert not errors
    for number in range(9):
        who = (("user_id", str(number)),)
        learned = Learned({"email": f"{number}@parcours.dev"}, {"email": f"{number}@parcours.dev"})
        await host.submit([Arrival("test", f"l{number}", who, learned)])
        await go(host, number)
    assert host.store.last_position() == 19

    def messages(database: DuckdbAnalytics) -> tuple[int, int]:
        return database.db.execute("select count(*), count(distinct contact) from messages").fetchone()  # type: ignore[return-value]

    for _ in range(2):
        assert await analytics.ask(messages) == (54, 9)
        await analytics.rebuild()


def test_what_timers_did_is_not_whole_before_all_of_it_is_there_although_the_log_says_nothing_of_it(tmp_path: Path):
    world = World(journey({"w": wait("1h")}))
    for number in range(20):
        world.did(str(number), "Go")
    database = DuckdbAnalytics(tmp_path / "a.duckdb")
    assert [*catch_up(database, world.store, 7)]
    world.after("1h")
    place, slices = database.place, 0
    while (found := database.read(world.store, 7, world.store.last_position())) is not None:
        slices += 1
        assert found.whole is (slices == 3)
        database.feed(found)
    assert (database.place.position, database.place.fired, slices) == (place.position, place.fired + 20, 3)
    database.close()


async def test_a_slice_that_is_fed_as_its_asker_gives_up_is_taken_over_once(
    host: Embedded, monkeypatch: pytest.MonkeyPatch
):
    analytics = host.companions[0]
    analytics._task.cancel()  # nothing else follows meanwhile
    for number in range(5):
        await go(host, number)
    let, begun, feed = threading.Event(), asyncio.Event(), analytics.database.feed
    loop, fed = asyncio.get_running_loop(), []

    def feed_late(found: Slice) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert let.wait(20)
        fed.append((found.after, found.upto))
        feed(found)

    monkeypatch.setattr(analytics.database, "feed", feed_late)
    gone = asyncio.create_task(count(host))
    await begun.wait()
    gone.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gone
    await go(host, 5)
    asking = asyncio.create_task(count(host))
    for _ in range(20):
        await asyncio.sleep(0)
    let.set()
    assert await asking == 6
    assert [after.position for after, _ in fed][:2] == [0, 0], "both began at the same place"
    rows = analytics.database.db.execute("select count(*), count(distinct position) from i1").fetchall()
    assert rows == [(6, 6)]


async def test_it_follows_by_itself(host: Embedded):
    await go(host, 1)
    await until(lambda: host.companions[0].behind == 0 and host.companions[0].database.position == 1)


async def test_it_is_made_again_while_others_ask(host: Embedded):
    for number in range(50):
        await go(host, number)
    found = await asyncio.gather(count(host), host.companions[0].rebuild(), count(host), count(host))
    assert found == [50, None, 50, 50]


async def test_a_question_waits_until_all_members_are_gone_through(host: Embedded):
    errors, _ = await host.publish([{"kind": "programme", "name": "club"}])
    assert not errors
    asked = Asked(action="enrol", programme="club")
    await host.submit([Arrival("test", f"m{number}", (("user_id", str(number)),), asked) for number in range(30)])
    node = parse_condition({"member": "club"})[0]

    def members(database: DuckdbAnalytics) -> int:
        return questions.count(database, Group(node, {}, host.engine.clock.now()).since(database.as_of))

    for _ in range(3):
        await host.companions[0].rebuild()
        assert await host.companions[0].ask(members) == 30


async def test_a_question_that_takes_too_long_is_given_up(host: Embedded, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "LONGEST_SECONDS", 0.2)
    endless = "select count(*) from range(10000000000) a, range(100000) b where a.range * b.range % 7 = 3"
    with pytest.raises(AnalyticsError):
        await host.companions[0].ask(lambda database: questions.rows(database, endless))
    monkeypatch.setattr(service, "LONGEST_SECONDS", 60)
    await go(host, 1)
    assert await count(host) == 1


async def test_a_failure_is_told_and_followed_by_work(host: Embedded, monkeypatch: pytest.MonkeyPatch):
    await go(host, 1)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise AnalyticsError("no space")

        patch.setattr(host.companions[0].database, "feed", fail)
        await go(host, 2)
        with pytest.raises(AnalyticsError, match="no space"):
            await count(host)
    assert await count(host) == 2
    assert host.healthy


async def test_while_the_service_is_busy_it_falls_behind_and_a_question_waits_for_the_rest(
    host: Embedded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "BUSY", 0)  # always
    analytics = next(one for one in host.companions if isinstance(one, Analytics))
    await asyncio.sleep(0.03)
    for number in range(20):
        await go(host, number)
    await asyncio.sleep(0.05)
    assert analytics.behind == 20
    assert NODE is not None
    group = Group(NODE, {}, host.engine.clock.now())
    assert await analytics.ask(lambda database: questions.count(database, group)) == 20
    assert analytics.behind == 0
    monkeypatch.setattr(service, "FAR_BEHIND", 1)
    for number in range(20, 40):
        await go(host, number)
    await until(lambda: analytics.behind == 0)


async def test_while_the_service_is_busy_a_look_takes_one_slice_and_measures_nothing(
    host: Embedded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "BUSY", 0)  # always
    monkeypatch.setattr(service, "FAR_BEHIND", 1)
    analytics = host.companions[0]
    await analytics.ask(lambda _: None)
    analytics._task.cancel()
    await asyncio.wait([analytics._task])
    errors, _ = await host.publish([{"kind": "segment", "name": "goers", "condition": {"did": "Go"}}])
    assert not errors
    for number in range(19):
        await go(host, number)
    for position in (7, 14, 20):
        await analytics._look()
        assert analytics.database.position == position
        assert analytics.database.sizes("goers", 0, 2**42, 1) == []
    for number in range(19, 30):
        await go(host, number)
    monkeypatch.setattr(service, "BUSY", 1_000)
    await analytics._look()
    assert analytics.behind == 0
    assert [size for _, size in analytics.database.sizes("goers", 0, 2**42, 1)] == [30]
