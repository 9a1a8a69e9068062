"""Definitions over the API: all together, one by one, and the words a workspace adds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from litestar import Controller, Request, Response, delete, get, post, put
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.definitions import settings as words
from parcours.definitions.common import Archivable
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.load import dump
from parcours.definitions.packs import put_away
from parcours.definitions.references import uses
from parcours.definitions.workspace import (
    KINDS,
    AnyDefinition,
    Key,
    Workspace,
    is_archived,
    key_name,
    key_of,
    select,
)
from parcours.errors import Problem, did_you_mean
from parcours.web.api.common import guard, host_of, not_there

MOST_PROBLEMS = 200
"""Problems listed in one answer."""

READ = {"scope": "definitions:read"}
WRITE = {"scope": "definitions:write"}
"""The scopes of what is about definitions, under whichever path."""

CONFLICT = 409
NOT_MET = 412


class Definitions(msgspec.Struct, forbid_unknown_fields=True):
    """Definitions as plain data, each with its `kind`."""

    definitions: list[dict[str, Any]]


class Published(msgspec.Struct):
    """What publishing came to. With an error nothing was published."""

    published: bool
    errors: list[Problem]
    warnings: list[Problem]


class UseRow(msgspec.Struct):
    """One definition that refers to another."""

    kind: str
    name: str
    title: str
    pointer: str
    """Where it does."""
    active: bool
    """Whether it is in use itself: no draft, and not archived."""


class Uses(msgspec.Struct):
    """Who refers to a definition."""

    uses: list[UseRow]


class Word(msgspec.Struct):
    """A channel or source type."""

    name: str
    title: str
    own: bool
    """Whether the workspace added it."""
    used: int
    """Interactions with it."""


class Channels(msgspec.Struct):
    """Where interactions may happen."""

    channels: list[Word]


class SourceTypes(msgspec.Struct):
    """What may set interactions off."""

    source_types: list[Word]


class NewWord(msgspec.Struct, forbid_unknown_fields=True):
    """A channel or source type to add."""

    name: str
    title: str = ""


# --- what the handlers share ------------------------------------------------------------------------------------------


def workspace_of(request: Request[Any, Any, Any]) -> Workspace:
    """Return the definitions in force."""
    return host_of(request).engine.plan.workspace


def publishing(request: Request[Any, Any, Any]) -> asyncio.Lock:
    """Return the lock that whoever looks and then publishes holds meanwhile, so that nobody publishes in between."""
    state = request.app.state
    lock: asyncio.Lock | None = state.get("publishing")
    if lock is None:
        lock = state["publishing"] = asyncio.Lock()
    return lock


def published(errors: list[Problem], warnings: list[Problem]) -> Published:
    """Return the answer to a publication."""
    return Published(not errors, errors[:MOST_PROBLEMS], warnings[:MOST_PROBLEMS])


def etag_of(definition: AnyDefinition) -> str:
    """Return the entity tag of a definition: equal definitions have equal ones."""
    text = msgspec.json.encode(dump(definition), order="deterministic")
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def find(workspace: Workspace, kind: str, name: str) -> AnyDefinition | None:
    """Return a definition; the settings of a workspace are there also when nobody defined them."""
    if (kind, name) == ("workspace", workspace.settings.name):
        return workspace.settings
    return workspace.get(kind, name)


def of_one(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems of a publication of one definition with pointers into that definition."""
    return [
        msgspec.structs.replace(problem, pointer=problem.pointer.removeprefix("/definitions/0")) for problem in problems
    ]


def users_of(workspace: Workspace, key: Key) -> list[UseRow]:
    """Return who refers to a definition."""
    return [
        UseRow(use.user[0], user.name, user.title, use.pointer, use.active)
        for use in uses(workspace)
        if use.used == key and (user := workspace.get(*use.user)) is not None
    ]


def sentence_of(rows: Iterable[UseRow]) -> str:
    """Return who uses something, as an error says it: `the journey 'basket', the segment 'regulars'`."""
    names = list(dict.fromkeys(f"the {row.kind} {shown(row.name)}" for row in rows))
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


_MOST_NAMES = 10


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"kinds are {', '.join(KINDS)}"
        raise NotFoundException(detail=f"there is no kind {shown(kind)} ({hint})")
    return kind


