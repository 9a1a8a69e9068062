"""The analytics database: one DuckDB file that follows the log, exactly once.

Everything a slice of the log changes is committed in one transaction, and the position it reaches is part of it. So a
kill at any moment loses nothing and repeats nothing: the next slice begins where the last one that was kept ended. What
is in the file can be made again from the log at any time, but for the sizes that segments had (`segment_size`).

DuckDB leaves deleted values in its file. After an erasure the file is therefore written anew (`compact`).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import structlog

from parcours.analytics.members import Programmes
from parcours.analytics.model import CONTACTS, FIXED, Catalog, column_type, create_tables
from parcours.analytics.rows import Place, Rows, Rules, Slice, read_slice
from parcours.errors import StoreError
from parcours.ports import Store

FORMAT = 3
"""The version of the tables; a file of another version is made again from the log."""

SLICE = 20_000
"""Records of the log in one transaction."""

_OWN = """
create table if not exists progress (
    format integer not null, position bigint not null, key blob not null, dirty boolean not null,
    sequence bigint not null, fired bigint not null, revision bigint not null, swept varchar, as_of bigint not null);
create table if not exists catalog (body varchar not null);
create table if not exists kept (name varchar not null, position bigint not null);
create table if not exists segment_size (
    segment varchar not null, noted_at bigint not null, size bigint not null, position bigint not null)
