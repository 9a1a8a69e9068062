from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from parcours.definitions.findings import Finding
from parcours.definitions.graph import cycles
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.load import load_data
from parcours.definitions.references import DEEPEST_SEGMENT, check, uses
from parcours.definitions.segment import ControlGroup, SegmentDefinition
from parcours.definitions.workspace import Workspace
from tests.definitions.examples import SHOP


def shop() -> dict[tuple[str, str], dict[str, Any]]:
    """The example's definitions as plain data, by kind and name, to be damaged."""
    found = [item for doc in yaml.load_all(SHOP.replace("1980-12-31", '"1980-12-31"'), yaml.SafeLoader)
             for item in (doc if isinstance(doc, list) else [doc])]  # fmt: skip
    return {(item["kind"], item["name"]): item for item in found}


def put(data: Any, pointer: str, value: Any) -> None:
    *path, last = pointer.strip("/").split("/")
    for key in path:
        data = data[int(key)] if isinstance(data, list) else data[key]
    if isinstance(data, list):
        data[int(last)] = value
    else:
        data[last] = value


def findings(items: dict) -> tuple[dict[str, str], dict[str, str]]:
    """Return errors and warnings: code, message and hint by place (`journey basket /start`)."""
    names = [f"{kind} {name}" for kind, name in items]

    def placed(problems):
        found = {}
        for problem in problems:
            _, _, index, *rest = problem.pointer.split("/")
            found[f"{names[int(index)]} /{'/'.join(rest)}"] = f"{problem.code}: {problem.message} ({problem.hint})"
        assert len(found) == len(problems), problems
        return found

    _, errors, warnings = load_data(list(items.values()))
    return placed(errors), placed(warnings)


