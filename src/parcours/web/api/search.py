"""Contacts that somebody looks for: filters, and the walk through all contacts in slices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from litestar.exceptions import HTTPException

from parcours.conditions import ast
from parcours.conditions.needs import need_of, walk
from parcours.conditions.parse import parse_condition, shown
from parcours.conditions.text import describe
from parcours.conditions.to_python import compile_condition
from parcours.core.contact import Contact
from parcours.core.plan import Plan
from parcours.errors import Problem, did_you_mean
from parcours.runtimes.embedded import Embedded
from parcours.web.api.people import PATIENCE

SLICE = 1_000
"""Contacts that are looked at in one turn."""

MOST_FOUND = 1_000
"""Contacts in one answer."""

Filter = Callable[[Contact], bool]


async def contacts(host: Embedded, after: str = "") -> AsyncIterator[list[Contact]]:
    """Yield all contacts in slices, in the order of ids, but for those that were merged away or erased.

    The engine works on between two slices. A slice may be empty; its last contact is not always the last looked at.
    """
    async for found in _slices(host, after):
        yield [contact for contact in found if is_there(contact)]


def is_there(contact: Contact) -> bool:
    """Return whether a contact is somebody: neither part of another nor erased."""
    return not contact.merged_into and not contact.erased_at


async def _slices(host: Embedded, after: str) -> AsyncIterator[list[Contact]]:
    while True:
        async with host.turn:
            host.engine.catch_up()
            found = host.store.scan(after, SLICE)
        yield found
        if len(found) < SLICE:
            return
        after = found[-1].id
        await asyncio.sleep(0)


async def search(
    host: Embedded, filters: Sequence[Filter], limit: int, after: str = ""
) -> tuple[list[Contact], str | None, bool]:
    """Return up to `limit` contacts that pass all filters, in the order of ids.

    Beside them stands the id after which to go on (None at the end), and whether the answer is complete: it is not
    when so many contacts were looked at that the caller has to ask again for the rest.
    """
    end = time.monotonic() + PATIENCE
    rows: list[Contact] = []
    async for found in _slices(host, after):
        for contact in found:
            if is_there(contact) and all(test(contact) for test in filters):
                rows.append(contact)
                if len(rows) == limit:
                    return rows, contact.id, True
        if len(found) < SLICE:
            break
        if time.monotonic() > end:
            return rows, found[-1].id, False
    return rows, None, True


# --- filters ----------------------------------------------------------------------------------------------------------


def with_text(text: str) -> Filter:
    """Return the filter for contacts with a text in an identity or in an attribute that is text."""
    wanted = text.casefold()

    def test(contact: Contact) -> bool:
        return any(wanted in value.casefold() for _, value in contact.identities) or any(
            wanted in value.casefold() for value in contact.attributes.values() if isinstance(value, str)
        )

    return test


def with_attribute(written: str) -> Filter:
    """Return the filter for `name:value`: an attribute that is this text, number or boolean, or a list that has it.

    Raises:
        HTTPException: It is not written so.
    """
    name, colon, value = written.partition(":")
    if not colon or not name:
        detail = f"{shown(written)} is no attribute with a value: write city:Atlanta"
        raise HTTPException(status_code=400, detail=detail)
    accepted: list[Any] = [value]
    if value in {"true", "false"}:
        accepted.append(value == "true")
    number = _number(value)

    def same(found: object) -> bool:
        if isinstance(found, bool):
            return any(found is one for one in accepted)
        if isinstance(found, int | float):
            return number is not None and found == number
        return found == value

    def test(contact: Contact) -> bool:
        found = contact.attributes.get(name)
        return any(map(same, found)) if isinstance(found, list) else same(found)

    return test


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def on_list(plan: Plan, name: str) -> Filter:
    """Return the filter for the members of a list.

    Raises:
        HTTPException: There is no such list.
    """
    _known("list", name, plan.workspace.lists)

    def test(contact: Contact) -> bool:
        membership = contact.lists.get(name)
        return membership is not None and membership.member

    return test


def in_segment(plan: Plan, name: str, now: int) -> Filter:
    """Return the filter for those who are in a segment now.

    Raises:
        HTTPException: There is no such segment.
    """
    _known("segment", name, plan.segments)
    ask = compile_condition(plan.segments[name], plan.segments)
    return lambda contact: ask(contact, {}, now)


def that_satisfy(plan: Plan, condition: object, now: int) -> Filter:
    """Return the filter for those for whom a condition is true now.

    Raises:
        HTTPException: It cannot be read, or not be answered from what is kept of a contact.
    """
    node, problems = parse_condition(condition, "/condition")
    if node is not None:
        problems = list(_unanswerable(plan, node))
    if node is None or problems:
        raise HTTPException(
            status_code=400,
            detail=str(problems[0]) if problems else "there is no condition",
            extra=[_as_data(problem) for problem in problems],
        )
    ask = compile_condition(node, plan.segments)
    return lambda contact: ask(contact, {}, now)


def _as_data(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("code", "message", "pointer", "hint")}


def _unanswerable(plan: Plan, node: ast.Node) -> list[Problem]:
    """Return why a condition would be answered wrongly from what is kept of a contact."""
    problems = []
    for leaf in walk(node):
        if isinstance(leaf, ast.InSegment) and leaf.name not in plan.segments:
            hint = did_you_mean(leaf.name, plan.segments)
            problems.append(_problem("unknown_segment", f"there is no segment {shown(leaf.name)}", hint))
        elif isinstance(leaf, ast.Attribute) and leaf.subject is not ast.Subject.CONTACT:
            problems.append(_problem("no_interaction", "a search has no interaction to look at", "ask 'did' instead"))
        elif isinstance(leaf, ast.History | ast.Sequence | ast.MessageHistory) and leaf.window.since:
            problems.append(
                _problem("no_run", "a search has no run whose start could be meant", "ask 'within' instead")
            )
        elif (isinstance(leaf, ast.History | ast.Sequence) and not _remembered(plan, leaf)) or (
            isinstance(leaf, ast.MessageHistory) and not plan.remembers_messages
        ):
            message = f"{shown(describe(leaf))} is not counted, or not as far, so that nobody can tell"
            hint = "publish a segment with this condition: it counts from then on"
            problems.append(_problem("not_counted", message, hint))
    return problems


def _remembered(plan: Plan, leaf: ast.History | ast.Sequence) -> bool:
    need = need_of(leaf)
    known = plan.needs.get(need.id)
    if known is None or known.keep < need.keep:
        return False
    return known.span is None or (need.span is not None and known.span >= need.span)


def _problem(code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, pointer="/condition", hint=hint)


def _known(kind: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        hint = did_you_mean(name, known)
        detail = f"there is no {kind} {shown(name)}"
        raise HTTPException(status_code=400, detail=f"{detail} ({hint})" if hint else detail)
