"""Rules looked at for an interaction, as of when it occurred.

| order | rule                                                                                                        |
|-------|-------------------------------------------------------------------------------------------------------------|
| 1     | rules are looked at by priority, the highest first; at one priority by name                                  |
| 2     | a rule is met when the member was one by then, the rule was live, and its condition is true                  |
| 3     | an exclusive rule gives alone: it is passed over when another gave before it, and others are after it        |
| 4     | with `every: n`, only each n-th time that it is met gives                                                     |
| 5     | a formula is multiplied by the tier and by every `multiply` of the rules that were met                        |
| 6     | what it gives is cut down to what its limits leave, in the period in which the interaction occurred           |
| 7     | it is given when its budgets reach for it, or with `partial` what they leave                                  |
| 8     | if `hold_if` is true, all of it waits until somebody approves it: its lot is in review, be it of no points    |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from parcours.core import chains, dates, ids
from parcours.core.contact import Contact
from parcours.core.effects import Effects, Trace, What
from parcours.core.inputs import Grant, Interaction, Left, cause_of
from parcours.core.loyalty.account import Account, Says
from parcours.core.loyalty.announce import SOURCE, announce
from parcours.core.loyalty.budget import KEPT_PERIODS, fitting
from parcours.core.loyalty.clock import settle
from parcours.core.loyalty.compiled import CompiledLimit, CompiledRule
from parcours.core.loyalty.refund import take_back_early
from parcours.core.loyalty.tiers import promote, qualify
from parcours.core.member import IN_REVIEW, Lot

TO_REVIEW = "review"
"""The reason of an entry of points that somebody must approve first."""

_ONE = Fraction(1)


def earn(
    contact: Contact, item: Interaction, rules: Iterable[CompiledRule], effects: Effects, *, tell: bool = False
) -> None:
    """Let a contact have what rules give for an interaction. The contact is changed.

    With `tell` the trace also says why a rule was not met; a limit that is used up is always told.
    """
    met: dict[str, list[CompiledRule]] = {}
    for rule in rules:
        programme = rule.programme.name
        why = _why_not(rule, contact, item, met.get(programme))
        if not why:
            met.setdefault(programme, []).append(rule)
        elif tell:
            effects.trace.append(Trace(item.received_at, What.WITHHELD, reason=why, detail={"rule": rule.name}))
    for programme, found in met.items():
        member = contact.loyalty[programme]
        account = Account(contact, found[0].programme, member, item.received_at, item.position, cause_of(item), effects)
        factor = _ONE
        for rule in found:
            factor *= rule.multiply or _ONE
        for rule in found:
            _give(account, rule, item, factor, tell=tell)
        promote(account)
        settle(account)


def _why_not(rule: CompiledRule, contact: Contact, item: Interaction, before: list[CompiledRule] | None) -> str:
    """Return why a rule is not met, empty when it is."""
    at = item.occurred_at
    member = contact.loyalty.get(rule.programme.name)
    if member is None:
        return "no_member"
    if member.left or at < member.since:
        return "left" if member.left else "no_member_yet"
    if before and (rule.exclusive or before[0].exclusive):
        return "exclusive"
    if not rule.start <= at < rule.end:
        return "not_live"
    if rule.tiers and member.standing.tier not in rule.tiers:
        return "tier"
    if rule.where is not None and not rule.where.ask(contact, item.attributes, at):
        return "not_matching"
    if rule.every > 1:
        count = member.counts.get(rule.name, 0) + 1
        member.counts[rule.name] = count
        return "" if count % rule.every == 0 else "every"
    return ""


def _give(account: Account, rule: CompiledRule, item: Interaction, factor: Fraction, *, tell: bool) -> None:
    member, at = account.member, item.occurred_at
    amounts: list[int] = []
    points = rule.fixed
    formula = rule.formula
    if formula is not None:
        factor *= _of_tier(account, rule)
        amounts = formula.amounts(account.contact, item.attributes, at)
        points = formula.points(amounts, factor)
        if not points:
            _count_towards_tiers(account, rule, None, at, amounts)
            if tell:
                account.note(What.WITHHELD, "no_points", rule=rule.name)
            return
    allowed, why = allow(account, rule, points, at, item.budgets)
    if why:
        account.note(What.WITHHELD, why, rule=rule.name, points=points, **_left(rule, why, item.budgets))
        return
    lot = None
    review = rule.hold_if is not None and rule.hold_if.ask(account.contact, item.attributes, at)
    if allowed or review:
        reference = reference_of(item.attributes, rule.reference)
        says = Says(
            kind="earned", rule=rule.name, occurred_at=at, reference=reference, reason=TO_REVIEW if review else ""
        )
        lot = account.earn(allowed, says, rule.holding, rule.expires, review=review)
        lot.drew = rule.draws
        _count_towards_tiers(account, rule, lot, at, amounts)
        if reference:
            lot.basis = sum(amounts)
            if formula is not None:
                rate = formula.rate * factor
                lot.numerator, lot.denominator, lot.rounding = rate.numerator, rate.denominator, formula.rounding
    if review and lot is not None and rule.hold_if is not None:
        account.note(What.WITHHELD, TO_REVIEW, rule=rule.name, points=allowed, lot=lot.id, hold_if=rule.hold_if.text)
    else:
        account.note(What.AWARDED, rule.name, points=allowed)
    if lot is not None and lot.reference in member.returns:
        take_back_early(account, lot)
    if not review:
        give_the_rest(account, rule)


def give_the_rest(account: Account, rule: CompiledRule, lot: str = "", *, late: bool = False) -> None:
    """Let a member have what a rule gives beside points.

    Args:
        account: Whose it is.
        rule: The rule.
        lot: Of an award that is approved, its lot: one input may approve several.
        late: Whether it is given for the past; what is recorded says so.
    """
    tells = [account.cause, lot] if lot else [account.cause]
    if rule.tier:
        promote(account, rule.tier, "given")
    if rule.reward:
        chains.announce(
            account.contact,
            account.effects,
            Grant(
                position=0,
                received_at=account.now,
                occurred_at=account.now,
                reward=rule.reward,
                by=f"rule:{rule.name}",
                source=SOURCE,
                message_id=ids.derive(account.contact.id, rule.name, rule.reward, *tells),
            ),
            f"rule:{rule.name}{lot}",
        )
    if rule.record is not None:
        name, attributes = rule.record
        announce(
            account,
            name,
            rule.name + lot,
            **{"rule": rule.name, **attributes, **({"retroactive": True} if late else {})},
        )


def _count_towards_tiers(account: Account, rule: CompiledRule, lot: Lot | None, at: int, amounts: list[int]) -> None:
    tiers = account.programme.tiers
    if tiers is None or not rule.qualifying:
        return
    # Money counts also where it comes to no point.
    amount = max(0, sum(amounts)) if tiers.by_spend else lot.points if lot is not None else 0
    if lot is not None:
        lot.qualifying = amount
        if lot.due == IN_REVIEW:
            return  # when it is approved
    qualify(account, at, amount)


def _of_tier(account: Account, rule: CompiledRule) -> Fraction:
    tier = account.member.standing.tier
    assert rule.formula is not None  # noqa: S101 (asked with a formula only)
    own = rule.formula.by_tier.get(tier)
    tiers = account.programme.tiers
    if own is not None or tiers is None:
        return own or _ONE
    rank = tiers.ranks.get(tier, -1)
    return tiers.levels[rank].multiplier if rank >= 0 else _ONE


def reference_of(attributes: Mapping[str, Any], name: str) -> str:
    """Return the order that attributes name, empty for none. A whole number is written alike as `1` and `1.0`."""
    value = attributes.get(name) if name else None
    if value is None or isinstance(value, dict | list):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _left(rule: CompiledRule, why: str, budgets: dict[str, Left] | None) -> dict[str, object]:
    """Return what is left of the budgets that were not enough."""
    if why != "budget" or budgets is None:
        return {}
    return {"left": {budget.unit: list(budgets[budget.key]) for budget in rule.budget}}


def allow(
    account: Account, rule: CompiledRule, points: int, at: int, budgets: dict[str, Left] | None
) -> tuple[int, str]:
    """Return how many of the points the limits and budgets leave, and count them; or why it is nothing at all."""
    given: list[tuple[CompiledLimit, int, int, int]] = []
    for limit in rule.limits:
        known = account.member.limits.get(limit.key, {})
        start = 0 if limit.unit == "ever" else dates.start_of(limit.unit, at, account.programme.zone)
        if start not in known and len(known) >= KEPT_PERIODS and start < min(known):
            return 0, "limit"  # so long ago that it is not known any more
        times, sum_ = known.get(start, (0, 0))
        if limit.times and times >= limit.times:
            return 0, "limit"
        if limit.points:
            if sum_ >= limit.points:
                return 0, "limit"
            points = min(points, limit.points - sum_)
        given.append((limit, start, times, sum_))
    fits = fitting(rule, points, budgets)
    if fits is None:
        return 0, "budget"
    points = fits
    for budget in rule.budget:
        account.draw(budget.key, at, 1, points)
    for limit, start, times, sum_ in given:
        known = account.member.limits.setdefault(limit.key, {})
        known[start] = (times + 1, sum_ + points)
        if len(known) > KEPT_PERIODS:
            del known[min(known)]
    return points, ""
