"""One simulation: a scenario played in order and in disorder, and compared."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from parcours.core import chains
from parcours.runtimes.engine import Engine
from parcours.stores import sqlite
from parcours.testing.scheduler.channels import HOUR, Channels
from parcours.testing.scheduler.comparing import compare
from parcours.testing.scheduler.disordered import Check, Disordered, Report
from parcours.testing.scheduler.ordered import Ordered
from parcours.testing.snapshot import snapshot
from parcours.testing.strategies import Scenario, Step, play

AFTERWARDS = 9 * 24 * HOUR
"""Time that passes after the last move: every run and every message comes to its end."""

LATEST = HOUR - 60_000
"""Milliseconds by which a tick may be late: less than any channel takes, which answers only what was decided."""


def simulate(seed: int, scenario: Scenario, folder: Path, check: Check = lambda _found, _plan: None) -> Report:
    """Play a scenario in order and in disorder, and compare.

    Args:
        seed: Decides everything that is drawn.
        scenario: What happens.
        folder: An empty folder for files of stores.
        check: Called with what the store holds, now and then and at the end.

    Raises:
        AssertionError: What came of it in disorder is not what had to come of it, or something did not hold.
    """
    chance = random.Random(f"disorder {seed}")  # noqa: S311 (chance that can be repeated)
    lateness = chance.choice([0, 0, 60_000, LATEST])
    expected = Ordered(Channels(seed, slow=lateness > 0))
    with _sizes(chance), mock.patch.object(chains, "MOST_MADE", chance.choice([3, 3, 20])):
        script = play(expected, scenario)
        end = script[-1].at + AFTERWARDS
        expected.advance(end)
        world = Disordered(seed, chance, Channels(seed, slow=lateness > 0), folder, lateness, expected, check)
        try:
            world.play([*script, Step(end, [])])
            compare(snapshot(world.store), snapshot(expected.store))
        finally:
            world.close()
        world.report.happened["cut off"] = expected.engine.cut
    return world.report


@contextlib.contextmanager
def _sizes(chance: random.Random) -> Iterator[None]:
    """Let slices be small and what is put off be put off for any length."""
    drawn: list[tuple[Any, str, list[float]]] = [
        (Engine, "LARGEST_TICK", [1, 2, 1_000]),
        (Engine, "SLICE", [1, 2, 1_000]),
        (Engine, "PART", [1, 2, 50]),
        # By the machine's clock it would not be the same when it is repeated.
        (Engine, "LONGEST_TURN", [-1.0, 1e9]),
        (sqlite, "SMALL_BATCH", [0, 1, 2]),
        (sqlite, "LONGEST_BEHIND", [1, 3, 10]),
        (sqlite, "SLICE", [1, 3, 10]),
    ]
    with contextlib.ExitStack() as stack:
        for module, name, sizes in drawn:
            stack.enter_context(mock.patch.object(module, name, chance.choice(sizes)))
        yield
