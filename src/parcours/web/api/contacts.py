"""Contacts over the API."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery

from parcours.core.contact import Contact
from parcours.core.ids import is_contact_id
from parcours.ports import Store
from parcours.web.api.common import as_object, guard, host_of


class TimelineRow(msgspec.Struct):
    """One input of a contact."""

    position: int
    input: dict[str, Any]


class TraceRow(msgspec.Struct):
    """What was decided at one input, or with position 0 at a timer."""

    position: int
    entries: list[dict[str, Any]]


class ContactView(msgspec.Struct):
    """A contact's state, its newest inputs and what was decided, newest first."""

    contact: dict[str, Any]
    inputs: list[TimelineRow]
    trace: list[TraceRow]


class ContactsApi(Controller):
    """Contacts, one by one."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/contacts/{contact:str}", summary="One contact")
    async def contact(
        self, request: Request[Any, Any, Any], contact: FromPath[str], limit: FromQuery[int] = 100
    ) -> ContactView:
        """Return a contact by id, or by an identity written `namespace:value`, such as `user_id:42`.

        A contact that became part of another is answered with the other; what happened to it before is part of that
        one's history.
        """
        host = host_of(request)
        async with host.turn:
            host.engine.catch_up()
            return _view(host.store, contact, max(1, min(limit, 1_000)))


def _view(store: Store, contact: str, limit: int) -> ContactView:
    found = contact
    if ":" in contact:
        namespace, _, value = contact.partition(":")
        found = store.resolve([(namespace, value)]).get((namespace, value), "")
    state = store.contacts([found]).get(found) if is_contact_id(found) else None
    while state is not None and state.merged_into:
        state = store.contacts([state.merged_into]).get(state.merged_into)
    if state is None:
        raise NotFoundException(detail=f"there is no contact {contact!r}: give an id, or user_id:VALUE")
    everyone = _parts(store, state)
    return ContactView(
        contact=as_object(state),
        inputs=_newest_inputs(store, everyone, limit),
        trace=_newest_traces(store, everyone, limit),
    )


def _parts(store: Store, contact: Contact) -> list[str]:
    """Return the ids of a contact and of everyone who became part of it, and of them."""
    found = [contact.id]
    waiting = list(contact.merged)
    while waiting:
        id_ = waiting.pop()
        if id_ not in found:
            found.append(id_)
            part = store.contacts([id_]).get(id_)
            waiting += part.merged if part is not None else []
    return found


def _newest_inputs(store: Store, contacts: list[str], limit: int) -> list[TimelineRow]:
    records = [record for id_ in contacts for record in store.history(id_, limit)]
    records.sort(key=lambda record: -record.position)
    return [TimelineRow(record.position, as_object(record.input())) for record in records[:limit]]


def _newest_traces(store: Store, contacts: list[str], limit: int) -> list[TraceRow]:
    rows = [row for id_ in contacts for row in store.trace(id_, limit)]
    if len(contacts) > 1:
        rows.sort(key=lambda row: -row[1][-1].at)
    return [TraceRow(position, [as_object(entry) for entry in entries]) for position, entries in rows[:limit]]
