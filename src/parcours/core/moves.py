"""Moving runs from one version of a journey to another.

| of a run             | becomes                                                                                          |
|----------------------|--------------------------------------------------------------------------------------------------|
| a token              | stands at the step that the mapping names, else at the one of the same name                       |
| what it waits for    | what the new step waits for; when it is due stays as it was                                       |
| a wait without that  | where the new step has a time and the old one had none: as if it came there now                   |
| a call that is out   | where the new step is a webhook, its answer is waited for and nobody is called again; else it is not taken |
| a step of another kind | the token goes on from there at once, in place of waiting                                       |
| the end of its time  | that of the new version, counted from when it began                                               |

`check_move` says everything wrong with a move before it is made. Nothing is missing then; were a step missing all the
same, the run would end.
"""

from __future__ import annotations

import msgspec

from parcours.conditions.parse import escape, shown
from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact, Timer, Token
from parcours.core.effects import Effects, Trace, What
from parcours.core.ending import end_run, set_clock
from parcours.core.figures import Counts, waiting
from parcours.core.inputs import Move
from parcours.core.plan import Plan
from parcours.core.runs import go
from parcours.core.walk import CLOCK, Walk, add_timer, ask_in_run, drop_timers
from parcours.definitions.steps import Join, Wait, WaitFor, Webhook
from parcours.errors import Problem, did_you_mean

NO_STEP = "no_step"
"""The reason of a run that ended because its step is not there in the version it was moved to."""


class MoveCheck(msgspec.Struct):
    """What a move would do."""

    errors: list[Problem]
    warnings: list[Problem]
    runs: dict[str, int]
    """Step to how many tokens stand there now."""
    steps: dict[str, str]
    """Step at which somebody stands to the step they come to."""

    def error(self, code: str, message: str, pointer: str, hint: str = "") -> None:
        """Note what keeps the move from being made."""
        self.errors.append(Problem(code=code, message=message, pointer=pointer, hint=hint))

    def warn(self, code: str, message: str, pointer: str = "") -> None:
        """Note what is to be known of it."""
        self.warnings.append(Problem(code=code, message=message, pointer=pointer))


def check_move(plan: Plan, move: Move, counts: Counts) -> MoveCheck:
    """Return everything wrong with a move, and what it would do."""
    found = MoveCheck([], [], {}, {})
    versions = plan.journeys.get(move.journey, {})
    for pointer, number in (("/from", move.before), ("/to", move.after)):
        if number not in versions:
            known = f"there are 1 to {max(versions)}" if versions else ""
            found.error("unknown_version", f"the journey {shown(move.journey)} has no version {number}", pointer, known)
    if found.errors:
        return found
    if move.before == move.after:
        found.error("same_version", "runs are moved to another version", "/to")
    if plan.states[move.journey] == "paused":
        found.error("paused", "nothing moves while the journey is paused", "", "let it go on, or close it, first")
    before, after = versions[move.before], versions[move.after]
    for step, target in move.steps.items():
        for name, journey in ((step, before), (target, after)):
            if name not in journey.steps:
                hint = did_you_mean(name, journey.steps)
                message = f"version {journey.version} has no step {shown(name)}"
                found.error("unknown_step", message, f"/steps/{escape(step)}", hint)
    found.runs = waiting(before, counts)
    for step, number in found.runs.items():
        _check_step(found, step, number, move, before, after)
    lacking = sorted(set(after.facts) - set(before.facts))
    if lacking and found.runs:
        said = ", ".join(map(shown, lacking))
        found.warn("missing_facts", f"their runs did not remember {said} of what started them: conditions find nothing")
    if after.reacts and not before.reacts and found.runs:
        found.warn("missing_messages", "their runs did not remember what they sent: no reaction to that is noticed")
    return found


