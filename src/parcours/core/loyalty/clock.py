"""What time alone does to a member. There is one timer a member, due when the first of these is.

| due at                                  | what                                                        | at one instant |
|-----------------------------------------|-------------------------------------------------------------|----------------|
| the end of holding of a lot             | its points can be spent (`earned`)                          | first          |
| the expiry of a lot                     | what is left of it expires                                  | second         |
| so long without earning or spending     | all that can be spent expires                               | third          |
| the review of the tier                  | the tier is kept, kept for grace, or lost                   | fourth         |
| the end of the calendar's period        | what counts towards tiers begins anew                       | last           |

An interaction that came late may have made something due that is past: it happens at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import attrgetter

from parcours.core.contact import OF_PROGRAMME, Contact, Timer
from parcours.core.effects import Effects
from parcours.core.loyalty.account import Account
from parcours.core.loyalty.announce import EXPIRED, announce
from parcours.core.loyalty.compiled import CompiledProgramme, Loyalty
from parcours.core.loyalty.tiers import keep_up, period_end, promote, review, turn
from parcours.core.member import Member

NEVER = 2**62
"""An instant that is far beyond all time."""

_due = attrgetter("due")


def come_due(programme: CompiledProgramme | None, contact: Contact, timer: Timer, effects: Effects) -> None:
    """A timer of a member came due. The contact is changed."""
    member = contact.loyalty.get(timer.run)
    if member is None or programme is None:
        return
    member.due = 0
    settle(Account(contact, programme, member, timer.due, 0, str(timer.due), effects))


def settle(account: Account) -> None:
    """Let everything happen that is due by now, and set the timer for what comes next."""
    member, programme = account.member, account.programme
    keep_up(account)
    expired = 0
    while (due := next_due(account)) <= account.now:
        expired += _happen(account, due)
    account.tidy()
    if expired:
        announce(account, EXPIRED, points=expired, balance=member.balance)
    set_timer(account.contact, programme.name, member, due if due < NEVER else 0)


def catch_up(loyalty: Loyalty, contact: Contact, effects: Effects) -> None:
    """Let a contact have what programmes say since they were changed: as of then. The contact is changed."""
    at = loyalty.revised_at
    for name in sorted(contact.loyalty):
        programme, member = loyalty.programmes.get(name), contact.loyalty[name]
        if programme is not None:
            account = Account(contact, programme, member, at, 0, str(at), effects)
            keep_up(account)
            if not member.left:
                promote(account, reason="changed")
            settle(account)


def next_due(account: Account) -> int:
    """Return the instant of what comes next, `NEVER` when nothing does."""
    due, ends = next_change(account), period_end(account)
    return min(due, ends) if ends else due


def next_change(account: Account) -> int:
    """Return the instant of what comes next to points and tiers, `NEVER` when nothing does."""
    member, programme = account.member, account.programme
    due = NEVER
    spendable = False
    for lot in member.lots:
        if lot.left:
            at = lot.due or lot.expires
            if at and at < due:
                due = at
            spendable = spendable or not lot.due
    if spendable and programme.inactive is not None:
        due = min(due, programme.inactive(member.active))
    if member.standing.review:
        due = min(due, member.standing.review)
    return due


def _happen(account: Account, due: int) -> int:
    """Let the first thing happen that is due at an instant; return how many points expired."""
    member, programme = account.member, account.programme
    for lot in member.lots:
        if lot.left and lot.due == due:
            account.release(lot)
            return 0
    for lot in member.lots:
        if lot.left and not lot.due and lot.expires == due:
            points = lot.left
            account.expire(lot)
            return points
    if programme.inactive is not None and programme.inactive(member.active) == due:
        lots = list(account.spendable())
        if lots:
            points = sum(lot.left for lot in lots)
            for lot in lots:
                account.expire(lot)
            return points
    if member.standing.review == due:
        review(account)
    else:
        turn(account)
    return 0


def set_timer(contact: Contact, programme: str, member: Member, due: int) -> None:
    """Let a member have one timer, due at an instant, or with 0 no timer. The contact is changed."""
    before = member.due
    if before == due:
        return
    timers = contact.timers
    if before:
        for index in range(bisect_left(timers, before, key=_due), len(timers)):
            timer = timers[index]
            if timer.due > before:
                break  # it is the one that fires now
            if timer.token == OF_PROGRAMME and timer.run == programme:
                del timers[index]
                break
    member.due = due
    if due:
        contact.created += 1
        insort(timers, Timer(due, contact.created, "", programme, OF_PROGRAMME))
