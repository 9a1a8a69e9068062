"""Interactions that were recorded, and entries of the trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from parcours.conditions.names import match_name
from parcours.core.effects import Trace
from parcours.core.inputs import Interaction
from parcours.testing.scenarios.expecting.common import EVERYTHING, Check, Problems, described, listed
from parcours.testing.scenarios.format import Entry, Recorded
from parcours.testing.scenarios.looking import View

_OURS = frozenset({"", "loyalty"})
"""The sources of interactions that nobody sent: steps and rules recorded them."""


def _recorded(view: View, wanted: str | list[str | Recorded] | Recorded) -> Problems:
    look = view.look
    records = [record.input() for id_ in look.ids for record in look.engine.store.history(id_, EVERYTHING)]
    found = [
        item
        for item in reversed(records)
        if isinstance(item, Interaction) and item.source in _OURS and view.at in {None, item.received_at}
    ]
    said = ", ".join(f"{item.name} {item.attributes}" for item in found) or "nothing"
    for one in listed(wanted):
        asked = one if isinstance(one, Recorded) else Recorded(interaction=one)
        if not any(
            item.name == match_name(asked.interaction) and _includes(item.attributes, asked.attributes)
            for item in found
        ):
            yield f"{asked.interaction!r} {asked.attributes or ''} was to be recorded for {view.who}; recorded: {said}"


def _trace(view: View, wanted: Entry | list[Entry]) -> Problems:
    for entry in listed(wanted):
        found = [one for one in view.current if _fits(one, entry)]
        if len(found) != entry.times and not (entry.times == 1 and found):
            said = ", ".join(f"{name}: {value}" for name, value in msgspec.to_builtins(entry).items())
            instead = view.when(view.fresh, described)
            yield f"an entry of the trace was to say {{{said}}}; since the last look it says: {instead}"


def _fits(found: Trace, entry: Entry) -> bool:
    return (
        found.what == entry.what
        and entry.journey in {None, found.journey}
        and entry.step in {None, found.step}
        and entry.reason in {None, found.reason}
        and entry.version in {None, found.version}
        and _includes(found.detail or {}, entry.detail)
    )


def _includes(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in found and found[name] == value for name, value in wanted.items())


CHECKS: dict[str, Check] = {
    "recorded": _recorded,
    "trace": _trace,
}
