"""A store that fails when it is told to, and what a kill would leave of one: to see what becomes of everything else."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections import deque
from pathlib import Path
from typing import Any

from parcours.ports import Store


class FaultyStore:
    """Passes everything on to another store, except where it was told to fail. A `ports.Store`.

    Args:
        store: The store that does the work.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._faults: dict[str, deque[BaseException | None]] = {}
        self.failed = 0
        """How often it has failed so far."""

    def fail(self, method: str, error: BaseException, *, times: int = 1, after: int = 0) -> None:
        """Raise an error the next time, or the next few times, a method is called; nothing is done then.

        With `after`, it is called so often before without an error.
        """
        self._faults.setdefault(method, deque()).extend([*([None] * after), *([error] * times)])

    def heal(self) -> None:
        """Fail no more."""
        self._faults.clear()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        faults = self._faults.get(name)
        if not faults:
            return found

        def fail(*given: Any, **named: Any) -> Any:
            error = faults.popleft()
            if error is None:
                return found(*given, **named)
            self.failed += 1
            raise error

        return fail


def copy_store(store: Any, to: Path) -> None:
    """Copy what a kill would leave of a store in SQLite, which may be in use.

    While somebody reads, the write-ahead log is not cut short under our hands; and no checkpoint runs meanwhile, or what
    is copied could be of two moments.
    """
    path, checkpoints = store._path, store._checkpoints  # noqa: SLF001 (nobody else copies files under a store that is in use)
    with checkpoints.running, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select 1 from log limit 1").fetchone()
        for file in (path, path.with_name(f"{path.name}-wal")):
            if file.exists():
                shutil.copy(file, to.with_name(file.name.replace(path.name, to.name)))
