"""What the checks of all subjects share: reasons, lists of names, and words for what was found instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from parcours.core.effects import Trace
from parcours.errors import did_you_mean
from parcours.testing.scenarios.format import Reasons
from parcours.testing.scenarios.looking import View

EVERYTHING = 1_000_000
"""As many records or entries as a contact of a scenario has at most."""

Problems = Iterator[str]
Check = Callable[[View, Any], Problems]
"""Yields how what is wanted of a field is not met."""


def because(view: View, wanted: Reasons, what: str, name: str, *, by: Callable[[Trace], str]) -> Problems:
    """Check decisions that have a reason: any, none, of these reasons, or of each named thing this reason."""
    found = view.decided(what)
    instead = view.when(view.since(what), lambda entry: f"{by(entry)} ({entry.reason})")
    if isinstance(wanted, bool):
        if bool(found if wanted else view.since(what)) != wanted:
            yield f"{'something' if wanted else 'nothing'} was to be {name} for {view.who}; {name}: {instead}"
        return
    if isinstance(wanted, Mapping):
        for thing, reason in wanted.items():
            if not any(by(entry) == thing and entry.reason == reason for entry in found):
                yield f"{thing!r} was to be {name} for {view.who} as {reason!r}; {name}: {instead}"
        return
    left = Counter(entry.reason for entry in found)
    for reason in listed(wanted):
        if not left[reason]:
            yield f"something was to be {name} for {view.who} as {reason!r}; {name}: {instead}"
        left[reason] -= 1


def meant(name: str, known: Collection[str]) -> str:
    """Return, in parentheses, which name may have been meant; nothing when none is like it."""
    hint = did_you_mean(name, known)
    return f" ({hint})" if hint else ""


def listed(wanted: Any) -> list[Any]:
    """Return what may be written as one or as several as a list."""
    return list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]


def described(entry: Trace) -> str:
    """Return an entry of the trace in a few words."""
    return " ".join(part for part in (entry.journey, entry.step, entry.what, entry.reason) if part)
