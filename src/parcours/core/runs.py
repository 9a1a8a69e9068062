"""Runs: how one begins, how its tokens walk from step to step (`core.steps` says what a step does), how it ends."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Any

from parcours.core import ids
from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact, Run, Timer, Token, under_way
from parcours.core.effects import Effects, Trace, What
from parcours.core.plan import Plan
from parcours.core.steps import STEPS
from parcours.core.walk import Park, Walk, drop_timers
from parcours.definitions.steps import Wait

LONGEST_WALK = 1_000
"""Steps a token may take at one instant. Checked definitions have no cycle without a wait, so none comes near."""

MOST_RUNS = 100
"""Runs of one journey that one contact may have at the same time."""


def enter(
    plan: Plan,
    contact: Contact,
    journey: CompiledJourney,
    attributes: Mapping[str, Any],
    position: int,
    now: int,
    effects: Effects,
    cause: str,
) -> None:
    """Start a run, if the journey's rule of re-entry allows it; a refusal leaves its reason in the trace.

    `attributes` are those of what started it and `position` its place in the log, 0 for time alone. `cause` tells what
    started it from everything else that may, wherever it stands in the log.
    """
    name = journey.name
    key = key_of(attributes, journey.key) if journey.key else ""
    if journey.key and not key:
        effects.trace.append(Trace(now, What.REFUSED, name, journey.version, "", "", "no_key", {"key": journey.key}))
        return
    runs = contact.runs.get(name)
    reason = _refused_entry(contact, journey, key, runs)
    detail = {"key": key} if key else None
    if reason is not None:
        effects.trace.append(Trace(now, What.REFUSED, name, journey.version, "", "", reason, detail))
        return
    facts = {fact: attributes[fact] for fact in journey.facts if fact in attributes} if journey.facts else {}
    token = Token(1, "", now)
    run = Run(
        ids.derive(contact.id, name, key, cause),
        name,
        journey.version,
        key,
        now,
        position,
        facts,
        [token],
    )
    if journey.once:
        contact.past.setdefault(name, {})[key] = now
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


def key_of(attributes: Mapping[str, Any], name: str) -> str:
    """Return the key of a run: the attribute's value as text, empty when it is missing.

    A whole number is written alike whether it came as `1` or `1.0`.
    """
    value = attributes.get(name)
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _refused_entry(contact: Contact, journey: CompiledJourney, key: str, runs: dict[str, Run] | None) -> str | None:
    if journey.once and key in contact.past.get(journey.name, ()):
        return "entered_before"
    if not runs:
        return None
    if not journey.parallel and under_way(runs, key):
        return "under_way"
    return "too_many_runs" if len(runs) >= MOST_RUNS else None


def go(walk: Walk, token: Token, step: str | None) -> None:
    """Walk a token from one step on until it parks or ends."""
    steps = walk.journey.steps
    for _ in range(LONGEST_WALK):
        if step is None:
            break
        compiled = steps[step]
        token.step = step
        token.since = walk.now
        walk.note(What.ARRIVED, step)
        outcome = STEPS[type(compiled.definition)](walk, token, compiled)
        if isinstance(outcome, Park):
            return
        step = outcome
    _end_token(walk, token)


def resume(walk: Walk, token: Token, label: str, step: str | None) -> None:
    """Let a parked token leave its step by a way called `label`."""
    drop_timers(walk.contact, walk.run.id, token.id)
    walk.note(What.BRANCHED, token.step, label)
    go(walk, token, step)


def time_is_up(walk: Walk, token: Token) -> None:
    """A token's timer came due."""
    step = walk.journey.steps[token.step]
    if isinstance(step.definition, Wait):
        resume(walk, token, "waited", step.definition.next)
    else:
        resume(walk, token, "timeout", step.after_timeout)


def end_run(walk: Walk, reason: str) -> None:
    """End a run: nothing of it is left in the contact but that it was."""
    run, contact = walk.run, walk.contact
    runs = contact.runs.get(run.journey)
    if runs is not None and runs.pop(run.id, None) is not None:
        drop_timers(contact, run.id, None)
        if not runs:
            del contact.runs[run.journey]
    walk.note(What.ENDED, "", reason)


def _end_token(walk: Walk, token: Token) -> None:
    walk.run.tokens.remove(token)
    if not walk.run.tokens:
        end_run(walk, "finished")
