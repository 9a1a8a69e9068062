"""Packs: definitions that come ready-made, to be switched on and off together.

What a pack has become in a workspace is read off by comparison, nothing is remembered of it: a definition of the pack
is missing, in force as the pack has it, changed by somebody, or archived. Switching a pack on adds what is missing and
restores what was archived unchanged; switching it off archives what nobody changed and nothing uses. What somebody
changed is theirs, and left alone both times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Name
from parcours.definitions.findings import Use
from parcours.definitions.load import Source, load_data, read
from parcours.definitions.references import uses
from parcours.definitions.validate import convert
from parcours.definitions.workspace import AnyDefinition, Key, Workspace, is_archived, key_of
from parcours.errors import InvalidDefinitionError, Problem

State = Literal["on", "partly", "off"]
"""Whether a pack is switched on: all of it, some of it, nothing of it. What somebody changed does not count."""

PartState = Literal["missing", "on", "changed", "archived"]
"""What became of one definition of a pack."""


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """Definitions that belong together."""

    name: str
    title: str
    description: str
    version: str
    definitions: tuple[AnyDefinition, ...]


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A definition of a pack that was left as it is, and why."""

    key: Key
    why: Literal["changed", "used"]
    users: tuple[Key, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What switching a pack on or off comes to."""

    publish: tuple[AnyDefinition, ...]
    left: tuple[Left, ...]


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pack"):
    name: Name
    title: str
    description: str
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+$", description="two numbers, such as '1.0'")]


def read_pack(source: Source) -> Pack:
    """Return the pack in a text: a document of the kind `pack` that says what it is, then its definitions.

    Raises:
        InvalidDefinitionError: It cannot be read, or a definition of it is wrong.
    """
    located, problems = read(source)
    if problems:
        raise InvalidDefinitionError(problems)
    first = located[0].definition if located else None
    head, problems = convert(first, _Head)
    if head is None:
        raise InvalidDefinitionError(msgspec.structs.replace(problem, file=source.name) for problem in problems)
    workspace, errors, _ = load_data([one.definition for one in located[1:]])
    if errors:
        raise InvalidDefinitionError(
            Problem(code=one.code, message=f"{one.pointer}: {one.message}", file=source.name, hint=one.hint)
            for one in errors
        )
    return Pack(
        name=head.name,
        title=head.title,
        description=head.description,
        version=head.version,
        definitions=tuple(workspace.all()),
    )


def parts_of(pack: Pack, workspace: Workspace) -> dict[Key, PartState]:
    """Return what became of each definition of a pack in a workspace."""
    return {key_of(definition): _part(definition, workspace) for definition in pack.definitions}


def state_of(parts: Mapping[Key, PartState]) -> State:
    """Return whether a pack is switched on, given what became of its definitions."""
    ours = [state for state in parts.values() if state != "changed"]
    if all(state == "on" for state in ours):
        return "on"
    return "partly" if "on" in ours else "off"


def enable(pack: Pack, workspace: Workspace) -> Step:
    """Return what switches a pack on: what is missing is added, and what was archived unchanged is restored."""
    parts = parts_of(pack, workspace)
    publish = [one for one in pack.definitions if parts[key_of(one)] in {"missing", "archived"}]
    return Step(publish=tuple(publish), left=_changed(parts))


def disable(pack: Pack, workspace: Workspace) -> Step:
    """Return what switches a pack off: what is as the pack has it is archived, unless something in use refers to it."""
    parts = parts_of(pack, workspace)
    archived = {key_of(one): one for one in pack.definitions if parts[key_of(one)] == "on"}
    users = _users(uses(workspace))
    kept: dict[Key, tuple[Key, ...]] = {}
    while found := {key: others for key in archived if (others := _outside(users.get(key, ()), archived))}:
        kept |= found  # what these refer to is then used by something that stays
        archived = {key: one for key, one in archived.items() if key not in found}
    used = tuple(Left(key=key, why="used", users=kept[key]) for key in parts if key in kept)
    return Step(publish=tuple(map(put_away, archived.values())), left=_changed(parts) + used)


def put_away(definition: AnyDefinition, *, archived: bool = True) -> AnyDefinition:
    """Return a definition archived, or restored. What cannot be archived is returned as it is."""
    return msgspec.structs.replace(definition, archived=archived) if isinstance(definition, Archivable) else definition


def _part(definition: AnyDefinition, workspace: Workspace) -> PartState:
    found = workspace.get(*key_of(definition))
    if found is None:
        return "missing"
    if put_away(found, archived=False) != definition:
        return "changed"
    return "archived" if is_archived(found) else "on"


def _changed(parts: Mapping[Key, PartState]) -> tuple[Left, ...]:
    return tuple(Left(key=key, why="changed") for key, state in parts.items() if state == "changed")


def _users(found: Iterable[Use]) -> dict[Key, list[Key]]:
    users: dict[Key, list[Key]] = {}
    for use in found:
        if use.active and use.user not in users.setdefault(use.used, []):
            users[use.used].append(use.user)
    return users


def _outside(users: Iterable[Key], archived: Mapping[Key, AnyDefinition]) -> tuple[Key, ...]:
    return tuple(user for user in users if user not in archived)
