"""What the fold says should follow: messages to send, inputs of our own, and the trace of what was decided."""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.core.inputs import Input

TEST = "test-"
"""How the ids of runs begin that are tests: these are not counted."""


class What:
    """What a trace entry tells. Statistics count entries by journey, version, step, this and reason.

    Plain text rather than an enumeration: these are hashed and written for every decision.
    """

    ENTERED = "entered"
    REFUSED = "refused"
    """An entry that was not allowed; the reason says why."""
    NOT_COUNTED = "not_counted"
    """An interaction that its definition's rule does not count."""
    LATE = "late"
    """An interaction too old to start or move a journey."""
    ARRIVED = "arrived"
    BRANCHED = "branched"
    """A step was left; the reason names the way that was taken."""
    MOVED = "moved"
    """A token was moved to another version of its journey, which the detail names; the reason names its step there."""
    SWITCHED = "switched"
    """A run goes on in another version of its journey, which the reason names; told once, under the one it was on."""
    PASSED = "passed"
    """A token left a join: on its way on (`next`), or into the one that goes on (`merged`)."""
    DREW = "drew"
    """A run drew a variant of an experiment for the first time; the reason names it."""
    CONVERTED = "converted"
    """A run that drew a variant of an experiment reached a goal; the reason is `VARIANT/GOAL`."""
    SENT = "sent"
    """A message left; the reason names it."""
    SUPPRESSED = "suppressed"
    """A message is not sent; the reason says why."""
    HELD = "held"
    """A message was decided and leaves when quiet hours are over; the reason names it."""
    CALLED = "called"
    """A webhook is to be called."""
    UNDELIVERED = "undelivered"
    """A message could not be delivered, or a call failed for good; the reason is that of `inputs.Failure`."""
    SKIPPED = "skipped"
    """Something a step was to do was not done; the reason says why."""
    FAILED = "failed"
    """A step could not do what it was to do, and its run ends; the reason says why."""
    ENDED = "ended"
    GOAL = "goal"
    """A goal was reached; the reason names it."""
    JOINED = "joined"
    """A watched segment was entered; the reason names it."""
    LEFT = "left"
    """A watched segment was left; the reason names it."""
    DROPPED = "dropped"
    """A token was taken off its step, for its run ended; the reason says why."""
    PAUSED = "paused"
    """The journey of a run was paused: nothing of it moves."""
    RESUMED = "resumed"
    """The journey of a run is no longer paused."""
    CANCELLED = "cancelled"
    """A message that was decided and not sent yet is not sent; the reason says why."""
    MERGED = "merged"
    """Two contacts became one; the detail names the other."""

    ENROLLED = "enrolled"
    """Somebody became a member of a programme, which the reason names."""
    RESIGNED = "resigned"
    """A member left a programme, which the reason names."""
    AWARDED = "awarded"
    """A rule gave something; the reason names it."""
    WITHHELD = "withheld"
    """A rule gave nothing, though it was met; the reason says why."""
    CARRIED = "carried"
    """What a rule that gives every so-manieth time had counted in the past was added; the reason names it."""
    DECLINED = "declined"
    """Points were not spent, given, adjusted or reversed; the reason says why."""
    BOOKED = "booked"
    """An entry was made in the ledger; the reason is its kind."""
    REVIEWED = "reviewed"
    """Points that were put aside were approved or refused, which the reason tells."""
    TIER = "tier"
    """A member came to another tier, which the reason names."""
    ISSUED = "issued"
    """A reward was issued, which the reason names; so it does of what becomes of its coupon."""
    RESERVED = "reserved"
    RELEASED = "released"
    """A reservation of a coupon is over."""
    REDEEMED = "redeemed"
    REOPENED = "reopened"
    """A coupon can be redeemed again, for what it was redeemed with came back."""
    VOIDED = "voided"
    """A coupon was cancelled."""
    LAPSED = "lapsed"
    """A coupon is not valid any more."""


OF_REWARDS = frozenset(
    {What.ISSUED, What.RESERVED, What.RELEASED, What.REDEEMED, What.REOPENED, What.VOIDED, What.LAPSED}
)
"""What is decided about rewards and their coupons."""

OF_LOYALTY = frozenset(
    {
        What.ENROLLED,
        What.RESIGNED,
        What.AWARDED,
        What.WITHHELD,
        What.CARRIED,
        What.DECLINED,
        What.BOOKED,
        What.REVIEWED,
        What.TIER,
    }
)
"""What is decided about members of programmes; none of it is of a journey."""


