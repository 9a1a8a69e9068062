"""What failed for good is told at the step that decided it, once: messages that were not delivered, calls without success."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.figures import StepFigures, figures
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.definitions.message import WEBHOOK
from parcours.runtimes.engine.outcomes import Accepted
from tests.core.world import END, World, email, journey, send, wait

SENDS = journey({"a": send("m", next="b"), "b": wait("9d", next="c"), "c": send("m")})
CALLS = journey({"a": {"type": "webhook", "url": "https://a.example", "next": "b"}, "b": END})
ASKS = journey({"a": {"type": "webhook", "url": "https://a.example", "save": "said", "next": "b"}, "b": END})


def at(world: World, step: str = "a", name: str = "j") -> StepFigures:
    versions = world.run.engine.plan.journeys[name].values()
    found = figures(versions, world.store.statistics())
    return next(one for one in found.steps if one.step == step)


def sent(*definitions: dict[str, Any]) -> World:
    world = World(email("m"), *(definitions or (SENDS,)))
    world.knows("ann")
    world.did("ann", "Go")
    return world


def tells(world: World, reaction: str, number: int = 0, *, id_: str = "", why: str = "", ours: bool = False) -> None:
    found = [*world.run.messages(), *world.run.messages((WEBHOOK,))] if not ours else world.run.messages((WEBHOOK,))
    said = {"error": "550 no such user"}
    arrival = world.arrival("", Reacted(reaction, found[number].id, said, ours=ours, why=why), id_=id_)
    world.accept(arrival)


def test_a_message_that_bounces_is_counted_at_its_step_and_told():
    world = sent()
    tells(world, "bounced")
    assert at(world).failed == {"bounced": 1}
    assert at(world).sent == {"m": 1}
    assert at(world, "c").failed == {}
    (entry,) = world.trace("ann", What.UNDELIVERED)
    (message,) = world.run.messages()
    assert (entry.step, entry.run, entry.reason) == ("a", message.run, "bounced")
    assert entry.detail == {"message_id": message.id, "error": "550 no such user"}


def test_what_is_told_twice_is_counted_once():
    world = sent()
    tells(world, "bounced")
    tells(world, "bounced")
    assert at(world).failed == {"bounced": 1}
    world.after("9d")
    tells(world, "bounced", 1)
    assert at(world).failed == {"bounced": 1}
    assert at(world, "c").failed == {"bounced": 1}


def test_what_is_told_in_one_batch_with_what_sent_it_is_counted_alike():
    world = World(email("m"), SENDS)
    world.knows("ann")
    other = World(email("m"), SENDS)
    other.knows("ann")
    other.did("ann", "Go", id_="go")
    (message,) = other.run.messages()
    go = other.arrival("ann", Happened("Go", {}), id_="go")
    bounces = [world.arrival("", Reacted("bounced", message.id, {}), id_=f"b{number}") for number in range(2)]
    outcomes = world.run.engine.accept([go, *bounces])
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    for bounce in bounces:
        other.accept(bounce)
    assert world.store.statistics() == other.store.statistics()
    assert at(world).failed == {"bounced": 1}


@pytest.mark.parametrize("definition", [CALLS, ASKS])
@pytest.mark.parametrize("why, reason", [("", "refused"), ("refused", "refused"), ("given_up", "given_up")])
def test_a_call_that_fails_for_good_is_counted_whether_or_not_anybody_waits(
    definition: dict[str, Any], why: str, reason: str
):
    world = sent(definition)
    assert at(world).waiting == ("save" in definition["steps"]["a"])
    tells(world, "failed", ours=True, why=why)
    assert at(world).failed == {reason: 1}
    assert at(world).waiting == 0


def test_a_call_that_is_answered_has_not_failed():
    world = sent(ASKS)
    tells(world, "answered", ours=True)
    assert at(world).failed == {}


def test_other_reactions_are_no_failures():
    world = sent()
    for reaction in ("delivered", "opened", "clicked", "complained", "unsubscribed"):
        tells(world, reaction)
    assert at(world).failed == {}


def test_a_door_cannot_say_why():
    """Only the outbox does; what comes in has no such field, and `why` counts only with what is ours."""
    world = sent()
    tells(world, "bounced", why="given_up")
    assert at(world).failed == {"bounced": 1}


def test_tests_are_not_counted():
    world = World(email("m"), SENDS | {"state": "draft", "test": {"recipients": {"email": "qa@parcours.dev"}}})
    world.knows("ann")
    world.run.engine.try_out("j", [world.id_of("ann")], {})
    tells(world, "bounced")
    assert world.trace("ann", What.UNDELIVERED)
    assert at(world).failed == {}


def test_a_message_to_somebody_who_became_part_of_another_is_counted_once():
    world = World(email("m"), SENDS)
    learned = Learned({"email": "a@parcours.dev"}, {"email": "a@parcours.dev"}, {"email": {"": "opted_in"}})
    world.accept(Arrival("test", "known", (("anonymous_id", "x"),), learned))
    world.accept(Arrival("test", "go", (("anonymous_id", "x"),), Happened("Go", {})))
    world.knows("ann")
    world.accept(Arrival("test", "link", (("user_id", "ann"), ("anonymous_id", "x")), Learned()))
    tells(world, "bounced")
    tells(world, "bounced")
    assert at(world).failed == {"bounced": 1}


@pytest.mark.parametrize("more", [{}, {"unavailable": "c"}])
def test_a_reward_that_is_not_issued_is_counted_with_its_reason(more: dict[str, str]):
    mug = {"kind": "reward", "name": "mug", "gift": "a mug", "stock": 1}
    others = {"c": END} if more else {}
    world = World(mug, journey({"a": {"type": "give", "reward": "mug", "next": "b", **more}, "b": END, **others}))
    for who in ("ann", "bob", "cyd"):
        world.did(who, "Go")
    assert at(world).failed == {"out_of_stock": 2}
    assert at(world).left == ({"unavailable": 2} if more else {})
