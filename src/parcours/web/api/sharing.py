"""What members of a programme share, over the API; whoever shares something can be put on a list."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, post
from litestar.exceptions import ClientException
from litestar.params import FromPath, JSONBody

from parcours.conditions.parse import shown
from parcours.core.gate import Arrival, Learned
from parcours.errors import did_you_mean
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Accepted
from parcours.runtimes.loyalty.sharing import Shared, Sharing, everybody_in
from parcours.web.api.common import guard, host_of
from parcours.web.api.loyalty import programme_of
from parcours.web.api.people import look_up, submit

SOURCE = "loyalty-shared"
"""The source of what puts people on lists; message ids are told apart by it."""

SLICE = 500
"""Records of the log, or contacts, that are looked at in one turn."""

MOST_SHOWN = 1_000
"""Values that are shown, those that the most share."""


class SharedAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is compared."""

    attribute: Annotated[str, msgspec.Meta(min_length=1)]
    of: list[str] = []
    """Interactions that have it; all interactions and contacts when there is none."""
    at_least: Annotated[int, msgspec.Meta(ge=2)] = 3
    """How many members share a value."""
    onto: str = msgspec.field(default="", name="list")
    """A list on which everybody who shares something is put."""


class SharedFound(msgspec.Struct):
    """What is shared."""

    total: int
    """Values that are shared."""
    contacts: int
    """Members who share one."""
    listed: int
    """How many of them were put on the list now."""
    shared: list[Shared]


class SharingApi(Controller):
    """What members share."""

    path = "/v1/loyalty/{programme:str}/shared"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/", summary="What members share", status_code=200)
    async def shared(
        self, request: Request[Any, Any, Any], programme: FromPath[str], data: JSONBody[SharedAsked]
    ) -> SharedFound:
        """Return values of an attribute that several members have in what is recorded, and put these on a list."""
        host = host_of(request)
        programme_of(host, programme)
        lists = host.engine.plan.workspace.lists
        if data.onto and data.onto not in lists:
            hint = did_you_mean(data.onto, lists) or "define a list of this name"
            raise ClientException(f"/list: there is no list {shown(data.onto)} ({hint})")
        sharing = Sharing(data.attribute, data.of)
        place = 0
        while True:
            async with host.turn:
                records = host.store.log(place, SLICE)
            for record in records:
                if record.contact:
                    sharing.see(record.contact, record.input())  # type: ignore[arg-type]  # it concerns a contact
            if not records:
                break
            place = records[-1].position
            await asyncio.sleep(0)
        rows = sharing.shared(data.at_least, await _members(host, programme, sharing, data.at_least))
        people = everybody_in(rows)
        listed = await _list(host, data, people) if data.onto else 0
        return SharedFound(len(rows), len(people), listed, rows[:MOST_SHOWN])


async def _members(host: Embedded, programme: str, sharing: Sharing, at_least: int) -> dict[str, str]:
    """Return for contacts who they are now: the one they became part of, or nothing for who is no member."""
    asked = sorted({one for whose in sharing.found.values() if len(whose) >= at_least for one in whose})
    becomes: dict[str, str] = {}
    for start in range(0, len(asked), SLICE):
        async with host.turn:
            for id_ in asked[start : start + SLICE]:
                contact = look_up(host, id_)
                member = contact.loyalty.get(programme) if contact is not None else None
                there = contact is not None and member is not None and not member.left
                becomes[id_] = contact.id if there and contact is not None else ""
    return becomes


async def _list(host: Embedded, data: SharedAsked, people: list[str]) -> int:
    """Put people on a list, once: whoever was taken off it by hand stays off."""
    listed = 0
    for start in range(0, len(people), SLICE):
        arrivals: list[Arrival] = []
        async with host.turn:
            for id_ in people[start : start + SLICE]:
                contact = look_up(host, id_)
                if contact is not None and contact.identities:
                    message_id = f"{data.onto}:{data.attribute}:{id_}"
                    what = Learned(lists={data.onto: True})
                    arrivals.append(Arrival(SOURCE, message_id, tuple(contact.identities[:1]), what))
        listed += sum(isinstance(outcome, Accepted) for outcome in await submit(host, arrivals))
    return listed