"""

_OF_A_CONTACT = ("contacts", *(name for name in FIXED if name != "messages"))
"""Tables whose rows are replaced when a contact is touched."""

_log = structlog.get_logger(__name__)


class AnalyticsError(StoreError):
    """The analytics database could not do what was asked. What was acknowledged is not touched by that."""

    code = "analytics_failed"


class DuckdbAnalytics:
    """Columns of all contacts in one file. Used by one caller at a time, from any thread.

    Args:
        path: The file; it is made when it does not exist, and made again when it is of no use.
        memory: How much DuckDB may use, such as `512MB`; what does not fit goes to the disk.
        threads: How many threads it may use for one question.

    Raises:
        AnalyticsError: The file cannot be opened, or another process has it.
    """

    def __init__(self, path: Path, *, memory: str = "512MB", threads: int = 2) -> None:
        self._path = path
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "threads": threads,
            "temp_directory": str(path.with_suffix(".tmp")),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._new = path.with_suffix(".new")
        self.db = self._open()
        # What a kill left half-done. Only now, for the files are ours now.
        for left in (self._new, Path(f"{self._new}.wal")):
            left.unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(".tmp"), ignore_errors=True)
        self.place = Place()
        """Up to where everything is in the tables."""
        self.as_of = 0
        """The instant from which on what the tables tell of members holds: they are as they were then."""
        self.dirty = False
        """Whether what was erased may still be in the file."""
        self._key = b""
        self._kept: dict[str, int] = {}
        self._rules: Rules | None = None
        self._programmes = Programmes()
        with _failing():
            self._prepare()

    @property
    def catalog(self) -> Catalog:
        """Which column holds what."""
        return self._rows.catalog

    @property
    def position(self) -> int:
        """The place in the log up to which everything is in the tables."""
        return self.place.position

    @property
    def bytes(self) -> int:
        """How large the file is."""
        files = (self._path, Path(f"{self._path}.wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            return self._connect()
        except duckdb.Error as error:
            text = str(error)
            if "lock" in text:
                hint = "one data folder serves one process"
                raise AnalyticsError(f"another process has {self._path.name} open", hint=hint) from error
            if isinstance(error, duckdb.InvalidInputException | duckdb.ParserException) or not self._path.is_file():
                raise AnalyticsError(f"cannot open {self._path.name}: {text}") from error
        except OSError as error:
            raise AnalyticsError(f"cannot open {self._path.name}: {error.strerror}") from error
        _log.warning("analytics_unreadable", file=self._path.name, hint="it is made again from the log")
        self._remove()
        with _failing():
            return self._connect()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        db = duckdb.connect(str(self._path), config=self._config)
        self._protect()
        return db

    def _protect(self) -> None:
        """Let nobody else read the files."""
        for file in (self._path, Path(f"{self._path}.wal")):
            with contextlib.suppress(OSError):
                if file.stat().st_mode & 0o077:
                    file.chmod(0o600)

    def _remove(self) -> None:
        for file in (self._path, Path(f"{self._path}.wal")):
            file.unlink(missing_ok=True)

    def _prepare(self) -> None:
        with self._transaction():
            for statement in _OWN.split(";"):
                self.db.execute(statement)
        row = self.db.execute("select format from progress").fetchone()
        if row is None or row[0] != FORMAT:
            self.db.execute("drop table progress")
            self.db.execute(_OWN.split(";", maxsplit=1)[0])
            self.reset()
        else:
            self._load()

    def _load(self) -> None:
        """Take up what is in the file."""
        row = self.db.execute(
            "select position, sequence, fired, revision, swept, as_of, key, dirty from progress"
        ).fetchone()
        body = self.db.execute("select body from catalog").fetchone()
        assert row is not None  # noqa: S101 (both are written with the tables)
        assert body is not None  # noqa: S101 (the same)
        self.place = Place(*row[:5])
        self.as_of, self._key, self.dirty = row[5:]
        self._kept = dict(self.db.execute("select name, position from kept").fetchall())
        self._rows = Rows(msgspec.json.decode(body[0], type=Catalog))
        self._rules = None
        self._programmes = Programmes()

    def reset(self) -> None:
        """Begin again at the beginning of the log. The sizes of segments stay."""
        with _failing():
            own = {"progress", "catalog", "kept", "segment_size"}
            with self._transaction():
                names = [row[0] for row in self.db.execute("select table_name from duckdb_tables()").fetchall()]
                dropped = [name for name in names if name not in own]
                for name in dropped:
                    self.db.execute(f'drop table "{name}"')
                for name in ("progress", "catalog", "kept"):
                    self.db.execute(f"delete from {name}")
                catalog = Catalog()
                for statement in create_tables(catalog):
                    self.db.execute(statement)
                self.db.execute(
                    "insert into progress values (?, 0, ''::blob, ?, 0, 0, 0, null, 0)", [FORMAT, bool(dropped)]
                )
                self.db.execute("insert into catalog values (?)", [msgspec.json.encode(catalog).decode()])
            self._load()

    # --- following the log --------------------------------------------------------------------------------------------

    def follows(self, store: Store) -> bool:
        """Return whether the tables come from this store's log; if not, `reset`. Whoever calls may use the store.

        They do not when the log is a copy from before: it ends earlier, or something else stands where they end.
        """
        if self._rules is not None:
            return True
        if self.position:
            record = store.record(self.position)
            if record is None or record.key != self._key:
                return False
        self._rules = Rules(item for item in store.publications() if item.position <= self.position)
        return True

    def read(self, store: Store, limit: int = SLICE, until: int | None = None) -> Slice | None:
        """Return what comes next, or None when everything is here. Whoever calls may use the store.

        `until` is the position up to which everything is wanted: the end of the log, unless said.
        """
        self._programmes.follow(store)
        found = read_slice(
            store, self.place, limit, self._programmes.loyalty, store.last_position() if until is None else until
        )
        return found if found.upto != found.after or found.kept != self._kept else None

    def feed(self, found: Slice) -> None:
        """Take over a slice; one that was taken over before is left alone.

        Raises:
            AnalyticsError: Nothing of it was kept.
        """
        if found.after != self.place or self._rules is None:
            return
        try:
            with _failing(), self._transaction():
                self._feed(found, self._rules)
        except BaseException:
            self._load()
            raise
        self._kept = found.kept
        self.place, self.as_of = found.upto, max(found.as_of, self.as_of)
        if found.records:
            self._key = found.records[-1].key

    def _feed(self, found: Slice, rules: Rules) -> None:
        before = msgspec.json.encode(self.catalog)
        known = {table.name: set(_columns_of(self.catalog, scope)) for scope, table in self.catalog.tables.items()}
        tables = list(self._rows.tables(found, rules))
        after = msgspec.json.encode(self.catalog)
        if after != before:
            self._widen(known)
            self.db.execute("update catalog set body = ?", [after.decode()])
        self._move(found)
        dirty = self._forget(found)
        for name, table in tables:
            with self._registered("slice", table):
                names = ", ".join(f'"{column}"' for column in table.column_names)
                self.db.execute(f'insert into "{name}" ({names}) select {names} from slice')
        self._advance(found, dirty=dirty)

    def _widen(self, known: dict[str, set[str]]) -> None:
        """Make tables and columns that the catalog has learned."""
        made = dict(zip(self._made(), create_tables(self.catalog), strict=True))
        for scope, table in self.catalog.tables.items():
            if table.name not in known:
                self.db.execute(made[table.name])
                continue
            for _, kind, column in self.catalog.columns(scope):
                if column not in known[table.name]:
                    self.db.execute(f'alter table "{table.name}" add column "{column}" {column_type(kind)}')

    def _made(self) -> Iterator[str]:
        """Yield the names of tables in the order in which `create_tables` makes them."""
        yield from FIXED
        for table in self.catalog.tables.values():
            yield table.name

    def _events(self) -> Iterator[str]:
        """Yield the tables of which each row is something that happened once."""
        yield "messages"
        for scope, table in self.catalog.tables.items():
            if scope != CONTACTS:
                yield table.name

    def _move(self, found: Slice) -> None:
        """Let what contacts did who became part of another be the other's."""
        parts = [(int(id_, 16), owner) for id_, owner in found.owners.items() if int(id_, 16) != owner]
        if not parts:
            return
        moves = pa.table({"gone": [gone for gone, _ in parts], "owner": [owner for _, owner in parts]})
        with self._registered("moves", moves):
            # Whoever has rows of their own has one among the contacts.
            there = self.db.execute("select gone from moves join contacts on contact = gone").fetchall()
            if not there:
                return
            for name in self._events():
                self.db.execute(f'update "{name}" set contact = moves.owner from moves where contact = moves.gone')
            for name in _OF_A_CONTACT:
                self.db.execute(f"delete from {name} where contact in (select gone from moves)")

    def _forget(self, found: Slice) -> bool:
        """Delete what is replaced and what is to be forgotten; return whether something was to be forgotten."""
        dirty = False
        with self._registered("touched", pa.table({"contact": pa.array(found.erased, pa.int64())})):
            there = "select 1 from contacts join touched using (contact) limit 1"
            if found.erased and self.db.execute(there).fetchone():
                dirty = True
                for name in (*self._events(), *_OF_A_CONTACT):
                    self.db.execute(f'delete from "{name}" where contact in (select contact from touched)')
        numbers = pa.array([person.number for person in found.people], pa.int64())
        with self._registered("touched", pa.table({"contact": numbers})):
            for name in _OF_A_CONTACT:
                self.db.execute(f"delete from {name} where contact in (select contact from touched)")
        for name, position in found.kept.items():
            table = self.catalog.table(name)
            if table is not None and position > self._kept.get(name, 0):
                gone = self.db.execute(f'delete from "{table}" where position <= ?', [position]).fetchone()
                dirty = dirty or bool(gone and gone[0])
        return dirty

    def _advance(self, found: Slice, *, dirty: bool) -> None:
        if found.records:
            last = found.records[-1]
            self.db.execute("update progress set position = ?, key = ?", [last.position, last.key])
        self.db.execute(
            "update progress set sequence = ?, fired = ?, revision = ?, swept = ?, as_of = greatest(as_of, ?)",
            [*found.upto[1:], found.as_of],
        )
        if dirty:
            self.db.execute("update progress set dirty = true")
            self.dirty = True
        if found.kept != self._kept:
            self.db.execute("delete from kept")
            for row in found.kept.items():
                self.db.execute("insert into kept values (?, ?)", row)

    def compact(self) -> None:
        """Write the file anew, so that nothing that was deleted is left in it.

        Raises:
            AnalyticsError: It is as it was.
        """
        with _failing():
            self._new.unlink(missing_ok=True)
            self.db.execute("checkpoint")
            name = self.db.execute("select current_database()").fetchone()
            assert name is not None  # noqa: S101 (there is one)
            place = str(self._new).replace("'", "''")
            self.db.execute(f"attach '{place}' as fresh")
            try:
                self._new.chmod(0o600)
                self.db.execute(f'copy from database "{name[0]}" to fresh')
                self.db.execute("update fresh.progress set dirty = false")
            finally:
                self.db.execute("detach fresh")
            self.db.close()
            try:
                # The write-ahead log went into the file at the checkpoint, and must not be read with another.
                Path(f"{self._path}.wal").unlink(missing_ok=True)
                self._new.replace(self._path)
            finally:
                self.db = self._connect()
            self.dirty = False

    # --- sizes of segments over time ----------------------------------------------------------------------------------

    def note_size(self, segment: str, at: int, size: int) -> None:
        """Note how many contacts a segment had at an instant."""
        with _failing():
            row = [segment, at, size, self.position]
            self.db.execute("insert into segment_size values (?, ?, ?, ?)", row)
            self._protect()

    def sizes(self, segment: str, start: int, end: int, every: int) -> list[tuple[int, int]]:
        """Return instants from `start` on and before `end` with the sizes noted at them: the last of each `every`."""
        with _failing():
            rows = self.db.execute(
                "select max(noted_at), arg_max(size, noted_at) from segment_size"
                " where segment = ? and noted_at >= ? and noted_at < ? group by (noted_at - ?) // ? order by 1",
                [segment, start, end, start, every],
            ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def interrupt(self) -> None:
        """Let the statement that runs fail. May be called while another thread runs it."""
        with contextlib.suppress(duckdb.Error):
            self.db.interrupt()

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(duckdb.Error):
            self.db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("begin")
        try:
            yield
            self.db.execute("commit")
            self._protect()
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                self.db.execute("rollback")
            raise

    @contextlib.contextmanager
    def _registered(self, name: str, table: pa.Table) -> Iterator[None]:
        self.db.register(name, table)
        try:
            yield
        finally:
            self.db.unregister(name)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """Say what DuckDB fails with as an error of ours."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        hint = "what was acknowledged is not touched; `parcours rebuild analytics` makes it again"
        raise AnalyticsError(f"the analytics database failed: {error}", hint=hint) from error


def catch_up(analytics: DuckdbAnalytics, store: Store, size: int = SLICE) -> Iterator[int]:
    """Follow the log to its end, and yield the position after each slice. Nobody else uses the store meanwhile."""
    if not analytics.follows(store):
        analytics.reset()
        analytics.follows(store)
    while (found := analytics.read(store, size)) is not None:
        analytics.feed(found)
        yield analytics.position


def _columns_of(catalog: Catalog, scope: str) -> Iterator[str]:
    return (column for _, _, column in catalog.columns(scope))
