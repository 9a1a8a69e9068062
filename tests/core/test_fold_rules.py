"""The rules of `core.fold` and `core.advance`, one by one."""

from __future__ import annotations

import pytest

from parcours.core import ids
from parcours.core.effects import What
from parcours.core.gate import Asked, Happened, Learned
from parcours.definitions.journey import MOST_RUNS
from parcours.runtimes.engine import Accepted, Duplicate, Refused
from tests.core.test_loyalty_rules import programme
from tests.core.world import END, World, email, journey, ms, push, send, to_reaction, wait, wait_for

NEWS = email("news")
"""Marketing: needs consent."""
RECEIPT = email("receipt", purpose="transactional")
PING = push("ping", purpose="transactional")


# --- timers -----------------------------------------------------------------------------------------------------------


def test_timers_fire_before_an_input_received_at_the_same_instant():
    world = World(RECEIPT, journey({"listen": wait_for("Stop", after="1h", late="late"), "late": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.run.clock.set(world.now + ms("1h"))
    world.did("ann", "Stop")
    assert world.path("ann") == ["listen", "late"]


def test_an_input_before_the_timer_is_due_comes_first():
    world = World(RECEIPT, journey({"listen": wait_for("Stop", after="1h", late="late"), "late": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1h-1s")
    world.did("ann", "Stop")
    world.after("1d")
    assert world.path("ann") == ["listen"]
    assert world.reasons("ann", What.BRANCHED) == ["stop"]
    assert world.contact("ann").timers == []


def test_timers_fire_at_their_own_instant_however_late_they_are_looked_at():
    steps = {"a": wait("1h", next="b"), "b": wait("1h", next="c"), "c": END}
    world = World(journey(steps))
    world.knows("ann")
    world.did("ann", "Go")
    start = world.now
    world.after("3d")
    arrived = [(entry.step, entry.at - start) for entry in world.trace("ann", What.ARRIVED)]
    assert arrived == [("a", 0), ("b", ms("1h")), ("c", ms("2h"))]
    assert world.trace("ann", What.ENDED)[0].at == start + ms("2h")


def test_timers_due_together_fire_in_order_of_creation_and_others_by_due_time():
    """Two journeys wait 2 h and 1 h and both end at 2 h: the one whose timer was made first is first."""
    world = World(
        RECEIPT,
        journey({"w": wait("2h", next="s"), "s": send("receipt")}, name="slow"),
        journey({"w": wait("1h", next="v"), "v": wait("1h", next="s"), "s": send("receipt")}, name="quick"),
    )
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1d")
    sent = [(entry.journey, entry.at) for entry in world.trace("ann", What.SENT)]
    assert [name for name, _ in sent] == ["slow", "quick"]
    assert sent[0][1] == sent[1][1]
    waited = [entry.journey for entry in world.trace("ann", What.BRANCHED)]
    assert waited == ["quick", "slow", "quick"]


def test_the_timer_of_a_step_goes_with_the_step():
    world = World(journey({"a": wait_for("On", after="1h", next="b"), "b": wait_for("On", after="5h")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("30m")
    world.did("ann", "On")
    assert world.contact("ann").timers[0].due == world.now + ms("5h")
    world.after("1h")
    assert world.runs("ann")[0].tokens[0].step == "b"


def test_max_duration_ends_a_run_in_the_middle_of_a_wait():
    world = World(RECEIPT, journey({"w": wait_for("On", next="s"), "s": send("receipt")}, max_duration="2d"))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("2d-1s")
    assert len(world.runs("ann")) == 1
    world.after("1s")
    assert world.reasons("ann", What.ENDED) == ["max_duration"]
    assert world.contact("ann").runs == {}
    assert world.contact("ann").timers == []
    world.did("ann", "On")
    assert world.sent("ann") == []


def test_a_loop_through_a_wait_goes_round_until_the_run_may_last_no_longer():
    steps = {"s": send("receipt", next="w"), "w": wait("1d", next="s")}
    world = World(RECEIPT, journey(steps, max_duration="84h"))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("30d")
    assert world.sent("ann") == ["receipt"] * 4
    assert len({message.id for message in world.messages("ann")}) == 4
    assert world.reasons("ann", What.ENDED) == ["max_duration"]


# --- late interactions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ago, entered", [("6h", True), ("6h1ms", False), ("30d", False)])
def test_an_interaction_older_than_max_age_starts_nothing(ago: str, entered: bool):
    world = World(journey({"w": wait("1d")}))
    world.did("ann", "Go", ago=ago)
    assert bool(world.runs("ann")) == entered
    assert len(world.trace("ann", What.LATE)) == (not entered)


@pytest.mark.parametrize("ago, moved", [("6h", True), ("6h1ms", False)])
def test_an_interaction_older_than_max_age_moves_nothing(ago: str, moved: bool):
    world = World(journey({"w": wait_for("On", next="end"), "end": END}))
    world.did("ann", "Go")
    world.did("ann", "On", ago=ago)
    assert (not world.runs("ann")) == moved
    late = world.trace("ann", What.LATE)
    assert [entry.run for entry in late] == ([] if moved else [world.runs("ann")[0].id])


def test_a_journey_may_set_another_age():
    world = World(journey({"w": wait("1d")}, entry={"max_age": "1h"}))
    world.did("ann", "Go", ago="1h1ms")
    assert world.runs("ann") == []
    world.did("ann", "Go", ago="1h")
    assert len(world.runs("ann")) == 1


def test_a_late_interaction_counts_in_history_nevertheless():
    condition = {"did": "Seen", "times": {"at_least": 2}, "within": "10d"}
    world = World(RECEIPT, journey({"d": {"type": "decision", "if": condition, "then": "s"}, "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Seen", ago="8d")
    world.did("ann", "Go")
    assert world.sent("ann") == []
    world.did("ann", "Seen", ago="9d")
    world.did("ann", "Go")
    assert world.sent("ann") == ["receipt"]


def test_an_interaction_from_the_near_future_is_taken_for_now_and_one_from_the_far_future_is_refused():
    world = World(journey({"w": wait("1d")}))
    soon = world.arrival("ann", Happened("Go", {}))
    soon.occurred_at = world.now + ms("24h")
    late = world.arrival("ann", Happened("Go", {}))
    late.occurred_at = world.now + ms("24h") + 1
    accepted, refused = world.send(soon, late)
    assert isinstance(accepted, Accepted)
    assert isinstance(refused, Refused)
    assert refused.problem.code == "occurred_in_future"
    record = world.store.record(accepted.position)
    assert record is not None
    assert record.input().occurred_at == world.now
    assert world.store.last_position() == 2  # the publication and the first


@pytest.mark.parametrize(
    "what, pointer",
    [
        (Happened("Go", {}), "/timestamp"),
        (Learned({"age": 7}), "/timestamp"),
        *((Asked(action=action, programme="club"), "/occurred_at") for action in ("enrol", "leave")),
    ],
)
def test_what_is_before_1970_is_refused_from_any_door(what: Happened | Learned | Asked, pointer: str):
    world = World(programme())
    arrival = world.arrival("ann", what)
    for occurred_at in (-1, -62_135_596_800_000):
        arrival.occurred_at = occurred_at
        (outcome,) = world.send(arrival)
        assert isinstance(outcome, Refused)
        assert (outcome.problem.code, outcome.problem.pointer) == ("absurd_time", pointer)
    assert world.store.last_position() == 1  # the publication
    arrival.occurred_at = 0
    world.accept(arrival)


# --- entry and re-entry -----------------------------------------------------------------------------------------------


def test_re_entry_never():
    world = World(journey({"w": wait("1d")}, re_entry="never"))
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert world.reasons("ann", What.REFUSED) == ["entered_before"]
    world.after("2d")
    world.did("ann", "Go")
    assert world.reasons("ann", What.REFUSED) == ["entered_before"] * 2
    assert len(world.trace("ann", What.ENTERED)) == 1


def test_re_entry_after_end():
    world = World(journey({"w": wait("1d")}, re_entry="after_end"))
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert world.reasons("ann", What.REFUSED) == ["under_way"]
    world.after("1d")
    world.did("ann", "Go")
    assert len(world.trace("ann", What.ENTERED)) == 2


def test_re_entry_always_up_to_a_bound():
    world = World(journey({"w": wait("1d")}))
    for _ in range(MOST_RUNS + 2):
        world.did("ann", "Go")
    assert len(world.runs("ann")) == MOST_RUNS
    assert world.reasons("ann", What.REFUSED) == ["too_many_runs"] * 2
    world.after("1d")
    assert world.runs("ann") == []
    assert len(world.trace("ann", What.ENDED)) == MOST_RUNS


def test_a_journey_that_was_never_entered_by_one_is_entered_by_another():
    world = World(journey({"w": wait("1d")}, re_entry="never"))
    world.did("ann", "Go")
    world.did("bob", "Go")
    assert len(world.runs("bob")) == 1


def test_a_run_never_sees_the_input_that_started_it():
    world = World(RECEIPT, journey({"w": wait_for("Go", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == []
    world.did("ann", "Go")
    assert world.sent("ann") == ["receipt"]
    assert len(world.runs("ann")) == 1  # the second input moved the first run, then started a second


def test_an_entry_with_a_filter():
    world = World(journey({"w": wait("1d")}, entry={"where": {"interaction": "total", "at_least": 10}}))
    world.did("ann", "Go", total=9)
    world.did("ann", "Go", total="10")
    world.did("ann", "Go")
    assert world.trace("ann") == []
    world.did("ann", "Go", total=10.0)
    assert len(world.runs("ann")) == 1


def test_names_of_interactions_match_whatever_their_case_and_width():
    world = World(journey({"w": wait_for("Opened Box", next="e"), "e": END}, on="Store_Visit"))
    world.did("ann", "  store_VISIT ")
    assert len(world.runs("ann")) == 1
    world.did("ann", "\uff4f\uff50\uff45\uff4e\uff45\uff44 BOX")
    assert world.runs("ann") == []


def test_a_draft_starts_nothing_and_once_live_does():
    world = World(journey({"w": wait("1d")}, state="draft"))
    world.did("ann", "Go")
    assert world.runs("ann") == []
    world.publish(journey({"w": wait("1d")}))
    world.did("ann", "Go")
    assert [run.version for run in world.runs("ann")] == [1]  # the state makes no version


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_allows_one_run_for_each_of_its_values():
    world = World(journey({"w": wait("1d")}, entry={"key": "order"}, re_entry="never"))
    for order in ("a", "b", "a"):
        world.did("ann", "Go", order=order)
    assert [run.key for run in world.runs("ann")] == ["a", "b"]
    assert [(entry.reason, entry.detail) for entry in world.trace("ann", What.REFUSED)] == [
        ("entered_before", {"key": "a", "entered": world.now})
    ]


def test_without_its_key_nobody_enters_and_a_number_is_its_text():
    world = World(journey({"w": wait("1d")}, entry={"key": "order"}, re_entry="after_end"))
    world.did("ann", "Go")
    world.did("ann", "Go", order=None)
    world.did("ann", "Go", order=7)
    world.did("ann", "Go", order=7.0)
    world.did("ann", "Go", order="7")
    world.did("ann", "Go", order=7.5)
    assert [run.key for run in world.runs("ann")] == ["7", "7.5"]
    assert world.reasons("ann", What.REFUSED) == ["no_key"] * 2 + ["under_way"] * 2


def test_a_branch_with_a_key_moves_the_run_of_that_key_alone():
    listen = wait_for({"type": "interaction", "interaction": "Paid", "key": "order_id", "next": "s"})
    world = World(RECEIPT, journey({"w": listen, "s": send("receipt")}, entry={"key": "order"}))
    world.knows("ann")
    for order in ("a", "b", "c"):
        world.did("ann", "Go", order=order)
    world.did("ann", "Paid", order_id="b")
    world.did("ann", "Paid", order="a")
    world.did("ann", "Paid", order_id="z")
    assert [run.key for run in world.runs("ann")] == ["a", "c"]
    assert len(world.sent("ann")) == 1


def test_a_branch_without_a_key_moves_every_run():
    world = World(journey({"w": wait_for("Paid", next="e"), "e": END}, entry={"key": "order"}))
    for order in ("a", "b"):
        world.did("ann", "Go", order=order)
    world.did("ann", "Paid")
    assert world.runs("ann") == []


# --- waiting for events -----------------------------------------------------------------------------------------------


def test_the_first_branch_that_fits_wins():
    branches = [
        {
            "type": "interaction",
            "interaction": "Paid",
            "where": {"interaction": "total", "more_than": 100},
            "next": "a",
        },
        {"type": "interaction", "interaction": "Paid", "where": {"interaction": "total", "more_than": 10}, "next": "b"},
        {"type": "interaction", "interaction": "Left", "next": "c"},
    ]
    steps = {"w": {"type": "wait_for", "events": branches}, "a": END, "b": END, "c": END}
    world = World(journey(steps))
    for who, total, then in (("ann", 200, "a"), ("bob", 50, "b"), ("cyd", 5, "c")):
        world.did(who, "Go")
        world.did(who, "Paid", total=total)
        world.did(who, "Left")
        assert world.path(who) == ["w", then]


def test_two_waits_in_a_row_take_two_interactions():
    world = World(journey({"a": wait_for("On", next="b"), "b": wait_for("On", next="c"), "c": END}))
    world.did("ann", "Go")
    world.did("ann", "On")
    assert world.path("ann") == ["a", "b"]
    world.did("ann", "On")
    assert world.path("ann") == ["a", "b", "c"]


def test_a_timeout_without_a_branch_of_its_own_goes_on_at_next():
    world = World(journey({"w": wait_for("On", after="1h", next="e"), "e": END}))
    world.did("ann", "Go")
    world.after("1h")
    assert world.path("ann") == ["w", "e"]
    assert world.reasons("ann", What.BRANCHED) == ["timeout"]


def test_a_timeout_that_leads_nowhere_ends_the_token():
    world = World(journey({"w": wait_for("On", after="1h")}))
    world.did("ann", "Go")
    world.after("1h")
    assert world.reasons("ann", What.ENDED) == ["finished"]


def test_a_reaction_to_any_message_of_the_run_and_to_none_of_another_run():
    steps = {"s": send("receipt", "ping", next="w"), "w": wait_for(to_reaction("clicked"), next="e"), "e": END}
    world = World(RECEIPT, PING, journey(steps))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Go")
    first = world.messages("ann")[:2]
    world.reacts(first[1], "clicked")
    assert len(world.runs("ann")) == 1
    world.reacts(first[0], "clicked")
    assert len(world.runs("ann")) == 1
    world.reacts(world.messages("ann")[3], "clicked")
    assert world.runs("ann") == []


def test_a_reaction_to_a_message_of_a_visit_before_counts_as_one_to_the_message():
    steps = {
        "s": send("receipt", next="w"),
        "w": wait_for(to_reaction("opened", message="receipt", next="e"), after="1d", next="s"),
        "e": END,
    }
    world = World(RECEIPT, journey(steps))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1d")
    first, second = world.messages("ann")
    assert first.id != second.id
    world.reacts(first, "opened")
    assert world.runs("ann") == []


def test_a_reaction_to_a_message_of_nobody_is_refused():
    world = World(RECEIPT)
    world.knows("ann")
    for message in (ids.message_id("0" * ids.CONTACT_LENGTH, "r", "s", 0, "m"), "what", ""):
        (outcome,) = world.send(world.arrival("", _reaction(message)))
        assert isinstance(outcome, Refused)
        assert outcome.problem.code == "unknown_message"


def _reaction(message: str):
    from parcours.core.gate import Reacted

    return Reacted("opened", message)


# --- decisions and history --------------------------------------------------------------------------------------------


def decide(condition: object) -> dict[str, object]:
    return {
        "d": {"type": "decision", "if": condition, "then": "yes", "else": "no"},
        "yes": send("receipt"),
        "no": END,
    }


def test_a_decision_looks_at_the_contact_and_at_what_started_the_run():
    condition = {"all": [{"contact": "city", "is": "Atlanta"}, {"interaction": "total", "at_least": 10}]}
    steps = {"w": wait("1h", next="d"), **decide(condition)}
    world = World(RECEIPT, journey(steps))
    world.knows("ann", city="Boston")
    world.did("ann", "Go", total=10)
    world.did("ann", "Go", total=9)
    world.knows("ann", city="Atlanta")
    world.after("1h")
    assert world.path("ann").count("yes") == 1
    assert world.path("ann").count("no") == 1
    branched = [entry for entry in world.trace("ann", What.BRANCHED) if entry.step == "d"]
    assert [entry.reason for entry in branched] == ["then", "else"]
    assert all(entry.detail and "Atlanta" in entry.detail["if"] for entry in branched)


def test_three_times_in_48_hours_is_met_within_a_half_open_window():
    """`(t - 48 h, t]`: 0 h, 24 h, 47:59:59 meet it, and 0 h, 24 h, 48 h do not."""
    where = {"did": "Go", "times": {"at_least": 3}, "within": "48h"}
    for last, entered in (("24h-1s", True), ("24h", False)):
        world = World(journey({"w": wait("1d")}, entry={"where": where}))
        world.did("ann", "Go")
        world.after("24h")
        world.did("ann", "Go")
        world.after(last)
        world.did("ann", "Go")
        assert bool(world.runs("ann")) == entered, last


def test_a_window_is_over_when_it_happened_not_over_when_it_was_received():
    where = {"did": "Go", "times": {"at_least": 3}, "within": "48h"}
    world = World(journey({"w": wait("1d")}, entry={"where": where, "max_age": "90d"}))
    world.did("ann", "Go", ago="2d")
    world.did("ann", "Go", ago="1d")
    world.did("ann", "Go")
    assert world.runs("ann") == []
    world.did("ann", "Go", ago="47h59m59s")
    assert len(world.runs("ann")) == 1


def test_history_counts_what_its_filter_lets_through_at_the_time_it_happened():
    condition = {"did": "Paid", "times": 2, "where": {"interaction": "total", "more_than": 10}}
    world = World(RECEIPT, journey(decide(condition)))
    world.knows("ann")
    for total in (5, 20, 30):
        world.did("ann", "Paid", total=total)
    world.did("ann", "Go")
    world.did("ann", "Paid", total=40)
    world.did("ann", "Go")
    assert world.path("ann") == ["d", "yes", "d", "no"]


def test_memory_of_history_is_bounded():
    world = World(RECEIPT, journey(decide({"did": "Paid", "times": {"at_least": 3}})))
    for _ in range(50):
        world.did("ann", "Paid")
    (times,) = world.contact("ann").counters.values()
    assert len(times) <= 4


def test_a_decision_may_ask_what_happened_since_the_entry():
    steps = {"w": wait("1h", next="d"), **decide({"did": "Paid", "times": 1, "since": "entry"})}
    world = World(RECEIPT, journey(steps))
    for who in ("ann", "bob", "cyd"):
        world.knows(who)
    world.did("ann", "Paid")
    world.after("1s")
    for who in ("ann", "bob", "cyd"):
        world.did(who, "Go")
    world.did("bob", "Paid")
    world.did("cyd", "Paid", ago="1ms")
    world.after("1h")
    assert [world.path(who)[-1] for who in ("ann", "bob", "cyd")] == ["no", "yes", "no"]


def test_a_branch_may_ask_what_happened_since_the_entry():
    twice = {"did": "Paid", "times": 2, "since": "entry"}
    branch = {"type": "interaction", "interaction": "Paid", "where": twice, "next": "s"}
    world = World(RECEIPT, journey({"l": wait_for(branch), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Paid")
    world.after("1s")
    world.did("ann", "Go")
    world.did("ann", "Paid")
    assert world.sent("ann") == []
    world.did("ann", "Paid")
    assert world.sent("ann") == ["receipt"]


def test_messages_and_what_became_of_them_can_be_asked_for():
    opened = {"messages": "opened", "of": "receipt", "channel": "email", "within": "10d"}
    world = World(RECEIPT, PING, journey(decide(opened)), journey({"s": send("receipt")}, on="Paid", name="k"))
    world.knows("ann")
    world.did("ann", "Paid")
    world.did("ann", "Go")
    world.reacts(world.messages("ann")[0], "opened")
    world.did("ann", "Go")
    assert world.path("ann") == ["s", "d", "no", "d", "yes"]
    assert len(world.contact("ann").messages) == len(world.messages("ann"))
    world.after("10d")
    world.did("ann", "Go")
    assert world.path("ann")[-1] == "no"


def test_lists_and_sums_and_sequences_decide():
    def taken(condition):
        world = World(RECEIPT, {"kind": "list", "name": "vip"}, journey(decide(condition)))
        world.knows("ann")
        world.accept(world.arrival("ann", Learned(lists={"vip": True})))
        world.did("ann", "Seen")
        world.did("ann", "Paid", total=60, size="M")
        world.did("ann", "Paid", total=40.5)
        world.did("ann", "Go")
        return world.path("ann")[-1]

    assert taken({"list": "vip"}) == "yes"
    assert taken({"did": "Paid", "sum": {"of": "total", "at_least": 100.5}, "within": "30d"}) == "yes"
    assert taken({"did": "Paid", "sum": {"of": "total", "more_than": 100.5}}) == "no"
    assert taken({"did": "Paid", "last": {"of": "size", "is": "M"}}) == "yes"
    assert taken({"sequence": [{"did": "Seen"}, {"did": "Paid", "within": "1d"}]}) == "yes"
    assert taken({"sequence": [{"did": "Paid"}, {"did": "Seen"}]}) == "no"
    assert taken({"did": ["Paid", "Seen"], "times": 3}) == "yes"


def test_what_a_rule_does_not_count_is_in_no_history():
    rule = {"kind": "interaction", "name": "Paid", "counts_when": {"interaction": "ok", "is": True}}
    world = World(RECEIPT, rule, journey(decide({"did": "Paid", "times": {"at_least": 1}})))
    world.did("ann", "Paid", ok=False)
    world.did("ann", "Go")
    world.did("ann", "Paid", ok=True)
    world.did("ann", "Go")
    assert world.path("ann") == ["d", "no", "d", "yes"]


# --- sending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "known, reason",
    [
        ({"consent": {}}, "no_consent"),
        ({"consent": {"push": {"": "opted_in"}}}, "no_consent"),
        ({"consent": {"email": {"": "unknown"}}}, "no_consent"),
        ({"consent": {"email": {"": "opted_out"}}}, "opted_out"),
        ({"consent": {"email": {"": "opted_in", "offers": "opted_out"}}}, "opted_out"),
        ({"consent": {"email": {"": "opted_out"}}, "email": None}, "opted_out"),
        ({"consent": {"email": {"offers": "opted_in", "": "opted_out"}}}, None),
        ({"consent": {"email": {"offers": "opted_in"}}}, None),
        ({"email": None}, "no_address"),
        ({}, None),
    ],
)
def test_marketing_needs_consent_then_an_address(known: dict[str, object], reason: str | None):
    world = World(email("news", topic="offers"), journey({"s": send("news")}))
    world.knows("ann", **known)
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ([reason] if reason else [])
    assert world.sent("ann") == ([] if reason else ["news"])


def test_transactional_needs_an_address_and_no_consent():
    world = World(RECEIPT, journey({"s": send("receipt")}))
    world.knows("ann", consent={"email": {"": "opted_out"}})
    world.knows("bob", consent={}, email=None)
    for who in ("ann", "bob"):
        world.did(who, "Go")
    assert world.sent("ann") == ["receipt"]
    assert world.reasons("bob", What.SUPPRESSED) == ["no_address"]


def test_an_address_that_is_none_is_told_from_one_that_is_missing():
    world = World(RECEIPT, journey({"s": send("receipt")}))
    world.accept(world.arrival("ann", Learned({"email": "nonsense"}, {"email": None})))
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ["invalid_address"]


def test_an_address_that_is_taken_back_is_missing():
    world = World(RECEIPT, journey({"s": send("receipt")}))
    world.knows("ann")
    world.accept(world.arrival("ann", Learned({"email": None}, {"email": None})))
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ["no_address"]


def test_when_no_message_was_sent_the_token_goes_along_suppressed_if_drawn():
    steps = {"s": send("news", "ping", next="sent", suppressed="not"), "sent": END, "not": END}
    world = World(NEWS, PING, journey(steps))
    world.knows("ann", consent={}, push_token=None)
    world.knows("bob", consent={})
    for who in ("ann", "bob"):
        world.did(who, "Go")
    assert world.path("ann") == ["s", "not"]
    assert world.reasons("ann", What.SUPPRESSED) == ["no_consent", "no_address"]
    assert world.path("bob") == ["s", "sent"]
    assert world.sent("bob") == ["ping"]


def test_when_no_message_was_sent_and_nothing_is_drawn_the_token_goes_on():
    world = World(NEWS, journey({"s": send("news", next="e"), "e": END}))
    world.knows("ann", consent={})
    world.did("ann", "Go")
    assert world.path("ann") == ["s", "e"]


@pytest.mark.parametrize("reaction", ["unsubscribed", "complained"])
def test_a_reaction_that_opts_out(reaction: str):
    world = World(NEWS, journey({"s": send("news")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.reacts(world.messages("ann")[0], reaction, channel="email")
    assert world.contact("ann").consent == {"email": {"": "opted_out"}, "push": {"": "opted_in"}}
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ["opted_out"]


def test_unsubscribing_from_a_topic_leaves_the_others():
    world = World(email("news", topic="news"), email("offer", topic="offers"), journey({"s": send("news", "offer")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.reacts(world.messages("ann")[0], "unsubscribed", channel="email", topic="news")
    world.did("ann", "Go")
    assert world.sent("ann") == ["news", "offer", "offer"]


def test_unsubscribing_without_a_topic_stops_every_topic_of_the_channel():
    """Somebody who unsubscribes and goes on getting mail is the worst that can happen."""
    world = World(email("news", topic="news"), journey({"s": send("news")}))
    world.knows("ann", consent={"email": {"news": "opted_in"}, "push": {"": "opted_in"}})
    world.did("ann", "Go")
    world.reacts(world.messages("ann")[0], "unsubscribed", channel="email")
    world.did("ann", "Go")
    assert world.sent("ann") == ["news"]
    assert world.reasons("ann", What.SUPPRESSED) == ["opted_out"]
    assert world.contact("ann").consent["push"] == {"": "opted_in"}


def test_message_ids_are_unique_and_derived_from_what_caused_them():
    steps = {"a": send("receipt", "ping", next="w"), "w": wait("1h", next="b"), "b": send("receipt")}

    def go() -> list[str]:
        world = World(RECEIPT, PING, journey(steps), journey(steps, name="k"))
        for who in ("ann", "bob"):
            world.knows(who)
            world.did(who, "Go")
            world.did(who, "Go")
        world.after("1d")
        return sorted(message.id for message in world.run.messages())

    found = go()
    assert len(found) == 2 * 2 * 2 * 3
    assert len(set(found)) == len(found)
    assert go() == found


def test_a_message_carries_the_attributes_of_the_moment_it_was_decided():
    world = World(RECEIPT, journey({"s": send("receipt")}))
    world.knows("ann", city="Atlanta")
    world.did("ann", "Go", total=3)
    world.knows("ann", city="Boston")
    (message,) = world.messages("ann")
    assert message.attributes["city"] == "Atlanta"
    trigger = world.store.record(message.trigger)
    assert trigger is not None
    assert trigger.input().attributes == {"total": 3}


# --- versions ---------------------------------------------------------------------------------------------------------


def test_runs_stay_on_their_version_and_new_entries_take_the_newest():
    world = World(RECEIPT, PING, journey({"w": wait("1h", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.publish(journey({"w": wait("2h", next="s"), "s": send("ping")}))
    world.did("ann", "Go")
    assert [run.version for run in world.runs("ann")] == [1, 2]
    world.after("1d")
    assert world.sent("ann") == ["receipt", "ping"]
    assert [entry.version for entry in world.trace("ann", What.SENT)] == [1, 2]


def test_publishing_the_same_again_makes_no_version():
    world = World(RECEIPT, journey({"s": send("receipt")}))
    position = world.store.last_position()
    world.publish(RECEIPT, journey({"s": send("receipt")}))
    assert world.store.last_position() == position
    assert world.run.engine.plan.newest["j"].version == 1


def test_a_message_of_a_new_version_is_sent_by_runs_of_every_version_and_says_which_it_is():
    world = World(RECEIPT, journey({"w": wait("1h", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.publish({**RECEIPT, "content": {"subject": "new", "text": "t"}})
    world.after("1h")
    (message,) = world.messages("ann")
    assert message.version == 2
    assert world.run.engine.plan.texts["receipt", 1].content["subject"] == "s"
    assert world.run.engine.plan.texts["receipt", 2].content["subject"] == "new"


def test_what_is_due_when_something_is_published_fires_under_the_plan_before():
    world = World(RECEIPT, journey({"w": wait("1h", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.run.clock.set(world.now + ms("1h"))
    world.publish({**RECEIPT, "content": {"subject": "new", "text": "t"}})
    assert [message.version for message in world.messages("ann")] == [1]


# --- repeats, identities, what is known -------------------------------------------------------------------------------


def test_a_repeat_changes_nothing_within_a_batch_and_across_batches():
    world = World(RECEIPT, journey({"s": send("receipt")}))
    world.knows("ann")
    arrival = world.arrival("ann", Happened("Go", {}))
    first, second = world.send(arrival, arrival)
    assert isinstance(first, Accepted)
    assert second == Duplicate()
    position = world.store.last_position()
    assert world.send(arrival, arrival) == [Duplicate(), Duplicate()]
    assert world.store.last_position() == position
    assert world.sent("ann") == ["receipt"]


def test_one_id_from_two_sources_is_two_messages():
    world = World()
    one = world.arrival("ann", Happened("Go", {}), id_="same")
    other = world.arrival("ann", Happened("Go", {}), id_="same")
    other.source = "another"
    assert all(isinstance(outcome, Accepted) for outcome in world.send(one, other))


def test_what_is_learned_is_merged_and_none_takes_back():
    world = World()
    world.accept(world.arrival("ann", Learned({"a": 1, "b": {"c": 2}})))
    world.accept(world.arrival("ann", Learned({"a": None, "b": {"d": 3}, "e": False})))
    assert world.contact("ann").attributes == {"b": {"d": 3}, "e": False}


def test_consent_is_merged_by_topic():
    world = World()
    world.accept(world.arrival("ann", Learned(consent={"email": {"": "opted_in", "news": "opted_in"}})))
    world.accept(world.arrival("ann", Learned(consent={"email": {"news": "opted_out"}, "push": {"": "opted_out"}})))
    assert world.contact("ann").consent == {
        "email": {"": "opted_in", "news": "opted_out"},
        "push": {"": "opted_out"},
    }


def test_an_arrival_belongs_to_the_first_identity_that_is_known_and_the_others_become_its_own():
    world = World()
    world.did("ann", "Go")
    arrival = world.arrival("ann", Happened("Go", {}))
    arrival.identities = (("anonymous_id", "x"), ("user_id", "ann"), ("email", "a@b.dev"))
    world.accept(arrival)
    assert world.contact("ann").identities == [("user_id", "ann"), ("anonymous_id", "x"), ("email", "a@b.dev")]
    found = world.store.resolve([("anonymous_id", "x"), ("email", "a@b.dev")])
    assert set(found.values()) == {world.id_of("ann")}


@pytest.mark.parametrize("what", [Happened("Go", {}), Learned({"a": 1})], ids=["interaction", "identify"])
def test_an_identity_belongs_to_one_contact(what: Happened | Learned):
    """Until two contacts are merged, an arrival that names both is the first one's, and takes nothing from the other."""
    world = World()
    world.did("ann", "Go")
    world.did("bob", "Go")
    arrival = world.arrival("ann", what)
    arrival.identities = (("user_id", "ann"), ("user_id", "bob"))
    world.accept(arrival)
    assert world.contact("ann").identities == [("user_id", "ann")]
    assert world.contact("bob").identities == [("user_id", "bob")]


def test_contacts_whose_ids_collide_are_kept_apart(monkeypatch: pytest.MonkeyPatch):
    real = ids.contact_id
    monkeypatch.setattr(ids, "contact_id", lambda space, value, attempt=0: real(space, "all the same", attempt))
    world = World()
    world.knows("ann")
    world.accept(
        world.arrival("bob", Learned({"name": "Bob"})),
        world.arrival("cyd", Learned({"name": "Cyd"})),
        world.arrival("bob", Learned({"again": True})),
    )
    assert len({world.id_of(who) for who in ("ann", "bob", "cyd")}) == 3
    assert world.contact("bob").attributes == {"name": "Bob", "again": True}


# --- a segment that is read -------------------------------------------------------------------------------------------


SEGMENT = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Atlanta"}}
BY_SEGMENT = {"type": "segment", "segment": "locals"}


def read_journey(steps: dict[str, object], **more: object) -> dict[str, object]:
    return {
        "kind": "journey", "name": "j", "entry": BY_SEGMENT, "start": next(iter(steps)), "steps": steps, **more
    }  # fmt: skip


def test_a_segment_is_read_in_slices_and_each_member_enters_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.runtimes.engine.Engine.SLICE", 3)
    world = World()
    for number in range(10):
        world.knows(f"p{number}", city="Atlanta" if number % 2 else "Boston")
    world.publish(SEGMENT, read_journey({"w": wait("1d")}))
    assert [len(world.runs(f"p{number}")) for number in range(10)] == [0, 1] * 5
    assert not world.run.engine.reading


def test_a_reading_that_was_cut_off_goes_on_after_a_restart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.runtimes.engine.Engine.SLICE", 3)
    world = World()
    for number in range(10):
        world.knows(f"p{number}", city="Atlanta")
    world.run.engine.publish([SEGMENT, read_journey({"w": wait("1d")})])
    world.run.engine.read()
    assert sum(len(world.runs(f"p{number}")) for number in range(10)) == 3
    again = World(store=world.store, start=world.now)
    again.after("1ms")
    assert [len(again.runs(f"p{number}")) for number in range(10)] == [1] * 10


def test_a_version_published_in_the_middle_of_a_reading_is_the_one_that_is_entered_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("parcours.runtimes.engine.Engine.SLICE", 3)
    world = World()
    for number in range(9):
        world.knows(f"p{number}", city="Atlanta")
    world.run.engine.publish([SEGMENT, read_journey({"w": wait("1d")})])
    world.run.engine.read()
    world.publish(read_journey({"w": wait("2d")}))
    assert sorted(world.runs(f"p{number}")[0].version for number in range(9)) == [1] * 3 + [2] * 6


def test_who_left_the_segment_before_the_reading_came_to_them_does_not_enter():
    world = World()
    world.knows("ann", city="Atlanta")
    world.run.engine.publish([SEGMENT, read_journey({"w": wait("1d")})])
    world.knows("ann", city="Boston")
    assert world.runs("ann") == []


def test_a_draft_of_a_reading_journey_reads_nothing_and_once_live_reads():
    world = World()
    world.knows("ann", city="Atlanta")
    world.publish(SEGMENT, read_journey({"w": wait("1d")}, state="draft"))
    assert world.runs("ann") == []
    world.publish(read_journey({"w": wait("1d")}))
    assert [run.version for run in world.runs("ann")] == [1]


# --- the log tells everything -----------------------------------------------------------------------------------------


def test_a_trace_entry_of_a_timer_is_not_laid_at_the_next_inputs_door():
    world = World(journey({"w": wait("1h")}))
    world.did("ann", "Go")
    world.run.clock.set(world.now + ms("2h"))  # no timer has fired yet when the next input comes
    world.did("ann", "Go")
    last = world.store.last_position()
    rows = [
        (position, [entry.what for entry in entries]) for position, entries in world.store.trace(world.id_of("ann"))
    ]
    assert rows == [
        (last, [What.ENTERED, What.ARRIVED]),
        (0, [What.BRANCHED, What.ENDED]),
        (last - 1, [What.ENTERED, What.ARRIVED]),
    ]


def test_opting_out_of_a_channel_opts_out_of_what_was_said_of_its_topics():
    world = World(email("news", topic="news"), journey({"s": send("news")}, re_entry="always"))
    world.knows("ann", consent={"email": {"news": "opted_in"}})
    world.knows("ann", consent={"email": {"": "opted_out"}})
    world.did("ann", "Go")
    assert world.sent("ann") == []
    world.knows("ann", consent={"email": {"news": "opted_in"}})
    world.did("ann", "Go")
    assert world.sent("ann") == ["news"], "what is said of a topic afterwards counts again"


def test_a_topic_given_with_the_channel_is_the_exception():
    world = World(email("news", topic="news"), journey({"s": send("news")}))
    world.knows("ann", consent={"email": {"news": "opted_in", "": "opted_out"}})
    world.did("ann", "Go")
    assert world.sent("ann") == ["news"]
