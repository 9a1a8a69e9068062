"""Two contacts turn out to be one person."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from parcours.core.contact import Contact
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.runtimes.engine import Accepted
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore

START = 1_700_000_000_000
HOUR = 3_600_000

ANN = ("user_id", "ann")
BOB = ("user_id", "bob")
PHONE = ("anonymous_id", "phone")
TABLET = ("anonymous_id", "tablet")

PUSH = {"kind": "message", "name": "hello", "channel": "push", "purpose": "transactional"}
PUSH["content"] = {"title": "Hello", "body": "There"}


def journey(name: str, steps: dict, interaction: str = "Viewed", **more: object) -> dict:
    entry = {"type": "interaction", "interaction": interaction}
    return {"kind": "journey", "name": name, "entry": entry, "start": next(iter(steps)), "steps": steps, **more}


class World:
    def __init__(self, *definitions: dict) -> None:
        self.run = Simulation(MemoryStore(), START)
        self.run.publish([PUSH, *definitions])
        self.sent = 0

    def arrive(self, what: Happened | Learned | Reacted, *identities: tuple[str, str], at: int | None = None) -> None:
        self.sent += 1
        (outcome,) = self.run.send(Arrival("test", str(self.sent), identities, what, at))
        assert isinstance(outcome, Accepted), outcome

    def contact(self, identity: tuple[str, str]) -> Contact:
        id_ = self.run.store.resolve([identity])[identity]
        return self.run.store.contacts([id_])[id_]


def test_an_anonymous_contact_becomes_part_of_the_known_one():
    waits = {"wait": {"type": "wait", "for": "1h", "next": "send"}, "send": {"type": "send", "messages": ["hello"]}}
    world = World(journey("viewed", waits))
    world.arrive(Learned({"push_token": "t"}, {"push": "t"}), ANN)
    world.arrive(Happened("Viewed", {}), PHONE)
    anonymous = world.contact(PHONE)
    assert anonymous.id != world.contact(ANN).id
    world.run.advance(START + HOUR - 1)
    world.arrive(Learned(), ANN, PHONE)
    contact = world.contact(ANN)
    assert world.contact(PHONE) == contact
    assert set(contact.identities) == {ANN, PHONE}
    assert contact.merged == [anonymous.id]
    left = world.run.store.contacts([anonymous.id])[anonymous.id]
    assert (left.merged_into, left.runs, left.timers, left.identities) == (contact.id, {}, [], [])
    world.run.advance(START + HOUR)
    assert [message.contact for message in world.run.messages()] == [contact.id], "the run went on where it went"
    assert [entry.reason for entry in world.run.trace(contact.id) if entry.what == "merged"] == ["with"]
    assert [entry.reason for entry in world.run.trace(anonymous.id) if entry.what == "merged"] == ["into"]


def test_what_is_due_at_the_instant_fires_before_the_merge():
    waits = {"wait": {"type": "wait", "for": "1h", "next": "send"}, "send": {"type": "send", "messages": ["hello"]}}
    world = World(journey("viewed", waits))
    world.arrive(Learned({"push_token": "t"}, {"push": "t"}), ANN)
    world.arrive(Happened("Viewed", {}), PHONE)
    anonymous = world.contact(PHONE)
    world.run.clock.set(START + HOUR)
    world.arrive(Learned(), ANN, PHONE)
    assert [entry.what for entry in world.run.trace(anonymous.id)] == [
        "entered", "arrived", "branched", "arrived", "suppressed", "ended", "merged"
    ]  # fmt: skip


def test_the_interactions_of_both_count():
    regular = journey("regular", {"send": {"type": "send", "messages": ["hello"]}}, re_entry="always")
    regular["entry"]["where"] = {"did": "Viewed", "times": {"at_least": 3}, "within": "48h"}
    world = World(regular)
    world.arrive(Learned({"push_token": "t"}, {"push": "t"}), ANN)
    world.arrive(Happened("Viewed", {}), PHONE)
    world.arrive(Happened("Viewed", {}), ANN)
    world.arrive(Learned(), ANN, PHONE)
    assert world.run.messages() == []
    world.arrive(Happened("Viewed", {}), ANN)
    assert len(world.run.messages()) == 1


def test_the_same_run_is_not_run_twice():
    waits = {"wait": {"type": "wait", "for": "1h", "next": "send"}, "send": {"type": "send", "messages": ["hello"]}}
    world = World(journey("viewed", waits, re_entry="after_end"))
    world.arrive(Learned({"push_token": "t"}, {"push": "t"}), ANN)
    world.arrive(Happened("Viewed", {}), ANN)
    world.arrive(Happened("Viewed", {}), PHONE)
    world.arrive(Learned(), ANN, PHONE)
    world.run.advance(START + 2 * HOUR)
    assert len(world.run.messages()) == 1
    assert "merged" in [entry.reason for entry in world.run.trace(world.contact(ANN).id) if entry.what == "ended"]


def test_who_has_entered_once_has_entered():
    world = World(journey("viewed", {"send": {"type": "send", "messages": ["hello"]}}))
    world.arrive(Learned({"push_token": "t"}, {"push": "t"}), PHONE)
    world.arrive(Happened("Viewed", {}), PHONE)
    world.arrive(Learned({"push_token": "t"}, {"push": "t"}), ANN)
    world.arrive(Learned(), ANN, PHONE)
    world.arrive(Happened("Viewed", {}), ANN)
    assert len(world.run.messages()) == 1


def test_a_reaction_to_a_message_from_before_finds_its_run():
    steps = {
        "send": {"type": "send", "messages": ["hello"], "next": "wait"},
        "wait": {"type": "wait_for", "events": [{"type": "reaction", "reaction": "opened", "next": "again"}]},
        "again": {"type": "send", "messages": ["hello"]},
    }
    world = World(journey("viewed", steps))
    world.arrive(Learned({"push_token": "t"}, {"push": "t"}), PHONE)
    world.arrive(Happened("Viewed", {}), PHONE)
    world.arrive(Learned({"first_name": "Ann"}), ANN)
    world.arrive(Learned(), ANN, PHONE)
    world.arrive(Reacted("opened", world.run.messages()[0].id))
    assert len({message.id for message in world.run.messages()}) == 2


def test_two_known_people_who_share_a_device_stay_two():
    world = World()
    world.arrive(Learned({"name": "Ann"}), ANN, PHONE)
    world.arrive(Learned({"name": "Bob"}), BOB)
    world.arrive(Learned(), BOB, PHONE)
    assert world.contact(ANN).attributes == {"name": "Ann"}
    assert world.contact(BOB).attributes == {"name": "Bob"}
    assert world.contact(PHONE) == world.contact(ANN)


def test_an_alias_makes_two_known_people_one():
    world = World()
    world.arrive(Learned({"name": "Ann", "city": "Atlanta"}), ANN)
    world.arrive(Learned({"name": "Bob"}), BOB, at=START)
    world.arrive(Learned(same=True), BOB, ("anonymous_id", "ann"), ANN)
    assert world.contact(ANN) == world.contact(BOB)
    assert world.contact(BOB).attributes["city"] == "Atlanta"


def test_what_occurred_later_counts_whichever_came_first():
    world = World()
    world.run.advance(START + HOUR)
    world.arrive(Learned({"city": "Seattle"}, {}, {"email": {"": "opted_out"}}), ANN, at=START + 2)
    world.arrive(Learned({"city": "Atlanta"}, {}, {"email": {"": "opted_in"}}), ANN, at=START + 1)
    assert world.contact(ANN).attributes == {"city": "Seattle"}
    assert world.contact(ANN).consent == {"email": {"": "opted_out"}}
    world.arrive(Learned({"city": "Boston"}, {}, {"email": {"": "opted_in"}}), PHONE, at=START + 3)
    world.arrive(Learned(), ANN, PHONE)
    assert world.contact(ANN).attributes == {"city": "Boston"}
    assert world.contact(ANN).consent == {"email": {"": "opted_in"}}


_facts = st.lists(
    st.tuples(
        st.sampled_from([ANN, PHONE, TABLET]),
        st.sampled_from(["city", "name", "email"]),
        st.sampled_from(["a@parcours.dev", "b", None]),
    ),
    max_size=8,
)


@given(_facts, st.lists(st.sampled_from([PHONE, TABLET, ANN]), max_size=4))
def test_merging_in_any_order_gives_the_same_contact(facts: list, views: list):
    def known(order: tuple) -> tuple:
        definition = journey("never", {"end": {"type": "end"}}, interaction="Never")
        definition["entry"]["where"] = {
            "any": [
                {"did": "Viewed", "times": {"at_least": 2}},
                *({"did": "Viewed", figure: {"of": "n", "at_least": 2}} for figure in ("sum", "min", "first", "last")),
                {"did": "Viewed", "sum": {"of": "n", "at_least": 2}, "within": "5d"},
                {"sequence": [{"did": "Viewed"}, {"did": "Viewed"}]},
            ]
        }
        world = World(definition)
        world.run.advance(START + HOUR)
        world.arrive(Learned({"known": True}), ANN, at=START)
        for number, (whose, name, value) in enumerate(facts, 1):
            addresses = {"email": value if value and "@" in value else None} if name == "email" else {}
            world.arrive(Learned({name: value}, addresses, {"push": {"": "opted_in"}}), whose, at=START + number)
        for number, whose in enumerate(views, 100):
            world.arrive(Happened("Viewed", {"n": number % 3}), whose, at=START + number % 2)
        for identity in order:
            world.arrive(Learned(), ANN, identity)
        contact = world.contact(ANN)
        return (
            contact.id,
            contact.attributes,
            contact.addresses,
            contact.consent,
            sorted(contact.identities),
            contact.counters,
            contact.figures,
        )

    results = [known(order) for order in itertools.permutations([PHONE, TABLET])]
    assert results[0] == results[1]
