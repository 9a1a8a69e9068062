"""A backtest of what was live comes to what it came to."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parcours.core.calls import ANSWERS
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.core.inputs import Input, Reaction
from parcours.definitions.message import WEBHOOK
from parcours.errors import InvalidDefinitionError
from parcours.ports import Changes, Settlement
from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import BacktestError, Counts, Job
from parcours.runtimes.backtest.person import run
from parcours.runtimes.backtest.report import report_of
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.stores.past import SqlitePast, StorePast
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import EVERYTHING
from parcours.testing.strategies import STARTED, Comes, Passes, Scenario, perform, play, scenarios
from tests.core.world import START, World, email, journey, ms, send, to_reaction, wait, wait_for
from tests.profiles import examples

SECOND = 1_000


def plain(scenario: Scenario) -> Scenario:
    """A scenario of people who stay who they are, in which nothing is told later as history."""

    def one(move: Any) -> Any:
        if isinstance(move, Comes):
            return msgspec.structs.replace(move, identities=move.identities[:1], backfill=False)
        return move

    known = [one(move) for move in scenario.known]
    return Scenario(scenario.definitions, known, [Passes(SECOND), *map(one, scenario.moves)])


def journeys_in(scenario: Scenario) -> list[dict[str, Any]]:
    """Those that are live all the time: a backtest lets drafts go live at its start, whatever they say themselves."""
    found = [item for item in scenario.definitions if item["kind"] == "journey" and item.get("state", "live") == "live"]
    return [item for item in found if "starts" not in item and "ends" not in item]


MOST_ANSWERED = 300
"""Calls of a scenario: journeys that set each other off, with a call between them, would call once a second for days."""


class Answering(Simulation):
    """A simulation whose calls are answered as a backtest assumes, if nobody answers them before."""

    answered = 0

    def advance(self, to: int) -> None:
        after = 0
        while True:
            calls = [item for item in self.store.pending(WEBHOOK, 0, EVERYTHING) if item.sequence > after]
            answered = min((item.message.decided_at + SECOND for item in calls), default=to + 1)
            due = self.engine.next_due()
            at = max(self.clock.now(), min(answered, to + 1 if due is None else due))
            if at > to:
                break
            super().advance(at)
            if answered == at:
                self.answered += 1
                assume(self.answered <= MOST_ANSWERED)
                call = min(calls, key=lambda item: (item.message.decided_at, item.sequence))
                said = Reacted("answered", call.message.id, {"status": 200, "body": None}, ours=True)
                self.send(Arrival("parcours", f"answered:{call.message.id}", (), said))
                self.store.commit(Changes(settlements=[Settlement(call.sequence, "sent", 1)]))
        super().advance(to)


_READ = st.sampled_from(
    [
        {},
        {"at": "2026-03-02T10:00:00Z"},
        {"at": "2026-03-03T09:00:00Z"},
        {"schedule": {"cron": "0 */6 * * *"}},
        {"schedule": {"cron": "30 9 * * mon,tue", "zone": "Asia/Tokyo"}, "members": "new"},
        {"schedule": {"rrule": "FREQ=DAILY;BYHOUR=21;BYMINUTE=0;BYSECOND=0"}},
        {"schedule": {"cron": "0 9,21 * * *"}, "members": "new"},
    ]
)


@st.composite
def timed(draw: st.DrawFn) -> Scenario:
    """A scenario in which segments are read at an instant, or again and again, people are let in, and services called."""
    # Definitions that strategies share are left as they are: what other tests draw is made of them.
    scenario = deepcopy(plain(draw(scenarios(publishing=False, erasing=False))))
    for item in scenario.definitions:
        if item["kind"] != "journey" or item["name"] == STARTED:
            continue
        if item["entry"]["type"] == "segment" or draw(st.integers(0, 3)) == 0:
            segment = item["entry"].get("segment", "locals")
            keyed = {"key": item["entry"]["key"]} if "key" in item["entry"] else {}
            trigger = keyed or '"interaction"' in json.dumps([item["steps"], item.get("exit"), item.get("goals")])
            if item["entry"]["type"] == "segment" or not trigger:
                item["entry"] = {"type": "segment", "segment": segment, "on": "read", **draw(_READ)}
            else:
                item["entry"] = {"type": "api", **keyed}
        for name, step in item["steps"].items():
            if step["type"] == "list":
                call = {"type": "webhook", "url": "https://a.example", "save": "said"}
                item["steps"][name] = {**call, **({"next": step["next"]} if "next" in step else {})}
    return scenario


@pytest.mark.usefixtures("short_chains")
@examples(60)
@given(timed())
def test_a_backtest_of_what_was_live_comes_to_the_same(scenario: Scenario):
    live = Answering(MemoryStore(), START)
    play(live, scenario)
    drafts = journeys_in(scenario)
    if not drafts:
        return
    past = StorePast(live.store)
    made = Backtest(Job(definitions=drafts, start=START, end=live.clock.now()), past.publications())
    counts = run(made, past.people(0, 1))
    counted: Counter[tuple[str, str, str, str]] = Counter()
    for (name, _, step, what, reason), count in live.store.statistics().items():
        if name in made.drafts:
            counted[name, step, what, reason] += count
    assert counts.trace == counted
    waiting: Counter[tuple[str, str]] = Counter()
    for contact in live.store.scan(limit=EVERYTHING):
        for name, runs in contact.runs.items():
            if name not in made.drafts:
                continue
            waiting.update((name, token.step) for run in runs.values() for token in run.tokens)
    assert counts.waiting == waiting


@pytest.mark.usefixtures("short_chains")
@examples(20)
@given(scenarios(publishing=False))
def test_shares_add_up_and_a_file_is_read_as_a_store_is(tmp_path_factory: pytest.TempPathFactory, scenario: Scenario):
    live = Simulation(MemoryStore(), START)
    script = play(live, scenario)
    path = tmp_path_factory.mktemp("past") / "parcours.db"
    kept = Simulation(SqliteStore(path), START)
    perform(kept, script)
    drafts = journeys_in(scenario)
    if not drafts:
        return
    job = Job(definitions=drafts, start=START + 1, end=live.clock.now() + SECOND, rates={"opened": 0.5})
    # The service still runs: the file is read beside it.
    past, expected = SqlitePast(path), StorePast(live.store)
    whole = run(Backtest(job, expected.publications()), expected.people(0, 1))
    shares = Counts()
    for share in range(3):
        shares.add(run(Backtest(job, past.publications()), past.people(share, 3)))
    assert shares == whole
    past.close()
    kept.store.close()


def backtest(world: World, *definitions: dict[str, Any], start: int = START, **more: Any) -> tuple[Backtest, Counts]:
    past = StorePast(world.store)
    made = Backtest(Job(definitions=list(definitions), start=start, end=world.now, **more), past.publications())
    return made, run(made, past.people(0, 1))


WELCOME = journey(
    {"a": send("m", next="b"), "b": wait_for(to_reaction("opened", next="c"), after="1d"), "c": send("m")}
)


def lived() -> World:
    world = World(email("m"))
    for who in ("ann", "bob", "cid"):
        world.knows(who)
    world.after("1h")
    for who in ("ann", "bob"):
        world.did(who, "Go")
    world.after("2d")
    return world


def test_rates_decide_who_opens():
    world = lived()
    for rate, opened in ((0.0, 0), (1.0, 2)):
        _, counts = backtest(world, WELCOME, rates={"opened": rate})
        assert counts.trace["j", "b", "branched", "opened"] == opened
        assert counts.trace["j", "b", "branched", "timeout"] == 2 - opened


def test_nothing_is_sent_or_kept():
    world = lived()
    before = world.store.last_position(), world.store.counts()
    backtest(world, WELCOME)
    assert (world.store.last_position(), world.store.counts()) == before
    assert not world.run.messages()


def test_what_came_before_the_start_counts_and_triggers_nothing():
    world = World(email("m"))
    world.knows("ann")
    for _ in range(3):
        world.after("1h")
        world.did("ann", "Go")
    often = journey({"a": send("m")}, entry={"where": {"did": "Go", "times": {"at_least": 3}}})
    _, counts = backtest(world, often, start=world.now - ms("30m"))
    assert counts.entered == {"j": 1}
    assert counts.trace["j", "", "entered", ""] == 1


def test_history_that_was_imported_happens_when_it_occurred():
    world = lived()
    arrival = world.arrival("cid", Happened("Go", {}), ago="1d")
    arrival.backfill = True
    world.accept(arrival)
    _, counts = backtest(world, WELCOME)
    assert counts.entered == {"j": 3}
    assert ("j", "m", (world.now - ms("1d")) // 900_000) in counts.sent


def test_who_became_part_of_somebody_is_one_person():
    world = World(email("m"))
    world.knows("ann")
    world.after("1s")
    world.accept(anonymous(world, "Go"))
    world.after("1h")
    link = world.arrival("ann", Learned())
    link.identities = (("user_id", "ann"), ("anonymous_id", "phone"))
    world.accept(link)
    world.did("ann", "Go")
    _, counts = backtest(world, journey({"a": send("m")}, re_entry="never"))
    assert counts.people == 1
    assert counts.trace["j", "", "entered", ""] == 1
    assert counts.trace["j", "", "refused", "entered_before"] == 1


def anonymous(world: World, name: str) -> Any:
    arrival = world.arrival("", Happened(name, {}))
    arrival.identities = (("anonymous_id", "phone"),)
    return arrival


def test_who_was_erased_is_not_there():
    world = lived()
    world.run.engine.erase(world.id_of("ann"))
    _, counts = backtest(world, WELCOME)
    assert counts.entered == {"j": 1}


def test_a_report_tells_the_busiest_hour_and_the_days_of_a_zone():
    world = lived()  # 10:00 in UTC
    made, counts = backtest(world, WELCOME, journey({"w": wait("14h30m", next="s"), "s": send("m")}, name="late"))
    report = report_of(made, counts, "Europe/Berlin")
    assert report.messages == 4
    assert report.days == {"2026-03-02": {"m": 2}, "2026-03-03": {"m": 2}}
    assert report.most_loaded_hour is not None
    assert report.most_loaded_hour.at == "2026-03-02T10:00:00Z"
    found = {one.journey: one for one in report.journeys}
    assert found["late"].messages == {"m": 2}
    assert [step.step for step in found["j"].steps] == ["a", "b"]


def test_the_busiest_hour_is_one_of_the_zone():
    """At 09:40 and 10:10 in UTC: two hours in Berlin, one in Calcutta."""
    world = World(email("m"))
    world.knows("ann")
    for later in ("40m", "30m"):
        world.after(later)
        world.did("ann", "Go")
    made, counts = backtest(world, journey({"a": send("m")}))
    berlin, calcutta = (report_of(made, counts, zone).most_loaded_hour for zone in ("Europe/Berlin", "Asia/Kolkata"))
    assert berlin is not None
    assert (berlin.at, berlin.messages) == ("2026-03-02T09:00:00Z", 1)
    assert calcutta is not None
    assert (calcutta.at, calcutta.messages) == ("2026-03-02T09:30:00Z", 2)


def test_a_goal_that_nobody_reached_is_reported():
    made, counts = backtest(lived(), WELCOME | {"goals": [{"name": "paid", "interaction": "Paid"}]})
    (found,) = report_of(made, counts).journeys
    assert (found.goals, found.conversion) == ({"paid": 0}, 0.0)
    made, counts = backtest(lived(), WELCOME)
    assert report_of(made, counts).journeys[0].conversion is None


def test_a_step_that_cannot_be_done_is_reported():
    declared = {"kind": "workspace", "contacts": {"attributes": {"age": {"type": "number"}}}}
    world = lived()
    made, counts = backtest(
        world, declared, journey({"a": {"type": "update", "set": {"age": "old"}, "next": "s"}, "s": send("m")})
    )
    step = report_of(made, counts).journeys[0].steps[0]
    assert (step.step, step.arrived, step.failed) == ("a", 2, {"wrong_type": 2})


def test_what_quiet_hours_would_hold_is_reported():
    quiet = {"kind": "workspace", "policy": {"quiet_hours": {"from": "09:00", "to": "20:00"}}}
    world = lived()
    made, counts = backtest(world, quiet, WELCOME)
    step = report_of(made, counts).journeys[0].steps[0]
    assert (step.step, step.arrived, step.held, step.sent) == ("a", 2, 2, {"m": 2})
    assert list(report_of(made, counts).days) == ["2026-03-02"]


@pytest.mark.parametrize(
    "definitions, times, error",
    [
        ([email("n")], (0, 1), BacktestError),
        ([WELCOME], (1, 1), BacktestError),
        ([journey({"a": send("unknown")})], (0, 1), InvalidDefinitionError),
    ],
)
def test_what_cannot_be_run_is_refused(definitions: list[Any], times: tuple[int, int], error: type[Exception]):
    past = StorePast(World(email("m")).store)
    with pytest.raises(error):
        Backtest(Job(definitions=definitions, start=times[0], end=times[1]), past.publications())


def test_an_input_of_a_person_is_in_the_order_of_the_log(tmp_path: Path):
    store = SqliteStore(tmp_path / "parcours.db")
    world = World(email("m"), store=store)
    for who in ("ann", "bob", "ann"):
        world.did(who, "Go")
    people: dict[str, list[Input]] = dict(SqlitePast(tmp_path / "parcours.db").people(0, 1))
    assert [item.position for item in people[world.id_of("ann")]] == [2, 4]
    store.close()


def test_what_a_live_step_made_happen_happens_anew_from_the_start_on():
    """And stands as it was before: it is of the past then."""
    steps = {"add": {"type": "update", "set": {"n": {"add": 1}}, "next": "more"}}
    steps["more"] = {"type": "decision", "if": {"contact": "n", "at_least": 3}, "then": "end"}
    live = journey(steps | {"end": {"type": "end"}})
    world = World(live)
    world.did("ann", "Go")
    world.did("ann", "Go")
    world.after("1d")
    world.did("ann", "Go")
    _, counts = backtest(world, live, start=START + 1)
    assert {reason: count for (_, step, _, reason), count in counts.trace.items() if step == "more" and reason} == {
        "then": 1
    }


@examples(30)
@given(timed())
def test_an_answer_that_is_assumed_does_what_the_same_does_when_it_is_recorded(scenario: Scenario):
    live = Answering(MemoryStore(), START)
    play(live, scenario)
    drafts = journeys_in(scenario)
    if not drafts:
        return
    past = StorePast(live.store)
    job = Job(definitions=drafts, start=START, end=live.clock.now())
    recorded = run(Backtest(job, past.publications()), past.people(0, 1))
    # As though none of them had ever been made; what was answered otherwise in the scenario is left out as well.
    usual = {"status": 200, "body": None}
    answers = [item for _, items in past.people(0, 1) for item in items if is_answer(item)]
    if any(item.attributes != usual for item in answers):
        return
    people = [(id_, [item for item in items if not is_answer(item)]) for id_, items in past.people(0, 1)]
    assumed = run(Backtest(job, past.publications()), people)
    assert assumed.trace == recorded.trace
    assert assumed.waiting == recorded.waiting


def is_answer(item: Input) -> TypeGuard[Reaction]:
    return isinstance(item, Reaction) and item.reaction in ANSWERS