def _below_kind(request: Request[Any, Any, Any]) -> list[str]:
    """Return what follows the kind in a path, part by part.

    A slash in a name is written %2F. Servers decode that in the path, so it is looked up in the path as it was sent.
    """
    sent = request.scope.get("raw_path") or request.scope["path"].encode()
    below = sent.decode("latin-1").partition("/v1/definitions/")[2].partition("/")[2]
    try:
        return [unquote(part, errors="strict") for part in below.split("/")]
    except UnicodeDecodeError:
        raise NotFoundException(detail="the name in the path is not UTF-8") from None


def _missing(workspace: Workspace, kind: str, name: str) -> NotFoundException:
    return not_there(kind, name, [one.name for one in workspace.all() if key_of(one)[0] == kind])


def check_match(headers: Mapping[str, str], found: AnyDefinition | None) -> None:
    """Refuse a change when what was asked for with it (RFC 9110, 13.1) is not so."""
    tag = etag_of(found) if found is not None else None
    wanted = headers.get("if-match")
    if wanted is not None and (tag is None or not _names(wanted, tag)):
        said = "it has changed since: get it again" if tag is not None else "it is not there"
        raise HTTPException(status_code=NOT_MET, detail=f"If-Match is not met: {said}")
    unwanted = headers.get("if-none-match")
    if unwanted is not None and tag is not None and _names(unwanted, tag):
        raise HTTPException(status_code=NOT_MET, detail="If-None-Match is not met: it is there already")


def _names(header: str, tag: str) -> bool:
    """Return whether a header of entity tags names one; a proxy that packs an answer may have made it a weak one."""
    given = [one.strip().removeprefix("W/") for one in header.split(",")]
    return "*" in given or tag in given


# --- definitions ------------------------------------------------------------------------------------------------------


