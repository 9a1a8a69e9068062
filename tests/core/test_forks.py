"""Fork and join: a run in several places at once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parcours.core.effects import What
from parcours.core.forks import MOST_TOKENS
from tests.core.world import END, World, email, journey, send, wait, wait_for
from tests.profiles import examples


def fork(*branches: str) -> dict[str, Any]:
    return {"type": "fork", "branches": list(branches)}


def join(to: str | None = "end") -> dict[str, Any]:
    return {"type": "join", "next": to}


def standing(world: World, who: str) -> list[str]:
    return sorted(token.step for run in world.runs(who) for token in run.tokens)


def arrivals(world: World, who: str, step: str) -> int:
    return world.path(who).count(step)


def test_a_join_waits_for_all_ways_of_its_fork():
    steps = {
        "both": fork("short", "long", "listen"),
        "short": wait("1h", next="meet"),
        "long": wait("2h", next="meet"),
        "listen": wait_for("Paid", next="meet"),
        "meet": join(),
        "end": END,
    }
    world = World(journey(steps))
    world.did("ann", "Go")
    assert standing(world, "ann") == ["listen", "long", "short"]
    world.after("1h")
    assert standing(world, "ann") == ["listen", "long", "meet"]
    world.did("ann", "Paid")
    assert standing(world, "ann") == ["long", "meet", "meet"]
    world.after("1h")
    assert world.runs("ann") == []
    assert arrivals(world, "ann", "meet") == 3
    assert arrivals(world, "ann", "end") == 1
    assert world.reasons("ann", What.BRANCHED)[:3] == ["short", "long", "listen"]
    assert world.reasons("ann", What.ENDED) == ["finished"]


def test_a_way_that_ends_elsewhere_is_not_waited_for():
    steps = {
        "both": fork("short", "listen"),
        "short": wait("1h", next="meet"),
        "listen": wait_for({"type": "interaction", "interaction": "Paid", "next": "meet"}, after="2h", late="lost"),
        "lost": END,
        "meet": join(),
        "end": END,
    }
    world = World(journey(steps))
    world.did("ann", "Go")
    world.after("2h-1s")
    assert standing(world, "ann") == ["listen", "meet"]
    world.after("1s")
    assert world.runs("ann") == []
    assert world.path("ann")[-2:] == ["lost", "end"]


def test_ways_that_are_over_at_once_join_at_once():
    steps = {"both": fork("a", "b"), "a": send("news", next="meet"), "b": send("offer", next="meet")}
    world = World(email("news"), email("offer"), journey(steps | {"meet": join("last"), "last": send("news")}))
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == ["news", "offer", "news"]
    assert world.path("ann") == ["both", "a", "meet", "b", "meet", "last"]


def test_forks_within_forks():
    steps = {
        "outer": fork("inner", "slow"),
        "inner": fork("a", "b"),
        "a": wait("1h", next="small"),
        "b": wait("2h", next="small"),
        "small": join("then"),
        "then": wait("1h", next="large"),
        "slow": wait("1d", next="large"),
        "large": join(),
        "end": END,
    }
    world = World(journey(steps))
    world.did("ann", "Go")
    world.after("2h")
    assert standing(world, "ann") == ["slow", "then"]
    world.after("1h")
    assert standing(world, "ann") == ["large", "slow"]
    world.after("21h")
    assert arrivals(world, "ann", "end") == 1


def test_tokens_of_one_fork_at_several_joins_go_on_from_each():
    steps = {
        "all": fork("a", "b", "c"),
        "a": wait("1h", next="one"),
        "b": wait("2h", next="one"),
        "c": wait("3h", next="other"),
        "one": join("first"),
        "other": join("second"),
        "first": END,
        "second": END,
    }
    world = World(journey(steps))
    world.did("ann", "Go")
    world.after("3h-1s")
    assert standing(world, "ann") == ["c", "one", "one"]
    world.after("1s")
    assert world.runs("ann") == []
    assert (arrivals(world, "ann", "first"), arrivals(world, "ann", "second")) == (1, 1)


def test_a_loop_through_a_fork_and_its_join():
    again = {"type": "decision", "if": {"contact": "tired", "is_missing": True}, "then": "both", "else": "end"}
    steps = {
        "both": fork("a", "b"),
        "a": wait("1h", next="meet"),
        "b": wait("2h", next="meet"),
        "meet": join("again"),
        "again": again,
        "end": END,
    }
    world = World(journey(steps, max_duration="30d"))
    world.did("ann", "Go")
    world.after("7d")
    (run,) = world.runs("ann")
    assert len(run.tokens) == 2
    assert all(len(token.forks) == 1 for token in run.tokens)
    assert arrivals(world, "ann", "again") == 84


def test_a_loop_that_never_joins_is_bounded():
    steps = {"both": fork("a", "b"), "a": wait("1h", next="both"), "b": wait("1h", next="both")}
    world = World(journey(steps, max_duration="2d"))
    world.did("ann", "Go")
    world.after("1d")
    (run,) = world.runs("ann")
    assert len(run.tokens) <= MOST_TOKENS
    assert "too_many_tokens" in world.reasons("ann", What.SKIPPED)
    world.after("1d")
    assert world.runs("ann") == []
    assert world.contact("ann").timers == []


def test_a_run_whose_time_is_up_ends_with_all_its_tokens():
    steps = {"both": fork("a", "b"), "a": wait("1h", next="meet"), "b": wait_for("Paid", next="meet"), "meet": join()}
    world = World(journey(steps | {"end": END}, max_duration="2d"))
    world.did("ann", "Go")
    world.after("2d")
    assert world.runs("ann") == []
    assert world.contact("ann").timers == []
    assert world.reasons("ann", What.ENDED) == ["max_duration"]


def test_one_event_moves_every_token_that_waits_for_it():
    steps = {
        "both": fork("a", "b"),
        "a": wait_for("Paid", next="meet"),
        "b": wait_for("Paid", next="meet"),
        "meet": join(),
        "end": END,
    }
    world = World(journey(steps))
    world.did("ann", "Go")
    world.did("ann", "Paid")
    assert world.runs("ann") == []
    assert arrivals(world, "ann", "end") == 1


# --- trees of forks that are joined well: a join lets one token pass, when the last of its ways is over ----------------

Tree = list[Any] | int
"""A way: so many hours of waiting, or a fork of ways."""

trees = st.recursive(st.integers(1, 9), lambda inner: st.lists(inner, min_size=2, max_size=3), max_leaves=9)


def drawn(tree: Tree) -> tuple[dict[str, Any], str]:
    """The steps of a tree that lead to `end`, and the first of them."""
    steps: dict[str, Any] = {}

    def add(part: Tree, follows: str) -> str:
        name = f"s{len(steps)}"
        if isinstance(part, int):
            steps[name] = wait(f"{part}h", next=follows)
            return name
        steps[name] = None
        meet = f"s{len(steps)}"
        steps[meet] = join(follows)
        steps[name] = fork(*(add(one, meet) for one in part))
        return name

    first = add(tree, "end")
    return steps | {"end": END}, first


def length(tree: Tree) -> int:
    return tree if isinstance(tree, int) else max(map(length, tree))


@examples(40)
@given(trees)
def test_a_well_joined_run_takes_as_long_as_its_longest_way(tree: Tree):
    steps, first = drawn(tree)
    world = World(journey(steps, start=first))
    world.did("ann", "Go")
    hours = length(tree)
    world.after(f"{hours}h-1s")
    assert len(world.runs("ann")) == 1
    world.after("1s")
    assert world.runs("ann") == []
    assert arrivals(world, "ann", "end") == 1
