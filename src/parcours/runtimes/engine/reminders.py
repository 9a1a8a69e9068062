"""Whose timers are looked at next, and when."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

BLOCK = 1_000
"""How many reminders a block has at first; with twice as many it is cut in two."""

_NEVER = 2**63
"""Later than any instant."""

_LAST = "\U0010ffff"
"""Behind every contact."""


class Reminders:
    """Contacts, each with the instant at which it is looked at for timers: at or before the first of them.

    They lie in order, in blocks: what is due is cut off at the front in one piece. A heap of a million goes all over the
    memory for each of them.
    """

    def __init__(self, due_times: Iterable[tuple[int, str]] = ()) -> None:
        self._known: dict[str, int] = {}
        for due, contact in due_times:
            if due < self._known.get(contact, _NEVER):
                self._known[contact] = due
        # What an earlier one replaces later on stays until its time comes.
        there = sorted((due, contact) for contact, due in self._known.items())
        self._blocks = [there[start : start + BLOCK] for start in range(0, len(there), BLOCK)]
        self._starts = [block[0] for block in self._blocks]
        """What each block began with: all that is put before it lies in the one before, but of the first."""

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def add(self, due: int, contact: str) -> None:
        """Have a contact looked at at an instant, unless it is looked at before anyway."""
        if due >= self._known.get(contact, _NEVER):
            return
        self._known[contact] = due
        item = (due, contact)
        if not self._blocks:
            self._blocks.append([item])
            self._starts.append(item)
            return
        place = max(0, bisect_right(self._starts, item) - 1)
        block = self._blocks[place]
        insort(block, item)
        if len(block) >= 2 * BLOCK:
            # The half that stays is never empty, so that `next` may be asked meanwhile.
            rest = block[BLOCK:]
            del block[BLOCK:]
            self._blocks.insert(place + 1, rest)
            self._starts.insert(place + 1, rest[0])

    def next(self) -> int | None:
        """Return an instant at or before which nobody is to be looked at; None when nobody ever is.

        May be asked while another thread adds.
        """
        return self._blocks[0][0][0] if self._blocks else None

    def take(self, now: int, limit: int) -> list[str]:
        """Take out who is to be looked at by `now`, up to a limit: who is due first comes first, then by contact."""
        taken: list[str] = []
        known = self._known
        while self._blocks and len(taken) < limit:
            block = self._blocks[0]
            count = min(limit - len(taken), bisect_right(block, (now, _LAST)))
            if not count:
                break
            for due, contact in block[:count]:
                if known.get(contact) == due:
                    del known[contact]
                    taken.append(contact)
            del block[:count]
            if not block:
                del self._blocks[0], self._starts[0]
        return taken
