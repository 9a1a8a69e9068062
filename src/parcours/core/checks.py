"""Do attributes fit what is declared of them? Compiled once for a definition, asked for every input."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from parcours.conditions.operators import to_instant
from parcours.conditions.parse import escape
from parcours.definitions.interaction import AttributeDefinition, InteractionDefinition
from parcours.errors import Problem, did_you_mean

DEEPEST = 32
"""Objects and lists within one another in attributes: what is kept must be readable again from any depth of the stack."""

_CONTAINERS = frozenset({dict, list})
_NOT_FLAT = frozenset({dict, list, type(None)})

_KINDS: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "datetime": frozenset({datetime}),
    "strings": frozenset({list}),
    "object": _CONTAINERS,
}


class Declares(Protocol):
    """What declares attributes: a kind of interaction, the settings for contacts, a catalogue."""

    @property
    def attributes(self) -> dict[str, AttributeDefinition]:
        """The declared attributes, by name."""
        ...

    @property
    def strict(self) -> bool:
        """Whether others are refused."""
        ...


class _Check(NamedTuple):
    name: str
    declared: str
    kinds: frozenset[type]
    required: bool


class Checks:
    """What is declared of attributes, ready to be asked.

    Args:
        declares: What declares them.
        label: What a message calls that.
        pointer: Where the attributes are: pointers of problems begin with it.
    """

    def __init__(self, declares: Declares, label: str, pointer: str) -> None:
        self._label = label
        self._pointer = pointer
        self._known = frozenset(declares.attributes)
        self._strict = declares.strict
        self._checks = [
            _Check(name, attribute.type, _KINDS[attribute.type], attribute.required)
            for name, attribute in declares.attributes.items()
        ]

    def problem(self, attributes: dict[str, Any]) -> Problem | None:
        """Return what is wrong with attributes, or None; text that is a declared datetime becomes one, in place."""
        for name, type_, kinds, required in self._checks:
            value = attributes.get(name)
            if value is None:
                if required:
                    return self._refuse("missing_attribute", f"{self._label} requires {name!r}", name)
            elif type(value) not in kinds or type_ == "strings":
                problem = self._look(attributes, name, type_, value)
                if problem is not None:
                    return problem
        if self._strict and not attributes.keys() <= self._known:
            name = next(name for name in attributes if name not in self._known)
            hint = did_you_mean(name, self._known)
            return self._refuse("undeclared_attribute", f"{self._label} does not declare {name!r}", name, hint)
        return None

    def all_fit(self, many: Sequence[dict[str, Any]]) -> bool:
        """Return whether all of many attributes certainly fit, as they are; else `problem` says it of each."""
        try:
            for name, type_, kinds, _ in self._checks:
                if type_ == "strings" or not kinds.issuperset(map(type, map(itemgetter(name), many))):
                    return False
        except KeyError:
            return False
        return not self._strict or {len(self._known)}.issuperset(map(len, many))

    def _look(self, attributes: dict[str, Any], name: str, type_: str, value: Any) -> Problem | None:
        hint = ""
        if type_ == "strings":
            if type(value) is list and all(type(item) is str for item in value):
                return None
        elif type_ == "datetime":
            instant = to_instant(value)
            if instant is not None:
                attributes[name] = instant
                return None
            hint = "write ISO 8601 with an offset"
        return self._refuse("wrong_type", f"{name!r} is not of the type {type_}", name, hint)

    def _refuse(self, code: str, message: str, attribute: str, hint: str = "") -> Problem:
        return Problem(code=code, message=message, pointer=f"{self._pointer}/{escape(attribute)}", hint=hint)


def checks_of(definition: InteractionDefinition) -> Checks | None:
    """Return what interactions are held against; None when nothing is asked of them."""
    asks = (definition.attributes or definition.strict) and not definition.archived
    return Checks(definition, repr(definition.name), "/properties") if asks else None


def all_flat(many: Sequence[dict[str, Any]]) -> bool:
    """Return whether no attribute of many is None, an object or a list."""
    return _NOT_FLAT.isdisjoint(map(type, chain.from_iterable(map(dict.values, many))))


def nesting_problem(attributes: dict[str, Any]) -> Problem | None:
    """Return what is wrong with attributes that hold objects and lists nested deeper than `DEEPEST`, or None."""
    # Most attributes are flat, and this is quick.
    if _CONTAINERS.isdisjoint(map(type, attributes.values())) or not too_deep(attributes):
        return None
    return Problem(code="too_deep", message=f"the attributes are nested deeper than {DEEPEST}", hint="flatten them")


def too_deep(attributes: dict[str, Any]) -> bool:
    """Return whether attributes hold objects and lists nested deeper than `DEEPEST`."""
    level: list[Any] = [attributes]
    for _ in range(DEEPEST):
        level = [
            value
            for container in level
            for value in (container.values() if type(container) is dict else container)
            if type(value) is dict or type(value) is list
        ]
        if not level:
            return False
    return True
