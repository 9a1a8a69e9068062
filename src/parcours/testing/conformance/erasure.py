"""Erasure: nothing is left of whom it is about, everything of others."""

from __future__ import annotations

from parcours.core import ids
from parcours.core.codec import encode
from parcours.core.contact import Contact
from parcours.core.inputs import Erase, Erased, Interaction
from parcours.ports import Changes, Record, Settlement, Store, Tombstone, redacted_record
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, BOB, CYD, fill, interaction, key, message, more, person


class ErasureConformance(Conformance):
    """What is erased is gone, and the places it had are still counted."""

    def test_of_an_erased_contact_nothing_is_left(self, store: Store) -> None:
        fill(store)
        store.commit(more(store))
        store.flush()
        others = {id_: store.contacts([id_])[id_] for id_ in (BOB, CYD)}
        store.contacts([ANN])
        erase = Erase(position=5, received_at=9_000, occurred_at=9_000)
        stone = Tombstone(9_000, suppressed=False)
        own_key = ids.identity_key("user_id", "ann")
        store.commit(
            Changes(
                records=[Record(5, ANN, key(5), encode(erase))],
                contacts={ANN: Contact(ANN, 9_000, erased_at=9_000)},
                erased=[ANN],
                tombstones={own_key: stone},
            )
        )
        for _ in range(2):
            kinds = [type(record.input()) for record in store.history(ANN)]
            assert kinds == [Erase, Erased, Erased]
            assert [record.position for record in store.history(ANN)] == [5, 4, 2]
            assert store.trace(ANN) == []
            assert [moment.trace for moment in store.timeline(ANN)] == [[], [], []]
            assert store.posted(ANN) == []
            assert ANN not in {item.message.contact for item in store.outbox()}
            assert ANN not in {contact for _, contact in store.fired()}
            assert store.pending("email") == []
            assert store.resolve([("user_id", "ann"), ("user_id", "bob")]) == {("user_id", "bob"): BOB}
            assert dict(store.tombstones()) == {own_key: stone}
            assert store.contacts([ANN])[ANN] == Contact(ANN, 9_000, erased_at=9_000)
            # A repeat of what was erased is still known for one.
            assert store.seen([key(position) for position in range(1, 6)]) == {
                key(position) for position in range(1, 6)
            }
            assert dict(store.outbox_counts()) == {
                ("email", "hello", "sent"): 1,
                ("email", "hello", "cancelled"): 1,
                ("push", "ping", "failed"): 1,
            }
            assert {id_: store.contacts([id_])[id_] for id_ in (BOB, CYD)} == others
            assert [type(record.input()) for record in store.log()][2] is Interaction
            store.forget()
            if store.stale:
                list(store.unfolded())
                store.restore({})
        store.contacts([ANN])
        store.commit(Changes(records=[interaction(6)], contacts={ANN: person()}, messages=[message(7)]))
        assert [record.position for record in store.history(ANN)] == [6, 5, 4, 2]
        assert [item.message for item in store.posted(ANN)] == [message(7)]
        assert store.outbox()[-1] == store.posted(ANN)[0]
        first = store.posted(ANN)[0].sequence
        store.commit(Changes(settlements=[Settlement(first - 1, "sent", 1)]))  # it was under way when it was erased
        assert dict(store.outbox_counts())["email", "hello", "cancelled"] == 1

    def test_of_a_redacted_record_only_its_place_is_left(self, store: Store) -> None:
        records = [interaction(position) for position in range(1, 4)]
        store.commit(Changes(records=records, contacts={ANN: person()}))
        store.commit(Changes(redacted=[2]))
        assert [type(record.input()) for record in store.history(ANN)] == [Interaction, Erased, Interaction]
        assert store.record(2) == redacted_record(records[1])
        assert store.seen([key(2)]) == {key(2)}
