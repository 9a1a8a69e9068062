"""People of a backtest walked at once, in order of time, for rules with a budget: whoever comes first gets what is left."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from parcours.core.effects import Draw
from parcours.core.loyalty import budget

Place = tuple[int, int]
"""When something happens to a person, and its place in the log; 0 for time alone."""


class Purse:
    """What was taken from budgets. Those of drafts begin anew when the drafts go live.

    Args:
        start: After this instant drafts are live.
        drafts: The names of rules that are drafts.
    """

    def __init__(self, start: int, drafts: Sequence[str]) -> None:
        self.start = start
        self._drafts = drafts
        self._kept: dict[str, str] = {}

    def read(self, name: str) -> str:
        """Return what was counted under a name."""
        return self._kept.get(name, "")

    def count(self, draws: Iterable[Draw]) -> None:
        """Count what was taken, or given back."""
        self._kept.update(budget.count(draws, self.read))

    def begin(self) -> None:
        """Let the drafts go live."""
        of_drafts = tuple(budget.name_of(f"{rule}/") for rule in self._drafts)
        self._kept = {name: text for name, text in self._kept.items() if not name.startswith(of_drafts)}


def in_order(lives: Iterable[Iterator[Place]], purse: Purse) -> None:
    """Walk people at once. Each yields when its next thing happens, and is asked on when that is the first of all."""
    waiting: list[tuple[Place, int, Iterator[Place]]] = []
    for number, life in enumerate(lives):
        place = next(life, None)
        if place is not None:
            waiting.append((place, number, life))
    heapq.heapify(waiting)
    begun = False
    while waiting:
        place, number, life = waiting[0]
        if not begun and place[0] > purse.start:
            begun = True
            purse.begin()
        following = next(life, None)
        if following is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (following, number, life))
