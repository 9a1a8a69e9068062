"""Whose timers are looked at next, and when."""

from __future__ import annotations

import heapq

SECOND = 1_000
"""Milliseconds whose reminders lie in one list."""

_NEVER = 2**63
"""Later than any instant."""


class Reminders:
    """Contacts, each with the instant at which it is looked at for timers: at or before the first of them.

    Those of a second lie in a list that is sorted when its turn comes. One heap of a million would go all over the
    memory for each of them.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._lists: dict[int, list[tuple[int, str]]] = {}
        """Second to what lies in it, the first at the end; what an earlier one replaced stays until its time comes."""
        self._unsorted: set[int] = set()
        """The seconds whose lists are not in order."""
        self._seconds: list[int] = []
        """A heap of those that have a list."""

    def __len__(self) -> int:
        return sum(map(len, self._lists.values()))

    def add(self, due: int, contact: str) -> None:
        """Have a contact looked at at an instant, unless it is looked at before anyway."""
        if due >= self._known.get(contact, _NEVER):
            return
        self._known[contact] = due
        second = due // SECOND
        found = self._lists.get(second)
        if found is None:
            self._lists[second] = [(due, contact)]
            heapq.heappush(self._seconds, second)
        else:
            found.append((due, contact))
            self._unsorted.add(second)

    def next(self) -> int | None:
        """Return an instant at or before which nobody is to be looked at; None when nobody ever is.

        May be asked while another thread adds.
        """
        return self._in_order(self._seconds[0])[-1][0] if self._seconds else None

    def take(self, now: int, limit: int) -> list[str]:
        """Take out who is to be looked at by `now`, up to a limit: who is due first comes first, then by contact."""
        taken: list[str] = []
        known = self._known
        while self._seconds and len(taken) < limit:
            found = self._in_order(self._seconds[0])
            while found and found[-1][0] <= now and len(taken) < limit:
                due, contact = found.pop()
                if known.get(contact) == due:
                    del known[contact]
                    taken.append(contact)
            if found:
                break
            del self._lists[heapq.heappop(self._seconds)]
        return taken

    def _in_order(self, second: int) -> list[tuple[int, str]]:
        """Return the list of a second, which is not empty, with the first at the end."""
        found = self._lists[second]
        if second in self._unsorted:
            # In this order, so that what is added meanwhile is sorted with the others, or the next time.
            self._unsorted.remove(second)
            found.sort(reverse=True)
        return found
