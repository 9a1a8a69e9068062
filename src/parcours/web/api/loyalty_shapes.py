"""What the API of loyalty takes and answers: programmes, members, their ledgers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from parcours.core.contact import Contact
from parcours.core.effects import Entry
from parcours.core.loyalty.compiled import CompiledProgramme
from parcours.core.loyalty.review import in_review
from parcours.core.member import IN_REVIEW, Member
from parcours.runtimes.loyalty.statement import StatementDay
from parcours.web.api.people import iso


class LevelRow(msgspec.Struct):
    """A tier."""

    name: str
    title: str
    at: int
    benefits: list[str]


class ProgrammeRow(msgspec.Struct):
    """A programme."""

    name: str
    title: str
    description: str
    archived: bool
    timezone: str
    tiers: list[LevelRow]
    rules: list[str]
    """Those that are live."""


class Programmes(msgspec.Struct):
    """All programmes."""

    programmes: list[ProgrammeRow]


class NextTier(msgspec.Struct):
    """The tier above a member's, and how much is missing: points, or money."""

    name: str
    missing: float


class Expiring(msgspec.Struct):
    """Points that expire at one instant."""

    points: int
    expires_at: int
    expires_time: str


class Held(msgspec.Struct):
    """Points that can be spent from an instant on."""

    points: int
    free_at: int
    free_time: str


class MemberShown(msgspec.Struct):
    """What a contact has in a programme."""

    contact: str
    programme: str
    member: bool
    """Whether they are one now; who left has what was kept."""
    since_at: int
    since_time: str
    left_at: int | None
    left_time: str | None
    card: str
    balance: int
    """What can be spent."""
    held: int
    lifetime: int
    qualifying: float
    """What counts towards tiers in the period under way: points, or money."""
    tier: str
    tier_since_at: int | None
    tier_since_time: str | None
    review_at: int | None
    """When it is seen whether the tier is kept."""
    review_time: str | None
    next_tier: NextTier | None
    expiring: list[Expiring]
    """What can be spent and expires, the soonest first."""
    coming: list[Held]
    """What is held, the soonest first."""
    in_review: int
    """What of it somebody must approve first."""


class BalanceAt(msgspec.Struct):
    """What a contact had at an instant."""

    contact: str
    programme: str
    at: int
    time: str
    balance: int
    held: int


class EntryRow(msgspec.Struct):
    """An entry of a ledger."""

    id: str
    programme: str
    sequence: int
    kind: str
    at: int
    time: str
    occurred_at: int
    occurred_time: str
    amount: int
    """What it adds to what can be spent."""
    held: int
    """What it adds to what is held."""
    balance: int
    pending: int
    rule: str
    position: int
    """The place in the log of what made it; 0 for time alone."""
    lot: str
    reference: str
    reason: str
    author: str
    other: str
    """The contact that points were given to, or came from."""


class LedgerPage(msgspec.Struct):
    """Entries, newest first. `next` goes on behind them; it is null at the end."""

    entries: list[EntryRow]
    next: str | None


class Answer(msgspec.Struct):
    """What became of what was asked."""

    status: Literal["done", "declined"]
    reason: str
    """Why it was declined."""
    repeated: bool
    """Whether it was asked before under this id, and this is the answer of then."""
    entries: list[EntryRow]
    member: MemberShown | None
    hint: str = ""
    """What to do about it, where that can be said."""


class Asks(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What everything that is asked of a member has."""

    id: str = ""
    """The message id; one is made when there is none, and then a repeat is another."""
    occurred_at: str | None = None
    """When it occurred, with an offset; now when there is none."""


class EnrolAsked(Asks, kw_only=True):
    """Who becomes a member."""

    card: str = ""
    """The code of their card: it becomes an identity of theirs."""


class LeaveAsked(Asks, kw_only=True):
    """Who leaves."""

    reason: str = ""


class SpendAsked(Asks, kw_only=True):
    """What is to be spent."""

    points: int
    reference: str = ""
    reason: str = ""
    author: str = ""


class TransferAsked(Asks, kw_only=True):
    """What is given to another member."""

    to: str
    """Who is to have the points: an id, or an identity such as `user_id:42`."""
    points: int
    reason: str = ""
    author: str = ""


class AdjustAsked(Asks, kw_only=True):
    """What is given by hand, or below zero taken."""

    points: int
    reason: str
    author: str
    qualifying: bool = False


class RefundAsked(Asks, kw_only=True):
    """An order that is taken back: whole, or what `attributes` say of it."""

    reference: str
    attributes: dict[str, Any] | None = None


class Statement(msgspec.Struct):
    """What a programme owes its members, day by day."""

    programme: str
    currency: str
    """Of the liability; empty where the programme does not say what a point is worth."""
    days: list[StatementDay]


def member_shown(programme: CompiledProgramme, contact: Contact, member: Member, now: int) -> MemberShown:
    """Return what a member has, as people see it."""
    tiers, standing = programme.tiers, member.standing
    scale = 1_000_000 if tiers is not None and tiers.by_spend else 1
    qualifying = member.qualifying(now)
    following = None
    if tiers is not None:
        above = tiers.levels[tiers.ranks.get(standing.tier, -1) + 1 :]
        following = NextTier(above[0].name, max(0, above[0].at - qualifying) / scale) if above else None
    expiring: dict[int, int] = {}
    coming: dict[int, int] = {}
    for lot in member.lots:
        if lot.left and lot.due and lot.due != IN_REVIEW:
            coming[lot.due] = coming.get(lot.due, 0) + lot.left
        elif lot.left and lot.expires:
            expiring[lot.expires] = expiring.get(lot.expires, 0) + lot.left
    return MemberShown(
        contact=contact.id,
        programme=programme.name,
        member=not member.left,
        since_at=member.since,
        since_time=iso(member.since),
        left_at=member.left or None,
        left_time=iso(member.left) if member.left else None,
        card=member.card,
        balance=member.balance,
        held=member.held,
        lifetime=member.lifetime,
        qualifying=qualifying / scale,
        tier=standing.tier,
        tier_since_at=standing.since or None,
        tier_since_time=iso(standing.since) if standing.since else None,
        review_at=standing.review or None,
        review_time=iso(standing.review) if standing.review else None,
        next_tier=following,
        expiring=[Expiring(points, at, iso(at)) for at, points in sorted(expiring.items())],
        coming=[Held(points, at, iso(at)) for at, points in sorted(coming.items())],
        in_review=sum(lot.left for lot in in_review(member)),
    )


def entry_row(entry: Entry) -> EntryRow:
    """Return an entry of the ledger as people see it."""
    return EntryRow(
        id=entry.id,
        programme=entry.programme,
        sequence=entry.sequence,
        kind=entry.kind,
        at=entry.at,
        time=iso(entry.at),
        occurred_at=entry.occurred_at,
        occurred_time=iso(entry.occurred_at),
        amount=entry.amount,
        held=entry.held,
        balance=entry.balance,
        pending=entry.pending,
        rule=entry.rule,
        position=entry.position,
        lot=entry.lot,
        reference=entry.reference,
        reason=entry.reason,
        author=entry.author,
        other=entry.other,
    )