def damaged(*changes: tuple[str, str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    items = shop()
    for definition, pointer, value in changes:
        kind, _, name = definition.partition(" ")
        put(items[kind, name], pointer, value)
    return findings(items)


def test_the_shop_is_whole():
    assert damaged() == ({}, {})


BASKET = "journey basket"
SETTINGS = "workspace workspace"


@pytest.mark.parametrize(
    "definition, pointer, value, place, words",
    [
        (BASKET, "/entry", {"type": "segment", "segment": "regular"}, "/entry/segment", "did you mean 'regulars'"),
        (BASKET, "/steps/vip/if", {"segment": "nobody"}, "/steps/vip/if/segment", "no segment"),
        (BASKET, "/entry/where", {"any": [{"not": {"segment": "x"}}]}, "/entry/where/any/0/not/segment", "no segment"),
        (BASKET, "/steps/listen/events/0/where", {"segment": "x"}, "/steps/listen/events/0/where/segment", "unknown"),
        ("segment regulars", "/condition", {"segment": "x"}, "/condition/segment", "no segment"),
        (BASKET, "/steps/remind/messages", ["reminders", "reminder"], "/steps/remind/messages/0", "mean 'reminder'"),
        (BASKET, "/steps/push/messages", ["nudge", "nudge"], "/steps/push/messages/1", "twice"),
        (BASKET, "/steps/watch/events/0/message", "remind", "/steps/watch/events/0/message", "never sends"),
        (BASKET, "/start", "lisen", "/start", "did you mean 'listen'"),
        (BASKET, "/steps/pause/next", "vipp", "/steps/pause/next", "did you mean 'vip'"),
        (BASKET, "/steps/watch/timeout/next", "x", "/steps/watch/timeout/next", "no step"),
        (BASKET, "/steps/vip/else", "x", "/steps/vip/else", "no step"),
        (BASKET, "/steps/extra", {"type": "end"}, "/steps/extra", "nothing leads"),
        (BASKET, "/steps/pause/for", "31d", "/steps/pause/for", "longer than"),
        (BASKET, "/steps/watch/timeout/after", "721h", "/steps/watch/timeout/after", "longer than"),
        (BASKET, "/entry/key", "", "/steps/listen/events/0/key", "no key"),
        ("message reminder", "/channel", "e-mail", "/channel", "did you mean 'email'"),
        ("message reminder", "/content/subject", "  ", "/content", "'subject'"),
        ("message reminder", "/content/text", "", "/content", "'text' or 'html'"),
        ("message reminder", "/content/htm", "x", "/content/htm", "did you mean 'html'"),
        ("message nudge", "/content", {"title": "x"}, "/content", "'body'"),
        ("segment regulars", "/condition", {"interaction": "a", "is": 1}, "/condition/interaction", "no interaction"),
        ("interaction Order Completed", "/counts_when", {"contact": "a", "is": 1}, "/counts_when", "may only look"),
        ("interaction Order Completed", "/counts_when", {"did": "Checkout Started"}, "/counts_when", "may only look"),
        ("interaction Order Completed", "/channel", "kiosc", "/channel", "did you mean 'kiosk'"),
        ("interaction Order Completed", "/channel", "Mars", "/channel", "a workspace adds its own in 'channels'"),
        ("interaction Order Completed", "/source_type", "custmer", "/source_type", "did you mean 'customer'"),
        ("interaction Order Completed", "/source_type", "x", "/source_type", "its own in 'source_types'"),
        (SETTINGS, "/channels/web", "Site", "/channels/web", "one of the usual channels"),
        (SETTINGS, "/source_types/staff", "", "/source_types/staff", "one of the usual source types"),
        (SETTINGS, "/channels", {}, "", "no channel 'kiosk'"),
        (BASKET, "/archived", True, "/archived", "state: closed"),
        (BASKET, "/entry/interaction", "leaflet handed out", "/entry/interaction", "archived"),
        ("segment regulars", "/condition/did", "Leaflet Handed Out", "/condition/did", "restore it"),
        ("message nudge", "/archived", True, "", "message 'nudge' is archived"),
        ("interaction Order Completed", "/archived", True, "", "interaction 'order completed' is archived"),
    ],
)  # fmt: skip
def test_one_error(definition, pointer, value, place, words):
    errors, warnings = damaged((definition, pointer, value))
    if not place:  # somebody else's
        assert any(words in said for said in errors.values())
        return
    wanted = f"{definition} {place}"
    assert wanted in errors
    assert words in errors[wanted]
    assert warnings == {}


@pytest.mark.parametrize(
    "definition, pointer, value, place, words",
    [
        (BASKET, "/entry/interaction", "checkout start", "/entry/interaction", "mean 'checkout started'"),
        (BASKET, "/steps/listen/events/0/interaction", "x", "/steps/listen/events/0/interaction", "learned"),
        ("segment regulars", "/condition/did", "x", "/condition/did", "learned"),
        (BASKET, "/steps/vip/if", {"consent": "emial"}, "/steps/vip/if/consent", "mean 'email'"),
        (
            "interaction Order Completed",
            "/counts_when",
            {"interaction": "totl", "is": 1},
            "/counts_when/interaction",
            "mean 'total'",
        ),
        (
            "segment regulars",
            "/condition",
            {"did": "Order Completed", "sum": {"of": "totals", "at_least": 1}},
            "/condition/sum/of",
            "mean 'total'",
        ),
        (
            "segment regulars",
            "/condition",
            {"did": "order completed", "where": {"any": [{"interaction": "citty", "is": "x"}]}},
            "/condition/where/any/0/interaction",
            "mean 'city'",
        ),
        (
            "segment regulars",
            "/condition",
            {
                "sequence": [
                    {"did": "Checkout Started"},
                    {"did": "Order Completed", "where": {"not": {"interaction": "cty", "is": "x"}}},
                ]
            },
            "/condition/sequence/1/where/not/interaction",
            "mean 'city'",
        ),
    ],
)
def test_one_warning(definition, pointer, value, place, words):
    errors, warnings = damaged((definition, pointer, value))
    assert errors == {}
    assert list(warnings) == [f"{definition} {place}"]
    assert words in warnings[f"{definition} {place}"]


def test_everything_is_reported_at_once():
    errors, warnings = damaged(
        (BASKET, "/start", "x"),
        (BASKET, "/steps/pause/for", "1000d"),
        (BASKET, "/entry/interaction", "x"),
        ("segment regulars", "/condition", {"segment": "x"}),
        ("message nudge", "/channel", "x"),
    )
    assert len(errors) == 4
    assert len(warnings) == 1


def test_names_of_interactions_match_in_any_case():
    assert damaged((BASKET, "/entry/interaction", " CHECKOUT started ")) == ({}, {})


def test_what_conditions_name_must_be_there():
    errors, warnings = damaged(
        ("segment regulars", "/condition", {"any": [
            {"list": "nobody"},
            {"messages": "opened", "of": "nothing"},
            {"not": {"messages": "opened", "of": ["nudge", "nudgge"], "channel": "emial"}},
            {"did": ["Checkout Started", "Cheering"]},
            {"did_not": "Jumping"},
            {"sequence": [{"did": "Running"}, {"did_not": ["Checkout Started", "Resting"], "within": "1d"}]},
        ]}),
    )  # fmt: skip
    below = "segment regulars /condition/any"
    assert [*errors] == [f"{below}/0/list", f"{below}/1/of", f"{below}/2/not/of/1"]
    assert [*warnings] == [
        f"{below}/2/not/channel",
        f"{below}/3/did/1",
        f"{below}/4/did_not",
        f"{below}/5/sequence/0/did",
        f"{below}/5/sequence/1/did_not/1",
    ]


def test_only_a_run_has_an_entry():
    since = {"did": "Checkout Started", "since": "entry"}
    errors, _ = damaged(
        ("segment regulars", "/condition", {"not": since}),
        (BASKET, "/entry/where", since),
        (BASKET, "/steps/listen/events/0/where", since),
    )
    assert [*errors] == ["segment regulars /condition/not/since", f"{BASKET} /entry/where/since"]
    assert all("no run" in said for said in errors.values())


def test_a_journey_that_reads_a_segment_has_no_interaction_to_look_at():
    errors, _ = damaged(
        (BASKET, "/entry", {"type": "segment", "segment": "regulars"}),
        (BASKET, "/steps/listen/events/0/where", {"interaction": "total", "more_than": 1}),
        (BASKET, "/steps/listen/events/0/key", ""),
    )
    # The filter of a branch looks at the interaction it filters.
    assert list(errors) == ["journey basket /steps/vip/if/interaction"]


def test_a_reaction_needs_a_message():
    items = shop()
    items["journey", "basket"] |= {
        "start": "watch",
        "steps": {"watch": {"type": "wait_for", "events": [{"type": "reaction", "reaction": "opened"}]}},
    }
    errors, warnings = findings(items)
    assert errors == {}
    assert "no message to react to" in warnings["journey basket /steps/watch/events/0/reaction"]


def test_a_wait_as_long_as_the_run_is_fine():
    assert damaged((BASKET, "/steps/pause/for", "30d")) == ({}, {})


def test_a_cycle_needs_a_wait():
    errors, _ = damaged((BASKET, "/steps/remind/next", "vip"), (BASKET, "/steps/watch", {"type": "end"}))
    assert "vip → remind → vip" in errors["journey basket /steps/vip"]
    errors, _ = damaged((BASKET, "/steps/push/next", "push"))
    assert "push → push" in errors["journey basket /steps/push"]
    assert damaged((BASKET, "/steps/push/next", "pause")) == ({}, {})


# --- archiving --------------------------------------------------------------------------------------------------------


def test_a_draft_may_name_what_is_archived_and_is_warned():
    archived = ("message nudge", "/archived", True)
    errors, warnings = damaged(archived, (BASKET, "/state", "draft"))
    assert errors == {}
    assert list(warnings) == [f"{BASKET} /steps/push/messages/0"]
    assert damaged(archived, (BASKET, "/state", "draft"), (BASKET, "/archived", True)) == ({}, {})
    errors, _ = damaged(archived)
    assert list(errors) == [f"{BASKET} /steps/push/messages/0"]


def test_what_is_archived_may_name_what_is_archived():
    regulars = ("segment regulars", "/archived", True)
    errors, _ = damaged(regulars)
    assert set(errors) == {
        "segment atlanta-regulars /condition/all/0/segment",
        f"{BASKET} /steps/listen/events/0/where/segment",
    }
    errors, _ = damaged(regulars, ("segment atlanta-regulars", "/archived", True))
    assert set(errors) == {f"{BASKET} /steps/listen/events/0/where/segment"}


def test_what_is_archived_may_stand_on_a_channel_that_is_gone():
    assert damaged(("interaction Leaflet Handed Out", "/channel", "gone")) == ({}, {})
    errors, _ = damaged(
        ("interaction Leaflet Handed Out", "/channel", "gone"), ("interaction Leaflet Handed Out", "/archived", False)
    )
    assert list(errors) == ["interaction Leaflet Handed Out /channel"]


def test_who_uses_whom():
    workspace, _, _ = load_data(list(shop().values()))
    found = {(use.user, use.used, use.pointer) for use in uses(workspace) if use.used[0] != "interaction"}
    basket = ("journey", "basket")
    assert found == {
        (("segment", "atlanta-regulars"), ("segment", "regulars"), "/condition/all/0/segment"),
        (basket, ("segment", "regulars"), "/steps/listen/events/0/where/segment"),
        (basket, ("message", "reminder"), "/steps/remind/messages/0"),
        (basket, ("message", "nudge"), "/steps/push/messages/0"),
    }
    of_orders = [use for use in uses(workspace) if use.used == ("interaction", "order completed")]
    assert {(use.user, use.pointer, use.active) for use in of_orders} == {
        (("segment", "regulars"), "/condition/did", True),
        (basket, "/steps/listen/events/0/interaction", True),
    }


def test_settings_that_could_not_be_read_are_not_missed():
    workspace = Workspace().with_definitions(InteractionDefinition(name="a", channel="kiosk"))
    assert codes(workspace) == ["unknown_reference"]
    assert check(workspace, {("workspace", "workspace")}) == []


def workspace_of(**conditions: Any) -> Workspace:
    return Workspace().with_definitions(
        *(SegmentDefinition(name=name, condition=condition) for name, condition in conditions.items())
    )


def codes(workspace: Workspace) -> list[str]:
    return [finding.problem.code for finding in check(workspace)]


def test_segments_may_not_refer_to_each_other_in_a_circle():
    [finding] = check(workspace_of(a={"segment": "b"}, b={"not": {"segment": "c"}}, c={"all": [{"segment": "a"}]}))
    assert isinstance(finding, Finding)
    assert "a → b → c → a" in finding.problem.message
    assert codes(workspace_of(a={"segment": "a"})) == ["segment_cycle"]
    two = workspace_of(
        a={"segment": "b"}, b={"segment": "a"}, c={"segment": "d"}, d={"segment": "c"}, e={"segment": "a"}
    )
    assert codes(two) == ["segment_cycle"] * 2


def test_a_control_group_is_named_where_there_is_one():
    def of(control, condition):
        held = SegmentDefinition(name="a", condition={"contact": "x", "is": 1}, control=control)
        return Workspace().with_definitions(held, SegmentDefinition(name="b", condition=condition))

    tenth = ControlGroup(percent=10, start=90)
    assert codes(of(tenth, {"segment": "a:control"})) == []
    [finding] = check(of(None, {"segment": "a:control"}))
    assert finding.problem.pointer == "/condition/segment"
    assert "has no control group" in finding.problem.message
    assert codes(of(tenth, {"segment": "c:control"})) == ["unknown_reference"]
    assert codes(of(ControlGroup(percent=11, start=90), {"segment": "a"})) == ["invalid_value"]
    circle = SegmentDefinition(name="a", condition={"not": {"segment": "a:control"}}, control=tenth)
    assert codes(Workspace().with_definitions(circle)) == ["segment_cycle"]


def test_segments_may_not_grow_without_end():
    def doubling(levels):
        conditions = {f"s{i}": {"all": [{"segment": f"s{i + 1}"}] * 2} for i in range(levels)}
        return workspace_of(**conditions, **{f"s{levels}": {"contact": "a", "is": 1}})

    assert codes(doubling(8)) == []
    assert set(codes(doubling(60))) == {"too_large"}
    chain = {f"s{i}": {"segment": f"s{i + 1}"} for i in range(3_000)} | {"s3000": {"all": []}}
    assert set(codes(workspace_of(**chain))) == {"too_large"}
    chain = {f"s{i}": {"segment": f"s{i + 1}"} for i in range(DEEPEST_SEGMENT - 1)}
    assert codes(workspace_of(**chain, **{f"s{DEEPEST_SEGMENT - 1}": {"all": []}})) == []


def test_conditions_made_by_hand_are_looked_at_too():
    [finding] = check(workspace_of(a={"contact": "x", "iz": 1}))
    assert (finding.key, finding.problem.pointer) == (("segment", "a"), "/condition/iz")


def test_what_could_not_be_read_is_not_missed():
    workspace = workspace_of(a={"segment": "b"})
    assert codes(workspace) == ["unknown_reference"]
    assert check(workspace, {("segment", "b")}) == []


@given(st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefgx"), max_size=4)))
def test_cycles_are_cycles_and_none_is_missed(graph):
    found = cycles(graph)
    for cycle in found:
        for name, following in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            assert following in graph[name]
    # Without the steps of those found, nothing is left that goes round.
    left = {name: to for name, to in graph.items() if not any(name in cycle for cycle in found)}

    def returns(start):
        seen, todo = set(), [start]
        while todo:
            for name in left.get(todo.pop(), []):
                if name == start:
                    return True
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
        return False

    assert not any(returns(name) for name in left)


SALE = {"kind": "message", "name": "sale", "channel": "email", "content": {"subject": "s", "text": "t"}}
ASKS = {"consent": "email", "is": "opted_in"}


def of_consent(**more: Any) -> list[str]:
    send = {"type": "send", "messages": ["sale"], "next": "end"} | more.pop("send", {})
    steps = {"s": send, "end": {"type": "end"}} if "end" in send.values() else {"s": send}
    journey = {
        "kind": "journey", "name": "j", "entry": {"type": "interaction", "interaction": "Go"},
        "start": "s", "steps": steps, **more.pop("journey", {}),
    }  # fmt: skip
    definitions = [SALE | more.pop("sale", {}), {"kind": "interaction", "name": "Go"}, journey, *more.pop("others", ())]
    _, errors, warnings = load_data(definitions)
    assert errors == []
    return [f"{warning.code} {warning.pointer}" for warning in warnings]


def test_marketing_that_nobody_asks_consent_for_is_warned_of():
    assert of_consent() == ["no_consent_check /definitions/2/steps/s/messages/0"]
    assert of_consent(send={"next": None}) == ["no_consent_check /definitions/2/steps/s/messages/0"]


def test_marketing_is_not_warned_of_where_a_refusal_is_seen_or_consent_is_asked_for():
    assert of_consent(send={"suppressed": "end"}) == []
    assert of_consent(sale={"purpose": "transactional"}) == []
    entry = {"type": "interaction", "interaction": "Go"}
    assert of_consent(journey={"entry": entry | {"where": ASKS}}) == []
    other = {"all": [{"not": {"consent": "push", "is": "opted_in"}}]}
    assert len(of_consent(journey={"entry": entry | {"where": other}})) == 1
    segment = {"kind": "segment", "name": "reachable", "condition": ASKS}
    outer = {"kind": "segment", "name": "outer", "condition": {"segment": "reachable"}}
    read = {"entry": {"type": "segment", "segment": "outer"}}
    assert of_consent(journey=read, others=[segment, outer]) == []
