"""Whether ledgers, balances, lots and the statement agree, to the point, for every member.

| what        | must be                                                                                         |
|-------------|-------------------------------------------------------------------------------------------------|
| `entry`     | what was there before it and what it adds: `balance`, `pending` and its number follow each other  |
| `balance`, `held`, `entries` | what a member has: the sums of the entries, and how many they are              |
| `lots`, `held_lots` | what lots hold: the balance, or nothing when it is below zero; what is held              |
| `transfer`  | nothing in sum: what one gave the other has                                                     |
| `day`       | what the statement has of a day and kind: the sum of these entries                                |
| `statement` | opening, and earned, less spent, expired and reversed, and adjusted and moved, is outstanding     |

Of contacts that were erased the statement alone knows, and nothing of theirs is left: where there is one, days may have
more than ledgers tell, but nothing in sum.

Members may be looked at while the service works on: each is held against its own ledger at one moment, and days against
the entries that were there when it began.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import structlog

from parcours.core.contact import Contact
from parcours.core.effects import Entry
from parcours.core.member import Member
from parcours.ports import LedgerDay, Posting, Store, Total
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.loyalty.statement import StatementDay, statement_of

MOST_SHOWN = 1_000
"""Differences that are told; all are counted."""

SLICE = 50
"""Contacts that are looked at in one turn of the service."""

EVERYTHING = 10**9

_log = structlog.get_logger(__name__)


class Difference(msgspec.Struct, kw_only=True):
    """Something that does not agree."""

    what: str
    programme: str
    contact: str = ""
    """Whose it is; empty for a day."""
    where: str = ""
    """The entry, the reference of a transfer, or the day and the kind of entry."""
    expected: int
    found: int


class ProgrammeChecked(msgspec.Struct, kw_only=True):
    """What the ledgers of a programme come to."""

    programme: str
    members: int = 0
    """Contacts that are or were members."""
    entries: int = 0
    balance: int = 0
    held: int = 0


class Reconciled(msgspec.Struct, kw_only=True):
    """What was looked at, and what does not agree."""

    contacts: int = 0
    erased: int = 0
    """How many of them were erased."""
    programmes: list[ProgrammeChecked] = msgspec.field(default_factory=list)
    total: int = 0
    """How many differences there are."""
    differences: list[Difference] = msgspec.field(default_factory=list)
    """The first of them."""

    @property
    def agrees(self) -> bool:
        """Whether everything agrees."""
        return not self.total


class Reconciling:
    """A look at every contact, one after the other.

    Args:
        days: The statement, when it begins.
        last: The place of the newest entry of the ledger then.
    """

    def __init__(self, days: Mapping[LedgerDay, Total], last: int) -> None:
        self._days = days
        self._last = last
        self._told: dict[LedgerDay, list[int]] = {}
        self._transfers: dict[tuple[str, str], int] = {}
        """Programme and reference to what is not matched yet."""
        self._erased_with: set[str] = set()
        self._programmes: dict[str, ProgrammeChecked] = {}
        self._found = Reconciled()

    def look(self, contact: Contact, postings: Sequence[Posting]) -> None:
        """Hold a contact against its ledger, newest entry first: all of both at one moment."""
        self._found.contacts += 1
        self._found.erased += bool(contact.erased_at)
        ledgers: dict[str, list[Entry]] = {name: [] for name in contact.loyalty}
        for posting in reversed(postings):
            ledgers.setdefault(posting.entry.programme, []).append(posting.entry)
            if posting.place <= self._last:
                self._count(posting.entry)
        for programme, entries in ledgers.items():
            member = contact.loyalty.get(programme)
            checked = self._programmes.setdefault(programme, ProgrammeChecked(programme=programme))
            checked.members += member is not None
            checked.entries += len(entries)
            for difference in _of_member(contact.id, programme, member, entries):
                self._tell(difference)
            if member is not None:
                checked.balance += member.balance
                checked.held += member.held

    def finish(self) -> Reconciled:
        """Hold the days against all entries, and return what was found."""
        sums: dict[str, Counter[str]] = {}
        erased = self._found.erased
        for place in sorted({*self._days, *self._told}):
            said, told = self._days.get(place, Total(0, 0, 0)), self._told.get(place, [0, 0, 0])
            sum_ = sums.setdefault(place[0], Counter())
            for name, found, expected in zip(
                ("entries", "amount", "held"), (said.entries, said.amount, said.held), told, strict=True
            ):
                gone = found - expected
                sum_[name] += gone
                # What the statement has beside is of contacts that were erased.
                if gone and (not erased or (name == "entries" and gone < 0)):
                    self._tell(_day_differs(place[0], f"{_day(place[1])} {place[2]} {name}", expected, found))
        for programme, gone_in_all in sums.items():
            for name in ("amount", "held") if erased else ():
                if gone_in_all[name]:
                    self._tell(_day_differs(programme, f"all days {name}", 0, gone_in_all[name]))
            for row in statement_of(self._days, programme):
                owed = _outstanding(row)
                if owed != row.outstanding:
                    difference = Difference(
                        what="statement", programme=programme, where=row.day, expected=owed, found=row.outstanding
                    )
                    self._tell(difference)
        if not erased:
            for (programme, reference), left in self._transfers.items():
                self._tell(Difference(what="transfer", programme=programme, where=reference, expected=0, found=left))
        self._found.programmes = [self._programmes[name] for name in sorted(self._programmes)]
        return self._found

    def _count(self, entry: Entry) -> None:
        told = self._told.setdefault((entry.programme, entry.day, entry.kind), [0, 0, 0])
        told[0] += 1
        told[1] += entry.amount
        told[2] += entry.held
        if entry.kind == "transferred":
            key = (entry.programme, entry.reference)
            left = self._transfers.pop(key, 0) + entry.amount
            if left:
                self._transfers[key] = left

    def _tell(self, difference: Difference) -> None:
        self._found.total += 1
        if len(self._found.differences) < MOST_SHOWN:
            self._found.differences.append(difference)


def _of_member(contact: str, programme: str, member: Member | None, entries: Sequence[Entry]) -> Iterator[Difference]:
    def differ(what: str, expected: int, found: int, where: str = "") -> Iterator[Difference]:
        if expected != found:
            yield Difference(
                what=what, programme=programme, contact=contact, where=where, expected=expected, found=found
            )

    number = before = waiting = 0
    for entry in entries:
        # From one to the next, so that a break is told once.
        yield from differ("entry", number + 1, entry.sequence, f"{entry.id} sequence")
        yield from differ("entry", before + entry.amount, entry.balance, f"{entry.id} balance")
        yield from differ("entry", waiting + entry.held, entry.pending, f"{entry.id} pending")
        number, before, waiting = entry.sequence, entry.balance, entry.pending
    balance, held = sum(entry.amount for entry in entries), sum(entry.held for entry in entries)
    if member is None:
        # Who became part of another, or was erased, has nothing.
        yield from differ("balance", balance, 0)
        yield from differ("held", held, 0)
        return
    yield from differ("balance", balance, member.balance)
    yield from differ("held", held, member.held)
    yield from differ("entries", len(entries), member.sequence)
    yield from differ("lots", max(0, member.balance), sum(lot.left for lot in member.lots if not lot.due))
    yield from differ("held_lots", member.held, sum(lot.left for lot in member.lots if lot.due))


def _day_differs(programme: str, where: str, expected: int, found: int) -> Difference:
    return Difference(what="day", programme=programme, where=where, expected=expected, found=found)


def _day(day: int) -> str:
    return f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}"


def _outstanding(row: StatementDay) -> int:
    gone = row.spent + row.expired + row.reversed
    return row.opening + row.opening_held + row.earned - gone + row.adjusted + row.moved


def reconcile(store: Store) -> Reconciled:
    """Look at everybody in a store that nobody else writes to meanwhile."""
    reconciling = Reconciling(store.ledger_days(), store.last_entry())
    after = ""
    while people := store.scan(after):
        for contact in people:
            reconciling.look(contact, store.ledger(contact.id, EVERYTHING))
        after = people[-1].id
    return reconciling.finish()


# --- in a running service ---------------------------------------------------------------------------------------------


class LedgerCheck(msgspec.Struct, kw_only=True):
    """A check of a running service, and how far it is."""

    id: str
    state: Literal["running", "done", "failed"] = "running"
    started_at: int
    result: Reconciled = msgspec.field(default_factory=Reconciled)
    """What was looked at so far; whole when it is done."""
    problem: str = ""


class LedgerChecks:
    """A companion of the host that checks the ledger when asked, in slices between all else. The latest is kept."""

    def __init__(self, host: Embedded) -> None:
        self._host = host
        self._task: asyncio.Task[None] | None = None
        self.latest: LedgerCheck | None = None

    async def start(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """End; a check under way is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def ask(self) -> LedgerCheck:
        """Begin a check, unless one is under way, and return it."""
        if self.latest is None or self.latest.state != "running":
            self.latest = LedgerCheck(id=secrets.token_hex(8), started_at=self._host.engine.clock.now())
            self._task = asyncio.create_task(self._run(self.latest), name="ledger_check")
        return self.latest

    async def _run(self, check: LedgerCheck) -> None:
        try:
            check.result = await self._look()
            check.state = "done"
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, who asked is told)
            check.state, check.problem = "failed", f"it failed: {type(error).__name__}"
            _log.exception("ledger_check_failed")
        if not check.result.agrees:
            _log.error("ledger_differs", differences=check.result.total)

    async def _look(self) -> Reconciled:
        store = self._host.store
        async with self._host.turn:
            self._host.engine.catch_up()
            reconciling = Reconciling(store.ledger_days(), store.last_entry())
        after: str | None = ""
        while after is not None:
            async with self._host.turn:
                self._host.engine.catch_up()
                people = store.scan(after, SLICE)
                for contact in people:
                    reconciling.look(contact, store.ledger(contact.id, EVERYTHING))
                after = people[-1].id if len(people) == SLICE else None
            await asyncio.sleep(0)
        return reconciling.finish()
