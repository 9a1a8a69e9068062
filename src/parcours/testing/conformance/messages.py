"""Messages in the outbox, and what became of them."""

from __future__ import annotations

from parcours.ports import Changes, Settlement, Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import ANN, BOB, CYD, message, person


class MessagesConformance(Conformance):
    """Messages wait in order until they are settled, and are counted by what became of them."""

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
