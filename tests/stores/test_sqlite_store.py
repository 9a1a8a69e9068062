"""The SQLite store passes the public conformance suite, also where its own insides begin and end."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from parcours.core.effects import What
from parcours.errors import StoreError
from parcours.ports import Changes, Store
from parcours.stores import sqlite, sqlite_file, sqlite_rows
from parcours.stores.sqlite import SqliteStore
from parcours.testing.conformance import (
    ANN,
    BOB,
    StoreConformance,
    entries,
    entry,
    interaction,
    key,
    message,
    person,
)
from parcours.testing.faults import copy_store
from parcours.testing.snapshot import snapshot


class TestSqliteStore(StoreConformance):
    def make_store(self, folder: Path) -> Store:
        return SqliteStore(folder / "store.db")


class TestSqliteStoreThatHoldsNothingInMemory(StoreConformance):
    def make_store(self, folder: Path) -> Store:
        return SqliteStore(folder / "store.db", hold=0)


class TestSqliteStoreThatIndexesKeysInSmallSlices(StoreConformance):
    @pytest.fixture(autouse=True)
    def small_slices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "SLICE", 3)
        monkeypatch.setattr(sqlite_rows, "LOOKUP", 7)

    def make_store(self, folder: Path) -> Store:
        return SqliteStore(folder / "store.db")


def fill(store: Store, upto: int) -> None:
    for position in range(store.last_position() + 1, upto + 1):
        store.contacts([ANN])
        store.commit(Changes(records=[interaction(position)], contacts={ANN: person()}))


def test_keys_wait_in_memory_until_a_slice_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite, "SLICE", 5)
    store = SqliteStore(tmp_path / "store.db")
    sizes = []
    for position in range(1, 14):
        fill(store, position)
        sizes.append(store._db.execute("select count(*) from seen").fetchone()[0])
        assert store.seen([key(number) for number in range(1, 20)]) == {
            key(number) for number in range(1, position + 1)
        }
    assert sizes == [0] * 5 + [6] * 6 + [12] * 2
    assert dict(store.marks()) == {}
    store.close()


def test_a_store_with_more_waiting_keys_than_now_fit_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The size of a slice may change from one version of parcours to the next."""
    store = SqliteStore(tmp_path / "store.db")
    fill(store, 20)
    store.close()
    monkeypatch.setattr(sqlite, "SLICE", 5)
    store = SqliteStore(tmp_path / "store.db")
    store.commit(Changes(marks={"a": "b"}))  # a batch without a record, as a settlement is
    assert store.seen([key(number) for number in range(1, 30)]) == {key(number) for number in range(1, 21)}
    fill(store, 21)
    store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert store.seen([key(number) for number in range(1, 30)]) == {key(number) for number in range(1, 22)}
    assert dict(store.marks()) == {"a": "b"}
    store.close()


@pytest.mark.parametrize("slice_", range(1, 9))
def test_keys_are_known_whichever_part_of_a_transaction_fills_a_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_: int
):
    monkeypatch.setattr(sqlite, "SLICE", slice_)
    store = SqliteStore(tmp_path / "store.db")
    position, expected = 0, set()
    for parts in ([1, 1], [2, 1, 1], [3], [1, 2, 3], [0, 1, 0], [2, 5], [1]):
        for place, count in enumerate(parts):
            contact = f"{place:015x}"
            records = [interaction(position + number, contact) for number in range(1, count + 1)]
            position += count
            expected |= {record.key for record in records}
            store.contacts([contact])
            store.write(Changes(records=records, contacts={contact: person(contact)}, passing=True))
        if len(parts) == 3:
            known, lost = store._recent.copy(), position
            store.forget()
            position = store.last_position()
            expected = {key(number) for number in range(1, position + 1)}
            assert store._recent == known, lost
        else:
            store.finish()
        for one in (store, SqliteStore(_copied(store, tmp_path))):
            assert one.last_position() == position
            assert one.seen([key(number) for number in range(1, 40)]) == expected
        one.close()
    store.close()


def _copied(store: SqliteStore, folder: Path) -> Path:
    to = folder / f"{store.last_position()}-{store._db.total_changes}.db"
    copy_store(store, to)
    return to


def test_rows_are_numbered_on_from_what_was_kept_after_parts_were_dropped(tmp_path: Path):
    store = SqliteStore(tmp_path / "store.db")

    def part(contact: str) -> Changes:
        store.contacts([contact])
        return Changes(
            records=[interaction(store.last_position() + 1, contact)],
            contacts={contact: person(contact)},
            messages=[message(1, contact=contact)],
            ledger=[entry(1, contact=contact)],
            traces=[(contact, -store.last_position(), entries(What.ENDED))],
        )

    for failing in (False, True, True):
        store.write(part(ANN))
        if failing:
            bad = Changes(contacts={BOB: person(BOB, bad="\udfff")})
            with pytest.raises(StoreError):
                store.write(bad)
            store.write(part(ANN))
            store.forget()
            store.write(part(BOB))
        store.finish()
    assert [record.position for record in store.log()] == [1, 2, 3]
    assert [posted.sequence for posted in store.outbox()] == [1, 2, 3]
    assert [row for row, _ in store.fired()] == [1, 2, 3]
    assert store.last_entry() == 3
    assert [posting.place for posting in store.ledger(BOB)] == [3, 2]
    store.close()


