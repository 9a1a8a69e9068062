"""What every store must do, as tests: inherit from `StoreConformance` and say how a store is made.

    class TestMyStore(StoreConformance):
        def make_store(self, folder: Path) -> Store:
            return MyStore(folder / "store")

Run by pytest, which is not a dependency of parcours: install it beside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parcours.core import ids
from parcours.core.codec import encode
from parcours.core.contact import Contact, Run, Sent, Timer, Token
from parcours.core.effects import Entry, Message, Trace, What
from parcours.core.inputs import Erase, Erased, Interaction, Publish
from parcours.core.member import Lot, Member
from parcours.errors import StoreError
from parcours.ports import Changes, Identity, Moment, Record, Settlement, Store, Tombstone, Total, redacted_record
from parcours.testing.snapshot import EVERYTHING, snapshot

# ruff: noqa: PLR2004, S101 (these are tests: they assert, and the expected number stands in the assertion)

ANN, BOB, CYD = sorted(ids.contact_id("user_id", name) for name in ("ann", "bob", "cyd"))
"""Three contacts, in the order of their ids."""

MANY = 1_234
"""More than a store is likely to ask for at once."""


def interaction(position: int, contact: str = ANN, received_at: int = 0) -> Record:
    """Return a record of a contact's interaction; when nothing is said, time goes on by a second a record."""
    time = received_at or position * 1_000
    item = Interaction(
        position=position,
        received_at=time,
        occurred_at=time,
        name="seen",
        attributes={"n": position, "nested": {"é": [1.5, None, True, "\U0001f600"]}},
        source="test",
        message_id=f"m{position}",
    )
    return Record(position, contact, key(position), encode(item))


def publication(position: int, name: str = "Seen") -> Record:
    """Return a record of a publication."""
    definitions: list[dict[str, Any]] = [{"kind": "interaction", "name": name}]
    item = Publish(position=position, received_at=position * 1_000, occurred_at=1, definitions=definitions)
    return Record(position, "", key(position), encode(item))


def key(position: int) -> bytes:
    """Return the message key of the record at a position."""
    return ids.message_key("test", f"m{position}")


def person(id_: str = ANN, *, due: int | None = None, **attributes: Any) -> Contact:
    """Return a contact that uses every field, with a run that waits if `due` says until when."""
    contact = Contact(
        id_,
        time=5,
        attributes=attributes,
        addresses={"email": "a@parcours.dev", "push": None},
        consent={"email": {"": "opted_in", "news": "opted_out"}},
        identities=[("user_id", id_)],
        counters={"abc": [1, 2, 3]},
        past={"j": {"": 4}},
        figures={"def": [(1, 2, 3.5), (2, 1, ["a"])]},
        messages={"m": Sent("hello", "email", 1, {"opened": 2})},
        loyalty={
            "club": Member(
                1, card="c", lots=[Lot("l", "r", 1, 2, 2)], qualified=[(1, 2)], limits={"r/day": {1: (1, 2)}}
            )
        },
    )
    if due is not None:
        contact.runs = {
            "j": {"r": Run("r", "j", 1, "k", 1, 1, {"total": 1.5}, [Token(1, "w", 1)], {"s": 1}, {"m": ["i"]})}
        }
        contact.timers = [Timer(due, 2, "j", "r", 1), Timer(due + 1, 1, "j", "r", 0)]
        contact.created = 2
    return contact


def message(
    number: int, *, contact: str = ANN, channel: str = "email", name: str = "hello", priority: int = 0
) -> Message:
    """Return a message."""
    return Message(
        id=ids.message_id(contact, "r", "s", number, name),
        contact=contact,
        channel=channel,
        address="a@parcours.dev",
        message=name,
        version=1,
        journey="j",
        run="r",
        decided_at=number,
        trigger=1,
        attributes={"n": number, "é": ["\U0001f600"]},
        priority=priority,
    )


def entry(number: int, *, contact: str = ANN, day: int = 20260101, kind: str = "earned") -> Entry:
    """Return an entry of the ledger."""
    return Entry(
        id=f"{contact}-{number}",
        contact=contact,
        programme="club",
        sequence=number,
        at=number,
        day=day,
        kind=kind,
        amount=10,
        held=1,
        balance=number * 10,
        pending=number,
        rule="r",
        position=number,
        occurred_at=number,
        lot="l",
        reference="é",
        reason="because",
        author="eve",
    )


