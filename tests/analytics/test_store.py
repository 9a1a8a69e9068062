"""The analytics database holds what the log says, however it was fed, and answers as the contacts do."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from parcours.analytics import questions, rows
from parcours.analytics.duckdb_store import AnalyticsError, DuckdbAnalytics, catch_up
from parcours.analytics.model import FIXED
from parcours.analytics.questions import Group, TooFarAheadError
from parcours.analytics.sql import UnanswerableError
from parcours.conditions.parse import parse_condition
from parcours.conditions.to_python import compile_condition
from parcours.core.gate import Happened, Learned
from parcours.core.ids import contact_number
from parcours.core.loyalty.outlook import MOST_CHANGES
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.strategies import START, Scenario, loyal_scenarios, perform, play, scenarios
from tests.core.world import END, World, email, journey, ms, send, wait
from tests.profiles import examples

MOST = 10**6


def fed(path: Path, store: Any, size: int = 20_000) -> DuckdbAnalytics:
    analytics = DuckdbAnalytics(path)
    for _ in catch_up(analytics, store, size):
        pass
    return analytics


def content(analytics: DuckdbAnalytics) -> dict[str, list[Any]]:
    """Everything that is in the tables, with columns by what they hold, for their numbers depend on the order."""
    found: dict[str, list[Any]] = {}
    for scope, table in analytics.catalog.tables.items():
        names = {column: f"{attribute} {kind}" for attribute, kind, column in analytics.catalog.columns(scope)}
        result = analytics.db.execute(f"select * from {table.name}")
        columns = [names.get(column[0], column[0]) for column in result.description]
        found[f"of {scope}"] = [
            {name: value for name, value in sorted(zip(columns, row, strict=True)) if value is not None}
            for row in result.fetchall()
        ]
    for name in FIXED:
        # Of members what they have now and from now on: what was told ahead before may be told otherwise.
        now = f"where finish > {analytics.as_of}" if name == "members" else ""
        chosen = f"* exclude (known_until) replace (greatest(start, {analytics.as_of}) as start)" if now else "*"
        found[name] = analytics.db.execute(f"select {chosen} from {name} {now}").fetchall()
    return {name: sorted(map(repr, rows)) for name, rows in found.items() if rows}


def members(simulation: Simulation, name: str) -> set[int]:
    """Who is in a segment, asked one by one."""
    plan, now = simulation.engine.plan, simulation.clock.now()
    ask = compile_condition(plan.segments[name], plan.segments)
    return {
        contact_number(contact.id)
        for contact in simulation.store.scan(limit=MOST)
        if not contact.merged_into and not contact.erased_at and ask(contact, {}, now)
    }


def assert_agree(analytics: DuckdbAnalytics, simulation: Simulation) -> None:
    segments = simulation.engine.plan.segments
    for name, node in segments.items():
        group = Group(node, segments, simulation.clock.now())
        assert questions.problems(node, segments) == []
        found = questions.members(analytics, group)
        assert len(found) == len(set(found))
        assert set(found) == members(simulation, name), (name, node)
        assert questions.count(analytics, group) == len(found)
        event(f"members: {bool(found)}")


@pytest.mark.usefixtures("short_chains")
@examples(25)
@given(scenarios() | scenarios(loyalty=True) | loyal_scenarios())
def test_segments_have_the_members_that_the_contacts_say(tmp_path: Path, scenario: Scenario):
    """The database follows after every move, or only at the end."""
    whole = Simulation(MemoryStore(), START)
    script = play(whole, scenario)
    simulation = Simulation(MemoryStore(), START)
    tmp_path = Path(tempfile.mkdtemp(dir=tmp_path))
    following = DuckdbAnalytics(tmp_path / "following.duckdb")
    for step in script:
        perform(simulation, [step])
        for _ in catch_up(following, simulation.store):
            pass
        if simulation.engine.plan.segments:
            assert_agree(following, simulation)
    late = fed(tmp_path / "late.duckdb", simulation.store)
    assert_agree(late, simulation)
    assert content(following) == content(late)
    following.close()
    late.close()


@pytest.mark.usefixtures("short_chains")
@examples(25)
@given(scenarios() | scenarios(loyalty=True) | loyal_scenarios(), st.data())
def test_any_slices_and_kills_come_to_the_same(tmp_path: Path, scenario: Scenario, data: st.DataObject):
    """A kill leaves the files as they are at some moment: between two transactions, or within one, which is as before."""
    tmp_path = Path(tempfile.mkdtemp(dir=tmp_path))
    whole = Simulation(MemoryStore(), START)
    script = play(whole, scenario)
    simulation = Simulation(MemoryStore(), START)
    path = tmp_path / "0.duckdb"
    analytics = DuckdbAnalytics(path)
    for number, step in enumerate(script, 1):
        perform(simulation, [step])
        for _ in catch_up(analytics, simulation.store, data.draw(st.integers(1, 4), "records in a slice")):
            if data.draw(st.integers(0, 5)) == 0:
                break
        if data.draw(st.integers(0, 9)) == 0:
            analytics.compact()
        if data.draw(st.integers(0, 4)) == 0:
            killed, path = path, tmp_path / f"{number}.duckdb"
            found = analytics.read(simulation.store)
            if found is not None and found.records:
                analytics.db.execute("begin")
                analytics._feed(found, analytics._rules)
            for file in tmp_path.glob(f"{killed.name}*"):
                shutil.copy(file, tmp_path / file.name.replace(killed.name, path.name))
            analytics.close()
            analytics = DuckdbAnalytics(path)
    for _ in catch_up(analytics, simulation.store, 2):
        pass
    again = fed(tmp_path / "again.duckdb", simulation.store)
    assert content(analytics) == content(again)
    analytics.reset()
    assert analytics.position == 0
    for _ in catch_up(analytics, simulation.store, 3):
        pass
    assert content(analytics) == content(again)
    analytics.close()
    again.close()


def ask(analytics: DuckdbAnalytics, world: World, condition: dict[str, Any]) -> int:
    node, problems = parse_condition(condition)
    assert node is not None, problems
    return questions.count(analytics, Group(node, world.run.engine.plan.segments, world.now))


def test_a_slice_that_fails_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    world = World()
    world.did("ann", "Go", total=1)
    analytics = fed(tmp_path / "a.duckdb", world.store)
    before = content(analytics)
    world.did("ann", "Paid", amount="a")
    with monkeypatch.context() as patch:
        patch.setattr(analytics, "_advance", lambda *_, **__: analytics.db.execute("select nonsense"))
        with pytest.raises(AnalyticsError, match="nonsense"):
            list(catch_up(analytics, world.store))
    assert content(analytics) == before
    assert analytics.position == 1
    assert list(catch_up(analytics, world.store)) == [2]
    assert ask(analytics, world, {"did": "Paid"}) == 1


def test_messages_are_counted_once_whoever_sent_them(tmp_path: Path):
    """By an input and by a timer, without any input after it; to somebody who becomes part of another; once."""
    world = World(
        journey({"s": send("hi", next="w"), "w": wait("1d", next="t"), "t": send("bye", next="e"), "e": END}),
        email("hi", purpose="transactional"),
        email("bye", purpose="transactional"),
    )
    analytics = fed(tmp_path / "a.duckdb", world.store)
    for who in ("ann", "bob"):
        world.knows(who)
        world.did(who, "Go")
    sent = {"messages": "sent", "times": {"exactly": 1}}
    list(catch_up(analytics, world.store))
    assert ask(analytics, world, sent) == 2
    world.after("1d")
    before = world.store.last_position()
    list(catch_up(analytics, world.store, 1))
    assert (analytics.position, world.store.last_position()) == (before, before)
    assert ask(analytics, world, {"messages": "sent", "of": "bye", "within": "1h"}) == 2
    assert ask(analytics, world, {"messages": "sent", "of": "hi", "within": "1d"}) == 0
    assert ask(analytics, world, {"messages": "sent", "times": {"exactly": 2}}) == 2
    world.reacts(world.messages("ann")[0], "opened")
    world.reacts(world.messages("ann")[0], "opened")
    list(catch_up(analytics, world.store))
    assert ask(analytics, world, {"messages": "opened", "times": {"exactly": 1}}) == 1
    alias = world.arrival("ann", Learned({}, same=True))
    alias.identities = (("user_id", "ann"), ("user_id", "bob"))
    world.accept(alias)
    list(catch_up(analytics, world.store))
    assert ask(analytics, world, {"messages": "sent", "times": {"exactly": 4}}) == 1
    assert content(analytics) == content(fed(tmp_path / "b.duckdb", world.store))
    world.run.engine.erase(world.id_of("ann"))
    list(catch_up(analytics, world.store))
    assert ask(analytics, world, {"messages": "sent"}) == 0
    assert analytics.db.execute("select count(*) from messages").fetchone() == (0,)


def test_whoever_was_merged_is_counted_once(tmp_path: Path):
    world = World({"kind": "list", "name": "vip"})
    analytics = fed(tmp_path / "a.duckdb", world.store)
    anonymous, known = (("anonymous_id", "x"),), (("user_id", "ann"), ("anonymous_id", "x"))
    arrival = world.arrival("", Learned({"city": "Atlanta"}, lists={"vip": True}))
    arrival.identities = anonymous
    world.accept(arrival)
    for _ in range(2):
        happened = world.arrival("ann", Happened("Go", {}))
        happened.identities = anonymous
        world.accept(happened)
    world.did("ann", "Go")
    list(catch_up(analytics, world.store))
    assert ask(analytics, world, {"did": "Go"}) == 2
    arrival = world.arrival("", Learned({}))
    arrival.identities = known
    world.accept(arrival)
    list(catch_up(analytics, world.store))
    assert questions.everybody(analytics) == 1
    assert ask(analytics, world, {"did": "Go", "times": {"exactly": 3}}) == 1
    assert ask(analytics, world, {"all": [{"contact": "city", "is": "Atlanta"}, {"list": "vip"}]}) == 1


def test_nothing_of_an_erased_contact_is_left_in_the_file(tmp_path: Path):
    world = World()
    for number in range(3_000):
        world.did(f"u{number}", "Go", place=f"somewhere {number}")
    world.knows("ann", secret="a-very-secret-word")
    world.did("ann", "Go", place="her-hiding-place")
    path = tmp_path / "a.duckdb"
    analytics = fed(path, world.store)
    analytics.db.execute("checkpoint")
    assert b"her-hiding-place" in path.read_bytes()
    world.run.engine.erase(world.id_of("ann"))
    list(catch_up(analytics, world.store))
    assert analytics.dirty
    assert questions.everybody(analytics) == 3_000
    analytics.close()
    analytics = DuckdbAnalytics(path)
    assert analytics.dirty, "a kill before it was written anew"
    analytics.compact()
    assert not analytics.dirty
    for file in tmp_path.iterdir():
        left = file.read_bytes()
        assert not [word for word in (b"her-hiding-place", b"a-very-secret-word") if word in left], file
        assert file.stat().st_mode & 0o077 == 0
    assert questions.everybody(analytics) == 3_000
    assert ask(analytics, world, {"did": "Go"}) == 3_000
    analytics.close()


def test_what_need_not_be_kept_any_longer_goes(tmp_path: Path):
    world = World({"kind": "interaction", "name": "Go", "retention": "30d"})
    world.did("ann", "Go", note="kept-for-a-month")
    world.did("ann", "Stay")
    analytics = fed(tmp_path / "a.duckdb", world.store)
    world.after("40d")
    world.did("bob", "Go")
    list(catch_up(analytics, world.store))
    assert ask(analytics, world, {"did": "Go"}) == 2
    while world.run.engine.expire():
        pass
    list(catch_up(analytics, world.store))
    assert ask(analytics, world, {"did": "Go"}) == 1
    assert ask(analytics, world, {"did": "Stay"}) == 1
    assert analytics.dirty
    assert content(analytics) == content(fed(tmp_path / "b.duckdb", world.store)) | {
        name: rows for name, rows in content(analytics).items() if name == "of "
    }


def test_a_store_that_was_put_back_is_followed_from_the_beginning(tmp_path: Path):
    world = World()
    for _ in range(5):
        world.did("ann", "Go")
    analytics = fed(tmp_path / "a.duckdb", world.store)
    analytics.note_size("some", 5, 3)
    analytics.close()
    other = World()
    for _ in range(7):
        other.did("bob", "Paid", id_=f"other{_}")
    analytics = fed(tmp_path / "a.duckdb", other.store)
    assert analytics.position == 7
    assert ask(analytics, other, {"did": "Go"}) == 0
    assert ask(analytics, other, {"did": "Paid"}) == 1
    assert analytics.sizes("some", 0, 10, 1) == [(5, 3)]


def test_a_file_that_is_of_no_use_is_made_again(tmp_path: Path):
    path = tmp_path / "a.duckdb"
    path.write_bytes(b"nonsense" * 1_000)
    world = World()
    world.did("ann", "Go")
    assert ask(fed(path, world.store), world, {"did": "Go"}) == 1


def test_another_version_of_the_tables_is_made_again(tmp_path: Path):
    world = World()
    world.did("ann", "Go")
    analytics = fed(tmp_path / "a.duckdb", world.store)
    analytics.note_size("some", 5, 3)
    for column in ("revision", "swept", "as_of"):  # as it was before there were members in it
        analytics.db.execute(f"alter table progress drop column {column}")
    analytics.db.execute("drop table members")
    analytics.db.execute("update progress set format = 2")
    analytics.close()
    analytics = DuckdbAnalytics(tmp_path / "a.duckdb")
    assert analytics.position == 0
    assert list(catch_up(analytics, world.store)) == [1]
    assert ask(analytics, world, {"not": {"member": "club"}}) == 1
    assert analytics.sizes("some", 0, 10, 1) == [(5, 3)]


def club(**more: Any) -> dict[str, Any]:
    levels = [{"name": "bronze", "at": 0}, {"name": "silver", "at": 10}]
    tiers = {"period": {"type": "rolling", "days": 30}, "levels": levels}
    return {"kind": "programme", "name": "club", "tiers": tiers, **more}


RULE = {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "points": 10}


def test_members_to_whom_nothing_happens_are_told_of_as_a_changed_programme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rows, "SWEPT", 2)
    world = World(club(), RULE)
    for number in range(5):
        world.asks(f"u{number}", "enrol")
        world.did(f"u{number}", "Bought")
    analytics = fed(tmp_path / "a.duckdb", world.store)
    silver = parse_condition({"tier": "club", "at_least": "silver"})[0]
    start = world.now

    def counts() -> list[int]:
        list(catch_up(analytics, world.store, 1))
        ahead = (ms("40d"), ms("100d"))
        return [questions.count(analytics, Group(silver, {}, at)) for at in (world.now, *(start + of for of in ahead))]

    assert counts() == [5, 0, 0]
    # The review after 30 days looks at 60 of them now. By today no contact is touched.
    longer = {"period": {"type": "rolling", "days": 60}, "levels": club()["tiers"]["levels"]}
    world.publish(club(tiers=longer))
    assert counts() == [5, 5, 0]
    world.publish(*(definition | {"archived": True} for definition in (club(tiers=longer), RULE)))
    assert counts() == [5, 5, 5], "nothing comes due any more"
    assert content(analytics) == content(fed(tmp_path / "b.duckdb", world.store))


def test_what_is_past_or_too_far_ahead_is_not_told(tmp_path: Path):
    world = World(club(expiry={"type": "rolling", "days": 3}), RULE)
    world.asks("ann", "enrol")
    for _ in range(MOST_CHANGES + 2):
        world.did("ann", "Bought")
        world.after("1h")
    analytics = fed(tmp_path / "a.duckdb", world.store)
    node = parse_condition({"points": "club", "at_least": 1})[0]

    def count(ahead: int, condition: Any = node) -> int:
        return questions.count(analytics, Group(condition, {"rich": node}, analytics.as_of + ahead))

    assert (count(0), count(ms("2d"))) == (1, 1)
    with pytest.raises(UnanswerableError, match="an instant that is past"):
        count(-1)
    with pytest.raises(UnanswerableError, match="an instant that is past"):
        count(-1, parse_condition({"not": {"segment": "rich"}})[0])
    with pytest.raises(TooFarAheadError, match="'club' comes due by then"):
        count(ms("90d"))
    world.after("90d")
    list(catch_up(analytics, world.store))
    assert count(0) == 0
    assert count(ms("9000d")) == 0


def test_members_by_their_tier(tmp_path: Path):
    world = World(club(), RULE)
    for number, who in enumerate(("ann", "bob", "cyd", "dan")):
        world.asks(who, "enrol")
        if number:
            world.did(who, "Bought")
    world.did("eve", "Go")
    world.asks("dan", "leave")
    analytics = fed(tmp_path / "a.duckdb", world.store)
    everybody = Group(parse_condition({"all": []})[0], {}, world.now)
    found = questions.tiers(analytics, everybody, "club")
    assert (found.size, found.missing, found.values) == (5, 2, [("silver", 2), ("bronze", 1)])
    rich = Group(parse_condition({"points": "club", "at_least": 1})[0], {}, world.now)
    found = questions.tiers(analytics, rich, "club")
    assert (found.size, found.missing, found.values) == (3, 1, [("silver", 2)])
    assert questions.tiers(analytics, everybody, "other").missing == 5


def test_members_move_with_contacts_and_go_with_them(tmp_path: Path):
    reward = {"kind": "reward", "name": "ten", "percent": 10}
    world = World(club(), RULE, reward)
    for who in ("ann", "bob"):
        world.asks(who, "enrol")
        world.did(who, "Bought")
        world.asks(who, "issue", "", reward="ten")
    analytics = fed(tmp_path / "a.duckdb", world.store)
    rich, rewarded = {"points": "club", "exactly": 20}, {"reward": "ten", "is": "open"}
    assert (ask(analytics, world, rich), ask(analytics, world, rewarded)) == (0, 2)
    alias = world.arrival("ann", Learned({}, same=True))
    alias.identities = (("user_id", "ann"), ("user_id", "bob"))
    world.accept(alias)
    list(catch_up(analytics, world.store))
    assert (ask(analytics, world, rich), ask(analytics, world, rewarded)) == (1, 1)
    assert analytics.db.execute("select count(*) from coupons").fetchone() == (2,)
    world.run.engine.erase(world.id_of("ann"))
    list(catch_up(analytics, world.store))
    for name in ("members", "qualified", "coupons"):
        assert analytics.db.execute(f"select count(*) from {name}").fetchone() == (0,)


def test_sizes_are_the_last_of_each_stretch(tmp_path: Path):
    analytics = DuckdbAnalytics(tmp_path / "a.duckdb")
    for at, size in ((1, 10), (9, 11), (10, 12), (25, 13), (40, 14)):
        analytics.note_size("some", at, size)
    assert analytics.sizes("some", 0, 40, 10) == [(9, 11), (10, 12), (25, 13)]
    assert analytics.sizes("other", 0, 40, 10) == []


def test_a_breakdown_and_an_overlap(tmp_path: Path):
    world = World()
    cities: list[Any] = ["Atlanta", "Atlanta", "Boston", True, ["Boston", "x", "x"], 3, 3, 4.5, None, {"a": 1}]
    for number, city in enumerate(cities):
        world.knows(f"u{number}", city=city, age=number)
    analytics = fed(tmp_path / "a.duckdb", world.store)
    everybody = Group(parse_condition({"all": []})[0], {}, world.now)
    found = questions.breakdown(analytics, everybody, "city", 10)
    assert (found.size, found.missing, found.others, found.bins) == (10, 1, 0, [])
    assert found.values == [(3.0, 2), ("Atlanta", 2), ("Boston", 2), (4.5, 1), (True, 1), ("x", 1)]
    assert questions.breakdown(analytics, everybody, "city", 2).bins == []
    found = questions.breakdown(analytics, everybody, "city", 1)
    assert (found.values, found.others) == ([("Atlanta", 2)], 3)
    assert [(one.least, one.greatest, one.count) for one in found.bins] == [(3, 3, 2), (4.5, 4.5, 1)]
    found = questions.breakdown(analytics, everybody, "age", 3)
    assert [(one.least, one.greatest, one.count) for one in found.bins] == [(n, n, 1) for n in range(10)]
    assert questions.breakdown(analytics, everybody, "never given", 3).missing == 10
    young = Group(parse_condition({"contact": "age", "at_most": 3})[0], {}, world.now)
    old = Group(parse_condition({"contact": "age", "at_least": 2})[0], {}, world.now)
    both = questions.overlap(analytics, young, old)
    assert (both.sizes, both.both, both.either, both.jaccard) == ((4, 8), 2, 10, 0.2)
    assert questions.sample(analytics, everybody, 4, "a") == questions.sample(analytics, everybody, 4, "a")
    assert questions.sample(analytics, everybody, 4, "a") != questions.sample(analytics, everybody, 4, "b")
    assert len(questions.sample(analytics, young, 40, "a")) == 4


def test_one_process_has_the_file(tmp_path: Path):
    import subprocess
    import sys

    analytics = DuckdbAnalytics(tmp_path / "a.duckdb")
    code = (
        "import sys, pathlib; from parcours.analytics.duckdb_store import *\n"
        "try: DuckdbAnalytics(pathlib.Path(sys.argv[1]))\n"
        "except AnalyticsError as error: print(error)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.duckdb")], capture_output=True, text=True, check=True
    )
    assert "another process has a.duckdb open" in out.stdout
    analytics.close()