def test_a_full_disk_keeps_nothing_of_the_batch_and_goes_on_once_there_is_space(tmp_path: Path):
    store = SqliteStore(tmp_path / "store.db")
    fill(store, 3)
    pages = store._db.execute("pragma page_count").fetchone()[0]
    store._db.execute(f"pragma max_page_count = {pages + 2}")
    before = snapshot(store)
    big = Changes(records=[interaction(4)], contacts=store.contacts([ANN]), marks={"big": "x" * 100_000})
    with pytest.raises(StoreError, match="full") as caught:
        store.commit(big)
    assert "space" in caught.value.hint
    assert snapshot(store) == before
    assert store.seen([key(4)]) == set()
    store._db.execute("pragma max_page_count = 1000000")
    fill(store, 4)
    assert store.last_position() == 4
    assert [record.position for record in store.history(ANN)] == [4, 3, 2, 1]
    store.close()


def test_what_was_committed_survives_although_nothing_was_closed(tmp_path: Path):
    """As after SIGKILL: the files are copied while the store is open, and opened somewhere else."""
    store = SqliteStore(tmp_path / "store.db")
    fill(store, 10)
    before = snapshot(store)
    other = tmp_path / "other"
    other.mkdir()
    for file in tmp_path.glob("store.db*"):
        shutil.copy(file, other / file.name)
    copy = SqliteStore(other / "store.db")
    assert snapshot(copy) == before
    copy.close()
    store.close()


def test_a_batch_that_was_written_and_not_finished_is_not_there_after_a_restart(tmp_path: Path):
    store = SqliteStore(tmp_path / "store.db")
    fill(store, 2)
    before = snapshot(store)
    store.write(Changes(records=[interaction(3)], contacts=store.contacts([ANN])))
    store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert snapshot(store) == before
    assert store.seen([key(3)]) == set()
    store.close()


def test_a_checkpoint_changes_nothing_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite_file, "CHECKPOINT_PAGES", 1)
    monkeypatch.setattr(sqlite_file, "LONGEST_WAL", 1)
    store = SqliteStore(tmp_path / "store.db")
    fill(store, 300)
    before = snapshot(store)
    store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert snapshot(store) == before
    store.close()


def test_memory_is_let_go_of_beyond_what_is_held(tmp_path: Path):
    store = SqliteStore(tmp_path / "store.db", hold=10)
    people = [f"{number:015x}" for number in range(100)]
    for id_ in people:
        store.commit(Changes(contacts={id_: person(id_)}, identities={("user_id", id_): id_}))
    assert len(store._held) <= 11
    assert len(store._known) <= 11
    assert store.contacts(people) == {id_: person(id_) for id_ in people}
    store.close()


def test_one_data_folder_serves_one_process(tmp_path: Path):
    store = SqliteStore(tmp_path / "store.db")
    with pytest.raises(StoreError, match="another process"):
        SqliteStore(tmp_path / "store.db")
    store.close()
    SqliteStore(tmp_path / "store.db").close()


def test_a_file_that_is_something_else_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "store.db"
    path.write_text("these are my notes, not a database\n" * 100)
    content = path.read_bytes()
    with pytest.raises(StoreError, match=r"store\.db") as caught:
        SqliteStore(path)
    assert "something else" in caught.value.hint
    assert path.read_bytes() == content
    path.unlink()
    SqliteStore(path).close()  # and the lock was let go of


def test_a_store_of_another_format_is_refused(tmp_path: Path):
    path = tmp_path / "store.db"
    SqliteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="format 99"):
        SqliteStore(path)
    with sqlite3.connect(path) as db:
        db.execute(f"pragma user_version = {sqlite_file.FORMAT}")
    db.close()
    SqliteStore(path).close()


def test_a_store_from_before_messages_had_priorities_gets_the_column(tmp_path: Path):
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.commit(Changes(messages=[message(1)]))
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("drop index outbox_urgent")
        db.execute("alter table outbox drop column priority")
        db.execute(f"pragma user_version = {sqlite_file.BEFORE_PRIORITIES}")
    db.close()
    store = SqliteStore(path)
    store.commit(Changes(messages=[message(2, priority=1)]))
    assert [item.message for item in store.pending("email")] == [message(1), message(2, priority=1)]
    assert [item.message for item in store.pending("email", urgent=True)] == [message(2, priority=1)]
    store.close()


def test_a_store_from_before_it_was_known_what_an_input_booked_finds_it_out(tmp_path: Path):
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    entries = [msgspec.structs.replace(entry(number), position=place) for number, place in ((1, 1), (2, 1), (3, 0))]
    store.commit(Changes(records=[interaction(1)], contacts={ANN: person()}, ledger=entries))
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("drop table booked")
        db.execute(f"pragma user_version = {sqlite_file.BEFORE_BOOKED}")
    db.close()
    store = SqliteStore(path)
    assert store.booked(1) == entries[:2]
    store.close()


def test_a_folder_that_is_not_there_or_not_ours_is_said(tmp_path: Path):
    with pytest.raises(StoreError, match=r"store\.db"):
        SqliteStore(tmp_path / "missing" / "store.db")


def test_a_store_may_be_closed_as_soon_as_it_is_open(tmp_path: Path):
    """The thread that copies the log back must not be caught at its start by the end."""
    for _ in range(50):
        SqliteStore(tmp_path / "store.db").close()
