"""Move a run's token through the graph: one row of `STEPS` for each type of step.

The rules this file keeps:

| step      | on arrival                                            | later                                              |
|-----------|-------------------------------------------------------|----------------------------------------------------|
| send      | each message: permitted → SENT, else SUPPRESSED;      |                                                    |
|           | none sent → `suppressed` if drawn, else `next`        |                                                    |
| wait      | parks with a timer                                    | timer → `next`                                     |
| wait_for  | parks, with a timer if it has a timeout               | first matching event → its branch; timer → timeout |
| decision  | condition true → `then`, else → `else`                |                                                    |
| end       | the token ends                                        |                                                    |

A token that is led nowhere ends; a run whose last token ended has ended, and so has one whose time is up. A token that
leaves a step takes the step's timer with it; a run that ends takes all of its timers. A message's id is derived from
run, step and visit, so the same decision is the same message.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from parcours.conditions.to_python import within_run
from parcours.core import ids
from parcours.core.contact import Contact, Run, Sent, Timer, Token, under_way
from parcours.core.effects import Effects, Message, Trace, What
from parcours.core.memory import remember_message
from parcours.core.permission import refusal
from parcours.core.plan import CompiledJourney, CompiledStep, Plan, Question
from parcours.definitions.journey import Decision, End, Send, Step, Wait, WaitFor

LONGEST_WALK = 1_000
"""Steps a token may take at one instant. Checked definitions have no cycle without a wait, so none comes near."""

MOST_RUNS = 100
"""Runs of one journey that one contact may have at the same time."""


class Walk(msgspec.Struct):
    """What a step needs to know to act: whose token, where, when, and where effects go."""

    plan: Plan
    contact: Contact
    journey: CompiledJourney
    run: Run
    now: int
    effects: Effects

    def note(self, what: str, step: str, reason: str = "", detail: dict[str, Any] | None = None) -> None:
        """Put an entry of this run into the trace."""
        run = self.run
        self.effects.trace.append(Trace(self.now, what, run.journey, run.version, run.id, step, reason, detail))


class Park(msgspec.Struct, frozen=True):
    """A step's answer when the token stays."""


PARK = Park()

Outcome = str | Park | None
"""The step to go to, PARK, or None when the token is led nowhere."""


def enter(
    plan: Plan,
    contact: Contact,
    journey: CompiledJourney,
    attributes: Mapping[str, Any],
    position: int,
    now: int,
    effects: Effects,
    *,
    cause: str = "",
) -> None:
    """Start a run, if the journey's rule of re-entry allows it; a refusal leaves its reason in the trace.

    `attributes` are those of what started it and `position` its place in the log, 0 for time alone. `cause` tells what
    started it from everything else that may; the position, when it is empty.
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
        ids.derive(contact.id, name, key, cause or str(position)),
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


def set_timer(contact: Contact, run: Run, token: int, due: int) -> None:
    """Make a timer for a token."""
    contact.created += 1
    insort(contact.timers, Timer(due, contact.created, run.journey, run.id, token))


def drop_timers(contact: Contact, run: str, token: int | None) -> None:
    """Forget the timers of a token, or with None of the whole run."""
    timers = contact.timers
    for index in range(len(timers) - 1, -1, -1):
        timer = timers[index]
        if timer.run == run and (token is None or timer.token == token):
            del timers[index]


def ask_in_run(question: Question, contact: Contact, attributes: Mapping[str, Any], run: Run, now: int) -> bool:
    """Ask a condition of a run."""
    return question.ask(contact, within_run(attributes, run.started_at) if question.of_run else attributes, now)


def _end_token(walk: Walk, token: Token) -> None:
    walk.run.tokens.remove(token)
    if not walk.run.tokens:
        end_run(walk, "finished")


def _send(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    step = compiled.definition
    assert isinstance(step, Send)  # noqa: S101 (the table below pairs types and functions)
    contact, run, name = walk.contact, walk.run, token.step
    visit = run.visits.get(name, 0)
    run.visits[name] = visit + 1
    sent = 0
    for message in step.messages:
        known = walk.plan.messages[message]
        definition = known.definition
        reason = refusal(contact, definition)
        if reason is not None:
            walk.note(What.SUPPRESSED, name, reason, {"message": message})
            continue
        sent += 1
        identity = ids.message_id(contact.id, run.id, name, visit, message)
        if walk.journey.reacts:
            run.messages.setdefault(message, []).append(identity)
        if walk.plan.remembers_messages:
            remember_message(contact, identity, Sent(message, definition.channel, walk.now))
        walk.note(What.SENT, name, message, {"message_id": identity})
        walk.effects.messages.append(
            Message(
                id=identity,
                contact=contact.id,
                channel=definition.channel,
                address=contact.addresses[definition.channel] or "",
                message=message,
                version=known.version,
                journey=run.journey,
                run=run.id,
                decided_at=walk.now,
                trigger=run.trigger,
                attributes=dict(contact.attributes),
            )
        )
    return step.suppressed if not sent and step.suppressed is not None else step.next


def _wait(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    set_timer(walk.contact, walk.run, token.id, walk.now + compiled.duration)
    return PARK


def _wait_for(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    if compiled.duration:
        set_timer(walk.contact, walk.run, token.id, walk.now + compiled.duration)
    return PARK


def _decision(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    step, question = compiled.definition, compiled.question
    assert isinstance(step, Decision)  # noqa: S101 (the table below pairs types and functions)
    assert question is not None  # noqa: S101 (compiled with every decision)
    answer = ask_in_run(question, walk.contact, walk.run.facts, walk.run, walk.now)
    walk.note(What.BRANCHED, token.step, "then" if answer else "else", {"if": question.text})
    return step.then if answer else step.otherwise


def _end(_walk: Walk, _token: Token, _compiled: CompiledStep) -> Outcome:
    return None


STEPS: dict[type[Step], Callable[[Walk, Token, CompiledStep], Outcome]] = {
    Send: _send,
    Wait: _wait,
    WaitFor: _wait_for,
    Decision: _decision,
    End: _end,
}
"""What each type of step does when a token arrives."""
