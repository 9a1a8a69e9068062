"""What a rule gives for the past, when somebody applies it to that: one award for each interaction.

| of the award                     | as of                                                                                 |
|----------------------------------|---------------------------------------------------------------------------------------|
| limits, budgets                  | the period in which the interaction occurred, with what the rule has given since       |
| holding, expiry, what counts     | when it occurred                                                                      |
| a tier, a reward, an interaction | now: a coupon is valid from now on, and what is recorded says `retroactive`            |

A rule that gives every so-manieth time has counted since it was live. What it would have counted before is added first, and
makes as many awards due as are crossed by that: floor((past + live) / n) - floor(live / n). So live counting goes on from
there, and whatever time a rule is applied to, one time after the other, what was counted before is not counted again.
"""

from __future__ import annotations

from parcours.core.effects import What
from parcours.core.inputs import Award
from parcours.core.loyalty.account import Account, Says
from parcours.core.loyalty.compiled import CompiledRule
from parcours.core.loyalty.earn import TO_REVIEW, allow, give_the_rest
from parcours.core.loyalty.tiers import promote, qualify
from parcours.core.member import IN_REVIEW

RETROACTIVE = "retroactive"
"""The reason of an entry that a rule made for the past, when it was asked to."""


def give_late(account: Account, rule: CompiledRule, item: Award) -> str:
    """Let a member have what a rule would have given for the past. Return why not, empty when they have it."""
    if item.counted:
        return _carry(account, rule, item.counted)
    if rule.every > 1:
        past, due = account.member.past.get(rule.name, (0, 0))
        if not due:
            return "every"
        account.member.past[rule.name] = (past, due - 1)
    told, at = item.lot, item.occurred_at
    allowed, why = allow(account, rule, told.points, at, item.budgets)
    if why:
        return why
    review = told.due == IN_REVIEW
    if allowed or review:
        _book(account, rule, item, allowed, review=review)
    account.note(What.AWARDED, rule.name, points=allowed, why=RETROACTIVE)
    promote(account)
    if not review:
        give_the_rest(account, rule, late=True)
    return ""


def _book(account: Account, rule: CompiledRule, item: Award, points: int, *, review: bool) -> None:
    told, at = item.lot, item.occurred_at
    says = Says(
        kind="earned",
        rule=rule.name,
        occurred_at=at,
        reference=told.reference,
        reason=TO_REVIEW if review else RETROACTIVE,
        author=item.author,
    )
    lot = account.earn(points, says, rule.holding, rule.expires, review=review)
    lot.drew = rule.draws
    lot.basis, lot.numerator, lot.denominator, lot.rounding = (
        told.basis,
        told.numerator,
        told.denominator,
        told.rounding,
    )
    tiers = account.programme.tiers
    if tiers is not None:
        lot.qualifying = told.qualifying if tiers.by_spend else min(told.qualifying, points)
        if not review:
            qualify(account, at, lot.qualifying)


def _carry(account: Account, rule: CompiledRule, counted: int) -> str:
    """Add what a rule would have counted, as far as it was not added before; return why not."""
    member, every = account.member, rule.every
    past, due = member.past.get(rule.name, (0, 0))
    if every <= 1 or counted <= past:
        return "every"
    before = member.counts.get(rule.name, 0)
    after = before + counted - past
    member.counts[rule.name] = after
    member.past[rule.name] = (counted, due + after // every - before // every)
    account.note(What.CARRIED, rule.name, counted=counted - past, goes_on_from=after % every)
    return ""
