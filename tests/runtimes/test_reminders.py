"""Who is looked at next for timers: as a plain list of everything would have it."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from parcours.runtimes.engine import reminders as reminders_module
from parcours.runtimes.engine.reminders import Reminders
from tests.profiles import examples

CONTACTS = st.sampled_from([f"c{number}" for number in range(9)])
INSTANTS = st.one_of(st.integers(0, 20), st.integers(0, 20).map(lambda n: n * 500), st.integers(0, 2**43))
MOVES = st.one_of(
    st.tuples(st.just("add"), INSTANTS, CONTACTS),
    st.tuples(st.just("take"), INSTANTS, st.integers(1, 3)),
)


@examples(300)
@given(st.lists(st.tuples(INSTANTS, CONTACTS), max_size=8), st.lists(MOVES, max_size=40), st.integers(1, 4))
def test_everybody_is_looked_at_when_first_due_in_the_order_of_that(
    there: list[tuple[int, str]], moves: list[tuple[str, int, str | int]], block: int
):
    with mock.patch.object(reminders_module, "BLOCK", block):
        check(there, moves)


def check(there: list[tuple[int, str]], moves: list[tuple[str, int, str | int]]) -> None:
    reminders = Reminders(there)
    known: dict[str, int] = {}
    for due, contact in there:
        known[contact] = min(due, known.get(contact, due))
    for move, at, what in moves:
        if move == "add":
            reminders.add(at, str(what))
            known[str(what)] = min(at, known.get(str(what), at))
        else:
            due = sorted((due, contact) for contact, due in known.items() if due <= at)[: int(what)]
            assert reminders.take(at, int(what)) == [contact for _, contact in due]
            for _, contact in due:
                del known[contact]
        first = reminders.next()
        assert len(reminders) >= len(known)
        if known:
            assert first is not None
            assert first <= min(known.values())
    assert sorted(reminders.take(2**44, 100)) == sorted(known)
    assert reminders.next() is None
    assert len(reminders) == 0


def test_what_an_earlier_one_replaced_is_passed_over_when_its_time_comes():
    reminders = Reminders([(10, "ann")])
    reminders.add(5, "ann")
    assert reminders.take(5, 9) == ["ann"]
    reminders.add(20, "ann")
    assert reminders.take(15, 9) == []
    assert reminders.take(20, 9) == ["ann"]
    assert len(reminders) == 0
