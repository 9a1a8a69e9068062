"""Runs: how one begins, how its tokens walk from step to step (`core.steps` says what a step does), how it ends."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Any

from parcours.core import ids
from parcours.core.admission import note_entry, refused
from parcours.core.aims import begin, exit_met, look_at_aims
from parcours.core.calls import ANSWERED, FAILED, came_of, take_answer
from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact, Held, Run, Timer, Token
from parcours.core.effects import TEST, Effects, Trace, What
from parcours.core.ending import end_run, set_clock
from parcours.core.forks import freed
from parcours.core.inputs import Reaction
from parcours.core.keys import key_of
from parcours.core.plan import Plan
from parcours.core.steps import STEPS
from parcours.core.walk import Fail, Spread, Walk, drop_timers
from parcours.definitions.journey import MOST_RUNS
from parcours.definitions.steps import Award, Enlist, Enrol, Give, Record, Start, Update, Wait, Webhook

LONGEST_WALK = 1_000
"""Steps a token may take at one instant. Checked definitions have no cycle without a wait, so none comes near."""


def enter(  # noqa: PLR0913 (what a run is made of)
    plan: Plan,
    contact: Contact,
    journey: CompiledJourney,
    attributes: Mapping[str, Any],
    position: int,
    now: int,
    effects: Effects,
    cause: str,
    *,
    test: bool = False,
) -> None:
    """Start a run, if the journey's state and rule of re-entry allow it; a refusal leaves its reason in the trace.

    While the journey is tested, only those enter who test it; while it is paused, entries are held or discarded.
    A `test` is asked for nothing.

    `attributes` are those of what started it and `position` its place in the log, 0 for time alone. `cause` tells what
    started it from everything else that may, wherever it stands in the log.
    """
    name = journey.name
    if not test and plan.states[name] != "live":
        if plan.states[name] != "test":
            _hold(plan, contact, journey, attributes, position, cause, now, effects)
            return
        if plan.tests[name].contacts.isdisjoint(contact.identities):
            return
        test = True
    tested = TEST if test else ""
    key = key_of(attributes, journey.key) if journey.key else ""
    if journey.key and not key:
        seen = {"key": journey.key}
        effects.trace.append(Trace(now, What.REFUSED, name, journey.version, tested, "", "no_key", seen))
        return
    runs = contact.runs.get(name)
    detail = {"key": key} if key else None
    refusal = refused(contact, journey, key, runs, now) if not test else None
    if refusal is not None:
        reason, seen = refusal
        values = {**detail, **seen} if detail else seen
        effects.trace.append(Trace(now, What.REFUSED, name, journey.version, "", "", reason, values or None))
        return
    facts = {fact: attributes[fact] for fact in journey.facts if fact in attributes} if journey.facts else {}
    token = Token(1, "", now)
    id_ = ids.derive(contact.id, name, key, cause)
    run = Run(
        f"{tested}{id_}",
        name,
        journey.version,
        key,
        now,
        position,
        facts,
        [token],
        test=test,
    )
    if journey.aims is not None:
        met = exit_met(contact, journey, run, now)
        if met is not None:
            values = {**(detail or {}), "exit": met.label}
            effects.trace.append(Trace(now, What.REFUSED, name, journey.version, tested, "", "exit_met", values))
            return
        begin(contact, journey, run, now)
    if not test:
        note_entry(contact, journey, key, now)
    # The run's own timer is the first to be made, and so at an equal instant the first to fire.
    contact.created += 1
    limit = Timer(now + journey.max_duration, contact.created, name, run.id, 0)
    walk = Walk(plan, contact, journey, run, now, effects)
    walk.note(What.ENTERED, "", "", detail)
    go(walk, token, journey.start)
    if run.tokens:
        # Only a run that stays is remembered; most that only send have ended by now.
        contact.runs.setdefault(name, {})[run.id] = run
        insort(contact.timers, limit)
        set_clock(walk)


def _hold(
    plan: Plan,
    contact: Contact,
    journey: CompiledJourney,
    attributes: Mapping[str, Any],
    position: int,
    cause: str,
    now: int,
    effects: Effects,
) -> None:
    """Hold an entry until the journey is no longer paused, if that is wanted and there is room; else refuse it."""
    name, state = journey.name, plan.states[journey.name]
    what = What.REFUSED
    if state == "paused" and plan.newest[name].definition.on_pause == "hold" and len(contact.held) < MOST_RUNS:
        what = What.HELD
        contact.held.append(Held(name, dict(attributes), position, cause))
    effects.trace.append(Trace(now, what, name, journey.version, "", "", state))


def go(walk: Walk, token: Token, step: str | None) -> None:
    """Walk a token from one step on until it parks or ends, and with it those that it sets off."""
    ahead = _walk(walk, token, step)
    while ahead and walk.run.tokens:
        (token, step), *rest = ahead
        ahead = (*_walk(walk, token, step), *rest)


def _walk(walk: Walk, token: Token, step: str | None) -> tuple[tuple[Token, str | None], ...]:
    """Walk a token until it parks or ends; return which others go on then, and where."""
    steps = walk.journey.steps
    for _ in range(LONGEST_WALK):
        if step is None:
            break
        compiled = steps[step]
        token.step = step
        token.since = walk.now
        walk.note(What.ARRIVED, step)
        outcome = STEPS[type(compiled.definition)](walk, token, compiled)
        if outcome is None or isinstance(outcome, str):
            step = outcome
            continue
        if isinstance(outcome, Spread):
            return outcome.ways
        if isinstance(outcome, Fail):
            end_run(walk, outcome.reason)
        return ()
    return _end_token(walk, token)


def resume(walk: Walk, token: Token, label: str, step: str | None) -> None:
    """Let a parked token leave its step by a way called `label`."""
    drop_timers(walk.contact, walk.run.id, token.id)
    walk.note(What.BRANCHED, token.step, label)
    go(walk, token, step)


def answered(plan: Plan, contact: Contact, item: Reaction, effects: Effects) -> None:
    """Let the token go on that waits for what became of a call. The contact is changed."""
    waiting = take_answer(plan, contact, item, effects)
    if waiting is None:
        return
    walk, token = waiting
    if walk.journey.aims is not None:
        # Exits and goals may ask for what was saved.
        look_at_aims(plan, contact, (walk.run.journey,), walk.now, effects)
    if walk.run.tokens:
        _leave_call(walk, token)


def _leave_call(walk: Walk, token: Token) -> None:
    step = walk.journey.steps[token.step].definition
    assert isinstance(step, Webhook)  # noqa: S101 (no other waits so)
    if walk.run.seen.pop(came_of(token)):
        resume(walk, token, ANSWERED, step.next)
    else:
        resume(walk, token, FAILED, step.failed if step.failed is not None else step.next)


def time_is_up(walk: Walk, token: Token) -> None:
    """A token's timer came due."""
    step = walk.journey.steps[token.step]
    if isinstance(step.definition, Webhook):
        _leave_call(walk, token)
    elif isinstance(step.definition, Wait):
        resume(walk, token, "waited", step.definition.next)
    else:
        resume(walk, token, "timeout", step.after_timeout)


