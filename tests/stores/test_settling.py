"""What became of messages, however they are settled: at once or much later, in any batches, twice."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from parcours.ports import Changes, Settlement
from parcours.stores import sqlite
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.conformance import message
from tests.profiles import examples

SETTLEMENTS = st.builds(
    Settlement,
    st.integers(1, 6),
    st.sampled_from(["sent", "failed", "cancelled", "pending"]),
    st.integers(1, 3),
    due=st.integers(0, 2),
    error=st.sampled_from(["", "later"]),
)

BATCHES = st.lists(st.tuples(st.integers(0, 3), st.lists(SETTLEMENTS, max_size=4), st.booleans()), max_size=8)


@examples(60)
@given(BATCHES, st.sampled_from([0, 2, 5_000]))
def test_a_file_says_of_messages_what_memory_says(batches: list[tuple[int, list[Settlement], bool]], fresh: int):
    memory, most = MemoryStore(), sqlite.MOST_FRESH
    sqlite.MOST_FRESH = fresh
    with TemporaryDirectory() as folder:
        file = SqliteStore(Path(folder) / "parcours.db")
        count = 0
        try:
            for more, drawn, again in batches:
                # Nobody settles what there is not.
                settlements = [one for one in drawn if one.sequence <= count]
                messages = [message(count + number, channel="push" if number else "email") for number in range(more)]
                count += more
                for store in (memory, file):
                    store.commit(Changes(messages=messages, settlements=settlements))
                if again:
                    file.close()
                    file = SqliteStore(Path(folder) / "parcours.db")
                assert dict(file.outbox_counts()) == dict(memory.outbox_counts())
                assert file.outbox() == memory.outbox()
                for channel in ("email", "push"):
                    assert file.pending(channel) == memory.pending(channel)
        finally:
            sqlite.MOST_FRESH = most
            file.close()
