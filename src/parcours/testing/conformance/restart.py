"""A restart: what is there once a store was closed and opened again."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcours.ports import Changes, Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, fill, interaction, key, message, more, person
from parcours.testing.snapshot import EVERYTHING, snapshot


class RestartConformance(Conformance):
    """A durable store is, opened again, what it was."""

    def test_everything_is_there_after_a_restart(self, store: Store, tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("this store lives as long as the process")
        fill(store)
        store.commit(more(store))
        before, marks = snapshot(store), dict(store.marks())
        store = self.reopen(store, tmp_path)
        try:
            assert snapshot(store) == before
            assert dict(store.marks()) == marks
            assert store.last_received_at() == before.records[-1].input().received_at
            assert store.publications() == [before.records[0].input()]
            assert store.seen([key(position) for position in range(9)]) == {key(position) for position in range(1, 5)}
            assert store.pending("push") == []
            store.contacts([ANN])
            store.commit(Changes(records=[interaction(5)], contacts={ANN: person()}, messages=[message(9)]))
            assert [record.position for record in store.history(ANN)] == [5, 4, 2]
            assert [item.message for item in store.pending("email")] == [message(2), message(9)]
        finally:
            store.close()

    def test_many_records_are_seen_after_restarts(self, store: Store, tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("this store lives as long as the process")
        position = 0
        try:
            for size in (1, 50, 3, 200, 7):
                records = [interaction(position + number) for number in range(1, size + 1)]
                position += size
                store.contacts([ANN])
                store.commit(Changes(records=records, contacts={ANN: person()}))
                store = self.reopen(store, tmp_path)
                asked = {key(number) for number in range(1, position + 1)}
                assert store.seen([*asked, key(position + 1)]) == asked
            assert len(store.history(ANN, EVERYTHING)) == position
        finally:
            store.close()