def go_on(plan: Plan, contact: Contact, message: str, now: int, effects: Effects, *, refused: str = "") -> None:
    """Let the token go on that waits for what its step made happen, if one does. The contact is changed."""
    awaited = contact.awaits.pop(message, None)
    if awaited is None:
        return
    journey, run_id, token_id = awaited
    run = contact.runs.get(journey, {}).get(run_id)
    token = next((token for token in run.tokens if token.id == token_id), None) if run is not None else None
    if run is None or token is None:
        return
    walk = Walk(plan, contact, plan.journeys[journey][run.version], run, now, effects)
    step = walk.journey.steps[token.step].definition
    assert isinstance(step, Update | Enlist | Record | Start | Award | Enrol | Give)  # noqa: S101 (no other waits so)
    if refused:
        walk.note(What.SKIPPED, token.step, refused)
    if refused and isinstance(step, Give) and step.unavailable is not None:
        walk.note(What.BRANCHED, token.step, "unavailable")
        go(walk, token, step.unavailable)
        return
    go(walk, token, step.next)


def _end_token(walk: Walk, token: Token) -> tuple[tuple[Token, str | None], ...]:
    walk.run.tokens.remove(token)
    if not walk.run.tokens:
        end_run(walk, "finished")
        return ()
    return freed(walk, reversed(token.forks))
