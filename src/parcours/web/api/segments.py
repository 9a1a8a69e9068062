"""Segments over the API: how many, who, of what kind, what they share, how they grew, and files of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from parcours.analytics import questions
from parcours.analytics.duckdb_store import DuckdbAnalytics
from parcours.analytics.model import CONTACTS, Catalog
from parcours.analytics.questions import Group
from parcours.analytics.service import Analytics
from parcours.conditions.durations import parse_duration
from parcours.conditions.instants import milliseconds
from parcours.conditions.operators import to_instant
from parcours.conditions.parse import parse_condition, shown
from parcours.core.contact import Contact
from parcours.core.ids import contact_from_number
from parcours.errors import Problem, did_you_mean
from parcours.runtimes.embedded import Embedded
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.people import cursor_of, iso, place_in
from parcours.web.api.search import MOST_FOUND, search
from parcours.web.api.segment_files import as_csv, as_lines, as_parquet
from parcours.web.api.segment_members import Row, number_in, rows_in_slices, rows_of

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
        return Sample(*as_of, count, await rows_of(host, numbers))

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
        return Members(*as_of, await rows_of(host, numbers), following)

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
        people = rows_in_slices(host, numbers)
        if form == "csv":
            body, kind = as_csv(people, chosen), "text/csv; charset=utf-8"
        elif form == "jsonl":
            body, kind = as_lines(people, chosen), "application/x-ndjson"
        else:
            body, kind = as_parquet(people, chosen, catalog), "application/vnd.apache.parquet"
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


def _instant_in(name: str, text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    instant = to_instant(text)
    if instant is None:
        detail = f"{name}: {shown(text)} is no time: write 2026-01-31 or 2026-01-31T09:00:00Z"
        raise HTTPException(status_code=400, detail=detail)
    return milliseconds(instant)
