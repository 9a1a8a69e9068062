"""The tree of conditions: frozen values, compared and hashed by content.

A tree is written as plain data (YAML, JSON) and read by `conditions.parse`; these structs are what the compilers walk.
Durations are milliseconds; instants are integer milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

Scalar = str | int | float | bool


class Subject(StrEnum):
    """What an attribute belongs to."""

    CONTACT = "contact"
    """The contact the question is asked of."""
    TRIGGER = "interaction"
    """The interaction that is being looked at: the one that arrived, or the one that started the run."""


class Attribute(msgspec.Struct, frozen=True, tag="attribute"):
    """A comparison of one attribute with a constant: `{contact: city, in: [Atlanta, Seattle]}`."""

    subject: Subject
    name: str
    operator: str
    value: Scalar | tuple[Scalar, ...] | None = None
    ignore_case: bool = False


class History(msgspec.Struct, frozen=True, tag="history"):
    """How often matching interactions happened: `{did: Order Completed, times: {at_least: 3}, within: 90d}`.

    `interaction` is the folded name. `where` looks at the attributes of each past interaction, at the moment it
    arrived. `within` is the window's length in milliseconds, `(now - within, now]`; None is all time.
    """

    interaction: str
    operator: str
    count: int
    where: Node | None = None
    within: int | None = None


class InSegment(msgspec.Struct, frozen=True, tag="segment"):
    """Whether the contact is a member of a segment: `{segment: regulars}`."""

    name: str


class Consent(msgspec.Struct, frozen=True, tag="consent"):
    """The contact's consent for a channel and topic: `{consent: email, topic: news, is: opted_in}`."""

    channel: str
    state: str
    topic: str = ""


class All(msgspec.Struct, frozen=True, tag="all"):
    """True when every part is true; true when there are none."""

    parts: tuple[Node, ...]


class Any(msgspec.Struct, frozen=True, tag="any"):
    """True when at least one part is true; false when there are none."""

    parts: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """True when its part is false. Logic has two values: a comparison with a missing value is false, its Not true."""

    part: Node


Node = Attribute | History | InSegment | Consent | All | Any | Not
