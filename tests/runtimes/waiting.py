"""Waiting for something to be so, with an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE = 20.0
"""Seconds after which something that should have happened has not."""


async def until(so: Callable[[], object], what: str = "") -> None:
    """Return when it is so; fail when it takes too long. A condition is asked, no time is guessed."""
    deadline = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what or so}"
        await asyncio.sleep(0.002)
