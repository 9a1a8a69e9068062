"""Webhooks as the fold sees them: calls that are decided, and answers that come back."""

from __future__ import annotations

from typing import Any

from parcours.core.effects import Message, What
from parcours.core.figures import figures
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.definitions.message import WEBHOOK
from parcours.runtimes.engine import Accepted, Refused
from tests.core.world import END, World, email, journey, send, wait

CALL = {"type": "webhook", "url": "https://crm.example/{{ contact.id }}"}
ASK = {"type": "decision", "if": {"run": "offer.body.items.1.price", "at_most": 10}, "then": "cheap", "else": "dear"}


def calling(**more: Any) -> dict[str, Any]:
    steps = {"call": CALL | {"next": "ask", "save": "offer"} | more, "ask": ASK, "cheap": END, "dear": END, "lost": END}
    if "failed" not in more:
        del steps["lost"]
    return journey(steps, entry={"key": "order"})


def calls(world: World, who: str) -> list[Message]:
    id_ = world.id_of(who)
    return [message for message in world.run.messages((WEBHOOK,)) if message.contact == id_]


def came(world: World, call: Message, what: str = "answered", **attributes: Any) -> None:
    world.accept(world.arrival("", Reacted(what, call.id, attributes, ours=True)))


ANSWER: dict[str, Any] = {"status": 200, "body": {"items": [{"price": 20}, {"price": 9}]}}


def test_an_answer_is_kept_in_the_run_and_moves_the_token():
    world = World(calling())
    world.did("ann", "Go", order="a")
    (call,) = calls(world, "ann")
    assert (call.channel, call.step, call.journey_version, call.key) == (WEBHOOK, "call", 1, "a")
    assert world.path("ann") == ["call"]
    world.after("1d")
    came(world, call, **ANSWER)
    assert world.path("ann") == ["call", "ask", "cheap"]
    assert world.reasons("ann", What.BRANCHED) == ["answered", "then"]
    assert [entry.what for entry in world.trace("ann", What.CALLED)] == [What.CALLED]
    assert not world.contact("ann").awaits


def test_an_answer_counts_once_and_only_for_the_run_that_asked():
    world = World(calling())
    world.did("ann", "Go", order="a")
    world.did("ann", "Go", order="b")
    first, _ = calls(world, "ann")
    came(world, first, **ANSWER)
    came(world, first, **ANSWER)
    assert [run.key for run in world.runs("ann")] == ["b"]


def test_a_call_that_failed():
    world = World(calling(failed="lost"))
    world.did("ann", "Go", order="a")
    came(world, calls(world, "ann")[0], "failed", error="refused", status=404)
    assert world.path("ann") == ["call", "lost"]
    world = World(calling())
    world.did("ann", "Go", order="a")
    came(world, calls(world, "ann")[0], "failed", error="refused")
    assert world.path("ann") == ["call", "ask", "dear"]


def test_nobody_waits_for_an_answer_that_is_not_asked_for():
    world = World(journey({"call": CALL | {"next": "end"}, "end": END}))
    world.did("ann", "Go")
    assert world.path("ann") == ["call", "end"]
    came(world, calls(world, "ann")[0], **ANSWER)
    assert world.path("ann") == ["call", "end"]


def test_answers_are_seen_by_later_steps_and_messages():
    steps = {
        "call": CALL | {"save": "offer", "next": "keep"},
        "keep": {"type": "update", "set": {"price": {"from": "run", "attribute": "offer.body.price"}}, "next": "mail"},
        "mail": send("news", next="again"),
        "again": CALL | {"next": "end"},
        "end": END,
    }
    world = World(email("news"), journey(steps))
    world.knows("ann")
    world.did("ann", "Go")
    came(world, calls(world, "ann")[0], status=200, body={"price": 7})
    assert world.contact("ann").attributes["price"] == 7
    saved = {"offer": {"status": 200, "body": {"price": 7}}}
    assert world.messages("ann")[0].saved == saved
    assert calls(world, "ann")[1].saved == saved


def test_a_run_that_ended_meanwhile_hears_nothing():
    world = World(calling() | {"max_duration": "2d"})
    world.did("ann", "Go", order="a")
    world.after("2d")
    assert not world.contact("ann").awaits
    came(world, calls(world, "ann")[0], **ANSWER)
    assert world.path("ann") == ["call"]


