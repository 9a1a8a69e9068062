"""What is likely not meant in a journey, though it can be published.

| doubt              | what                                                                                           |
|--------------------|------------------------------------------------------------------------------------------------|
| `dead_end`         | a step that waits, or asks, and from which no arrow leads anywhere                              |
| `no_consent_check` | a marketing message, and neither a condition asks for consent nor is `suppressed` drawn         |
| `never_seen`       | a condition asks for an attribute that nobody declared and that never arrived                   |
| `never_true`       | a condition that cannot be true: it asks that one attribute equals two values, or `any` of none |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from parcours.conditions import ast
from parcours.conditions.names import match_name
from parcours.conditions.needs import walk
from parcours.conditions.parse import escape, parse_condition, shown
from parcours.definitions.common import names_of
from parcours.definitions.entries import InteractionEntry, SegmentEntry
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.segment import base_of
from parcours.definitions.steps import Decision, Experiment, InteractionBranch, Send, Split, Wait, WaitFor, following
from parcours.definitions.validate import ConditionPlace, conditions_in
from parcours.definitions.workspace import Workspace
from parcours.errors import Problem, did_you_mean

Learned = Callable[[str], Collection[str]]
"""Returns the attributes that were learned of an interaction's folded name, or of contacts (an empty name)."""


def doubts(journey: JourneyDefinition, workspace: Workspace, learned: Learned | None = None) -> list[Problem]:
    """Return what is likely not meant; without `learned` nothing is said of attributes that never arrived."""
    found = [*_dead_ends(journey), *_consent(journey, workspace)]
    for place in conditions_in(journey):
        node, _ = parse_condition(place.condition)
        if node is not None:
            found += _never_true(node, place.pointer)
            if learned is not None:
                found += _never_seen(node, place, journey, workspace, learned)
    return found


def _doubt(code: str, message: str, pointer: str, hint: str = "") -> Problem:
    return Problem(code=code, message=message, pointer=pointer, hint=hint)


def _dead_ends(journey: JourneyDefinition) -> Iterator[Problem]:
    for name, step in journey.steps.items():
        if isinstance(step, Wait | WaitFor | Decision | Split | Experiment) and not list(following(step)):
            message = f"no arrow leads on from the step {name!r}, so it comes to nothing"
            yield _doubt("dead_end", message, f"/steps/{escape(name)}", "draw what follows, or leave the step out")


def _consent(journey: JourneyDefinition, workspace: Workspace) -> Iterator[Problem]:
    conditions = [place.condition for place in conditions_in(journey)]
    if isinstance(journey.entry, SegmentEntry):
        segment = workspace.segments.get(base_of(journey.entry.segment))
        conditions += [segment.condition] if segment is not None else []
    nodes = (parse_condition(condition)[0] for condition in conditions)
    asked = {leaf.channel for node in nodes if node is not None for leaf in walk(node) if isinstance(leaf, ast.Consent)}
    for name, step in journey.steps.items():
        if not isinstance(step, Send) or step.suppressed is not None:
            continue
        for index, message in enumerate(step.messages):
            known = workspace.messages.get(message)
            if known is not None and known.purpose == "marketing" and known.channel not in asked:
                said = f"the marketing message {message!r} is not sent to whoever has not opted in, and nothing asks for that"
                hint = f"ask for {{consent: {known.channel}, is: opted_in}} before, or draw 'suppressed'"
                yield _doubt("no_consent_check", said, f"/steps/{escape(name)}/messages/{index}", hint)


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
