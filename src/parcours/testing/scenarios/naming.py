"""Names in expectations that name nothing: what is expected *not* to happen would hold with any of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from parcours.core.plan import Plan
from parcours.errors import did_you_mean
from parcours.testing.scenarios.format import Expect


def unknown(expect: Expect, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the fields of an expectation in which something is named that is not there, and what is wrong."""
    journeys = plan.journeys
    of = [versions for name, versions in journeys.items() if expect.journey in {"", name}]
    steps = {step for versions in of for compiled in versions.values() for step in compiled.steps}
    goals = {goal.name for versions in of for compiled in versions.values() for goal in compiled.definition.goals}
    named: list[tuple[str, str, Collection[str], Any]] = [
        ("journey", "journey", journeys, expect.journey),
        ("sent", "message", plan.messages, _each(expect.sent, "message")),
        ("not_sent", "message", plan.messages, expect.not_sent),
        ("suppressed", "message", plan.messages, _keys(expect.suppressed)),
        ("held", "message", plan.messages, expect.held),
        ("entered", "journey", journeys, expect.entered),
        ("refused", "journey", journeys, _keys(expect.refused)),
        ("ended", "journey", journeys, _keys(expect.ended)),
        ("called", "step", steps, _each(expect.called, "step")),
        ("goal", "goal", goals, expect.goal),
        ("path", "step", steps, expect.path),
        ("step", "step", steps, expect.step),
        ("points", "programme", plan.workspace.programmes, _keys(expect.points)),
        ("held_points", "programme", plan.workspace.programmes, _keys(expect.held_points)),
        ("tier", "programme", plan.workspace.programmes, _keys(expect.tier)),
    ]
    for field, kind, known, names in named:
        for name in _names(names):
            if name not in known:
                hint = did_you_mean(name, known)
                yield field, f"there is no {kind} {name!r}" + (f" ({hint})" if hint else "")


def _names(value: Any) -> Iterable[str]:
    """Return the names in a value, as it is written."""
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, Mapping | Sequence):
        return dict.fromkeys(name for name in value if isinstance(name, str))
    return ()


def _keys(value: Any) -> Iterable[str]:
    """Return the names that something is expected of by name; what is not a name otherwise is a reason or an amount."""
    return list(value) if isinstance(value, Mapping) else ()


def _each(value: Any, field: str) -> list[str]:
    """Return the names of things that are written as a name or as an object."""
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else getattr(item, field) for item in items if item is not None]
