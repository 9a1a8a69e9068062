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

from parcours.testing.scheduler import Report, scenario_of, simulate
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
