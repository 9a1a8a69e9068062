"""A batch is kept as a whole or not at all, also one that is written in parts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from parcours.core.effects import What
from parcours.errors import StoreError
from parcours.ports import Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, BOB, CYD, fill, in_parts, key, more, person
from parcours.testing.snapshot import snapshot


class BatchesConformance(Conformance):
    """All of a batch is kept, or nothing."""

    @pytest.mark.parametrize("value", ["\ud800", 2**64, object(), {1j}], ids=["surrogate", "huge", "object", "set"])
    def test_a_batch_with_a_value_that_cannot_be_kept_is_not_kept_at_all(self, store: Store, value: object) -> None:
        fill(store)
        before = snapshot(store)
        marks = dict(store.marks())
        changes = more(store)
        changes.contacts[CYD] = person(CYD, bad=value)
        with pytest.raises(StoreError):
            store.commit(changes)
        assert snapshot(store) == before
        assert dict(store.marks()) == marks
        assert store.seen([record.key for record in changes.records]) == set()
        assert store.resolve([("user_id", "cyd")]) == {}
        assert store.last_position() == before.counts["records"]

    def test_after_a_batch_that_was_not_kept_the_next_one_is(self, store: Store) -> None:
        fill(store)
        bad = more(store)
        bad.contacts[CYD] = person(CYD, bad="\udfff")
        with pytest.raises(StoreError):
            store.commit(bad)
        store.commit(more(store))
        assert [record.position for record in store.history(ANN)] == [4, 2]
        assert len(store.trace(ANN)) == 2
        assert store.contacts([CYD])[CYD] == person(CYD)
        assert store.resolve([("user_id", "cyd")]) == {("user_id", "cyd"): CYD}
        assert store.statistics()["j", 1, "s", What.SENT, "hello"] == 2
        assert len(store.pending("email")) == 1
        assert store.last_position() == 4

    def test_what_is_written_is_there_once_it_is_finished(self, store: Store) -> None:
        fill(store)
        changes = more(store)
        store.write(changes)
        finisher = threading.Thread(target=store.finish)
        finisher.start()
        finisher.join()
        assert store.last_position() == 4
        assert len(store.pending("email")) == 1
        assert store.contacts([CYD])[CYD] == person(CYD)

    def test_what_is_written_and_not_finished_is_not_read_yet(self, store: Store) -> None:
        fill(store)
        changes = more(store)
        log, pending, trace = store.log(), store.pending("email"), store.trace(ANN)
        counts, statistics, people = store.outbox_counts(), store.statistics(), store.scan()
        store.write(changes)
        assert store.log() == log
        assert store.record(4) is None
        assert store.pending("email") == pending
        assert store.trace(ANN) == trace
        assert [record.position for record in store.history(ANN)] == [2]
        assert store.outbox_counts() == counts
        assert store.statistics() == statistics
        assert store.scan() == people
        store.finish()
        assert store.last_position() == 4

    @pytest.mark.parametrize("passing", [False, True])
    def test_what_is_written_in_parts_is_kept_together(self, store: Store, tmp_path: Path, *, passing: bool) -> None:
        (tmp_path / "other").mkdir()
        other = self.make_store(tmp_path / "other")
        for one in (store, other):
            fill(one)
        before = snapshot(store)
        for changes in in_parts(store, passing=passing):
            store.write(changes)
        assert store.last_position() == before.counts["records"]
        assert [record.position for record in store.history(BOB)] == [3]
        store.finish()
        for changes in in_parts(other, passing=passing):
            other.commit(changes)
        assert snapshot(store) == snapshot(other)
        assert store.pending("email") == other.pending("email")
        rows = {item.sequence: item.message for item in store.outbox()}
        assert all(rows[item.sequence] == item.message for item in store.pending("email"))
        assert dict(store.marks()) == dict(other.marks())
        assert store.seen([key(position) for position in range(9)]) == {key(position) for position in range(1, 6)}
        other.close()
        if self.durable:
            before = snapshot(store)
            store = self.reopen(store, tmp_path)
            try:
                assert snapshot(store) == before
            finally:
                store.close()

    def test_nothing_is_kept_of_parts_of_which_one_cannot_be(self, store: Store) -> None:
        fill(store)
        before, marks = snapshot(store), dict(store.marks())
        parts = in_parts(store, passing=True)
        store.write(next(parts))
        second = next(parts)
        second.contacts[CYD] = person(CYD, bad="\udfff")
        with pytest.raises(StoreError):
            store.write(second)
        assert (snapshot(store), dict(store.marks())) == (before, marks)
        store.write(next(in_parts(store, passing=True)))
        store.forget()
        assert (snapshot(store), dict(store.marks())) == (before, marks)
        for changes in in_parts(store, passing=True):
            store.commit(changes)
        assert [record.position for record in store.history(BOB)] == [5, 3]
        assert len(store.trace(BOB)) == 1
