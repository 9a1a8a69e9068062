"""Kinds of interaction over the API: those defined and those learned, and the attributes of each."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from litestar import Controller, Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from parcours.conditions.names import match_name
from parcours.conditions.parse import shown
from parcours.core.learned import CONTACTS, AttributeView, Knowledge, describe
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.workspace import is_archived
from parcours.errors import did_you_mean
from parcours.runtimes.embedded import Embedded
from parcours.web.api.common import guard, host_of
from parcours.web.api.people import iso


class InteractionRow(msgspec.Struct):
    """A kind of interaction that somebody defined, or that was learned from what arrived."""

    name: str
    """As it is shown: as it was defined, else as it was written first."""
    key: str
    """As it is matched: without regard to case."""
    title: str
    origin: Literal["defined", "learned"]
    channel: str | None
    source_type: str | None
    archived: bool
    count: int
    """How many arrived."""
    attributes: int
    """How many are known, declared or learned."""
    first_at: int | None
    first_time: str | None
    last_at: int | None
    last_time: str | None


class InteractionList(msgspec.Struct):
    """All kinds of interaction, those defined first, each part in the order of names."""

    interactions: list[InteractionRow]


class Attributes(msgspec.Struct):
    """What is known of attributes: those declared, then others, those carried most often first."""

    name: str
    """Whose they are; empty for those of contacts."""
    count: int
    """How many of it arrived."""
    attributes: list[AttributeView]


class InteractionsApi(Controller):
    """Kinds of interaction."""

    path = "/v1/interactions"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="All kinds of interaction")
    async def interactions(self, request: Request[Any, Any, Any]) -> InteractionList:
        """Return every name: those that somebody defined, and those learned from what arrived."""
        host = host_of(request)
        async with host.turn:
            defined, learner = host.engine.plan.workspace.interactions, host.engine.learner
            names = [*sorted(defined), *(name for name in learner.names() if name not in defined)]
            return InteractionList([_row(name, defined.get(name), learner.knowledge(name)) for name in names])

    @get("/{name:path}", summary="The attributes of a kind of interaction")
    async def attributes(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Attributes:
        """Return, at `/attributes` below a name in any spelling, its attributes with values and suitable comparisons.

        A slash in a name is written `%2F`.
        """
        sent = request.scope.get("raw_path") or name.encode()
        path = sent.decode("latin-1").partition("/interactions/")[2]
        if not path.endswith("/attributes"):
            raise NotFoundException(detail="ask for …/attributes")
        wanted = unquote(path.removesuffix("/attributes"), errors="replace")
        host = host_of(request)
        async with host.turn:
            return _attributes(host, wanted)


class ContactAttributesApi(Controller):
    """The attributes of contacts."""

    path = "/v1/contacts"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/attributes", summary="The attributes of contacts")
    async def attributes(self, request: Request[Any, Any, Any]) -> Attributes:
        """Return the attributes of contacts, with values and the comparisons that suit each."""
        host = host_of(request)
        async with host.turn:
            declared = host.engine.plan.workspace.settings.contacts.attributes
            knowledge = host.engine.learner.knowledge(CONTACTS)
            views = describe(InteractionDefinition(name="contacts", attributes=declared), knowledge)
        return Attributes("", knowledge.count if knowledge is not None else 0, views)


def _row(key: str, definition: InteractionDefinition | None, knowledge: Knowledge | None) -> InteractionRow:
    name = definition.name if definition is not None else knowledge.spelling if knowledge is not None else key
    known = dict.fromkeys(definition.attributes if definition is not None else ())
    if knowledge is not None:
        known |= dict.fromkeys(knowledge.attributes)
    first = knowledge.first_seen if knowledge is not None else None
    last = knowledge.last_seen if knowledge is not None else None
    return InteractionRow(
        name=name,
        key=key,
        title=(definition.title if definition is not None else "") or name,
        origin="defined" if definition is not None else "learned",
        channel=definition.channel if definition is not None else None,
        source_type=definition.source_type if definition is not None else None,
        archived=definition is not None and is_archived(definition),
        count=knowledge.count if knowledge is not None else 0,
        attributes=len(known),
        first_at=first,
        first_time=iso(first) if first is not None else None,
        last_at=last,
        last_time=iso(last) if last is not None else None,
    )


def _attributes(host: Embedded, name: str) -> Attributes:
    key = match_name(name)
    defined, learner = host.engine.plan.workspace.interactions, host.engine.learner
    definition = defined.get(key)
    knowledge = learner.knowledge(key) if key in learner else None
    if definition is None and knowledge is None:
        hint = did_you_mean(key, [*defined, *learner.names()])
        detail = f"nobody defined the interaction {shown(name)}, and none has arrived"
        raise NotFoundException(detail=f"{detail} ({hint})" if hint else detail)
    row = _row(key, definition, knowledge)
    return Attributes(row.name, row.count, describe(definition, knowledge))
