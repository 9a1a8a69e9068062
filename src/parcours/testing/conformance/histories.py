"""Histories, traces and timelines: what happened to a contact and what was decided, newest first."""

from __future__ import annotations

from parcours.core.effects import What
from parcours.ports import Changes, Moment, Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, BOB, CYD, entries, interaction, person


class HistoriesConformance(Conformance):
    """What happened to a contact is told with nothing of others, and page by page."""

    def test_a_history_is_the_contacts_own_and_newest_first(self, store: Store) -> None:
        records = [interaction(position, (ANN, BOB)[position % 2]) for position in range(1, 13)]
        for start in (0, 1, 2, 7):  # batches of one record and of several
            part = records[start : {0: 1, 1: 2, 2: 7, 7: 12}[start]]
            store.contacts([ANN, BOB])
            store.commit(Changes(records=part, contacts={record.contact: person(record.contact) for record in part}))
        of_bob = [record for record in reversed(records) if record.contact == BOB]
        assert store.history(BOB) == of_bob
        assert store.history(BOB, limit=2) == of_bob[:2]
        assert store.history(CYD) == []

    def test_a_history_goes_on_after_forgetting(self, store: Store) -> None:
        for position in range(1, 5):
            store.contacts([ANN])
            store.commit(Changes(records=[interaction(position)], contacts={ANN: person()}))
            store.forget()
        assert [record.position for record in store.history(ANN)] == [4, 3, 2, 1]

    def test_a_trace_is_the_contacts_own_and_newest_first(self, store: Store) -> None:
        first = Changes(
            records=[interaction(1), interaction(2)],
            contacts={ANN: person(), BOB: person(BOB)},
            traces=[
                (ANN, 1, entries(What.ENTERED, What.ARRIVED)),
                (BOB, 0, entries(What.ENDED)),
                (ANN, -1, entries(What.BRANCHED)),
                (ANN, 2, entries(What.SENT)),
            ],
        )
        store.commit(first)
        store.contacts([ANN])
        store.commit(Changes(contacts={ANN: person()}, traces=[(ANN, -2, entries(What.ENDED, at=9))]))
        of_ann = [
            (0, entries(What.ENDED, at=9)),
            (2, entries(What.SENT)),
            (0, entries(What.BRANCHED)),
            (1, entries(What.ENTERED, What.ARRIVED)),
        ]
        assert store.trace(ANN) == of_ann
        assert store.trace(ANN, limit=2) == of_ann[:2]
        assert store.trace(BOB) == [(0, entries(What.ENDED))]
        assert store.trace(CYD) == []

    def test_a_timeline_has_inputs_and_timers_in_pages(self, store: Store) -> None:
        records = [interaction(position, (ANN, BOB)[position % 2]) for position in range(1, 9)]
        store.commit(
            Changes(
                records=records[:4],
                contacts={ANN: person(), BOB: person(BOB)},
                traces=[
                    (ANN, 0, entries(What.ENTERED)),
                    (ANN, 2, entries(What.SENT)),
                    (ANN, -3, entries(What.BRANCHED)),
                    (BOB, -3, entries(What.BRANCHED)),
                    (ANN, -3, entries(What.ENDED)),
                ],
            )
        )
        store.contacts([ANN, BOB])
        store.commit(Changes(records=records[4:], contacts={ANN: person(), BOB: person(BOB)}))
        whole = store.timeline(ANN)
        seen = [(moment.position, moment.record, [entry.what for entry in moment.trace]) for moment in whole]
        assert seen == [
            (8, records[7], []),
            (6, records[5], []),
            (4, records[3], []),
            (3, None, [What.ENDED]),
            (3, None, [What.BRANCHED]),
            (2, records[1], [What.SENT]),
            (0, None, [What.ENTERED]),
        ]
        for size in (1, 2, 3, 7):
            paged: list[Moment] = []
            while page := store.timeline(ANN, size, (paged[-1].position, paged[-1].row) if paged else None):
                paged += page
            assert paged == whole
        assert store.timeline(ANN, 9, (7, 0)) == whole[1:]  # a place that is another contact's
        assert store.timeline(CYD) == []

    def test_what_was_traced_apart_from_inputs_is_told_in_order(self, store: Store) -> None:
        store.commit(
            Changes(
                records=[interaction(1)],
                contacts={ANN: person(), BOB: person(BOB)},
                traces=[(ANN, 1, entries(What.SENT)), (BOB, 0, entries(What.ENDED)), (ANN, -1, entries(What.ENDED))],
            )
        )
        store.contacts([BOB])
        store.commit(Changes(contacts={BOB: person(BOB)}, traces=[(BOB, -1, entries(What.JOINED))]))
        found = store.fired()
        assert [contact for _, contact in found] == [BOB, ANN, BOB]
        assert sorted(row for row, _ in found) == [row for row, _ in found]
        assert store.fired(found[0][0], 1) == found[1:2]
        assert store.fired(found[2][0]) == []
