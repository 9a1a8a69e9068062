"""All definitions of a workspace, by kind and name."""

from __future__ import annotations

import msgspec

from parcours.conditions.names import match_name
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.message import MessageDefinition
from parcours.definitions.segment import SegmentDefinition

AnyDefinition = InteractionDefinition | SegmentDefinition | JourneyDefinition | MessageDefinition

KINDS: dict[str, type[AnyDefinition]] = {
    "interaction": InteractionDefinition,
    "segment": SegmentDefinition,
    "journey": JourneyDefinition,
    "message": MessageDefinition,
}
"""Every kind of definition, by the word in its `kind`."""


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """Definitions by name: interactions by the folded form of theirs."""

    interactions: dict[str, InteractionDefinition] = msgspec.field(default_factory=dict)
    segments: dict[str, SegmentDefinition] = msgspec.field(default_factory=dict)
    messages: dict[str, MessageDefinition] = msgspec.field(default_factory=dict)
    journeys: dict[str, JourneyDefinition] = msgspec.field(default_factory=dict)

    def with_definitions(self, *definitions: AnyDefinition) -> Workspace:
        """Return a workspace in which these definitions replace those of the same kind and name."""
        interactions, segments = dict(self.interactions), dict(self.segments)
        messages, journeys = dict(self.messages), dict(self.journeys)
        for definition in definitions:
            match definition:
                case InteractionDefinition():
                    interactions[match_name(definition.name)] = definition
                case SegmentDefinition():
                    segments[definition.name] = definition
                case MessageDefinition():
                    messages[definition.name] = definition
                case JourneyDefinition():
                    journeys[definition.name] = definition
        return Workspace(interactions=interactions, segments=segments, messages=messages, journeys=journeys)

    def all(self) -> list[AnyDefinition]:
        """Return every definition, in the order in which they may refer to each other."""
        return [
            *self.interactions.values(),
            *self.segments.values(),
            *self.messages.values(),
            *self.journeys.values(),
        ]
