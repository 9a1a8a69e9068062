"""The log: read in order, and its keys, by which repeats are known."""

from __future__ import annotations

from parcours.ports import Changes, Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, BOB, MANY, interaction, key, person, publication


class LogConformance(Conformance):
    """What came in, in the order in which it was committed."""

    def test_the_log_is_read_in_order_behind_a_position_and_up_to_a_limit(self, store: Store) -> None:
        records = [publication(1), *(interaction(position) for position in range(2, 11))]
        store.commit(Changes(records=records[:4], contacts={ANN: person()}))
        store.contacts([ANN])
        store.commit(Changes(records=records[4:], contacts={ANN: person()}))
        assert store.log() == records
        assert store.log(after=3) == records[3:]
        assert store.log(after=3, limit=2) == records[3:5]
        assert store.log(after=10) == []
        assert store.last_position() == 10
        assert store.counts()["records"] == 10

    def test_a_record_is_found_by_its_position(self, store: Store) -> None:
        records = [publication(1), interaction(2), interaction(3)]
        store.commit(Changes(records=records, contacts={ANN: person()}))
        assert [store.record(position) for position in (1, 2, 3)] == records
        assert store.record(0) is None
        assert store.record(4) is None
        found = store.record(3)
        assert found is not None
        assert found.input() == records[2].input()

    def test_the_newest_instant_is_that_of_the_newest_record(self, store: Store) -> None:
        store.commit(Changes(records=[interaction(1, received_at=7_000)], contacts={ANN: person()}))
        assert store.last_received_at() == 7_000
        store.commit(Changes(marks={"a": "b"}))
        assert store.last_received_at() == 7_000

    def test_the_newest_instant_stays_when_what_is_older_comes_behind(self, store: Store) -> None:
        """What timers let follow was received when they were due."""
        store.write(Changes(records=[interaction(1, received_at=7_000)], contacts={ANN: person()}))
        store.write(Changes(records=[interaction(2, BOB, received_at=5_000)], contacts={BOB: person(BOB)}))
        store.finish()
        assert store.last_received_at() == 7_000
        store.contacts([ANN])
        store.commit(Changes(records=[interaction(3, received_at=6_000)], contacts={ANN: person()}))
        assert store.last_received_at() == 7_000

    def test_publications_are_those_records_of_the_log(self, store: Store) -> None:
        records = [publication(1, "A"), interaction(2), publication(3, "B")]
        store.commit(Changes(records=records, contacts={ANN: person()}))
        assert store.publications() == [records[0].input(), records[2].input()]
        assert store.publications(records[0].position) == [records[2].input()]
        assert store.publications(records[2].position) == []

    def test_keys_are_seen_from_their_commit_on(self, store: Store) -> None:
        for position in range(1, 8):
            assert store.seen([key(position)]) == set()
            store.contacts([ANN])
            store.commit(Changes(records=[interaction(position)], contacts={ANN: person()}))
            assert store.seen([key(position)]) == {key(position)}
        assert store.seen([key(8), key(3), key(3), key(7)]) == {key(3), key(7)}

    def test_many_keys_are_asked_for_at_once(self, store: Store) -> None:
        records = [interaction(position) for position in range(1, MANY)]
        store.commit(Changes(records=records, contacts={ANN: person()}))
        assert store.seen([key(position) for position in range(2 * MANY)]) == {record.key for record in records}