def entries(*whats: str, at: int = 1) -> list[Trace]:
    """Return a trace."""
    return [Trace(at, what, "j", 1, "r", "s", "because", {"seen": [1, "é"]}) for what in whats]


class StoreConformance:
    """The contract of `ports.Store`. A subclass says how a store is made."""

    durable = True
    """Whether what was committed is still there after `reopen`."""

    def make_store(self, folder: Path) -> Store:
        """Return the store that lives in a folder, made if it is not there."""
        raise NotImplementedError

    def reopen(self, store: Store, folder: Path) -> Store:
        """Close a store and return it as another process would find it."""
        store.close()
        return self.make_store(folder)

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A new store."""
        store = self.make_store(tmp_path)
        yield store
        store.close()

    # --- an empty store -----------------------------------------------------------------------------------------------

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

    # --- the log ------------------------------------------------------------------------------------------------------

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

    # --- identities and contacts --------------------------------------------------------------------------------------

    def test_identities_are_resolved_by_namespace_and_value(self, store: Store) -> None:
        given: dict[Identity, str] = {("user_id", "1"): ANN, ("email", "1"): BOB, ("user_id", "\U0001f600 é"): CYD}
        store.commit(Changes(identities=given, contacts={id_: person(id_) for id_ in (ANN, BOB, CYD)}))
        asked: list[Identity] = [*given, ("user_id", "2"), ("phone", "1"), ("user_id", "")]
        assert store.resolve(asked) == given
        assert store.resolve([("user_id", "2")]) == {}

    def test_many_identities_are_resolved_at_once(self, store: Store) -> None:
        given: dict[Identity, str] = {
            ("user_id", str(number)): ids.contact_id("n", str(number)) for number in range(MANY)
        }
        store.commit(Changes(identities=given, contacts={id_: person(id_) for id_ in given.values()}))
        store.forget()
        assert store.resolve([*given, ("user_id", "none")]) == given

    def test_an_identity_may_move_to_another_contact(self, store: Store) -> None:
        people = {ANN: person(ANN), BOB: person(BOB)}
        store.commit(Changes(identities={("user_id", "1"): ANN}, contacts=people))
        store.commit(Changes(identities={("user_id", "1"): BOB}))
        assert store.resolve([("user_id", "1")]) == {("user_id", "1"): BOB}

    def test_contacts_are_given_as_they_were_committed(self, store: Store) -> None:
        people = {ANN: person(ANN, due=50, city="Zürich", n=1.5), BOB: Contact(BOB)}
        store.commit(Changes(contacts=people))
        store.forget()
        assert store.contacts([BOB, CYD, ANN]) == {ANN: person(ANN, due=50, city="Zürich", n=1.5), BOB: Contact(BOB)}
        assert store.counts()["contacts"] == 2

    def test_many_contacts_are_given_at_once(self, store: Store) -> None:
        names = [ids.contact_id("n", str(number)) for number in range(MANY)]
        store.commit(Changes(contacts={id_: person(id_) for id_ in names}))
        store.forget()
        assert set(store.contacts([*names, CYD])) == set(names)
        assert store.counts()["contacts"] == MANY

    def test_a_contact_that_was_changed_and_committed_is_changed(self, store: Store) -> None:
        store.commit(Changes(contacts={ANN: person()}))
        for step in range(3):
            contact = store.contacts([ANN])[ANN]
            contact.attributes["step"] = step
            store.commit(Changes(contacts={ANN: contact}))
        store.forget()
        assert store.contacts([ANN])[ANN].attributes == {"step": 2}
        assert store.counts()["contacts"] == 1

    def test_a_contact_that_was_changed_and_forgotten_is_as_before(self, store: Store) -> None:
        store.commit(Changes(contacts={ANN: person(city="Atlanta")}))
        contact = store.contacts([ANN])[ANN]
        contact.attributes["city"] = "Boston"
        contact.timers.append(Timer(1, 1, "j", "r", 1))
        store.forget()
        assert store.contacts([ANN])[ANN] == person(city="Atlanta")

    def test_scanning_goes_through_the_ids_in_order(self, store: Store) -> None:
        names = sorted(ids.contact_id("n", str(number)) for number in range(25))
        store.commit(Changes(contacts={id_: person(id_) for id_ in reversed(names)}))
        assert [contact.id for contact in store.scan()] == store.ids() == names
        assert store.ids(names[3], 2) == names[4:6]
        found: list[str] = []
        after = ""
        while slice_ := store.scan(after, 4):
            assert len(slice_) <= 4
            found += [contact.id for contact in slice_]
            after = found[-1]
        assert found == names
        assert store.scan(names[3], 1)[0] == person(names[4])

    def test_changing_what_a_scan_gave_changes_nothing(self, store: Store) -> None:
        store.commit(Changes(contacts={ANN: person()}))
        store.scan()[0].attributes["x"] = 1
        assert store.scan() == [person()]
        assert store.contacts([ANN])[ANN] == person()

    def test_the_first_timer_of_each_contact_is_told(self, store: Store) -> None:
        people = {ANN: person(ANN, due=50), BOB: person(BOB), CYD: person(CYD, due=10)}
        store.commit(Changes(contacts=people))
        assert sorted(store.due_times()) == [(10, CYD), (50, ANN)]
        store.contacts([ANN, CYD])
        store.commit(Changes(contacts={ANN: person(ANN), CYD: person(CYD, due=70)}))
        assert sorted(store.due_times()) == [(70, CYD)]

    # --- histories and traces -----------------------------------------------------------------------------------------

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

    # --- the outbox ---------------------------------------------------------------------------------------------------

    def test_pending_messages_are_read_by_channel_in_order(self, store: Store) -> None:
        mails = [message(number) for number in range(5)]
        pushes = [message(number, channel="push", name="ping") for number in range(5)]
        for mail, push in zip(mails, pushes, strict=True):
            store.commit(Changes(messages=[mail, push]))
        found = store.pending("email")
        assert [item.message for item in found] == mails
        assert [item.message for item in store.pending("push")] == pushes
        assert store.pending("sms") == []
        sequences = [item.sequence for item in found]
        assert sequences == sorted(set(sequences))
        assert all((item.attempts, item.due, item.error) == (0, 0, "") for item in found)
        assert store.pending("email", after=sequences[1]) == found[2:]
        assert store.pending("email", after=sequences[1], limit=2) == found[2:4]
        assert store.pending("email", after=sequences[-1]) == []

    def test_what_is_settled_is_no_longer_pending(self, store: Store) -> None:
        store.commit(Changes(messages=[message(number) for number in range(3)]))
        one, two, three = (item.sequence for item in store.pending("email"))
        store.commit(
            Changes(settlements=[Settlement(one, "sent", 1), Settlement(three, "failed", 4, error="no such user")])
        )
        assert [item.sequence for item in store.pending("email")] == [two]

    def test_what_is_to_be_tried_again_says_when_and_why(self, store: Store) -> None:
        store.commit(Changes(messages=[message(1), message(2)]))
        one, two = (item.sequence for item in store.pending("email"))
        for attempts in (1, 2):
            store.commit(
                Changes(settlements=[Settlement(one, "pending", attempts, due=attempts * 7, error="later, é")])
            )
        first, second = store.pending("email")
        assert (first.sequence, first.attempts, first.due, first.error) == (one, 2, 14, "later, é")
        assert (second.sequence, second.attempts, second.due, second.error) == (two, 0, 0, "")
        assert first.message == message(1)
        store.commit(Changes(settlements=[Settlement(one, "sent", 3)]))
        assert [item.sequence for item in store.pending("email")] == [two]

    def test_those_of_a_high_priority_are_found_ahead_of_the_line(self, store: Store) -> None:
        ranks = (0, 3, -1, 1, 2)
        store.commit(Changes(messages=[message(number, priority=rank) for number, rank in enumerate(ranks)]))
        store.commit(Changes(messages=[message(9, priority=1, channel="push")]))
        everything = store.pending("email")
        assert [item.message.priority for item in everything] == list(ranks)
        urgent = store.pending("email", urgent=True)
        assert [item.message.priority for item in urgent] == [3, 1, 2]
        assert store.pending("email", urgent[0].sequence, 1, urgent=True) == urgent[1:2]
        store.commit(Changes(settlements=[Settlement(urgent[1].sequence, "sent", 1)]))
        assert store.pending("email", urgent=True) == [urgent[0], urgent[2]]

    def test_messages_are_counted_by_channel_definition_and_state(self, store: Store) -> None:
        store.commit(Changes(messages=[message(1), message(2), message(3), message(4, channel="push", name="ping")]))
        one, two, _ = (item.sequence for item in store.pending("email"))
        assert dict(store.outbox_counts()) == {("email", "hello", "pending"): 3, ("push", "ping", "pending"): 1}
        store.commit(Changes(settlements=[Settlement(one, "sent", 1), Settlement(two, "pending", 1, 5, "x")]))
        again = Settlement(one, "sent", 1)  # settled twice is settled once
        store.commit(Changes(settlements=[again, Settlement(two, "failed", 2, error="x"), Settlement(999, "sent", 1)]))
        assert dict(store.outbox_counts()) == {
            ("email", "hello", "pending"): 1,
            ("email", "hello", "sent"): 1,
            ("email", "hello", "failed"): 1,
            ("push", "ping", "pending"): 1,
        }

    def test_the_messages_of_a_contact_are_told_newest_first_with_what_became_of_them(self, store: Store) -> None:
        store.commit(
            Changes(
                messages=[message(1), message(2, contact=BOB), message(3)],
                contacts={ANN: person(), BOB: person(BOB)},
            )
        )
        store.contacts([ANN])
        store.commit(Changes(messages=[message(4, channel="push")], contacts={ANN: person()}))
        one, _, three = (item.sequence for item in store.pending("email"))
        store.commit(Changes(settlements=[Settlement(one, "sent", 1), Settlement(three, "failed", 4, error="no")]))
        found = store.posted(ANN)
        assert [(item.message, item.state, item.attempts, item.error) for item in found] == [
            (message(4, channel="push"), "pending", 0, ""),
            (message(3), "failed", 4, "no"),
            (message(1), "sent", 1, ""),
        ]
        assert store.posted(ANN, limit=1) == found[:1]
        assert store.posted(ANN, before=found[0].sequence) == found[1:]
        assert store.posted(ANN, 1, before=found[1].sequence) == found[2:]
        assert store.posted(CYD) == []
        everything = store.outbox()
        assert [item.message for item in everything] == [
            message(1),
            message(2, contact=BOB),
            message(3),
            message(4, channel="push"),
        ]
        assert [item for item in everything if item.message.contact == ANN] == found[::-1]
        assert store.outbox(everything[1].sequence, 1) == everything[2:3]
        assert store.outbox(everything[-1].sequence) == []

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

    # --- erasure ------------------------------------------------------------------------------------------------------

    def test_of_an_erased_contact_nothing_is_left(self, store: Store) -> None:
        self._fill(store)
        store.commit(self._more(store))
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

    # --- items and what was learned -----------------------------------------------------------------------------------

    def test_items_are_kept_by_catalogue_and_id(self, store: Store) -> None:
        store.commit(
            Changes(items={("shoes", "a"): {"price": 1.5}, ("shoes", "b"): {"tags": ["é"]}, ("hats", "a"): {"n": 1}})
        )
        assert store.items("shoes", ["a", "b", "c"]) == {"a": {"price": 1.5}, "b": {"tags": ["é"]}}
        assert store.items("hats", ["a"]) == {"a": {"n": 1}}
        assert store.items("none", ["a"]) == {}
        store.commit(Changes(items={("shoes", "a"): None, ("shoes", "b"): {}, ("shoes", "Z"): {"z": None}}))
        assert store.scan_items("shoes") == [("Z", {"z": None}), ("b", {})]
        assert store.scan_items("shoes", after="Z") == [("b", {})]
        assert store.scan_items("shoes", limit=1) == [("Z", {"z": None})]

    def test_what_was_learned_is_the_last_that_was_kept(self, store: Store) -> None:
        store.commit(Changes(knowledge={"a": b"1", "é": b"2"}))
        store.commit(Changes(knowledge={"a": b"3"}))
        assert dict(store.knowledge()) == {"a": b"3", "é": b"2"}

    # --- counts and marks ---------------------------------------------------------------------------------------------

    def test_statistics_are_added_up(self, store: Store) -> None:
        here, there = ("j", 1, "s", What.SENT, "hello"), ("j", 2, "s", What.SENT, "hello")
        store.commit(Changes(statistics={here: 2, there: 1}))
        store.commit(Changes(statistics={here: 3, ("", 0, "", What.NOT_COUNTED, "é"): 1}))
        assert dict(store.statistics()) == {here: 5, there: 1, ("", 0, "", What.NOT_COUNTED, "é"): 1}

    def test_marks_are_the_last_that_were_made(self, store: Store) -> None:
        store.commit(Changes(marks={"a": "1", "b": ""}))
        store.commit(Changes(marks={"a": "2", "é": "\U0001f600"}))
        assert dict(store.marks()) == {"a": "2", "b": "", "é": "\U0001f600"}
        assert [store.mark(name) for name in ("a", "b", "é", "c")] == ["2", "", "\U0001f600", None]

    def test_one_mark_is_what_it_is_among_all(self, store: Store, tmp_path: Path) -> None:
        self._fill(store)
        store.commit(Changes(marks={"a": "1", "b": "2"}))
        store.flush()
        store.commit(Changes(marks={"a": None}))
        own = ("seen", "states", "heads")  # of a store in SQLite
        assert [store.mark(name) for name in ("a", "b", *own)] == [store.marks().get(name) for name in ("a", "b", *own)]
        store.forget()
        store.commit(Changes(marks={"c": "1"}))
        assert {name: store.mark(name) for name in store.marks()} == dict(store.marks())
        if self.durable:
            store = self.reopen(store, tmp_path)
            try:
                assert (store.mark("a"), store.mark("c")) == (None, "1")
            finally:
                store.close()

    def test_a_mark_can_be_removed(self, store: Store, tmp_path: Path) -> None:
        store.commit(Changes(marks={"a": "1", "b": "2", "c": "3"}))
        store.commit(Changes(marks={"a": None, "never": None, "b": "4"}))
        assert dict(store.marks()) == {"b": "4", "c": "3"}
        store.commit(Changes(marks={"b": None}))
        store.commit(Changes(marks={"b": "5"}))
        store.write(Changes(marks={"c": None}))
        store.finish()
        assert dict(store.marks()) == {"b": "5"}
        if self.durable:
            store = self.reopen(store, tmp_path)
            try:
                assert dict(store.marks()) == {"b": "5"}
            finally:
                store.close()

    # --- all or nothing -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("value", ["\ud800", 2**64, object(), {1j}], ids=["surrogate", "huge", "object", "set"])
    def test_a_batch_with_a_value_that_cannot_be_kept_is_not_kept_at_all(self, store: Store, value: object) -> None:
        self._fill(store)
        before = snapshot(store)
        marks = dict(store.marks())
        changes = self._more(store)
        changes.contacts[CYD] = person(CYD, bad=value)
        with pytest.raises(StoreError):
            store.commit(changes)
        assert snapshot(store) == before
        assert dict(store.marks()) == marks
        assert store.seen([record.key for record in changes.records]) == set()
        assert store.resolve([("user_id", "cyd")]) == {}
        assert store.last_position() == before.counts["records"]

    def test_after_a_batch_that_was_not_kept_the_next_one_is(self, store: Store) -> None:
        self._fill(store)
        bad = self._more(store)
        bad.contacts[CYD] = person(CYD, bad="\udfff")
        with pytest.raises(StoreError):
            store.commit(bad)
        store.commit(self._more(store))
        assert [record.position for record in store.history(ANN)] == [4, 2]
        assert len(store.trace(ANN)) == 2
        assert store.contacts([CYD])[CYD] == person(CYD)
        assert store.resolve([("user_id", "cyd")]) == {("user_id", "cyd"): CYD}
        assert store.statistics()["j", 1, "s", What.SENT, "hello"] == 2
        assert len(store.pending("email")) == 1
        assert store.last_position() == 4

    def test_what_is_written_is_there_once_it_is_finished(self, store: Store) -> None:
        self._fill(store)
        changes = self._more(store)
        store.write(changes)
        finisher = threading.Thread(target=store.finish)
        finisher.start()
        finisher.join()
        assert store.last_position() == 4
        assert len(store.pending("email")) == 1
        assert store.contacts([CYD])[CYD] == person(CYD)

    def test_what_is_written_and_not_finished_is_not_read_yet(self, store: Store) -> None:
        self._fill(store)
        changes = self._more(store)
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
            self._fill(one)
        before = snapshot(store)
        for changes in self._parts(store, passing=passing):
            store.write(changes)
        assert store.last_position() == before.counts["records"]
        assert [record.position for record in store.history(BOB)] == [3]
        store.finish()
        for changes in self._parts(other, passing=passing):
            other.commit(changes)
        assert snapshot(store) == snapshot(other)
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
        self._fill(store)
        before, marks = snapshot(store), dict(store.marks())
        parts = self._parts(store, passing=True)
        store.write(next(parts))
        second = next(parts)
        second.contacts[CYD] = person(CYD, bad="\udfff")
        with pytest.raises(StoreError):
            store.write(second)
        assert (snapshot(store), dict(store.marks())) == (before, marks)
        store.write(next(self._parts(store, passing=True)))
        store.forget()
        assert (snapshot(store), dict(store.marks())) == (before, marks)
        for changes in self._parts(store, passing=True):
            store.commit(changes)
        assert [record.position for record in store.history(BOB)] == [5, 3]
        assert len(store.trace(BOB)) == 1

    # --- after a restart ----------------------------------------------------------------------------------------------

    def test_everything_is_there_after_a_restart(self, store: Store, tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("this store lives as long as the process")
        self._fill(store)
        store.commit(self._more(store))
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

    @staticmethod
    def _fill(store: Store) -> None:
        store.commit(
            Changes(
                records=[publication(1), interaction(2), interaction(3, BOB)],
                identities={("user_id", "ann"): ANN, ("user_id", "bob"): BOB},
                contacts={ANN: person(ANN, due=50), BOB: person(BOB)},
                messages=[message(1), message(1, channel="push", name="ping")],
                traces=[(ANN, 2, entries(What.SENT))],
                statistics={("j", 1, "s", What.SENT, "hello"): 1},
                marks={"read:j": "x"},
                ledger=[entry(1), entry(1, contact=BOB)],
            )
        )

    @staticmethod
    def _more(store: Store) -> Changes:
        """Return changes of every kind."""
        (mail,), (push,) = store.pending("email"), store.pending("push")
        contact = store.contacts([ANN])[ANN]
        contact.attributes["more"] = True
        return Changes(
            records=[interaction(4)],
            identities={("user_id", "cyd"): CYD},
            contacts={ANN: contact, CYD: person(CYD)},
            messages=[message(2)],
            traces=[(ANN, 4, entries(What.SENT)), (CYD, 0, entries(What.ENDED))],
            statistics={("j", 1, "s", What.SENT, "hello"): 1},
            settlements=[Settlement(mail.sequence, "sent", 1), Settlement(push.sequence, "failed", 2, error="x")],
            marks={"read:j": "done", "new": ""},
            ledger=[entry(2), entry(1, contact=CYD, day=20260102)],
        )

    @classmethod
    def _parts(cls, store: Store, *, passing: bool) -> Iterator[Changes]:
        """Yield changes of every kind about some contacts, and then what comes behind about others."""
        first = cls._more(store)
        first.passing = passing
        yield first
        bob = store.contacts([BOB])[BOB]
        bob.attributes["more"] = 1
        yield Changes(
            records=[interaction(5, BOB)],
            contacts={BOB: bob},
            messages=[message(3, contact=BOB)],
            traces=[(BOB, -3, entries(What.ENDED))],
            statistics={("j", 1, "s", What.SENT, "hello"): 2},
            marks={"read:j": "again"},
            ledger=[entry(2, contact=BOB)],
            passing=passing,
        )
