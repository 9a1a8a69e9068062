"""Everything that is kept of a contact, over the API, as one document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from litestar import Controller, Request, get
from litestar.params import FromPath
from litestar.response import Stream

from parcours.core.contact import Contact
from parcours.runtimes.embedded import Embedded
from parcours.web.api.common import as_object, guard, host_of
from parcours.web.api.contact_consent import ConsentChange, changes_at, consent_of
from parcours.web.api.people import MessageRow, entry_of, find, iso, message_row, moments, parts_of

EXPORT_VERSION = 1
"""Of the shape of an export; it goes up when something is taken away or means something else."""


class ContactExportApi(Controller):
    """Exports of contacts."""

    path = "/v1/contacts"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/{contact:str}/export", summary="Everything about a contact")
    async def export(self, request: Request[Any, Any, Any], contact: FromPath[str]) -> Stream:
        """Return everything that is kept of a contact and of those who became part of it, as one JSON document."""
        host = host_of(request)
        async with host.turn:
            state = find(host, contact)
            everyone = parts_of(host.store, state)
        name = f'attachment; filename="contact-{state.id}.json"'
        return Stream(
            _exported(host, state, everyone),
            media_type="application/json",
            headers={"Content-Disposition": name, "Cache-Control": "no-store"},
        )


_encode = msgspec.json.Encoder().encode


async def _exported(host: Embedded, state: Contact, everyone: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield an export, part by part; it ends with whether it is complete, which it is unless somebody erased."""
    yield _encode(_head(host, state, everyone))[:-1] + b',"timeline":['
    history: list[ConsentChange] = []
    complete, between = True, b""
    async for found in moments(host, everyone):
        if not (complete := await _stays(host, state.id)):
            break
        for contact, moment in found:
            history += changes_at(contact, moment)
            yield between + _encode(entry_of(contact, moment, whole=True))
            between = b","
    yield b'],"consent_history":' + _encode(history) + b',"messages":['
    between = b""
    for contact in everyone if complete else ():
        before = 0
        while complete:
            async with host.turn:
                host.engine.catch_up()
                posted = host.store.posted(contact, _MESSAGES, before)
            if not posted:
                break
            for one in posted:
                row = _encode(_exported_message(message_row(one), one.message.attributes))
                yield between + row
                between = b","
            before = posted[-1].sequence
            complete = await _stays(host, state.id)
    yield b'],"ledger":['
    between = b""
    for contact in everyone if complete else ():
        before = 0
        while complete:
            async with host.turn:
                host.engine.catch_up()
                postings = host.store.ledger(contact, _MESSAGES, before)
            if not postings:
                break
            for posting in postings:
                yield between + _encode(as_object(posting.entry) | {"time": iso(posting.entry.at)})
                between = b","
            before = postings[-1].place
            complete = await _stays(host, state.id)
    yield b'],"complete":' + _encode(complete) + b"}"


_MESSAGES = 500
"""Messages that are read in one turn."""


async def _stays(host: Embedded, contact: str) -> bool:
    """Return whether a contact has not been erased meanwhile."""
    async with host.turn:
        host.engine.catch_up()
        state = host.store.contacts([contact]).get(contact)
    return state is not None and not state.erased_at


def _exported_message(row: MessageRow, attributes: dict[str, Any]) -> dict[str, Any]:
    return msgspec.structs.asdict(row) | {"attributes": attributes}


def _head(host: Embedded, state: Contact, everyone: Sequence[str]) -> dict[str, Any]:
    now = host.engine.clock.now()
    known = as_object(state)

    def since(at: int | None) -> dict[str, Any]:
        return {"at": at, "time": iso(at) if at is not None else None}

    return {
        "export": EXPORT_VERSION,
        "exported_at": now,
        "exported_time": iso(now),
        "contact": state.id,
        "parts": [id_ for id_ in everyone if id_ != state.id],
        "identities": [{"namespace": namespace, "value": value} for namespace, value in state.identities],
        "attributes": [
            {"name": name, "value": value, **since(state.changed.get(name))}
            for name, value in known["attributes"].items()
        ],
        "addresses": state.addresses,
        "consent": consent_of(state),
        "lists": [
            {"name": name, "member": membership.member, **since(membership.at)}
            for name, membership in state.lists.items()
        ],
        "state": known,
    }
