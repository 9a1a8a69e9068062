"""Entries that ask for an interaction several times, and how often a contact may enter."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core.effects import What
from parcours.core.gate import Happened
from parcours.core.tally import MOST_KEYS
from parcours.definitions.load import load_data
from parcours.testing.strategies import PAUSES
from tests.core.world import START, World, email, journey, ms, send, wait
from tests.profiles import examples

STAYS = {"w": wait("30d")}


def counting(times: int = 3, within: str | None = "48h", **more: Any) -> dict[str, Any]:
    entry = {"times": times, **({"within": within} if within else {}), **more.pop("entry", {})}
    return journey({"s": wait("1s")}, entry=entry, **more)


def entered(world: World, who: str = "ann") -> list[int]:
    return [entry.at - START for entry in world.trace(who, What.ENTERED)]


# --- several times ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("third, enough", [("24h-1s", True), ("24h", False)])
def test_three_times_in_48_hours_are_met_at_47_59_59_and_not_at_48_hours(third: str, enough: bool):
    world = World(counting())
    world.did("ann", "Go")
    world.after("24h")
    world.did("ann", "Go")
    world.after(third)
    world.did("ann", "Go")
    assert bool(entered(world)) is enough


def test_any_of_a_set_counts_in_any_spelling():
    world = World(counting(2, entry={"interaction": ["Like", "Share"]}))
    world.did("ann", "like")
    world.did("ann", "Comment")
    assert entered(world) == []
    world.did("ann", "SHARE")
    assert entered(world) == [0]


def test_a_set_without_times_lets_each_of_it_in():
    world = World(journey({"s": wait("1s")}, entry={"interaction": ["Like", "Share"]}))
    for name in ("Like", "Share", "Go"):
        world.did("ann", name)
    assert len(entered(world)) == 2


def test_only_what_fits_the_filter_counts():
    world = World(counting(2, entry={"where": {"interaction": "total", "more_than": 10}}))
    for total in (20, 5, 7):
        world.did("ann", "Go", total=total)
    assert entered(world) == []
    world.did("ann", "Go", total=11)
    assert entered(world) == [0]


def test_after_it_was_enough_the_count_starts_again_also_when_the_entry_is_refused():
    world = World(journey(STAYS, entry={"times": 2}, re_entry="after_end"))
    for _ in range(5):
        world.did("ann", "Go")
    assert len(entered(world)) == 1
    assert world.reasons("ann", What.REFUSED) == ["under_way"]


def test_without_history_the_count_starts_when_the_journey_goes_live():
    definition = counting(2, None)
    world = World(definition | {"state": "draft"})
    world.did("ann", "Go")
    world.after("1h")
    world.publish(definition)
    world.did("ann", "Go", ago="30m")  # it arrives now, and occurred before
    assert entered(world) == []
    world.did("ann", "Go")
    assert entered(world) == []
    world.did("ann", "Go")
    assert entered(world) == [ms("1h")]


def test_a_journey_that_was_a_draft_for_a_while_starts_its_count_again():
    definition = counting(2, None)
    world = World(definition)
    world.did("ann", "Go")
    world.after("1h")
    world.publish(definition | {"state": "draft"})
    world.after("1h")
    world.publish(definition)
    world.did("ann", "Go")
    assert entered(world) == []


def test_a_change_of_times_alone_goes_on_with_the_count_and_another_filter_does_not():
    world = World(counting(3, None))
    world.did("ann", "Go")
    world.publish(counting(2, None))
    world.did("ann", "Go")
    assert len(entered(world)) == 1
    world.did("ann", "Go", total=1)
    world.publish(counting(2, None, entry={"where": {"interaction": "total", "is_present": True}}))
    world.did("ann", "Go", total=1)
    assert len(entered(world)) == 1


@pytest.mark.parametrize("history", [True, False])
def test_with_history_what_happened_before_counts(history: bool):
    world = World()
    for _ in range(4):
        world.did("ann", "Go")
    world.after("1h")
    world.publish(counting(3, None, entry={"with_history": history}))
    assert entered(world) == []
    world.did("ann", "Go")
    assert bool(entered(world)) is history
    world.did("ann", "Go")
    assert len(entered(world)) == history  # and the count has started again


def test_history_that_is_imported_counts_with_history_and_lets_nobody_in():
    world = World(counting(2, None, entry={"with_history": True}), counting(2, None, name="k"))
    arrivals = [world.arrival("ann", Happened("Go", {})) for _ in range(3)]
    for arrival in arrivals:
        arrival.backfill = True
    world.accept(*arrivals)
    assert entered(world) == []
    world.did("ann", "Go")
    assert [entry.journey for entry in world.trace("ann", What.ENTERED)] == ["j"]


def test_one_that_is_too_old_counts_and_starts_nothing():
    world = World(counting(3, "48h", entry={"with_history": True}))
    world.did("ann", "Go")
    world.after("12h")
    world.did("ann", "Go")
    world.did("ann", "Go", ago="7h")
    assert entered(world) == []
    assert len(world.trace("ann", What.LATE)) == 1
    world.did("ann", "Go")
    assert len(entered(world)) == 1


def test_one_that_can_never_be_among_enough_leaves_nothing():
    world = World(counting(2, "1h", entry={"with_history": True}))
    world.after("2d")
    world.did("ann", "Go", ago="8h")
    assert world.contact("ann").tallies == {}


def test_it_does_not_matter_in_which_order_they_arrive():
    world = World(counting(3, "2h", entry={"with_history": True}))
    world.after("12h")
    world.did("ann", "Go", ago="1h")
    world.did("ann", "Go")
    world.did("ann", "Go", ago="2h")
    assert entered(world) == []  # two hours apart are too much
    world.did("ann", "Go", ago="1h59m")
    assert len(entered(world)) == 1


def test_each_value_of_the_key_is_counted_by_itself():
    world = World(counting(2, None, entry={"key": "product"}))
    for product in ("a", "b", "c", "b"):
        world.did("ann", "Go", product=product)
    assert [entry.detail for entry in world.trace("ann", What.ENTERED)] == [{"key": "b"}]
    world.did("ann", "Go")
    assert world.reasons("ann", What.REFUSED) == ["no_key"]


def test_the_key_that_was_quiet_the_longest_is_forgotten_when_there_are_too_many():
    world = World(counting(2, None, entry={"key": "product"}))
    for number in range(MOST_KEYS + 1):
        world.after("1s")
        world.did("ann", "Go", product=number)
    (keys,) = world.contact("ann").tallies.values()
    assert len(keys) == MOST_KEYS
    assert "0" not in keys


def test_two_who_are_found_to_be_one_count_together():
    world = World(counting(3, None))
    world.did("ann", "Go")
    arrival = world.arrival("", Happened("Go", {}))
    arrival.identities = (("anonymous_id", "x"),)
    world.accept(arrival)
    merging = world.arrival("ann", Happened("Go", {}))
    world.knows("ann")
    known = world.arrival("ann", Happened("Seen", {}))
    known.identities = (("user_id", "ann"), ("anonymous_id", "x"))
    from parcours.core.gate import Learned

    known.what = Learned({})
    world.accept(known)
    assert entered(world) == []
    world.accept(merging)
    assert len(entered(world)) == 1


@examples(150)
@given(
    st.integers(2, 4),
    st.sampled_from(["6h", "1d", None]),
    st.lists(st.tuples(st.sampled_from(PAUSES), st.sampled_from(["", "1h", "5h", "7h"])), min_size=1, max_size=14),
)
def test_the_count_is_what_a_search_of_all_that_happened_finds(
    times: int, within: str | None, happened: list[tuple[str, str]]
):
    world = World(counting(times, within, re_entry="always"))
    counted: list[int] = []
    expected: list[int] = []
    for pause, ago in happened:
        world.after(pause)
        world.did("ann", "Go", ago=ago)
        at = world.now - (ms(ago) if ago else 0)
        if at < START:
            continue
        counted.append(at)
        # Any so many of which this is one, and of which the first and the last are near enough.
        others = sorted(counted)
        windows = [others[i : i + times] for i in range(len(others) - times + 1)]
        near = [w for w in windows if at in w and (within is None or w[-1] - w[0] < ms(within))]
        if near and world.now - at <= ms("6h"):
            expected.append(world.now - START)
            counted.clear()
    assert entered(world) == expected


# --- re-entry and limits ----------------------------------------------------------------------------------------------


def test_after_a_pause_since_the_last_run_ended():
    world = World(journey({"w": wait("1d")}, re_entry={"after": "30d"}))
    world.did("ann", "Go")
    world.did("ann", "Go")
    world.after("1d")
    world.after("30d-1s")
    world.did("ann", "Go")
    assert [(entry.reason, entry.detail) for entry in world.trace("ann", What.REFUSED)] == [
        ("under_way", None),
        ("too_soon", {"until": START + ms("31d")}),
    ]
    world.after("1s")
    world.did("ann", "Go")
    assert entered(world) == [0, ms("31d")]


def test_the_pause_is_each_keys_own_and_is_forgotten_when_it_is_over():
    world = World(journey({"w": wait("1h")}, entry={"key": "order"}, re_entry={"after": "1d"}))
    world.did("ann", "Go", order="a")
    world.after("2h")
    world.did("ann", "Go", order="a")
    world.did("ann", "Go", order="b")
    assert world.reasons("ann", What.REFUSED) == ["too_soon"]
    assert [run.key for run in world.runs("ann")] == ["b"]
    world.after("2d")
    world.did("ann", "Go", order="c")
    world.after("1h")
    assert list(world.contact("ann").ended["j"]) == ["c"]


def test_a_pause_that_is_introduced_counts_from_the_end_of_runs_under_way():
    world = World(journey({"w": wait("1d")}))
    world.did("ann", "Go")
    world.publish(journey({"w": wait("1d")}, re_entry={"after": "1d"}))
    world.after("1d")
    world.did("ann", "Go")
    assert world.reasons("ann", What.REFUSED) == ["too_soon"]


def test_so_many_entries_in_a_time_half_open():
    world = World(journey({"w": wait("1s")}, max_entries={"times": 2, "within": "1d"}))
    world.did("ann", "Go")
    world.after("12h")
    world.did("ann", "Go")
    world.after("12h-1s")
    world.did("ann", "Go")
    assert [(entry.reason, entry.detail) for entry in world.trace("ann", What.REFUSED)] == [
        ("too_many_entries", {"entries": 2, "until": START + ms("1d")})
    ]
    world.after("1s")
    world.did("ann", "Go")
    assert entered(world) == [0, ms("12h"), ms("1d")]


def test_so_many_entries_ever_whatever_the_key():
    world = World(journey({"w": wait("1s")}, entry={"key": "order"}, max_entries={"times": 2}))
    for order in ("a", "b", "c"):
        world.did("ann", "Go", order=order)
    assert len(entered(world)) == 2
    assert world.trace("ann", What.REFUSED)[0].detail == {"key": "c", "entries": 2}


def test_so_many_runs_at_the_same_time():
    world = World(journey(STAYS, entry={"key": "order"}, max_runs=2))
    for order in ("a", "b", "c"):
        world.did("ann", "Go", order=order)
    assert world.reasons("ann", What.REFUSED) == ["too_many_runs"]
    world.after("30d")
    world.did("ann", "Go", order="c")
    assert len(entered(world)) == 3


def test_what_cannot_be_meant_is_refused():
    wrong = counting(1, "48h"), counting(2, entry={"with_history": True, "where": {"contact": "city", "is": "Bonn"}})
    _, errors, _ = load_data([{**definition, "name": f"j{n}"} for n, definition in enumerate(wrong)])
    assert [(problem.code, problem.pointer) for problem in errors] == [
        ("invalid_value", "/definitions/0/entry/within"),
        ("invalid_condition", "/definitions/1/entry/where"),
    ]


def test_a_send_alone_is_over_at_once_and_its_pause_holds():
    world = World(email("m", purpose="transactional"), journey({"s": send("m")}, re_entry={"after": "1d"}))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert world.sent("ann") == ["m"]
    assert world.reasons("ann", What.REFUSED) == ["too_soon"]
