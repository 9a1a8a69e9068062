"""What the counts of a journey say: how many came to each step, wait there now, and left it which way.

Nobody is looked up for it: all of it follows from counts that are kept as things happen.

| figure     | is                                                                                          |
|------------|---------------------------------------------------------------------------------------------|
| entered    | tokens that came to the step                                                                |
| waiting    | those of them that have not left it, where one can wait (`can_wait`)                        |
| left       | ways out of the step, each with how often it was taken                                      |
| failed     | what a step was to do and was not done: skipped, called off, or failed for good              |
| running    | runs that were entered, or moved here from another version, and have neither ended nor left  |
| conversion | runs that reached a goal, of all that were entered or moved here, with an interval of 95 %  |

Tests are in none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from parcours.core.compiled import CompiledJourney
from parcours.core.effects import What
from parcours.core.trials import Rate, rate
from parcours.definitions.steps import Experiment, Join, Step, Wait, WaitFor, Webhook, following

Counts = Mapping[tuple[str, int, str, str, str], int]
"""Journey, version, step, what happened and reason to how often it did: what a store keeps."""

LEFT = frozenset({What.BRANCHED, What.PASSED, What.MOVED, What.DROPPED})
"""What tells that a token does not stand at a step any more."""

_FAILED = (What.SKIPPED, What.FAILED, What.CANCELLED, What.UNDELIVERED)


class StepFigures(msgspec.Struct):
    """What happened at a step."""

    step: str
    type: str
    entered: int = 0
    waiting: int = 0
    left: dict[str, int] = msgspec.field(default_factory=dict)
    sent: dict[str, int] = msgspec.field(default_factory=dict)
    """Message to how often it was sent."""
    suppressed: dict[str, int] = msgspec.field(default_factory=dict)
    """Reason to how many messages were not sent for it."""
    held: int = 0
    """Messages that quiet hours held."""
    failed: dict[str, int] = msgspec.field(default_factory=dict)
    """Reason to how often what the step was to do was not done after all.

    `bounced`, `refused`, `given_up`: a message was not delivered, or a call failed for good; it is counted as sent, too.
    `stopped`: a message was called off with its journey. Others: it was not begun, for something was wrong."""
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    """Why tokens were taken off it, for their run ended."""


class GoalFigures(msgspec.Struct):
    """How many runs reached a goal."""

    goal: str
    reached: int
    rate: Rate


class JourneyFigures(msgspec.Struct):
    """What happened in a journey, or in one version of it."""

    entered: int
    moved_in: int
    """Runs that were moved here from other versions; 0 for all versions together."""
    moved_out: int
    """Runs that were moved from here to other versions; 0 for all versions together."""
    running: int
    ended: dict[str, int]
    """Reason to how many runs ended for it."""
    refused: dict[str, int]
    """Reason to how many entries were refused for it."""
    goals: list[GoalFigures]
    steps: list[StepFigures]
    """From the start on, in the order in which they can be reached."""


def figures(versions: Iterable[CompiledJourney], counts: Counts) -> JourneyFigures:
    """Return what happened in versions of one journey, the newest last."""
    known = list(versions)
    name, numbers = known[-1].name, {journey.version for journey in known}
    counted: dict[tuple[str, str], Counter[str]] = {}
    stand: Counter[str] = Counter()
    places = {
        (journey.version, step)
        for journey in known
        for step, compiled in journey.steps.items()
        if can_wait(compiled.definition)
    }
    moved_in = moved_out = 0
    for (journey, version, step, what, reason), count in counts.items():
        if journey == name and what == What.SWITCHED:
            moved_in += count if version not in numbers and int(reason) in numbers else 0
            moved_out += count if version in numbers and int(reason) not in numbers else 0
        elif journey == name and version in numbers:
            counted.setdefault((step, what), Counter())[reason] += count
            if (version, step) in places:
                stand[step] += count if what == What.ARRIVED else -count if what in LEFT else 0

    def by_reason(step: str, what: str) -> Counter[str]:
        return counted.get((step, what), Counter())

    ended = by_reason("", What.ENDED)
    entered = by_reason("", What.ENTERED).total()
    came = entered + moved_in
    goals = by_reason("", What.GOAL)
    types = {step: type(compiled.definition) for journey in known for step, compiled in journey.steps.items()}
    steps = []
    for step in in_order(known):
        arrived = by_reason(step, What.ARRIVED).total()
        left = by_reason(step, What.BRANCHED) + by_reason(step, What.PASSED) + by_reason(step, What.MOVED)
        dropped = by_reason(step, What.DROPPED)
        steps.append(
            StepFigures(
                step,
                str(types[step].__struct_config__.tag),
                arrived,
                stand[step],
                dict(left),
                dict(by_reason(step, What.SENT)),
                dict(by_reason(step, What.SUPPRESSED)),
                by_reason(step, What.HELD).total(),
                dict(sum((by_reason(step, what) for what in _FAILED), Counter[str]())),
                dict(dropped),
            )
        )
    named = dict.fromkeys(goal.name for journey in known for goal in journey.definition.goals)
    return JourneyFigures(
        entered,
        moved_in,
        moved_out,
        came - moved_out - ended.total(),
        dict(ended),
        dict(by_reason("", What.REFUSED)),
        [GoalFigures(goal, goals[goal], rate(goals[goal], came)) for goal in named],
        steps,
    )


def can_wait(step: Step) -> bool:
    """Return whether a token may stand at a step; at a call only if it waits for the answer."""
    if isinstance(step, Webhook):
        return bool(step.save) or step.failed is not None
    return isinstance(step, Wait | WaitFor | Join)


def waiting(journey: CompiledJourney, counts: Counts) -> dict[str, int]:
    """Return how many tokens stand at each step of one version at which any does."""
    return {one.step: one.waiting for one in figures([journey], counts).steps if one.waiting}


def in_order(versions: Iterable[CompiledJourney]) -> list[str]:
    """Return the steps of versions, those of the newest first, each from the start on as they can be reached."""
    found: dict[str, None] = {}
    for journey in reversed(list(versions)):
        ahead, seen = [journey.start], {journey.start}
        for step in ahead:
            found[step] = None
            to = dict.fromkeys(target for _, target in following(journey.definition.steps[step]))
            ahead += [target for target in to if target not in seen]
            seen.update(to)
    return list(found)


def experiments(journey: CompiledJourney) -> dict[str, Experiment]:
    """Return the experiments of a version, by step."""
    steps = journey.definition.steps
    return {name: step for name in in_order([journey]) if isinstance(step := steps[name], Experiment)}