class Trace(msgspec.Struct, array_like=True, gc=False):
    """One decision."""

    at: int
    what: str
    """One of `What`."""
    journey: str = ""
    version: int = 0
    run: str = ""
    step: str = ""
    reason: str = ""
    detail: dict[str, Any] | None = None
    """Values seen, when they say more than the reason."""


class Message(msgspec.Struct, array_like=True, kw_only=True):
    """A message that was decided and is to be sent, once."""

    id: str
    contact: str
    channel: str
    address: str
    message: str
    version: int
    """Which publication of the message's definition: the number of versions of it up to that one."""
    journey: str
    run: str
    decided_at: int
    trigger: int
    """The log position of what started the run: its attributes are fetched when the text is made."""
    attributes: dict[str, Any]
    """The contact's attributes at the moment of the decision."""
    priority: int = 0
    """What of a channel leaves first: the higher."""
    position: int = 0
    """The log position of the input at which it was decided, 0 for a timer."""
    held_since: int = 0
    """When it was decided, if quiet hours held it and `decided_at` is when they were over; else 0."""
    key: str = ""
    """Of the run."""
    started_at: int = 0
    """Of the run."""
    saved: dict[str, Any] = msgspec.field(default_factory=dict)
    """What steps of the run saved, by the names they gave it."""
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Of the contact at the moment of the decision; so are the lists it was on."""
    lists: list[str] = msgspec.field(default_factory=list)
    step: str = ""
    journey_version: int = 0
    loyalty: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """What the contact had in programmes at the moment of the decision."""
    rewards: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """The latest coupon of each reward that the contact had then."""


class Entry(msgspec.Struct, array_like=True, kw_only=True):
    """One entry of the ledger of a member. It is never changed.

    A balance is the sum of the amounts of all entries, what is held the sum of theirs.
    """

    id: str
    contact: str
    programme: str
    sequence: int
    """Its place among the entries of the member, from 1 on."""
    at: int
    """When it was made. Entries of a member are made in the order of time."""
    day: int
    """The day of that in the zone of the programme: 20261231."""
    kind: str
    """One of `KINDS`."""
    amount: int
    """What it adds to what can be spent."""
    held: int
    """What it adds to what is held."""
    balance: int
    """What can be spent after it."""
    pending: int
    """What is held after it."""
    rule: str = ""
    position: int = 0
    """The place in the log of the input that made it; 0 for time alone."""
    occurred_at: int = 0
    """When that occurred; the same as `at` for time alone."""
    lot: str = ""
    """The entry with which these points came."""
    reference: str = ""
    """The order that it is about; of `transferred`, what the entries of both members have in common."""
    reason: str = ""
    author: str = ""
    other: str = ""
    """The contact that they were given to, or come from."""


KINDS: dict[str, str] = {
    "pending": "earned, and held",
    "earned": "earned, and can be spent",
    "spent": "spent",
    "expired": "expired",
    "reversed": "reversed, for what earned them was taken back",
    "adjusted": "adjusted by hand",
    "transferred": "given to another member, or received from one",
    "forfeited": "lost on leaving the programme",
    "merged": "moved with the contact that became part of another",
    "erased": "gone with the contact that was erased",
}
"""The kinds of entries of the ledger, and what each says."""


class Draw(msgspec.Struct, frozen=True):
    """What a rule took from a budget, or with numbers below zero gave back to it."""

    key: str
    """Of the budget."""
    period: int
    """The first instant of the period that it is of; 0 for ever."""
    times: int
    points: int


class Effects(msgspec.Struct):
    """What follows from one input, in the order of decision."""

    messages: list[Message] = msgspec.field(default_factory=list)
    trace: list[Trace] = msgspec.field(default_factory=list)
    follows: list[Input] = msgspec.field(default_factory=list)
    """Inputs of the same contact that happen at once: what a step records, a journey that a step starts. A `Receive`
    names the contact whose it is, which is another.

    They have an instant and a message id of their own, and no place in the log yet: whoever calls the fold gives them
    one, writes them down and folds them, in this order, before anything else happens to the contact, and what follows
    from each before the next (`core.chains`). A log that is folded anew has them already."""
    ledger: list[Entry] = msgspec.field(default_factory=list)
    draws: list[Draw] = msgspec.field(default_factory=list)
    """What was taken from budgets of rules. Whoever calls the fold counts it, together with keeping the rest."""
    position: int = 0
    """The log position of the input from which this follows, 0 for a timer."""
    cut: int = 0
    """How often something was left out that would follow, since it may be for ever."""
