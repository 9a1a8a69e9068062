"""Random scenarios: a workspace and what happens in it."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from parcours.conditions.durations import parse_duration
from parcours.core.gate import Asked, Happened
from parcours.testing.strategies.moves import (
    REACHABLE,
    Comes,
    Move,
    Passes,
    Publishes,
    Repeats,
    anybody,
    asks,
    decided,
    does,
    erases,
    gives,
    identifies,
    migrations,
    turns,
    usual_moves,
)
from parcours.testing.strategies.names import DEVICES, HOUR, ORDERS, PAUSES, PEOPLE, Data
from parcours.testing.strategies.programmes import programmes
from parcours.testing.strategies.workspace import RING, changes, definitions, messages


class Scenario(msgspec.Struct, frozen=True):
    """A workspace, and what happens."""

    definitions: list[Data]
    known: list[Comes]
    """What is known of people before the definitions are published."""
    moves: list[Move]


@st.composite
def scenarios(
    draw: st.DrawFn, *, longest: int = 30, publishing: bool = True, erasing: bool = True, loyalty: bool = False
) -> Scenario:
    """Return a workspace and what happens in it.

    Args:
        draw: Given by Hypothesis.
        longest: How many moves there may be.
        publishing: Whether definitions may be published later, too.
        erasing: Whether contacts may be erased.
        loyalty: Whether there may be a programme with its rules, and members of it.
    """
    known = [Comes(REACHABLE, (("user_id", name),), 0) for name in PEOPLE if draw(st.integers(0, 3))]
    moves = usual_moves | st.builds(Publishes, changes()) if publishing and draw(st.booleans()) else usual_moves
    if publishing and draw(st.booleans()):
        others = moves | does
        # Alternatives that are given twice are one, so that is no way to draw more of them.
        often = [turns, does, st.builds(Publishes, changes()) | migrations]
        moves = st.integers(0, 4).flatmap(lambda die: [*often, others, others][die])
    if erasing and draw(st.booleans()):
        moves |= erases
    found = draw(definitions())
    if draw(st.integers(0, 9)) == 0:
        found += RING
    if loyalty and draw(st.integers(0, 3)):
        found += draw(programmes())
        moves = moves | asks | asks | gives
        if publishing and draw(st.booleans()):
            moves |= st.builds(Publishes, programmes())
    # A length that is drawn by itself is often large; that of a plain list hardly ever is.
    length = draw(st.integers(3, longest))
    begun = draw(st.lists(does, min_size=min(4, length), max_size=4))  # journeys are entered in most scenarios
    return Scenario(found, known, [*begun, *draw(st.lists(moves, min_size=length, max_size=length))])


_of_members = st.one_of(
    st.tuples(
        st.sampled_from(["spendable", "held", "qualifying", "lifetime"]),
        st.sampled_from(["at_least", "less_than", "exactly"]),
        st.integers(0, 6),
    ).map(lambda drawn: {"points": "club", "kind": drawn[0], drawn[1]: drawn[2]}),
    st.just({"member": "club"}),
)


_of_tiers = st.sampled_from([{"tier": "club", "is": "blue"}, {"tier": "club", "at_least": "gold"}])


_buys: st.SearchStrategy[Move] = st.builds(
    Comes,
    st.builds(
        Happened,
        st.sampled_from(["Go", "Paid", "Paid", "Seen"]),
        st.fixed_dictionaries({}, optional={"total": st.integers(1, 4), "order": st.sampled_from(ORDERS)}),
    ),
    anybody,
    st.sampled_from([0, 0, 0, HOUR, 48 * HOUR]),
)


@st.composite
def loyal_scenarios(draw: st.DrawFn, *, longest: int = 40) -> Scenario:
    """Return a programme with its rules, and what its members do: hardly anything else happens."""
    everybody = [("user_id", name) for name in PEOPLE] + [("anonymous_id", name) for name in DEVICES]
    known = [Comes(Asked(action="enrol", programme="club"), (identity,), 0) for identity in everybody]
    passes = st.builds(Passes, st.sampled_from(PAUSES).map(parse_duration))
    moves: st.SearchStrategy[Move] = _buys | _buys | _buys | asks | asks | passes | passes
    moves |= identifies | st.builds(Repeats, st.integers(0, 20))
    if draw(st.booleans()):
        moves |= erases
    club = draw(programmes(budgets=True))
    if draw(st.integers(0, 2)) == 0:
        # Awards that wait for somebody, and somebody who decides: both are seldom by themselves.
        club = [item | {"hold_if": {"all": []}} if "points" in item else item for item in club]
        moves |= st.builds(Comes, decided, anybody, st.just(0))
    if "transfer" in club[0]:
        moves |= gives
    length = draw(st.integers(3, longest))
    drawn = draw(st.lists(moves, min_size=length, max_size=length))
    asked = _of_members | _of_tiers if "tiers" in club[0] else _of_members
    watched = [
        {"kind": "segment", "name": f"w{index}", "condition": draw(asked | asked.map(lambda part: {"not": part}))}
        for index in range(draw(st.integers(0, 2)))
    ]
    live = [segment | {"live": True} for segment in watched]
    return Scenario([*messages(), *club, *live], [], [*known, *drawn])
