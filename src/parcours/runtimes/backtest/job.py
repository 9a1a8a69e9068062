"""What a backtest is asked for, what it assumes, and what it comes to, as counts that can be added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Protocol

import msgspec

from parcours.core.inputs import Input, Publish
from parcours.core.member import Lot
from parcours.definitions.common import Duration, Interactions
from parcours.errors import ParcoursError

QUARTER = 900_000
"""Messages are counted by quarters of an hour: days and hours of every zone are made of these."""

USUAL_DELAYS = {"delivered": 10_000, "opened": 3_600_000, "clicked": 3_660_000, "bounced": 10_000}
"""Milliseconds after which somebody reacts who does."""


class BacktestError(ParcoursError):
    """A backtest cannot be run as it was asked for."""

    code = "invalid_backtest"


class Past(Protocol):
    """What was recorded."""

    def publications(self) -> list[Publish]:
        """Return every publication, in order."""
        ...

    def people(self, shard: int, shards: int) -> Iterator[tuple[str, list[Input]]]:
        """Yield each person of a share of all of them, with what is known of them in the order of the log."""
        ...

    def issued(self) -> list[tuple[int, str]]:
        """Return when rewards were issued, and which, as far as that is recorded."""
        ...

    def filled(self) -> list[tuple[int, int, str, int]]:
        """Return when codes were put into pools, with the place in the log: of which reward, and how many."""
        ...

    def ever_issued(self, reward: str) -> int:
        """Return how many of a reward were ever issued, also to those who were erased."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class AssumedReaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people react to messages."""

    share: Share
    """Of the messages that are sent."""
    after: Duration | None = None
    """How long after the message; `USUAL_DELAYS` otherwise."""


class AssumedAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a service answers."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200
    """Of HTTP: with one that is not 2xx the call has failed."""
    body: Any = None
    share: Share = 1.0
    """Of the calls that are answered so."""
    after: Duration = "1s"


class AssumedEntries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When somebody would ask over the API for a contact to enter: after an interaction, with its attributes."""

    interaction: Interactions
    share: Share = 1.0
    """Of the interactions after which it is asked."""
    after: Duration | None = None
    """How long after the interaction; at once otherwise."""


class Assumptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is not recorded and has to be assumed."""

    reactions: dict[str, AssumedReaction] = {}
    """Kind of reaction to how people react so."""
    webhooks: dict[str, AssumedAnswer | list[AssumedAnswer]] = {}
    """`STEP` or `JOURNEY/STEP` to what is answered, in shares; the rest fails."""
    entries: dict[str, AssumedEntries] = {}
    """Journey with an API entry to when somebody would ask for it; these take the place of recorded ones."""
    stock: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    """Reward to how many are left at the start; what is recorded otherwise."""


USUAL_ANSWER = AssumedAnswer()
"""What is answered to a call of which nothing is recorded or stated."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run."""

    definitions: list[dict[str, Any]]
    """The drafts, and whatever they need that is not published or is to be different."""
    start: int
    end: int
    """Milliseconds; what happens after the start, and at or before the end, counts."""
    rates: dict[str, float] = {}
    """Kind of reaction to the share of messages that are assumed to be reacted to so, of those sent."""
    delays: dict[str, int] = {}
    """Kind of reaction to milliseconds after the decision; `USUAL_DELAYS` otherwise."""
    assume: Assumptions = msgspec.field(default_factory=Assumptions)
    """What else is assumed; `rates` and `delays` go before its reactions."""
    with_live: bool = False
    """Let the journeys that are live take part, so that caps are shared; only drafts are reported."""
    everybody: bool = False
    """Let everybody be a member of the programmes from the start, or from when they are known."""
    retroactive: str = ""
    """A rule of which every award is told, for it to be applied to the past; its own start and end hold then."""
    before: int = 0
    """Awards for what occurred before this are told."""
    baseline: bool = False
    """There need be no drafts: what is live is run, to compare with."""


Posted = tuple[str, str, int, str]
"""Programme, rule, day and kind of entries of the ledger."""


