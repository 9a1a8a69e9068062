"""Watched segments: who belongs to them is right at any instant, whoever enters or leaves is told, journeys start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.conditions import ast
from parcours.conditions.operators import COUNTS, SUMS
from parcours.conditions.parse import parse_condition
from parcours.core import fold as fold_module
from parcours.core import membership as membership_module
from parcours.core.gate import Arrival, Happened, Learned
from parcours.runtimes.engine import Engine, folding
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.strategies import Scenario, perform, play, scenarios
from tests.conditions.reference import Asked, Event, Somebody, answer
from tests.conditions.test_condition_histories import START as STORY
from tests.conditions.test_condition_histories import leaves
from tests.core.world import END, START, World, email, instant, journey, ms, send, wait
from tests.profiles import examples


def segment(name: str, condition: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "segment", "name": name, "condition": condition, **more}


def on(name: str, what: str = "entered", **more: Any) -> dict[str, Any]:
    return {"type": "segment", "segment": name, "on": what, **more}


def starts(entry: dict[str, Any], name: str = "j", message: str = "hi", **more: Any) -> dict[str, Any]:
    found = journey({"s": send(message, next="e"), "e": END}, name=name, **more)
    return found | {"entry": entry}


def told(world: World, who: str) -> list[tuple[str, str, int]]:
    id_ = world.id_of(who)
    return [(entry.what, entry.reason, entry.at) for entry in world.run.trace(id_) if entry.what in {"joined", "left"}]


def hold(simulation: Simulation) -> None:
    """Hold what contacts know of their memberships against the conditions themselves, now."""
    engine, now = simulation.engine, simulation.clock.now()
    for contact in simulation.store.scan(limit=10**9):
        if contact.merged_into or contact.erased_at:
            continue
        for watched in engine.plan.watch.segments.values():
            known = contact.segments[watched.name]
            assert known.member == watched.ask(contact, {}, now), (watched.text, contact.id)


@pytest.mark.usefixtures("short_chains")
@examples(100)
@given(scenarios(), st.lists(st.sampled_from(["1s", "59m", "6h", "1d", "2d", "30d", "400d"]), max_size=4))
def test_memberships_are_right_at_any_instant(scenario: Scenario, pauses: list[str]):
    script = play(Simulation(MemoryStore(), START), scenario)
    simulation = Simulation(MemoryStore(), START)
    for step in script:
        perform(simulation, [step])
        hold(simulation)
    for pause in pauses:
        simulation.advance(simulation.clock.now() + ms(pause))
        hold(simulation)


CALM = segment("calm", {"not": {"did": "Order Completed", "within": "30d"}})
BUYS = segment("buyers", {"did": "Order Completed", "times": 2, "within": "7d"})


def test_an_input_that_makes_somebody_enter_is_seen_at_once():
    world = World(BUYS, starts(on("buyers")), email("hi", purpose="transactional"))
    world.knows("ann")
    world.did("ann", "Order Completed")
    assert world.messages("ann") == []
    world.did("ann", "Order Completed")
    assert len(world.messages("ann")) == 1
    assert told(world, "ann") == [("joined", "buyers", START)]
    world.did("ann", "Order Completed")
    assert len(world.messages("ann")) == 1


def test_time_alone_lets_people_leave_and_enter_at_the_instant():
    world = World(
        BUYS,
        CALM,
        starts(on("buyers", "left"), "gone"),
        starts(on("calm"), "quiet"),
        email("hi", purpose="transactional"),
    )
    world.knows("ann")  # a new contact that is calm from the beginning
    assert told(world, "ann") == [("joined", "calm", START)]
    world.did("ann", "Order Completed")
    world.after("1d")
    world.did("ann", "Order Completed")
    world.after("90d")
    assert told(world, "ann")[1:] == [
        ("left", "calm", START),
        ("joined", "buyers", START + ms("1d")),
        ("left", "buyers", START + ms("7d")),
        ("joined", "calm", START + ms("31d")),
    ]
    runs = [message.journey for message in world.messages("ann")]
    assert runs == ["quiet", "gone", "quiet"]
    assert list(world.store.due_times()) == []


def test_a_birthday_comes_at_its_midnight():
    world = World(
        segment("birthday", {"contact": "born", "anniversary_within": "1d"}),
        starts(on("birthday")),
        email("hi", purpose="transactional"),
    )
    world.knows("ann", born="1990-03-05")
    world.at("2028-01-01T00:00:00Z")
    assert told(world, "ann") == [
        (what, "birthday", instant(f"{year}-03-0{day}T00:00:00Z"))
        for year in (2026, 2027)
        for what, day in (("joined", 5), ("left", 6))
    ]
    assert len(world.messages("ann")) == 2


def test_members_at_activation_are_members_and_do_not_enter():
    world = World(email("hi", purpose="transactional"))
    for who in ("ann", "bob"):
        world.knows(who)
    world.did("ann", "Order Completed")
    world.did("ann", "Order Completed")
    world.did("bob", "Order Completed")
    world.publish(BUYS, starts(on("buyers")))
    assert world.contact("ann").segments["buyers"].member
    assert not world.contact("bob").segments["buyers"].member
    assert world.messages("ann") == []
    world.did("bob", "Order Completed")
    assert len(world.messages("bob")) == 1
    assert told(world, "ann") == []
    world.after("8d")
    assert [what for what, _, _ in told(world, "ann")] == ["left"]


def test_members_at_activation_enter_when_asked():
    world = World(email("hi", purpose="transactional"))
    world.knows("ann", city="Atlanta")
    world.knows("bob", city="Boston")
    world.publish(segment("locals", {"contact": "city", "is": "Atlanta"}), starts(on("locals", existing=True)))
    assert [len(world.messages(who)) for who in ("ann", "bob")] == [1, 0]
    world.knows("cyd", city="Atlanta")
    world.publish(starts(on("locals", existing=True), title="another version"))
    assert [len(world.messages(who)) for who in ("ann", "bob", "cyd")] == [1, 0, 1]


def test_what_a_new_condition_counts_is_built_from_the_log():
    world = World(email("hi", purpose="transactional"))
    world.knows("ann")
    for day in range(4):
        world.did("ann", "Order Completed", total=10.0 * day)
        world.after("1d")
    device = (("anonymous_id", "device"),)
    world.accept(Arrival("test", "d1", device, Happened("Order Completed", {"total": 100.0})))
    world.accept(Arrival("test", "d2", (("user_id", "ann"), *device), Learned({"a": 1})))
    often = {"did": "Order Completed", "times": {"at_least": 5}}
    spent = {"did": "Order Completed", "sum": {"of": "total", "at_least": 160}, "within": "30d"}
    world.publish(segment("often", often, live=True), segment("rich", spent, live=True))
    assert {name: known.member for name, known in world.contact("ann").segments.items()} == {
        "often": True,
        "rich": True,
    }
    # A journey asks for what nobody counted before.
    more = {"did": "Order Completed", "times": {"at_least": 6}, "within": "60d"}
    world.publish(
        journey({"d": {"type": "decision", "if": more, "then": "s", "else": "e"}, "s": send("hi", next="e"), "e": END})
    )
    world.did("ann", "Go")
    assert world.messages("ann") == []
    world.did("ann", "Order Completed")
    world.did("ann", "Go")
    assert len(world.messages("ann")) == 1


def test_messages_that_were_sent_before_are_remembered_when_somebody_asks():
    world = World(journey({"s": send("hi", next="e"), "e": END}), email("hi", purpose="transactional"))
    world.knows("ann")
    world.did("ann", "Go")
    world.reacts(world.messages("ann")[0], "opened")
    world.publish(segment("openers", {"messages": "opened", "of": "hi"}, live=True))
    assert world.contact("ann").segments["openers"].member


def test_a_condition_that_changes_starts_anew():
    world = World(segment("locals", {"contact": "city", "is": "Atlanta"}, live=True))
    world.knows("ann", city="Boston")
    world.publish(segment("locals", {"contact": "city", "is": "Boston"}, live=True))
    assert world.contact("ann").segments["locals"].member
    assert told(world, "ann") == []
    world.publish(segment("locals", {"contact": "city", "is": "Boston"}))
    world.knows("ann", city="Paris")
    assert told(world, "ann") == []


def test_history_changes_memberships_and_triggers_nothing():
    world = World(BUYS, starts(on("buyers")), email("hi", purpose="transactional"))
    world.knows("ann")
    for day in ("2d", "1d"):
        arrival = world.arrival("ann", Happened("Order Completed", {}), ago=day)
        arrival.backfill = True
        world.accept(arrival)
    assert world.contact("ann").segments["buyers"].member
    assert world.messages("ann") == []
    assert told(world, "ann") == []
    world.after("6d")
    assert [what for what, _, _ in told(world, "ann")] == ["left"]


def test_who_enters_by_a_message_of_another_journey_is_seen():
    world = World(
        segment("written", {"messages": "sent", "of": "hi"}),
        starts(on("written"), "second", "again"),
        journey({"s": send("hi", next="e"), "e": END}, name="first"),
        email("hi", purpose="transactional"),
        email("again", purpose="transactional"),
    )
    world.knows("ann")
    world.did("ann", "Go")
    assert [message.message for message in world.messages("ann")] == ["hi", "again"]


def test_lists_and_consent_are_seen():
    world = World(
        {"kind": "list", "name": "vip"},
        segment("vips", {"list": "vip"}, live=True),
        segment("readers", {"consent": "email", "is": "opted_in"}, live=True),
    )
    world.accept(world.arrival("ann", Learned({"a": 1})))
    world.accept(world.arrival("ann", Learned(lists={"vip": True})))
    world.accept(world.arrival("ann", Learned(consent={"email": {"": "opted_in"}})))
    world.accept(world.arrival("ann", Learned(lists={"vip": False})))
    assert [(what, name) for what, name, _ in told(world, "ann")] == [
        ("joined", "vips"),
        ("joined", "readers"),
        ("left", "vips"),
    ]


def test_a_merge_is_held_against_all_segments():
    world = World(BUYS, starts(on("buyers")), email("hi", purpose="transactional"))
    device = (("anonymous_id", "device"),)
    world.knows("ann")
    world.did("ann", "Order Completed")
    world.accept(Arrival("test", "d1", device, Happened("Order Completed", {})))
    world.accept(Arrival("test", "d2", (("user_id", "ann"), *device), Learned({"a": 1})))
    assert len(world.messages("ann")) == 1


def test_bringing_everybody_up_goes_on_after_a_restart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.runtimes.engine.Engine.SLICE", 2)
    world = World(email("hi", purpose="transactional"))
    people = [f"p{number}" for number in range(7)]
    for who in people:
        world.did(who, "Order Completed")
    engine = world.run.engine
    engine.publish([CALM, starts(on("calm")), BUYS])
    engine.read()
    assert engine.reading
    again = Engine(world.store, world.run.clock)
    assert again.reading
    while again.read():
        pass
    for contact in world.store.scan(limit=100):
        assert not contact.segments["calm"].member
    world.run.engine = again
    world.after("31d")
    assert all(world.contact(who).segments["calm"].member for who in people)
    assert len(world.run.messages()) == 0 or all(message.journey == "j" for message in world.run.messages())
    counted = {what: count for (_, _, _, what, _), count in world.store.statistics().items()}
    assert counted["joined"] == len(people)


def test_a_draft_watches_nothing_and_a_closed_journey_no_longer():
    world = World(BUYS, starts(on("buyers"), state="draft"), email("hi", purpose="transactional"))
    world.did("ann", "Order Completed")
    world.did("ann", "Order Completed")
    assert world.contact("ann").segments == {}
    world.publish(starts(on("buyers")))
    assert world.contact("ann").segments["buyers"].member
    world.publish(starts(on("buyers"), state="draft"))
    world.did("ann", "Order Completed")
    assert world.contact("ann").segments == {}
    assert world.contact("ann").timers == []


def test_waits_of_a_journey_and_segments_share_the_clock():
    rest = journey({"w": wait("7d", next="s"), "s": send("hi", next="e"), "e": END}, name="rest")
    world = World(BUYS, rest | {"entry": on("buyers")}, email("hi", purpose="transactional"))
    world.knows("ann")
    world.did("ann", "Order Completed")
    world.did("ann", "Order Completed")
    world.after("7d")
    assert len(world.messages("ann")) == 1
    assert [what for what, _, _ in told(world, "ann")] == ["joined", "left"]


did = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["", "1h", "1d"]),
    st.fixed_dictionaries({}, optional={"v": st.sampled_from([0, 1, 2.5, "x"])}),
    st.sampled_from(["", "1s", "1h", "10h", "1d"]),
)


@examples(150)
@given(
    st.lists(leaves.filter(lambda data: "since" not in data and "messages" not in data), min_size=1, max_size=2),
    st.lists(did, max_size=8),
    st.integers(0, 8),
    st.sampled_from(["1h", "2d", "31d"]),
)
def test_whenever_a_segment_is_published_it_answers_as_the_whole_history_does(
    conditions: list[Any], happens: list[tuple[str, str, dict[str, Any], str]], at: int, pause: str
):
    """Counters are built from the log, whatever was there before; and then kept."""
    world = World(start=STORY)
    events: list[Event] = []
    world.did("ann", "other")
    published: list[ast.Node] = []

    def check() -> None:
        asked = Asked(Somebody(events=events), world.now)
        for number, node in enumerate(published):
            assert world.contact("ann").segments[f"s{number}"].member is answer(node, asked), (
                conditions[number],
                events,
            )

    for index in range(len(happens) + 1):
        if index == min(at, len(happens)):
            world.publish(*(segment(f"s{number}", data, live=True) for number, data in enumerate(conditions)))
            published = [node for data in conditions if (node := parse_condition(data)[0]) is not None]
            check()
        if index < len(happens):
            name, ago, attributes, later = happens[index]
            world.did("ann", name, ago=ago, **attributes)
            events.append(Event(name, world.now - (ms(ago) if ago else 0), attributes))
            check() if published else None
            if later:
                world.after(later)
                check() if published else None
    world.after(pause)
    check()


# --- what is counted from the log, whatever comes between -------------------------------------------------------------


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parcours.runtimes.engine.Engine.SLICE", 2)


def test_a_publication_while_others_are_brought_up_does_not_cut_that_short(monkeypatch: pytest.MonkeyPatch):
    slowly(monkeypatch)
    world = World(email("hi", purpose="transactional"))
    people = [f"p{number}" for number in range(6)]
    for who in people:
        world.knows(who, city="Atlanta")
    engine = world.run.engine
    locals_ = segment("locals", {"contact": "city", "is": "Atlanta"}, live=True)
    engine.publish([locals_, starts(on("locals", existing=True))])
    engine.read()
    engine.publish([segment("other", {"did": "Something", "times": 2})])
    while engine.read():
        pass
    assert [len(world.messages(who)) for who in people] == [1] * 6


def test_a_journey_that_reads_a_segment_counts_what_was_before():
    world = World(email("hi", purpose="transactional"))
    world.knows("ann")
    world.did("ann", "Buy")
    world.publish(segment("buyers", {"did": "Buy"}), starts(on("buyers", "read")))
    assert len(world.messages("ann")) == 1


def test_what_retention_blanked_is_still_counted_when_a_condition_asks_for_more():
    world = World(
        {"kind": "interaction", "name": "Buy", "retention": "1d"},
        segment("two", {"did": "Buy", "times": {"at_least": 2}}),
    )
    world.publish(segment("two", {"did": "Buy", "times": {"at_least": 2}}, live=True))
    world.did("ann", "Buy")
    world.did("ann", "Buy")
    world.after("2d")
    while world.run.engine.expire():
        pass
    world.publish(segment("three", {"did": "Buy", "times": {"at_least": 3}}, live=True))
    assert world.contact("ann").segments["two"].member
    world.did("ann", "Buy")
    assert world.contact("ann").segments["two"].member
    assert world.contact("ann").segments["three"].member


def test_nothing_is_blanked_before_it_is_counted(monkeypatch: pytest.MonkeyPatch):
    slowly(monkeypatch)
    world = World({"kind": "interaction", "name": "Buy", "retention": "1d"})
    for number in range(5):
        world.did(f"p{number}", "Buy")
    world.after("2d")
    engine = world.run.engine
    engine.publish([segment("buyers", {"did": "Buy"}, live=True)])
    assert not engine.expire()
    while engine.read():
        pass
    while engine.expire():
        pass
    assert all(world.contact(f"p{number}").segments["buyers"].member for number in range(5))


def test_a_merge_told_by_history_triggers_nothing():
    world = World(segment("buyers", {"did": "Buy"}), starts(on("buyers")), email("hi", purpose="transactional"))
    world.knows("ann")
    device = (("anonymous_id", "x"),)
    for arrival in (
        Arrival("test", "b1", device, Happened("Buy", {})),
        Arrival("test", "b2", (("user_id", "ann"), *device), Learned({"a": 1})),
    ):
        arrival.backfill = True
        world.accept(arrival)
    assert world.contact("ann").segments["buyers"].member
    assert world.messages("ann") == []


def test_existing_members_enter_once_a_journey_and_segment():
    a, b = segment("a", {"contact": "in", "is": "a"}), segment("b", {"contact": "in", "is": "b"})
    world = World(a, b, email("hi", purpose="transactional"))
    world.knows("ann", **{"in": "a"})
    world.knows("bob", **{"in": "b"})

    def sent() -> list[int]:
        return [len(world.messages(who)) for who in ("ann", "bob")]

    world.publish(starts(on("a", existing=True)))
    assert sent() == [1, 0]
    world.publish(starts(on("b", existing=True)))
    assert sent() == [1, 1]
    world.publish(starts(on("b", existing=True), state="draft"))
    world.publish(starts(on("b", existing=True), title="live again"))
    assert sent() == [1, 1]


def test_a_contact_that_cannot_be_brought_up_holds_nobody_else_up(monkeypatch: pytest.MonkeyPatch):
    world = World(email("hi", purpose="transactional"))
    for who in ("ann", "bob", "cyd"):
        world.knows(who, city="Atlanta")
    bad = world.id_of("bob")
    real = folding.bring_up

    def bring_up(plan: Any, contact: Any, *rest: Any) -> None:
        if contact.id == bad:
            raise ValueError("a defect")
        real(plan, contact, *rest)

    monkeypatch.setattr(folding, "bring_up", bring_up)
    world.publish(segment("locals", {"contact": "city", "is": "Atlanta"}, live=True))
    assert not world.run.engine.reading
    assert world.contact("ann").segments["locals"].member
    assert world.contact("cyd").segments["locals"].member
    world.did("ann", "anything")


def test_lists_override_what_the_condition_says():
    world = World(
        {"kind": "list", "name": "friends"},
        {"kind": "list", "name": "control"},
        segment("locals", {"contact": "city", "is": "Atlanta"}, include=["friends"], exclude=["control"], live=True),
    )
    for who, city, on_lists in (
        ("ann", "Atlanta", {}),
        ("bob", "Boston", {"friends": True}),
        ("cyd", "Atlanta", {"control": True}),
        ("dan", "Boston", {"friends": True, "control": True}),
    ):
        world.accept(world.arrival(who, Learned({"city": city}, lists=on_lists)))
    members = [world.contact(who).segments["locals"].member for who in ("ann", "bob", "cyd", "dan")]
    assert members == [True, True, False, False]
    world.accept(world.arrival("cyd", Learned(lists={"control": False})))
    assert told(world, "cyd") == [("joined", "locals", START)]


def test_a_control_group_is_kept_out_and_is_a_segment_of_its_own():
    world = World(
        {"kind": "list", "name": "friends"},
        segment(
            "locals", {"contact": "city", "is": "Atlanta"}, include=["friends"], control={"percent": 30}, live=True
        ),
        starts(on("locals"), "treated"),
        starts(on("locals:control"), "held", "bye"),
        email("hi", purpose="transactional"),
        email("bye", purpose="transactional"),
    )
    people = [f"p{number}" for number in range(200)]
    for number, who in enumerate(people):
        city, on_lists = ("Atlanta", {}) if number % 2 else ("Boston", {"friends": True} if number % 4 else {})
        address = {"email": f"{who}@parcours.dev"}
        world.accept(world.arrival(who, Learned({"city": city} | address, address, lists=on_lists)))
    would = [who for number, who in enumerate(people) if number % 4]
    member, held = (
        {who for who in people if world.contact(who).segments[name].member} for name in ("locals", "locals:control")
    )
    assert member | held == set(would)
    assert not member & held
    assert 25 <= len(held) <= 65
    messages = {who: [message.message for message in world.messages(who)] for who in people}
    assert messages == {who: ["hi"] if who in member else ["bye"] if who in held else [] for who in people}
    world.accept(world.arrival(min(held), Learned({"city": "Boston"}, lists={"friends": False})))
    assert told(world, min(held))[-1][:2] == ("left", "locals:control")


def counting(within: str) -> list[dict[str, Any]]:
    """Return segments that compare the number of one interaction in every way, with every small number; sums as well."""
    windows = {"within": within} if within else {}
    counts = [(operator, number) for operator in COUNTS for number in range(5)]
    return [
        segment(
            f"{operator}-{number}-{within or 'ever'}",
            {"did": "a", "times": {operator: number}} | windows,
            live=True,
        )
        for operator, number in counts
    ] + [
        segment(
            f"sum-{operator}-{number}-{within or 'ever'}".replace("--", "-minus-"),
            {"did": "a", "sum": {"of": "v", operator: [number, number + 2] if operator == "between" else number}}
            | windows,
            live=True,
        )
        for operator in SUMS
        for number in (-2, 0, 1, 3)
    ]


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "a", "a", "b"]),
            st.sampled_from(["", "", "", "1h", "1d", "3d"]),
            st.sampled_from(["", "1s", "1h", "1d", "1d", "2d"]),
            st.sampled_from([None, 0, 1, 1, 2, -1, -3, "x"]),
        ),
        max_size=14,
    )
)
def test_only_those_whose_answer_turns_are_asked_and_none_is_missed(happens: list[tuple[str, str, str, Any]]):
    world = World(*(one for within in ("", "1d", "2d") for one in counting(within)))
    world.knows("ann")
    for name, ago, later, value in happens:
        world.did("ann", name, ago=ago, v=value)
        hold(world.run)
        if later:
            world.after(later)
            hold(world.run)
    for _ in range(4):
        world.after("1d")
        hold(world.run)


def test_an_input_asks_only_conditions_whose_answer_it_may_turn(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    real = membership_module.look

    def look(plan: Any, contact: Any, touched: Any, *rest: Any, **more: Any) -> None:
        asked.extend(one.name for one in touched)
        real(plan, contact, touched, *rest, **more)

    monkeypatch.setattr(fold_module, "look", look)
    conditions = {
        **{f"at-least-{number}": {"did": "Buy", "times": {"at_least": number}} for number in range(1, 30)},
        "shoes": {"did": "Buy", "where": {"interaction": "category", "is": "shoes"}, "sum": {"of": "n", "at_least": 1}},
        "spent": {"did": "Buy", "sum": {"of": "n", "at_least": 100}},
    }
    world = World(*(segment(name, condition, live=True) for name, condition in conditions.items()))
    world.knows("ann")
    for number in range(1, 29):
        asked.clear()
        world.did("ann", "Buy", category="hats", n=1)
        assert asked == [f"at-least-{number}"]
    asked.clear()
    world.did("ann", "Buy", category="hats")
    assert asked == ["at-least-29"]
    asked.clear()
    world.did("ann", "Buy", category="shoes", n=1)
    assert asked == ["shoes"]
    asked.clear()
    world.did("ann", "Buy", category="hats", n=90)
    assert asked == ["spent"]
