"""What is wrong with the names in the templates of messages: what nobody ever sent is likely misspelt.

`channels.render` finds the names; here they are held against what is defined, and against what was learned where there
is a service to ask. A catalogue that is not defined is an error; any other name may still come, so that is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from parcours.conditions.names import match_name
from parcours.conditions.parse import escape, shown
from parcours.definitions.common import names_of
from parcours.definitions.entries import InteractionEntry
from parcours.definitions.message import ADDRESSES
from parcours.definitions.steps import Send
from parcours.definitions.workspace import Workspace
from parcours.errors import Problem, did_you_mean

TOP = ("contact", "interaction", "run", "catalogue", "journey", "message_id", "timezone", "now", "today")
"""What templates see."""

OF_CONTACT = (
    "id",
    "identities",
    "interactions",
    "lists",
    "loyalty",
    "points",
    "rewards",
    "tier",
    "timezone",
    *ADDRESSES,
)
"""What a contact may have that nobody declared."""

OF_HISTORY = ("count", "size", "first", "last", "items")

_LOCAL = frozenset({"forloop", "tablerowloop"})

Learned = Callable[[str], Collection[str]]
"""Returns the attributes that were learned of an interaction's folded name, or of contacts (an empty name)."""


class Name(msgspec.Struct, frozen=True):
    """A name in a template: its parts, None for one that is only known when the text is made."""

    field: str
    line: int
    parts: tuple[str | int | None, ...]


def nothing_learned(_name: str) -> Collection[str]:
    """Return that nothing was learned: there is no service to ask."""
    return ()


def template_findings(
    message: str, names: Iterable[Name], workspace: Workspace, learned: Learned = nothing_learned
) -> tuple[list[Problem], list[Problem]]:
    """Return the errors and the warnings about the names in one message's templates; pointers are within it."""
    checker = _Checker(workspace, learned, _triggers(workspace, message))
    for name in names:
        checker.look_at(name)
    return checker.errors, checker.warnings


class _Checker:
    def __init__(self, workspace: Workspace, learned: Learned, triggers: Collection[str]) -> None:
        self.workspace = workspace
        self.learned = learned
        self.triggers = triggers
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def look_at(self, name: Name) -> None:
        match name.parts:
            case ("contact", "interactions", str(interaction), *rest):
                self._history(name, interaction, rest)
            case ("contact", str(attribute), *_):
                settings = self.workspace.settings.contacts
                known = {*settings.attributes, *self.learned(""), *OF_CONTACT}
                sure = settings.strict or bool(self.learned(""))
                self._attribute(name, attribute, known, f"contacts have no attribute {shown(attribute)} yet", sure=sure)
            case ("interaction", str(attribute), *_) if self.triggers:
                self._of_interactions(name, attribute, self.triggers)
            case ("catalogue", str(catalogue), *_) if catalogue not in self.workspace.catalogues:
                hint = did_you_mean(catalogue, self.workspace.catalogues) or "define a catalogue of this name"
                self._say(self.errors, name, "unknown_reference", f"there is no catalogue {shown(catalogue)}", hint)
            case (str(top), *_) if top not in TOP and top not in _LOCAL:
                hint = did_you_mean(top, TOP) or f"templates see {', '.join(TOP)}"
                self._say(self.warnings, name, "unknown_variable", f"templates see no {shown(top)}", hint)
            case _:
                pass

    def _history(self, name: Name, interaction: str, rest: Sequence[object]) -> None:
        folded = match_name(interaction)
        if folded not in self.workspace.interactions and not self.learned(folded):
            said = f"the interaction {shown(interaction)} is not defined, and none has arrived"
            self._say(
                self.warnings, name, "unknown_interaction", said, did_you_mean(folded, self.workspace.interactions)
            )
            return
        if rest and isinstance(rest[0], str) and rest[0] not in OF_HISTORY:
            hint = did_you_mean(rest[0], OF_HISTORY) or f"it has {', '.join(OF_HISTORY)}"
            self._say(self.warnings, name, "unknown_variable", f"a history has no {shown(rest[0])}", hint)
        elif len(rest) > 1 and rest[0] in {"first", "last"} and isinstance(rest[1], str):
            self._of_interactions(name, rest[1], [folded], {"occurred_at"})

    def _of_interactions(
        self, name: Name, attribute: str, interactions: Collection[str], more: Collection[str] = ()
    ) -> None:
        known, sure = set(more), True
        for interaction in interactions:
            definition = self.workspace.interactions.get(interaction)
            seen = self.learned(interaction)
            known.update(seen)
            if definition is not None:
                known.update(definition.attributes)
            sure = sure and (bool(seen) or (definition is not None and definition.strict))
        of = " or ".join(shown(one) for one in sorted(interactions)[:3])
        self._attribute(name, attribute, known, f"{of} has no attribute {shown(attribute)} yet", sure=sure)

    def _attribute(self, name: Name, attribute: str, known: Collection[str], said: str, *, sure: bool) -> None:
        """Warn of an attribute that is not known: when all that are should be, or when one is likely meant."""
        if attribute in known:
            return
        hint = did_you_mean(attribute, known)
        if sure or hint:
            self._say(self.warnings, name, "unknown_attribute", said, hint)

    def _say(self, where: list[Problem], name: Name, code: str, said: str, hint: str) -> None:
        pointer = f"/content/{escape(name.field)}"
        problem = Problem(code=code, message=f"line {name.line}: {said}", pointer=pointer, hint=hint)
        if problem not in where:
            where.append(problem)


def _triggers(workspace: Workspace, message: str) -> set[str]:
    """Return the interactions that start the runs that send a message; none when something else does, too."""
    found: set[str] = set()
    for journey in workspace.journeys.values():
        if not any(message in step.messages for step in _sends(journey.steps.values())):
            continue
        if not isinstance(journey.entry, InteractionEntry):
            return set()
        found.update(names_of(journey.entry.interaction))
    return found


def _sends(steps: Iterable[object]) -> Iterator[Send]:
    return (step for step in steps if isinstance(step, Send))
