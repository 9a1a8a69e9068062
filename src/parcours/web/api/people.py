"""What the API says of people, shared by its controllers: who is meant, their timeline, and times people can read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import heapq
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
from litestar.exceptions import HTTPException, NotFoundException

from parcours.conditions.instants import brief
from parcours.conditions.parse import shown
from parcours.core import merge
from parcours.core.contact import Contact
from parcours.core.effects import Trace, What
from parcours.core.gate import Arrival, Asked, Learned
from parcours.core.ids import is_contact_id, message_key
from parcours.core.inputs import (
    Absorb,
    Adjust,
    Award,
    Dissolve,
    Enrol,
    Enter,
    Erase,
    Grant,
    Interaction,
    Leave,
    Reaction,
    Receive,
    Refund,
    Review,
    Spend,
    Transfer,
    Update,
    UseCoupon,
)
from parcours.core.repeats import is_repeat
from parcours.errors import Problem, StoreError
from parcours.ports import Identity, Moment, Posted, Store
from parcours.runtimes.embedded import Embedded, OverloadedError
from parcours.runtimes.engine import Accepted, Outcome, Refused
from parcours.sources.plain import identity_of, refuse_unstorable
from parcours.sources.segment import MalformedError
from parcours.web.api.common import as_object

SLICE = 200
"""Moments of a timeline that are read in one turn."""

PATIENCE = 2.0
"""Seconds after which what goes through many contacts or moments answers with what it has."""

SOURCE = "api"
"""The source of what comes in by the API; message ids are told apart by it."""

T = TypeVar("T")


class Place(NamedTuple):
    """Where a timeline goes on: behind this moment."""

    position: int
    row: int
    contact: str


def iso(instant: int) -> str:
    """Return an instant as ISO 8601 in UTC; nothing for one beyond the calendar."""
    try:
        return brief(instant)
    except OverflowError:
        return ""


def cursor_of(place: Sequence[int | str]) -> str:
    """Return a place as the text that a caller hands back to go on there."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_in(cursor: str, form: type[T]) -> T:
    """Return the place that a cursor stands for.

    Raises:
        HTTPException: It is none of ours.
    """
    try:
        found = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(found, type=form)
    except (ValueError, msgspec.DecodeError):
        raise HTTPException(status_code=400, detail="the cursor is none that was answered as 'next'") from None


# --- who is meant -----------------------------------------------------------------------------------------------------


def identity_in(reference: str) -> Identity:
    """Return the identity written `namespace:value`.

    Raises:
        HTTPException: It is none.
    """
    namespace, colon, value = reference.partition(":")
    try:
        if not colon:
            raise HTTPException(status_code=400, detail=f"{shown(reference)} is no identity: write user_id:VALUE")
        return identity_of(namespace, value, "")
    except MalformedError as error:
        raise HTTPException(status_code=400, detail=f"{shown(reference)}: {error.problem}") from None


def look_up(host: Embedded, reference: str) -> Contact | None:
    """Return who is meant by an id or an identity, or None; for one who became part of another, the other.

    Whoever was erased is returned as they are: empty. Whoever calls holds the host's turn.
    """
    store = host.store
    id_ = reference
    if ":" in reference:
        identity = identity_in(reference)
        id_ = store.resolve([identity]).get(identity, "")
    state = store.contacts([id_]).get(id_) if is_contact_id(id_) else None
    while state is not None and state.merged_into:
        state = store.contacts([state.merged_into]).get(state.merged_into)
    return state


def find(host: Embedded, reference: str) -> Contact:
    """Return who is meant by an id or an identity. Whoever calls holds the host's turn.

    Raises:
        HTTPException: 404, there is no such contact, or it was erased.
    """
    host.engine.catch_up()
    state = stone = None
    with contextlib.suppress(HTTPException):  # what is no identity is nobody's
        state = look_up(host, reference)
        if state is None and ":" in reference:
            stone = host.engine.tombstone(identity_in(reference))
    if stone is not None or (state is not None and state.erased_at):
        detail = f"the contact {shown(reference)} was erased"
        raise HTTPException(status_code=404, detail=detail, extra={"code": "erased"})
    if state is None:
        raise NotFoundException(detail=f"there is no contact {shown(reference)}: give an id, or user_id:VALUE")
    return state


def parts_of(store: Store, contact: Contact) -> list[str]:
    """Return the ids of a contact and of everyone who became part of it, and of them."""

    def merged(id_: str) -> list[str]:
        part = store.contacts([id_]).get(id_)
        return part.merged if part is not None else []

    return merge.parts_of(contact.id, merged)


# --- what is said of them ---------------------------------------------------------------------------------------------


def arrival_of(host: Embedded, contact: Contact, learned: Learned) -> Arrival:
    """Return what makes something known of a contact, now. Whoever calls holds the host's turn.

    It occurs at the present instant, so that it is refused, and makes nobody new, when the contact is erased meanwhile.
    """
    identities = tuple(contact.identities[:1])
    return Arrival(SOURCE, str(uuid.uuid4()), identities, learned, host.engine.clock.now())


