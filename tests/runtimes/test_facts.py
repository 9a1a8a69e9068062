"""What templates see: facts of the decision, looked up only when they are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.channels.render import Renderer
from parcours.core.effects import Message
from parcours.core.gate import Arrival, Happened, Learned
from parcours.errors import PermanentFailureError
from parcours.runtimes import facts as facts_module
from parcours.runtimes.facts import facts_of
from parcours.stores.memory import MemoryStore
from tests.core.world import Definition, World, email, instant, journey, send, wait

RENDERER = Renderer()


class Counting(MemoryStore):
    """A store that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def history(self, contact: str, limit: int = 1_000) -> Any:
        self.asked.append("history")
        return super().history(contact, limit)

    def items(self, catalogue: str, ids: Any) -> Any:
        self.asked.append(f"{catalogue} {', '.join(ids)}")
        return super().items(catalogue, ids)


def says(world: World, text: str, message: Message | None = None) -> str:
    """What a template makes of the newest message, or of one that is given."""
    message = message or world.run.messages()[-1]
    definition = world.run.engine.plan.messages[message.message].definition
    trying = type(definition)(name="m", channel="sms", content={"text": text})
    return RENDERER.render(trying, facts_of(world.store, world.run.engine.plan, message))["text"]


def sending(*more: Definition, store: MemoryStore | None = None, **steps: Any) -> World:
    world = World(email("m"), journey(steps or {"s": send("m")}), *more, store=store)
    world.knows("ann", city="Atlanta")
    return world


def test_any_past_interaction_of_the_contact_is_seen():
    world = sending()
    for total in (10, 20, 30):
        world.did("ann", "Order Completed", total=total)
        world.after("1h")
    world.did("ann", "Go", total=1)
    assert says(world, '{{ contact.interactions["order completed"].last.total }}') == "30"
    assert says(world, '{{ contact.interactions["Order Completed"].first.total }}') == "10"
    assert says(world, '{{ contact.interactions["ORDER COMPLETED"].count }}') == "3"
    assert (
        says(world, '{% for o in contact.interactions["order completed"].items %}{{ o.total }},{% endfor %}')
        == "30,20,10,"
    )
    assert says(world, '{{ contact.interactions["order completed"].items | map: "total" | sum }}') == "60"
    assert says(world, '{{ contact.interactions["order completed"].last.occurred_at | date: "%H:%M" }}') == "11:00"
    assert says(world, '{{ contact.interactions["go"].last.total }}') == "1"


def test_what_never_happened_is_empty():
    world = sending()
    world.did("ann", "Go")
    assert (
        says(world, '[{{ contact.interactions["nothing"].count }}{{ contact.interactions["nothing"].last.total }}]')
        == "[0]"
    )
    assert says(world, '{% if contact.interactions["nothing"].last %}yes{% else %}no{% endif %}') == "no"
    assert says(world, "[{{ contact.interactions }}{{ contact.interactions[4].x }}{{ contact.nothing.more }}]") == "[]"


def test_nothing_that_came_after_the_decision_is_seen():
    world = sending()
    world.did("ann", "Paid", total=1)
    world.did("ann", "Go")
    world.did("ann", "Paid", total=2)  # at the same instant
    world.after("1h")
    world.did("ann", "Paid", total=3)
    assert says(world, '{{ contact.interactions["paid"].last.total }}') == "1"


def test_what_a_timer_decided_sees_what_came_before_it():
    world = sending(w=wait("1d", next="s"), s=send("m"))
    world.did("ann", "Go")
    world.after("1d-1s")
    world.did("ann", "Paid", total=1)
    world.after("1s")
    world.did("ann", "Paid", total=2)  # received at the instant of the timer, which fires first
    assert says(world, '{{ contact.interactions["paid"].last.total }}') == "1"


def test_what_was_held_sees_what_its_decision_saw():
    world = sending({"kind": "workspace", "policy": {"quiet_hours": {"from": "21:00", "to": "08:00"}}})
    world.at("2026-03-02T22:00:00Z")
    world.did("ann", "Paid", total=1)
    world.did("ann", "Go")
    world.did("ann", "Paid", total=2)
    world.at("2026-03-03T08:00:00Z")
    assert (
        says(world, '{{ contact.interactions["paid"].last.total }} {{ contact.interactions["paid"].count }}') == "1 1"
    )


def test_the_latest_is_what_occurred_last_not_what_came_last():
    world = sending()
    world.did("ann", "Paid", total=1)
    world.did("ann", "Paid", total=2, ago="2d")
    world.did("ann", "Go")
    assert says(world, '{{ contact.interactions["paid"].last.total }}') == "1"


def test_what_does_not_count_is_not_seen():
    rule = {"kind": "interaction", "name": "Paid", "counts_when": {"interaction": "total", "more_than": 0}}
    world = sending(rule)
    world.did("ann", "Paid", total=5)
    world.did("ann", "Paid", total=0)
    world.did("ann", "Go")
    assert (
        says(world, '{{ contact.interactions["paid"].last.total }} {{ contact.interactions["paid"].count }}') == "5 1"
    )


