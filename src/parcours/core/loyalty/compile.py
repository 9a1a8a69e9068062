"""From definitions of programmes and rules to what a plan keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from parcours.conditions import ast
from parcours.conditions.durations import UNITS, parse_duration
from parcours.conditions.instants import milliseconds
from parcours.conditions.names import match_name
from parcours.core import dates
from parcours.core.compile import question
from parcours.core.compiled import Question
from parcours.core.loyalty.compiled import (
    CompiledBudget,
    CompiledLevel,
    CompiledLimit,
    CompiledProgramme,
    CompiledReward,
    CompiledRule,
    CompiledTiers,
    CompiledTransfer,
    Enrolment,
    Loyalty,
    LoyaltyRoute,
    Moment,
    TakesBack,
)
from parcours.core.loyalty.formula import compile_formula, exact
from parcours.definitions.common import Condition
from parcours.definitions.loyalty import (
    Expiry,
    FixedExpiry,
    Formula,
    GeneratedCodes,
    InactivityExpiry,
    ProgrammeDefinition,
    RewardDefinition,
    RollingExpiry,
    RollingPeriod,
    RuleDefinition,
    Tiers,
    Transfer,
)
from parcours.definitions.workspace import Workspace

FOREVER = 2**62
SPEND = 1_000_000
"""Money that counts towards tiers is in millionths."""

Segments = Mapping[str, ast.Node]


def compile_loyalty(workspace: Workspace, segments: Segments, since: Mapping[str, int], at: int) -> Loyalty:
    """Return what is in force after a publication at an instant."""
    found = Loyalty(revised_at=at)
    found.programmes = {
        name: _programme(definition) for name, definition in workspace.programmes.items() if not definition.archived
    }
    found.rewards = {
        name: _reward(reward, found.programmes)
        for name, reward in workspace.rewards.items()
        if not reward.archived and (reward.programme is None or reward.programme in found.programmes)
    }

    def ask(condition: Condition | None) -> Question | None:
        if condition is None:
            return None
        compiled = question(condition, segments)
        found.questions.append(compiled)
        return compiled

    def route(name: str) -> LoyaltyRoute:
        return found.routes.setdefault(match_name(name), LoyaltyRoute())

    for name, programme in found.programmes.items():
        definition = workspace.programmes[name]
        for enrol in definition.enrol:
            route(enrol.interaction).enrolments.append(Enrolment(programme, ask(enrol.where), enrol.card))
        for refund in definition.refunds:
            takes_back = TakesBack(programme, ask(refund.where), refund.reference, refund.whole)
            route(refund.interaction).refunds.append(takes_back)
    live = [
        rule
        for rule in workspace.rules.values()
        if rule.state == "live" and not rule.archived and rule.programme in found.programmes
    ]
    # What is live goes on being live since then.
    found.live = {rule.name: since.get(rule.name, at) for rule in live}
    for rule in sorted(live, key=lambda rule: (rule.programme, -rule.priority, rule.name)):
        programme = found.programmes[rule.programme]
        lines = rule.points.where if isinstance(rule.points, Formula) else None
        asked = ask(rule.where), ask(lines), ask(rule.hold_if)
        compiled = _rule(rule, programme, *asked, found.live[rule.name])
        found.rules[rule.name] = compiled
        for name in dict.fromkeys(match_name(on) for on in rule.on):
            route(name).rules.append(compiled)
            if compiled.budget:
                route(name).budgeted.append(compiled)
    for rule in workspace.rules.values():
        if isinstance(rule.points, Formula) and rule.reference and rule.programme in found.programmes:
            known = found.rules.get(rule.name)
            formula = known.formula if known is not None else compile_formula(rule.points, ask(rule.points.where))
            if formula is not None:
                found.formulas.setdefault(rule.programme, {})[rule.name] = formula
    return found


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """Return a zone by its name.

    Raises:
        ValueError: There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error


def _programme(definition: ProgrammeDefinition) -> CompiledProgramme:
    zone, expiry = zone_of(definition.timezone), definition.expiry
    return CompiledProgramme(
        name=definition.name,
        zone=zone,
        card=definition.card,
        holding=parse_duration(definition.holding) if definition.holding is not None else 0,
        expires=_moment(expiry, zone) if expiry is not None and not isinstance(expiry, InactivityExpiry) else None,
        inactive=_moment(expiry, zone) if isinstance(expiry, InactivityExpiry) else None,
        refundable=parse_duration(definition.refundable),
        forfeit=definition.on_leaving == "forfeit",
        tiers=_tiers(definition.tiers) if definition.tiers is not None else None,
        transfer=_transfer(definition.transfer) if definition.transfer is not None else None,
    )


