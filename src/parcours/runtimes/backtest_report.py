"""What a backtest came to, for people: by journey and step, by day, and how two drafts differ."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from parcours.core.effects import What
from parcours.runtimes.backtest import QUARTER, Backtest, Counts, PastAward
from parcours.runtimes.loyalty_report import ProgrammeReport, RuleReport, programmes_of, rules_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StepReport(msgspec.Struct):
    """A step of a draft."""

    step: str
    arrived: int = 0
    waiting: int = 0
    """Tokens that stand there at the end."""
    left: dict[str, int] = {}
    """Way out to how often it was taken, where a step has several."""
    sent: dict[str, int] = {}
    """Message to how often it would have been sent."""
    suppressed: dict[str, int] = {}
    """Reason to how often a message would not have been sent."""


class JourneyReport(msgspec.Struct):
    """A draft."""

    journey: str
    entries: int = 0
    people: int = 0
    """How many different people entered."""
    refused: dict[str, int] = {}
    """Reason to how many entries were refused."""
    ended: dict[str, int] = {}
    """Reason to how many runs ended."""
    under_way: int = 0
    """Runs at the end."""
    messages: dict[str, int] = {}
    goals: dict[str, int] = {}
    """Goal to how many runs reached it."""
    conversion: float | None = None
    """The share of entries that reached a goal; None without goals or entries."""
    steps: list[StepReport] = []


class Hour(msgspec.Struct):
    """The hour in which most would have been sent."""

    at: str
    messages: int


class BacktestReport(msgspec.Struct):
    """What drafts would have come to. Instants are ISO 8601 in UTC, days those of the zone asked for."""

    start: str
    end: str
    zone: str
    people: int
    """How many contacts were looked at."""
    inputs: int
    """How many of their inputs came between start and end."""
    messages: int
    days: dict[str, dict[str, int]]
    """Day to messages, to how many."""
    most_loaded_hour: Hour | None
    journeys: list[JourneyReport]
    seconds: float = 0.0
    """How long it took."""
    rules: list[RuleReport] = []
    """Rules of loyalty: drafts first, then those that are live beside them."""
    programmes: list[ProgrammeReport] = []
    past: list[PastAward] = []
    """Of a rule that is to be applied to the past: what it would have given."""


def report_of(made: Backtest, counts: Counts, zone: str = "UTC") -> BacktestReport:
    """Return what a backtest came to, for people."""
    job = made.job
    rules = made.plan.loyalty.rules.values()
    of_programmes = {rule.name: rule.programme.name for rule in rules if rule.programme.name in made.programmes}
    days, hours = _by_time(counts, ZoneInfo(zone))
    busiest = max(sorted(hours), key=lambda hour: hours[hour], default=None)
    return BacktestReport(
        start=_iso(job.start),
        end=_iso(job.end),
        zone=zone,
        people=counts.people,
        inputs=counts.inputs,
        messages=sum(counts.sent.values()),
        days={day: dict(sorted(messages.items())) for day, messages in sorted(days.items())},
        most_loaded_hour=Hour(_iso(busiest * 4 * QUARTER), hours[busiest]) if busiest is not None else None,
        journeys=[_journey(name, counts) for name in made.drafts],
        rules=rules_of(counts, of_programmes, made.rules),
        programmes=programmes_of(counts, made.programmes),
        past=sorted(counts.past, key=lambda award: (award.contact, award.at, award.key)),
    )


def _by_time(counts: Counts, zone: ZoneInfo) -> tuple[dict[str, Counter[str]], Counter[int]]:
    days: dict[str, Counter[str]] = {}
    hours: Counter[int] = Counter()
    for (_, message, quarter), count in counts.sent.items():
        day = _instant(quarter * QUARTER).astimezone(zone).date().isoformat()
        days.setdefault(day, Counter())[message] += count
        hours[quarter // 4] += count
    return days, hours


def _journey(name: str, counts: Counts) -> JourneyReport:
    report = JourneyReport(name, people=counts.entered[name], under_way=counts.under_way[name])
    refused: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    messages: Counter[str] = Counter()
    goals: Counter[str] = Counter()
    steps: dict[str, StepReport] = {}
    for (journey, step, what, reason), count in sorted(counts.trace.items()):
        if journey != name:
            continue
        if step:
            _step(steps.setdefault(step, StepReport(step)), what, reason, count)
        if what == What.ENTERED:
            report.entries += count
        elif what == What.REFUSED:
            refused[reason] += count
        elif what == What.ENDED:
            ended[reason] += count
        elif what == What.SENT:
            messages[reason] += count
        elif what == "goal":
            goals[reason] += count
    for (journey, step), count in counts.waiting.items():
        if journey == name:
            steps.setdefault(step, StepReport(step)).waiting += count
    report.refused, report.ended, report.messages, report.goals = map(dict, (refused, ended, messages, goals))
    report.steps = list(steps.values())
    if goals and report.entries:
        report.conversion = max(goals.values()) / report.entries
    return report


def _step(step: StepReport, what: str, reason: str, count: int) -> None:
    if what == What.ARRIVED:
        step.arrived += count
    elif what == What.BRANCHED:
        step.left = {**step.left, reason: count}
    elif what == What.SENT:
        step.sent = {**step.sent, reason: count}
    elif what == What.SUPPRESSED:
        step.suppressed = {**step.suppressed, reason: count}


def _instant(at: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)


def _iso(at: int) -> str:
    return _instant(at).isoformat(timespec="seconds").replace("+00:00", "Z")
