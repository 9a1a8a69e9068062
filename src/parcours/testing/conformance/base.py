"""What every part of the suite has: a store, as the subclass makes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parcours.ports import Store


class Conformance:
    """A part of the contract of `ports.Store`. A subclass says how a store is made."""

    durable = True
    """Whether what was committed is still there after `reopen`."""

    def make_store(self, folder: Path) -> Store:
        """Return the store that lives in a folder, made if it is not there."""
        raise NotImplementedError

    def reopen(self, store: Store, folder: Path) -> Store:
        """Close a store and return it as another process would find it."""
        store.close()
        return self.make_store(folder)

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A new store."""
        store = self.make_store(tmp_path)
        yield store
        store.close()
