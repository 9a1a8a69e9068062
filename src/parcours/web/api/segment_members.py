"""Contacts by the numbers that the analytics answer with: read in slices, and shown as rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from litestar.exceptions import HTTPException

from parcours.core.contact import Contact
from parcours.core.ids import contact_from_number, contact_number
from parcours.runtimes.embedded import Embedded
from parcours.web.api.people import place_in
from parcours.web.api.search import is_there

SLICE = 500
"""Contacts of an export that are read in one turn."""

MOST_HELD = 50_000
"""Members of a segment up to which an export asks the store for each; of more, it goes through everybody."""


class Row(msgspec.Struct):
    """A contact in a segment."""

    id: str
    identities: list[tuple[str, str]]
    attributes: dict[str, Any]


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


async def rows_of(host: Embedded, numbers: Sequence[int]) -> list[Row]:
    """Return contacts by their numbers, but for those that went meanwhile."""
    return [row async for rows in rows_in_slices(host, numbers) for row in rows]


async def rows_in_slices(host: Embedded, numbers: Sequence[int]) -> AsyncIterator[list[Row]]:
    """Yield contacts by their numbers, which are in any order if they are few, else sorted."""
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
