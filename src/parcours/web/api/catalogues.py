"""Catalogues over the API: which there are, and their items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from litestar import Controller, Request, Response, delete, get, put
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.definitions.interaction import AttributeDefinition
from parcours.definitions.lists import CatalogueDefinition
from parcours.definitions.workspace import is_archived
from parcours.errors import Problem
from parcours.runtimes.embedded import Embedded
from parcours.sources.plain import refuse_unstorable
from parcours.sources.segment import MalformedError
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.people import cursor_of, place_in, refusal

MOST_ITEMS = 10_000
"""Items that are put in or taken out in one request."""

MOST_SHOWN = 1_000
"""Items in one answer."""


class CatalogueRow(msgspec.Struct):
    """A catalogue."""

    name: str
    title: str
    description: str
    archived: bool
    strict: bool
    attributes: dict[str, AttributeDefinition]


class Catalogues(msgspec.Struct):
    """All catalogues."""

    catalogues: list[CatalogueRow]


class Item(msgspec.Struct):
    """An item of a catalogue."""

    id: str
    attributes: dict[str, Any]


class Items(msgspec.Struct):
    """Items in the order of ids, by code point. `next` goes on behind them; it is null at the end."""

    items: list[Item]
    next: str | None


class NewItem(msgspec.Struct, forbid_unknown_fields=True):
    """All the attributes of an item; those it had before are replaced."""

    attributes: dict[str, Any]


class NewItems(msgspec.Struct, forbid_unknown_fields=True):
    """Item ids, each with all its attributes, or with null to take it out."""

    items: dict[str, dict[str, Any] | None]


class ItemResult(msgspec.Struct):
    """What became of one item; a `pointer` in an error leads into the item."""

    id: str
    status: Literal["stored", "removed", "rejected"]
    error: Problem | None = None


class ItemResults(msgspec.Struct):
    """What became of each item, in the order given."""

    stored: int
    removed: int
    rejected: int
    results: list[ItemResult]


class CataloguesApi(Controller):
    """Catalogues of the things a shop has."""

    path = "/v1/catalogues"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="All catalogues")
    async def catalogues(self, request: Request[Any, Any, Any]) -> Catalogues:
        """Return every catalogue, archived ones included."""
        found = host_of(request).engine.plan.workspace.catalogues.values()
        return Catalogues(
            [
                CatalogueRow(one.name, one.title, one.description, is_archived(one), one.strict, one.attributes)
                for one in found
            ]
        )

    @get("/{name:str}/items", summary="The items of a catalogue")
    async def items(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        limit: FromQuery[int] = 100,
        after: FromQuery[str] = "",
    ) -> Items:
        """Return items page by page."""
        host = host_of(request)
        _catalogue(host, name)
        behind = place_in(after, tuple[str])[0] if after else ""
        limit = max(1, min(limit, MOST_SHOWN))
        async with host.turn:
            found = host.store.scan_items(name, behind, limit)
        rows = [Item(id_, attributes) for id_, attributes in found]
        return Items(rows, cursor_of([rows[-1].id]) if len(rows) == limit else None)

    @put("/{name:str}/items", summary="Put items into a catalogue, and take others out", status_code=200)
    async def stock(
        self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[NewItems]
    ) -> Response[ItemResults]:
        """Put items in, replacing those of the same id, and take out those that are null.

        400 says that some were rejected; all others are kept.
        """
        host = host_of(request)
        _catalogue(host, name)
        if len(data.items) > MOST_ITEMS:
            raise HTTPException(status_code=400, detail=f"more than {MOST_ITEMS} at once: send them in parts")
        problems = await _stock(host, name, data.items)
        results = [
            ItemResult(
                id_, "rejected" if problem is not None else "removed" if attributes is None else "stored", problem
            )
            for (id_, attributes), problem in zip(data.items.items(), problems, strict=True)
        ]
        counts = {status: sum(one.status == status for one in results) for status in ("stored", "removed", "rejected")}
        answer = ItemResults(**counts, results=results)
        return Response(answer, status_code=400 if answer.rejected else 200)

    @get("/{name:str}/items/{item:path}", summary="One item")
    async def item(self, request: Request[Any, Any, Any], name: FromPath[str], item: FromPath[str]) -> Item:  # noqa: ARG002 (as it was sent)
        """Return an item. A slash in an id is written `%2F`."""
        host, id_ = host_of(request), _item_in(request)
        _catalogue(host, name)
        return await _found(host, name, id_)

    @put("/{name:str}/items/{item:path}", summary="Put one item into a catalogue", status_code=200)
    async def put_item(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        item: FromPath[str],  # noqa: ARG002 (as it was sent)
        data: JSONBody[NewItem],
    ) -> Item:
        """Put an item in, or replace it."""
        host, id_ = host_of(request), _item_in(request)
        _catalogue(host, name)
        (problem,) = await _stock(host, name, {id_: data.attributes})
        if problem is not None:
            raise refusal(problem)
        return await _found(host, name, id_)

    @delete("/{name:str}/items/{item:path}", summary="Take one item out of a catalogue", status_code=200)
    async def remove_item(self, request: Request[Any, Any, Any], name: FromPath[str], item: FromPath[str]) -> Item:  # noqa: ARG002 (as it was sent)
        """Take an item out, and return it as it was."""
        host, id_ = host_of(request), _item_in(request)
        _catalogue(host, name)
        found = await _found(host, name, id_)
        (problem,) = await _stock(host, name, {id_: None})
        if problem is not None:
            raise refusal(problem)
        return found


def _catalogue(host: Embedded, name: str) -> CatalogueDefinition:
    return named("catalogue", name, host.engine.plan.workspace.catalogues)


def _item_in(request: Request[Any, Any, Any]) -> str:
    """Return the id of the item in the path. Servers decode %2F there, so it is read from the path as it was sent."""
    sent = request.scope.get("raw_path") or request.scope["path"].encode()
    try:
        return unquote(sent.decode("latin-1").partition("/items/")[2], errors="strict")
    except UnicodeDecodeError:
        raise NotFoundException(detail="the id in the path is not UTF-8") from None


async def _found(host: Embedded, name: str, id_: str) -> Item:
    async with host.turn:
        found = host.store.items(name, [id_])
    if id_ not in found:
        raise NotFoundException(detail=f"there is no item {shown(id_)} in the catalogue {shown(name)}")
    return Item(id_, found[id_])


async def _stock(host: Embedded, name: str, items: Mapping[str, dict[str, Any] | None]) -> list[Problem | None]:
    """Put items in or take them out, and return for each what is wrong with it, or None."""
    unfit: dict[str, Problem] = {}
    for id_, attributes in items.items():
        try:
            refuse_unstorable({"id": id_, "attributes": attributes})
        except MalformedError as error:
            unfit[id_] = error.problem
    fit = {id_: attributes for id_, attributes in items.items() if id_ not in unfit}
    problems = iter(await host.stock(name, fit) if fit else [])
    return [unfit[id_] if id_ in unfit else next(problems) for id_ in items]
