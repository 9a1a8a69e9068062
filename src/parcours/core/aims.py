"""Exits and goals: what ends runs early, and what they are for.

| rule                                                                                                              |
|-------------------------------------------------------------------------------------------------------------------|
| both are looked at on every input of the contact that can touch them, wherever a run stands, before it moves       |
| goals come first, then exits, each in the order in which they are written                                          |
| a condition that time alone may turn has a timer of the run (its token is `CLOCK`), and is asked at its own instant |
| whoever meets the condition of an exit does not enter: the entry is refused                                       |
| a goal is reached once a run; a condition that is true already when the run starts must have been false before     |
| a goal with a window is looked at until that is over, also when the run has ended                                 |
| what is too old to move a journey still reaches goals, by when it occurred; it ends no run                         |
| while the journey is paused nobody looks; when the pause is over, conditions are asked before anything else happens |
| what is history triggers nothing: its conditions are asked when something else happens                            |

Runs that have ended and still have a goal to reach are kept in `Contact.over`, without their tokens.
"""

from __future__ import annotations

from collections.abc import Iterable

from parcours.core.compiled import CompiledAim, CompiledJourney
from parcours.core.contact import Contact, Run
from parcours.core.effects import Effects, Trace, What
from parcours.core.ending import end_run, set_clock
from parcours.core.inputs import Interaction
from parcours.core.keys import key_of
from parcours.core.plan import Plan
from parcours.core.walk import Walk, ask_in_run

ENDED_BY_EXIT = "exited"
ENDED_BY_GOAL = "goal"


def exit_met(contact: Contact, journey: CompiledJourney, run: Run, now: int) -> CompiledAim | None:
    """Return the exit whose condition is true already when a run is about to start, or None."""
    if journey.aims is not None:
        for aim in journey.aims.exits:
            if aim.question is not None and ask_in_run(aim.question, contact, run.facts, run, now):
                return aim
    return None


def begin(contact: Contact, journey: CompiledJourney, run: Run, now: int) -> None:
    """Note which goals are true when a run starts, before its first step."""
    if journey.aims is not None:
        for goal in journey.aims.goals:
            if goal.question is not None and ask_in_run(goal.question, contact, run.facts, run, now):
                run.reached[goal.name] = 0


def look_at_aims(
    plan: Plan,
    contact: Contact,
    journeys: Iterable[str],
    now: int,
    effects: Effects,
    item: Interaction | None = None,
    *,
    silent: bool = False,
) -> None:
    """Look at the goals and exits of the runs of some journeys. The contact is changed.

    `item` is the interaction that is being folded. `silent` is for history, which triggers nothing: what it changes is
    looked at when time alone may have turned it, or when something else happens.
    """
    for name in journeys:
        runs, over = contact.runs.get(name), contact.over.get(name)
        if (not runs and not over) or name in plan.paused:
            continue
        versions = plan.journeys[name]
        for run in [*(runs or {}).values(), *(over or {}).values()]:
            walk = Walk(plan, contact, versions[run.version], run, now, effects)
            if not silent:
                _look(walk, item)
            set_clock(walk)


def come_due(walk: Walk) -> None:
    """A timer that a run has for conditions of its exits and goals came due."""
    _look(walk, None)
    set_clock(walk)


def _look(walk: Walk, item: Interaction | None) -> None:
    aims, run = walk.journey.aims, walk.run
    if aims is None:
        return
    late = item is not None and walk.now - item.occurred_at > walk.journey.max_age
    for goal in aims.goals:
        if _reaches(walk, goal, item) and goal.ends and run.tokens and not (late and goal.names):
            end_run(walk, ENDED_BY_GOAL, {"goal": goal.name})
    if not run.tokens:
        return
    for aim in aims.exits:
        if not _is_met(walk, aim, item):
            continue
        if late and aim.names and item is not None:
            detail = {"age": walk.now - item.occurred_at, "max_age": walk.journey.max_age}
            walk.effects.trace.append(Trace(walk.now, What.LATE, run.journey, run.version, run.id, detail=detail))
            continue
        end_run(walk, ENDED_BY_EXIT, {"exit": aim.label})
        return


def _reaches(walk: Walk, goal: CompiledAim, item: Interaction | None) -> bool:
    """Return whether a run reaches a goal now, and note it."""
    run = walk.run
    if run.reached.get(goal.name):
        return False
    at = item.occurred_at if item is not None and goal.names else walk.now
    if at < run.started_at or (goal.within and at >= run.started_at + goal.within):
        return False
    if not (run.tokens or goal.within):
        return False
    met = _is_met(walk, goal, item)
    if goal.name in run.reached:  # it was true at the start
        if not met:
            del run.reached[goal.name]
        return False
    if met:
        run.reached[goal.name] = at
        walk.note(What.GOAL, "", goal.name, {"by": goal.label})
        for step, variant in run.drawn.items():
            walk.note(What.CONVERTED, step, f"{variant}/{goal.name}")
    return met


def _is_met(walk: Walk, aim: CompiledAim, item: Interaction | None) -> bool:
    contact, run, now = walk.contact, walk.run, walk.now
    if aim.question is not None:
        return ask_in_run(aim.question, contact, run.facts, run, now)
    if item is None or item.name not in aim.names:
        return False
    if aim.key and (not run.key or key_of(item.attributes, aim.key) != run.key):
        return False
    return aim.where is None or ask_in_run(aim.where, contact, item.attributes, run, now)
