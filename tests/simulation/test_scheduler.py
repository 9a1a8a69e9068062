"""Random journeys under a scheduler that lets go wrong what may: kills, repeats, other orders, late ticks, slow channels.

| to do                   | run                                                  |
|-------------------------|------------------------------------------------------|
| as many seeds as in CI  | `pytest tests/simulation`                            |
| thousands               | `SEEDS=5000 pytest tests/simulation`                 |
| one that failed, again  | `SEED=4711 pytest tests/simulation`                  |
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from parcours.core.gate import Asked, Happened
from parcours.testing.scheduler import Channels, Ordered, Report, scenario_of, simulate
from parcours.testing.strategies import Comes, Repeats, Scenario, play
from tests.core.invariants import check_invariants

SEEDS = int(os.environ.get("SEEDS", "160"))
# A seed takes a second or two on a busy machine.
pytestmark = pytest.mark.timeout(300 + 3 * SEEDS)

PARTS = 4
"""Tests among which seeds are shared, so that several processes have something to do."""

_ONE = os.environ.get("SEED")
_PARTS = [[int(_ONE)]] if _ONE else [list(range(part, SEEDS, PARTS)) for part in range(PARTS)]


def simulated(seed: int, folder: Path) -> Report:
    folder.mkdir()
    try:
        return simulate(seed, scenario_of(seed), folder, check_invariants)
    except BaseException as error:
        error.add_note(f"again: SEED={seed} .venv/bin/python -m pytest tests/simulation")
        raise
    finally:
        for file in folder.iterdir():
            file.unlink()


@pytest.mark.parametrize("seeds", _PARTS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_what_goes_wrong_changes_nothing(seeds: list[int], tmp_path: Path):
    happened: Counter[str] = Counter()
    for seed in seeds:
        happened += simulated(seed, tmp_path / str(seed)).happened
    print(", ".join(f"{what}: {count}" for what, count in sorted(happened.items())))


def test_a_seed_is_always_the_same(tmp_path: Path):
    first, second = (simulated(7, tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert scenario_of(7) == scenario_of(7) != scenario_of(8)


def test_what_was_refused_and_comes_again_keeps_its_place(tmp_path: Path):
    """The script holds the same arrival twice, and what came in between decides whether the second is taken."""
    ann, x = ("user_id", "ann"), ("anonymous_id", "x")
    gives = Asked(action="transfer", programme="club", points=1, to=x)
    seen = Happened("Seen", {})
    scenario = Scenario(
        [{"kind": "programme", "name": "club", "transfer": {}}],
        [],
        # Nobody knows who is to have the points until they are known; then it is no repeat, for nothing was kept.
        [Comes(seen, (ann,), 0), Comes(gives, (ann,), 0), Comes(seen, (x,), 0), Repeats(1)],
    )
    ordered = Ordered(Channels(0, slow=False))
    script = play(ordered, scenario)
    assert script[2].arrivals[0] is script[4].arrivals[0]
    assert "m1" in ordered.owners
    for seed in range(8):
        folder = tmp_path / str(seed)
        folder.mkdir()
        simulate(seed, scenario, folder, check_invariants)


def test_everything_that_may_go_wrong_does(tmp_path: Path):
    """The scheduler is worth its time only if it comes to something."""
    happened: Counter[str] = Counter()
    for seed in range(1_000, 1_015):
        happened += simulated(seed, tmp_path / str(seed)).happened
    assert happened.keys() >= {
        "batched",
        "checked",
        "cut off",
        "disk full",
        "killed before",
        "killed before the answer",
        "killed between begin and finish",
        "killed between moves",
        "killed between slices",
        "late",
        "mixed",
        "reacted",
        "repeated",
        "failed",
        "pending",
        "sent",
    }
