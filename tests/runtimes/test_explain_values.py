"""Explanations tell the values that were decided by: until when, which cap, and what was a test."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.core.gate import Happened, Learned
from parcours.runtimes.explain import explain, past_of
from tests.core.world import World, email, journey, ms, push, send, wait, wait_for
from tests.runtimes.test_explain import GO, RECEIPT, because

NINE = "2026-03-02T09:00:00Z"


def test_a_message_that_is_held_is_told_with_when_it_leaves():
    quiet = {"kind": "workspace", "policy": {"quiet_hours": {"from": "08:00", "to": "20:00"}}}
    world = World(quiet, GO, email("news"), journey({"s": send("news")}))
    world.knows("ann")
    world.did("ann", "Go")
    held = f"At {NINE} the message 'news' was decided at 's', and held for quiet hours until 2026-03-02T20:00:00Z."
    assert held in because(world, "ann")


def test_a_cap_that_was_full_is_named():
    caps = {"kind": "workspace", "policy": {"caps": [{"limit": 1, "per": "7d", "channel": "email"}]}}
    world = World(caps, GO, email("news"), journey({"s": send("news")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert f"At {NINE} the message 'news' was not sent: frequency_cap (1 in 7d email)." in because(world, "ann")


def test_a_refused_entry_is_told_with_what_was_in_its_way():
    def refused(**rules: Any) -> str:
        world = World(GO, RECEIPT, journey({"s": send("receipt")}, **rules))
        world.knows("ann")
        world.did("ann", "Go")
        world.after("1h")
        world.did("ann", "Go")
        return because(world, "ann")[-1].partition("was refused: ")[2]

    assert refused(re_entry="never") == f"entered_before (it entered at {NINE})."
    assert refused(re_entry={"after": "7d"}) == "too_soon (not before 2026-03-09T09:00:00Z)."
    limit = {"times": 1, "within": "7d"}
    assert refused(max_entries=limit) == "too_many_entries (entries: 1, not before 2026-03-09T09:00:00Z)."


@pytest.mark.parametrize("reason", ["no_consent", "opted_out", "no_address", "invalid_address", "quiet_hours"])
def test_why_a_message_was_not_sent_is_told_in_words(reason: str):
    drop = {"quiet_hours": {"from": "08:00", "to": "20:00", "mode": "drop"}} if reason == "quiet_hours" else {}
    world = World({"kind": "workspace", "policy": drop}, GO, email("news"), journey({"s": send("news")}))
    consent = {"no_consent": {}, "opted_out": {"email": {"": "opted_out"}}}.get(reason, True)
    if not isinstance(consent, dict):
        consent = {"email": {"": "opted_in"}}
    attributes = {} if reason == "no_address" else {"email": "ann@parcours.dev"}
    addresses = {} if reason in {"no_address", "invalid_address"} else attributes
    world.accept(world.arrival("ann", Learned(attributes, addresses, consent)))
    world.did("ann", "Go")
    (said,) = [line for line in because(world, "ann") if "was not sent" in line]
    assert said.startswith(f"At {NINE} the message 'news' was not sent: {reason} (")


def test_an_experiment_is_told_once():
    steps = {
        "x": {"type": "experiment", "branches": [{"name": "warm", "next": "w"}]},
        "w": wait_for("Paid", after="2d", late="s"),
        "s": send("receipt"),
    }
    world = World(GO, RECEIPT, journey(steps, goals=[{"name": "paid", "interaction": "Paid"}]))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Paid")
    assert because(world, "ann") == [
        f"At {NINE} 'Go' let the contact in.",
        f"At {NINE} it left 'x' by 'warm'.",
        f"At {NINE} the goal 'paid' was reached by 'Paid'.",
        f"At {NINE} it left 'w' by 'paid'.",
        f"At {NINE} ended: finished.",
    ]


def test_what_steps_did_to_the_contact_is_told():
    steps = {
        "note": {"type": "update", "set": {"status": "gold", "seen": {"now": True}}, "next": "vip"},
        "vip": {"type": "list", "add": ["vip"], "remove": ["new"], "next": "join"},
        "join": {"type": "enrol", "programme": "club", "next": "points"},
        "points": {"type": "award", "programme": "club", "points": 1500, "next": "ten"},
        "ten": {"type": "give", "reward": "ten", "next": "tell", "unavailable": "tell"},
        "tell": {"type": "record", "interaction": "Became VIP", "next": "greet"},
        "greet": {"type": "start", "journey": "other", "next": "wrong"},
        "wrong": {"type": "update", "set": {"age": "old"}},
    }
    declared = {"kind": "workspace", "contacts": {"attributes": {"age": {"type": "number"}}}}
    named = [{"kind": "list", "name": "vip"}, {"kind": "list", "name": "new"}, {"kind": "programme", "name": "club"}]
    other = {**journey({"s": send("receipt")}, name="other"), "entry": {"type": "journey"}}
    world = World(
        GO, RECEIPT, declared, *named, {"kind": "reward", "name": "ten", "percent": 10}, other, journey(steps)
    )
    world.knows("ann")
    world.did("ann", "Go")
    assert [line.removeprefix(f"At {NINE} ") for line in because(world, "ann")[1:-1]] == [
        "'note' changed 'status', 'seen' of the contact.",
        "'vip' put the contact on 'vip' and took it off 'new'.",
        "'join' asked for membership of 'club'.",
        "'points' asked for 1,500 points in 'club'.",
        "'ten' asked for the reward 'ten'.",
        "'tell' recorded 'Became VIP'.",
        "'greet' asked for entry into 'other'.",
        "'wrong' did not do what it was to do: wrong_type.",
    ]


def test_what_has_no_key_is_told_so():
    world = World(GO, RECEIPT, journey({"s": send("receipt")}, entry={"key": "order"}))
    world.knows("ann")
    world.did("ann", "Go")
    assert because(world, "ann")[1].endswith("and was refused: no_key (it has no value for 'order').")


def test_an_exit_that_was_met_is_told():
    steps = {"s": send("receipt")}
    world = World(GO, RECEIPT, journey(steps, exit=[{"if": {"contact": "plan", "is": "gold"}}]))
    world.knows("ann", plan="gold")
    world.did("ann", "Go")
    assert because(world, "ann")[1].endswith('and was refused: exit_met (plan is "gold").')


def test_what_a_run_waits_for_and_did_not_come_is_told():
    paid = {"type": "interaction", "interaction": "Paid", "where": {"interaction": "amount", "at_least": 7}}
    world = World(GO, RECEIPT, journey({"listen": wait_for(paid, after="2d", late="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Paid", amount=5)
    said = because(world, "ann")
    assert f"At {NINE} 'Paid' did not take it from 'listen': interaction.amount ≥ 7 (it was 5)." in said
    assert said[-1].startswith("The run stands at 'listen'")
    world.after("2d")
    assert not [line for line in because(world, "ann") if "did not take it" in line]


def test_tests_are_told_as_such_and_are_no_entries():
    tested = {"contacts": [{"user_id": "ann"}], "recipients": {"push": "qa"}}
    where = {"where": {"interaction": "total", "at_least": 10}}
    steps = {"s": send("hello", next="w"), "w": wait("1d")}
    world = World(GO, push("hello"), journey(steps, entry=where, test=tested))
    world.knows("ann")
    world.did("ann", "Go", total=5)
    world.run.engine.try_out("j", [world.id_of("ann")], {})
    assert because(world, "ann") == [
        "The contact never entered 'j'.",
        f"At {NINE} 'Go' was considered, and the condition at entry was false: interaction.total ≥ 10 (it was 5).",
        f"In a test, at {NINE} 'enter' let the contact in.",
        f"In a test, at {NINE} the message 'hello' was sent at 's'.",
        f"The run of a test stands at 'w' since {NINE} and waits until 2026-03-03T09:00:00Z.",
    ]
    world.did("ann", "Go", total=10)
    assert because(world, "ann")[-3:] == [
        f"At {NINE} the message 'hello' was sent at 's'.",
        f"The run of a test stands at 'w' since {NINE} and waits until 2026-03-03T09:00:00Z.",
        f"The run stands at 'w' since {NINE} and waits until 2026-03-03T09:00:00Z.",
    ]


def test_a_run_of_an_older_version_is_told_as_such():
    world = World(GO, RECEIPT, journey({"w": wait("2d", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    assert because(world, "ann")[-1].startswith(f"The run stands at 'w' since {NINE}")
    world.publish(journey({"w": wait("3d", next="s"), "s": send("receipt")}))
    assert because(world, "ann")[-1].startswith(
        f"The run stands at 'w' of version 1 since {NINE} and waits until 2026-03-04"
    )


def test_runs_of_several_keys_are_told_apart():
    steps = {"w": wait("1d", next="s"), "s": send("receipt")}
    world = World(GO, RECEIPT, journey(steps, entry={"key": "order"}))
    world.knows("ann")
    world.did("ann", "Go", order="A17")
    assert because(world, "ann")[0] == f"At {NINE} 'Go' let the contact in."
    world.after("1h")
    world.did("ann", "Go", order="A18")
    world.after("23h")
    assert because(world, "ann") == [
        f"At {NINE} 'Go' let the contact in (A17).",
        "At 2026-03-02T10:00:00Z 'Go' let the contact in (A18).",
        "At 2026-03-03T09:00:00Z it left 'w' by 'waited' (A17).",
        "At 2026-03-03T09:00:00Z the message 'receipt' was sent at 's' (A17).",
        "At 2026-03-03T09:00:00Z ended: finished (A17).",
        "The run (A18) stands at 'w' since 2026-03-02T10:00:00Z and waits until 2026-03-03T10:00:00Z.",
    ]


def test_runs_at_the_same_time_are_told_apart_and_runs_after_one_another_need_not_be():
    world = World(GO, RECEIPT, journey({"w": wait("1d", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1h")
    world.did("ann", "Go")
    standing = [said.split(" stands")[0] for said in because(world, "ann")[-2:]]
    assert standing == [f"The run of {NINE}", "The run of 2026-03-02T10:00:00Z"]
    world.after("23h")
    said = because(world, "ann")
    assert said[1] == "At 2026-03-02T10:00:00Z 'Go' let the contact in."
    assert said[2] == f"At 2026-03-03T09:00:00Z it left 'w' by 'waited' (the run of {NINE})."
    assert said[-1].startswith("The run of 2026-03-02T10:00:00Z stands at 'w' since")
    world.after("2d")
    world.did("ann", "Go")
    assert because(world, "ann")[-1].startswith("The run stands at 'w'")


def test_what_let_her_in_is_told_however_often_she_was_refused_since(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.runtimes.retelling.MOST_MOMENTS", 20)
    world = World(GO, RECEIPT, journey({"w": wait("9d", next="s"), "s": send("receipt")}, re_entry="never"))
    world.knows("ann")
    for _ in range(50):
        world.did("ann", "Go")
        world.after("1m")
    said = because(world, "ann")
    assert "At 2026-03-02T09:00:00Z 'Go' let the contact in." in said
    assert (
        said[0]
        == "Besides what is told here, it was refused at least 9 times, from 2026-03-02T09:31:00Z to 2026-03-02T09:39:00Z."
    )
    assert sum("and was refused: entered_before" in line for line in said) == 10
    assert said[-1].startswith("The run stands at 'w'")
    past = past_of(world.store, world.id_of("ann"))
    assert len(explain(past, world.run.engine.plan, "j", world.now).moments) == 20


def test_who_never_entered_is_told_the_latest_reasons_and_how_many_there_were():
    world = World(
        GO, RECEIPT, journey({"s": send("receipt")}, entry={"where": {"interaction": "total", "at_least": 10}})
    )
    world.knows("ann")
    for _ in range(12):
        world.did("ann", "Go", total=1)
        world.after("1m")
    said = because(world, "ann")
    assert (
        said[1]
        == "Besides what is told here, a condition was false 2 times, from 2026-03-02T09:00:00Z to 2026-03-02T09:01:00Z."
    )
    assert len(said) == 12


def test_what_reached_a_goal_and_what_ended_a_run_is_told():
    more = {
        "exit": [{"if": {"contact": "plan", "is": "gold"}}, {"interaction": "Out"}],
        "goals": [{"name": "paid", "interaction": "Paid", "where": {"interaction": "sum", "at_least": 3}}],
    }
    world = World(GO, RECEIPT, journey({"w": wait("2d", next="s"), "s": send("receipt")}, **more))
    for who in ("ann", "bob"):
        world.knows(who)
        world.did(who, "Go")
    world.did("ann", "Paid", sum=4)
    world.knows("ann", plan="gold")
    world.did("bob", "Out")
    assert because(world, "ann")[1:] == [
        f"At {NINE} the goal 'paid' was reached by 'Paid', for interaction.sum ≥ 3 (it was 4).",
        f'At {NINE} ended: exited by \'identify\', for plan is "gold" (it was "gold").',
    ]
    assert because(world, "bob")[1:] == [f"At {NINE} ended: exited by 'Out' (out)."]


def test_a_step_is_told_with_its_own_conditions_alone():
    steps = {
        "s": {"type": "decision", "if": {"contact": "city", "is": "Rome"}, "then": "s2", "else": "s2"},
        "s2": {"type": "decision", "if": {"contact": "plan", "is": "gold"}, "then": "end", "else": "end"},
        "end": {"type": "end"},
    }
    world = World(GO, journey(steps))
    world.knows("ann", city="Rome")
    world.did("ann", "Go")
    assert because(world, "ann")[1:3] == [
        f"At {NINE} it left 's' by 'then' (city is \"Rome\" (it was \"Rome\")).",
        f"At {NINE} it left 's2' by 'else' (plan is \"gold\" (it was missing)).",
    ]


def test_what_was_imported_as_history_and_what_does_not_count_is_told():
    paid = {"kind": "interaction", "name": "Paid", "counts_when": {"interaction": "ok", "is": True}}
    steps = {"listen": wait_for("Paid", after="2d", late="s"), "s": send("receipt")}
    world = World(GO, RECEIPT, paid, journey(steps), journey({"s": send("receipt")}, on="Paid", name="k"))
    world.knows("ann")
    history = world.arrival("ann", Happened("Go", {}), ago="3d")
    history.backfill = True
    world.accept(history)
    assert because(world, "ann") == [
        "The contact never entered 'j'.",
        f"At {NINE} 'Go' came as history, which starts and moves nothing.",
    ]
    world.did("ann", "Paid", ok=False)
    did_not = f"At {NINE} 'Paid' did not count, for what its definition asks was false: interaction.ok is true."
    assert because(world, "ann", "k") == ["The contact never entered 'k'.", did_not]
    world.did("ann", "Go")
    world.did("ann", "Paid", ok=False)
    assert did_not in because(world, "ann")


def test_before_there_was_a_journey_or_a_contact_that_is_said():
    world = World(GO, RECEIPT)
    world.after("1h")
    world.publish(journey({"s": send("receipt")}))
    world.after("1h")
    world.knows("ann")
    world.did("ann", "Go")
    now = world.now
    assert because(world, "ann", at=now - ms("1h30m")) == [
        "The contact never entered 'j'.",
        "At 2026-03-02T09:30:00Z the journey had not been published yet.",
        "At 2026-03-02T09:30:00Z nothing of the contact had been recorded yet.",
    ]
    assert because(world, "ann", at=now - ms("30m")) == [
        "The contact never entered 'j'.",
        "At 2026-03-02T10:30:00Z nothing of the contact had been recorded yet.",
    ]


GROWN = {"kind": "segment", "name": "grown", "condition": {"contact": "age", "at_least": 18}}
NOTHING = ["The contact never entered 'j'.", "Nothing that could let it in was recorded."]
LATER = "2026-03-02T10:00:00Z"
BEFORE = (
    f"At {LATER} it is in segment grown, and was before the journey went live, or came to be by history: only who enters it "
    "from then on is let in."
)


@pytest.mark.parametrize(
    "entry, more, said",
    [
        ({"type": "interaction", "interaction": ["Go", "Come"]}, {}, "The journey is entered by 'Go' or 'Come'."),
        ({"type": "api"}, {}, "The journey is entered over the API, and nobody asked for it."),
        ({"type": "journey"}, {}, "Only a step of another journey lets somebody in."),
        (
            {"type": "contact_created"},
            {},
            "Only who is met for the first time enters, and the contact was met before the journey went live.",
        ),
        ({"type": "date", "attribute": "born"}, {}, "The contact has no date in 'born'."),
        ({"type": "date", "attribute": "due"}, {}, "By its date in 'due' it enters at 2026-03-20T09:00:00Z."),
        ({"type": "date", "attribute": "past"}, {}, "What it has in 'past' is no date that is still to come."),
        (
            {"type": "segment", "segment": "grown", "on": "entered"},
            {"age": 20},
            BEFORE,
        ),
        (
            {"type": "segment", "segment": "grown", "on": "left"},
            {"age": 20},
            f"At {LATER} it is in segment grown, and only who leaves it enters.",
        ),
    ],
)
def test_what_it_would_take_is_told(entry: dict[str, Any], more: dict[str, Any], said: str):
    world = World(GO, RECEIPT, GROWN)
    world.knows("ann", due="2026-03-20", past="2026-01-01", **more)
    world.publish({**journey({"s": send("receipt")}), "entry": entry})
    world.after("1h")
    assert because(world, "ann") == [*NOTHING, said]


def test_who_joined_a_segment_after_it_was_read_is_told_so():
    world = World(RECEIPT, GROWN)
    world.knows("ann", age=3)
    world.publish({**journey({"s": send("receipt")}), "entry": {"type": "segment", "segment": "grown"}})
    world.after("1h")
    world.knows("ann", age=20)
    assert because(world, "ann")[-1] == f"At {LATER} it is in segment grown, but was not when it was read."