async def submit(host: Embedded, arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Let arrivals come in.

    Raises:
        HTTPException: 503, nothing was kept.
    """
    try:
        return await host.submit(arrivals)
    except (OverloadedError, StoreError) as error:
        raise HTTPException(status_code=503, detail=str(error), headers={"Retry-After": "1"}) from None


async def learn(host: Embedded, reference: str, learned: Learned, fields: dict[str, Any]) -> Contact:
    """Let something become known of a contact, and return it as it is then. `fields` hold what the caller wrote.

    Raises:
        HTTPException: 400, it cannot be kept; 404, there is no such contact; 503, nothing was kept.
    """
    try:
        refuse_unstorable(fields)
    except MalformedError as error:
        raise refusal(error.problem) from None
    async with host.turn:
        arrival = arrival_of(host, find(host, reference), learned)
    (outcome,) = await submit(host, [arrival])
    problem = problem_of(outcome)
    if problem is not None:
        raise refusal(problem)
    async with host.turn:
        return find(host, reference)


async def ask_once(host: Embedded, arrival: Arrival) -> Outcome:
    """Let something that is asked come in; asked again under the same id, it is not done again.

    Raises:
        HTTPException: 503, nothing was kept; or it is refused.
    """
    (outcome,) = await submit(host, [arrival])
    if isinstance(outcome, Refused):
        raise refusal(outcome.problem)
    return outcome


def place_of(host: Embedded, arrival: Arrival, outcome: Outcome, contact: Contact) -> int:
    """Return the position of what was asked, now or before under this id; 0 when that was of somebody else, or another."""
    if isinstance(outcome, Accepted):
        return outcome.position
    store = host.store
    record = store.record(store.position_of(message_key(arrival.source, arrival.message_id)))
    if record is None or record.contact not in parts_of(store, contact):
        return 0
    asked, item = arrival.what, record.input()
    if not isinstance(asked, Asked):
        return record.position
    same = is_repeat(item, asked) and (not isinstance(item, Transfer) or _receives(store, asked.to, item.to))
    return record.position if same else 0


def _receives(store: Store, to: Identity | None, receiver: str) -> bool:
    """Return whether an identity is of who received points, or may be: it is not kept of who was erased since."""
    state = store.contacts([receiver]).get(receiver)
    while state is not None and state.merged_into:
        receiver = state.merged_into
        state = store.contacts([receiver]).get(receiver)
    if state is None or state.erased_at or to is None:
        return True
    return store.resolve([to]).get(to) == receiver


def problem_of(outcome: Outcome) -> Problem | None:
    """Return why an arrival was refused, with its pointer in the words of the API; None when it was not."""
    if not isinstance(outcome, Refused):
        return None
    pointer = outcome.problem.pointer
    if pointer == "/traits" or pointer.startswith("/traits/"):
        pointer = "/attributes" + pointer.removeprefix("/traits")
    return msgspec.structs.replace(outcome.problem, pointer=pointer)


def refusal(problem: Problem) -> HTTPException:
    """Return the answer that tells what is wrong with a request."""
    return HTTPException(status_code=400, detail=str(problem), extra=msgspec.to_builtins(problem))


# --- their timeline ---------------------------------------------------------------------------------------------------


class Decision(msgspec.Struct):
    """One decision."""

    at: int
    time: str
    what: str
    journey: str
    version: int
    run: str
    step: str
    reason: str
    detail: dict[str, Any] | None


class MessageRow(msgspec.Struct):
    """A message, and what has become of it."""

    id: str
    message: str
    version: int
    channel: str
    address: str
    journey: str
    run: str
    decided_at: int
    decided_time: str
    state: str
    """`pending`, `sent` or `failed`."""
    attempts: int
    error: str


class Entry(msgspec.Struct):
    """Something in somebody's life: an input with what was decided at it, or what timers decided after it."""

    kind: str
    """`interaction`, `update`, `reaction`, `merge`, `enter`, what is asked of a member (`enrol`, `leave`, `spend`,
    `transfer`, `receive`, `adjust`, `refund`), `reward`, `coupon`, `expired`, or `timer`."""
    at: int
    """When it was received, or the timer fired."""
    time: str
    contact: str
    """Whose it is: the contact's, or that of somebody who became part of it."""
    position: int
    """The place of the input in the log; of the one before, for a timer."""
    occurred_at: int | None
    occurred_time: str | None
    input: dict[str, Any] | None
    decisions: list[Decision]
    messages: list[MessageRow]
    """Those that were decided here."""


_KINDS = {
    Interaction: "interaction",
    Update: "update",
    Reaction: "reaction",
    Absorb: "merge",
    Dissolve: "merge",
    Enter: "enter",
    Erase: "erase",
    Enrol: "enrol",
    Leave: "leave",
    Spend: "spend",
    Transfer: "transfer",
    Receive: "receive",
    Adjust: "adjust",
    Refund: "refund",
    Review: "review",
    Award: "award",
    Grant: "reward",
    UseCoupon: "coupon",
}
OF_DECISIONS = {
    "points": (
        What.BOOKED,
        What.AWARDED,
        What.WITHHELD,
        What.DECLINED,
        What.REVIEWED,
        What.TIER,
        What.ENROLLED,
        What.RESIGNED,
    ),
    "rewards": (
        What.ISSUED,
        What.RESERVED,
        What.RELEASED,
        What.REDEEMED,
        What.REOPENED,
        What.VOIDED,
        What.LAPSED,
    ),
    "message": (What.SENT, What.SUPPRESSED, What.HELD, What.CANCELLED, What.UNDELIVERED),
    "step": (
        What.ENTERED,
        What.ARRIVED,
        What.BRANCHED,
        What.ENDED,
        What.PAUSED,
        What.RESUMED,
        What.MOVED,
    ),
}
"""Kinds of moments that are told by what was decided at them."""

FILTERS = (*dict.fromkeys([*_KINDS.values(), "expired", "timer"]), *OF_DECISIONS)
"""The kinds by which a timeline can be narrowed."""


def entry_of(contact: str, moment: Moment, *, whole: bool = False) -> Entry:
    """Return a moment for people. With `whole`, a merge shows the other as it was then; else its id alone."""
    decisions = [decision_of(entry) for entry in moment.trace]
    if moment.record is None:
        at = decisions[0].at if decisions else 0
        return Entry("timer", at, iso(at), contact, moment.position, None, None, None, decisions, [])
    item = moment.record.input()
    told = as_object(item)
    if isinstance(item, Absorb) and not whole:
        told["other"] = item.other.id
    kind = _KINDS.get(type(item), "expired")
    at, occurred_at = item.received_at, item.occurred_at
    return Entry(kind, at, iso(at), contact, moment.position, occurred_at, iso(occurred_at), told, decisions, [])


def decision_of(entry: Trace) -> Decision:
    """Return an entry of the trace for people."""
    return Decision(time=iso(entry.at), **{name: getattr(entry, name) for name in entry.__struct_fields__})


def message_row(posted: Posted) -> MessageRow:
    """Return a message for people."""
    message = posted.message
    return MessageRow(
        message.id,
        message.message,
        message.version,
        message.channel,
        message.address,
        message.journey,
        message.run,
        message.decided_at,
        iso(message.decided_at),
        posted.state,
        posted.attempts,
        posted.error,
    )


def is_of(entry: Entry, kinds: Sequence[str]) -> bool:
    """Return whether an entry is of one of the kinds; of any, when there is none."""
    if not kinds or entry.kind in kinds:
        return True
    wanted = {what for kind in kinds for what in OF_DECISIONS.get(kind, ())}
    return any(decision.what in wanted for decision in entry.decisions)


async def moments(
    host: Embedded, everyone: Sequence[str], before: Place | None = None
) -> AsyncIterator[list[tuple[str, Moment]]]:
    """Yield the moments of several contacts in slices, newest first; the engine works on between two slices."""
    while True:
        async with host.turn:
            host.engine.catch_up()
            found = _slice(host.store, everyone, before)
        if not found:
            return
        yield found
        contact, moment = found[-1]
        before = Place(moment.position, moment.row, contact)
        await asyncio.sleep(0)


def _slice(store: Store, everyone: Sequence[str], before: Place | None) -> list[tuple[str, Moment]]:
    def of(contact: str) -> list[tuple[Place, Moment]]:
        limit = None
        if before is not None:
            position, row, last = before
            # Two contacts may have moments of one place; they stand in the order of ids, the last first.
            limit = position, row + (contact < last)
        return [
            (Place(moment.position, moment.row, contact), moment) for moment in store.timeline(contact, SLICE, limit)
        ]

    merged = heapq.merge(*map(of, everyone), key=lambda pair: pair[0], reverse=True)
    return [(place.contact, moment) for place, moment in islice(merged, SLICE)]


async def page(
    host: Embedded,
    everyone: Sequence[str],
    limit: int,
    before: Place | None,
    pick: Callable[[str, Moment], T | None],
) -> tuple[list[T], Place | None]:
    """Return up to `limit` of what is picked from moments, newest first, and where to go on; None at the end.

    It stops after a while with what there is.
    """
    end = time.monotonic() + PATIENCE
    rows: list[T] = []
    async for found in moments(host, everyone, before):
        for contact, moment in found:
            row = pick(contact, moment)
            if row is not None:
                rows.append(row)
                if len(rows) == limit:
                    return rows, Place(moment.position, moment.row, contact)
        if time.monotonic() > end:
            return rows, Place(moment.position, moment.row, contact)
    return rows, None


def add_messages(store: Store, entries: Sequence[Entry]) -> None:
    """Put beside each decision to send the message it came to. Whoever calls holds the host's turn."""
    wanted: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        for decision in entry.decisions:
            if decision.what == What.SENT and decision.detail is not None:
                wanted.setdefault(entry.contact, {})[decision.detail["message_id"]] = entry
    for contact, places in wanted.items():
        before = 0
        while places and (found := store.posted(contact, SLICE, before)):
            for posted in found:
                if (place := places.pop(posted.message.id, None)) is not None:
                    place.messages.append(message_row(posted))
            before = found[-1].sequence
    for entry in entries:
        entry.messages.reverse()
