"""Journeys: who entered, where they stand and wait, how they went and ended."""

from __future__ import annotations

from collections import Counter

from parcours.core.contact import Timer
from parcours.core.effects import Trace, What
from parcours.testing.scenarios.expecting.common import Check, Problems, because, listed
from parcours.testing.scenarios.format import NEVER, Names, Reasons
from parcours.testing.scenarios.looking import View
from parcours.testing.scenarios.times import is_length, length_in


def _entered(view: View, wanted: bool | int | Names) -> Problems:  # noqa: FBT001 (as it is written)
    found, ever = view.decided(What.ENTERED), view.since(What.ENTERED)
    instead = view.when(ever, _of_journey)
    refused = view.since(What.REFUSED)
    if refused:
        instead += f"; refused: {view.when(refused, lambda entry: f'{entry.journey} ({entry.reason})')}"
    if isinstance(wanted, bool):
        if bool(found if wanted else ever) != wanted:
            yield f"{view.who} was {'' if wanted else 'not '}to enter; entered: {instead}"
    elif isinstance(wanted, int):
        if len(found) != wanted:
            yield f"{view.who} was to enter {wanted} times; entered: {instead}"
    else:
        left = Counter(entry.journey for entry in found)
        for name in listed(wanted):
            if not left[name]:
                yield f"{view.who} was to enter {name!r}; entered: {instead}"
            left[name] -= 1


def _refused(view: View, wanted: Reasons) -> Problems:
    return because(view, wanted, What.REFUSED, "refused", by=_of_journey)


def _ended(view: View, wanted: Reasons) -> Problems:
    return because(view, wanted, What.ENDED, "ended", by=_of_journey)


def _goal(view: View, wanted: Names) -> Problems:
    found = view.decided(What.GOAL)
    for name in listed(wanted):
        if not any(entry.reason == name for entry in found):
            reached = view.when(view.since(What.GOAL), lambda entry: entry.reason)
            yield f"{view.who} was to reach the goal {name!r}; reached: {reached}"


def _way(view: View, wanted: Names) -> Problems:
    ways = [entry.reason for entry in view.decided(What.BRANCHED)]
    if ways != listed(wanted):
        instead = view.when(view.since(What.BRANCHED), lambda entry: f"{entry.step} by {entry.reason!r}")
        yield f"the ways taken were to be {', '.join(listed(wanted))}; taken since the last look: {instead}"


def _path(view: View, wanted: list[str]) -> Problems:
    path = [entry.step for entry in view.since(What.ARRIVED)]
    if path != wanted:
        yield f"{view.who} was to come to {', '.join(wanted) or 'no step'}, and came to {', '.join(path) or 'none'}"


def _step(view: View, wanted: Names) -> Problems:
    at = sorted(token.step for run in view.runs for token in run.tokens)
    if at != sorted(listed(wanted)):
        stands = f"stands at {', '.join(at)}" if at else "is in no run"
        yield f"{view.who} was to stand at {', '.join(listed(wanted)) or 'no step'}, and {stands}"


def _waiting_until(view: View, wanted: str) -> Problems:
    look = view.look
    runs = {run.id: {token.id for token in run.tokens} for run in view.runs}

    def waits(timer: Timer) -> bool:
        return timer.run in runs and timer.token in runs[timer.run]

    dues = [timer.due for timer in look.contact.timers if waits(timer)]
    instead = ", ".join(look.shown(due) for due in dues) or "for something that happens"
    if not runs:
        yield f"{view.who} was to wait, and is in no run"
        return
    if wanted == NEVER:
        if dues:
            yield f"{view.who} was to wait for something that happens, and waits until {instead}"
        return
    until = look.now + length_in(wanted) if is_length(wanted) else look.instant(wanted)
    if until not in dues:
        yield f"{view.who} was to wait until {look.shown(until)}, and waits {'until ' if dues else ''}{instead}"


def _runs(view: View, wanted: int) -> Problems:
    if len(view.runs) != wanted:
        there = ", ".join(f"{run.journey} {run.key}".strip() for run in view.runs) or "none"
        yield f"{view.who} was to have {wanted} runs under way; there are: {there}"


def _of_journey(entry: Trace) -> str:
    return entry.journey


CHECKS: dict[str, Check] = {
    "entered": _entered,
    "refused": _refused,
    "ended": _ended,
    "goal": _goal,
    "way": _way,
    "path": _path,
    "step": _step,
    "waiting_until": _waiting_until,
    "runs": _runs,
}
