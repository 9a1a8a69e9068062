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

from collections.abc import Callable, Mapping
from typing import Any

from parcours.conditions.instants import iso
from parcours.conditions.paths import reached
from parcours.core.contact import Contact
from parcours.core.sums import Sum, summed
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


def sums_in(walk: Walk, values: Mapping[str, Value]) -> dict[str, Sum]:
    """Return those values that add to what is there, or subtract from it."""
    computed = {name: value for name, value in values.items() if isinstance(value, Computed)}
    return {name: _sum(walk, value) for name, value in computed.items() if _adds(value)}


def _adds(value: Computed) -> bool:
    return value.add is not None or value.subtract is not None


def _sum(walk: Walk, value: Computed) -> Sum:
    operand = value.add if value.add is not None else value.subtract
    if isinstance(operand, Copied):
        operand = _copy(walk, operand.source, operand.attribute)
    return (1 if value.add is not None else -1), operand


def _computed(walk: Walk, value: Computed, present: object) -> Any:
    if value.now:
        return iso(walk.now)
    if value.source is not None:
        return _copy(walk, value.source, value.attribute)
    return summed(present, _sum(walk, value))


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
