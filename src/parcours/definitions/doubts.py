"""What is likely not meant in a journey, though it can be published.

| doubt              | what                                                                                           |
|--------------------|------------------------------------------------------------------------------------------------|
| `never_seen`       | a condition asks for an attribute that nobody declared and that never arrived                   |
| `never_true`       | a condition that cannot be true: it asks that one attribute equals two values, or `any` of none |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from parcours.conditions import ast
from parcours.conditions.names import match_name
from parcours.conditions.needs import walk
from parcours.conditions.parse import parse_condition, shown
from parcours.definitions.common import names_of
from parcours.definitions.entries import InteractionEntry
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.steps import InteractionBranch
from parcours.definitions.validate import ConditionPlace, conditions_in
from parcours.definitions.workspace import Workspace
from parcours.errors import Problem, did_you_mean

Learned = Callable[[str], Collection[str]]
"""Returns the attributes that were learned of an interaction's folded name, or of contacts (an empty name)."""


def never_true(journey: JourneyDefinition) -> list[Problem]:
    """Return the conditions of a journey that cannot be true."""
    found: list[Problem] = []
    for place in conditions_in(journey):
        node, _ = parse_condition(place.condition)
        if node is not None:
            found += _never_true(node, place.pointer)
    return found


def never_seen(journey: JourneyDefinition, workspace: Workspace, learned: Learned) -> list[Problem]:
    """Return where a journey asks for attributes that nobody declared and that never arrived."""
    found: list[Problem] = []
    for place in conditions_in(journey):
        node, _ = parse_condition(place.condition)
        if node is not None:
            found += _never_seen(node, place, journey, workspace, learned)
    return found


def _doubt(code: str, message: str, pointer: str, hint: str = "") -> Problem:
    return Problem(code=code, message=message, pointer=pointer, hint=hint)


def _never_true(node: ast.Node, pointer: str) -> Iterator[Problem]:
    for part in walk(node):
        if isinstance(part, ast.Any) and not part.parts:
            yield _doubt("never_true", "'any' of nothing is never true", pointer)
        if not isinstance(part, ast.All):
            continue
        equal: dict[tuple[ast.Subject, str], object] = {}
        for leaf in part.parts:
            if not isinstance(leaf, ast.Attribute) or leaf.operator != "is" or leaf.ignore_case:
                continue
            known = equal.setdefault((leaf.subject, leaf.name), leaf.value)
            if known != leaf.value:
                said = f"{shown(leaf.name)} cannot be both {shown(known)} and {shown(leaf.value)}"
                yield _doubt("never_true", f"never true: {said}", pointer, "write 'in' with a list")


def _never_seen(
    node: ast.Node, place: ConditionPlace, journey: JourneyDefinition, workspace: Workspace, learned: Learned
) -> Iterator[Problem]:
    of_trigger = place.owner if isinstance(place.owner, InteractionBranch) else journey.entry
    names = names_of(of_trigger.interaction) if isinstance(of_trigger, InteractionEntry | InteractionBranch) else []
    folded = [match_name(name) for name in names]
    for leaf in walk(node):
        if not isinstance(leaf, ast.Attribute):
            continue
        if leaf.subject is ast.Subject.CONTACT:
            known = {*workspace.settings.contacts.attributes, *learned("")}
            whose = "a contact"
        elif folded:
            defined = [workspace.interactions[name] for name in folded if name in workspace.interactions]
            known = {name for one in defined for name in one.attributes}.union(*map(learned, folded))
            whose = " or ".join(map(shown, names))
        else:
            continue
        if leaf.name not in known:
            said = f"no {shown(leaf.name)} of {whose} was ever seen"
            hint = did_you_mean(leaf.name, known) or "nobody declared it either"
            yield _doubt("never_seen", said, place.pointer, hint)
