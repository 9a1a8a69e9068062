"""What is different between two versions of a journey, as somebody who draws it would say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from parcours.conditions.parse import escape, parse_condition
from parcours.conditions.text import describe
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.steps import Step, following
from parcours.definitions.validate import conditions_in


class Change(msgspec.Struct):
    """A field that is another."""

    pointer: str
    """Within the journey, or within the step."""
    before: Any
    after: Any
    texts: tuple[str, str] | None = None
    """Of a condition, as people read it; empty where there was none."""


class StepChange(msgspec.Struct):
    """A step that is in both, and not the same."""

    step: str
    fields: list[Change]


class Arrow(msgspec.Struct):
    """An arrow between steps: the place in the first step where it is drawn, and where it leads."""

    step: str
    pointer: str
    to: str


class Difference(msgspec.Struct):
    """What is different between two versions."""

    added: list[str]
    removed: list[str]
    changed: list[StepChange]
    arrows_added: list[Arrow]
    arrows_removed: list[Arrow]
    fields: list[Change]
    """Of the journey itself."""


def difference(before: JourneyDefinition, after: JourneyDefinition) -> Difference:
    """Return what is different between two definitions of a journey."""
    old, new = before.steps, after.steps
    changed = [
        StepChange(name, found)
        for name in old
        if name in new and (found := list(_changes(_plain(old[name]), _plain(new[name]), _texts(old[name], new[name]))))
    ]
    drawn, then = _arrows(old), _arrows(new)
    return Difference(
        [name for name in new if name not in old],
        [name for name in old if name not in new],
        changed,
        [Arrow(*arrow) for arrow in then if arrow not in drawn],
        [Arrow(*arrow) for arrow in drawn if arrow not in then],
        [
            change
            for change in _changes(_plain(before), _plain(after), _texts(before, after))
            if not change.pointer.startswith("/steps/")
        ],
    )


def _plain(value: msgspec.Struct) -> Any:
    return msgspec.to_builtins(value)


def _texts(*values: msgspec.Struct) -> set[str]:
    """Return where conditions stand in some values."""
    return {place.pointer for value in values for place in conditions_in(value)}


def _changes(before: Any, after: Any, conditions: set[str], pointer: str = "") -> Iterator[Change]:
    if before == after:
        return
    if pointer in conditions:
        yield Change(pointer, before, after, (_text(before), _text(after)))
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from _changes(before.get(key), after.get(key), conditions, f"{pointer}/{escape(str(key))}")
    elif isinstance(before, list) and isinstance(after, list) and any(isinstance(one, Mapping) for one in after):
        for index in range(max(len(before), len(after))):
            old, new = (values[index] if index < len(values) else None for values in (before, after))
            yield from _changes(old, new, conditions, f"{pointer}/{index}")
    else:
        yield Change(pointer, before, after)


def _text(condition: Any) -> str:
    if condition is None:
        return ""
    node, _ = parse_condition(condition)
    return describe(node) if node is not None else ""


def _arrows(steps: Mapping[str, Step]) -> list[tuple[str, str, str]]:
    return [(name, pointer, to) for name, step in steps.items() for pointer, to in following(step)]
