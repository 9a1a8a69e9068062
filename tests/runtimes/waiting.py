"""Waiting for something to be so, with an end; and a log that cannot be written."""

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


class Unwritable:
    """A log whose every line fails, as on a disk that is full."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        return fail