def test_an_answer_during_a_pause_moves_the_token_when_it_is_over():
    live = calling()
    world = World(live)
    world.did("ann", "Go", order="a")
    world.publish(live | {"state": "paused"})
    came(world, calls(world, "ann")[0], **ANSWER)
    assert world.path("ann") == ["call"]
    world.after("1d")
    world.publish(live)
    world.after("1s")
    assert world.path("ann") == ["call", "ask", "cheap"]


def test_only_the_outbox_tells_what_became_of_a_call():
    world = World(calling())
    world.did("ann", "Go", order="a")
    (call,) = calls(world, "ann")
    (outcome,) = world.send(world.arrival("", Reacted("answered", call.id, ANSWER)))
    assert isinstance(outcome, Refused)
    (outcome,) = world.send(world.arrival("", Reacted("opened", call.id, {})))
    assert isinstance(outcome, Accepted)
    assert world.path("ann") == ["call"]


def test_an_answer_finds_the_contact_that_its_own_became_part_of():
    steps = {"call": CALL | {"save": "offer", "next": "end"}, "end": wait("1d", next="last"), "last": END}
    world = World(journey(steps))
    world.accept(Arrival("test", "x1", (("anonymous_id", "x"),), Happened("Go", {})))
    (call,) = world.run.messages((WEBHOOK,))
    world.did("ann", "Paid")
    world.accept(Arrival("test", "x2", (("user_id", "ann"), ("anonymous_id", "x")), Learned()))
    came(world, call, **ANSWER)
    (run,) = world.runs("ann")
    assert (run.tokens[0].step, run.data["offer"]["status"]) == ("end", 200)


def test_a_call_is_no_message_that_conditions_count():
    """Also not when a plan that counts messages comes later, and contacts are brought up to it."""
    world = World(journey({"call": CALL | {"next": "end"}, "end": END}))
    world.did("ann", "Go")
    counting = {"kind": "segment", "name": "told", "condition": {"messages": "sent"}, "live": True}
    policy = {"kind": "workspace", "policy": {"caps": [{"limit": 1, "per": "7d"}]}}
    world.publish(counting, policy)
    assert world.contact("ann").messages == {}
    assert not world.contact("ann").segments["told"].member
    world.did("ann", "Go")
    assert len(calls(world, "ann")) == 2
    assert world.contact("ann").messages == {}


def test_a_cap_that_comes_later_counts_no_calls():
    world = World(journey({"call": CALL}))
    world.knows("ann")
    world.did("ann", "Go")
    cap = {"per": "48h", "limit": 1, "transactional": True}
    world.publish({"kind": "workspace", "policy": {"caps": [cap]}})
    world.did("ann", "Go")
    assert len(calls(world, "ann")) == 2


def test_figures_tell_who_waits_for_an_answer():
    steps = {"told": CALL | {"next": "call"}, "call": CALL | {"save": "crm", "next": "end"}, "end": END}
    world = World(journey(steps))
    for who in ("ann", "bob"):
        world.did(who, "Go")
    versions = world.run.engine.plan.journeys["j"].values()

    def waiting() -> dict[str, int]:
        return {step.step: step.waiting for step in figures(versions, world.store.statistics()).steps}

    assert waiting() == {"told": 0, "call": 2, "end": 0}
    came(world, calls(world, "ann")[-1])
    assert waiting() == {"told": 0, "call": 1, "end": 0}


def test_exits_and_goals_that_ask_for_an_answer_are_looked_at_when_it_comes():
    """Before the token goes on, as with any other input."""
    price = {"run": "offer.body.items.1.price", "at_most": 10}
    aims = {"exit": [{"if": price}], "goals": [{"name": "cheap", "if": price}]}
    world = World(calling() | aims)
    world.did("ann", "Go", order="a")
    came(world, calls(world, "ann")[0], **ANSWER)
    assert world.path("ann") == ["call"]
    assert world.reasons("ann", What.GOAL) == ["cheap"]
    assert world.reasons("ann", What.ENDED) == ["exited"]
    assert not world.runs("ann")
    assert not world.contact("ann").timers
