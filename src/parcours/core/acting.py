"""Steps that make something happen to the contact: update, list, record, start, award, enrol, give.

What they do is an input of its own that follows at once (`Effects.follows`), so that conditions, segments and other
journeys see it like anything else that happens. The token waits until it has happened, and goes on at the same instant.
A step that makes the same happen again and again in one chain (`core.chains`) fails, and its run ends.

In a test, what reaches beyond the contact and the journey is not done: nothing is recorded, nobody becomes a member, no
points and no rewards are given. A journey that is started is tested, too. Attributes and lists do change: later steps ask.
"""

from __future__ import annotations

from typing import Any

from parcours.conditions.names import match_name
from parcours.core import chains
from parcours.core.compiled import CompiledStep
from parcours.core.contact import Token
from parcours.core.effects import What
from parcours.core.inputs import Adjust, Enter, Grant, Input, Interaction
from parcours.core.inputs import Enrol as Enrolled
from parcours.core.inputs import Update as Updated
from parcours.core.sums import Sum
from parcours.core.values import attributes_of, sums_in, worked_out
from parcours.core.walk import PARK, Fail, Outcome, Walk
from parcours.definitions.message import ADDRESSES
from parcours.definitions.steps import Award, Enlist, Enrol, Give, Record, Start, Update
from parcours.errors import Problem

KINDS = frozenset({"update", "list", "record", "start", "award", "enrol", "give"})
"""What steps make happen: how the message ids of these inputs begin."""


def update(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Set attributes of the contact."""
    step, contact = compiled.definition, walk.contact
    assert isinstance(step, Update)  # noqa: S101 (the table of steps pairs types and functions)
    changes = worked_out(walk, step.set, contact.attributes)
    settings = walk.plan.workspace.settings.contacts
    # Declared attributes that are there already are not missing because nothing is said of them.
    checked = attributes_of(contact, settings.attributes) | changes
    problem = walk.plan.contact_checks.problem(checked)
    if problem is not None:
        return _skip(walk, token, problem, step.next)
    if not changes:
        return step.next
    item = Updated(
        position=0,
        received_at=walk.now,
        occurred_at=walk.now,
        attributes={name: checked[name] for name in changes},
        addresses={ADDRESSES[name]: None for name in changes if name in ADDRESSES},
        consent={},
        identities=[],
        message_id=_cause(walk, token, "update"),
    )
    sums = {name: of for name, of in sums_in(walk, step.set).items() if name in changes}
    return _happen(walk, token, item, sums)


def enlist(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Put the contact on lists and take it off others."""
    step = compiled.definition
    assert isinstance(step, Enlist)  # noqa: S101 (the table of steps pairs types and functions)
    item = Updated(
        position=0,
        received_at=walk.now,
        occurred_at=walk.now,
        attributes={},
        addresses={},
        consent={},
        identities=[],
        message_id=_cause(walk, token, "list"),
        lists={name: name in step.add for name in (*step.remove, *step.add)},
    )
    return _happen(walk, token, item)


def record(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Record an interaction of the contact."""
    step = compiled.definition
    assert isinstance(step, Record)  # noqa: S101 (the table of steps pairs types and functions)
    if walk.run.test:
        return _leave_out(walk, token, step.next)
    attributes = _set(worked_out(walk, step.attributes, {}))
    name = match_name(step.interaction)
    route = walk.plan.routes.get(name)
    if route is not None and route.checks is not None and (problem := route.checks.problem(attributes)) is not None:
        return _skip(walk, token, problem, step.next)
    defined = route is not None and route.definition is not None
    item = Interaction(
        position=0,
        received_at=walk.now,
        occurred_at=walk.now,
        name=name,
        attributes=attributes,
        message_id=_cause(walk, token, "record"),
        spelling="" if defined else step.interaction.strip(),
    )
    return _happen(walk, token, item)


def start(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Let the contact enter another journey."""
    step = compiled.definition
    assert isinstance(step, Start)  # noqa: S101 (the table of steps pairs types and functions)
    known, test = walk.plan.newest.get(step.journey), walk.run.test
    if test and walk.plan.states.get(step.journey) in _UNTRIED:
        return _leave_out(walk, token, step.next)
    item = Enter(
        position=0,
        received_at=walk.now,
        occurred_at=walk.now,
        journey=step.journey,
        version=known.version if known is not None else 0,
        message_id=_cause(walk, token, "start"),
        attributes=_set(worked_out(walk, step.attributes, {})),
        test=test,
    )
    return _happen(walk, token, item)


def award(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Give points to the contact."""
    step = compiled.definition
    assert isinstance(step, Award)  # noqa: S101 (the table of steps pairs types and functions)
    if walk.run.test:
        return _leave_out(walk, token, step.next)
    name = f"journey:{walk.run.journey}"
    item = Adjust(
        position=0,
        received_at=walk.now,
        occurred_at=walk.now,
        programme=step.programme,
        points=step.points,
        reason=token.step,
        author=name,
        qualifying=step.qualifying,
        message_id=_cause(walk, token, "award"),
        rule=name,
    )
    return _happen(walk, token, item)


def enrol(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Make the contact a member of a programme."""
    step = compiled.definition
    assert isinstance(step, Enrol)  # noqa: S101 (the table of steps pairs types and functions)
    if walk.run.test:
        return _leave_out(walk, token, step.next)
    item = Enrolled(
        position=0,
        received_at=walk.now,
        occurred_at=walk.now,
        programme=step.programme,
        message_id=_cause(walk, token, "enrol"),
    )
    return _happen(walk, token, item)


def give(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Issue a reward to the contact."""
    step = compiled.definition
    assert isinstance(step, Give)  # noqa: S101 (the table of steps pairs types and functions)
    if walk.run.test:
        return _leave_out(walk, token, step.next)
    item = Grant(
        position=0,
        received_at=walk.now,
        occurred_at=walk.now,
        reward=step.reward,
        by=f"journey:{walk.run.journey}",
        message_id=_cause(walk, token, "give"),
    )
    return _happen(walk, token, item)


def _set(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _cause(walk: Walk, token: Token, kind: str) -> str:
    """Return the message id of what a step does at this visit."""
    visits = walk.run.visits
    visit = visits.get(token.step, 0)
    visits[token.step] = visit + 1
    return f"{kind}:{walk.run.journey}:{walk.run.id}:{token.step}:{visit}"


def maker_of(item: Input) -> str:
    """Return the journey whose step made an input happen; empty when none did."""
    kind, _, rest = item.message_id.partition(":")
    return rest.partition(":")[0] if kind in KINDS and not item.source else ""


def _happen(walk: Walk, token: Token, item: Input, sums: dict[str, Sum] | None = None) -> Outcome:
    run = walk.run
    if not chains.follow(walk.contact, walk.effects, item, f"{run.journey}/{token.step}", sums):
        walk.note(What.FAILED, token.step, chains.ENDLESS, {"times": chains.MOST_MADE})
        return Fail(chains.ENDLESS)
    walk.contact.awaits[item.message_id] = (run.journey, run.id, token.id)
    return PARK


_UNTRIED = frozenset({"paused", "archived"})
"""States of journeys of which nothing moves, and which are not tested."""


def _leave_out(walk: Walk, token: Token, follows: str | None) -> Outcome:
    """Do nothing, for it is a test."""
    walk.note(What.SKIPPED, token.step, "test")
    return follows


def _skip(walk: Walk, token: Token, problem: Problem, follows: str | None) -> Outcome:
    walk.note(What.SKIPPED, token.step, problem.code, {"problem": problem.message})
    return follows
