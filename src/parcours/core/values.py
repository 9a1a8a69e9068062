"""What the values of a step come to when a token arrives.

| written                        | comes to                                                                      |
|--------------------------------|-------------------------------------------------------------------------------|
| a text, number, true/false, list | itself                                                                      |
| `{from: …, attribute: …}`      | that value; nothing is set when there is none                                 |
| `{add: 5}`, `{subtract: 5}`    | the number that is there (0 when there is none) and so much; nothing is set   |
|                                | when something else is there, or the number would be too large to be kept     |
| `{add: [a]}`, `{subtract: [a]}` | the list that is there, with or without these                                |
| `{now: true}`                  | the present moment                                                            |
| `{remove: true}`               | None: the attribute goes                                                      |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from parcours.conditions.instants import iso
from parcours.conditions.parse import LARGEST
from parcours.conditions.paths import reached
from parcours.core.contact import Contact
from parcours.core.walk import Walk, run_data
from parcours.definitions.values import Computed, Copied, Value


def worked_out(walk: Walk, values: Mapping[str, Value], present: Mapping[str, Any]) -> dict[str, Any]:
    """Return what values come to, beside what is there at present; without those that come to nothing."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(value, Computed):
            found[name] = value
        elif value.remove:
            found[name] = None
        else:
            worked = _computed(walk, value, present.get(name))
            if worked is not None:
                found[name] = worked
    return found


def _computed(walk: Walk, value: Computed, present: object) -> Any:
    if value.now:
        return iso(walk.now)
    if value.source is not None:
        return _copy(walk, value.source, value.attribute)
    sign = 1 if value.add is not None else -1
    operand = value.add if value.add is not None else value.subtract
    if isinstance(operand, Copied):
        operand = _copy(walk, operand.source, operand.attribute)
    if isinstance(operand, str):
        operand = [operand]
    if isinstance(operand, list):
        return _listed(present, operand, sign)
    return _summed(0 if present is None else present, operand, sign)


def _listed(present: object, operand: list[Any], sign: int) -> list[Any] | None:
    if present is not None and not isinstance(present, list):
        return None
    there = list(present or ())
    if sign > 0:
        return there + [item for item in dict.fromkeys(map(str, operand)) if item not in there]
    return [item for item in there if item not in operand]


def _summed(present: object, operand: object, sign: int) -> int | float | None:
    if not _is_number(present) or not _is_number(operand):
        return None
    total: int | float = present + sign * operand  # type: ignore[operator]  # both are numbers
    return total if math.isfinite(total) and abs(total) <= LARGEST else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _copy(walk: Walk, source: str, attribute: str) -> Any:
    """Return a value that a step copies, None when there is none."""
    readers: dict[str, Callable[[], Mapping[str, Any]]] = {
        "contact": lambda: walk.contact.attributes,
        "interaction": lambda: walk.run.facts,
        "run": lambda: run_data(walk.run),
    }
    return reached(readers[source](), attribute)


def attributes_of(contact: Contact, names: Mapping[str, object]) -> dict[str, Any]:
    """Return those attributes of a contact that are among some names."""
    return {name: value for name, value in contact.attributes.items() if name in names}
