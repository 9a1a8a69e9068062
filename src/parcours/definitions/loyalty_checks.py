"""What is wrong with a programme or a rule, beside the names it refers to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec

from parcours.conditions.durations import parse_duration
from parcours.conditions.parse import escape
from parcours.definitions.loyalty import (
    Expiry,
    FixedExpiry,
    Formula,
    InactivityExpiry,
    Limit,
    ProgrammeDefinition,
    RewardDefinition,
    RollingExpiry,
    RuleDefinition,
    TransferLimit,
)
from parcours.errors import did_you_mean

LARGEST_RATE = 1_000_000
LARGEST_MULTIPLIER = 1_000


class Mistake(msgspec.Struct, frozen=True):
    """One thing that is wrong with a definition; the pointer is within it."""

    code: str
    message: str
    pointer: str
    hint: str = ""


def programme_mistakes(programme: ProgrammeDefinition) -> Iterator[Mistake]:
    """Yield what is wrong with a programme."""
    try:
        ZoneInfo(programme.timezone)
    except (KeyError, OSError, ValueError):
        message = f"there is no time zone {programme.timezone!r}"
        yield Mistake("unknown_zone", message, "/timezone", "for example Europe/Berlin")
    if programme.expiry is not None:
        yield from _expiry(programme.expiry, "/expiry")
    if programme.transfer is not None:
        yield from _limits(programme.transfer.limits, "/transfer/limits")
        yield from _limits(programme.transfer.receiving, "/transfer/receiving")
    if programme.tiers is None:
        return
    seen: set[str] = set()
    before = -1
    for index, level in enumerate(programme.tiers.levels):
        pointer = f"/tiers/levels/{index}"
        if level.name in seen:
            yield Mistake("defined_twice", f"the tier {level.name!r} is there twice", f"{pointer}/name")
        seen.add(level.name)
        if level.at <= before:
            message = f"{level.at} is not more than what the tier before it asks for"
            yield Mistake("invalid_value", message, f"{pointer}/at", "write the lowest tier first")
        before = level.at
        yield from _multiplier(level.multiplier, f"{pointer}/multiplier")


def rule_mistakes(rule: RuleDefinition, programme: ProgrammeDefinition | None) -> Iterator[Mistake]:
    """Yield what is wrong with a rule, also as one of its programme, if that is there."""
    given = (rule.points, rule.multiply, rule.tier, rule.record, rule.reward)
    if all(outcome is None for outcome in given):
        hint = "write 'points', 'multiply', 'tier', 'reward' or 'record'"
        yield Mistake("missing_key", "the rule gives nothing", "", hint)
    if rule.points is not None and rule.multiply is not None:
        message = "a rule gives points, or multiplies those of others"
        yield Mistake("invalid_value", message, "/multiply", "make two rules of it")
    if rule.hold_if is not None and rule.multiply is not None:
        hint = "give it to the rules whose points are multiplied"
        yield Mistake("invalid_value", "what multiplies gives nothing that could be put aside", "/hold_if", hint)
    if rule.multiply is not None:
        yield from _multiplier(rule.multiply, "/multiply")
        if rule.exclusive:
            hint = "leave one of the two out"
            yield Mistake("invalid_value", "what gives alone has nothing to multiply", "/exclusive", hint)
    if isinstance(rule.points, Formula):
        yield from _formula(rule.points)
    if rule.expiry is not None:
        yield from _expiry(rule.expiry, "/expiry")
    if rule.holding not in {None, "none"}:
        try:
            parse_duration(str(rule.holding))
        except ValueError as error:
            yield Mistake("invalid_value", str(error), "/holding")
    yield from _limits(rule.limits, "/limits")
    yield from _budget(rule)
    for name, text in (("starts", rule.starts), ("ends", rule.ends)):
        if text is not None and not _is_instant(text):
            yield Mistake("invalid_value", f"there is no such day or time: {text}", f"/{name}")
    if programme is not None:
        yield from _tiers_named(rule, programme)


def reward_mistakes(reward: RewardDefinition) -> Iterator[Mistake]:
    """Yield what is wrong with a reward."""
    given = [name for name in ("percent", "value", "gift") if getattr(reward, name)]
    if len(given) != 1:
        message = f"a reward is one thing, not {' and '.join(given)}" if given else "the reward gives nothing"
        pointer = f"/{given[1]}" if given else ""
        yield Mistake("missing_key" if not given else "invalid_value", message, pointer, "write percent, value or gift")
    if reward.percent is not None and not 0 < reward.percent <= 100:  # noqa: PLR2004 (of a hundred)
        yield Mistake("invalid_value", "takes a number of more than 0 and at most 100", "/percent")
    for name, number in (("value", reward.value or 0), ("minimum", reward.minimum)):
        if not 0 <= number <= LARGEST_RATE:
            yield Mistake("invalid_value", f"takes a number of 0 to {LARGEST_RATE:,}", f"/{name}")
    if reward.value is not None and not reward.currency:
        yield Mistake("missing_key", "money is in a currency", "/currency", "such as EUR")
    if reward.points is not None and reward.programme is None:
        yield Mistake("missing_key", "points are of a programme", "/programme", "name the programme")
    if reward.until is not None and not _is_instant(reward.until):
        yield Mistake("invalid_value", f"there is no such day or time: {reward.until}", "/until")


def _tiers_named(rule: RuleDefinition, programme: ProgrammeDefinition) -> Iterator[Mistake]:
    names = [level.name for level in programme.tiers.levels] if programme.tiers is not None else []
    asked = [(f"/tiers/{index}", name) for index, name in enumerate(rule.tiers)]
    asked += [("/tier", rule.tier)] if rule.tier is not None else []
    if isinstance(rule.points, Formula):
        asked += [(f"/points/by_tier/{escape(name)}", name) for name in rule.points.by_tier]
    for pointer, name in asked:
        if name not in names:
            message = f"the programme {programme.name!r} has no tier {name!r}"
            hint = did_you_mean(name, names) or f"its tiers are {', '.join(names) or 'none'}"
            yield Mistake("unknown_reference", message, pointer, hint)


def _limits(limits: Sequence[Limit | TransferLimit], place: str) -> Iterator[Mistake]:
    for index, limit in enumerate(limits):
        pointer = f"{place}/{index}"
        if limit.times is None and limit.points is None:
            yield Mistake("missing_key", "the limit limits nothing", pointer, "write 'times' or 'points'")
        if limit.per in {other.per for other in limits[:index]}:
            message = f"there is a limit per {limit.per} already"
            yield Mistake("defined_twice", message, f"{pointer}/per", "write both into one")


def _budget(rule: RuleDefinition) -> Iterator[Mistake]:
    if rule.budget and rule.multiply is not None:
        message = "a rule that multiplies gives nothing itself, so no budget is drawn on"
        yield Mistake("invalid_value", message, "/budget", "give it to the rules whose points are multiplied")
    for index, budget in enumerate(rule.budget):
        pointer = f"/budget/{index}"
        if budget.times is None and budget.points is None:
            yield Mistake("missing_key", "the budget limits nothing", pointer, "write 'times' or 'points'")
        if budget.points is not None and rule.points is None:
            message = "the rule gives no points that could be counted"
            yield Mistake("invalid_value", message, f"{pointer}/points", "write 'times', or give it 'points'")
        if budget.partial and budget.points is None:
            yield Mistake("invalid_value", "only points can be given in part", f"{pointer}/partial", "leave it out")
        if isinstance(rule.points, int) and budget.points is not None and not budget.partial:
            least = min([rule.points, *(limit.points for limit in rule.limits if limit.points is not None)])
            if budget.points < least:
                message = f"a budget of {budget.points:,} never reaches for the {least:,} points of the rule"
                yield Mistake("invalid_value", message, f"{pointer}/points", "raise it, or write 'partial: true'")
        if budget.per in {other.per for other in rule.budget[:index]}:
            message = f"there is a budget per {budget.per} already"
            yield Mistake("defined_twice", message, f"{pointer}/per", "write both into one")


def _formula(formula: Formula) -> Iterator[Mistake]:
    for name, number in (("points", formula.points), ("per", formula.per)):
        if not 0 < number <= LARGEST_RATE:
            message = f"takes a number of more than 0 and at most {LARGEST_RATE:,}"
            yield Mistake("invalid_value", message, f"/points/{name}")
        elif math.isfinite(number) and Fraction(str(number)).denominator > LARGEST_RATE:
            yield Mistake("invalid_value", "has more than six decimals", f"/points/{name}")
    for tier, number in formula.by_tier.items():
        yield from _multiplier(number, f"/points/by_tier/{escape(tier)}")
    if not formula.lines:
        for name, value in (("times", formula.times), ("where", formula.where)):
            if value:
                hint = "say with 'lines' where the lines are"
                yield Mistake("missing_key", f"{name!r} looks at the lines of an order", f"/points/{name}", hint)
        if formula.round_each == "line":
            hint = "say with 'lines' where the lines are"
            yield Mistake("missing_key", "there are no lines to round", "/points/round_each", hint)


def _multiplier(number: float, pointer: str) -> Iterator[Mistake]:
    if not 0 <= number <= LARGEST_MULTIPLIER:
        yield Mistake("invalid_value", f"a multiplier is 0 to {LARGEST_MULTIPLIER:,}", pointer)
    elif Fraction(str(number)).denominator > LARGEST_RATE:
        yield Mistake("invalid_value", "has more than six decimals", pointer)


def _expiry(expiry: Expiry, pointer: str) -> Iterator[Mistake]:
    match expiry:
        case RollingExpiry() | InactivityExpiry() if not expiry.months and not expiry.days:
            yield Mistake("missing_key", "points would expire at once", pointer, "write 'months' or 'days'")
        case FixedExpiry() if not _is_instant(expiry.at):
            yield Mistake("invalid_value", f"there is no such day or time: {expiry.at}", f"{pointer}/at")
        case _:
            pass


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
