"""What a backtest came to, for people: by journey and step, by day, and how two drafts differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

import msgspec

from parcours.conditions.durations import format_duration
from parcours.conditions.instants import iso, moment_of
from parcours.core.compiled import CompiledJourney
from parcours.core.effects import What
from parcours.core.figures import in_order
from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import QUARTER, USUAL_ANSWER, Counts, PastAward
from parcours.runtimes.backtest.rules import ProgrammeReport, RuleReport, programmes_of, rules_of
from parcours.runtimes.backtest.stock import Left


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
    held: int = 0
    """Messages that quiet hours would have held. Of these, `sent` has those that left before the end."""
    calls: int = 0
    """How often a webhook would have been called."""
    answers: dict[str, int] = {}
    """What became of calls for whose answer a run waits: `recorded` (this very call was made), and by assumption
    `answered` or `failed`; to how many."""
    given: int = 0
    """How often a reward would have been given."""
    declined: dict[str, int] = {}
    """Reason to how often it would not."""
    failed: dict[str, int] = {}
    """Reason to how often a message or call failed for good, as recorded or assumed, or a step could not be done."""


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
    """The share of entries that reached a goal, of several the one that most reached; None without goals or entries."""
    steps: list[StepReport] = []


class RewardReport(msgspec.Struct):
    """What would have become of a reward, whoever gives it."""

    reward: str
    issued: int = 0
    declined: dict[str, int] = {}
    """Reason to how often it was not: `out_of_stock`, `pool_empty`, or one of the contact's."""
    left: int | None = None
    """How many are left at the end; None for any number."""
    ran_out: str | None = None
    """When there was none left for the first time somebody asked."""


class Assumption(msgspec.Struct):
    """Something that is not recorded, and was assumed."""

    what: str
    """`reaction`, `webhook`, `entry`, `reading` or `stock`."""
    of: str
    """The kind of reaction, the step (`JOURNEY/STEP`), the journey or the reward."""
    how: str
    """In words."""
    times: int
    """How often."""


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
    assumed: list[Assumption] = []
    """What was assumed, and how often."""
    rewards: list[RewardReport] = []
    """Rewards that were asked for."""
    past: list[PastAward] = []
    """Of a rule that is to be applied to the past: what it would have given."""


def report_of(
    made: Backtest, counts: Counts, zone: str = "UTC", left: Mapping[str, Left] | None = None
) -> BacktestReport:
    """Return what a backtest came to, for people; `left` says what is left of rewards."""
    job = made.job
    rules = made.plan.loyalty.rules.values()
    of_programmes = {rule.name: rule.programme.name for rule in rules if rule.programme.name in made.programmes}
    days, hours = _by_time(counts, ZoneInfo(zone))
    busiest = max(sorted(hours), key=lambda hour: hours[hour], default=None)
    return BacktestReport(
        start=iso(job.start, "seconds"),
        end=iso(job.end, "seconds"),
        zone=zone,
        people=counts.people,
        inputs=counts.inputs,
        messages=sum(counts.sent.values()),
        days={day: dict(sorted(messages.items())) for day, messages in sorted(days.items())},
        most_loaded_hour=Hour(iso(busiest * QUARTER, "seconds"), hours[busiest]) if busiest is not None else None,
        journeys=[_journey(made.plan.newest[name], counts) for name in made.drafts],
        rules=rules_of(counts, of_programmes, made.rules),
        programmes=programmes_of(counts, made.programmes),
        assumed=list(_assumed(made, counts, left or {})),
        rewards=list(_rewards(counts, left or {})),
        past=sorted(counts.past, key=lambda award: (award.contact, award.at, award.key)),
    )


