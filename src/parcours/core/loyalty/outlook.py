"""What members will have by time alone: what the clock will do to them, looked at ahead.

Points come free and expire, tiers are reviewed, periods end, each at an instant that is known today. So what somebody has
is told for the instants to come as well, as far as nothing happens to them until then: a stretch of time for each
change. It is the clock itself that is asked, so that there is no second rule of what it does.
"""

from __future__ import annotations

from typing import NamedTuple

from parcours.core.contact import Contact
from parcours.core.effects import Effects
from parcours.core.loyalty.account import Account
from parcours.core.loyalty.clock import NEVER, catch_up, next_change, settle
from parcours.core.loyalty.compiled import CompiledProgramme, Loyalty
from parcours.core.loyalty.tiers import period_end
from parcours.core.member import Member

MOST_CHANGES = 4
"""How many changes are looked at ahead. Each of them is told when it comes, and then there are as many again."""

_MOST_STEPS = 1_000
"""What comes due without a change that can be seen, as a tier that is kept, counts among these."""


class Having(NamedTuple):
    """What a member has."""

    current: bool
    """Whether they are a member, rather than were one."""
    spendable: int
    held: int
    lifetime: int
    period: int
    """What occurred before this instant does not count towards tiers: `NEVER` when nothing does that occurred so far."""
    span: int
    """Nor does what is as old as this, of a rolling period; 0 for none."""
    tier: str
    tiers: tuple[str, ...]
    """The tier and all below it."""


class Stretch(NamedTuple):
    """What a member has from one instant to before another."""

    start: int
    """0 for the first one: from when the contact was as it is."""
    end: int
    """`NEVER` for the last one."""
    having: Having


class Outlook(NamedTuple):
    """What a member will have in a programme."""

    stretches: list[Stretch]
    until: int
    """Before which instant it is known. `NEVER`, unless there are more changes ahead than were looked at."""


def outlook(loyalty: Loyalty, contact: Contact, most: int = MOST_CHANGES) -> dict[str, Outlook]:
    """Return what a contact will have in each programme that it is or was a member of. The contact is changed.

    It is brought up to the programmes first, so what is told holds from the instant of `loyalty.revised_at`.
    """
    effects = Effects()
    if contact.revision < loyalty.revision:
        catch_up(loyalty, contact, effects)
    return {
        name: _ahead(contact, loyalty.programmes.get(name), member, effects, most)
        for name, member in contact.loyalty.items()
    }


def _ahead(
    contact: Contact, programme: CompiledProgramme | None, member: Member, effects: Effects, most: int
) -> Outlook:
    found: list[Stretch] = []
    start, having = 0, _having(member)
    if programme is None:  # of one that is archived nothing comes due
        return Outlook([Stretch(0, NEVER, having)], NEVER)
    account = Account(contact, programme, member, contact.time, 0, "", effects)
    for _ in range(_MOST_STEPS):
        due = member.due  # of their timer
        turns = having.period == NEVER and due == period_end(account)
        if not due or (turns and next_change(account) >= NEVER):  # or nobody sees what the calendar still does
            return Outlook([*found, Stretch(start, NEVER, having)], NEVER)
        account.now, account.cause = due, str(due)
        settle(account)
        after = _having(member)
        if after != having:
            found.append(Stretch(start, due, having))
            if len(found) == most:
                return Outlook(found, due)
            start, having = due, after
    return Outlook([*found, Stretch(start, account.now, having)], account.now)


def _having(member: Member) -> Having:
    counts = bool(member.qualified) and member.qualified[-1][0] >= member.period
    standing = member.standing
    return Having(
        not member.left,
        member.balance,
        member.held,
        member.lifetime,
        member.period if counts else NEVER,
        member.span,
        standing.tier,
        tuple(standing.has),
    )
