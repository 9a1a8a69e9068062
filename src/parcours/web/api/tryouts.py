"""A test of a journey that somebody begins by hand: what it takes, and what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from litestar.exceptions import HTTPException

from parcours.core.checks import nesting_problem
from parcours.core.codec import UNENCODABLE, encode
from parcours.core.effects import TEST, Trace, What
from parcours.definitions.journey import MOST_TESTERS
from parcours.errors import Problem
from parcours.runtimes.embedded import Embedded
from parcours.sources.plain import refuse_unstorable
from parcours.sources.segment import MalformedError
from parcours.web.api.common import as_object
from parcours.web.api.people import find, iso

CONFLICT = 409


class NewTest(msgspec.Struct, forbid_unknown_fields=True):
    """A test that is to begin."""

    contacts: Annotated[list[dict[str, str]], msgspec.Meta(min_length=1, max_length=MOST_TESTERS)]
    """One identity each."""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    """What stands for those of the interaction that starts a run."""
    seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0
    """How long to wait for the runs to end before answering."""


class TestRow(msgspec.Struct):
    """What happened to one contact so far."""

    contact: str
    run: str
    """Empty when none began: the trace says why."""
    ended: bool
    trace: list[dict[str, Any]]


class Tests(msgspec.Struct):
    """Tests that began, each with its trace so far."""

    tests: list[TestRow]


async def try_out(host: Embedded, name: str, data: NewTest) -> Tests:
    """Let contacts begin a test of a journey, and return what happened so far.

    Raises:
        HTTPException: The journey stands still, or what was sent is not what it takes.
    """
    if host.engine.plan.states[name] in {"paused", "archived"}:
        detail = f"the journey {name!r} is {host.engine.plan.states[name]}: nothing of it moves"
        raise HTTPException(status_code=CONFLICT, detail=detail)
    _refuse_unstorable(data.attributes)
    async with host.turn:
        people = {find(host, _one_identity(one, place)).id: None for place, one in enumerate(data.contacts)}
    runs = await host.try_out(name, list(people), data.attributes)
    until = time.monotonic() + data.seconds
    while time.monotonic() < until:
        async with host.turn:
            if not _under_way(host, name, runs):
                break
        await asyncio.sleep(0.1)
    rows = []
    for contact in [*runs, *(one for one in people if one not in runs)]:
        # Others have their turn between them: it takes a while to read what happened to a hundred.
        async with host.turn:
            run = runs.get(contact)
            rows.append(_refused_row(host, contact, name) if run is None else _test_row(host, contact, run))
    return Tests(rows)


def _under_way(host: Embedded, journey: str, runs: Mapping[str, str]) -> bool:
    """Return whether any of the runs of contacts has not ended."""
    host.engine.catch_up()
    states = host.store.contacts(runs)
    return any(contact in states and run in states[contact].runs.get(journey, {}) for contact, run in runs.items())


def _test_row(host: Embedded, contact: str, run: str) -> TestRow:
    moments = reversed(host.store.trace(contact, _MOMENTS))
    entries = [entry for _, made in moments for entry in made if entry.run == run]
    ended = any(entry.what == What.ENDED for entry in entries)
    return TestRow(contact, run, ended, _told(entries))


def _refused_row(host: Embedded, contact: str, journey: str) -> TestRow:
    """Return why a contact could not begin a test: the newest refusal."""
    for _, made in host.store.trace(contact, _MOMENTS):
        refused = [one for one in made if one.what == What.REFUSED and one.journey == journey and TEST in one.run]
        if refused:
            return TestRow(contact, "", ended=True, trace=_told(refused))
    return TestRow(contact, "", ended=True, trace=[])


def _told(entries: Iterable[Trace]) -> list[dict[str, Any]]:
    return [as_object(entry) | {"time": iso(entry.at)} for entry in entries]


_MOMENTS = 1_000
"""Moments of a contact that are looked through for a test."""


def _refuse_unstorable(attributes: dict[str, Any]) -> None:
    """Refuse attributes that no interaction could have.

    Raises:
        HTTPException: There are some, as it says.
    """
    problem = nesting_problem(attributes) or _unstorable(attributes)
    if problem is None:
        return
    problem = msgspec.structs.replace(problem, pointer=f"/attributes{problem.pointer.removeprefix('/attributes')}")
    raise HTTPException(status_code=400, detail=str(problem), extra=msgspec.to_builtins(problem))


def _unstorable(attributes: dict[str, Any]) -> Problem | None:
    try:
        refuse_unstorable(attributes)
        encode(attributes)
    except MalformedError as error:
        return error.problem
    except UNENCODABLE as error:
        return Problem(code="unstorable_value", message=f"a value cannot be kept: {error}")
    return None


def _one_identity(contact: dict[str, str], place: int) -> str:
    if len(contact) != 1:
        message, hint = f"it takes one identity each, not {len(contact)}", 'write for example {"user_id": "42"}'
        extra = {"code": "invalid_value", "message": message, "pointer": f"/contacts/{place}", "hint": hint}
        raise HTTPException(status_code=400, detail=f"/contacts/{place}: {message} ({hint})", extra=extra)
    return ":".join(*contact.items())
