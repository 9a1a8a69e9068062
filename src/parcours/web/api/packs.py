"""Packs over the API: ready-made definitions, switched on and off together."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from parcours.conditions.parse import shown
from parcours.definitions.load import Source, dump
from parcours.definitions.packs import Left, Pack, Step, disable, enable, parts_of, read_pack, state_of
from parcours.definitions.workspace import Key, Workspace, key_of
from parcours.errors import Problem, did_you_mean
from parcours.web.api.common import guard, host_of
from parcours.web.api.definitions import MOST_PROBLEMS, READ, WRITE, publishing, workspace_of


@lru_cache(maxsize=1)
def built_in() -> dict[str, Pack]:
    """Return the packs that come with parcours, by name."""
    folder = files("parcours") / "packs"
    found = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    packs = [read_pack(Source(item.name, item.read_text(encoding="utf-8"))) for item in found]
    return {pack.name: pack for pack in packs}


class PackRow(msgspec.Struct):
    """A pack, and what became of it here."""

    name: str
    title: str
    description: str
    version: str
    state: str
    """`on`, `partly` or `off`."""
    definitions: int


class PartRow(msgspec.Struct):
    """A definition of a pack, and what became of it here."""

    kind: str
    name: str
    state: str
    """`missing`, `on`, `changed` or `archived`."""
    definition: dict[str, Any]
    """As the pack has it."""


class PackView(msgspec.Struct):
    """A pack with its definitions."""

    name: str
    title: str
    description: str
    version: str
    state: str
    definitions: list[PartRow]


class Packs(msgspec.Struct):
    """All packs."""

    packs: list[PackRow]


class Named(msgspec.Struct):
    """A definition by kind and name."""

    kind: str
    name: str


class LeftRow(msgspec.Struct):
    """A definition that was left as it is, and why."""

    kind: str
    name: str
    why: str
    """`changed`: somebody did, and it is theirs. `used`: by `users`."""
    users: list[Named]


class Switched(msgspec.Struct):
    """What switching a pack on or off came to. With an error nothing was published."""

    published: bool
    state: str
    done: list[Named]
    """Added, restored or archived."""
    left: list[LeftRow]
    errors: list[Problem]
    warnings: list[Problem]


class PacksApi(Controller):
    """Packs of ready-made definitions."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/packs", summary="All packs", opt=READ)
    async def packs(self, request: Request[Any, Any, Any]) -> Packs:
        """Return every pack, and whether it is switched on."""
        workspace = workspace_of(request)
        return Packs(
            [
                PackRow(
                    pack.name,
                    pack.title,
                    pack.description,
                    pack.version,
                    state_of(parts_of(pack, workspace)),
                    len(pack.definitions),
                )
                for pack in built_in().values()
            ]
        )

    @get("/packs/{name:str}", summary="One pack", opt=READ)
    async def pack(self, request: Request[Any, Any, Any], name: FromPath[str]) -> PackView:
        """Return a pack with its definitions, and what became of each."""
        pack = _pack(name)
        parts = parts_of(pack, workspace_of(request))
        rows = [PartRow(key_of(one)[0], one.name, parts[key_of(one)], dump(one)) for one in pack.definitions]
        return PackView(pack.name, pack.title, pack.description, pack.version, state_of(parts), rows)

    @post("/packs/{name:str}/enable", summary="Switch a pack on", status_code=200, opt=WRITE)
    async def enable(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Switched]:
        """Publish what is not defined yet and restore what was archived; what somebody changed is left alone."""
        async with publishing(request):
            pack = _pack(name)
            return await _take(request, pack, enable(pack, workspace_of(request)))

    @post("/packs/{name:str}/disable", summary="Switch a pack off", status_code=200, opt=WRITE)
    async def disable(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Switched]:
        """Archive what nobody changed and nothing uses; the rest is left alone."""
        async with publishing(request):
            pack = _pack(name)
            return await _take(request, pack, disable(pack, workspace_of(request)))


def _pack(name: str) -> Pack:
    packs = built_in()
    if name not in packs:
        hint = did_you_mean(name, packs) or f"packs are {', '.join(packs)}"
        raise NotFoundException(detail=f"there is no pack {shown(name)} ({hint})")
    return packs[name]


async def _take(request: Request[Any, Any, Any], pack: Pack, step: Step) -> Response[Switched]:
    errors, warnings = await host_of(request).publish([dump(one) for one in step.publish])
    workspace = workspace_of(request)
    answer = Switched(
        not errors,
        state_of(parts_of(pack, workspace)),
        [] if errors else [Named(key_of(one)[0], one.name) for one in step.publish],
        [_left(workspace, left) for left in step.left],
        errors[:MOST_PROBLEMS],
        warnings[:MOST_PROBLEMS],
    )
    return Response(answer, status_code=400 if errors else 200)


def _left(workspace: Workspace, left: Left) -> LeftRow:
    named = _named(workspace, left.key)
    return LeftRow(named.kind, named.name, left.why, [_named(workspace, user) for user in left.users])


def _named(workspace: Workspace, key: Key) -> Named:
    found = workspace.get(*key)
    return Named(key[0], found.name if found is not None else key[1])
