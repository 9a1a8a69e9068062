"""The seed journey under `examples/seed`, on a virtual clock: each path gives exactly what the semantics say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parcours.core.effects import What
from parcours.definitions.load import Source, dump, load
from tests.core.world import World

SEED = Path(__file__).resolve().parents[2] / "examples" / "seed"


@pytest.fixture
def world() -> World:
    """Ann, Bob and Cyd are known when the journey goes live; Cyd is too old for it and Dan lives elsewhere."""
    sources = [Source(file.name, file.read_text(encoding="utf-8")) for file in sorted(SEED.glob("*.yaml"))]
    workspace, problems, warnings = load(sources)
    assert not problems
    assert not warnings
    world = World()
    world.knows("ann", city="Atlanta", birth_date="1991-05-17")
    world.knows("bob", city="Seattle", birth_date="1981-01-01")
    world.knows("cyd", city="Seattle", birth_date="1980-12-31")
    world.knows("dan", city="Boston", birth_date="1991-05-17")
    world.publish(*[dump(definition) for definition in workspace.all()])
    return world


OFFER = ["offer-email", "offer-push"]


def buys(world: World, who: str, message: str = "thank you") -> None:
    world.did(who, "Purchase", purchaseMessage=message, amount=20)


def test_members_of_the_segment_get_the_offer_by_both_channels(world: World):
    assert world.sent("ann") == OFFER
    assert world.sent("bob") == OFFER


def test_who_is_not_in_the_segment_gets_nothing(world: World):
    for who in ("cyd", "dan"):
        buys(world, who)
        world.after("2d")
        assert world.sent(who) == []
        assert world.trace(who) == []


def test_who_comes_to_belong_to_the_segment_later_does_not_enter_for_it_is_read_once(world: World):
    world.knows("dan", city="Atlanta")
    world.knows("eve", city="Atlanta", birth_date="2000-01-01")
    world.after("2d")
    assert world.sent("dan") == world.sent("eve") == []


@pytest.mark.parametrize("opened", [0, 1])
def test_opened_one_second_before_the_timeout_means_no_reminder(world: World, opened: int):
    world.after("1d-1s")
    world.reacts(world.messages("ann")[opened], "opened")
    world.after("2d")
    assert world.sent("ann") == OFFER
    assert world.path("ann") == ["offer", "opened", "purchase"]


@pytest.mark.parametrize("opened", [0, 1])
def test_opened_at_the_timeout_means_a_reminder(world: World, opened: int):
    first = world.messages("ann")[opened]
    world.after("1d")
    world.reacts(first, "opened")
    assert world.sent("ann") == [*OFFER, "reminder-email"]
    assert world.path("ann") == ["offer", "opened", "reminder", "purchase"]


def test_opened_at_the_timeout_in_the_same_millisecond_but_before_the_timer_was_looked_at(world: World):
    first = world.messages("ann")[0]
    world.run.clock.set(world.now + 86_400_000)  # the clock is there, and no timer has fired yet
    world.reacts(first, "opened")
    assert world.sent("ann") == [*OFFER, "reminder-email"]


def test_both_opened_is_one_path(world: World):
    world.after("1h")
    email, push = world.messages("ann")
    world.reacts(push, "opened")
    world.reacts(email, "opened")
    assert world.path("ann") == ["offer", "opened", "purchase"]
    assert world.reasons("ann", What.BRANCHED) == ["opened offer-push"]
    world.after("2d")
    buys(world, "ann")
    assert world.sent("ann") == [*OFFER, "thank-you-push"]


def test_another_reaction_and_somebody_elses_reaction_move_nothing(world: World):
    email, push = world.messages("ann")
    world.reacts(email, "delivered")
    world.reacts(push, "bounced")
    world.reacts(world.messages("bob")[0], "opened")
    assert world.path("ann") == ["offer", "opened"]


def test_a_purchase_the_rule_refuses_does_nothing(world: World):
    world.reacts(world.messages("ann")[0], "opened")
    before = world.contact("ann").runs
    buys(world, "ann", "declined")
    world.did("ann", "Purchase")
    assert world.sent("ann") == OFFER
    assert world.contact("ann").runs == before
    assert world.reasons("ann", What.NOT_COUNTED) == ["purchase", "purchase"]


@pytest.mark.parametrize("way", ["opened", "reminded"])
def test_each_path_is_thanked_once_on_the_purchase(world: World, way: str):
    if way == "opened":
        world.reacts(world.messages("ann")[1], "opened")
    else:
        world.after("1d")
    thanked = [*world.sent("ann"), "thank-you-push"]
    buys(world, "ann")
    buys(world, "ann")
    assert world.sent("ann") == thanked
    assert world.contact("ann").runs == {}
    assert world.contact("ann").timers == []
    assert world.reasons("ann", What.ENDED) == ["finished"]


def test_a_purchase_before_anything_was_opened_is_not_waited_for_yet(world: World):
    buys(world, "ann")
    world.reacts(world.messages("ann")[0], "opened")
    assert world.sent("ann") == OFFER
    buys(world, "ann")
    assert world.sent("ann") == [*OFFER, "thank-you-push"]


def test_publishing_the_journey_again_enters_nobody_a_second_time(world: World):
    sources = [Source(file.name, file.read_text(encoding="utf-8")) for file in sorted(SEED.glob("*.yaml"))]
    workspace, _, _ = load(sources)
    definitions = [dump(definition) for definition in workspace.all()]
    world.publish(*definitions)
    world.publish(*[{**item, "title": "Changed"} | _longer(item) for item in definitions])
    assert world.sent("ann") == OFFER
    assert world.run.engine.plan.newest["seed"].version == 2


def _longer(item: dict[str, Any]) -> dict[str, Any]:
    return {"max_duration": "60d"} if item["kind"] == "journey" else {}


def test_message_ids_are_the_same_in_every_simulation_and_differ_from_each_other(world: World):
    ids = [message.id for message in world.run.messages()]
    assert len(ids) == len(set(ids)) == 4
    assert [message.id for message in world.messages("ann")] == [
        entry.detail["message_id"] for entry in world.trace("ann", What.SENT) if entry.detail
    ]
