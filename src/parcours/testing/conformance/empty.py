"""An empty store, and nothing that is asked of one or brought to it."""

from __future__ import annotations

from parcours.ports import Changes, Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, interaction, key, person


class EmptyConformance(Conformance):
    """A store that holds nothing is asked, and one that holds something for nothing."""

    def test_an_empty_store_holds_nothing(self, store: Store) -> None:
        assert store.last_position() == 0
        assert store.last_received_at() == 0
        assert store.seen([key(1)]) == set()
        assert store.resolve([("user_id", "x")]) == {}
        assert store.contacts([ANN]) == {}
        assert store.log() == []
        assert store.record(0) is None
        assert store.record(1) is None
        assert store.history(ANN) == []
        assert store.trace(ANN) == []
        assert store.publications() == []
        assert store.scan() == []
        assert list(store.due_times()) == []
        assert store.pending("email") == []
        assert dict(store.outbox_counts()) == {}
        assert dict(store.statistics()) == {}
        assert dict(store.marks()) == {}
        assert dict(store.counts()) == {"records": 0, "contacts": 0}

    def test_asking_for_nothing_gives_nothing(self, store: Store) -> None:
        store.commit(Changes(records=[interaction(1)], contacts={ANN: person()}))
        assert store.seen([]) == set()
        assert store.resolve([]) == {}
        assert store.contacts([]) == {}

    def test_nothing_may_be_committed(self, store: Store) -> None:
        store.commit(Changes())
        store.commit(Changes())
        assert store.last_position() == 0
