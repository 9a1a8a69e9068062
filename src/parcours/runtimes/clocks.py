"""Where the engine's time comes from. See `ports.Clock`."""

from __future__ import annotations

import time


def wall_time() -> int:
    """Return the machine's time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class SystemClock:
    """The machine's clock, kept from going back."""

    follows_inputs = False

    def __init__(self, start: int = 0) -> None:
        self._last = start

    def now(self) -> int:
        self._last = max(self._last, wall_time())
        return self._last

    def observe(self, occurred_at: int) -> None:
        pass

    def horizon(self) -> int:
        return wall_time()


class InputsClock:
    """A clock that stands still until an input carries it forward: for demos, rehearsals and tests.

    An input cannot carry it past the machine's own time (and the day by which a sender's clock may be ahead).
    """

    follows_inputs = True

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def observe(self, occurred_at: int) -> None:
        self._now = max(self._now, occurred_at)

    def horizon(self) -> int:
        return wall_time()


class VirtualClock:
    """A clock that is set by hand, for simulations and tests. It does not go back."""

    follows_inputs = False

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def set(self, now: int) -> None:
        """Move to an instant; one in the past is ignored."""
        self._now = max(self._now, now)

    def observe(self, occurred_at: int) -> None:
        pass

    def horizon(self) -> int:
        return self._now