def _check_step(
    found: MoveCheck, step: str, number: int, move: Move, before: CompiledJourney, after: CompiledJourney
) -> None:
    """Look at what becomes of those who stand at a step."""
    target, place = move.steps.get(step, step), f"/steps/{escape(step)}"
    if target not in after.steps:
        if step not in move.steps:
            hint = did_you_mean(step, after.steps) or "name the step that they come to"
            message = f"{number:,} stand at {step!r}, which version {after.version} has not"
            found.error("missing_step", message, place, hint)
        return
    found.steps[step] = target
    old, new = before.steps[step].definition, after.steps[target].definition
    if isinstance(old, Join) != isinstance(new, Join):
        found.warn("join", f"from {step!r} to {target!r}: those of one fork may no longer wait for each other", place)
    elif not isinstance(new, Wait | WaitFor | Join) and not (isinstance(old, Webhook) and isinstance(new, Webhook)):
        found.warn("goes_on", f"those at {step!r} go on from {target!r} at once, without a wait", place)


def move_runs(plan: Plan, contact: Contact, effects: Effects) -> None:
    """Move a contact's runs as the plan says. The contact is changed."""
    for move in plan.moves:
        for run in list(contact.runs.get(move.journey, {}).values()):
            if run.version == move.before:
                run.version = move.after
                journey = plan.journeys[move.journey][move.after]
                _move(Walk(plan, contact, journey, run, plan.revised_at, effects), move)


def _move(walk: Walk, move: Move) -> None:
    contact, run, journey, now = walk.contact, walk.run, walk.journey, walk.now
    drop_timers(contact, run.id, 0)
    add_timer(contact, Timer(max(now, run.started_at + journey.max_duration), 0, run.journey, run.id, 0))
    drop_timers(contact, run.id, CLOCK)
    _count(walk, move)
    for goal in journey.aims.goals if journey.aims is not None else ():
        asked = goal.question is not None and goal.name not in run.reached
        if asked and goal.question is not None and ask_in_run(goal.question, contact, run.facts, run, now):
            run.reached[goal.name] = 0  # as if it were true at the start: it is not reached by the move
    ways: list[tuple[Token, str]] = []
    for token in run.tokens:
        target = move.steps.get(token.step, token.step)
        place = now, What.MOVED, run.journey, move.before, run.id, token.step
        walk.effects.trace.append(Trace(*place, target, {"version": move.after}))
        if target not in journey.steps:
            # It has left its old step; the new one it never came to.
            token.step = ""
        elif _stays(walk, token, target, calls := _calls(walk, token)):
            token.step = target
            walk.note(What.ARRIVED, target, "moved")
        else:
            for call in calls:
                del contact.awaits[call]
            token.step = ""
            ways.append((token, target))
    if any(not token.step and all(token is not going for going, _ in ways) for token in run.tokens):
        run.tokens[:] = [token for token in run.tokens if token.step]
        end_run(walk, NO_STEP)
        return
    for token, target in ways:
        if token in run.tokens:
            drop_timers(contact, run.id, token.id)
            go(walk, token, target)
    if run.tokens:
        set_clock(walk)


def _count(walk: Walk, move: Move) -> None:
    """Note that a run is of another version from now on, and what it drew of experiments that are there, too."""
    run = walk.run
    walk.effects.trace.append(Trace(walk.now, What.SWITCHED, run.journey, move.before, run.id, "", str(move.after)))
    for step, variant in run.drawn.items():
        compiled = walk.journey.steps.get(step)
        if compiled is not None and any(share.name == variant for share in compiled.shares):
            walk.note(What.DREW, step, variant)


def _calls(walk: Walk, token: Token) -> list[str]:
    """Return the calls of webhooks whose answers a token waits for."""
    waits = walk.run.journey, walk.run.id, token.id
    return [message for message, awaited in walk.contact.awaits.items() if awaited == waits]


def _stays(walk: Walk, token: Token, target: str, calls: list[str]) -> bool:
    """Return whether a token waits on at a step, rather than come to it anew."""
    compiled = walk.journey.steps[target]
    timed = any(timer.run == walk.run.id and timer.token == token.id for timer in walk.contact.timers)
    match compiled.definition:
        case Wait():
            return timed
        case WaitFor():
            return timed or compiled.definition.timeout is None
        case Webhook():
            return bool(calls)
        case _:
            return False
