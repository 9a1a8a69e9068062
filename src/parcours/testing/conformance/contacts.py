"""Contacts: their identities, their states and when a timer of theirs comes due."""

from __future__ import annotations

from parcours.core import ids
from parcours.core.contact import Contact, Timer
from parcours.ports import Changes, Identity, Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, BOB, CYD, MANY, person


class ContactsConformance(Conformance):
    """Contacts are as they were committed, whatever the caller does to what it was given."""

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
