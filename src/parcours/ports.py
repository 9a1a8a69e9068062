"""The outside, on one page: what the engine asks of a store, a clock and a channel.

A store is held to `parcours.testing.StoreConformance`; a channel to the errors it may raise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from parcours.core.codec import decode_input, encode
from parcours.core.contact import Contact
from parcours.core.effects import Entry, Message, Trace
from parcours.core.inputs import Erased, Input, Publish, WorkspaceInput

Identity = tuple[str, str]
"""A namespace and a value, such as `("user_id", "42")`."""


class Record(msgspec.Struct, array_like=True):
    """One row of the log. `contact` is empty for what concerns no contact.

    `key` is `core.ids.message_key` of the input's source and message id; `body` is what `core.codec` encodes.
    """

    position: int
    contact: str
    key: bytes
    body: bytes

    def input(self) -> Input | WorkspaceInput:
        """Return what the row holds."""
        return decode_input(self.body)


def erased_record(record: Record) -> Record:
    """Return what is left of a record of an erased contact: that there was one, its contact and its key."""
    item = record.input()
    left = Erased(position=record.position, received_at=item.received_at, occurred_at=item.received_at)
    return Record(record.position, record.contact, record.key, encode(left))


def redacted_record(record: Record) -> Record:
    """Return what is left of a record whose time to be kept is over: as of an erased one, and the contact's identities."""
    item = record.input()
    left = Erased(
        position=record.position,
        received_at=item.received_at,
        occurred_at=item.occurred_at,
        identities=getattr(item, "identities", []),
    )
    return Record(record.position, record.contact, record.key, encode(left))


class Pending(msgspec.Struct, array_like=True):
    """A message in the outbox: what is to be sent, and how often that was tried. `sequence` is its place in line."""

    sequence: int
    message: Message
    attempts: int = 0
    due: int = 0
    """Not before this instant (real time, milliseconds)."""
    error: str = ""


class Posted(msgspec.Struct, array_like=True):
    """A message in the outbox, sent or not."""

    sequence: int
    message: Message
    state: str
    """`pending`, `sent` or `failed`."""
    attempts: int
    error: str


class Moment(msgspec.Struct, array_like=True):
    """Something in the life of a contact: an input with what was decided at it, or what timers did after it."""

    position: int
    """Of the input; of the contact's latest input before the timers fired."""
    row: int
    """0 for an input; for timers the place of their trace among all."""
    record: Record | None
    trace: list[Trace]


class Posting(msgspec.Struct, array_like=True):
    """An entry of the ledger, and its place among all entries."""

    place: int
    entry: Entry


class Total(msgspec.Struct, array_like=True, frozen=True):
    """What entries of the ledger come to."""

    entries: int
    amount: int
    held: int


