"""What may happen in a random workspace, move by move."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from parcours.conditions.durations import parse_duration
from parcours.core.gate import Asked, Called, Happened, Learned
from parcours.core.member import Lot
from parcours.testing.strategies.journeys import lives
from parcours.testing.strategies.names import (
    CITIES,
    DATES,
    DEVICES,
    HOUR,
    INTERACTIONS,
    LISTS,
    ORDERS,
    PAUSES,
    PEOPLE,
    REACTIONS,
    ZONES,
    Data,
    Identities,
)


class Comes(msgspec.Struct, frozen=True):
    """Somebody does something, or tells of themselves."""

    what: Happened | Learned | Asked | Called
    identities: Identities
    age: int
    """How long ago it occurred, in milliseconds; less than 0 is in the future."""
    backfill: bool = False
    """Whether it is history, which triggers nothing."""


class Reacts(msgspec.Struct, frozen=True):
    """Somebody reacts to a message that was sent by then: to the `choice`-th, counted round and round.

    It may be one of somebody who was erased since.
    """

    choice: int
    reaction: str
    attributes: dict[str, Any]


class Repeats(msgspec.Struct, frozen=True):
    """The `choice`-th arrival so far comes again."""

    choice: int


class Erases(msgspec.Struct, frozen=True):
    """The `choice`-th contact there is, counted round and round, is erased."""

    choice: int
    suppress: bool


class Passes(msgspec.Struct, frozen=True):
    """Time goes on, by so many milliseconds."""

    milliseconds: int


class Publishes(msgspec.Struct, frozen=True):
    """Definitions are published."""

    definitions: list[Data]


class Lives(msgspec.Struct, frozen=True):
    """The `choice`-th journey there is comes into another state."""

    choice: int
    changes: Data


class Moves(msgspec.Struct, frozen=True):
    """The runs of a version of the `choice`-th journey are moved to another, steps that wait to any others."""

    choice: int
    before: int
    after: int
    steps: list[int]


Move = Comes | Lives | Moves | Reacts | Repeats | Erases | Passes | Publishes


_attributes = st.fixed_dictionaries(
    {},
    optional={
        "total": st.integers(0, 4) | st.just(1.5),
        "order": st.sampled_from([*ORDERS, 1, None]),
        "due": st.sampled_from(DATES),
    },
)


_known: st.SearchStrategy[Identities] = st.sampled_from(PEOPLE).map(lambda name: (("user_id", name),))


_anonymous: st.SearchStrategy[Identities] = st.sampled_from(DEVICES).map(lambda device: (("anonymous_id", device),))


_both = st.tuples(_known, _anonymous).map(lambda pair: pair[0] + pair[1])


anybody = _known | _known | _anonymous | _both


_ages = st.sampled_from([0] * 5 + [1_000, HOUR, 6 * HOUR, 6 * HOUR + 1, 48 * HOUR, -HOUR, -23 * HOUR, -25 * HOUR])


_topics = st.dictionaries(st.sampled_from(["", "news"]), st.sampled_from(["opted_in", "opted_out"]), max_size=2)


@st.composite
def _learned(draw: st.DrawFn) -> Learned:
    attributes: Data = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "city": st.sampled_from([*CITIES, None]),
                "age": st.integers(0, 4),
                "born": st.sampled_from(["1990-03-04", "2026-03-05", "2026-03-03T12:00:00Z", "nonsense", None]),
                "timezone": st.sampled_from([*ZONES, "Nowhere"]),
                "birthday": st.sampled_from(DATES),
                "email": st.sampled_from(["a@parcours.dev", "nonsense", None]),
                "push_token": st.sampled_from(["token", None]),
                "other": st.just({"nested": ["é", 1.5, None]}),
            },
        )
    )
    addresses: dict[str, str | None] = {}
    if "email" in attributes:
        addresses["email"] = attributes["email"] if attributes["email"] == "a@parcours.dev" else None
    if "push_token" in attributes:
        addresses["push"] = attributes["push_token"]
    consent = draw(st.dictionaries(st.sampled_from(["email", "push"]), _topics, max_size=2))
    lists = draw(st.dictionaries(st.sampled_from(LISTS), st.booleans(), max_size=2))
    evidence = draw(st.sampled_from([{}, {"by": "till 3", "how": "asked"}])) if consent else {}
    return Learned(attributes, addresses, consent, lists, evidence, same=draw(st.integers(0, 4)) == 0)


_comes: st.SearchStrategy[Comes] = st.builds(
    Comes,
    st.builds(Happened, st.sampled_from([*INTERACTIONS, " go "]), _attributes)
    | _learned()
    | st.builds(Called, st.sampled_from(["j0", "j1", "j2"]), _attributes),
    anybody,
    _ages,
    st.sampled_from([False, False, True]),
)


REACHABLE = Learned(
    {"email": "a@parcours.dev", "push_token": "token", "phone": "+12025550123", "city": "Atlanta"},
    {"email": "a@parcours.dev", "push": "token", "sms": "+12025550123"},
    {"email": {"": "opted_in"}, "push": {"": "opted_in"}, "sms": {"": "opted_in"}},
)
"""Somebody to whom everything may be sent."""


does = st.builds(
    Comes,
    st.builds(Happened, st.sampled_from(INTERACTIONS), _attributes),
    anybody,
    st.sampled_from([0, 0, 0, 0, 1_000, 7 * HOUR]),
)


identifies = st.builds(Comes, st.just(REACHABLE), _both, st.just(0))
"""Somebody anonymous turns out to be somebody known."""


usual_moves: st.SearchStrategy[Move] = st.one_of(
    identifies,
    does,
    does,
    does,
    _comes,
    st.builds(Passes, st.sampled_from(PAUSES).map(parse_duration)),
    st.builds(Passes, st.sampled_from(PAUSES).map(parse_duration)),
    st.builds(Reacts, st.integers(0, 20), st.sampled_from(REACTIONS), st.sampled_from([{}, {"channel": "email"}])),
    st.builds(Repeats, st.integers(0, 20)),
)


decided = st.booleans().map(
    lambda approved: Asked(action="review", programme="club", approved=approved, reason="seen", author="eve")
)


_asked = st.one_of(
    st.just(Asked(action="enrol", programme="club")),
    st.just(Asked(action="enrol", programme="club", card="c1")),
    st.integers(1, 4).map(lambda points: Asked(action="spend", programme="club", points=points)),
    st.integers(1, 4).map(lambda points: Asked(action="spend", programme="club", points=points)),
    st.sampled_from([-2, 3]).map(
        lambda points: Asked(
            action="adjust", programme="club", points=points, qualifying=points > 0, reason="sorry", author="eve"
        )
    ),
    st.sampled_from(ORDERS).map(lambda order: Asked(action="refund", programme="club", reference=order)),
    st.just(Asked(action="leave", programme="club")),
    st.just(Asked(action="leave", programme="club")),
    st.sampled_from(["r0", "r1"]).map(
        lambda rule: Asked(action="award", programme="club", lot=Lot("", rule, 0, 2, 2, reference="o1"), author="eve")
    ),
    st.sampled_from(["r0", "r1"]).map(
        lambda rule: Asked(action="award", programme="club", lot=Lot("", rule, 0, 0, 0), author="eve", counted=3)
    ),
    decided,
)


asks: st.SearchStrategy[Move] = st.builds(Comes, _asked, anybody, st.just(0))


gives: st.SearchStrategy[Move] = st.builds(
    Comes,
    st.builds(
        Asked,
        action=st.just("transfer"),
        programme=st.just("club"),
        points=st.integers(1, 5),
        to=anybody.map(lambda identities: identities[0]),
    ),
    anybody,
    st.just(0),
)


turns: st.SearchStrategy[Move] = st.builds(
    Lives,
    st.integers(0, 2),
    st.fixed_dictionaries({"state": st.sampled_from(["live", "live", "paused", "paused", "closed", "stopped"])})
    | lives,
)


migrations: st.SearchStrategy[Move] = st.builds(
    Moves, st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.lists(st.integers(0, 9), min_size=1, max_size=4)
)


erases: st.SearchStrategy[Move] = st.builds(Erases, st.integers(0, 5), st.booleans())
