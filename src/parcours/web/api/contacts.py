"""Contacts over the API: found, shown, changed, erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, patch, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from parcours.analytics.questions import members
from parcours.conditions.parse import shown
from parcours.core.contact import Contact
from parcours.core.ids import contact_from_number
from parcours.ports import Moment, Store
from parcours.runtimes.embedded import Embedded
from parcours.sources.plain import learned_from
from parcours.web.api.common import as_object, guard, host_of
from parcours.web.api.people import (
    FILTERS,
    Entry,
    Place,
    add_messages,
    cursor_of,
    entry_of,
    find,
    identity_in,
    is_of,
    iso,
    learn,
    look_up,
    page,
    parts_of,
    place_in,
)
from parcours.web.api.search import (
    MOST_FOUND,
    Filter,
    in_segment,
    is_there,
    on_list,
    search,
    that_satisfy,
    with_attribute,
    with_text,
)
from parcours.web.api.segment_members import number_in, people_of
from parcours.web.api.segments import analytics_of, of_condition


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


class ContactRow(msgspec.Struct):
    """A contact that was found."""

    id: str
    identities: list[tuple[str, str]]
    attributes: dict[str, Any]
    lists: list[str]
    """Those it is on."""
    last_at: int
    """When something happened to it last, or to its runs."""
    last_time: str


class Found(msgspec.Struct):
    """Contacts in the order of ids. `next` goes on behind them; it is null at the end."""

    contacts: list[ContactRow]
    next: str | None
    complete: bool
    """Whether the page is full or the last. If not, it took too long: ask again with `next`."""
    settled: bool = True
    """False while history is still counted for definitions that are new: segments and conditions may miss people."""


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Who is looked for."""

    condition: dict[str, Any]
    limit: int = 50
    after: str = ""


class Timeline(msgspec.Struct):
    """What happened to a contact, newest first. `next` is `before` of the next page; null at the end."""

    entries: list[Entry]
    next: str | None


class ContactChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of a contact from now on. An attribute that is null is removed, others stay."""

    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    lists: dict[str, bool] = msgspec.field(default_factory=dict)


class Erasure(msgspec.Struct):
    """What was erased."""

    contact: str
    erased: list[str]
    """The contact, and everyone who had become part of it."""
    suppressed: bool
    """Whether nothing more is taken under their identities."""
    records: int
    """Inputs of which nothing is left but that they were."""
    messages: int
    """Messages that are gone."""
    cancelled: int
    """Of these, messages that had not been sent yet."""


class ContactsApi(Controller):
    """Contacts."""

    path = "/v1/contacts"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="Search contacts")
    async def find(
        self,
        request: Request[Any, Any, Any],
        identity: FromQuery[str | None] = None,
        text: FromQuery[str] = "",
        attribute: FromQuery[list[str] | None] = None,
        on: Annotated[str | None, QueryParameter(name="list")] = None,
        segment: FromQuery[str | None] = None,
        limit: FromQuery[int] = 50,
        after: FromQuery[str] = "",
    ) -> Found:
        """Return the contacts that pass every filter given, in the order of ids.

        `identity` is `namespace:value`; `text` is looked for in identities and in attributes that are text, without
        regard to case; `attribute` is `name:value`, more than once for several.
        """
        host = host_of(request)
        plan, now = host.engine.plan, host.engine.clock.now()
        filters: list[Filter] = [with_attribute(one) for one in attribute or ()]
        if text:
            filters.append(with_text(text))
        if on is not None:
            filters.append(on_list(plan, on))
        if segment is not None:
            filters.append(in_segment(plan, segment, now))
        if identity is None:
            return await _found(host, filters, limit, after)
        identity_in(identity)
        async with host.turn:
            host.engine.catch_up()
            state = look_up(host, identity)
        fits = state is not None and is_there(state) and all(test(state) for test in filters)
        rows = [_row(state)] if state is not None and fits else []
        return Found(rows, None, complete=True, settled=not host.engine.bringing_up)

    @post("/search", summary="Search contacts by a condition", status_code=200, opt={"scope": "contacts:read"})
    async def search(self, request: Request[Any, Any, Any], data: JSONBody[Wanted]) -> Found:
        """Return the contacts for whom a condition is true now.

        What a definition in force counts is asked of the contacts one by one; anything else of the analytics database.
        """
        host = host_of(request)
        try:
            test = that_satisfy(host.engine.plan, data.condition, host.engine.clock.now())
        except HTTPException as error:
            problems = error.extra if isinstance(error.extra, list) else []
            counted = any(problem["code"] != "not_counted" for problem in problems) or not problems
            if counted or request.app.state["analytics"] is None:
                raise
            try:
                group = of_condition(host, data.condition, "/condition")
            except HTTPException:
                raise error from None  # neither can answer it
            after, limit = number_in(data.after), max(1, min(data.limit, MOST_FOUND))
            numbers = await analytics_of(request).ask(
                lambda database: members(database, group.since(database.as_of), after, limit)
            )
            rows = [_row(state) async for states in people_of(host, numbers) for state in states]
            following = cursor_of([contact_from_number(numbers[-1])]) if len(numbers) == limit else None
            return Found(rows, following, complete=True)
        return await _found(host, [test], data.limit, data.after)

    @get("/{contact:str}", summary="One contact")
    async def contact(
        self, request: Request[Any, Any, Any], contact: FromPath[str], limit: FromQuery[int] = 100
    ) -> ContactView:
        """Return a contact by id, or by an identity written `namespace:value`, such as `user_id:42`.

        A contact that became part of another is answered with the other; what happened to it before is part of that
        one's history.
        """
        host = host_of(request)
        async with host.turn:
            return _view(host.store, find(host, contact), max(1, min(limit, MOST_FOUND)))

    @patch("/{contact:str}", summary="Change a contact")
    async def change(
        self, request: Request[Any, Any, Any], contact: FromPath[str], data: JSONBody[ContactChange]
    ) -> ContactRow:
        """Set attributes and lists. What is left out stays; an attribute that is null is removed."""
        learned = learned_from(data.attributes)
        learned.lists = data.lists
        return _row(await learn(host_of(request), contact, learned, {"attributes": data.attributes}))

    @delete("/{contact:str}", summary="Erase a contact", status_code=200)
    async def erase(
        self,
        request: Request[Any, Any, Any],
        contact: FromPath[str],
        suppress: FromQuery[bool] = False,  # noqa: FBT002 (a query parameter)
    ) -> Erasure:
        """Erase everything about a contact and those who became part of it; nothing brings it back.

        With `suppress=true`, nothing more is taken under any of its identities.
        """
        host = host_of(request)
        async with host.turn:
            state = find(host, contact)
            everyone = parts_of(host.store, state)
            records = sum(len(host.store.history(id_, _EVERYTHING)) for id_ in everyone)
            messages = [posted.state for id_ in everyone for posted in host.store.posted(id_, _EVERYTHING)]
        try:
            erased = await host.erase(state.id, suppress=suppress)
        except KeyError:  # by somebody else, meanwhile
            detail = f"the contact {shown(contact)} was erased"
            raise HTTPException(status_code=404, detail=detail, extra={"code": "erased"}) from None
        return Erasure(state.id, erased, suppress, records, len(messages), messages.count("pending"))

    @get("/{contact:str}/timeline", summary="What happened to a contact")
    async def timeline(
        self,
        request: Request[Any, Any, Any],
        contact: FromPath[str],
        kind: FromQuery[list[str] | None] = None,
        limit: FromQuery[int] = 50,
        before: FromQuery[str] = "",
    ) -> Timeline:
        """Return inputs with what was decided at them, and what timers decided, newest first, page by page.

        `kind` narrows it, more than once for several: `interaction`, `update`, `reaction`, `merge`, `enter`, `timer`;
        `message` for what sent a message or did not, `step` for what moved somebody in a journey.
        """
        host, kinds = host_of(request), kind or []
        for one in kinds:
            if one not in FILTERS:
                raise HTTPException(status_code=400, detail=f"kind: {shown(one)} is none of {', '.join(FILTERS)}")
        place = place_in(before, Place) if before else None
        async with host.turn:
            everyone = parts_of(host.store, find(host, contact))

        def pick(id_: str, moment: Moment) -> Entry | None:
            entry = entry_of(id_, moment)
            return entry if is_of(entry, kinds) else None

        entries, after = await page(host, everyone, max(1, min(limit, MOST_FOUND)), place, pick)
        async with host.turn:
            host.engine.catch_up()
            add_messages(host.store, entries)
        return Timeline(entries, cursor_of(after) if after is not None else None)


_EVERYTHING = 10**9


async def _found(host: Embedded, filters: Sequence[Filter], limit: int, after: str) -> Found:
    behind = place_in(after, tuple[str])[0] if after else ""
    rows, last, complete = await search(host, filters, max(1, min(limit, MOST_FOUND)), behind)
    following = cursor_of([last]) if last is not None else None
    return Found([_row(contact) for contact in rows], following, complete, settled=not host.engine.bringing_up)


def _row(contact: Contact) -> ContactRow:
    shown_as = as_object(contact)
    lists = [name for name, membership in contact.lists.items() if membership.member]
    return ContactRow(
        contact.id, contact.identities, shown_as["attributes"], lists, contact.time, iso(contact.time)
    )  # fmt: skip


# --- one contact ------------------------------------------------------------------------------------------------------


def _view(store: Store, state: Contact, limit: int) -> ContactView:
    everyone = parts_of(store, state)
    return ContactView(
        contact=as_object(state),
        inputs=_newest_inputs(store, everyone, limit),
        trace=_newest_traces(store, everyone, limit),
    )


def _newest_inputs(store: Store, contacts: list[str], limit: int) -> list[TimelineRow]:
    records = [record for id_ in contacts for record in store.history(id_, limit)]
    records.sort(key=lambda record: -record.position)
    return [TimelineRow(record.position, as_object(record.input())) for record in records[:limit]]


def _newest_traces(store: Store, contacts: list[str], limit: int) -> list[TraceRow]:
    rows = [row for id_ in contacts for row in store.trace(id_, limit)]
    if len(contacts) > 1:
        rows.sort(key=lambda row: -row[1][-1].at)
    return [TraceRow(position, [as_object(entry) for entry in entries]) for position, entries in rows[:limit]]
