"""Entries of whoever is met for the first time, and of whom somebody asks to be let in."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.gate import Called, Happened, Learned
from parcours.definitions.load import load_data
from parcours.runtimes.engine import Accepted, Duplicate, Refused
from tests.core.world import World, email, journey, send, wait

MAIL = email("mail", purpose="transactional")
STAYS = {"w": wait("30d")}


def by(type_: str, steps: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    entry = {"type": type_, **more.pop("entry", {})}
    return {**journey(steps or STAYS, **more), "entry": entry}


# --- contact created --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [Happened("Go", {}), Learned({"city": "Bonn"})])
def test_whoever_is_met_for_the_first_time_enters_once(what: Happened | Learned):
    world = World(MAIL, by("contact_created"))
    world.accept(world.arrival("ann", what))
    world.did("ann", "Go")
    assert len(world.runs("ann")) == 1


def test_only_if_the_condition_is_true_of_what_came_with_it():
    world = World(MAIL, by("contact_created", entry={"where": {"contact": "city", "is": "Bonn"}}))
    world.accept(world.arrival("ann", Learned({"city": "Bonn"})))
    world.accept(world.arrival("bob", Learned({"city": "Ulm"})))
    world.knows("bob", city="Bonn")
    assert [len(world.runs(who)) for who in ("ann", "bob")] == [1, 0]
    assert world.trace("bob") == []


def test_who_was_there_before_or_is_only_history_does_not_enter():
    world = World(MAIL)
    world.did("ann", "Go")
    world.publish(by("contact_created"))
    world.did("ann", "Go")
    arrival = world.arrival("bob", Happened("Go", {}))
    arrival.backfill = True
    world.accept(arrival)
    world.did("bob", "Go")
    assert [len(world.runs(who)) for who in ("ann", "bob")] == [0, 0]


def test_who_is_put_on_the_way_by_the_entry_of_another_journey_is_met_there():
    world = World(MAIL, by("contact_created"), by("api", name="k"))
    world.accept(world.arrival("ann", Called("k")))
    assert [len(world.runs("ann", name)) for name in ("j", "k")] == [1, 1]


# --- over the API -----------------------------------------------------------------------------------------------------


def test_whoever_is_called_enters_with_the_attributes_given():
    steps = {
        "d": {"type": "decision", "if": {"interaction": "total", "more_than": 10}, "then": "s", "else": "w"},
        "s": send("mail"),
        **STAYS,
    }
    world = World(MAIL, by("api", steps))
    world.knows("ann")
    world.accept(world.arrival("ann", Called("j", {"total": 5})))
    world.accept(world.arrival("ann", Called("j", {"total": 15})))
    assert world.sent("ann") == ["mail"]
    (message,) = world.messages("ann")
    record = world.store.record(message.trigger)
    assert record is not None
    assert record.input().attributes == {"total": 15}  # type: ignore[union-attr]


def test_each_value_of_the_key_has_a_run_and_without_it_nobody_enters():
    world = World(by("api", entry={"key": "order"}, re_entry="never"))
    for order in ("a", "b", "a", None):
        world.accept(world.arrival("ann", Called("j", {"order": order})))
    assert [run.key for run in world.runs("ann")] == ["a", "b"]
    assert world.reasons("ann", What.REFUSED) == ["entered_before", "no_key"]


def test_the_condition_may_look_at_what_is_given_and_its_answer_is_in_the_trace():
    world = World(by("api", entry={"where": {"interaction": "total", "more_than": 10}}))
    world.accept(world.arrival("ann", Called("j", {"total": 5})))
    (entry,) = world.trace("ann", What.REFUSED)
    assert (entry.reason, entry.detail) == ("not_matching", {"where": "interaction.total > 10"})


def test_a_call_is_accepted_once_by_its_id():
    world = World(by("api"))
    first, again = (world.arrival("ann", Called("j"), id_="x") for _ in range(2))
    assert isinstance(world.send(first)[0], Accepted)
    assert world.send(again) == [Duplicate()]
    assert len(world.runs("ann")) == 1


@pytest.mark.parametrize("name, code", [("k", "no_api_entry"), ("draft", "not_live"), ("jj", "unknown_journey")])
def test_a_call_for_a_journey_that_is_not_called_is_refused(name: str, code: str):
    world = World(by("api"), journey(STAYS, name="k"), by("api", name="draft", state="draft"))
    (outcome,) = world.send(world.arrival("ann", Called(name)))
    assert isinstance(outcome, Refused)
    assert outcome.problem.code == code
    assert world.store.counts()["contacts"] == 0


def test_the_newest_version_is_entered():
    world = World(by("api"))
    world.publish(by("api", {"w": wait("1d")}))
    world.accept(world.arrival("ann", Called("j")))
    assert [run.version for run in world.runs("ann")] == [2]


def test_conditions_may_look_at_what_is_given_only_where_something_is():
    asks = {"d": {"type": "decision", "if": {"interaction": "total", "is_present": True}}}
    definitions = [by("api", asks, name="a"), by("journey", asks, name="b"), by("contact_created", asks, name="c")]
    _, errors, _ = load_data(definitions)
    assert [(problem.code, problem.pointer) for problem in errors] == [
        ("no_interaction", "/definitions/2/steps/d/if/interaction")
    ]
