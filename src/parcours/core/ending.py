"""How a run ends, and what is kept of it as long as it has a goal to reach."""

from __future__ import annotations

from bisect import insort
from typing import Any

import msgspec

from parcours.core.admission import note_end
from parcours.core.compiled import CompiledAim, CompiledJourney
from parcours.core.contact import Contact, Run, Timer
from parcours.core.effects import What
from parcours.core.plan import Plan
from parcours.core.walk import CLOCK, Walk, drop_timers
from parcours.definitions.journey import MOST_RUNS


def end_run(walk: Walk, reason: str, detail: dict[str, Any] | None = None) -> None:
    """End a run: nothing of it is left in the contact but that it was, and what its goals ask for."""
    run, contact = walk.run, walk.contact
    runs = contact.runs.get(run.journey)
    known = runs is not None and runs.pop(run.id, None) is not None
    if known or run.tokens:  # one that fails while it begins is not known yet, and may wait somewhere
        drop_timers(contact, run.id, None)
        if contact.awaits:
            contact.awaits = {id_: awaited for id_, awaited in contact.awaits.items() if awaited[1] != run.id}
    if known and not runs:
        del contact.runs[run.journey]
    for token in run.tokens:
        if token.step:  # else it has come nowhere yet
            walk.note(What.DROPPED, token.step, reason)
    run.tokens.clear()
    walk.note(What.ENDED, "", reason, detail)
    if not run.test:
        note_end(contact, walk.plan.newest[run.journey], run.key, walk.now)
        _keep(walk)


def _keep(walk: Walk) -> None:
    """Keep a run that ends, if it has a goal that can still be reached."""
    contact, journey, now = walk.contact, walk.journey, walk.now
    if journey.aims is None or not _is_open(journey, walk.run, now):
        return
    tidy(walk.plan, contact, journey.name, now)
    over = contact.over.setdefault(journey.name, {})
    run = over[walk.run.id] = msgspec.structs.replace(walk.run, tokens=[], visits={}, messages={})
    if len(over) > MOST_RUNS:
        oldest = next(iter(over))
        drop_timers(contact, oldest, None)
        del over[oldest]
    set_clock(msgspec.structs.replace(walk, run=run))


def _is_open(journey: CompiledJourney, run: Run, now: int) -> bool:
    """Return whether a run that has ended can still reach a goal."""
    aims = journey.aims
    return aims is not None and any(
        goal.within and now < run.started_at + goal.within and not run.reached.get(goal.name) for goal in aims.goals
    )


def tidy(plan: Plan, contact: Contact, journey: str, now: int) -> None:
    """Forget runs of a journey that have ended and whose goals can no longer be reached. The contact is changed."""
    for run in list(contact.over.get(journey, {}).values()):
        if not _is_open(plan.journeys[journey][run.version], run, now):
            _forget(contact, run)


def _forget(contact: Contact, run: Run) -> None:
    over = contact.over.get(run.journey)
    if over is None or over.pop(run.id, None) is None:
        return
    drop_timers(contact, run.id, None)
    if not over:
        del contact.over[run.journey]


def set_clock(walk: Walk) -> None:
    """Let a run have one timer for its exits and goals, due when time alone may turn one of their conditions.

    A paused journey has none.

    A run that has ended and has no goal to reach any more is forgotten.
    """
    aims, contact, run, now = walk.journey.aims, walk.contact, walk.run, walk.now
    if aims is None or run.journey in walk.plan.paused:
        return  # when the pause is over, it is looked at
    over = not run.tokens
    if over and not _is_open(walk.journey, run, now):
        _forget(contact, run)
        return
    if not aims.clocked:
        return
    open_goals = (goal for goal in aims.goals if not run.reached.get(goal.name) and (goal.within or not over))
    dues = [_turns(walk, goal) for goal in open_goals]
    if not over:
        dues += [_turns(walk, aim) for aim in aims.exits]
    due = min((due for due in dues if due is not None), default=None)
    known = next((timer for timer in contact.timers if timer.run == run.id and timer.token == CLOCK), None)
    if due == (known.due if known is not None else None):
        return
    drop_timers(contact, run.id, CLOCK)
    if due is not None:
        contact.created += 1
        insort(contact.timers, Timer(due, contact.created, run.journey, run.id, CLOCK))


def _turns(walk: Walk, aim: CompiledAim) -> int | None:
    """Return when the condition of an exit or a goal may turn by itself; None for never, or when it is too late."""
    if aim.change is None:
        return None
    due = aim.change(walk.contact, walk.run.facts, walk.now)
    closed = bool(aim.within) and due is not None and due >= walk.run.started_at + aim.within
    return None if closed else due
