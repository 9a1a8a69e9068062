"""What is learned, against counts made as plainly as can be."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcours.core import learned
from parcours.core.codec import decode_input, encode
from parcours.core.inputs import Erased, Interaction, Update
from parcours.core.learned import (
    ALL,
    CONTACTS,
    ENOUGH,
    EVERY,
    MOST_ELEMENTS,
    MOST_VALUES,
    SAMPLES,
    SHOWN,
    Learner,
    describe,
    suited,
    type_of,
)
from parcours.definitions.interaction import AttributeDefinition, AttributeType, InteractionDefinition

ORDER = "order completed"


def did(attributes, at=0, name=ORDER, **more):
    return Interaction(position=1, received_at=at, occurred_at=at, name=name, attributes=attributes, **more)


def know(attributes, at=0):
    return Update(
        position=1, received_at=at, occurred_at=at, attributes=attributes, addresses={}, consent={}, identities=[]
    )


def learner_of(items):
    learner = Learner()
    for item in items:
        learner.observe(item)
    return learner


def views(learner, name=ORDER, definition=None):
    return {view.name: view for view in describe(definition, learner.knowledge(name))}


def counted(view):
    return [(one.value, one.count) for one in view.values]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = (
    st.sampled_from(["red", "blue", "1980-12-31", "a@b.example", "404-555-0100", ""])
    | texts
    | st.sampled_from([0, 1, 1.0, -1.5, 10**6, 2**63 - 1])
    | st.floats()
    | st.booleans()
    | st.none()
    | st.just(datetime(2026, 1, 31, tzinfo=UTC))
)
values = scalars | st.lists(st.sampled_from(["x", "y"]) | texts, max_size=25) | st.just({"nested": 1}) | st.just([1])
attributes = st.dictionaries(st.sampled_from(["color", "total", "email", "a@b"]) | texts, values, max_size=5)
names = st.sampled_from([ORDER, "product viewed", ""])


@st.composite
def logs(draw, most=30):
    times = sorted(draw(st.lists(st.integers(0, 50), max_size=most)))
    return [
        know(draw(attributes), at)
        if draw(st.booleans())
        else did(draw(attributes), at, draw(names), spelling=draw(st.sampled_from(["", "Order", "ORDER"])))
        for at in times
    ]


def everything(learner):
    return {name: learner.encode(name) for name in [*learner.names(), *([CONTACTS] if learner.knowledge("") else [])]}


def copy_of(learner):
    copy = Learner()
    for name, data in reversed(everything(learner).items()):
        copy.restore(name, data)
    return copy


# --- exact ------------------------------------------------------------------------------------------------------------


@given(logs())
def test_counts_and_times_are_those_of_a_naive_count(log):
    learner = learner_of(log)
    for name in (ORDER, "product viewed", CONTACTS):
        mine = [
            item
            for item in log
            if (isinstance(item, Update) and name == CONTACTS and item.attributes)
            or (isinstance(item, Interaction) and name and item.name == name)
        ]
        knowledge = learner.knowledge(name)
        if not mine:
            assert knowledge is None
            continue
        assert knowledge.count == len(mine)
        assert (knowledge.first_seen, knowledge.last_seen) == (mine[0].received_at, mine[-1].received_at)
        found = views(learner, name)
        for key in {key for item in mine for key in item.attributes if "@" not in key}:
            carrying = [item for item in mine if item.attributes.get(key) is not None]
            if not carrying:
                assert key not in found
                continue
            view = found[key]
            assert view.count == view.looked == len(carrying)
            assert view.share == pytest.approx(len(carrying) / len(mine))
            assert (view.first_seen, view.last_seen) == (carrying[0].received_at, carrying[-1].received_at)
            types = Counter(type_of(item.attributes[key]) for item in carrying)
            assert types[view.type] == max(types.values())


def test_counts_stay_exact_when_not_all_are_looked_at():
    log = [did({"a": "x", "b": "y" if at % 3 == 0 else None}, at) for at in range(5_000)]
    found = views(learner_of(log))
    assert (found["a"].count, found["a"].share, found["a"].last_seen) == (5_000, 1.0, 4_999)
    assert (found["b"].count, found["b"].share, found["b"].last_seen) == (1_667, 1_667 / 5_000, 4_998)
    assert found["a"].looked == ALL + sum(1 for count in range(ALL + 1, 5_001) if count % EVERY == 0)
    assert counted(found["a"]) == [("x", found["a"].looked)]


@given(logs(), st.data())
def test_stopping_and_going_on_changes_nothing(log, data):
    whole = learner_of(log)
    part = Learner()
    stored = {}
    for item in log:
        if data.draw(st.booleans()):
            for name in part.take_changed():
                stored[name] = part.encode(name)
            part = Learner()
            for name, encoded in stored.items():
                part.restore(name, encoded)
        part.observe(item)
    assert everything(part) == everything(whole)


def test_stopping_in_the_middle_of_much_changes_nothing(monkeypatch):
    monkeypatch.setattr(learned, "_HEAVIEST", 2_000)
    monkeypatch.setattr(learned, "MOST_VALUES_IN_ALL", 500)
    log = [
        did({"order_id": f"A-{at}", "rank": at % 150, "sku": f"s{at * at % 350}", f"k{at % 9}": at % 5 or None}, at)
        for at in range(3_000)
    ]
    whole, part = learner_of(log), Learner()
    for index, item in enumerate(log):
        if index % 701 == 0:
            part = copy_of(part)
        part.observe(item)
    assert everything(part) == everything(whole)
    assert part._values == whole._values <= 500
    assert part._attributes == whole._attributes == 12


def test_what_changed_is_told_once():
    learner = learner_of([did({"a": 1}), know({"city": "Atlanta"})])
    assert learner.take_changed() == {ORDER, CONTACTS}
    assert learner.take_changed() == set()
    learner.observe(did({"a": 1}))
    assert learner.take_changed() == {ORDER}
    learner.forget(know({"city": "Atlanta"}))
    assert learner.take_changed() == {CONTACTS}


def test_others_teach_nothing():
    learner = learner_of([Erased(position=1, received_at=0, occurred_at=0), know({})])
    learner.forget(Erased(position=1, received_at=0, occurred_at=0))
    assert learner.names() == []
    assert learner.knowledge(CONTACTS) is None
    assert learner.take_changed() == set()


def test_the_first_spelling_is_shown():
    learner = learner_of([did({})])
    assert learner.knowledge(ORDER).spelling == ORDER
    for spelling in ("Order Completed", "ORDER COMPLETED"):
        learner.observe(did({}, spelling=spelling))
    assert copy_of(learner).knowledge(ORDER).spelling == "Order Completed"


def test_inputs_are_learned_as_they_are_read_from_the_log():
    item = did({"color": "red", "total": 1.5, "when": datetime(2026, 1, 31, tzinfo=UTC), "tags": ["a"], "gone": None})
    assert everything(learner_of([item])) == everything(learner_of([decode_input(encode(item))]))


# --- values -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([f"v{number}" for number in range(40)] + list(range(40))), max_size=300))
def test_frequent_values_are_right_when_there_are_not_too_many(drawn):
    view = views(learner_of([did({"a": value}) for value in drawn] or [did({"a": "x"})])).get("a")
    expected = {value: count for value, count in Counter(drawn).items() if count > 1 or not isinstance(value, str)}
    assert dict(counted(view)) == expected
    counts = [count for _, count in counted(view)]
    assert counts == sorted(counts, reverse=True)
    assert view.samples == [value for value, _ in counted(view)[:SAMPLES]]


@given(st.lists(st.integers(0, 400), min_size=400, max_size=900))
@settings(max_examples=20, deadline=None)
def test_counts_are_never_too_high_and_what_is_frequent_is_found(drawn):
    drawn = [number if number % 4 else 0 for number in drawn]
    knowledge = learner_of([did({"a": f"v{number}"}) for number in drawn]).knowledge(ORDER)
    kept, true = knowledge.attributes["a"].values, Counter(f"v{number}" for number in drawn)
    assert len(kept) <= MOST_VALUES
    assert all(count <= true[value] for value, count in kept.items())
    assert all(kept[value] >= count - len(drawn) / SHOWN for value, count in true.items() if count > len(drawn) / SHOWN)


def test_booleans_are_not_numbers_and_1_is_one_point_0():
    view = views(learner_of([did({"a": value}) for value in [1, 1.0, 1, True, True, False, 0]]))["a"]
    assert [(type(value), value, count) for value, count in counted(view)] == [
        (int, 1, 3),
        (bool, True, 2),
        (int, 0, 1),
        (bool, False, 1),
    ]


def test_elements_of_lists_are_counted():
    view = views(learner_of([did({"tags": ["a", "b"]}), did({"tags": ["a"]}), did({"tags": []})]))["tags"]
    assert (view.type, view.looked, counted(view)) == ("strings", 3, [("a", 2)])
    long = learner_of([did({"tags": [f"t{number}" for number in range(50)]})]).knowledge(ORDER).attributes["tags"]
    assert len(long.values) == long.asked == MOST_ELEMENTS


def test_one_value_too_many_lowers_all_by_what_the_first_not_shown_has():
    often = {f"v{number}": 5 if number < SHOWN else 2 for number in range(MOST_VALUES)}
    log = [did({"tags": [value] * times}) for value, times in often.items()]
    learner = learner_of([*log, did({"tags": ["new"]})])
    kept = learner.knowledge(ORDER).attributes["tags"].values
    assert kept == {**{f"v{number}": 3 for number in range(SHOWN)}, "new": 1}
    assert learner._values == SHOWN + 1


def test_what_nearly_always_differs_keeps_a_handful_of_amounts_and_nothing_else():
    log = [
        did({"order_id": f"A-{at}", "number": at, "total": at + 0.5, "item": f"i{at * (at % 4)}", "flag": at % 2 == 0})
        for at in range(ENOUGH + 200)
    ]
    found = views(learner_of(log))
    assert found["order_id"].values == found["order_id"].samples == []
    assert found["number"].values == found["number"].samples == []
    assert found["total"].values == []
    assert len(found["total"].samples) == SAMPLES
    assert len(found["flag"].values) == 2
    assert found["item"].values != []


@pytest.mark.parametrize(
    "value",
    [
        "ann@shop.example",
        "+1 (404) 555-0100",
        "4045550100",
        4_045_550_100,
        "tel. 4045550",
        "x" * 101,
        "",
        float("nan"),
        10**400,
    ],
)
def test_what_looks_like_an_address_or_a_number_of_somebody_is_never_kept(value):
    learner = learner_of([did({"note": value})] * 5)
    assert learner.knowledge(ORDER).attributes["note"].values == {}
    assert views(learner)["note"].count == 5


@pytest.mark.parametrize(
    "name",
    ["email", "phone", "push_token", "name", "first_name", "Last Name", "billingAddress", "user_id", "postal_code"],
)
def test_values_of_personal_attributes_are_never_kept(name):
    learner = learner_of([know({name: "Ann", "city": "Atlanta"})] * 5)
    assert learner.knowledge(CONTACTS).attributes[name].values == {}
    found = views(learner, CONTACTS)
    assert (found[name].count, found[name].samples, found[name].type) == (5, [], "string")
    assert counted(found["city"]) == [("Atlanta", 5)]


def test_names_of_attributes_may_be_no_addresses_nor_too_long():
    learner = learner_of([did({"ann@shop.example": 1, "k" * 201: 1, "k" * 200: 1})])
    assert list(learner.knowledge(ORDER).attributes) == ["k" * 200]


def test_the_name_of_an_interaction_may_be_that_of_a_product():
    assert counted(views(learner_of([did({"name": "Camera"})] * 2))["name"]) == [("Camera", 2)]


# --- forgetting -------------------------------------------------------------------------------------------------------


@given(logs(), st.data())
def test_forgetting_takes_the_values_back(log, data):
    erased = [data.draw(st.booleans()) for _ in log]
    learner = learner_of(log)
    for item, gone in zip(log, erased, strict=True):
        if gone:
            learner.forget(item)
    rest = learner_of([item for item, gone in zip(log, erased, strict=True) if not gone])
    for name in (ORDER, CONTACTS):
        knowledge, left = learner.knowledge(name), rest.knowledge(name)
        for key, attribute in (knowledge.attributes if knowledge else {}).items():
            other = left.attributes.get(key) if left else None
            assert attribute.values == (other.values if other else {})
            assert (attribute.true, attribute.false) == ((other.true, other.false) if other else (0, 0))
    assert learner._values == rest._values
    assert everything(copy_of(learner)) == everything(learner)


def test_an_interaction_without_a_name_is_no_contact():
    learner = learner_of([know({"city": "Atlanta"}), did({"city": "Atlanta"}, name="")])
    learner.forget(did({"city": "Atlanta"}, name=""))
    assert learner.knowledge(CONTACTS).count == 1
    assert learner.knowledge(CONTACTS).attributes["city"].values == {"Atlanta": 1}


def test_what_only_the_erased_carried_goes_even_when_not_all_were_looked_at():
    log = [did({"a": f"v{at % 7}"}) for at in range(4_000)]
    hers = [did({"a": "hers"}) for _ in range(40)]
    learner = learner_of([*log, *hers])
    assert "hers" in learner.knowledge(ORDER).attributes["a"].values
    for item in hers:
        learner.forget(item)
    assert "hers" not in learner.knowledge(ORDER).attributes["a"].values
    learner.forget(did({"b": 1}, name="never seen"))
    learner.forget(did({"b": 1}))


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_everything_is_bounded(monkeypatch):
    for limit, most in {"MOST_NAMES": 5, "MOST_ATTRIBUTES": 7, "MOST_ATTRIBUTES_IN_ALL": 20}.items():
        monkeypatch.setattr(learned, limit, most)
    monkeypatch.setattr(learned, "MOST_VALUES_IN_ALL", 60)
    monkeypatch.setattr(learned, "_HEAVIEST", 5_000)
    learner = Learner()
    for at in range(2_000):
        carried = {f"a{at * step % 31}": f"v{at * step % 97}" for step in (1, 3, 5)}
        learner.observe(did(carried | {"k" * 201: 1, "tags": [str(at)] * 10_000}, at, f"n{at % 11}"))
        learner.observe(did({"a": 1}, at, "n" * 201))
        learner.observe(know({f"c{at}": f"v{at}"}, at))
        assert learner._weight <= 5_000
        assert len(learner._shapes) <= 25
    everyone = [learner.knowledge(name) for name in [*learner.names(), CONTACTS]]
    assert len(everyone) == 5 + (len(learner.names()) == 5)
    assert all(len(knowledge.attributes) <= 7 for knowledge in everyone)
    assert sum(len(knowledge.attributes) for knowledge in everyone) <= 20
    kept = sum(len(one.values) for knowledge in everyone for one in knowledge.attributes.values())
    assert kept == learner._values <= 60


@given(st.lists(attributes, max_size=20))
def test_whatever_comes_is_learned_and_stored(drawn):
    learner = learner_of([did(one) for one in drawn])
    assert everything(copy_of(learner)) == everything(learner)
    for view in views(learner).values():
        assert 0 < view.share <= 1
        assert len(view.values) <= SHOWN
        assert view.operators == suited(view.type)


# --- as it is offered -------------------------------------------------------------------------------------------------


def test_declared_attributes_come_first_and_have_the_type_that_was_declared():
    definition = InteractionDefinition(
        name="Order Completed",
        attributes={
            "total": AttributeDefinition(type="number", title="Order value", required=True),
            "gift": AttributeDefinition(type="boolean"),
        },
    )
    learner = learner_of([did({"total": "12", "coupon": "SUMMER", "at": "2026-01-31"}), did({"coupon": "SUMMER"})])
    found = describe(definition, learner.knowledge(ORDER))
    assert [(view.name, view.title, view.type, view.declared, view.count) for view in found] == [
        ("total", "Order value", "number", True, 1),
        ("gift", "gift", "boolean", True, 0),
        ("coupon", "coupon", "string", False, 2),
        ("at", "at", "datetime", False, 1),
    ]
    assert found[0].required
    assert found[1].first_seen is found[1].last_seen is None
    assert "between" in {operator.name for operator in found[0].operators}
    assert [view.name for view in describe(definition, None)] == ["total", "gift"]
    assert describe(None, None) == []


def test_what_was_settled_is_not_gone_through_again():
    class Counted(dict):
        times = 0

        def values(self):
            self.times += 1
            return super().values()

    learner = learner_of([did({"a": 1}), did({"b": 1}), know({"plan": "gold"})])
    learner._shapes = shapes = Counted(learner._shapes)
    for _ in range(3):
        learner.knowledge(ORDER)
        learner.knowledge(CONTACTS)
        learner.encode(ORDER)
        learner.take_changed()
    assert shapes.times == 1
    learner.observe(did({"a": 1}))
    assert views(learner)["a"].count == 2
    assert learner.take_changed() == {ORDER}
    assert shapes.times == 2


@pytest.mark.parametrize(
    "value, kind",
    [
        ("red", "string"),
        ("12", "string"),
        ("2026-01-31", "datetime"),
        ("2026-01-31T09:00:00+01:00", "datetime"),
        ("2026-01-31T09:00:00", "string"),
        ("2026 was a year", "string"),
        (datetime(2026, 1, 31, tzinfo=UTC), "datetime"),
        (1, "number"),
        (1.5, "number"),
        (True, "boolean"),
        (["a"], "strings"),
        ([1], "object"),
        ({"a": 1}, "object"),
    ],
)
def test_types(value, kind):
    assert type_of(value) == kind
    assert kind in get_args(AttributeType)
