"""A rule applied to much of the past, beside a service that goes on working."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from parcours.runtimes.embedded import Embedded
from parcours.web.api import retroactive
from tests.runtimes.test_retroactive import buys, found, publishes, rule, started


async def test_others_have_their_turn_while_awards_are_tried(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retroactive, "SLICE", 2)
    world = started()
    buys(world, "ann", 12)
    publishes(world, rule(points=5))
    awards = found(world)
    host: Any = SimpleNamespace(turn=asyncio.Lock(), store=world.store, engine=world.run.engine)
    trying = asyncio.create_task(retroactive._tried(cast("Embedded", host), "r", awards))
    turns = 0
    while not trying.done():
        turns += 1
        await asyncio.sleep(0)
    (one,) = (await trying).values()
    assert (one.awards, one.points, len(one.entries)) == (12, 60, 12)
    assert turns >= 12 // 2
