"""What can happen to a contact, as the log keeps it.

All instants are integer milliseconds since the epoch, UTC. `received_at` is ours and never goes back within a log;
`occurred_at` is the sender's, corrected and never after `received_at`. `position` is the input's place in the log, from
1 on; timers that come due are not in the log, for the inputs and the plan decide them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.core.contact import Contact
from parcours.core.member import Lot, Portion

Left = tuple[int, int]
"""What is left of a budget: how often, and how many points; below zero stands for any number."""


class Interaction(msgspec.Struct, array_like=True, tag="interaction", kw_only=True):
    """The contact did something."""

    position: int
    received_at: int
    occurred_at: int
    name: str
    """Folded, as definitions are looked up by it."""
    attributes: dict[str, Any]
    source: str = ""
    message_id: str = ""
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Those that were nobody's and are the contact's from now on."""
    backfill: bool = False
    """It is history: it counts, and triggers nothing at all."""
    spelling: str = ""
    """How the name was written, on the first interaction of a name that nobody defined: what people are shown."""
    budgets: dict[str, Left] | None = None
    """What is left of the budgets of rules that look at it, by their keys; None when none of them has any."""


class Update(msgspec.Struct, array_like=True, tag="update", kw_only=True):
    """What is known of the contact changed. Keys that are absent stay; a None removes."""

    position: int
    received_at: int
    occurred_at: int
    attributes: dict[str, Any]
    addresses: dict[str, str | None]
    """Channel to a valid address, or to None when the one given is not valid."""
    consent: dict[str, dict[str, str]]
    identities: list[tuple[str, str]]
    """Those that were nobody's and are the contact's from now on."""
    source: str = ""
    message_id: str = ""
    lists: dict[str, bool] = msgspec.field(default_factory=dict)
    """List to whether the contact is put on it (true) or taken off."""
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    """Who recorded the consent (`by`) and in what way (`how`)."""
    backfill: bool = False
    """It is history: it is remembered, and triggers nothing at all."""


CANCELLED = "cancelled"
"""The reaction by which the engine tells that a message is not sent after all; nobody else may."""


class Failure(msgspec.Struct, array_like=True):
    """What of a journey could not be done: a message was not delivered, a call failed for good."""

    reason: str
    """`bounced` when a provider told it later, `refused` when it would not take it, `given_up` after too many tries."""
    journey: str = ""
    """Where it was decided; empty until the engine has found it."""
    version: int = 0
    run: str = ""
    step: str = ""


class Reaction(msgspec.Struct, array_like=True, tag="reaction", kw_only=True):
    """Something became of a message: it was delivered, opened, clicked, bounced, complained of or unsubscribed from."""

    position: int
    received_at: int
    occurred_at: int
    reaction: str
    message: str
    attributes: dict[str, Any]
    source: str = ""
    message_id: str = ""
    failure: Failure | None = None
    """What could not be done, if it tells that, and is the first to tell it of the message."""


class Enter(msgspec.Struct, array_like=True, tag="enter", kw_only=True):
    """The contact is to enter a journey: it is in the segment that is read, a step starts it, or somebody asked."""

    position: int
    received_at: int
    occurred_at: int
    journey: str
    version: int
    source: str = ""
    message_id: str = ""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    """What conditions and templates of the journey may look at, as they do at attributes of an interaction."""
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Those that were nobody's and are the contact's from now on."""
    test: bool = False
    """Whether it is a test: it begins whatever the entry asks for, and ends the one before."""


class Absorb(msgspec.Struct, array_like=True, tag="absorb", kw_only=True):
    """Another contact was found to be this one, and becomes part of it."""

    position: int
    received_at: int
    occurred_at: int
    other: Contact
    """The other's whole state at that moment, its due timers fired."""
    source: str = ""
    message_id: str = ""
    backfill: bool = False
    """It was history that told it: it triggers nothing."""


class Dissolve(msgspec.Struct, array_like=True, tag="dissolve", kw_only=True):
    """This contact was found to be another, and becomes part of it. The `Absorb` of the other comes next in the log."""

    position: int
    received_at: int
    occurred_at: int
    into: str
    source: str = ""
    message_id: str = ""


class Erase(msgspec.Struct, array_like=True, tag="erase", kw_only=True):
    """Everything about the contact is to be forgotten, and is: what came before it in the log is `Erased`."""

    position: int
    received_at: int
    occurred_at: int
    source: str = ""
    message_id: str = ""


class Erased(msgspec.Struct, array_like=True, tag="erased", kw_only=True):
    """What is left of an input of a contact that was erased, or whose time to be kept is over: that there was one."""

    position: int
    received_at: int
    occurred_at: int
    source: str = ""
    message_id: str = ""
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Those that became the contact's with it: none of an erased contact's."""


class Enrol(msgspec.Struct, array_like=True, tag="enrol", kw_only=True):
    """The contact becomes a member of a programme, or comes back to it."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Those that were nobody's and are the contact's from now on."""
    card: str = ""
    source: str = ""
    message_id: str = ""


class Leave(msgspec.Struct, array_like=True, tag="leave", kw_only=True):
    """The contact leaves a programme."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    reason: str = ""
    source: str = ""
    message_id: str = ""


class Spend(msgspec.Struct, array_like=True, tag="spend", kw_only=True):
    """The contact is to pay with points: all of them or, when they are not there, none."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    points: int
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    reference: str = ""
    """What they are spent for: an order."""
    reason: str = ""
    author: str = ""
    source: str = ""
    message_id: str = ""


