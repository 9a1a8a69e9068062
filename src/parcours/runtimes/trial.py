"""A rule tried on recorded history: what it would have given, to whom, and when. Nothing is kept of it.

| question                                  | answer                                                                      |
|-------------------------------------------|-----------------------------------------------------------------------------|
| in which order is history played?         | by when it occurred, as if it had arrived then, imports too                  |
| which other rules are there?              | those that are live, as they are now: priorities, exclusive rules and       |
|                                           | multipliers have their way; only what the tried rule gives is told          |
| who is a member?                          | whoever is one now, from when they were                                     |
| what of tiers?                            | they are reached on the way                                                 |

A contact is tried by itself, so a caller may stop at any one and go on later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from parcours.core.contact import Contact
from parcours.core.fold import fold
from parcours.core.inputs import Input, Interaction, Update
from parcours.core.member import Member
from parcours.core.plan import Plan
from parcours.definitions.loyalty import RuleDefinition
from parcours.definitions.workspace import AnyDefinition, Workspace

MOST_FOLLOWING = 1_000
"""Inputs that may follow from one another when one contact is tried."""


class Given(msgspec.Struct):
    """What a rule would have given a contact."""

    contact: str
    points: int
    times: int
    reversed: int
    """How many of these refunds would have taken back."""
    by_day: dict[int, int]
    """Day (20261231) to points."""


def trial_plan(workspace: Workspace, rule: RuleDefinition) -> Plan:
    """Return a plan in which a rule, and every rule there is, has always been live, and nothing else happens."""
    rule = msgspec.structs.replace(rule, state="live")
    still = [msgspec.structs.replace(segment, live=False) for segment in workspace.segments.values()]
    quiet = Workspace(settings=workspace.settings, lists=workspace.lists, catalogues=workspace.catalogues)
    alive = [one for one in workspace.rules.values() if one.name != rule.name]
    definitions: list[AnyDefinition] = [
        *workspace.interactions.values(),
        *still,
        *workspace.programmes.values(),
        *alive,
        rule,
    ]
    return Plan.empty().publish(quiet.with_definitions(*definitions).all())


def try_rule(
    plan: Plan,
    rule: RuleDefinition,
    contact: Contact,
    history: Iterable[Input],
    *,
    since: int = 0,
    until: int = 2**62,
) -> Given | None:
    """Return what a rule would have given a contact for what occurred in `[since, until)`, None for nothing.

    Args:
        plan: As `trial_plan` makes it.
        rule: The rule.
        contact: Whose history it is, as it is now; it is not changed.
        history: Inputs of the contact and of all who became part of it.
        since: What occurred before earns nothing that is told; it counts in conditions.
        until: What occurred then or later is not looked at.
    """
    known = contact.loyalty.get(rule.programme)
    if known is None or known.left:
        return None
    person = Contact(contact.id, revision=plan.revision)
    person.loyalty[rule.programme] = Member(known.since)
    given = Given(contact.id, 0, 0, 0, {})
    for item in _played(history, until):
        waiting: list[Input] = [item]
        for number, one in enumerate(waiting):
            if number > MOST_FOLLOWING:
                break
            effects = fold(plan, person, one)
            waiting += effects.follows
            for entry in effects.ledger:
                if entry.rule != rule.name or entry.occurred_at < since:
                    continue
                points = entry.amount + entry.held
                if entry.kind == "reversed":
                    given.reversed -= points
                elif points > 0:
                    given.points += points
                    given.times += 1
                    given.by_day[entry.day] = given.by_day.get(entry.day, 0) + points
    return given if given.times else None


def _played(history: Iterable[Input], until: int) -> Iterator[Any]:
    """Yield what is played, by when it occurred, as if it had arrived then."""
    found = [item for item in history if isinstance(item, Interaction | Update) and item.occurred_at < until]
    found.sort(key=lambda item: (item.occurred_at, item.position))
    for item in found:
        if isinstance(item, Interaction) and item.source == "loyalty":
            continue  # it follows again
        yield msgspec.structs.replace(item, received_at=item.occurred_at, backfill=False, identities=[])
