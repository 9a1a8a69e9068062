"""Steps of journeys that make members and give points, and what messages tell of them."""

from __future__ import annotations

from parcours.channels.render import Renderer
from parcours.core.effects import What
from parcours.runtimes.facts import facts_of
from tests.core.test_loyalty_rules import TIERS, club, programme, refused, rule
from tests.core.world import World, email, journey, send


def award(**more: object) -> dict[str, object]:
    return {"type": "award", "programme": "club", "points": 120, **more}


def test_a_journey_enrols_and_awards_and_the_next_step_sees_it():
    steps = {
        "join": {"type": "enrol", "programme": "club", "next": "give"},
        "give": award(next="rich"),
        "rich": {"type": "decision", "if": {"tier": "club", "is": "silver"}, "then": "hi", "else": "lo"},
        "hi": send("hi"),
        "lo": send("lo"),
    }
    world = World(programme(tiers=TIERS), email("hi"), email("lo"), journey(steps))
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == ["hi"]
    (entry,) = world.ledger("ann")
    assert (entry.kind, entry.amount, entry.rule) == ("earned", 120, "journey:j")
    world.did("ann", "Go")
    assert world.member("ann").balance == 240


def test_what_is_awarded_is_held_and_expires_as_the_programme_says():
    steps = {"give": award(qualifying=False)}
    world = club(journey(steps), holding="1d", expiry={"type": "rolling", "days": 2}, tiers=TIERS)
    world.did("ann", "Go")
    assert world.booked("ann") == [("pending", 0, 120)]
    assert world.member("ann").tier == "bronze"
    world.after("2d")
    assert [kind for kind, _, _ in world.booked("ann")] == ["pending", "earned", "expired"]


def test_who_is_no_member_gets_none_and_the_run_goes_on():
    world = World(programme(), email("hi"), journey({"give": award(next="hi"), "hi": send("hi")}))
    world.knows("ann")
    world.did("ann", "Go")
    assert world.reasons("ann", What.DECLINED) == ["no_member"]
    assert world.sent("ann") == ["hi"]


def test_messages_tell_of_points_and_tier():
    text = "{{ contact.points }} {{ contact.tier }} {{ contact.loyalty.club.held }} {{ contact.loyalty.other.points }}"
    mail = email("hi", content={"subject": "s", "text": text})
    world = club(
        rule(points=120),
        rule("held", on=["Held"], points=3, holding="1d"),
        mail,
        journey({"s": send("hi")}),
        tiers=TIERS,
    )
    world.knows("ann")
    world.did("ann", "Held")
    world.did("ann", "Bought")
    world.did("ann", "Go")
    (message,) = world.messages("ann")
    world.asks("ann", "spend", points=20)  # the message tells what was there when it was decided
    plan = world.run.engine.plan
    content = Renderer().render(plan.texts["hi", 1], facts_of(world.store, plan, message))
    assert content["text"] == "120 silver 3 "
    world.knows("ann", points="my own")
    world.did("ann", "Go")
    content = Renderer().render(plan.texts["hi", 1], facts_of(world.store, plan, world.messages("ann")[-1]))
    assert content["text"].startswith("my own silver")


def test_the_programme_must_be_there():
    assert refused(journey({"give": award()})) == ["unknown_reference /definitions/0/steps/give/programme"]
