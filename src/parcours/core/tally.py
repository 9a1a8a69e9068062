"""Entries that ask for something several times: what they have counted so far, in the contact.

| rule                                                                                                              |
|-------------------------------------------------------------------------------------------------------------------|
| what matches is counted by when it occurred, for each value of the entry's `key` by itself                         |
| it is enough when as many as asked for occurred less than `within` apart, the one that just came among them        |
| what occurred before the journey went live counts only `with_history`, and so does what is imported as history     |
| one that is too old to start a journey counts, and starts nothing                                                  |
| when it was enough, the count starts again, whether or not the contact was let in                                  |

What can no longer be among enough is forgotten, so the memory is bounded: it spans `within` and the `max_age` of the
entry, `MOST_COUNTED` times and `MOST_KEYS` keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Container

from parcours.core.compiled import CompiledJourney, Route, Tally
from parcours.core.contact import Contact
from parcours.core.inputs import Interaction
from parcours.core.keys import key_of

MOST_COUNTED = 2_000
"""Times of one key that are kept, the latest."""

MOST_KEYS = 100
"""Keys of one entry that are counted at the same time. The one that was quiet the longest goes first."""


def count(contact: Contact, journey: CompiledJourney, item: Interaction, since: int = 0) -> None:
    """Count an interaction that matches the entry, if it occurred at or after `since`. The contact is changed."""
    tally = journey.tally
    assert tally is not None  # noqa: S101 (asked of entries that count)
    at, key = item.occurred_at, _key(journey, item)
    if at < since or key is None:
        return
    keys = contact.tallies.setdefault(tally.id, {})
    times = keys.setdefault(key, [])
    insort(times, at)
    oldest = since
    if tally.within is not None:
        oldest = max(since, item.received_at - journey.max_age - tally.within + 1)
    del times[: bisect_left(times, oldest)]
    # Without a limit of time the latest are as good as any; the largest number may not be written in a definition.
    del times[: -(tally.times if tally.within is None else MOST_COUNTED)]
    if not times:
        _forget(contact, tally, key)
    elif len(keys) > MOST_KEYS:
        del keys[min(keys, key=lambda other: (keys[other][-1], other))]


def count_history(contact: Contact, route: Route, item: Interaction, only: Container[str] | None = None) -> None:
    """Count an interaction for the entries that count their history too, or for `only` some tallies of them."""
    for journey in route.tallies:
        tally, where = journey.tally, journey.where
        if tally is None or (only is not None and tally.id not in only):
            continue
        if where is None or where.ask(contact, item.attributes, item.received_at):
            count(contact, journey, item)


def enough(contact: Contact, journey: CompiledJourney, item: Interaction) -> bool:
    """Return whether an interaction that was counted makes it enough."""
    tally, key = journey.tally, _key(journey, item)
    assert tally is not None  # noqa: S101 (asked of entries that count)
    if key is None:
        return True  # it is refused, with the reason
    times = contact.tallies.get(tally.id, {}).get(key)
    return times is not None and _are_enough(times, item.occurred_at, tally)


def start_again(contact: Contact, journey: CompiledJourney, item: Interaction) -> None:
    """Forget what was counted up to an interaction. The contact is changed."""
    tally, key = journey.tally, _key(journey, item)
    assert tally is not None  # noqa: S101 (asked of entries that count)
    if key is not None:
        _forget(contact, tally, key)


def _forget(contact: Contact, tally: Tally, key: str) -> None:
    keys = contact.tallies.get(tally.id)
    if keys is None:
        return
    keys.pop(key, None)
    if not keys:
        del contact.tallies[tally.id]


def absorb(contact: Contact, other: Contact) -> None:
    """Count together what two contacts have counted, who are one person. The contact is changed."""
    for id_, keys in other.tallies.items():
        own = contact.tallies.setdefault(id_, {})
        for key, times in keys.items():
            own[key] = sorted(own.get(key, []) + times)[-MOST_COUNTED:]


def _key(journey: CompiledJourney, item: Interaction) -> str | None:
    if not journey.key:
        return ""
    return key_of(item.attributes, journey.key) or None


def _are_enough(times: list[int], at: int, tally: Tally) -> bool:
    """Return whether there are enough, one at an instant among them, that lie close enough together."""
    most = tally.times
    first, last = bisect_left(times, at), bisect_right(times, at)
    if first == last or len(times) < most:
        return False  # it was not counted, or there are not as many
    if tally.within is None:
        return True
    lowest, highest = max(0, first - most + 1), min(last - 1, len(times) - most)
    return any(times[index + most - 1] - times[index] < tally.within for index in range(lowest, highest + 1))
