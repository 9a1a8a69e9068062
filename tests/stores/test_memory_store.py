"""The memory store passes the public conformance suite: it is the reference the others are compared with."""

from pathlib import Path

from parcours.ports import Store
from parcours.stores.memory import MemoryStore
from parcours.testing.conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    durable = False

    def make_store(self, folder: Path) -> Store:
        return MemoryStore()
