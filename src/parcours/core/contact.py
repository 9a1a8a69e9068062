"""The state of one contact: everything the fold remembers, one compact value.

`array_like` keeps the encoded form small; new fields go at the end of a struct, with a default, so that states written
before can be read.
"""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.core.coupon import Coupon
from parcours.core.member import Member


class Token(msgspec.Struct, array_like=True, gc=False):
    """One place in the graph where a run stands."""

    id: int
    step: str
    since: int
    forks: list[int] = msgspec.field(default_factory=list)
    """The forks whose join is still ahead, the innermost last."""


class Run(msgspec.Struct, array_like=True):
    """One passage through a journey."""

    id: str
    journey: str
    version: int
    key: str
    started_at: int
    trigger: int
    """The log position of what started it."""
    facts: dict[str, Any]
    """Those attributes of the trigger that conditions of the journey look at later."""
    tokens: list[Token]
    visits: dict[str, int] = msgspec.field(default_factory=dict)
    """How often the run has come to each step that does something."""
    messages: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Message definition to the ids of what this run sent from it, where the journey waits for reactions."""
    reached: dict[str, int] = msgspec.field(default_factory=dict)
    """Goal to when it was reached; 0 for one that was true when the run started, and has not been false since."""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    """What its steps saved, by the names they gave it."""
    seen: dict[str, int] = msgspec.field(default_factory=dict)
    """Branches that accept what came before (`CompiledBranch.prior`), to when the first that fits came;
    in that order."""
    made: int = 1
    """How many tokens and forks were ever made: their numbers."""
    drawn: dict[str, str] = msgspec.field(default_factory=dict)
    """Experiment to the variant that was drawn."""
    test: bool = False
    """Whether it is a test: it is not counted, and what it sends goes to the recipients of tests."""


def under_way(runs: dict[str, Run], key: str) -> bool:
    """Return whether a run of this key is among the runs of a journey."""
    for run in runs.values():  # noqa: SIM110 (asked at every entry; a generator costs more than the loop)
        if run.key == key and not run.test:
            return True
    return False


DATE = -5
"""The token of a timer of the entry of a journey by a date. There is no run."""

OF_PROGRAMME = -2
"""What the timer of a member of a programme has as its token."""


OF_COUPONS = -6
"""What the timer of the coupons of a contact has as its token."""


class Timer(msgspec.Struct, array_like=True, gc=False, order=True):
    """Something that comes due. Timers fire in the order of due time, then of creation.

    A timer of a watched segment has no journey, and the segment's name in place of the run; one of a loyalty programme
    has its name there, and `OF_PROGRAMME` as the token; one of a delayed message has its id there, and `DELAYED`, and
    its journey, so that it waits while that is paused.
    """

    due: int
    created: int
    journey: str
    run: str
    """Empty for an entry that was held while the journey was paused."""
    token: int
    """The token that waits; 0 stands for the whole run, whose time is up, `walk.CLOCK` for its exits and goals, `DELAYED`
    for a message."""


class Held(msgspec.Struct, array_like=True):
    """An entry that is held while its journey is paused."""

    journey: str
    attributes: dict[str, Any]
    """Of what would have started the run."""
    position: int
    cause: str


class Membership(msgspec.Struct, array_like=True, gc=False):
    """Whether a contact is on a list, and when that was said last; the same of a watched segment."""

    member: bool
    at: int
    due: int | None = None
    """The instant of the timer of a segment, None when it has none."""


class Sent(msgspec.Struct, array_like=True):
    """A message that was sent to a contact, and what became of it."""

    message: str
    """The name of its definition."""
    channel: str
    at: int
    reactions: dict[str, int] = msgspec.field(default_factory=dict)
    """Kind of reaction to when it first occurred."""


class Delayed(msgspec.Struct, array_like=True, gc=False):
    """A message that was decided in quiet hours and leaves when they are over: there is a timer for it."""

    id: str
    version: int
    """Of the journey."""
    step: str
    body: bytes
    """The message as the outbox keeps it."""


DELAYED = -3
"""What the timer of a delayed message has in place of a token; it has the id of the message in place of the run."""


class Chain(msgspec.Struct, array_like=True):
    """What follows from one input, or from one timer, while it does (`core.chains`)."""

    ahead: dict[str, dict[str, tuple[int, Any]]] = msgspec.field(default_factory=dict)
    """What tells an input that follows and has not happened yet from every other, to its sums: attribute to 1 or -1, and
    what is added or subtracted."""
    made: dict[str, int] = msgspec.field(default_factory=dict)
    """What makes inputs follow, a step for one, to how many it has made."""


class Contact(msgspec.Struct, array_like=True):
    """A contact. The fold changes it in place: whoever calls the fold has given it away."""

    id: str
    time: int = 0
    """The instant up to which the contact has been folded."""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    addresses: dict[str, str | None] = msgspec.field(default_factory=dict)
    consent: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    counters: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Need id to the times of the latest matching interactions, oldest first."""
    runs: dict[str, dict[str, Run]] = msgspec.field(default_factory=dict)
    """Journey, then run id, to the runs under way."""
    past: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Journey, then key, to the latest entry, for journeys that are entered once a key."""
    timers: list[Timer] = msgspec.field(default_factory=list)
    """Sorted."""
    created: int = 0
    """How many timers were ever made: the order of creation."""
    changed: dict[str, int] = msgspec.field(default_factory=dict)
    """Attribute to when what is known of it occurred: what is older does not replace it."""
    consented: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Channel, then topic, to when that consent was given or withdrawn."""
    merged: list[str] = msgspec.field(default_factory=list)
    """The contacts that were found to be this one, and became part of it."""
    merged_into: str = ""
    """The contact this one became part of. Nothing else is left of it then."""
    lists: dict[str, Membership] = msgspec.field(default_factory=dict)
    """Every list the contact was put on or taken off, by name."""
    erased_at: int = 0
    """When everything about the contact was erased, 0 for never. Nothing else is left of it then."""
    figures: dict[str, list[tuple[int, int, Any]]] = msgspec.field(default_factory=dict)
    """Need id to entries of matching interactions: when it occurred, its place in the log, and a value. Sorted."""
    segments: dict[str, Membership] = msgspec.field(default_factory=dict)
    """Watched segments to whether the contact is a member, and since when it is or is not."""
    revision: int = 0
    """The revision of the plan that the contact was brought up to."""
    messages: dict[str, Sent] = msgspec.field(default_factory=dict)
    """Message id to the latest messages sent, oldest first, where some condition asks for messages."""
    tallies: dict[str, dict[str, list[int]]] = msgspec.field(default_factory=dict)
    """Tally of an entry that asks for something several times, then key, to the times counted, sorted."""
    entries: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Journey to the latest entries, oldest first, for journeys that limit them."""
    ended: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Journey, then key, to when the last run ended, for journeys that are entered again after a pause."""
    over: dict[str, dict[str, Run]] = msgspec.field(default_factory=dict)
    """Journey, then run id, to runs that have ended and can still reach a goal; they have no token."""
    loyalty: dict[str, Member] = msgspec.field(default_factory=dict)
    """Programme to what the contact has in it, also when they left it."""
    awaits: dict[str, tuple[str, str, int]] = msgspec.field(default_factory=dict)
    """Message id of what a step made happen, to the token that goes on when it has: journey, run, token."""

    capped: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """What a cap counts to the latest instants at which a message took a place in it, sorted."""
    delayed: list[Delayed] = msgspec.field(default_factory=list)
    """Messages that wait for the end of quiet hours, in the order of decision."""
    shelf: list[Timer] = msgspec.field(default_factory=list)
    """The timers of runs whose journey is paused, sorted: they do not come due."""
    held: list[Held] = msgspec.field(default_factory=list)
    """Entries that wait for the end of a pause, oldest first."""
    dates: dict[str, int] = msgspec.field(default_factory=dict)
    """Journey that is entered by a date to when its timer is due."""
    coupons: dict[str, Coupon] = msgspec.field(default_factory=dict)
    """Code to the coupon, the oldest first."""
    claimed: dict[str, int] = msgspec.field(default_factory=dict)
    """Reward to how many of it were ever issued to the contact."""
    chain: Chain | None = None
    """What follows from what happened last; None when all of it has happened."""

    @property
    def next_due(self) -> int | None:
        """The instant at which the first timer comes due."""
        return self.timers[0].due if self.timers else None