def _by_time(counts: Counts, zone: ZoneInfo) -> tuple[dict[str, Counter[str]], Counter[int]]:
    """Return messages by day, and by the quarter with which an hour begins, both in a zone."""
    days: dict[str, Counter[str]] = {}
    hours: Counter[int] = Counter()
    for (_, message, quarter), count in counts.sent.items():
        # An hour begins when the clocks there say so: in some zones at half past.
        local = moment_of(quarter * QUARTER).astimezone(zone)
        day = local.date().isoformat()
        days.setdefault(day, Counter())[message] += count
        hours[quarter - local.minute // 15] += count
    return days, hours


def _journey(journey_: CompiledJourney, counts: Counts) -> JourneyReport:
    name = journey_.name
    report = JourneyReport(name, people=counts.entered[name], under_way=counts.under_way[name])
    refused: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    messages: Counter[str] = Counter()
    goals = Counter({goal.name: 0 for goal in journey_.definition.goals})
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
    _more_of_steps(name, counts, steps)
    report.refused, report.ended, report.messages, report.goals = map(dict, (refused, ended, messages, goals))
    report.steps = [steps[step] for step in in_order([journey_]) if step in steps]
    if goals and report.entries:
        report.conversion = max(goals.values()) / report.entries
    return report


def _more_of_steps(name: str, counts: Counts, steps: dict[str, StepReport]) -> None:
    """Add to the steps of a journey what is not counted by the trace: who waits, calls, and rewards."""
    for (journey, step), count in counts.waiting.items():
        if journey == name:
            steps.setdefault(step, StepReport(step)).waiting += count
    for (journey, step, how), count in sorted(counts.calls.items()):
        if journey == name:
            found = steps.setdefault(step, StepReport(step))
            found.calls += count
            if how != "unheeded":
                found.answers = {**found.answers, how: count}
    for (journey, step, reason), count in sorted(counts.given.items()):
        if journey == name:
            found = steps.setdefault(step, StepReport(step))
            if reason:
                found.declined = {**found.declined, reason: count}
                # The trace tells of it, too.
                found.failed = {why: times for why, times in found.failed.items() if why != reason}
            else:
                found.given += count


def _assumed(made: Backtest, counts: Counts, left: Mapping[str, Left]) -> Iterator[Assumption]:
    """Yield what was assumed, whether or not it came to anything, but for answers to calls that were not made."""
    assumed = made.assumed
    for kind, rate in sorted(assumed.rates.items()):
        how = f"{rate:.4g} of the messages, {format_duration(assumed.delays.get(kind, 0))} after them"
        yield Assumption("reaction", kind, how, counts.assumed["reaction", kind])
    places = sorted({(journey, step) for journey, step, how in counts.calls if how in {"answered", "failed"}})
    for place in places:
        stated = assumed.answers.get(place)
        told = ", ".join(f"{one.share:.4g}: {one.status} after {one.after}" for one, _ in stated or ())
        how = f"what is stated ({told}; the rest fails)" if stated is not None else f"{USUAL_ANSWER.status}, no body"
        yield Assumption(
            "webhook", "/".join(place), how, counts.calls[*place, "answered"] + counts.calls[*place, "failed"]
        )
    for name, stated_entry in sorted(made.job.assume.entries.items()):
        if name in assumed.asked_for:
            names = stated_entry.interaction
            said = names if isinstance(names, str) else ", ".join(names)
            after = f", {stated_entry.after} after it" if stated_entry.after else ""
            how = f"asked for after {stated_entry.share:.4g} of {said}{after}"
            yield Assumption("entry", name, how, counts.assumed["entry", name])
    for name in sorted(made.entered_over_api & set(made.drafts)):
        yield Assumption("entry", name, "as it was asked for over the API, and is recorded", counts.recorded[name])
    rounds = Counter(one.journey.name for one in made.rounds)
    for name, count in sorted(rounds.items()):
        yield Assumption("reading", name, "its segment is read when the entry says so, at that very instant", count)
    for name, number in sorted(made.job.assume.stock.items()):
        if name in left:
            yield Assumption("stock", name, f"{number:,} are left at the start", 1)


def _rewards(counts: Counts, left: Mapping[str, Left]) -> Iterator[RewardReport]:
    """Yield what became of each reward that was asked for."""
    asked = {name for name, _ in counts.declined} | set(counts.issued)
    for name in sorted(asked):
        there = left.get(name)
        declined = {reason: count for (reward, reason), count in sorted(counts.declined.items()) if reward == name}
        ran_out = iso(there.ran_out, "seconds") if there is not None and there.ran_out is not None else None
        yield RewardReport(name, counts.issued[name], declined, there.left if there is not None else None, ran_out)


def _step(step: StepReport, what: str, reason: str, count: int) -> None:
    if what == What.ARRIVED:
        step.arrived += count
    elif what == What.BRANCHED:
        step.left = {**step.left, reason: count}
    elif what == What.SENT:
        step.sent = {**step.sent, reason: count}
    elif what in {What.UNDELIVERED, What.SKIPPED, What.FAILED}:
        step.failed = {**step.failed, reason: count}
    elif what == What.HELD:
        step.held += count
    elif what == What.SUPPRESSED:
        step.suppressed = {**step.suppressed, reason: count}
