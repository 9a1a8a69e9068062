"""What is recorded, person by person, read beside a service that runs: for backtests.

Who became part of somebody else is one person with them from the beginning. The file is only read, by a connection of
its own, as it was at one instant: what is committed meanwhile is not seen.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeGuard

from parcours.core.codec import decode_input
from parcours.core.ids import contact_from_number, contact_number
from parcours.core.inputs import Dissolve, Grant, Input, Publish, Stock, WorkspaceInput
from parcours.errors import StoreError
from parcours.ports import Store

EVERYTHING = 10**9

_POOL = "$pool/"
"""How the names of catalogues begin in which codes of rewards lie."""

_GRANT = b"\xa5grant"
_DISSOLVE = b"\xa8dissolve"
"""How the tags of these inputs are written, behind the one byte that says how many fields there are."""


class SqlitePast:
    """The past in the file of a `SqliteStore`.

    Raises:
        StoreError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
            # A sort of the whole log goes to the disk where memory does not do.
            self._db.execute("pragma cache_size = -65536")
            self._db.execute("begin")
            self._last: int = self._db.execute("select coalesce(max(position), 0) from log").fetchone()[0]
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {path.name}: {error}", hint="is this the folder?") from error

    def last_position(self) -> int:
        """Return the position of the newest record."""
        return self._last

    def publications(self) -> list[Publish]:
        """Return every publication, in order."""
        rows = self._db.execute("select body from log where contact is null order by position")
        return [item for (body,) in rows if isinstance(item := decode_input(body), Publish)]

    def issued(self) -> list[tuple[int, str]]:
        """Return when rewards were issued, and which, as far as that is recorded."""
        rows = self._db.execute(
            "select body from log where contact is not null and substr(body, 2, ?) = ?", (len(_GRANT), _GRANT)
        )
        return [(item.received_at, item.reward) for (body,) in rows if _is_issued(item := decode_input(body))]

    def filled(self) -> list[tuple[int, int, str, int]]:
        """Return when codes were put into pools, with the place in the log: of which reward, and how many."""
        rows = self._db.execute("select body from log where contact is null order by position")
        return [found for (body,) in rows if (found := _filled(decode_input(body))) is not None]

    def ever_issued(self, reward: str) -> int:
        """Return how many of a reward were ever issued, also to those who were erased."""
        row = self._db.execute("select value from mark where name = ?", (f"reward:{reward}",)).fetchone()
        return int(row[0]) if row is not None else 0

    def people(self, shard: int, shards: int) -> Iterator[tuple[str, list[Input]]]:
        """Yield each contact of a share of all of them, with its inputs in the order of the log."""
        self._db.execute("create temp table if not exists joined (number integer primary key, person integer not null)")
        self._db.execute("delete from joined")
        self._db.executemany("insert into joined values (?, ?)", self._joined())
        rows = self._db.execute(
            "select coalesce(person, contact) as whole, body from log left join joined on number = contact "
            "where contact is not null and whole % ? = ? order by whole, position",
            (shards, shard),
        )
        for number, of_one in groupby(rows, key=itemgetter(0)):
            yield contact_from_number(number), [decode_input(body) for _, body in of_one]  # type: ignore[misc]

    def _joined(self) -> list[tuple[int, int]]:
        """Return who became part of somebody else, each with the person it is part of in the end."""
        rows = self._db.execute(
            "select contact, body from log where contact is not null and substr(body, 2, ?) = ?",
            (len(_DISSOLVE), _DISSOLVE),
        )
        items = ((number, decode_input(body)) for number, body in rows)
        into = {number: contact_number(item.into) for number, item in items if isinstance(item, Dissolve)}
        found = []
        for number, person in into.items():
            while person in into:
                person = into[person]  # noqa: PLW2901 (one further on)
            found.append((number, person))
        return found

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()


class StorePast:
    """The past in any store, read through it: for tests, and for stores that have no way of their own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def last_position(self) -> int:
        """Return the position of the newest record."""
        return self._store.last_position()

    def publications(self) -> list[Publish]:
        """Return every publication, in order."""
        return self._store.publications()

    def issued(self) -> list[tuple[int, str]]:
        """Return when rewards were issued, and which, as far as that is recorded."""
        items = (record.input() for record in self._store.log(limit=EVERYTHING) if record.contact)
        return [(item.received_at, item.reward) for item in items if _is_issued(item)]

    def filled(self) -> list[tuple[int, int, str, int]]:
        """Return when codes were put into pools, with the place in the log: of which reward, and how many."""
        items = (record.input() for record in self._store.log(limit=EVERYTHING) if not record.contact)
        return [found for item in items if (found := _filled(item)) is not None]

    def ever_issued(self, reward: str) -> int:
        """Return how many of a reward were ever issued, also to those who were erased."""
        return int(self._store.mark(f"reward:{reward}") or "0")

    def people(self, shard: int, shards: int) -> Iterator[tuple[str, list[Input]]]:
        """Yield each contact of a share of all of them, with its inputs in the order of the log."""
        by_contact: dict[str, list[Input]] = {}
        into: dict[str, str] = {}
        for record in self._store.log(limit=EVERYTHING):
            if record.contact:
                item = record.input()
                by_contact.setdefault(record.contact, []).append(item)  # type: ignore[arg-type]
                if isinstance(item, Dissolve):
                    into[record.contact] = item.into
        whole: dict[str, list[Input]] = {}
        for contact, items in by_contact.items():
            while contact in into:
                contact = into[contact]  # noqa: PLW2901 (whom it became part of)
            whole.setdefault(contact, []).extend(items)
        for contact, items in whole.items():
            if int(contact, 16) % shards == shard:
                yield contact, sorted(items, key=_position)

    def close(self) -> None:
        """The store is its owner's to close."""


def _is_issued(item: Input | WorkspaceInput) -> TypeGuard[Grant]:
    return isinstance(item, Grant) and bool(item.code)


def _filled(item: Input | WorkspaceInput) -> tuple[int, int, str, int] | None:
    """Return when codes were put into the pool of a reward, or None when it is something else that changed."""
    if not isinstance(item, Stock) or not item.catalogue.startswith(_POOL):
        return None
    return item.received_at, item.position, item.catalogue.removeprefix(_POOL), len(item.items)


def _position(item: Input) -> int:
    return item.position
