"""The API: definitions, contacts, and the report of what happened."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, put
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.core.contact import Contact
from parcours.core.effects import Trace
from parcours.core.ids import is_contact_id
from parcours.core.inputs import Input, WorkspaceInput
from parcours.definitions.load import dump
from parcours.errors import Problem
from parcours.ports import Store
from parcours.runtimes.embedded import Embedded
from parcours.web.auth import Keys

DEEPEST = 100
"""How deep the values of a contact are shown; what is nested deeper stands as "…"."""


MOST_PROBLEMS = 200
"""Problems listed in one answer."""


class Definitions(msgspec.Struct, forbid_unknown_fields=True):
    """Definitions as plain data, each with its `kind`."""

    definitions: list[dict[str, Any]]


class Published(msgspec.Struct):
    """What publishing came to. With an error nothing was published."""

    published: bool
    errors: list[Problem]
    warnings: list[Problem]


class StatisticRow(msgspec.Struct):
    """How often something happened at a step."""

    journey: str
    version: int
    step: str
    what: str
    reason: str
    count: int


class OutboxRow(msgspec.Struct):
    """How many messages there are in a state."""

    channel: str
    message: str
    state: str
    count: int


class Report(msgspec.Struct):
    """What happened, counted."""

    records: int
    contacts: int
    now: int
    """The engine's clock, milliseconds since the epoch."""
    queued: int
    reading: bool
    open_timers_due: int
    """1 while a timer that is due by the clock has not fired, else 0."""
    statistics: list[StatisticRow]
    outbox: list[OutboxRow]


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


def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Let only a secret key pass."""
    keys: Keys = connection.app.state["keys"]
    if not keys.may_manage(connection.headers.get("authorization")):
        raise NotAuthorizedException(
            detail="no secret key, or a wrong one: send it as a Bearer token", headers={"WWW-Authenticate": "Bearer"}
        )


def _host(request: Request[Any, Any, Any]) -> Embedded:
    host: Embedded = request.app.state["host"]
    return host


class Api(Controller):
    """What a secret key may ask and say."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @put("/definitions", summary="Publish definitions", status_code=200)
    async def publish(self, request: Request[Any, Any, Any], data: JSONBody[Definitions]) -> Response[Published]:
        """Check definitions against each other and those in force, and put them in force: all or none."""
        errors, warnings = await _host(request).publish(data.definitions)
        answer = Published(not errors, errors[:MOST_PROBLEMS], warnings[:MOST_PROBLEMS])
        return Response(answer, status_code=400 if errors else 200)

    @get("/definitions", summary="All definitions in force")
    async def definitions(self, request: Request[Any, Any, Any]) -> Definitions:
        """Return every definition in the form in which it can be published again."""
        return Definitions([dump(definition) for definition in _host(request).engine.plan.workspace.all()])

    @get("/report", summary="What happened, counted")
    async def report(self, request: Request[Any, Any, Any]) -> Report:
        """Return counts by journey and step, and by message and state."""
        host = _host(request)
        store = host.store
        counts = store.counts()
        return Report(
            records=counts["records"],
            contacts=counts["contacts"],
            now=host.engine.clock.now(),
            queued=host.queued,
            reading=host.engine.reading,
            open_timers_due=int((due := host.engine.next_due()) is not None and due <= host.engine.clock.now()),
            statistics=[StatisticRow(*place, count) for place, count in sorted(store.statistics().items())],
            outbox=[OutboxRow(*place, count) for place, count in sorted(store.outbox_counts().items())],
        )

    @get("/contacts/{contact:str}", summary="One contact")
    async def contact(
        self, request: Request[Any, Any, Any], contact: FromPath[str], limit: FromQuery[int] = 100
    ) -> ContactView:
        """Return a contact by id, or by an identity written `namespace:value`, such as `user_id:42`.

        A contact that became part of another is answered with the other; what happened to it before is part of that
        one's history.
        """
        host = _host(request)
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


def as_object(value: Contact | Input | WorkspaceInput | Trace) -> dict[str, Any]:
    """Return a struct that is stored as an array as an object with names, for people."""
    found: dict[str, Any] = _named(value)
    return found


def _named(value: object, depth: int = 0) -> Any:
    if depth > DEEPEST:
        return "…"
    if isinstance(value, msgspec.Struct):
        tag = type(value).__struct_config__.tag
        named = {"type": tag} if isinstance(tag, str) else {}
        return named | {name: _named(getattr(value, name), depth + 1) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _named(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_named(item, depth + 1) for item in value]
    return value
