"""A test of a journey reaches the test recipients, the contact's own attributes and lists, and nothing else."""

from __future__ import annotations

from typing import Any

from parcours.core.effects import What
from tests.core.world import END, World, email, journey, ms, send, wait

CLUB = {"kind": "programme", "name": "club"}
TEST = {"waits": "10s", "recipients": {"email": "qa@parcours.dev"}}
HELLO = email("hello", purpose="transactional")
OTHER = {
    **journey({"w": wait("1d", next="s"), "s": send("hello")}, name="other", test=TEST),
    "entry": {"type": "journey"},
}


def tried(steps: dict[str, Any], *more: Any) -> World:
    """Ann, with whom a journey of these steps is tested, beside a real one that greets whoever is Seen."""
    real = journey({"s": send("hello")}, on="Seen", name="real")
    world = World(HELLO, real, *more, journey({**steps, "end": END}, test=TEST))
    world.knows("ann")
    world.run.engine.try_out("j", [world.id_of("ann")], {})
    return world


def skipped(world: World) -> list[tuple[str, str]]:
    return [(entry.step, entry.reason) for entry in world.trace("ann", What.SKIPPED)]


def test_what_is_recorded_in_a_test_is_not_and_starts_nothing():
    world = tried({"a": {"type": "record", "interaction": "Seen", "next": "end"}})
    assert skipped(world) == [("a", "test")]
    assert world.reasons("ann", What.ENDED) == ["finished"]
    assert world.sent("ann") == []


def test_points_memberships_and_rewards_are_not_given_in_a_test():
    reward = {"kind": "reward", "name": "ten", "percent": 10, "stock": 1}
    world = tried(
        {
            "a": {"type": "enrol", "programme": "club", "next": "b"},
            "b": {"type": "award", "programme": "club", "points": 50, "next": "c"},
            "c": {"type": "give", "reward": "ten", "next": "end", "unavailable": "end"},
        },
        CLUB,
        reward,
    )
    assert skipped(world) == [("a", "test"), ("b", "test"), ("c", "test")]
    assert world.path("ann") == ["a", "b", "c", "end"]
    assert world.contact("ann").loyalty == {}
    assert world.contact("ann").coupons == {}


def test_a_journey_that_a_test_starts_is_tested_too():
    world = tried({"a": {"type": "start", "journey": "other", "attributes": {"total": 5}, "next": "end"}}, OTHER)
    (run,) = world.runs("ann", "other")
    assert run.test
    assert run.id.startswith("test-")
    world.after("10s")
    assert [(message.message, message.address) for message in world.messages("ann")] == [("hello", "qa@parcours.dev")]
    assert not any(place[0] == "other" for place in world.store.statistics())


def test_a_journey_that_is_paused_is_not_started_by_a_test():
    world = tried({"a": {"type": "start", "journey": "other", "next": "end"}}, {**OTHER, "state": "paused"})
    assert skipped(world) == [("a", "test")]
    assert world.runs("ann", "other") == []


def test_a_test_that_starts_itself_ends():
    steps = {"w": wait("1d", next="a"), "a": {"type": "start", "journey": "j"}}
    world = World(HELLO, {**journey(steps, test=TEST), "entry": {"type": "journey"}})
    world.knows("ann")
    world.run.engine.try_out("j", [world.id_of("ann")], {})
    world.run.advance(world.now + ms("10s"))
    assert world.reasons("ann", What.ENDED) == ["tested_again"]
    assert [run.test for run in world.runs("ann")] == [True]


def test_attributes_and_lists_change_for_later_steps_ask_for_them():
    steps = {
        "a": {"type": "update", "set": {"status": "gold"}, "next": "b"},
        "b": {"type": "list", "add": ["vip"], "next": "c"},
        "c": {"type": "decision", "if": {"all": [{"contact": "status", "is": "gold"}, {"list": "vip"}]}, "then": "d"},
        "d": send("hello", next="end"),
    }
    world = tried(steps, {"kind": "list", "name": "vip"})
    assert [message.address for message in world.messages("ann")] == ["qa@parcours.dev"]
