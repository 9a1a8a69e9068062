"""In a backtest rewards run out as they would have, whoever asks for them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parcours.core.gate import Asked
from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import Assumptions, BacktestError, Counts, Job
from parcours.runtimes.backtest.person import run
from parcours.runtimes.backtest.report import BacktestReport, report_of
from parcours.runtimes.backtest.stock import Left, with_shortages
from parcours.stores.past import SqlitePast, StorePast
from parcours.stores.sqlite import SqliteStore
from tests.core.world import END, START, World, email, journey, send, wait
from tests.profiles import examples

WHO = ("ann", "bob", "cyd", "dan")


def reward(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "reward", "name": name, "gift": "a mug", **more}


def give(name: str, **more: str) -> dict[str, Any]:
    return {"type": "give", "reward": name, **more}


def completed(
    world: World, *definitions: dict[str, Any], start: int = START, assume: Any = None
) -> tuple[Backtest, Counts, dict[str, Left], int]:
    past = StorePast(world.store)
    stated = msgspec.convert(assume or {}, Assumptions)
    job = Job(definitions=list(definitions), start=start, end=world.now, assume=stated)
    turns = 0

    def everybody(shortages: Any) -> Counts:
        nonlocal turns
        turns += 1
        shares = Counts()
        for share in range(2):
            shares.add(run(Backtest(job, past.publications(), list(shortages)), past.people(share, 2)))
        return shares

    made = Backtest(job, past.publications())
    counts, left = with_shortages(made, past, everybody)
    return made, counts, left, turns


def reported(world: World, *definitions: dict[str, Any], **more: Any) -> BacktestReport:
    made, counts, left, _ = completed(world, *definitions, **more)
    return report_of(made, counts, left=left)


SMALL = reward("small", stock=2)
GIVES = journey({"a": give("small", next="b", unavailable="c"), "b": send("m"), "c": END})


def lived(*definitions: dict[str, Any]) -> World:
    world = World(email("m"), SMALL, *definitions)
    for who in WHO:
        world.knows(who)
    for who in reversed(WHO):
        world.after("1h")
        world.did(who, "Go")
    world.after("1d")
    return world


def test_who_comes_first_in_time_has_the_last_one():
    report = reported(lived(), GIVES)
    (found,) = report.rewards
    assert (found.issued, found.declined, found.left) == (2, {"out_of_stock": 2}, 0)
    assert found.ran_out == "2026-03-02T12:00:00Z"
    (of_step,) = [one for one in report.journeys[0].steps if one.step == "a"]
    assert (of_step.given, of_step.declined, of_step.left) == (2, {"out_of_stock": 2}, {"unavailable": 2})
    assert report.messages == 2


def test_what_was_issued_before_the_start_is_gone_and_what_the_draft_gave_itself_comes_back():
    world = World(email("m"), SMALL, GIVES)
    for who in WHO:
        world.knows(who)
    world.did("ann", "Go")
    world.after("1d")
    start = world.now
    world.after("1h")
    for who in WHO[1:]:
        world.did(who, "Go")
    world.after("1d")
    (found,) = reported(world, GIVES, start=start).rewards
    assert (found.issued, found.declined) == (1, {"out_of_stock": 2})
    # From before the first one on, there are two.
    (found,) = reported(world, GIVES, start=START - 1).rewards
    assert (found.issued, found.declined) == (2, {"out_of_stock": 2})


def test_what_was_issued_by_hand_takes_its_part():
    world = lived()
    early = World(email("m"), SMALL)
    for who in WHO:
        early.knows(who)
    early.after("1h")
    early.accept(early.arrival("dan", Asked(action="issue", reward="small", author="eve")))
    for who in WHO:
        early.after("1h")
        early.did(who, "Go")
    early.after("1d")
    assert reported(world, GIVES).rewards[0].issued == 2
    (found,) = reported(early, GIVES).rewards
    assert (found.issued, found.declined, found.left) == (2, {"out_of_stock": 3}, 0)  # by hand, and to ann


def test_what_is_stated_goes_before_what_is_recorded():
    for stated, issued in ((0, 0), (1, 1), (9, 4)):
        report = reported(lived(), GIVES, assume={"stock": {"small": stated}})
        (found,) = report.rewards
        assert (found.issued, found.left) == (issued, stated - issued)
        assert [(one.what, one.of) for one in report.assumed] == [("stock", "small")]
    # One that has neither a stock nor a pool can be stated to have.
    free = GIVES | {"steps": GIVES["steps"] | {"a": give("free", next="b", unavailable="c")}}
    (found,) = reported(lived(reward("free")), free, assume={"stock": {"free": 3}}).rewards
    assert (found.issued, found.declined) == (3, {"out_of_stock": 1})
    (found,) = reported(lived(reward("free")), free).rewards
    assert (found.issued, found.left) == (4, None)


def test_a_pool_that_is_filled_again_has_codes_again():
    gives = GIVES | {"steps": GIVES["steps"] | {"a": give("pooled", next="b", unavailable="c")}}
    world = World(email("m"), reward("pooled", codes={"type": "pool"}))
    world.run.engine.fill("pooled", ["A", "B"])
    for who in WHO:
        world.knows(who)
    for turn in range(2):
        for who in WHO:
            world.after("1h")
            world.did(who, "Go")
        if not turn:
            world.run.engine.fill("pooled", ["C"])
    world.after("1d")
    report = reported(world, gives)
    (found,) = report.rewards
    assert (found.issued, found.declined, found.left) == (3, {"pool_empty": 5}, 0)
    # Those that are stated are all there are.
    (found,) = reported(world, gives, assume={"stock": {"pooled": 1}}).rewards
    assert (found.issued, found.declined) == (1, {"out_of_stock": 7})


def test_a_reward_that_goes_for_another_one_that_is_gone_runs_out_later_than_without():
    """The second runs out because of the first: each shortage is found with those before it known."""
    gives = journey(
        {"a": give("small", next="x", unavailable="b"), "b": give("other", next="x", unavailable="x"), "x": END}
    )
    world = lived(reward("other", stock=1))
    made, counts, left, turns = completed(world, gives)
    assert counts.issued == {"small": 2, "other": 1}
    assert counts.declined == {("small", "out_of_stock"): 2, ("other", "out_of_stock"): 1}
    assert turns == 3
    assert {name: one.left for name, one in left.items()} == {"small": 0, "other": 0}
    assert completed(world, made.job.definitions[0], assume={"stock": {"small": 9, "other": 9}})[3] == 1


def test_a_pool_that_runs_out_all_the_time_is_refused():
    gives = GIVES | {"steps": GIVES["steps"] | {"a": give("pooled", next="b", unavailable="c")}}
    world = World(email("m"), reward("pooled", codes={"type": "pool"}))
    world.knows("ann")
    for turn in range(60):
        world.run.engine.fill("pooled", [f"C{turn}"])
        world.after("1m")
        world.did("ann", "Go")
        world.did("ann", "Go")
    world.after("1m")
    with pytest.raises(BacktestError, match="run out more than 50 times"):
        completed(world, gives)


def test_a_file_tells_the_same_of_rewards_as_a_store(tmp_path: Path):
    store = SqliteStore(tmp_path / "parcours.db")
    world = World(email("m"), reward("pooled", codes={"type": "pool"}), GIVES, SMALL, store=store)
    world.run.engine.fill("pooled", ["A", "B"])
    for who in WHO:
        world.knows(who)
        world.did(who, "Go")
    world.run.engine.erase(world.id_of("ann"))
    world.run.engine.flush()
    file, through = SqlitePast(tmp_path / "parcours.db"), StorePast(store)
    assert file.issued() == through.issued() == [(world.now, "small")]
    assert file.filled() == through.filled() == [(world.now, 2, "pooled", 2)]
    assert file.ever_issued("small") == through.ever_issued("small") == 2  # also what is not recorded any more
    assert file.ever_issued("pooled") == through.ever_issued("pooled") == 0
    file.close()
    store.close()


_moves = st.lists(
    st.tuples(
        st.sampled_from(WHO),
        st.sampled_from(["Go", "Go", "Pay", "fill", "by hand", "wait"]),
        st.sampled_from(["1s", "1h", "6h"]),
    ),
    min_size=4,
    max_size=25,
)


@example([("ann", "fill", "1s"), ("ann", "Go", "1h"), ("ann", "Go", "1h"), ("ann", "fill", "1s")], 1, 0)
@examples(60)
@given(_moves, st.integers(1, 4), st.integers(0, 3))
def test_a_backtest_of_what_was_live_runs_out_where_it_did(moves: list[Any], stock: int, codes: int):
    first = journey(
        {
            "a": give("small", next="w", unavailable="p"),
            "w": wait("2h", next="p"),
            "p": give("pooled", next="x", unavailable="m"),
            "m": send("m"),
            "x": END,
        }
    )
    other = journey({"p": give("pooled", next="s", unavailable="s"), "s": give("small")}, on="Pay", name="k")
    world = World(email("m"), reward("small", stock=stock), reward("pooled", codes={"type": "pool"}), first, other)
    for who in WHO:
        world.knows(who)
    if codes:
        world.run.engine.fill("pooled", [f"A{number}" for number in range(codes)])
    world.after("1s")
    start = world.now - 1
    for number, (who, what, after) in enumerate(moves):
        match what:
            case "fill":
                world.run.engine.fill("pooled", [f"B{number}"])
            case "by hand":
                world.send(world.arrival(who, Asked(action="issue", reward="small", author="eve")))
            case "wait":
                pass
            case _:
                world.did(who, what)
        world.after(after)
    made, counts, left, _ = completed(world, first, other, start=start)
    counted: Counter[tuple[str, str, str, str]] = Counter()
    for (name, _, step, what, reason), count in world.store.statistics().items():
        if name in made.drafts:
            counted[name, step, what, reason] += count
    assert counts.trace == counted
    ever = {name: StorePast(world.store).ever_issued(name) for name in ("small", "pooled")}
    assert {name: counts.issued[name] for name in ever} == ever
    assert left["small"].left == stock - ever["small"]