class Tombstone(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of an identity whose contact was erased, under its `core.ids.identity_key`."""

    erased_at: int
    suppressed: bool
    """Whether nothing more is taken under this identity, rather than nothing from before the erasure."""


class Settlement(msgspec.Struct):
    """What became of a try to send."""

    sequence: int
    state: str
    """`sent`, `failed` (for good), or `pending` (to be tried again)."""
    attempts: int
    due: int = 0
    error: str = ""


Statistic = tuple[str, int, str, str, str]
"""Journey, version, step, what happened, reason."""


LedgerDay = tuple[str, int, str]
"""Programme, day in its zone (20261231), kind of entry."""


class Changes(msgspec.Struct):
    """Everything one micro-batch changes. A store commits it as a whole, durably, or not at all."""

    records: list[Record] = msgspec.field(default_factory=list)
    identities: dict[Identity, str] = msgspec.field(default_factory=dict)
    contacts: dict[str, Contact] = msgspec.field(default_factory=dict)
    unlogged: set[str] = msgspec.field(default_factory=set)
    """Those of them that changed behind their newest record, as by a timer: the log cannot bring that back."""
    messages: list[Message] = msgspec.field(default_factory=list)
    traces: list[tuple[str, int, list[Trace]]] = msgspec.field(default_factory=list)
    """Contact, log position of the input that made it, and the entries.

    For what timers made, minus the position of the newest record before: 0 for a timer ahead of everything."""
    statistics: dict[Statistic, int] = msgspec.field(default_factory=dict)
    """How much to add to each count."""
    ledger: list[Entry] = msgspec.field(default_factory=list)
    """Entries of members, in order. They are counted by day as well, those of erased contacts too."""
    settlements: list[Settlement] = msgspec.field(default_factory=list)
    marks: dict[str, str | None] = msgspec.field(default_factory=dict)
    """Small facts by name that outlive the process, such as how far a segment has been read; None removes one."""
    items: dict[tuple[str, str], dict[str, Any] | None] = msgspec.field(default_factory=dict)
    """Catalogue and item id to the item's attributes, or to None when it is taken out."""
    knowledge: dict[str, bytes] = msgspec.field(default_factory=dict)
    """What was learned of attributes, by kind of interaction; `core.learned` encodes it."""
    erased: list[str] = msgspec.field(default_factory=list)
    """Contacts of whom nothing is kept: their records become `Erased`; traces, messages, entries and identities go.

    Unsent messages are counted as `cancelled` from then on."""
    redacted: list[int] = msgspec.field(default_factory=list)
    """Positions of records that become `Erased`, for the time they are kept is over."""
    tombstones: dict[bytes, Tombstone] = msgspec.field(default_factory=dict)
    passing: bool = False
    """Whether its contacts pass by one after the other, so that there is no use in keeping them at hand."""


class Store(Protocol):
    """Where the log and the state live. Used from one thread at a time.

    Contacts that were handed out belong to the caller until the next `commit` or `forget`: they may be changed, and
    are only kept if they are committed.
    """

    def last_position(self) -> int:
        """Return the position of the newest record, 0 for an empty log."""
        ...

    def last_received_at(self) -> int:
        """Return the newest instant the store has seen committed, 0 for an empty store."""
        ...

    def seen(self, keys: Collection[bytes]) -> set[bytes]:
        """Return those keys (`core.ids.message_key`) whose record is in the log."""
        ...

    def position_of(self, key: bytes) -> int:
        """Return the position of the record with a key (`core.ids.message_key`), 0 for none."""
        ...

    def resolve(self, identities: Collection[Identity]) -> dict[Identity, str]:
        """Return the contact of each identity that has one."""
        ...

    def contacts(self, ids: Collection[str]) -> dict[str, Contact]:
        """Return the contacts that exist, by id."""
        ...

    def write(self, changes: Changes) -> None:
        """Begin to keep everything in `changes`: `finish` makes it durable, and has to be called next.

        More may be written before that, about other contacts: it becomes durable together, or not at all.

        Raises:
            StoreError: Nothing was kept, also of what was written before, and there is nothing to finish.
        """
        ...

    def finish(self) -> None:
        """Make what was written durable.

        May be called from another thread, while this one does not use the store but to read what was committed before:
        `log` and the methods below it, but for `scan` and `ids`.

        Raises:
            StoreError: Nothing was kept.
        """
        ...

    def commit(self, changes: Changes) -> None:
        """Keep everything in `changes`, durably, or nothing: `write` and `finish`.

        Raises:
            StoreError: Nothing was kept.
        """
        ...

    def forget(self) -> None:
        """Drop contacts that were handed out and changed, but not committed, and what was written and not finished."""
        ...

    @property
    def stale(self) -> bool:
        """Whether `unfolded` has to be folded and given to `restore` before contacts are asked for.

        A store may write states behind the log; after a start, and after something was dropped, it then lacks the
        newest. One that does not is never stale.
        """
        ...

    def unfolded(self) -> Iterator[Record]:
        """Yield the records that states lack, in order. All were folded with the plan now in force."""
        ...

    def restore(self, contacts: Mapping[str, Contact]) -> None:
        """Take the contacts that `unfolded` was folded into: all of them, and nothing follows from it."""
        ...

    def flush(self) -> None:
        """Write what is behind.

        Raises:
            StoreError: It is not written; nothing is lost.
        """
        ...

    def log(self, after: int = 0, limit: int = 1_000) -> list[Record]:
        """Return up to `limit` records behind a position, in order."""
        ...

    def record(self, position: int) -> Record | None:
        """Return one record."""
        ...

    def decided(self, position: int) -> list[Trace]:
        """Return what was decided at the input at a position, in order."""
        ...

    def history(self, contact: str, limit: int = 1_000) -> list[Record]:
        """Return a contact's newest records, newest first."""
        ...

    def trace(self, contact: str, limit: int = 1_000) -> list[tuple[int, list[Trace]]]:
        """Return a contact's newest traces, newest first, each with the position of its input (0 for a timer)."""
        ...

    def timeline(self, contact: str, limit: int = 100, before: tuple[int, int] | None = None) -> list[Moment]:
        """Return up to `limit` moments of a contact, newest first, whose `(position, row)` is smaller than `before`."""
        ...

    def posted(self, contact: str, limit: int = 1_000, before: int = 0) -> list[Posted]:
        """Return a contact's newest messages, newest first; with `before`, those of a smaller sequence."""
        ...

    def outbox(self, after: int = 0, limit: int = 1_000) -> list[Posted]:
        """Return up to `limit` messages of all contacts whose sequence is behind `after`, in that order, sent or not."""
        ...

    def fired(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, str]]:
        """Return up to `limit` times that something was traced apart from an input: a number and the contact.

        Timers fired then, or the contact was brought up to a plan. The numbers only grow; those behind `after` are
        returned, in order.
        """
        ...

    def ledger(self, contact: str, limit: int = 1_000, before: int = 0) -> list[Posting]:
        """Return a contact's newest entries of the ledger, newest first; with `before`, those of a smaller place."""
        ...

    def booked(self, position: int) -> list[Entry]:
        """Return the entries of the ledger that the input at a position made, in order."""
        ...

    def last_entry(self) -> int:
        """Return the place of the newest entry of the ledger, 0 for none: entries that follow have larger ones."""
        ...

    def ledger_days(self) -> Mapping[LedgerDay, Total]:
        """Return what the entries of each programme, day and kind come to."""
        ...

    def items(self, catalogue: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the items of a catalogue that exist, by id."""
        ...

    def scan_items(self, catalogue: str, after: str = "", limit: int = 1_000) -> list[tuple[str, dict[str, Any]]]:
        """Return up to `limit` items of a catalogue whose id is behind `after`, in the order of ids (by code point)."""
        ...

    def knowledge(self) -> Mapping[str, bytes]:
        """Return everything that was learned of attributes."""
        ...

    def tombstones(self) -> Mapping[bytes, Tombstone]:
        """Return what is kept of the identities of erased contacts."""
        ...

    def publications(self, after: int = 0) -> list[Publish]:
        """Return every publication in the log behind a position, in order."""
        ...

    def scan(self, after: str = "", limit: int = 1_000) -> list[Contact]:
        """Return up to `limit` contacts whose id is behind `after`, in the order of ids."""
        ...

    def ids(self, after: str = "", limit: int = 1_000) -> list[str]:
        """Return the ids of up to `limit` contacts that are behind `after`, in order."""
        ...

    def due_times(self) -> Iterator[tuple[int, str]]:
        """Yield `(instant of the first timer, contact)` of every contact that has a timer."""
        ...

    def pending(self, channel: str, after: int = 0, limit: int = 1_000, *, urgent: bool = False) -> list[Pending]:
        """Return up to `limit` unsent messages of a channel whose sequence is behind `after`, in that order.

        With `urgent`, only those whose priority is more than 0.
        """
        ...

    def outbox_counts(self) -> Mapping[tuple[str, str, str], int]:
        """Return how many messages there are by channel, message definition and state."""
        ...

    def statistics(self) -> Mapping[Statistic, int]:
        """Return every count."""
        ...

    def mark(self, name: str) -> str | None:
        """Return one small fact, None when there is none of this name; however many there are."""
        ...

    def marks(self) -> Mapping[str, str]:
        """Return every small fact."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return how many `records` and `contacts` there are."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Clock(Protocol):
    """Where the engine's time comes from."""

    follows_inputs: bool
    """Whether the time of each input moves the clock."""

    def now(self) -> int:
        """Return the present instant in milliseconds."""
        ...

    def observe(self, occurred_at: int) -> None:
        """Tell the clock of an input's time; only a clock that follows inputs heeds it."""
        ...

    def horizon(self) -> int:
        """Return the instant against which a sender's time is held to be in the future."""
        ...


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message made ready for a channel: rendered, addressed."""

    id: str
    """Stable: a repeat of the same id is the same message."""
    channel: str
    address: str
    content: Mapping[str, str]
    """Rendered fields, as `definitions.message.CHANNELS` names them."""
    private: tuple[str, ...] = ()
    """Texts in it that must not be told: whoever says something of the delivery blanks them."""


class KnownSecret(msgspec.Struct, frozen=True):
    """A secret that is set, but for its text."""

    name: str
    source: Literal["file", "variable"]
    problem: str = ""
    """Why it cannot be used."""
    hosts: tuple[str, ...] = ()
    """The only ones that it may be sent to, with or without a port: nowhere, if there are none; `*` is any."""


class Secrets(Protocol):
    """Texts that calls of other services carry, and that are kept nowhere: asked for when a call is made."""

    def names(self) -> Collection[str]:
        """Return the names of those that can be used."""
        ...

    def known(self) -> Sequence[KnownSecret]:
        """Return what is set, by name."""
        ...

    def hosts(self, name: str) -> Collection[str]:
        """Return the only hosts that a secret may be sent to, with or without a port; `*` is any."""
        ...

    def value(self, name: str) -> str:
        """Return the text of a secret.

        Raises:
            PermanentFailureError: There is none of this name.
            TemporaryFailureError: It cannot be read now.
        """
        ...


class Answer(msgspec.Struct, frozen=True):
    """What a service answered that was called."""

    status: int
    body: Any = None


class Channel(Protocol):
    """A provider that takes messages of one channel. Used from one event loop, many sends at a time."""

    async def send(self, delivery: Delivery) -> Answer | None:
        """Hand a message over; returning means the provider has accepted it, with what it answered to a call.

        Raises:
            TemporaryFailureError: Trying again may work.
            PermanentFailureError: It never will.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
