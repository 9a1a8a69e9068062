"""What may come in: an arrival from any door becomes an input, or is refused with what is wrong and where.

| question                                              | refused with              |
|-------------------------------------------------------|---------------------------|
| did it occur more than 24 h in the future?            | `occurred_in_future`      |
| are its attributes nested deeper than `DEEPEST`?      | `too_deep`                |
| strict: has somebody defined the interaction?         | `unknown_interaction`     |
| is there the list somebody is put on?                 | `unknown_list`            |
| does a reaction name a message and a kind we know?    | `unknown_message`, `unknown_reaction` |
| do declared attributes have their types?              | `wrong_type`              |
| are required attributes there?                        | `missing_attribute`       |
| strict: are all attributes declared?                  | `undeclared_attribute`    |
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec

from parcours.conditions.names import match_name
from parcours.conditions.parse import escape
from parcours.core.checks import Checks, nesting_problem
from parcours.core.inputs import Input, Interaction, Reaction, Update
from parcours.core.plan import Plan
from parcours.errors import Problem, did_you_mean

DAY = 86_400_000

LONGEST_ITEM_ID = 200

REACTIONS = frozenset({"delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"})


class Happened(msgspec.Struct):
    """Somebody did something."""

    name: str
    attributes: dict[str, Any]


class Learned(msgspec.Struct):
    """Something became known of somebody."""

    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    addresses: dict[str, str | None] = msgspec.field(default_factory=dict)
    consent: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    lists: dict[str, bool] = msgspec.field(default_factory=dict)
    """List to whether the contact is put on it (true) or taken off."""
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    """Who recorded the consent (`by`) and in what way (`how`)."""
    same: bool = False
    """The sender says that all the identities are one person's, also where each was somebody known."""


class Reacted(msgspec.Struct):
    """Something became of a message."""

    reaction: str
    message: str
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)


class Arrival(msgspec.Struct):
    """One item as a door hands it over: who sent it, of whom it tells, and what."""

    source: str
    message_id: str
    identities: tuple[tuple[str, str], ...]
    """The strongest first. Empty only for a reaction, whose message tells the contact."""
    what: Happened | Learned | Reacted
    occurred_at: int | None = None
    """The sender's time, corrected for the sender's clock; None means now."""
    backfill: bool = False
    """It is history: it is kept and counts, and triggers nothing at all."""
    known_only: bool = False
    """An interaction whose name is neither defined nor learned is refused, as in a file with a typing mistake."""
    key: bytes = b""
    """`core.ids.message_key` of source and message id, from who worked it out before; empty when nobody did."""


def admit(
    plan: Plan,
    arrival: Arrival,
    identities: list[tuple[str, str]],
    *,
    received_at: int,
    horizon: int,
    position: int,
    learned: Container[str] = (),
) -> Input | Problem:
    """Return the input an arrival becomes, or what is wrong with it.

    `identities` are those of the arrival's that are nobody's yet. `horizon` is the instant against which `occurred_at`
    is held to be in the future; both are milliseconds. `learned` are the folded names of interactions that nobody
    defined and that arrived before.
    """
    occurred_at = received_at if arrival.occurred_at is None else arrival.occurred_at
    if occurred_at > received_at:
        if occurred_at > max(horizon, received_at) + DAY:
            return Problem(
                code="occurred_in_future",
                message="the time is more than 24 hours in the future",
                pointer="/timestamp",
                hint="check the sender's clock",
            )
        occurred_at = received_at
    what = arrival.what
    if (problem := nesting_problem(what.attributes)) is not None:
        return problem
    if isinstance(what, Happened):
        name = match_name(what.name)
        route = plan.routes.get(name)
        spelling = ""
        if route is not None and route.definition is not None:
            if route.checks is not None:
                problem = route.checks.problem(what.attributes)
                if problem is not None:
                    return problem
        else:
            strict = plan.workspace.settings.strict
            if strict or name not in learned:
                if strict or arrival.known_only:
                    return _unknown_interaction(plan, what.name)
                spelling = what.name.strip()
        return Interaction(
            position=position,
            received_at=received_at,
            occurred_at=occurred_at,
            name=name,
            attributes=what.attributes,
            source=arrival.source,
            message_id=arrival.message_id,
            identities=identities,
            backfill=arrival.backfill,
            spelling=spelling,
        )
    if isinstance(what, Learned):
        problem = _check_learned(plan, what)
        if problem is not None:
            return problem
        return Update(
            position=position,
            received_at=received_at,
            occurred_at=occurred_at,
            attributes=what.attributes,
            addresses=what.addresses,
            consent=what.consent,
            identities=identities,
            source=arrival.source,
            message_id=arrival.message_id,
            lists=what.lists,
            evidence=what.evidence,
            backfill=arrival.backfill,
        )
    if what.reaction not in REACTIONS:
        return Problem(code="unknown_reaction", message=f"unknown reaction {what.reaction!r}")
    return Reaction(
        position=position,
        received_at=received_at,
        occurred_at=occurred_at,
        reaction=what.reaction,
        message=what.message,
        attributes=what.attributes,
        source=arrival.source,
        message_id=arrival.message_id,
    )


def _check_learned(plan: Plan, what: Learned) -> Problem | None:
    problem = plan.contact_checks.problem(what.attributes)
    if problem is not None:
        return problem
    for name in what.lists:
        if name not in plan.workspace.lists:
            return Problem(
                code="unknown_list",
                message=f"there is no list {name!r}",
                pointer=f"/lists/{escape(name)}",
                hint=did_you_mean(name, plan.workspace.lists) or "define a list of this name",
            )
    return None


def _unknown_interaction(plan: Plan, name: str) -> Problem:
    known = [definition.name for definition in plan.workspace.interactions.values()]
    return Problem(
        code="unknown_interaction",
        message=f"nobody defined the interaction {name!r}",
        pointer="/event",
        hint=did_you_mean(name, known) or "define it first",
    )


def admit_item(plan: Plan, catalogue: str, id_: str, attributes: dict[str, Any] | None) -> Problem | None:
    """Return what keeps an item from being put into a catalogue (or, with None, taken out), or None."""
    definition = plan.workspace.catalogues.get(catalogue)
    if definition is None:
        hint = did_you_mean(catalogue, plan.workspace.catalogues) or "define a catalogue of this name"
        return Problem(code="unknown_catalogue", message=f"there is no catalogue {catalogue!r}", hint=hint)
    if not 0 < len(id_) <= LONGEST_ITEM_ID:
        message = f"an item has an id of 1 to {LONGEST_ITEM_ID} characters"
        return Problem(code="invalid_value", message=message, pointer="/id")
    if attributes is None:
        return None
    checks = Checks(definition, repr(catalogue), "/attributes")
    return nesting_problem(attributes) or checks.problem(attributes)
