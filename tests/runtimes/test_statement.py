"""The statement is what the ledger says and what members have, day by day, to the point and to the cent."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from parcours.ports import Total
from parcours.runtimes.loyalty.statement import as_csv, statement_of
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.snapshot import EVERYTHING
from parcours.testing.strategies import START, Erases, Scenario, loyal_scenarios, play
from tests.profiles import examples

EARNING = {"earned", "pending"}


@examples(80)
@given(loyal_scenarios())
def test_a_statement_is_what_the_ledger_says_and_what_members_have(scenario: Scenario):
    scenario = Scenario(scenario.definitions, [], [move for move in scenario.moves if not isinstance(move, Erases)])
    simulation = Simulation(MemoryStore(), START)
    play(simulation, scenario)
    contacts = list(simulation.store.scan(limit=EVERYTHING))
    entries = [posting.entry for one in contacts for posting in simulation.store.ledger(one.id, EVERYTHING)]
    rows = list(statement_of(simulation.store.ledger_days(), "club"))
    opening = opening_held = 0
    for row in rows:
        mine = [entry for entry in entries if entry.day == int(row.day.replace("-", ""))]
        assert (row.opening, row.opening_held) == (opening, opening_held)
        assert row.entries == len(mine) > 0
        gained = sum(max(0, entry.amount + entry.held) for entry in mine if entry.kind in EARNING)
        assert row.earned == gained
        assert row.released == sum(-entry.held for entry in mine if entry.kind == "earned")
        for kind in ("spent", "expired", "reversed"):
            assert getattr(row, kind) == -sum(entry.amount + entry.held for entry in mine if entry.kind == kind)
        gone = row.spent + row.expired + row.reversed
        assert row.outstanding == opening + opening_held + row.earned - gone + row.adjusted + row.moved
        opening, opening_held = row.closing, row.closing_held
        assert row.outstanding == opening + opening_held
    assert sum(row.entries for row in rows) == len(entries)
    members = [member for contact in contacts for member in contact.loyalty.values()]
    assert opening == sum(member.balance for member in members)
    assert opening_held == sum(member.held for member in members)


@given(st.integers(0, 10**12), st.sampled_from([0.01, 0.005, 0.0033, 1, 2.5]))
def test_money_is_exact_to_the_cent(points: int, worth: float):
    (row,) = statement_of({("club", 20260302, "earned"): Total(1, points, 0)}, "club", worth)
    exact = points * Fraction(str(worth))
    assert abs(Fraction(Decimal(row.liability)) - exact) <= Fraction(1, 200)


def test_other_programmes_are_not_in_it():
    totals = {("club", 20260302, "earned"): Total(2, 30, -10), ("other", 20260302, "earned"): Total(1, 5, 0)}
    (row,) = statement_of(totals, "club")
    assert (row.day, row.earned, row.released, row.closing, row.entries) == ("2026-03-02", 20, 10, 30, 2)
    assert row.liability == ""


def test_as_csv():
    totals = {("club", 20260302, "earned"): Total(1, 30, 0), ("club", 20260303, "spent"): Total(1, -10, 0)}
    lines = list(csv.DictReader(io.StringIO(as_csv(statement_of(totals, "club", 0.01)))))
    assert [(line["day"], line["spent"], line["outstanding"], line["liability"]) for line in lines] == [
        ("2026-03-02", "0", "30", "0.30"),
        ("2026-03-03", "10", "20", "0.20"),
    ]