class PastAward(msgspec.Struct):
    """What a rule would have given for one interaction."""

    contact: str
    at: int
    """When that occurred."""
    position: int
    """Its place in the log; 0 for one that follows from another."""
    key: str
    """Stands for the rule and the interaction."""
    lot: Lot
    """What is left of it at the end, but for what expired or was spent: as if it were given now."""
    counted: int = 0
    """In place of an award: how often the rule was met, of one that gives every so-manieth time."""


class Asking(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A reward of which there are only so many was asked for. What was asked for first comes first."""

    at: int
    position: int
    """The place in the log of what it follows from; 0 for time, which comes first at any instant."""
    contact: str
    turn: int
    """Tells what is asked for one person at one instant."""
    reward: str
    recorded: bool
    """Whether it was issued by something else than what is tried, as it was recorded."""


class Shortage(msgspec.Struct, frozen=True, array_like=True):
    """From one asking on there is nothing left of a reward, until codes are put into its pool."""

    since: Asking
    reason: str
    """`out_of_stock` or `pool_empty`."""
    until: tuple[int, int] | None = None
    """When that is, with the place in the log."""

    def covers(self, asking: Asking) -> bool:
        """Return whether somebody asks for it when there is none."""
        return self.since <= asking and (self.until is None or (asking.at, asking.position) < self.until)


class Counts(msgspec.Struct):
    """What a share of people came to; shares are added."""

    people: int = 0
    inputs: int = 0
    entered: Counter[str] = msgspec.field(default_factory=Counter)
    """People that entered, by journey."""
    trace: Counter[tuple[str, str, str, str]] = msgspec.field(default_factory=Counter)
    """Decisions by journey, step, what and reason."""
    sent: Counter[tuple[str, str, int]] = msgspec.field(default_factory=Counter)
    """Messages by journey, message and quarter of an hour."""
    waiting: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Tokens at the end, by journey and step."""
    under_way: Counter[str] = msgspec.field(default_factory=Counter)
    """Runs at the end, by journey."""
    calls: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """Calls of webhooks by journey, step, and what became of them: `recorded`, `answered`, `failed`, `unheeded`."""
    assumed: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """How often something was assumed: `reaction` or `entry`, and which."""
    recorded: Counter[str] = msgspec.field(default_factory=Counter)
    """Recorded entries over the API, by journey."""
    given: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """Rewards that steps gave, by journey, step, and why not."""
    issued: Counter[str] = msgspec.field(default_factory=Counter)
    """Rewards that were issued."""
    declined: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Rewards that were not, with the reason."""
    askings: list[Asking] = msgspec.field(default_factory=list)
    """For rewards of which there are only so many."""

    entries: Counter[Posted] = msgspec.field(default_factory=Counter)
    """Entries of the ledger by programme, rule, day and kind."""
    amounts: Counter[Posted] = msgspec.field(default_factory=Counter)
    """What they added to what can be spent."""
    helds: Counter[Posted] = msgspec.field(default_factory=Counter)
    """What they added to what is held."""
    awards: Counter[str] = msgspec.field(default_factory=Counter)
    """How often each rule gave."""
    touched: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """People with entries, by programme and rule; those with any under no rule."""
    withheld: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """How often a rule gave nothing, by rule and reason."""
    members: Counter[str] = msgspec.field(default_factory=Counter)
    """Members at the end, by programme."""
    balances: Counter[str] = msgspec.field(default_factory=Counter)
    """What they can spend at the end."""
    held: Counter[str] = msgspec.field(default_factory=Counter)
    """What is held for them at the end."""

    ran_out: dict[str, int] = msgspec.field(default_factory=dict)
    """Rule to when its budget was not enough for the first time."""
    past: list[PastAward] = msgspec.field(default_factory=list)
    """What the rule gives that is to be applied to the past."""

    def add(self, other: Counts) -> None:
        """Add what another share came to."""
        self.people += other.people
        self.inputs += other.inputs
        self.past += other.past
        self.askings += other.askings
        for field in self.__struct_fields__:
            if isinstance(mine := getattr(self, field), Counter):
                mine.update(getattr(other, field))