class DefinitionsApi(Controller):
    """Definitions, all together and one by one."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @put("/definitions", summary="Publish definitions", status_code=200)
    async def publish(self, request: Request[Any, Any, Any], data: JSONBody[Definitions]) -> Response[Published]:
        """Check definitions against each other and those in force, and put them in force: all or none."""
        async with publishing(request):
            errors, warnings = await host_of(request).publish(data.definitions)
        return Response(published(errors, warnings), status_code=400 if errors else 200)

    @get("/definitions", summary="All definitions in force")
    async def definitions(self, request: Request[Any, Any, Any]) -> Definitions:
        """Return every definition in the form in which it can be published again, archived ones included."""
        return Definitions([dump(definition) for definition in workspace_of(request).all()])

    @get("/definitions/{kind:str}", summary="The definitions of a kind")
    async def of_kind(
        self,
        request: Request[Any, Any, Any],
        kind: FromPath[str],
        archived: FromQuery[bool] = False,  # noqa: FBT002 (a query parameter)
        channel: FromQuery[str | None] = None,
        source_type: FromQuery[str | None] = None,
        text: FromQuery[str] = "",
    ) -> Definitions:
        """Return the definitions of a kind that somebody looks for.

        `archived=true` includes those that were put away; `channel` is one of interactions or messages, `source_type`
        one of interactions; `text` is looked for in name, title and description.
        """
        cls = KINDS[_known_kind(kind)]
        for field, value in (("channel", channel), ("source_type", source_type)):
            if value is not None and field not in cls.__struct_fields__:
                raise HTTPException(status_code=400, detail=f"a {kind} has no {field.replace('_', ' ')}")
        workspace = workspace_of(request)
        all_of_kind: list[AnyDefinition] = (
            [workspace.settings] if kind == "workspace" else [one for one in workspace.all() if isinstance(one, cls)]
        )
        found = select(all_of_kind, archived=archived, channel=channel, source_type=source_type, text=text)
        return Definitions([dump(definition) for definition in found])

    @get("/definitions/{kind:str}/{name:path}", summary="One definition, or who uses it")
    async def definition(
        self, request: Request[Any, Any, Any], kind: FromPath[str], name: FromPath[str]
    ) -> Response[Any]:
        """Return a definition, with an `ETag`; below it, at `/uses`, who refers to it.

        The name of an interaction may be given in any spelling. A slash in a name is written `%2F`.
        """
        workspace = workspace_of(request)
        parts = _below_kind(request)
        if len(parts) > 1 and parts[-1] == "uses":
            return self._uses(workspace, _known_kind(kind), "/".join(parts[:-1]))
        name = "/".join(parts)
        found = find(workspace, _known_kind(kind), name)
        if found is None:
            raise _missing(workspace, kind, name)
        return Response(dump(found), headers={"ETag": etag_of(found)})

    def _uses(self, workspace: Workspace, kind: str, name: str) -> Response[Any]:
        key = (kind, key_name(kind, name))
        rows = users_of(workspace, key)
        if not rows and find(workspace, *key) is None:
            raise _missing(workspace, kind, name)
        return Response(Uses(rows))

    @put(
        "/definitions/{kind:str}/{name:path}",
        summary="Publish one definition",
        status_code=200,
        responses={201: ResponseSpec(Published, description="It is new", generate_examples=False)},
    )
    async def publish_one(
        self,
        request: Request[Any, Any, Any],
        kind: FromPath[str],
        name: FromPath[str],
        data: JSONBody[dict[str, Any]],
    ) -> Response[Published]:
        """Create or replace a definition; the body needs neither `kind` nor `name`. 201 says that it is new.

        With `If-Match` it is only replaced while its `ETag` is that, with `If-None-Match: *` it is only created; else
        412.
        """
        name = "/".join(_below_kind(request))
        _known_kind(kind)
        async with publishing(request):
            found = find(workspace_of(request), kind, name)
            check_match(request.headers, found)
            problems = other_problems(kind, name, data)
            if problems:
                return Response(published(problems, []), status_code=400)
            whole = {"kind": kind, "name": found.name if found is not None else name} | data
            errors, warnings = await host_of(request).publish([whole])
            now = find(workspace_of(request), kind, name)
        answer = published(of_one(errors), of_one(warnings))
        if errors or now is None:
            return Response(answer, status_code=400)
        return Response(answer, status_code=200 if found is not None else 201, headers={"ETag": etag_of(now)})

    @post("/definitions/{kind:str}/{name:path}", summary="Archive or restore a definition", status_code=200)
    async def archive_or_restore(
        self, request: Request[Any, Any, Any], kind: FromPath[str], name: FromPath[str]
    ) -> Response[Published]:
        """Put a definition away (at `/archive` below it) or take it back (at `/restore`).

        409 says who uses it, or that the journey is live.
        """
        parts = _below_kind(request)
        name, action = "/".join(parts[:-1]), parts[-1]
        if not name or action not in {"archive", "restore"}:
            raise NotFoundException(detail="post to …/archive or …/restore")
        async with publishing(request):
            workspace = workspace_of(request)
            found = find(workspace, _known_kind(kind), name)
            if found is None:
                raise _missing(workspace, kind, name)
            if action == "archive":
                _may_be_archived(workspace, found)
            after = put_away(found, archived=action == "archive")
            errors, warnings = await host_of(request).publish([dump(after)])
        answer = published(of_one(errors), of_one(warnings))
        if errors:
            return Response(answer, status_code=400)
        return Response(answer, headers={"ETag": etag_of(after)})


def other_problems(kind: str, name: str, data: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with a body that says it is another definition than its path."""
    problems = []
    if data.get("kind", kind) != kind:
        message = f"the path says {shown(kind)}, the body {shown(data['kind'])}"
        problems.append(Problem(code="another_kind", message=message, pointer="/kind", hint="leave it out"))
    given = data.get("name")
    if isinstance(given, str) and key_name(kind, given) != key_name(kind, name):
        message = f"the path says {shown(name)}, the body {shown(given)}"
        hint = "leave it out; a definition keeps its name"
        problems.append(Problem(code="another_name", message=message, pointer="/name", hint=hint))
    return problems


def _may_be_archived(workspace: Workspace, definition: AnyDefinition) -> None:
    kind, _ = key = key_of(definition)
    said = f"the {kind} {shown(definition.name)}"
    if not isinstance(definition, Archivable):
        raise HTTPException(status_code=CONFLICT, detail="the settings of the workspace cannot be archived")
    if isinstance(definition, JourneyDefinition) and definition.state in {"live", "test", "paused"}:
        hint = "close it first, by 'state: closed', or stop it"
        raise HTTPException(status_code=CONFLICT, detail=f"{said} is {definition.state}: {hint}")
    rows = [row for row in users_of(workspace, key) if row.active]
    if rows and not is_archived(definition):
        raise HTTPException(
            status_code=CONFLICT,
            detail=f"{said} is used by {sentence_of(rows)}",
            extra=[msgspec.to_builtins(row) for row in rows[:MOST_PROBLEMS]],
        )


# --- channels and source types ----------------------------------------------------------------------------------------