class Adjust(msgspec.Struct, array_like=True, tag="adjust", kw_only=True):
    """Somebody gives points by hand, or with a number below zero takes them."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    points: int
    reason: str
    author: str
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    qualifying: bool = False
    """Whether they count towards tiers."""
    source: str = ""
    message_id: str = ""
    rule: str = ""
    """What gives them, when it is no hand: then they are earned, as by a rule of this name."""


class Refund(msgspec.Struct, array_like=True, tag="refund", kw_only=True):
    """An order is taken back: what it earned is reversed."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    reference: str
    """The order."""
    whole: bool
    attributes: dict[str, Any]
    """What came back, as the interaction that earned the points tells it: a total, or lines."""
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    source: str = ""
    message_id: str = ""


class Review(msgspec.Struct, array_like=True, tag="review", kw_only=True):
    """Somebody approves or refuses points that were put aside."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    lot: str
    """The entry with which the points came; empty for all of the member that are in review."""
    approved: bool
    reason: str
    author: str
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    source: str = ""
    message_id: str = ""


class Award(msgspec.Struct, array_like=True, tag="award", kw_only=True):
    """Somebody applies a rule to the past: a member has what it would have given for one interaction.

    It occurred when that did. Its message id is derived from the rule and the interaction, so once is once. With `counted` it
    gives nothing, and says how often a rule that gives every so-manieth time was met in the past.
    """

    position: int
    received_at: int
    occurred_at: int
    programme: str
    lot: Lot
    """What the rule would have given, less what was taken back since."""
    author: str
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    source: str = ""
    message_id: str = ""
    budgets: dict[str, Left] | None = None
    """As of an interaction."""
    counted: int = 0
    """How often the rule was met before it was live, in all that was looked at; 0 for an award."""


class Transfer(msgspec.Struct, array_like=True, tag="transfer", kw_only=True):
    """The contact gives points to another member: all of them or, when something is against it, none."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    points: int
    to: str = ""
    """The contact that is to have them. The engine finds it, and says in `refused` why it cannot have any."""
    refused: str = ""
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Those that were nobody's and are the contact's from now on."""
    reason: str = ""
    author: str = ""
    source: str = ""
    message_id: str = ""


class Receive(msgspec.Struct, array_like=True, tag="receive", kw_only=True):
    """The contact has the points that another gave; or it has those back that the other could not have."""

    position: int
    received_at: int
    occurred_at: int
    programme: str
    contact: str
    """Whose input it is: it follows from one of another contact."""
    other: str
    """Who gave the points, or could not have them."""
    transfer: str
    """What entries in both ledgers have as their reference."""
    portions: list[Portion]
    active: int
    """When who gave them was active last."""
    returned: str = ""
    """Why the other could not have them."""
    reason: str = ""
    author: str = ""
    source: str = ""
    message_id: str = ""


class Grant(msgspec.Struct, array_like=True, tag="grant", kw_only=True):
    """A reward is issued to the contact as a coupon, or it is not."""

    position: int
    received_at: int
    occurred_at: int
    reward: str
    code: str = ""
    """Of the coupon. It is empty until the engine has found one; so is `refused`."""
    refused: str = ""
    """Why it is not issued."""
    pay: bool = False
    """Whether the contact pays what it costs in points."""
    by: str = ""
    """The rule, the journey or the person that gives it."""
    reason: str = ""
    identities: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Those that were nobody's and are the contact's from now on."""
    source: str = ""
    message_id: str = ""


class UseCoupon(msgspec.Struct, array_like=True, tag="coupon", kw_only=True):
    """Something is asked of a coupon of the contact."""

    position: int
    received_at: int
    occurred_at: int
    action: str
    """`reserve`, `redeem`, `release`, `cancel` or `reopen`."""
    code: str
    presented: str = ""
    """The contact that presented it, as far as it was known."""
    basket: float | None = None
    """What the basket comes to."""
    order: str = ""
    reason: str = ""
    author: str = ""
    source: str = ""
    message_id: str = ""


Input = (
    Interaction
    | Update
    | Reaction
    | Enter
    | Absorb
    | Dissolve
    | Erase
    | Erased
    | Enrol
    | Leave
    | Spend
    | Adjust
    | Refund
    | Review
    | Award
    | Transfer
    | Receive
    | Grant
    | UseCoupon
)


def cause_of(item: Input) -> str:
    """Return what tells an input from every other: its source and message id, wherever it stands in the log."""
    return f"{item.source}\0{item.message_id}"


class Move(msgspec.Struct, array_like=True, frozen=True):
    """The runs of one version of a journey are moved to another."""

    journey: str
    before: int
    after: int
    steps: dict[str, str]
    """Step of the one to the step of the other; steps that are not named keep their name."""


class Publish(msgspec.Struct, array_like=True, tag="publish", kw_only=True):
    """Definitions were published. It concerns no contact; everything after it is folded with the plan it makes."""

    position: int
    received_at: int
    occurred_at: int
    definitions: list[dict[str, Any]]
    source: str = ""
    message_id: str = ""
    moves: list[Move] = msgspec.field(default_factory=list)


class Stock(msgspec.Struct, array_like=True, tag="stock", kw_only=True):
    """Items of a catalogue changed. It concerns no contact."""

    position: int
    received_at: int
    occurred_at: int
    catalogue: str
    items: dict[str, dict[str, Any] | None]
    """Item id to all its attributes, or to None when it is taken out."""
    source: str = ""
    message_id: str = ""


WorkspaceInput = Publish | Stock
"""What concerns no contact."""
