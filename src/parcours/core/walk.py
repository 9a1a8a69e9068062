"""What a step is given to act with, and the timers of a run."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Any

import msgspec

from parcours.conditions.to_python import within_run
from parcours.core.compiled import CompiledJourney, Question
from parcours.core.contact import Contact, Run, Timer, Token
from parcours.core.effects import Effects, Trace
from parcours.core.plan import Plan

CLOCK = -1
"""Stands in a timer for the conditions of exits and goals, in place of a token."""


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


class Spread(msgspec.Struct, frozen=True):
    """A step's answer when other tokens go on, in this order; the one that came does so only if it is among them."""

    ways: tuple[tuple[Token, str | None], ...]


class Fail(msgspec.Struct, frozen=True):
    """A step's answer when it cannot do what it is to do, and the run ends for that."""

    reason: str


Outcome = str | Park | Spread | Fail | None
"""The step to go to, PARK, who goes on, why the run has failed, or None when the token is led nowhere."""


def set_timer(walk: Walk, token: int, due: int) -> None:
    """Make a timer for a token; that of a test comes due no later than tests wait."""
    run = walk.run
    if run.test and (longest := walk.plan.tests[run.journey].waits) is not None:
        due = min(due, walk.now + longest)
    add_timer(walk.contact, Timer(due, 0, run.journey, run.id, token))


def add_timer(contact: Contact, timer: Timer) -> None:
    """Let a contact have a timer like one that is given, as the last that was made."""
    contact.created += 1
    insort(contact.timers, Timer(timer.due, contact.created, timer.journey, timer.run, timer.token))


def drop_timers(contact: Contact, run: str, token: int | None) -> None:
    """Forget the timers of a token, or with None of the whole run."""
    for timers in (contact.timers, contact.shelf) if contact.shelf else (contact.timers,):
        for index in range(len(timers) - 1, -1, -1):
            timer = timers[index]
            if timer.run == run and (token is None or timer.token == token):
                del timers[index]


def ask_in_run(question: Question, contact: Contact, attributes: Mapping[str, Any], run: Run, now: int) -> bool:
    """Ask a condition of a run."""
    if question.of_run:
        attributes = within_run(attributes, run.started_at, run_data(run))
    return question.ask(contact, attributes, now)


def run_data(run: Run) -> dict[str, Any]:
    """Return what can be asked of a run: its key, and what its steps saved."""
    return {**run.data, "key": run.key or None}


def put_on_shelf(contact: Contact, timer: Timer) -> None:
    """Let a contact have a timer of a journey that is paused, as the last that was made."""
    contact.created += 1
    insort(contact.shelf, Timer(timer.due, contact.created, timer.journey, timer.run, timer.token))
