"""Steps at which a token waits: for time to pass, for a moment, for what the contact does."""

from __future__ import annotations

from itertools import chain

from parcours.conditions.paths import reached
from parcours.core.compiled import CompiledBranch, CompiledStep
from parcours.core.contact import Token
from parcours.core.effects import What
from parcours.core.waits import due
from parcours.core.walk import PARK, Outcome, Walk, set_timer
from parcours.core.zones import zone_for
from parcours.definitions.steps import Wait
from parcours.definitions.zones import zone_of

MISSING, OVER = "missing", "over"
"""What the trace calls leaving a wait at once, for there is no date to wait for, or it is over."""


def wait(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Park with a timer, unless the moment to wait for is over."""
    step = compiled.definition
    assert isinstance(step, Wait)  # noqa: S101 (the table of steps pairs types and functions)
    over = _begin(walk, token, compiled)
    if not over:
        return PARK
    walk.note(What.BRANCHED, token.step, over)
    return step.next


def wait_for(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Park, with a timer if there is a timeout; what came before, and a moment that is over, are taken at once."""
    prior = _prior(walk, compiled)
    if prior is not None:
        walk.note(What.BRANCHED, token.step, prior.label, {"came_at": walk.run.seen[prior.prior]})
        return prior.next
    over = _begin(walk, token, compiled) if compiled.duration or compiled.until is not None else ""
    if not over:
        return PARK
    walk.note(What.BRANCHED, token.step, over)
    return compiled.after_timeout


def _prior(walk: Walk, compiled: CompiledStep) -> CompiledBranch | None:
    """Return the branch whose event came first since the run began, if the step accepts that."""
    seen = walk.run.seen
    if not seen:
        return None
    known = {branch.prior: branch for branch in reversed([*chain.from_iterable(compiled.interactions.values())])}
    return next((known[prior] for prior in seen if prior in known), None)


def _begin(walk: Walk, token: Token, compiled: CompiledStep) -> str:
    """Set the timer of a token, or return why there is nothing to wait for."""
    asked, now = compiled.until, walk.now
    if asked is None:
        set_timer(walk, token.id, now + compiled.duration)
        return ""
    zone = zone_of(asked.zone) if asked.zone else None
    value: object = asked.date or None
    if asked.contact:
        value = reached(walk.contact.attributes, asked.contact)
    elif asked.interaction:
        value = reached(walk.run.facts, asked.interaction)
    at = due(asked, value, now, zone or zone_for(walk.plan, walk.contact, walk.journey))
    if at is None:
        return MISSING
    if at <= now:
        return OVER
    set_timer(walk, token.id, at)
    return ""