class WordsApi(Controller):
    """The channels and source types of interactions: the usual ones, and those the workspace adds."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/channels", summary="Where interactions may happen", opt=READ)
    async def channels(self, request: Request[Any, Any, Any]) -> Channels:
        """Return the usual channels and the workspace's own."""
        return Channels(_words(workspace_of(request), "channel"))

    @post("/channels", summary="Add a channel", status_code=201, opt=WRITE)
    async def add_channel(self, request: Request[Any, Any, Any], data: JSONBody[NewWord]) -> Response[Published]:
        """Add a channel of the workspace's own. 409 says that there is one of this name."""
        return await _add(request, "channel", data)

    @delete("/channels/{name:str}", summary="Remove a channel", status_code=200, opt=WRITE)
    async def remove_channel(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Published]:
        """Remove a channel of the workspace's own. 409 says who uses it, or that it is a usual one."""
        return await _remove(request, "channel", name)

    @get("/source-types", summary="What may set interactions off", opt=READ)
    async def source_types(self, request: Request[Any, Any, Any]) -> SourceTypes:
        """Return the usual source types and the workspace's own."""
        return SourceTypes(_words(workspace_of(request), "source_type"))

    @post("/source-types", summary="Add a source type", status_code=201, opt=WRITE)
    async def add_source_type(self, request: Request[Any, Any, Any], data: JSONBody[NewWord]) -> Response[Published]:
        """Add a source type of the workspace's own. 409 says that there is one of this name."""
        return await _add(request, "source_type", data)

    @delete("/source-types/{name:str}", summary="Remove a source type", status_code=200, opt=WRITE)
    async def remove_source_type(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Published]:
        """Remove a source type of the workspace's own. 409 says who uses it, or that it is a usual one."""
        return await _remove(request, "source_type", name)


def _own(workspace: Workspace, field: str) -> dict[str, str]:
    return workspace.settings.channels if field == "channel" else workspace.settings.source_types


def _titles(workspace: Workspace, field: str) -> dict[str, str]:
    of = words.channels_of if field == "channel" else words.source_types_of
    return of(workspace.settings)


def _with_word(workspace: Workspace, field: str, name: str) -> list[InteractionDefinition]:
    return [one for one in workspace.interactions.values() if getattr(one, field) == name and not is_archived(one)]


def _words(workspace: Workspace, field: str) -> list[Word]:
    own: Collection[str] = _own(workspace, field)
    return [
        Word(name, title, name in own, len(_with_word(workspace, field, name)))
        for name, title in _titles(workspace, field).items()
    ]


async def _add(request: Request[Any, Any, Any], field: str, word: NewWord) -> Response[Published]:
    async with publishing(request):
        workspace = workspace_of(request)
        if word.name in _titles(workspace, field):
            said = f"there is a {field.replace('_', ' ')} {shown(word.name)} already"
            raise HTTPException(status_code=CONFLICT, detail=said)
        changed = dump(workspace.settings) | {f"{field}s": _own(workspace, field) | {word.name: word.title}}
        errors, warnings = await host_of(request).publish([changed])
    errors = [msgspec.structs.replace(problem, pointer="/name") for problem in errors]
    return Response(published(errors, of_one(warnings)), status_code=400 if errors else 201)


async def _remove(request: Request[Any, Any, Any], field: str, name: str) -> Response[Published]:
    what = field.replace("_", " ")
    async with publishing(request):
        workspace = workspace_of(request)
        own = _own(workspace, field)
        if name not in own:
            if name in _titles(workspace, field):
                detail = f"{shown(name)} is one of the usual {what}s and stays"
                raise HTTPException(status_code=CONFLICT, detail=detail)
            hint = did_you_mean(name, own)
            said = f"there is no {what} {shown(name)}"
            raise NotFoundException(detail=f"{said} ({hint})" if hint else said)
        if rows := [
            UseRow("interaction", one.name, one.title, f"/{field}", True) for one in _with_word(workspace, field, name)
        ]:
            raise HTTPException(
                status_code=CONFLICT,
                detail=f"the {what} {shown(name)} is used by {sentence_of(rows)}",
                extra=[msgspec.to_builtins(row) for row in rows[:MOST_PROBLEMS]],
            )
        left = {word: title for word, title in own.items() if word != name}
        errors, warnings = await host_of(request).publish([dump(workspace.settings) | {f"{field}s": left}])
    return Response(published(of_one(errors), of_one(warnings)), status_code=400 if errors else 200)