def test_what_was_blanked_is_not_seen():
    world = sending({"kind": "interaction", "name": "Paid", "retention": "1d"})
    world.did("ann", "Paid", total=5)
    world.after("2d")
    world.did("ann", "Go")
    while world.run.engine.expire():
        pass
    assert (
        says(world, '[{{ contact.interactions["paid"].last.total }}{{ contact.interactions["paid"].count }}]') == "[0]"
    )


def test_what_somebody_did_before_they_were_known_is_seen_once_they_are():
    world = sending()
    device = (("anonymous_id", "x"),)
    world.accept(Arrival("test", "1", device, Happened("Seen", {"page": "shoes"})))
    world.did("ann", "Go")
    assert says(world, '{{ contact.interactions["seen"].last.page }}') == ""
    world.accept(Arrival("test", "2", (("user_id", "ann"), *device), Learned({})))
    world.did("ann", "Go")
    assert says(world, '{{ contact.interactions["seen"].last.page }}') == "shoes"


def test_a_contact_has_identities_and_lists():
    world = sending({"kind": "list", "name": "vip"}, {"kind": "list", "name": "old"})
    world.accept(world.arrival("ann", Learned({}, lists={"vip": True, "old": True})))
    world.accept(world.arrival("ann", Learned({}, lists={"old": False})))
    world.did("ann", "Go")
    assert says(world, "{{ contact.identities.user_id }} {{ contact.lists | join: ',' }}") == "ann vip"
    assert says(world, "{% if contact.lists contains 'vip' %}yes{% endif %}") == "yes"
    assert says(world, "{{ contact.id }}") == world.id_of("ann")
    assert says(world, "{{ contact.city }}") == "Atlanta"


def test_a_run_has_a_key_and_a_beginning():
    world = World(email("m"), journey({"w": wait("1h", next="s"), "s": send("m")}, entry={"key": "order"}))
    world.knows("ann")
    world.did("ann", "Go", order=17)
    world.after("1h")
    assert says(world, '{{ run.key }} {{ run.started_at | date: "%H:%M" }} {{ interaction.order }}') == "17 09:00 17"


SHOP = {"kind": "catalogue", "name": "products"}


def test_items_of_catalogues_are_looked_up_one_by_one():
    store = Counting()
    world = sending(SHOP, store=store)
    world.run.engine.stock("products", {"7": {"name": "Shoes"}, "8": {"name": "Hats"}})
    world.did("ann", "Go", sku="7", number=8)
    store.asked.clear()
    assert (
        says(world, "{{ catalogue.products[interaction.sku].name }} {{ catalogue.products[interaction.sku].id }}")
        == "Shoes 7"
    )
    assert store.asked == ["products 7"]
    assert says(world, "{{ catalogue.products[interaction.number].name }}") == "Hats"
    assert says(world, "[{{ catalogue.products.nine.name }}{{ catalogue.none.x.name }}]") == "[]"


def test_nothing_is_read_that_no_template_asks_for():
    store = Counting()
    world = sending(SHOP, store=store)
    world.did("ann", "Go")
    store.asked.clear()
    assert says(world, "Hello {{ contact.city }}, {{ contact.lists | size }}") == "Hello Atlanta, 0"
    assert store.asked == []
    assert says(world, '{{ contact.interactions["a"].count }}{{ contact.interactions["b"].count }}') == "00"
    assert store.asked == ["history"]


def test_how_much_is_read_has_limits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(facts_module, "MOST_ITEMS", 3)
    monkeypatch.setattr(facts_module, "MOST_SHOWN", 2)
    monkeypatch.setattr(facts_module, "MOST_INPUTS", 4)
    world = sending(SHOP)
    for _ in range(9):
        world.did("ann", "Paid")
    world.did("ann", "Go")
    assert (
        says(world, '{{ contact.interactions["paid"].count }} {{ contact.interactions["paid"].items | size }}') == "3 2"
    )
    with pytest.raises(PermanentFailureError, match="more than 3 items"):
        says(world, "{% for n in (1..9) %}{{ catalogue.products[n].name }}{% endfor %}")


def test_dates_are_written_in_the_zone_of_the_contact():
    world = sending({"kind": "workspace", "zone": "Europe/Amsterdam"})
    world.did("ann", "Go", at="2026-03-02T12:00:00Z")
    assert says(world, '{{ interaction.at | date: "%H:%M" }}') == "13:00"
    world.knows("ann", timezone="Asia/Tokyo")
    world.did("ann", "Go", at="2026-03-02T12:00:00Z")
    assert says(world, '{{ interaction.at | date: "%H:%M" }} {{ timezone }}') == "21:00 Asia/Tokyo"
    assert world.now == instant("2026-03-02T09:00:00Z")


def test_what_steps_of_the_run_saved_is_seen():
    world = sending()
    world.did("ann", "Go")
    (message,) = world.messages("ann")
    message.saved = {"answer": {"code": 7}}
    assert says(world, "{{ run.answer.code }}[{{ run.nothing.code }}]", message) == "7[]"
