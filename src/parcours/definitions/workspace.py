"""All definitions of a workspace, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from parcours.conditions.names import match_name
from parcours.definitions.common import Archivable
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.lists import CatalogueDefinition, ListDefinition
from parcours.definitions.loyalty import ProgrammeDefinition, RewardDefinition, RuleDefinition
from parcours.definitions.message import MessageDefinition
from parcours.definitions.segment import SegmentDefinition
from parcours.definitions.settings import WorkspaceDefinition

AnyDefinition = (
    WorkspaceDefinition
    | InteractionDefinition
    | ListDefinition
    | CatalogueDefinition
    | SegmentDefinition
    | JourneyDefinition
    | MessageDefinition
    | ProgrammeDefinition
    | RuleDefinition
    | RewardDefinition
)

KINDS: dict[str, type[AnyDefinition]] = {
    "workspace": WorkspaceDefinition,
    "interaction": InteractionDefinition,
    "list": ListDefinition,
    "catalogue": CatalogueDefinition,
    "segment": SegmentDefinition,
    "journey": JourneyDefinition,
    "message": MessageDefinition,
    "programme": ProgrammeDefinition,
    "rule": RuleDefinition,
    "reward": RewardDefinition,
}
"""Every kind of definition, by the word in its `kind`."""

Key = tuple[str, str]
"""A definition: its kind, and its name as the workspace keeps it (an interaction's folded)."""


def key_of(definition: AnyDefinition) -> Key:
    """Return what a definition is kept under."""
    kind = str(type(definition).__struct_config__.tag)
    return kind, key_name(kind, definition.name)


def key_name(kind: str, name: str) -> str:
    """Return the name a definition of a kind is kept under: that of an interaction is folded."""
    return match_name(name) if kind == "interaction" else name


_USUAL = WorkspaceDefinition()


def _usual() -> WorkspaceDefinition:
    return _USUAL


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """Definitions by name: interactions by the folded form of theirs."""

    settings: WorkspaceDefinition = msgspec.field(default_factory=_usual)
    """The usual ones until somebody defined them."""
    interactions: dict[str, InteractionDefinition] = msgspec.field(default_factory=dict)
    lists: dict[str, ListDefinition] = msgspec.field(default_factory=dict)
    catalogues: dict[str, CatalogueDefinition] = msgspec.field(default_factory=dict)
    segments: dict[str, SegmentDefinition] = msgspec.field(default_factory=dict)
    messages: dict[str, MessageDefinition] = msgspec.field(default_factory=dict)
    journeys: dict[str, JourneyDefinition] = msgspec.field(default_factory=dict)
    programmes: dict[str, ProgrammeDefinition] = msgspec.field(default_factory=dict)
    rules: dict[str, RuleDefinition] = msgspec.field(default_factory=dict)
    rewards: dict[str, RewardDefinition] = msgspec.field(default_factory=dict)

    def with_definitions(self, *definitions: AnyDefinition) -> Workspace:
        """Return a workspace in which these definitions replace those of the same kind and name."""
        changed: dict[str, Any] = {}
        for definition in definitions:
            if isinstance(definition, WorkspaceDefinition):
                changed["settings"] = definition
                continue
            kind, name = key_of(definition)
            field = _FIELDS[kind]
            if field not in changed:
                changed[field] = dict(getattr(self, field))
            changed[field][name] = definition
        return msgspec.structs.replace(self, **changed)

    def get(self, kind: str, name: str) -> AnyDefinition | None:
        """Return the definition of a kind and name (an interaction's in any spelling), or None."""
        if kind == "workspace":
            return self.settings if self.settings is not _USUAL and name == self.settings.name else None
        found: AnyDefinition | None = getattr(self, _FIELDS[kind]).get(key_name(kind, name))
        return found

    def all(self) -> list[AnyDefinition]:
        """Return every definition, in the order in which they may refer to each other."""
        settings: list[AnyDefinition] = [self.settings] if self.settings is not _USUAL else []
        return settings + [definition for field in _FIELDS.values() for definition in getattr(self, field).values()]


_FIELDS = {
    "interaction": "interactions",
    "list": "lists",
    "catalogue": "catalogues",
    "segment": "segments",
    "message": "messages",
    "programme": "programmes",
    "reward": "rewards",
    "rule": "rules",
    "journey": "journeys",
}


def is_archived(definition: AnyDefinition) -> bool:
    """Return whether a definition was put away."""
    return isinstance(definition, Archivable) and definition.archived


def in_use(definition: AnyDefinition) -> bool:
    """Return whether what a definition refers to must be there for it: not of a draft or of what is stopped or archived."""
    return not is_archived(definition) and not (
        isinstance(definition, JourneyDefinition | RuleDefinition) and definition.state in {"draft", "stopped"}
    )


def select(
    definitions: Iterable[AnyDefinition],
    *,
    archived: bool = False,
    channel: str | None = None,
    source_type: str | None = None,
    text: str = "",
) -> list[AnyDefinition]:
    """Return the definitions that somebody looks for.

    Args:
        definitions: The ones there are.
        archived: Also those that were put away.
        channel: Only interactions that happen there, and messages that are sent through it.
        source_type: Only interactions that this sets off.
        text: Only those with it in name, title or description, without regard to case.
    """
    wanted = text.casefold()
    return [
        definition
        for definition in definitions
        if (archived or not is_archived(definition))
        and (channel is None or getattr(definition, "channel", None) == channel)
        and (source_type is None or getattr(definition, "source_type", None) == source_type)
        and any(wanted in said.casefold() for said in (definition.name, definition.title, definition.description))
    ]
