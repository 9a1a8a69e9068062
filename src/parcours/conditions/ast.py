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
    RUN = "run"
    """The run: its `key`, and what its steps saved, with dots where that is nested."""


class Attribute(msgspec.Struct, frozen=True, tag="attribute"):
    """A comparison of one attribute with a constant: `{contact: city, in: [Atlanta, Seattle]}`."""

    subject: Subject
    name: str
    operator: str
    value: Scalar | tuple[Scalar, ...] | None = None
    ignore_case: bool = False


class Window(msgspec.Struct, frozen=True):
    """Which past counts, by when it occurred; of several limits all hold. All time when there is none.

    Rolling windows are half open, `(now - within, now]`; absolute ones are `[start, end)`. `since` counts from the
    moment the contact came to be where it is asked: `entry` from the start of the run.
    """

    within: int | None = None
    start: int | None = None
    end: int | None = None
    since: str = ""


class Measure(StrEnum):
    """What is made of the interactions that match."""

    COUNT = "count"
    SUM = "sum"
    MINIMUM = "min"
    MAXIMUM = "max"
    FIRST = "first"
    LAST = "last"


class History(msgspec.Struct, frozen=True, tag="history"):
    """A figure over matching interactions, compared with a value.

        {did: Order Completed, times: {at_least: 3}, within: 90d, where: condition}
        {did: [Like, Comment, Share], times: 5, within: 48h}                           any of a set
        {did: Order Completed, sum: {of: total, at_least: 100}, within: 30d}
        {did: Order Completed, last: {of: category, is: shoes}}

    `interactions` are folded names. `where` looks at attributes of each past interaction as it arrived, so no operator
    that depends on now stands in it. A count takes an operator of `operators.COUNTS` and a whole number; a sum one of
    `operators.SUMS`, and adds `operators.millionths`; `min`, `max`, `first` and `last` take one of
    `operators.OPERATORS`, asked of the value of `attribute`. A sum of nothing is 0. Of nothing there is no least,
    greatest, first or last value: it is missing. Sum, least and greatest pass over values that are no numbers; first
    and last take the attribute of the first and last interaction that has it. At one instant, what arrived first is
    first.
    """

    interactions: tuple[str, ...]
    operator: str
    value: Scalar | tuple[Scalar, ...] | None
    measure: Measure = Measure.COUNT
    attribute: str = ""
    where: Node | None = None
    window: Window = Window()
    ignore_case: bool = False


class SequenceStep(msgspec.Struct, frozen=True):
    """One step of a sequence: an interaction that follows the one before, or that does not.

    `within` is how long after the step before at the latest, in milliseconds: less than that, or None for any time
    after. At one instant, what arrived later follows what arrived earlier.
    """

    interactions: tuple[str, ...]
    where: Node | None = None
    within: int | None = None
    absent: bool = False
    """It does not happen: only the last step, with `within`; true once that time is over without it."""


class Sequence(msgspec.Struct, frozen=True, tag="sequence"):
    """Whether interactions happened one after the other.

        {sequence: [{did: Product Viewed}, {did: Order Completed, within: 7d}]}        A then B within 7 days
        {sequence: [{did: Product Viewed}, {did_not: Order Completed, within: 7d}]}    A then not B within 7 days

    Every step that happens lies in `window`.
    """

    steps: tuple[SequenceStep, ...]
    window: Window = Window()


class MessageHistory(msgspec.Struct, frozen=True, tag="messages"):
    """How often messages were sent to the contact, or reacted to.

        {messages: opened, of: welcome, times: {at_least: 2}, within: 30d}

    `reaction` is `sent` or one of `core.gate.REACTIONS`. `of` are names of message definitions, none for any;
    `channel` is empty for any. A reaction counts once a message and kind, at its first time.
    """

    reaction: str
    operator: str
    count: int
    of: tuple[str, ...] = ()
    channel: str = ""
    window: Window = Window()


class InList(msgspec.Struct, frozen=True, tag="list"):
    """Whether the contact is on a list: `{list: vip}`."""

    name: str


class InSegment(msgspec.Struct, frozen=True, tag="segment"):
    """Whether the contact is a member of a segment: `{segment: regulars}`."""

    name: str


class Consent(msgspec.Struct, frozen=True, tag="consent"):
    """The contact's consent for a channel and topic: `{consent: email, topic: news, is: opted_in}`."""

    channel: str
    state: str
    topic: str = ""


class Sample(msgspec.Struct, frozen=True, tag="sample"):
    """Whether the contact is in a random part of everybody that stays the same: `{sample: october, percent: 10}`.

    Draws of different names have nothing to do with one another; parts of one draw that do not overlap share nobody.
    `conditions.samples` says how it is drawn.
    """

    seed: str
    percent: float
    start: float = 0
    """The percentage at which the part begins: `from`."""


class Points(msgspec.Struct, frozen=True, tag="points"):
    """How many points the contact has in a programme: `{points: club, at_least: 100}`. False of who was never a member.

    `kind` is one of `POINTS`: what can be spent, what is held, what counts towards tiers in the period under way (of a
    programme that counts money, in millionths), what was ever earned. An operator of `operators.COUNTS` compares it.
    """

    programme: str
    operator: str
    value: int
    kind: str = "spendable"


class Tier(msgspec.Struct, frozen=True, tag="tier"):
    """The contact's tier in a programme: `{tier: club, in: [silver, gold]}`, `{tier: club, at_least: silver}`.

    The operator is `is`, `in` or `at_least`. False of who has none.
    """

    programme: str
    operator: str
    names: tuple[str, ...]


class IsMember(msgspec.Struct, frozen=True, tag="member"):
    """Whether the contact is a member of a programme now: `{member: club}`."""

    programme: str


class HasReward(msgspec.Struct, frozen=True, tag="reward"):
    """Whether a coupon of a reward was issued to the contact, or redeemed, or can be redeemed now.

    `{reward: ten-percent, is: redeemed, within: 30d}`. Within 0 is ever.
    """

    reward: str
    state: str = "issued"
    within: int = 0


class All(msgspec.Struct, frozen=True, tag="all"):
    """True when every part is true; true when there are none."""

    parts: tuple[Node, ...]


class Any(msgspec.Struct, frozen=True, tag="any"):
    """True when at least one part is true; false when there are none."""

    parts: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """True when its part is false. Logic has two values: a comparison with a missing value is false, its Not true."""

    part: Node


OfMember = Points | Tier | IsMember | HasReward
"""What looks at a member of a programme, or at coupons."""

Node = (
    Attribute
    | History
    | Sequence
    | MessageHistory
    | InSegment
    | InList
    | Consent
    | Sample
    | Points
    | Tier
    | IsMember
    | HasReward
    | All
    | Any
    | Not
)
