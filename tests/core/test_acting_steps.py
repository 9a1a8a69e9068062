"""Steps that make something happen: what they do is an input like any other, and the token goes on when it has happened."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.inputs import Enter, Interaction, Update
from tests.core.world import END, START, World, email, journey, send, wait


def update(**values: Any) -> dict[str, Any]:
    return {"type": "update", "set": values, "next": "end"}


def ask(condition: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "decision", "if": condition, "then": "yes", "else": "no", **more}


def records(world: World, who: str) -> list[Any]:
    return [record.input() for record in reversed(world.store.history(world.id_of(who)))]


@pytest.mark.parametrize(
    "value, expected",
    [
        ("gold", "gold"),
        (7, 7),
        (["a"], ["a"]),
        ({"from": "interaction", "attribute": "total"}, 20),
        ({"from": "interaction", "attribute": "order.city"}, "Rome"),
        ({"from": "interaction", "attribute": "order.lines.1"}, "tea"),
        ({"from": "interaction", "attribute": "nothing"}, "before"),
        ({"from": "contact", "attribute": "city"}, "Atlanta"),
        ({"from": "run", "attribute": "key"}, "before"),
        ({"now": True}, "2026-03-02T09:00:00.000Z"),
        ({"remove": True}, None),
        ({"add": 1}, "before"),  # text is no number
    ],
)
def test_values(value: Any, expected: Any):
    world = World(journey({"set": update(x=value), "end": END}))
    world.knows("ann", x="before", city="Atlanta")
    world.did("ann", "Go", total=20, order={"city": "Rome", "lines": ["cup", "tea"]})
    assert world.contact("ann").attributes.get("x") == expected
    assert world.path("ann") == ["set", "end"]


@pytest.mark.parametrize(
    "before, value, expected",
    [
        (None, {"add": 2}, 2),
        (5, {"add": 2}, 7),
        (5, {"subtract": 2.5}, 2.5),
        (5, {"add": {"from": "interaction", "attribute": "total"}}, 25),
        (True, {"add": 2}, True),
        (2**63 - 1, {"add": 1}, 2**63 - 1),
        (1e308, {"add": 1e308}, 1e308),
        (None, {"add": ["a"]}, ["a"]),
        (["a"], {"add": ["a", "b"]}, ["a", "b"]),
        (["a", "b"], {"subtract": ["a"]}, ["b"]),
        (["a"], {"add": {"from": "contact", "attribute": "city"}}, ["a", "Atlanta"]),
        ("a", {"add": ["b"]}, "a"),
    ],
)
def test_sums_and_lists(before: Any, value: Any, expected: Any):
    world = World(journey({"set": update(x=value), "end": END}))
    world.knows("ann", city="Atlanta", **({} if before is None else {"x": before}))
    world.did("ann", "Go", total=20)
    assert world.contact("ann").attributes.get("x") == expected


def test_an_update_is_an_input_that_conditions_segments_and_journeys_see_before_the_token_goes_on():
    gold = {"contact": "tier", "is": "gold"}
    other = {
        "kind": "journey",
        "name": "greet",
        "entry": {"type": "segment", "segment": "gold", "on": "entered"},
        "start": "mail",
        "steps": {"mail": send("news")},
    }
    steps = {"set": update(tier="gold") | {"next": "ask"}, "ask": ask(gold), "yes": END, "no": END}
    segment = {"kind": "segment", "name": "gold", "condition": gold}
    world = World(email("news"), segment, journey(steps), other)
    world.knows("ann")
    world.did("ann", "Go")
    assert world.path("ann") == ["set", "ask", "yes", "mail"]
    assert world.sent("ann") == ["news"]
    _, did, became = records(world, "ann")
    assert isinstance(did, Interaction)
    assert isinstance(became, Update)
    assert (became.attributes, became.received_at, became.source) == ({"tier": "gold"}, START, "")
    assert not world.contact("ann").awaits


def test_what_is_not_as_declared_is_skipped():
    settings = {"kind": "workspace", "contacts": {"attributes": {"tier": {"type": "string"}}}}
    steps = {"set": update(tier={"from": "interaction", "attribute": "total"}), "end": END}
    world = World(settings, journey(steps))
    world.did("ann", "Go", total=7)
    assert world.reasons("ann", What.SKIPPED) == ["wrong_type"]
    assert world.path("ann") == ["set", "end"]
    world.did("ann", "Go", total="gold")
    assert world.contact("ann").attributes["tier"] == "gold"


def test_an_address_may_only_be_removed():
    world = World(
        email("news", purpose="transactional"), journey({"set": update(email={"remove": True}), "end": send("news")})
    )
    world.knows("ann")
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ["no_address"]


def test_lists():
    steps = {
        "lists": {"type": "list", "add": ["vip"], "remove": ["friends"], "next": "ask"},
        "ask": ask({"list": "vip"}),
        "yes": END,
        "no": END,
    }
    world = World({"kind": "list", "name": "vip"}, {"kind": "list", "name": "friends"}, journey(steps))
    world.did("ann", "Go")
    assert world.path("ann") == ["lists", "ask", "yes"]
    assert {name: on.member for name, on in world.contact("ann").lists.items()} == {"vip": True, "friends": False}


def test_what_a_step_records_counts_and_starts_and_moves_like_anything_else():
    first = {"note": {"type": "record", "interaction": "Won back", "attributes": {"by": "mail"}, "next": "ask"}}
    first |= {"ask": ask({"did": "won back", "where": {"interaction": "by", "is": "mail"}}), "yes": END, "no": END}
    waiting = {"listen": {"type": "wait_for", "events": [{"type": "interaction", "interaction": "Won Back"}]}}
    world = World(
        journey(first),
        journey(waiting, name="listener", on="Paid"),
        journey({"end": END}, name="started", on="Won back"),
    )
    world.did("ann", "Paid")
    world.did("ann", "Go")
    entered = [(entry.journey, entry.what) for entry in world.trace("ann", What.ENTERED, What.ENDED)]
    assert entered == [
        ("listener", "entered"),
        ("j", "entered"),
        ("listener", "ended"),
        ("started", "entered"),
        ("started", "ended"),
        ("j", "ended"),
    ]
    assert world.path("ann")[-1] == "yes"


def test_a_step_starts_another_journey_and_hands_values_over():
    handed = {"order": {"from": "interaction", "attribute": "order"}, "why": "test"}
    first = {"go": {"type": "start", "journey": "other", "attributes": handed, "next": "end"}, "end": END}
    second = {"ask": ask({"interaction": "why", "is": "test"}), "yes": wait("1d"), "no": END}
    other = {
        "kind": "journey",
        "name": "other",
        "entry": {"type": "journey", "key": "order"},
        "start": "ask",
        "steps": second,
    }
    world = World(other, journey(first))
    world.did("ann", "Go", order="a1")
    (run,) = world.runs("ann", "other")
    assert (run.key, run.tokens[0].step) == ("a1", "yes")
    assert isinstance(records(world, "ann")[-1], Enter)
    world.did("ann", "Go", order="a1")
    assert world.reasons("ann", What.REFUSED) == ["entered_before"]


def test_steps_of_a_timer_that_fires_late_have_happened_when_it_was_due():
    steps = {
        "pause": wait("1h", next="note"),
        "note": {"type": "record", "interaction": "Woke", "next": "end"},
        "end": END,
    }
    world = World(journey(steps), journey({"end": END}, name="woken", on="Woke"))
    world.did("ann", "Go")
    world.run.clock.set(START + 7_200_000)
    world.did("ann", "Paid")
    _, woke, paid = records(world, "ann")
    assert (woke.name, woke.received_at) == ("woke", START + 3_600_000)
    assert paid.received_at == START + 7_200_000
    assert [entry.at for entry in world.trace("ann", What.ENTERED)] == [START, START + 3_600_000]
