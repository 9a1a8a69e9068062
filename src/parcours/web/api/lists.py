"""Lists over the API: which there are, who is on them, and putting people on and off."""

from __future__ import annotations

import time
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, put
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.core.contact import Contact
from parcours.core.gate import Arrival, Learned
from parcours.definitions.lists import ListDefinition
from parcours.definitions.workspace import is_archived
from parcours.errors import Problem
from parcours.runtimes.embedded import Embedded
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.people import PATIENCE, arrival_of, cursor_of, iso, look_up, place_in, problem_of, submit
from parcours.web.api.search import MOST_FOUND, contacts, is_there, on_list, search

MOST_CHANGES = 10_000
"""People who are put on a list or taken off in one request."""


class ListRow(msgspec.Struct):
    """A list."""

    name: str
    title: str
    description: str
    archived: bool
    members: int | None
    """How many are on it; null when nobody asked for counts."""


class Lists(msgspec.Struct):
    """All lists."""

    lists: list[ListRow]
    complete: bool
    """Whether everybody was counted; if not, it took too long, and `members` are at least so many."""


class MemberRow(msgspec.Struct):
    """A contact on a list."""

    id: str
    identities: list[tuple[str, str]]
    since_at: int
    """Since when, as far as is known."""
    since_time: str


class Members(msgspec.Struct):
    """Contacts on a list, in the order of ids. `next` goes on behind them; it is null at the end."""

    members: list[MemberRow]
    next: str | None
    complete: bool
    """Whether the page is full or the last. If not, it took too long: ask again with `next`."""


class MemberChanges(msgspec.Struct, forbid_unknown_fields=True):
    """Who is put on a list and who is taken off, each by an identity such as `user_id:42`, or by a contact's id."""

    add: list[str] = msgspec.field(default_factory=list)
    remove: list[str] = msgspec.field(default_factory=list)


class MemberResult(msgspec.Struct):
    """What became of one of them."""

    contact: str
    """As it was given."""
    change: Literal["add", "remove"]
    status: Literal["done", "unchanged", "rejected"]
    error: Problem | None = None


class MemberResults(msgspec.Struct):
    """What became of each, in the order given: those added, then those removed."""

    done: int
    unchanged: int
    rejected: int
    results: list[MemberResult]


class ListsApi(Controller):
    """Lists that people are on."""

    path = "/v1/lists"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="All lists")
    async def all_lists(
        self,
        request: Request[Any, Any, Any],
        count: FromQuery[bool] = False,  # noqa: FBT002 (a query parameter)
    ) -> Lists:
        """Return every list, archived ones included. With `count=true` all contacts are gone through to count members."""
        host = host_of(request)
        lists = host.engine.plan.workspace.lists
        counts: dict[str, int] | None = None
        complete = True
        if count:
            counts, complete = await _count(host)
        rows = [
            ListRow(
                one.name,
                one.title,
                one.description,
                is_archived(one),
                counts.get(one.name, 0) if counts is not None else None,
            )
            for one in lists.values()
        ]
        return Lists(rows, complete)

    @get("/{name:str}/members", summary="Who is on a list")
    async def members(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        limit: FromQuery[int] = 100,
        after: FromQuery[str] = "",
    ) -> Members:
        """Return the contacts on a list. All contacts are gone through until the page is full."""
        host = host_of(request)
        _list(host, name)
        behind = place_in(after, tuple[str])[0] if after else ""
        limit = max(1, min(limit, MOST_FOUND))
        found, last, complete = await search(host, [on_list(host.engine.plan, name)], limit, behind)
        rows = [
            MemberRow(one.id, one.identities, one.lists[name].at, iso(one.lists[name].at)) for one in found
        ]  # fmt: skip
        return Members(rows, cursor_of([last]) if last is not None else None, complete)

    @put("/{name:str}/members", summary="Put people on a list, and take others off", status_code=200)
    async def change_members(
        self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[MemberChanges]
    ) -> Response[MemberResults]:
        """Put those in `add` on a list and take those in `remove` off; 400 says that some were rejected.

        Nobody is made by it: who is not known is rejected. To make them, send them to `POST /v1/contacts`.
        """
        host = host_of(request)
        _list(host, name)
        if len(data.add) + len(data.remove) > MOST_CHANGES:
            raise HTTPException(status_code=400, detail=f"more than {MOST_CHANGES} at once: send them in parts")
        both = set(data.add) & set(data.remove)
        if both:
            raise HTTPException(status_code=400, detail=f"{shown(min(both))} is in 'add' and in 'remove'")
        results, arrivals = await _planned(host, name, data)
        outcomes = await submit(host, [arrival for _, arrival in arrivals])
        for (result, _), outcome in zip(arrivals, outcomes, strict=True):
            result.error = problem_of(outcome)
            result.status = "done" if result.error is None else "rejected"
        counts = {status: sum(one.status == status for one in results) for status in ("done", "unchanged", "rejected")}
        answer = MemberResults(**counts, results=results)
        return Response(answer, status_code=400 if answer.rejected else 200)


def _list(host: Embedded, name: str) -> ListDefinition:
    return named("list", name, host.engine.plan.workspace.lists)


async def _count(host: Embedded) -> tuple[dict[str, int], bool]:
    """Return how many members each list has, and whether everybody was counted."""
    end = time.monotonic() + 5 * PATIENCE
    counts: dict[str, int] = {}
    async for found in contacts(host):
        for contact in found:
            for name, membership in contact.lists.items():
                counts[name] = counts.get(name, 0) + membership.member
        if time.monotonic() > end:
            return counts, False
    return counts, True


async def _planned(
    host: Embedded, name: str, data: MemberChanges
) -> tuple[list[MemberResult], list[tuple[MemberResult, Arrival]]]:
    """Return a result for each reference, and the arrivals of those that are to be changed."""
    results: list[MemberResult] = []
    arrivals: list[tuple[MemberResult, Arrival]] = []
    async with host.turn:
        host.engine.catch_up()
        for reference in data.add:
            _plan(host, name, MemberResult(reference, "add", "unchanged"), results, arrivals)
        for reference in data.remove:
            _plan(host, name, MemberResult(reference, "remove", "unchanged"), results, arrivals)
    return results, arrivals


def _plan(
    host: Embedded,
    name: str,
    result: MemberResult,
    results: list[MemberResult],
    arrivals: list[tuple[MemberResult, Arrival]],
) -> None:
    results.append(result)
    contact: Contact | None = None
    try:
        contact = look_up(host, result.contact)
    except HTTPException as error:
        result.status, result.error = "rejected", Problem(code="no_identity", message=error.detail)
        return
    if contact is None or not is_there(contact):
        hint = "send it to POST /v1/contacts, which makes it"
        problem = Problem(code="unknown_contact", message=f"there is no contact {shown(result.contact)}", hint=hint)
        result.status, result.error = "rejected", problem
        return
    member = result.change == "add"
    known = contact.lists.get(name)
    if (known is not None and known.member) != member:
        arrivals.append((result, arrival_of(host, contact, Learned(lists={name: member}))))
