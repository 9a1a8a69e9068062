"""The ledger: the entries of a contact, by the input they are of, and counted by day."""

from __future__ import annotations

import msgspec

from parcours.core.effects import Trace
from parcours.ports import Changes, Store, Total
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, BOB, CYD, entry, interaction, person


class LedgerConformance(Conformance):
    """What was booked is found by whose it is and by what it was for."""

    def test_a_ledger_is_the_contacts_own_and_newest_first(self, store: Store) -> None:
        first, second, third = entry(1), entry(1, contact=BOB), entry(2)
        store.commit(Changes(contacts={ANN: person(), BOB: person(BOB)}, ledger=[first, second]))
        store.commit(Changes(contacts=store.contacts([ANN]), ledger=[third]))
        found = store.ledger(ANN)
        assert [posting.entry for posting in found] == [third, first]
        assert [posting.entry for posting in store.ledger(ANN, 1)] == [third]
        assert [posting.entry for posting in store.ledger(ANN, before=found[0].place)] == [first]
        assert store.ledger(ANN, before=found[1].place) == []
        assert [posting.entry for posting in store.ledger(BOB)] == [second]
        assert store.ledger(CYD) == []
        assert store.last_entry() == found[0].place

    def test_what_an_input_came_to_is_found_by_its_key(self, store: Store) -> None:
        made = [msgspec.structs.replace(entry(number), position=1) for number in (1, 2)]
        later = msgspec.structs.replace(entry(3), position=2)
        traces = [(ANN, 1, [Trace(1, "booked"), Trace(1, "declined")]), (ANN, -2, [Trace(2, "booked")])]
        changes = Changes(records=[interaction(1), interaction(2)], contacts={ANN: person()}, traces=traces)
        changes.ledger = [*made, later, entry(4)]
        store.commit(changes)
        assert store.position_of(interaction(1).key) == 1
        assert store.position_of(interaction(3).key) == 0
        assert store.booked(1) == made
        assert store.booked(2) == [later]
        assert [entry.what for entry in store.decided(1)] == ["booked", "declined"]
        for position in (0, 3):
            assert store.booked(position) == []
            assert store.decided(position) == []
        store.commit(Changes(contacts={ANN: person()}, erased=[ANN]))
        assert store.position_of(interaction(1).key) == 1
        assert store.booked(1) == []
        assert store.decided(1) == []

    def test_entries_of_the_ledger_are_counted_by_day(self, store: Store) -> None:
        assert store.ledger_days() == {}
        later = entry(2, day=20260102)
        store.commit(Changes(contacts={ANN: person()}, ledger=[entry(1), later]))
        store.commit(Changes(contacts=store.contacts([ANN]), ledger=[entry(3)]))
        assert store.ledger_days() == {
            ("club", 20260101, "earned"): Total(2, 20, 2),
            ("club", 20260102, "earned"): Total(1, 10, 1),
        }

    def test_what_an_erased_contact_had_is_counted_all_the_same(self, store: Store) -> None:
        store.commit(Changes(contacts={ANN: person(), BOB: person(BOB)}, ledger=[entry(1), entry(1, contact=BOB)]))
        gone = entry(2, kind="erased")
        store.commit(Changes(contacts=store.contacts([ANN]), ledger=[gone], erased=[ANN]))
        assert store.ledger(ANN) == []
        assert store.ledger_days()["club", 20260101, "erased"] == Total(1, 10, 1)
        assert store.ledger_days()["club", 20260101, "earned"] == Total(2, 20, 2)
        store.commit(Changes(contacts=store.contacts([BOB]), ledger=[entry(2, contact=BOB)]))
        assert [posting.entry.sequence for posting in store.ledger(BOB)] == [2, 1]
