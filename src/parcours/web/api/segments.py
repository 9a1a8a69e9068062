"""Segments over the API: how many, who, of what kind, what they share, how they grew, and files of them."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from litestar import Controller, Request, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from parcours.analytics import questions
from parcours.analytics.duckdb_store import DuckdbAnalytics
from parcours.analytics.model import CONTACTS, Catalog, Kind
from parcours.analytics.questions import Group
from parcours.analytics.service import Analytics
from parcours.conditions.durations import parse_duration
from parcours.conditions.instants import milliseconds
from parcours.conditions.operators import to_instant
from parcours.conditions.parse import parse_condition, shown
from parcours.core.contact import Contact
from parcours.core.ids import contact_from_number, contact_number
from parcours.errors import Problem, did_you_mean
from parcours.runtimes.embedded import Embedded
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.people import cursor_of, iso, place_in
from parcours.web.api.search import MOST_FOUND, is_there, search

SLICE = 500
"""Contacts of an export that are read in one turn."""

MOST_HELD = 50_000
"""Members of a segment up to which an export asks the store for each; of more, it goes through everybody."""

ROW_GROUP = 10_000
"""Rows that stand together in a Parquet file."""

MOST_VALUES = 100
MOST_SIZES = 10_000
_YEAR = 365 * 86_400_000


class AsOf(msgspec.Struct):
    """What an answer takes account of."""

    at: int
    """The instant for which it is true."""
    time: str
    position: int
    """The place in the log up to which everything is counted."""


class Change(msgspec.Struct):
    """A contact that is a member since, or is none any more."""

    contact: str
    member: bool
    at: int
    time: str


class Changed(msgspec.Struct):
    """Who entered and left a segment."""

    segment: str
    since: int
    """What was before the segment was watched is not known."""
    changes: list[Change]
    next: str | None
    complete: bool
    """False when so many were looked at that the rest has to be asked for with `next`."""


class Counted(AsOf):
    """How many contacts there are in a segment."""

    count: int
    of: int
    """How many contacts there are."""


class Row(msgspec.Struct):
    """A contact in a segment."""

    id: str
    identities: list[tuple[str, str]]
    attributes: dict[str, Any]


class Sample(AsOf):
    """Some contacts of a segment, taken at random."""

    count: int
    """How many the segment has."""
    contacts: list[Row]


class Members(AsOf):
    """Contacts of a segment in the order of ids. `next` goes on behind them; it is null at the end."""

    contacts: list[Row]
    next: str | None


class Value(msgspec.Struct):
    """A value of an attribute, and how many contacts have it."""

    value: str | float | bool
    count: int


class BrokenDown(AsOf):
    """A segment by the values of an attribute, or by the tiers of a programme."""

    attribute: str
    """Empty where it is by tiers."""
    programme: str
    """Empty where it is by an attribute."""
    count: int
    missing: int
    """Contacts without a value, or a tier."""
    values: list[Value]
    """The most frequent. A contact with a list counts once for each text in it."""
    others: int
    """How many other values there are."""
    bins: list[questions.Bin]
    """Numbers, where there are too many different ones to name each: ten bins, about equally full."""


class Shared(AsOf):
    """Two segments, and what they share."""

    sizes: list[int]
    both: int
    either: int
    jaccard: float | None
    """The share of those in both among those in either; null when nobody is in either."""


class Size(msgspec.Struct):
    """How many contacts a segment had."""

    at: int
    time: str
    size: int


class Sizes(msgspec.Struct):
    """How many contacts a segment had over time, as it was looked at then."""

    segment: str
    sizes: list[Size]


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """A condition that is asked of all contacts."""

    condition: dict[str, Any]


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    """Two segments: names or conditions."""

    segments: list[str | dict[str, Any]]


class SegmentsApi(Controller):
    """Segments, asked of all contacts at once. Everything that was acknowledged before counts."""

    path = "/v1/segments"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/count", summary="Count by a condition", status_code=200, opt={"scope": "segments:read"})
    async def count_condition(self, request: Request[Any, Any, Any], data: JSONBody[Question]) -> Counted:
        """Return of how many contacts a condition is true now."""
        host = host_of(request)
        group = of_condition(host, data.condition, "/condition")
        return await analytics_of(request).ask(lambda database: _counted(database, group.since(database.as_of)))

    @post("/overlap", summary="What two segments share", status_code=200, opt={"scope": "segments:read"})
    async def overlap(self, request: Request[Any, Any, Any], data: JSONBody[Pair]) -> Shared:
        """Return the sizes of two segments, how many are in both and in either, and the share of these."""
        host = host_of(request)
        if len(data.segments) != 2:  # noqa: PLR2004 (a pair)
            raise HTTPException(status_code=400, detail="segments: give two, by name or as a condition")
        now = host.engine.clock.now()
        first, second = (
            of_condition(host, {"segment": one} if isinstance(one, str) else one, f"/segments/{index}", now)
            for index, one in enumerate(data.segments)
        )

        def ask(database: DuckdbAnalytics) -> Shared:
            one, other = first.since(database.as_of), second.since(database.as_of)
            found = questions.overlap(database, one, other)
            return Shared(*_as_of(database, one.now), list(found.sizes), found.both, found.either, found.jaccard)

        return await analytics_of(request).ask(ask)

    @get("/{name:str}/count", summary="How many are in a segment")
    async def count(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Counted:
        """Return how many contacts are in a segment now; the number is noted among its sizes over time."""
        asked = _of_segment(host_of(request), name)

        def ask(database: DuckdbAnalytics) -> Counted:
            found = _counted(database, asked.since(database.as_of))
            database.note_size(name, found.at, found.count)
            return found

        return await analytics_of(request).ask(ask)

    @get("/{name:str}/sample", summary="Some of a segment")
    async def sample(
        self, request: Request[Any, Any, Any], name: FromPath[str], size: FromQuery[int] = 10, seed: FromQuery[str] = ""
    ) -> Sample:
        """Return contacts of a segment at random; with the same `seed` the same ones, while they are in it."""
        host = host_of(request)
        asked = _of_segment(host, name)
        size = max(1, min(size, MOST_FOUND))

        def ask(database: DuckdbAnalytics) -> tuple[tuple[int, str, int], int, list[int]]:
            group = asked.since(database.as_of)
            numbers = questions.sample(database, group, size, seed)
            return _as_of(database, group.now), questions.count(database, group), numbers

        as_of, count, numbers = await analytics_of(request).ask(ask)
        return Sample(*as_of, count, await _rows(host, numbers))

    @get("/{name:str}/members", summary="Who is in a segment")
    async def members(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        limit: FromQuery[int] = 100,
        after: FromQuery[str] = "",
    ) -> Members:
        """Return the contacts in a segment in the order of ids, page by page."""
        host = host_of(request)
        asked = _of_segment(host, name)
        behind = number_in(after)
        limit = max(1, min(limit, MOST_FOUND))

        def ask(database: DuckdbAnalytics) -> tuple[tuple[int, str, int], list[int]]:
            group = asked.since(database.as_of)
            return _as_of(database, group.now), questions.members(database, group, behind, limit)

        as_of, numbers = await analytics_of(request).ask(ask)
        following = cursor_of([contact_from_number(numbers[-1])]) if len(numbers) == limit else None
        return Members(*as_of, await _rows(host, numbers), following)

    @get("/{name:str}/breakdown", summary="A segment by an attribute or a tier")
    async def breakdown(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        by: FromQuery[str] = "",
        tier: FromQuery[str] = "",
        limit: FromQuery[int] = 20,
    ) -> BrokenDown:
        """Return the most frequent values of an attribute (`by`) in a segment, and how many have none.

        With `tier`, which is a programme, how many members have which of its tiers.
        """
        host = host_of(request)
        asked = _of_segment(host, name)
        most = max(1, min(limit, MOST_VALUES))
        if bool(by) == bool(tier):
            raise HTTPException(status_code=400, detail="give 'by', an attribute, or 'tier', a programme")
        programmes = host.engine.plan.workspace.programmes
        if tier and tier not in programmes:
            detail, hint = f"tier: there is no programme {shown(tier)}", did_you_mean(tier, programmes)
            raise HTTPException(status_code=400, detail=f"{detail} ({hint})" if hint else detail)

        def ask(database: DuckdbAnalytics) -> BrokenDown:
            group = asked.since(database.as_of)
            found = questions.tiers(database, group, tier) if tier else questions.breakdown(database, group, by, most)
            values = [Value(value, count) for value, count in found.values]
            as_of = _as_of(database, group.now)
            return BrokenDown(*as_of, by, tier, found.size, found.missing, values, found.others, found.bins)

        return await analytics_of(request).ask(ask)

    @get("/{name:str}/changes", summary="Who entered and left a segment since")
    async def changes(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        since: FromQuery[str],
        limit: FromQuery[int] = 100,
        after: FromQuery[str] = "",
    ) -> Changed:
        """Return who is in a watched segment since an instant, or no longer is, page by page in the order of ids.

        Somebody who entered and left again stands there once, with what is so now.
        """
        host = host_of(request)
        _of_segment(host, name)
        watched = host.engine.plan.watch.segments.get(name)
        if watched is None:
            hint = "write 'live: true' in its definition, or let a live journey be entered by it"
            raise HTTPException(status_code=400, detail=f"the segment {shown(name)} is not watched: {hint}")
        from_ = max(_instant_in("since", since, 0), watched.since + 1)

        def changed(contact: Contact) -> bool:
            known = contact.segments.get(name)
            return known is not None and known.at >= from_

        limit = max(1, min(limit, MOST_FOUND))
        found, following, complete = await search(
            host, [changed], limit, place_in(after, tuple[str])[0] if after else ""
        )
        rows = [
            Change(contact.id, contact.segments[name].member, contact.segments[name].at, iso(contact.segments[name].at))
            for contact in found
        ]
        return Changed(name, from_, rows, cursor_of([following]) if following is not None else None, complete)

    @get("/{name:str}/sizes", summary="The size of a segment over time")
    async def sizes(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        start: FromQuery[str] = "",
        end: FromQuery[str] = "",
        every: FromQuery[str] = "1d",
    ) -> Sizes:
        """Return how many contacts a segment had, from `start` to before `end`, the last of each `every`.

        The service looks once an hour, and each count of the segment is noted. What was before it had the segment is
        not known.
        """
        host = host_of(request)
        _of_segment(host, name)
        until = _instant_in("end", end, host.engine.clock.now() + 1)
        since = _instant_in("start", start, until - _YEAR)
        try:
            span = parse_duration(every)
        except ValueError as error:
            raise HTTPException(status_code=400, detail=f"every: {error}") from None
        if span < 1 or (until - since) // span > MOST_SIZES:
            raise HTTPException(status_code=400, detail=f"every: more than {MOST_SIZES} sizes: ask for fewer")
        found = await analytics_of(request).ask(lambda database: database.sizes(name, since, until, span))
        return Sizes(name, [Size(at, iso(at), size) for at, size in found])

    @get("/{name:str}/export", summary="A file of a segment")
    async def export(
        self,
        request: Request[Any, Any, Any],
        name: FromPath[str],
        form: FromQuery[Literal["csv", "parquet", "jsonl"]] = "csv",
        attributes: FromQuery[list[str] | None] = None,
    ) -> Stream:
        """Return everybody in a segment now as a file: `form` is `csv`, `parquet` or `jsonl`.

        A row has the contact's id, its identities and attributes: those in `attributes` (more than once for several),
        else all that are known. Values are those at the moment the row is written.
        """
        host = host_of(request)
        group = _of_segment(host, name)

        def ask(database: DuckdbAnalytics) -> tuple[list[int], list[str], Catalog]:
            known = list(database.catalog.tables[CONTACTS].attributes)
            catalog = msgspec.json.decode(msgspec.json.encode(database.catalog), type=Catalog)
            return questions.members(database, group.since(database.as_of)), known, catalog

        numbers, known, catalog = await analytics_of(request).ask(ask)
        chosen = list(dict.fromkeys(attributes)) if attributes else sorted(known)
        people = _people(host, numbers)
        if form == "csv":
            body, kind = _as_csv(people, chosen), "text/csv; charset=utf-8"
        elif form == "jsonl":
            body, kind = _as_lines(people, chosen), "application/x-ndjson"
        else:
            body, kind = _as_parquet(people, chosen, catalog), "application/vnd.apache.parquet"
        return Stream(body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="segment.{form}"'})


def analytics_of(request: Request[Any, Any, Any]) -> Analytics:
    """Return the analytics of the service.

    Raises:
        HTTPException: It has none.
    """
    analytics: Analytics | None = request.app.state["analytics"]
    if analytics is None:
        raise HTTPException(status_code=501, detail="this service has no analytics database")
    return analytics


# --- what is asked ----------------------------------------------------------------------------------------------------


def _of_segment(host: Embedded, name: str) -> Group:
    """Return the contacts of a segment.

    Raises:
        HTTPException: There is no such segment, or it cannot be asked of all contacts.
    """
    segments = host.engine.plan.segments
    return _answerable(Group(named("segment", name, segments), segments, host.engine.clock.now()), "")


def of_condition(host: Embedded, condition: object, pointer: str, now: int | None = None) -> Group:
    """Return the contacts of whom a condition is true.

    Raises:
        HTTPException: It cannot be read, or not be asked of all contacts.
    """
    node, problems = parse_condition(condition, pointer)
    if node is None or problems:
        raise _refused(problems)
    return _answerable(Group(node, host.engine.plan.segments, host.engine.clock.now() if now is None else now), pointer)


def _answerable(group: Group, pointer: str) -> Group:
    problems = questions.problems(group.node, group.segments, pointer)
    if problems:
        raise _refused(problems)
    return group


def _refused(problems: Sequence[Problem]) -> HTTPException:
    return HTTPException(
        status_code=400,
        detail=str(problems[0]) if problems else "there is no condition",
        extra=[
            {name: getattr(problem, name) for name in ("code", "message", "pointer", "hint")} for problem in problems
        ],
    )


def _as_of(database: DuckdbAnalytics, now: int) -> tuple[int, str, int]:
    return now, iso(now), database.position


def _counted(database: DuckdbAnalytics, group: Group) -> Counted:
    return Counted(
        *_as_of(database, group.now), questions.count(database, group), questions.everybody(database)
    )  # fmt: skip


def number_in(after: str) -> int:
    """Return the number of the contact behind which a page begins.

    Raises:
        HTTPException: The cursor is none of ours.
    """
    if not after:
        return -1
    (id_,) = place_in(after, tuple[str])
    try:
        return contact_number(id_)
    except ValueError:
        raise HTTPException(status_code=400, detail="the cursor is none that was answered as 'next'") from None


def _instant_in(name: str, text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    instant = to_instant(text)
    if instant is None:
        detail = f"{name}: {shown(text)} is no time: write 2026-01-31 or 2026-01-31T09:00:00Z"
        raise HTTPException(status_code=400, detail=detail)
    return milliseconds(instant)


# --- who it is --------------------------------------------------------------------------------------------------------


async def _rows(host: Embedded, numbers: Sequence[int]) -> list[Row]:
    """Return contacts by their numbers, but for those that went meanwhile."""
    return [row async for rows in _people(host, numbers) for row in rows]


async def _people(host: Embedded, numbers: Sequence[int]) -> AsyncIterator[list[Row]]:
    async for states in people_of(host, numbers):
        yield [_row(state) for state in states]


async def people_of(host: Embedded, numbers: Sequence[int]) -> AsyncIterator[list[Contact]]:
    """Yield contacts by their numbers, which are in any order if they are few, else sorted."""
    if len(numbers) <= MOST_HELD:
        for start in range(0, len(numbers), SLICE):
            ids = [contact_from_number(number) for number in numbers[start : start + SLICE]]
            async with host.turn:
                host.engine.catch_up()
                states = host.store.contacts(ids)
                # They may change once it is others' turn.
                there = [_copy(state) for id_ in ids if (state := states.get(id_)) is not None and is_there(state)]
            yield there
        return
    # What is asked for one by one stays in the store's memory for a while; what is gone through does not.
    wanted = set(map(contact_from_number, numbers))
    after = ""
    while True:
        async with host.turn:
            host.engine.catch_up()
            found = host.store.scan(after, SLICE)
        yield [state for state in found if state.id in wanted and is_there(state)]
        if len(found) < SLICE:
            return
        after = found[-1].id


def _copy(state: Contact) -> Contact:
    """Return what is shown of a contact."""
    return Contact(
        state.id, state.time, dict(state.attributes), identities=list(state.identities), lists=dict(state.lists)
    )  # fmt: skip


def _row(state: Contact) -> Row:
    return Row(state.id, state.identities, state.attributes)


# --- files ------------------------------------------------------------------------------------------------------------

_FIRST = ("id", "identities")
_Cell = Callable[[object], object]


async def _as_csv(people: AsyncIterator[list[Row]], attributes: Sequence[str]) -> AsyncIterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*_FIRST, *attributes])
    async for rows in people:
        for row in rows:
            names = " ".join(f"{space}:{value}" for space, value in row.identities)
            writer.writerow([row.id, _safe(names), *(_safe(_text(row.attributes.get(name))) for name in attributes)])
        yield text.getvalue().encode("utf-8", "replace")
        text.seek(0)
        text.truncate()
    if text.tell():
        yield text.getvalue().encode("utf-8", "replace")


def _text(value: object) -> str:
    """Return a value as a cell holds it: text as it is, nothing for none, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _safe(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in _FORMULA and not _is_number(text) else text


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


async def _as_lines(people: AsyncIterator[list[Row]], attributes: Sequence[str]) -> AsyncIterator[bytes]:
    chosen = set(attributes)
    encoder = msgspec.json.Encoder()
    async for rows in people:
        lines = [
            msgspec.structs.replace(
                row, attributes={name: value for name, value in row.attributes.items() if name in chosen}
            )
            for row in rows
        ]
        yield encoder.encode_lines(lines)


async def _as_parquet(
    people: AsyncIterator[list[Row]], attributes: Sequence[str], catalog: Catalog
) -> AsyncIterator[bytes]:
    """A column of an attribute that was only ever numbers, booleans or lists of text is of that type, else it is text."""
    made = [_column(catalog, name) for name in attributes]
    names = _unlike([*_FIRST, *attributes])
    schema = pa.schema(
        [*((name, pa.string()) for name in names[:2]), *zip(names[2:], (kind for kind, _ in made), strict=True)]
    )
    with tempfile.TemporaryFile() as file:
        writer = pq.ParquetWriter(file, schema)
        read = 0
        waiting: list[Row] = []
        async for rows in people:
            waiting += rows
            if len(waiting) >= ROW_GROUP:
                writer.write_table(_table(waiting, attributes, [cell for _, cell in made], schema))
                waiting = []
                read, part = _written(file, read)
                yield part
        if waiting:
            writer.write_table(_table(waiting, attributes, [cell for _, cell in made], schema))
        writer.close()
        yield _written(file, read)[1]


def _table(rows: Sequence[Row], attributes: Sequence[str], cells: Sequence[_Cell], schema: pa.Schema) -> pa.Table:
    columns: list[list[Any]] = [[row.id for row in rows], [_text(row.identities) for row in rows]]
    for name, cell in zip(attributes, cells, strict=True):
        columns.append([cell(row.attributes.get(name)) for row in rows])
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _written(file: IO[bytes], read: int) -> tuple[int, bytes]:
    """Return what was written to a file behind a place, and the place behind it."""
    file.flush()
    end = file.tell()
    file.seek(read)
    part = file.read()
    file.seek(end)
    return end, part


def _unlike(names: Sequence[str]) -> list[str]:
    """Return names of columns that differ from one another: an attribute may be called `id`."""
    found: dict[str, None] = {}
    for name in names:
        one = name
        while one in found:
            one = f"{one}_"
        found[one] = None
    return list(found)


def _column(catalog: Catalog, name: str) -> tuple[pa.DataType, _Cell]:
    known = catalog.tables[CONTACTS].attributes.get(name)
    kinds = known.kinds if known else set()
    numbers, booleans = Kind.NUMBER in kinds, Kind.BOOLEAN in kinds
    if Kind.TEXT not in kinds and Kind.LISTED not in kinds and numbers != booleans:
        return (pa.float64(), _number) if numbers else (pa.bool_(), _boolean)
    return pa.string(), lambda value: None if value is None else _text(value)


def _number(value: object) -> object:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: object) -> object:
    return value if isinstance(value, bool) else None
