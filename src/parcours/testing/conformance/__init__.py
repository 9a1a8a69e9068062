"""What every store must do, as tests: inherit from `StoreConformance` and say how a store is made.

    class TestMyStore(StoreConformance):
        def make_store(self, folder: Path) -> Store:
            return MyStore(folder / "store")

Run by pytest, which is not a dependency of parcours: install it beside.

| module      | what of it                                                    |
|-------------|---------------------------------------------------------------|
| `empty`     | an empty store, and being asked for nothing                   |
| `log`       | the log, and the keys by which repeats are known              |
| `contacts`  | identities, states, and whose timer comes due when            |
| `histories` | what happened to a contact and what was decided, newest first |
| `messages`  | the outbox, and what became of messages                       |
| `ledger`    | entries of points: by contact, by input, counted by day       |
| `erasure`   | nothing is left of whom it is about, everything of others     |
| `beside`    | items, what was learned, counts and marks                     |
| `batches`   | kept as a whole or not at all, also when written in parts     |
| `restart`   | what is there in another process                              |
| `making`    | what the tests put into a store                               |
| `base`      | what every part has: a store                                  |
"""

from __future__ import annotations

from parcours.testing.conformance.batches import BatchesConformance
from parcours.testing.conformance.beside import BesideConformance
from parcours.testing.conformance.contacts import ContactsConformance
from parcours.testing.conformance.empty import EmptyConformance
from parcours.testing.conformance.erasure import ErasureConformance
from parcours.testing.conformance.histories import HistoriesConformance
from parcours.testing.conformance.ledger import LedgerConformance
from parcours.testing.conformance.log import LogConformance
from parcours.testing.conformance.making import (
    ANN,
    BOB,
    CYD,
    entries,
    entry,
    interaction,
    key,
    message,
    person,
    publication,
)
from parcours.testing.conformance.messages import MessagesConformance
from parcours.testing.conformance.restart import RestartConformance

__all__ = [
    "ANN",
    "BOB",
    "CYD",
    "StoreConformance",
    "entries",
    "entry",
    "interaction",
    "key",
    "message",
    "person",
    "publication",
]


class StoreConformance(
    # pytest runs what is inherited from the last of these first.
    RestartConformance,
    BatchesConformance,
    BesideConformance,
    ErasureConformance,
    LedgerConformance,
    MessagesConformance,
    HistoriesConformance,
    ContactsConformance,
    LogConformance,
    EmptyConformance,
):
    """The contract of `ports.Store`. A subclass says how a store is made."""
