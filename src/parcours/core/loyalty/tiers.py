"""Reaching, reviewing and losing a tier.

| when                                       | what                                                                    |
|--------------------------------------------|-------------------------------------------------------------------------|
| what counts in the period reaches a tier   | the member has it at once, and until a whole period later or to the end  |
|                                            | of the calendar's                                                       |
| a rule gives a tier                        | the same                                                                |
| the review                                 | what counted in the period before it is enough: kept for another period |
|                                            | not enough: with `grace`, another review that much later; then lost     |
| the review after grace                     | what counted since the beginning of the period that was reviewed        |

Each change is told by an interaction, `Tier Changed`, for journeys and rules to see.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter

from parcours.core import dates
from parcours.core.effects import What
from parcours.core.loyalty.account import Account
from parcours.core.loyalty.announce import TIER_CHANGED, announce
from parcours.core.loyalty.compiled import CompiledTiers
from parcours.core.member import Member, Standing

_at = itemgetter(0)

MOST_QUALIFIED = 1_000
"""How many instants at which something counted are kept at most, the latest."""


def qualify(account: Account, at: int, amount: int) -> None:
    """Let an amount count towards tiers, or less than nothing no longer count, from when it was earned on."""
    tiers, qualified = account.programme.tiers, account.member.qualified
    if tiers is None or not amount:
        return
    after = _looked_at_after(account, tiers)
    if at <= after:
        return
    place = bisect_left(qualified, at, key=_at)
    if place < len(qualified) and qualified[place][0] == at:
        qualified[place] = (at, qualified[place][1] + amount)
    else:
        qualified.insert(place, (at, amount))
    old = bisect_right(qualified, after, key=_at)
    del qualified[: max(old, len(qualified) - MOST_QUALIFIED)]


def promote(account: Account, at_least: str = "", reason: str = "reached") -> None:
    """Let the member have the tier that is reached, if it is higher than theirs."""
    tiers, member = account.programme.tiers, account.member
    if tiers is None:
        return
    rank = max(_fitting(tiers, member.qualifying(account.now)), tiers.ranks.get(at_least, -1))
    if rank > tiers.ranks.get(member.standing.tier, -1):
        _change(account, tiers, rank, reason)


def keep_up(account: Account) -> None:
    """Let the member's tier be counted as the programme says now."""
    tiers, member = account.programme.tiers, account.member
    if tiers is None:
        member.period = member.span = 0
        return
    if member.span != tiers.span or (tiers.unit and not member.period):
        member.span = tiers.span
        member.period = 0 if tiers.span else dates.start_of(tiers.unit, account.now, account.programme.zone)
    standing = member.standing
    if standing.tier:
        standing.has = [level.name for level in tiers.levels[: tiers.ranks.get(standing.tier, -1) + 1]]


def turn(account: Account) -> None:
    """The calendar's period is over: the next one begins."""
    member = account.member
    member.period = period_end(account)


def period_end(account: Account) -> int:
    """Return the instant at which the period under way ends; 0 where it is rolling."""
    tiers, member = account.programme.tiers, account.member
    if tiers is None or not tiers.unit or not member.period:
        return 0
    return dates.end_of(tiers.unit, member.period, account.programme.zone)


def review(account: Account) -> None:
    """See whether a tier is kept."""
    tiers, standing, now = account.programme.tiers, account.member.standing, account.now
    rank = tiers.ranks.get(standing.tier, -1) if tiers is not None else -1
    if tiers is None or rank < 0:
        standing.review = standing.reviewed = 0
        return
    fitting = _fitting(tiers, _counted(account.member, _reviewed_after(account, tiers, standing.reviewed or now), now))
    if fitting >= rank:
        standing.reviewed = 0
        standing.review = _next_review(account, tiers, rank)
    elif tiers.grace and not standing.reviewed:
        standing.reviewed, standing.review = now, now + tiers.grace
    else:
        _change(account, tiers, max(fitting, rank - 1) if tiers.by_one else fitting, "not_kept")


def _reviewed_after(account: Account, tiers: CompiledTiers, at: int) -> int:
    """Return the instant after which counts what a review looks at, when the period it is about ended at an instant."""
    if tiers.span:
        return account.now - tiers.span
    return dates.start_of(tiers.unit, at - 1, account.programme.zone) - 1


def _looked_at_after(account: Account, tiers: CompiledTiers) -> int:
    """Return the instant up to which nothing is looked at any more."""
    reviewed = account.member.standing.reviewed
    if tiers.unit and not reviewed:
        return account.member.period - 1
    return _reviewed_after(account, tiers, reviewed)


def _counted(member: Member, after: int, upto: int) -> int:
    return sum(amount for at, amount in member.qualified if after < at <= upto)


def _fitting(tiers: CompiledTiers, counted: int) -> int:
    """Return the highest tier that what counts is enough for; -1 for none."""
    rank = -1
    for place, level in enumerate(tiers.levels):
        if counted >= level.at:
            rank = place
    return rank


def _next_review(account: Account, tiers: CompiledTiers, rank: int) -> int:
    if rank < 0 or tiers.levels[rank].at == 0:
        return 0  # nobody falls below it
    return account.now + tiers.span if tiers.span else dates.end_of(tiers.unit, account.now, account.programme.zone)


def _change(account: Account, tiers: CompiledTiers, rank: int, reason: str) -> None:
    member, now = account.member, account.now
    before = member.standing.tier
    tier = tiers.levels[rank].name if rank >= 0 else ""
    has = [level.name for level in tiers.levels[: rank + 1]]
    member.standing = Standing(tier, now, _next_review(account, tiers, rank), 0, has)
    account.note(What.TIER, tier, programme=account.programme.name, before=before, why=reason)
    direction = "up" if rank > tiers.ranks.get(before, -1) else "down"
    # Whoever joins with the points of a higher tier changes twice at once.
    by = f"{before}>{tier}"
    announce(account, TIER_CHANGED, by, tier=tier, before=before, direction=direction, why=reason)
