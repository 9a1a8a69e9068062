"""What a backtest assumes: when segments are read, who is let in over the API, what services answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from parcours.core.gate import Called
from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import Assumptions, BacktestError, Counts, Job
from parcours.runtimes.backtest.person import run
from parcours.runtimes.backtest.report import BacktestReport, JourneyReport, StepReport, report_of
from parcours.stores.past import StorePast
from tests.core.world import END, START, World, email, journey, ms, send, wait

LOCALS = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Atlanta"}}
CALL = {"type": "webhook", "url": "https://a.example", "save": "said", "next": "high", "failed": "no"}
SCORED = journey(
    {
        "call": CALL,
        "high": {"type": "decision", "if": {"run": "said.body.score", "at_least": 5}, "then": "yes", "else": "end"},
        "yes": send("m"),
        "no": END,
        "end": END,
    }
)
ASKED = journey({"a": send("m")}, name="vip") | {"entry": {"type": "api"}}


def reading(more: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return journey({"a": END}, **changes) | {"entry": {"type": "segment", "segment": "locals", **more}}


def backtest(
    world: World, *definitions: dict[str, Any], start: int = START, assume: Any = None, **more: Any
) -> tuple[Backtest, Counts]:
    past = StorePast(world.store)
    stated = msgspec.convert(assume or {}, Assumptions)
    made = Backtest(
        Job(definitions=list(definitions), start=start, end=world.now, assume=stated, **more), past.publications()
    )
    return made, run(made, past.people(0, 1))


def reported(world: World, *definitions: dict[str, Any], **more: Any) -> BacktestReport:
    return report_of(*backtest(world, *definitions, **more))


def step(report: BacktestReport, name: str) -> StepReport:
    return next(one for one in report.journeys[0].steps if one.step == name)


def lived() -> World:
    world = World(LOCALS, email("m"))
    world.knows("ann", city="Atlanta")
    world.knows("bob", city="Boston")
    world.after("1d")
    world.knows("bob", city="Atlanta")
    world.knows("ann", city="Boston")
    world.after("1d")
    world.knows("cyd", city="Atlanta")
    world.after("1d")
    return world


# --- segments that are read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry, entered, refused",
    [
        ({"at": "2026-03-02T12:00:00Z"}, 1, 0),  # ann, who was in Atlanta then
        ({"at": "2026-03-03T12:00:00Z"}, 1, 0),  # bob
        ({"at": "2026-03-04T12:00:00Z"}, 2, 0),  # and cyd, who was met by then
        ({"at": "2026-03-02T09:00:00Z"}, 0, 0),  # the journey goes live at that instant: it is over
        ({"schedule": {"cron": "0 12 * * *"}}, 3, 1),
        ({"schedule": {"cron": "0 12 * * *"}, "members": "new"}, 3, 0),
        ({"schedule": {"rrule": "FREQ=DAILY;BYHOUR=12;BYMINUTE=0;BYSECOND=0"}}, 3, 1),
    ],
)
def test_a_segment_is_read_as_it_was_then(entry: dict[str, Any], entered: int, refused: int):
    report = reported(lived(), reading(entry, re_entry="never"))
    found: JourneyReport = report.journeys[0]
    assert (found.entries, found.refused.get("entered_before", 0)) == (entered, refused)


def test_a_report_says_how_often_a_segment_was_read():
    (assumption,) = reported(lived(), reading({"schedule": {"cron": "0 12 * * *"}})).assumed
    assert (assumption.what, assumption.of, assumption.times) == ("reading", "j", 3)


def test_a_segment_that_is_read_all_the_time_is_refused():
    with pytest.raises(BacktestError, match="more than 10,000 times"):
        backtest(lived(), reading({"schedule": {"cron": "* * * * *"}}), start=START - ms("30d"))


# --- entries over the API ---------------------------------------------------------------------------------------------


def test_recorded_entries_are_played_whatever_version_they_were_of():
    world = World(email("m"), ASKED)
    world.publish(ASKED | {"steps": {"a": wait("1h", next="b"), "b": send("m")}})
    world.knows("ann")
    world.accept(world.arrival("ann", Called("vip", {})))
    world.after("1d")
    report = reported(world, ASKED, start=START - 1)
    assert report.journeys[0].messages == {"m": 1}
    assert [(one.what, one.of, one.times) for one in report.assumed] == [("entry", "vip", 1)]


def test_recorded_entries_are_not_those_of_a_draft_that_is_entered_otherwise():
    world = World(email("m"), ASKED)
    world.knows("ann")
    world.accept(world.arrival("ann", Called("vip", {})))
    world.after("1d")
    report = reported(world, journey({"a": send("m")}, name="vip"), start=START - 1)
    assert report.journeys[0].entries == 0


def test_tests_of_a_journey_are_left_out():
    world = World(email("m"), ASKED)
    world.knows("ann")
    world.run.engine.try_out("vip", [world.id_of("ann")], {})
    world.after("1d")
    assert reported(world, ASKED, start=START - 1).journeys[0].entries == 0


def test_entries_that_are_stated_take_the_place_of_recorded_ones():
    world = World(email("m"), ASKED)
    for who in ("ann", "bob"):
        world.knows(who)
    world.accept(world.arrival("ann", Called("vip", {})))
    world.after("1h")
    for _ in range(20):
        world.did("bob", "Bought", total=7)
    world.after("1d")
    vip = ASKED | {
        "re_entry": "always",
        "entry": {"type": "api", "where": {"interaction": "total", "is": 7}},
    }
    report = reported(world, vip, assume={"entries": {"vip": {"interaction": "bought", "after": "2h"}}})
    assert (report.journeys[0].entries, report.journeys[0].people) == (20, 1)
    assert report.most_loaded_hour is not None
    assert report.most_loaded_hour.at == "2026-03-02T12:00:00Z"
    some = reported(world, vip, assume={"entries": {"vip": {"interaction": ["Bought"], "share": 0.5}}})
    assert 0 < some.journeys[0].entries < 20
    assert [(one.what, one.of, one.times) for one in some.assumed] == [("entry", "vip", some.journeys[0].entries)]


# --- webhooks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_stated_of_one_journey_goes_before_what_is_of_all(order: int):
    stated = [("call", {"status": 500}), ("j/call", {"body": {"score": 9}})][::order]
    report = reported(called(3), SCORED, assume={"webhooks": dict(stated)})
    assert report.journeys[0].messages == {"m": 3}


def called(people: int = 40) -> World:
    world = World(email("m"))
    world.after("1s")
    for number in range(people):
        world.knows(f"p{number}")
        world.did(f"p{number}", "Go")
    world.after("1d")
    return world


def test_calls_are_answered_without_a_body_unless_something_is_stated():
    report = reported(called(), SCORED)
    assert step(report, "call").left == {"answered": 40}
    assert (step(report, "call").calls, step(report, "call").answers) == (40, {"answered": 40})
    assert step(report, "high").left == {"else": 40}
    assert [(one.what, one.of, one.how, one.times) for one in report.assumed] == [
        ("webhook", "j/call", "200, no body", 40)
    ]
    assert report.messages == 0  # a call is no message


def test_answers_are_given_in_the_shares_that_are_stated_and_the_rest_fails():
    answers = [{"share": 0.5, "body": {"score": 7}}, {"share": 0.25, "body": {"score": 1}, "after": "1h"}]
    report = reported(called(400), SCORED, assume={"webhooks": {"call": answers}})
    high, left = step(report, "high").left, step(report, "call").left
    assert 160 < high["then"] < 240
    assert 70 < high["else"] < 130
    assert left["failed"] == 400 - sum(high.values())
    assert report.journeys[0].messages == {"m": high["then"]}


@pytest.mark.parametrize(
    "status, way", [(200, "answered"), (204, "answered"), (299, "answered"), (300, "failed"), (503, "failed")]
)
def test_an_answer_that_is_none_of_success_is_a_failure(status: int, way: str):
    report = reported(called(3), SCORED, assume={"webhooks": {"j/call": {"status": status, "body": {"score": 9}}}})
    assert step(report, "call").left == {way: 3}


def test_nobody_waits_for_an_answer_that_nobody_asks_for():
    quick = journey({"call": {"type": "webhook", "url": "https://a.example", "next": "b"}, "b": send("m")})
    report = reported(called(2), quick)
    assert (step(report, "call").calls, step(report, "call").answers) == (2, {})
    assert report.assumed == []


def test_an_answer_that_comes_too_late_is_none():
    slow = SCORED | {"max_duration": "1h"}
    report = reported(called(3), slow, assume={"webhooks": {"call": {"after": "2h"}}})
    assert report.journeys[0].ended == {"max_duration": 3}


# --- what is stated wrongly -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "assume, said",
    [
        ({"webhooks": {"cal": {}}}, "no draft has a step 'cal' that calls a webhook .did you mean 'call'"),
        ({"webhooks": {"yes": {}}}, "no draft has a step 'yes' that calls a webhook .there are: call"),
        ({"webhooks": {"call": [{"share": 0.7}, {"share": 0.6}]}}, "webhooks/call: the shares come to 1.3"),
        ({"webhooks": {"call": {"after": "0s"}}}, "webhooks/call/after: '0s' is out of range"),
        ({"entries": {"j": {"interaction": "Go"}}}, "no draft 'j' is entered over the API"),
        ({"stock": {"gift": 3}}, "there is no reward 'gift'"),
        ({"reactions": {"opend": {"share": 0.2}}}, "there is no reaction 'opend' .did you mean 'opened'"),
    ],
)
def test_what_is_stated_of_what_is_not_there_is_refused(assume: Any, said: str):
    with pytest.raises(BacktestError, match=said):
        backtest(called(1), SCORED, assume=assume)


def test_a_rate_of_something_that_is_no_reaction_is_refused():
    with pytest.raises(BacktestError, match="'clickd'"):
        backtest(called(1), SCORED, rates={"clickd": 0.5})


def test_reactions_may_be_stated_with_the_rest():
    world = called(2)
    listen = {"type": "wait_for", "events": [{"type": "reaction", "reaction": "opened"}]}
    report = reported(
        world,
        journey({"a": send("m", next="b"), "b": listen}),
        assume={"reactions": {"opened": {"share": 1, "after": "5h"}}},
    )
    assert step(report, "b").left == {"opened": 2}
    assert [(one.of, one.how, one.times) for one in report.assumed] == [
        ("opened", "1 of the messages, 5h after them", 2)
    ]


def test_what_fails_is_counted_at_its_step():
    report = reported(called(3), SCORED, assume={"webhooks": {"call": {"share": 0}}})
    assert step(report, "call").failed == {"refused": 3}
    report = reported(called(2), journey({"a": send("m", next="b"), "b": wait("3d")}), rates={"bounced": 1})
    assert step(report, "a").failed == {"bounced": 2}


def test_what_failed_of_others_is_not_counted():
    live = journey({"a": send("m")})
    world = World(email("m"), live)
    world.after("1s")
    world.knows("ann")
    world.did("ann", "Go")
    world.reacts(world.run.messages()[0], "bounced")
    world.after("1d")
    assert step(reported(world, live), "a").failed == {"bounced": 1}
    assert step(reported(world, live | {"name": "k"}), "a").failed == {}
    assert step(reported(world, live | {"steps": {"a": wait("1h", next="b"), "b": send("m")}}), "a").failed == {}


def test_what_steps_of_live_journeys_do_happens_once_whether_or_not_these_take_part():
    """Recorded as it was, or anew; never both."""
    marks = journey({"a": {"type": "record", "interaction": "Marked"}})
    starts = journey({"a": {"type": "start", "journey": "vip"}}, name="s")
    world = World(email("m"), marks, starts, ASKED | {"entry": {"type": "journey"}})
    world.after("1s")
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1d")
    drafts = [
        journey({"x": send("m")}, on="Marked", name="draft"),
        ASKED | {"entry": {"type": "journey"}, "re_entry": "always"},
    ]
    for with_live in (False, True):
        report = reported(world, *drafts, with_live=with_live)
        assert {one.journey: one.entries for one in report.journeys} == {"draft": 1, "vip": 1}


def test_what_is_assumed_of_a_call_that_time_makes_comes_before_what_was_recorded_later():
    """Also when nothing else of the person is recorded between the two, and when nothing is any more."""
    steps = {
        "w": wait("1h", next="call"),
        "call": CALL | {"next": "x", "failed": "x"},
        "x": {"type": "decision", "if": {"contact": "vip", "is": True}, "then": "late", "else": "soon"},
        "late": END,
        "soon": END,
    }
    world = World(email("m"))
    world.after("1s")
    for who in ("ann", "bob"):
        world.knows(who)
        world.did(who, "Go")
    world.after("2h")
    world.knows("ann", vip=True)
    world.after("1d")
    assert reported(world, journey(steps)).journeys[0].ended == {"finished": 2}
    assert step(reported(world, journey(steps)), "x").left == {"else": 2}


def test_who_opens_a_message_that_time_sent_opens_it_before_what_was_recorded_later():
    listen = {"type": "wait_for", "events": [{"type": "reaction", "reaction": "opened", "next": "x"}]}
    steps = {
        "w": wait("1h", next="a"),
        "a": send("m", next="b"),
        "b": listen,
        "x": {"type": "decision", "if": {"contact": "vip", "is": True}, "then": "late", "else": "soon"},
        "late": END,
        "soon": END,
    }
    world = World(email("m"))
    world.after("1s")
    world.knows("ann")
    world.did("ann", "Go")
    world.after("5h")
    world.knows("ann", vip=True)
    world.after("1d")
    assert step(reported(world, journey(steps), rates={"opened": 1.0}), "x").left == {"else": 1}