def _moment(expiry: Expiry, zone: tzinfo) -> Moment:
    match expiry:
        case RollingExpiry() | InactivityExpiry():
            months, days = expiry.months, expiry.days
            unit = expiry.until_end_of if isinstance(expiry, RollingExpiry) else None

            def rolling(at: int) -> int:
                end = dates.add(at, months, days, zone)
                return dates.end_of(unit, end, zone) if unit is not None else end

            return rolling
        case FixedExpiry():
            end = instant(expiry.at, zone)
            return lambda at: end if at < end else 0
        case _:
            month, day, years = expiry.month, expiry.day, expiry.years
            return lambda at: dates.yearly(at, month, day, years, zone)


def _tiers(tiers: Tiers) -> CompiledTiers:
    scale = SPEND if tiers.counts == "spend" else 1
    levels = tuple(CompiledLevel(level.name, level.at * scale, exact(level.multiplier)) for level in tiers.levels)
    rolling = isinstance(tiers.period, RollingPeriod)
    return CompiledTiers(
        levels=levels,
        ranks={"": -1} | {level.name: rank for rank, level in enumerate(levels)},
        by_spend=tiers.counts == "spend",
        span=tiers.period.days * UNITS["d"] if isinstance(tiers.period, RollingPeriod) else 0,
        unit="" if rolling else tiers.period.unit,  # type: ignore[union-attr]  # it is of the calendar then
        grace=parse_duration(tiers.grace) if tiers.grace is not None else 0,
        by_one=tiers.downgrade == "one",
    )


def _transfer(transfer: Transfer) -> CompiledTransfer:
    # No rule has such a name, so it is counted apart from them.
    giving, receiving = (
        tuple(CompiledLimit(f"{name}/{limit.per}", limit.per, limit.times or 0, limit.points or 0) for limit in limits)
        for name, limits in (("$give", transfer.limits), ("$receive", transfer.receiving))
    )
    return CompiledTransfer(transfer.minimum, giving, receiving)


def instant(text: str, zone: tzinfo) -> int:
    """Return a date (its midnight in a zone) or a date and time with an offset as an instant.

    Raises:
        ValueError: The text is no such thing.
    """
    moment = datetime.fromisoformat(text)
    return dates.instant_of(moment, zone) if moment.tzinfo is None else milliseconds(moment)


def _rule(
    rule: RuleDefinition,
    programme: CompiledProgramme,
    where: Question | None,
    lines: Question | None,
    hold_if: Question | None,
    live: int,
) -> CompiledRule:
    zone = programme.zone
    starts = instant(rule.starts, zone) if rule.starts is not None else 0
    holding = programme.holding
    if rule.holding is not None:
        holding = 0 if rule.holding == "none" else parse_duration(rule.holding)
    return CompiledRule(
        name=rule.name,
        programme=programme,
        where=where,
        start=max(live, starts),
        end=instant(rule.ends, zone) if rule.ends is not None else FOREVER,
        every=rule.every,
        fixed=rule.points if isinstance(rule.points, int) else 0,
        formula=compile_formula(rule.points, lines) if isinstance(rule.points, Formula) else None,
        multiply=exact(rule.multiply) if rule.multiply is not None else None,
        tier=rule.tier or "",
        record=(rule.record.interaction, rule.record.attributes) if rule.record is not None else None,
        tiers=frozenset(rule.tiers),
        limits=tuple(
            CompiledLimit(f"{rule.name}/{limit.per}", limit.per, limit.times or 0, limit.points or 0)
            for limit in rule.limits
        ),
        budget=tuple(
            CompiledBudget(f"{rule.name}/{one.per}", one.per, one.times or 0, one.points or 0, one.partial)
            for one in rule.budget
        ),
        draws=" ".join(f"{rule.name}/{one.per}" for one in rule.budget),
        exclusive=rule.exclusive,
        qualifying=rule.qualifying,
        holding=holding,
        expires=_moment(rule.expiry, zone) if rule.expiry is not None else programme.expires,
        reference=rule.reference,
        hold_if=hold_if,
        reward=rule.reward or "",
    )


def _reward(reward: RewardDefinition, programmes: Mapping[str, CompiledProgramme]) -> CompiledReward:
    codes = reward.codes if isinstance(reward.codes, GeneratedCodes) else GeneratedCodes()
    zone = programmes[reward.programme].zone if reward.programme is not None else UTC
    return CompiledReward(
        name=reward.name,
        programme=reward.programme,
        percent=reward.percent or 0,
        value=reward.value or 0,
        currency=reward.currency,
        gift=reward.gift,
        minimum=reward.minimum,
        valid_for=parse_duration(reward.valid_for) if reward.valid_for is not None else 0,
        until=instant(reward.until, zone) if reward.until is not None else 0,
        stock=reward.stock or 0,
        pool=codes is not reward.codes,
        prefix=codes.prefix,
        length=codes.length,
        personal=reward.personal,
        points=reward.points or 0,
        limit=reward.limit or 0,
        reserved_for=parse_duration(reward.reserved_for),
        reopens=reward.reopen_at_refund,
    )
