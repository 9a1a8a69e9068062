"""The data folder: its store, its keys and its analytics database, of a service that runs or does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from parcours.ports import Changes, Store
from parcours.runtimes.clocks import SystemClock, wall_time
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore
from parcours.web.auth import ALL, SEND, Key, Keys, Kind, hash_key, keys_in, make_key, marks_of

if TYPE_CHECKING:
    from parcours.analytics.duckdb_store import DuckdbAnalytics
    from parcours.analytics.service import Analytics
from parcours.wiring.settings import Settings, SettingsError


def make_folder(data: Path) -> None:
    """Make the data folder, open to its user alone.

    Raises:
        SettingsError: It cannot be made.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make the data folder {data}: {error.strerror}") from error


def open_store(data: Path) -> SqliteStore:
    """Open the store in a data folder, or make one.

    Raises:
        SettingsError: The folder cannot be made.
        StoreError: It cannot be opened.
    """
    make_folder(data)
    database = data / "parcours.db"
    for file in (database, database.with_suffix(".lock")):
        # Made here so that nobody else may read it; SQLite gives the files beside it the same mode.
        if not file.exists():
            with contextlib.suppress(OSError):
                file.touch(mode=0o600)
    return SqliteStore(database)


def open_analytics(settings: Settings, host: Embedded) -> Analytics:
    """Return what answers questions about all contacts; its database is opened when it is started."""
    from parcours.analytics.service import Analytics

    engine = host.engine
    return Analytics(
        _database(settings.data, settings.analytics_memory, settings.analytics_threads),
        store=host.store,
        turn=host.turn,
        ready=engine.catch_up,
        clock=engine.clock,
        segments=lambda: engine.plan.segments,
    )


def _database(data: Path, memory: str, threads: int) -> DuckdbAnalytics:
    from parcours.analytics.duckdb_store import DuckdbAnalytics

    return DuckdbAnalytics(data / "analytics.duckdb", memory=memory, threads=threads)


def rebuild_analytics(settings: Settings, rebuilt: Callable[[int, int], None]) -> int:
    """Make the analytics database of a service that does not run again, and return how many records were gone through.

    `rebuilt` is told the position and the last one after each slice.

    Raises:
        StoreError: A file cannot be opened: the service runs, for one.
    """
    from parcours.analytics.duckdb_store import catch_up

    if not (settings.data / "parcours.db").is_file():
        raise SettingsError(
            f"there is no store in {settings.data}", hint="--data is the folder that parcours serve has"
        )
    with kept_engine(settings.data) as engine:
        database = _database(settings.data, settings.analytics_memory, settings.analytics_threads)
        try:
            database.reset()
            for position in catch_up(database, engine.store):
                rebuilt(position, engine.store.last_position())
            if database.dirty:
                database.compact()
        finally:
            database.close()
        return engine.store.last_position()


@contextlib.contextmanager
def kept_engine(data: Path) -> Iterator[Engine]:
    """Open the store of a service that does not run, or a new one, and yield an engine for it.

    Raises:
        SettingsError: The folder cannot be made.
        StoreError: It cannot be opened: the service runs, for one.
    """
    store = open_store(data)
    try:
        yield Engine(store, SystemClock(store.last_received_at()))
    finally:
        store.close()


def keys_of(store: Store, settings: Settings) -> tuple[Keys, dict[str, str]]:
    """Return the keys in force: those kept, and the two first ones; these are given, or made up at the first start."""
    kept = _kept_keys(store)
    known = {key.id for key in kept}
    new: dict[str, str] = {}
    for kind, given in _first_keys(settings):
        if given or kind in known:
            continue
        new[kind], hashed, ending = make_key(kind)
        kept.append(
            Key(
                id=kind,
                kind=kind,
                hash=hashed,
                name="made at the first start",
                scopes=(SEND,) if kind == "write" else (ALL,),
                created_at=wall_time(),
                ending=ending,
            )
        )
    if new:
        store.commit(
            Changes(marks={name: mark for key in kept if key.id in new for name, mark in marks_of(key).items()})
        )
    write, secret = (hash_key(given) if given else "" for _, given in _first_keys(settings))
    return Keys(write, secret, kept), new


def _first_keys(settings: Settings) -> list[tuple[Kind, str]]:
    return [("write", settings.write_key), ("secret", settings.secret_key)]


def _kept_keys(store: Store) -> list[Key]:
    try:
        return keys_in(store.marks())
    except msgspec.DecodeError as error:
        raise SettingsError(
            f"a key in the store cannot be read: {error}", hint="use the parcours that wrote it"
        ) from None


@contextlib.contextmanager
def kept_keys(data: Path) -> Iterator[tuple[Keys, Callable[[Key], None]]]:
    """Open the store of a service that does not run; yield its keys, and a function that keeps a change of one.

    Raises:
        SettingsError: There is no store.
        StoreError: It cannot be opened: the service runs, for one.
    """
    database = data / "parcours.db"
    if not database.is_file():
        raise SettingsError(f"there is no store in {data}", hint="--data is the folder that parcours serve has")
    store = SqliteStore(database)
    try:
        keys = Keys(kept=_kept_keys(store))

        def keep(key: Key) -> None:
            store.commit(Changes(marks={**marks_of(key)}))
            keys.put(key)

        yield keys, keep
    finally:
        store.close()
