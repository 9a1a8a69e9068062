"""Steps that wait until a moment, and those at which a token goes one of several ways."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from parcours.core.effects import What
from tests.core.world import END, World, email, journey, send, wait, wait_for


def until(**moment: Any) -> dict[str, Any]:
    return {"type": "wait", "until": moment, "next": "end"}


def waiting(**moment: Any) -> dict[str, Any]:
    return journey({"pause": until(**moment), "end": END})


def test_a_wait_until_nine_ends_at_nine_sharp_in_the_zone_of_the_contact():
    world = World(waiting(time="09:00"))
    world.knows("ann", timezone="America/New_York")
    world.did("ann", "Go")
    world.at("2026-03-02T13:59:59.999Z")
    assert world.path("ann") == ["pause"]
    world.at("2026-03-02T14:00:00Z")
    assert world.path("ann") == ["pause", "end"]
    assert world.reasons("ann", What.BRANCHED) == ["waited"]


@pytest.mark.parametrize(
    "own, of_journey, of_workspace, of_step, at",
    [
        ("Asia/Tokyo", "Europe/Berlin", "America/New_York", "", "2026-03-03T00:00:00Z"),
        ("Nowhere/City", "Europe/Berlin", "America/New_York", "", "2026-03-03T08:00:00Z"),
        (None, "Europe/Berlin", "America/New_York", "", "2026-03-03T08:00:00Z"),
        (None, "", "America/New_York", "", "2026-03-02T14:00:00Z"),
        (7, "", "", "", "2026-03-03T09:00:00Z"),
        ("Asia/Tokyo", "Europe/Berlin", "", "America/New_York", "2026-03-02T14:00:00Z"),
    ],
)
def test_whose_zone_is_meant(own: object, of_journey: str, of_workspace: str, of_step: str, at: str):
    settings = {"kind": "workspace", "zone": of_workspace}
    world = World(settings, waiting(time="09:00", zone=of_step) | {"zone": of_journey})
    world.knows("ann", **({} if own is None else {"timezone": own}))
    world.did("ann", "Go")
    (due,) = [timer.due for timer in world.contact("ann").timers if timer.token]
    world.at(at)
    assert due == world.now
    assert world.path("ann")[-1] == "end"


def test_a_date_that_is_over_or_missing_goes_on_at_once():
    steps = {"pause": until(contact="renewal", before="2d"), "end": END}
    world = World(journey(steps))
    world.knows("ann", renewal="2026-03-01")
    world.did("ann", "Go")
    assert world.reasons("ann", What.BRANCHED) == ["over"]
    world.knows("bob")
    world.did("bob", "Go")
    assert world.reasons("bob", What.BRANCHED) == ["missing"]
    assert world.path("ann") == world.path("bob") == ["pause", "end"]


def test_a_date_of_the_interaction_that_started_the_run():
    world = World(journey({"pause": until(interaction="departs_at", before="2h"), "end": END}))
    world.did("ann", "Go", departs_at="2026-03-02T18:00:00+01:00")
    world.at("2026-03-02T14:59:59Z")
    assert world.path("ann") == ["pause"]
    world.at("2026-03-02T15:00:00Z")
    assert world.path("ann") == ["pause", "end"]


def test_a_timeout_until_a_moment():
    steps = {
        "listen": {
            "type": "wait_for",
            "events": [{"type": "interaction", "interaction": "Paid"}],
            "timeout": {"until": {"contact": "renewal"}, "next": "late"},
            "next": "end",
        },
        "late": END,
        "end": END,
    }
    world = World(journey(steps))
    world.knows("ann", renewal="2026-03-04")
    world.did("ann", "Go")
    world.at("2026-03-03T23:59:59Z")
    world.did("ann", "Paid")
    world.did("ann", "Go")
    world.at("2026-03-04T00:00:00Z")
    assert world.path("ann") == ["listen", "end", "listen", "late"]
    world.did("ann", "Go")
    assert world.path("ann")[-2:] == ["listen", "late"]
    assert world.reasons("ann", What.BRANCHED) == ["paid", "timeout", "over"]


def test_a_split_takes_the_first_branch_that_is_true():
    branches = [
        {"name": "rich", "if": {"interaction": "total", "at_least": 100}, "next": "a"},
        {"name": "local", "if": {"contact": "city", "is": "Atlanta"}, "next": "b"},
    ]
    steps = {"which": {"type": "split", "branches": branches, "else": "c"}, "a": END, "b": END, "c": END}
    world = World(journey(steps))
    world.knows("ann", city="Atlanta")
    world.knows("bob")
    world.did("ann", "Go", total=100)
    world.did("ann", "Go", total=99)
    world.did("bob", "Go", total=99)
    assert world.path("ann") == ["which", "a", "which", "b"]
    assert world.path("bob") == ["which", "c"]
    assert world.reasons("ann", What.BRANCHED) == ["rich", "local"]
    assert world.reasons("bob", What.BRANCHED) == ["else"]


def experiment(*weights: float, holdout: float | None = None) -> dict[str, Any]:
    step: dict[str, Any] = {
        "type": "experiment",
        "branches": [{"name": f"v{index}", "weight": weight, "next": "end"} for index, weight in enumerate(weights)],
    }
    return step if holdout is None else step | {"holdout": {"weight": holdout}}


def test_an_experiment_draws_by_weight_and_the_same_for_a_contact_each_time():
    steps = {"test": experiment(3, 0, 1, holdout=1), "end": END}
    world = World(journey(steps))
    people = [f"p{index}" for index in range(500)]
    for _ in range(2):
        for who in people:
            world.did(who, "Go")
    drawn = {who: world.reasons(who, What.BRANCHED) for who in people}
    assert all(len(set(ways)) == 1 for ways in drawn.values())
    count = Counter(ways[0] for ways in drawn.values())
    assert set(count) == {"v0", "v2", "holdout"}
    assert 250 < count["v0"] < 350
    assert 60 < count["v2"] < 140
    assert all(world.path(who)[-1] == ("test" if "holdout" in drawn[who] else "end") for who in people)


def test_what_one_experiment_draws_says_nothing_of_another():
    first = experiment(1, 1)
    second = experiment(1, 1)
    for branch in first["branches"]:
        branch["next"] = "second"
    world = World(journey({"first": first, "second": second, "end": END}))
    people = [f"p{index}" for index in range(400)]
    for who in people:
        world.did(who, "Go")
    count = Counter(tuple(world.reasons(who, What.BRANCHED)) for who in people)
    assert len(count) == 4
    assert all(60 < times < 140 for times in count.values())


def test_a_wait_for_any_of_a_set():
    event = {"type": "interaction", "interaction": ["Paid", "Seen"], "next": "end"}
    world = World(journey({"listen": wait_for(event), "end": END}))
    world.did("ann", "Go")
    world.did("ann", "seen")
    world.did("ann", "Go")
    world.did("ann", "Paid")
    assert world.path("ann") == ["listen", "end", "listen", "end"]
    assert world.reasons("ann", What.BRANCHED) == ["seen", "paid"]


def test_several_arrows_into_one_step_let_each_token_pass():
    steps = {
        "which": {"type": "decision", "if": {"contact": "city", "is": "Atlanta"}, "then": "pause", "else": "mail"},
        "pause": wait("1d", next="mail"),
        "mail": send("news"),
    }
    world = World(email("news"), journey(steps))
    world.knows("ann", city="Atlanta")
    world.knows("bob")
    world.did("ann", "Go")
    world.did("bob", "Go")
    world.after("1d")
    assert world.sent("ann") == world.sent("bob") == ["news"]


# --- what came before the token -----------------------------------------------------------------------------------------


def prior(*events: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    steps = {"pause": wait("1d", next="listen"), "listen": wait_for(*events, accept_prior=True, next="end"), "end": END}
    return journey(steps, **more)


def on(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "interaction", "interaction": name, **more}


def test_what_came_since_the_run_began_is_accepted():
    steps = {
        "pause": wait("1d", next="listen"),
        "listen": wait_for("Paid", on("Seen", next="seen"), accept_prior=True, next="end"),
        "seen": END,
        "end": END,
    }
    world = World(journey(steps))
    world.did("ann", "Seen")
    world.did("ann", "Go")
    world.did("bob", "Go")
    world.after("1h")
    world.did("bob", "Seen")
    world.did("bob", "Paid")
    world.after("1d")
    assert world.path("ann") == ["pause", "listen"]
    assert world.path("bob") == ["pause", "listen", "seen"]
    world.did("ann", "Paid")
    assert world.path("ann")[-1] == "end"


def test_what_started_the_run_did_not_come_before_it():
    world = World(prior("Go", re_entry="never"))
    world.did("ann", "Go")
    world.after("1d")
    assert world.path("ann") == ["pause", "listen"]


def test_what_came_before_is_held_against_the_filter_and_the_key():
    event = on(
        "Paid", key="order", where={"all": [{"interaction": "total", "at_least": 5}, {"contact": "vip", "is": True}]}
    )
    world = World(prior(event, entry={"key": "order"}))
    world.did("ann", "Go", order="a")
    world.did("ann", "Paid", order="a", total=9)
    world.knows("ann", vip=True)
    world.did("ann", "Paid", order="b", total=9)
    world.did("ann", "Paid", order="a", total=4)
    world.after("1d")
    assert world.path("ann") == ["pause", "listen"]
    world.did("ann", "Go", order="c")
    world.did("ann", "Paid", order="c", total=5)
    world.after("1d")
    assert world.path("ann")[-2:] == ["listen", "end"]
    assert [run.key for run in world.runs("ann")] == ["a"]


def test_what_came_late_does_not_count_as_having_come():
    world = World(prior("Paid"))
    world.did("ann", "Go")
    world.did("ann", "Paid", ago="7h")
    world.after("1d")
    assert world.path("ann") == ["pause", "listen"]
