"""Whether a contact may enter a journey, and what is remembered of entries for that.

| refused with       | when                                                                                              |
|--------------------|---------------------------------------------------------------------------------------------------|
| `no_key`           | the journey has a key, and what would start the run has no value for it                            |
| `entered_before`   | `re_entry: never`, and the contact entered with this key before                                    |
| `under_way`        | a run of this key is under way, and `re_entry` is not `always`                                     |
| `too_soon`         | `re_entry: {after: 30d}`, and the last run of this key ended less than that ago                    |
| `too_many_entries` | the contact entered as often as `max_entries` allows, in the time it says: `(now - within, now]`   |
| `too_many_runs`    | as many runs are under way as `max_runs` allows, whatever their keys                               |

The first that holds is the reason. The detail of `too_soon` and `too_many_entries` says in `until` when it is over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact, Run, under_way

Refusal = tuple[str, dict[str, Any]]
"""Why not, and the values that were seen."""


def refused(
    contact: Contact, journey: CompiledJourney, key: str, runs: dict[str, Run] | None, now: int
) -> Refusal | None:
    """Return why a contact may not enter now, or None when it may. `runs` are those of the journey under way."""
    name = journey.name
    if journey.once and key in contact.past.get(name, ()):
        return "entered_before", {"entered": contact.past[name][key]}
    if runs and not journey.parallel and under_way(runs, key):
        return "under_way", {}
    if journey.pause:
        ended = contact.ended.get(name, {}).get(key)
        if ended is not None and now - ended < journey.pause:
            return "too_soon", {"until": ended + journey.pause}
    if journey.most_entries:
        found = _too_many_entries(contact.entries.get(name, []), journey, now)
        if found is not None:
            return found
    if runs and len(runs) >= journey.most_runs:
        counted = sum(not run.test for run in runs.values())
        if counted >= journey.most_runs:
            return "too_many_runs", {"runs": counted}
    return None


def _too_many_entries(entries: list[int], journey: CompiledJourney, now: int) -> Refusal | None:
    within = journey.entries_within
    counted = entries if within is None else entries[bisect_right(entries, now - within) :]
    if len(counted) < journey.most_entries:
        return None
    detail: dict[str, Any] = {"entries": len(counted)}
    if within is not None:
        # When so many have left the window that one more may come.
        detail["until"] = counted[-journey.most_entries] + within
    return "too_many_entries", detail


def note_entry(contact: Contact, journey: CompiledJourney, key: str, now: int) -> None:
    """Remember an entry, as far as the journey's rules ask for it. The contact is changed."""
    if journey.once:
        contact.past.setdefault(journey.name, {})[key] = now
    if journey.most_entries:
        entries = contact.entries.setdefault(journey.name, [])
        entries.append(now)
        del entries[: -journey.most_entries]


def note_end(contact: Contact, journey: CompiledJourney, key: str, now: int) -> None:
    """Remember the end of a run, as far as the journey's rules ask for it. The contact is changed."""
    if not journey.pause:
        return
    ended = contact.ended.setdefault(journey.name, {})
    for other in [other for other, at in ended.items() if now - at >= journey.pause]:
        del ended[other]
    ended[key] = now


def absorb(contact: Contact, other: Contact) -> None:
    """Remember the entries of a contact that has become part of this one. The contact is changed."""
    for journey, keys in other.past.items():
        _latest(contact.past.setdefault(journey, {}), keys)
    for journey, keys in other.ended.items():
        _latest(contact.ended.setdefault(journey, {}), keys)
    for journey, entries in other.entries.items():
        contact.entries[journey] = sorted(contact.entries.get(journey, []) + entries)


def _latest(own: dict[str, int], others: Mapping[str, int]) -> None:
    for key, at in others.items():
        own[key] = max(at, own.get(key, at))
