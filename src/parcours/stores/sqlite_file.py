"""The file of the embedded store: its tables and their versions, how it is opened and held, and its checkpoints."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from pathlib import Path
from typing import IO

from parcours.core.codec import decode_entry
from parcours.errors import StoreError

FORMAT = 5
"""The version of the tables below; a file of a version that is not known is refused."""

BEFORE_LEDGER = 2
"""The version before there was a ledger: such a file is brought up to this one."""

BEFORE_PRIORITIES = 3
"""The version before messages had priorities."""

BEFORE_BOOKED = 4
"""The version before it was known where the entries of an input are."""

CHECKPOINT_PAGES = 8_192
"""Pages in the write-ahead log (4 KiB each) after which it is copied back."""

LONGEST_WAL = 65_536
"""Pages in the write-ahead log above which writing waits for the rest to be copied back."""

_TABLES = """
create table if not exists log (
    position integer primary key, contact integer, previous integer not null, key blob not null, body blob not null,
    trace blob);
create index if not exists log_workspace on log (position) where contact is null;
create table if not exists seen (key integer primary key, position integer not null);
create table if not exists identity (
    namespace text not null, value text not null, contact integer not null, primary key (namespace, value)
) without rowid;
create table if not exists contact (
    id integer primary key, due integer, log integer not null, trace integer not null, outbox integer not null,
    state blob not null, ledger integer not null default 0);
create table if not exists trace (
    id integer primary key, contact integer not null, previous integer not null, position integer not null,
    body blob not null);
create table if not exists outbox (
    sequence integer primary key, contact integer not null, previous integer not null, channel text not null,
    message text not null, state text not null,
    attempts integer not null, due integer not null, error text not null, body blob not null,
    priority integer not null default 0);
create index if not exists outbox_pending on outbox (channel, sequence) where state = 'pending';
create index if not exists outbox_urgent on outbox (channel, sequence) where state = 'pending' and priority > 0;
create table if not exists outbox_count (
    channel text not null, message text not null, state text not null, count integer not null,
    primary key (channel, message, state)) without rowid;
create table if not exists statistic (
    journey text not null, version integer not null, step text not null, what text not null, reason text not null,
    count integer not null, primary key (journey, version, step, what, reason)) without rowid;
create table if not exists ledger (
    id integer primary key, contact integer not null, previous integer not null, body blob not null);
create table if not exists booked (position integer primary key, entry integer not null);
create table if not exists ledger_day (
    programme text not null, day integer not null, kind text not null, entries integer not null,
    amount integer not null, held integer not null, primary key (programme, day, kind)) without rowid;
create table if not exists item (
    catalogue text not null, id text not null, body blob not null, primary key (catalogue, id)) without rowid;
create table if not exists knowledge (name text primary key, body blob not null) without rowid;
create table if not exists tombstone (
    identity blob primary key, erased_at integer not null, suppressed integer not null) without rowid;
create table if not exists mark (name text primary key, value text not null) without rowid;
"""


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection to the store in a file."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    db.execute("pragma wal_autocheckpoint = 0")
    db.execute("pragma cache_size = -131072")
    # What was overwritten or deleted is nowhere left to be read, as an erasure promises.
    db.execute("pragma secure_delete = on")
    return db


def make_tables(db: sqlite3.Connection, name: str) -> None:
    """Bring the tables of a file up to this version; a new file gets them all.

    Raises:
        StoreError: Its version is not known.
    """
    found = db.execute("pragma user_version").fetchone()[0]
    if found not in {0, BEFORE_LEDGER, BEFORE_PRIORITIES, BEFORE_BOOKED, FORMAT}:
        raise StoreError(
            f"the store {name} has format {found}, this parcours reads {FORMAT}",
            hint="use the parcours that wrote it, or start with an empty data folder",
        )
    db.execute("begin immediate")
    if found == BEFORE_LEDGER:
        db.execute("alter table contact add column ledger integer not null default 0")
    if found in {BEFORE_LEDGER, BEFORE_PRIORITIES}:
        db.execute("alter table outbox add column priority integer not null default 0")
    for statement in _TABLES.split(";"):
        db.execute(statement)
    if found in {BEFORE_PRIORITIES, BEFORE_BOOKED}:
        _note_entries(db)
    db.execute(f"pragma user_version = {FORMAT}")
    db.execute("commit")


def _note_entries(db: sqlite3.Connection) -> None:
    """Note for every input which entry of the ledger is the last that it made."""
    rows = db.execute("select id, body from ledger order by id")
    made = ((entry.position, id_) for id_, body in rows if (entry := decode_entry(body)).position)
    db.executemany("insert or replace into booked values (?, ?)", made)


def lock(path: Path) -> IO[str]:
    """Hold the store for this process; the lock goes with the process, however it ends."""
    try:
        file = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise StoreError(
            f"cannot open the store {path.name}: {error.strerror}", hint="check the data folder"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreError(
            f"another process has the store {path.name} open", hint="one data folder serves one process"
        ) from None
    return file


def hint_of(error: BaseException) -> str:
    """Return what to do about an error of SQLite, if that is known."""
    text = str(error)
    if "full" in text:
        return "free some space; nothing of the batch was kept, and senders will try again"
    if "locked" in text:
        return "another process has the store open; one data folder serves one process"
    if "not a database" in text:
        return "the file is something else; choose another data folder"
    return ""


class Checkpoints:
    """Copies the write-ahead log back into the file, in a thread with a connection of its own."""

    def __init__(self, path: Path) -> None:
        # Opened here, where a failure is told: a thread that ended at its start would never be missed.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma synchronous = full")
        self._rows = 0
        self._clean = False
        self._wake = threading.Event()
        self._closed = False
        self.running = threading.Lock()
        """Held while it copies: whoever holds it may copy the files as a kill would leave them."""
        self._thread = threading.Thread(target=self._run, name="parcours-checkpoint", daemon=True)
        self._thread.start()

    def after(self, rows: int) -> None:
        """Tell of rows written; about as many pages were."""
        self._rows += rows
        if self._rows >= CHECKPOINT_PAGES:
            self._rows = 0
            self._wake.set()

    def clean(self) -> None:
        """Let nothing that was overwritten stay in the write-ahead log."""
        self._clean = True
        self._wake.set()

    def _run(self) -> None:
        db = self._db
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closed:
                break
            with self.running:
                try:
                    if self._clean:
                        self._clean = bool(db.execute("pragma wal_checkpoint(truncate)").fetchone()[0])
                        continue
                    _, pages, _ = db.execute("pragma wal_checkpoint(passive)").fetchone()
                    if pages > LONGEST_WAL:
                        # Under steady writes a passive checkpoint never reaches the end; this one holds the writer shortly.
                        db.execute("pragma wal_checkpoint(restart)")
                except sqlite3.Error:
                    # The log only grows until the next try; a disk that is full shows in the commit, where it is told.
                    continue

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self._thread.join()
        self._db.close()
