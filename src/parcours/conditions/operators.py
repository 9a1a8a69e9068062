"""The one table of comparisons: what each is called, what it takes, and what it means.

Every comparison takes the attribute's value (never missing: a comparison with a missing value is false, and that is
decided before) and a prepared operand. A comparison of unlike types is false: numbers never equal text, and `true` is
not 1.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec


class Takes(StrEnum):
    """What an operator is written with."""

    SCALAR = "scalar"
    """One string, number or boolean."""
    SCALARS = "scalars"
    """A list of them."""
    ORDERED = "ordered"
    """One number, or one string (compared by code point)."""
    RANGE = "range"
    """Two of them, both ends included."""
    TEXT = "text"
    """One string."""
    INSTANT = "instant"
    """A date (`1980-12-31`) or a date and time with an offset."""
    NOTHING = "nothing"
    """`true`."""


class Operator(msgspec.Struct, frozen=True):
    """One comparison."""

    name: str
    takes: Takes
    title: str
    compare: Callable[[Any, Any], bool]
    text: str
    """How it reads between the attribute and the value."""


def comparable(a: object, b: object) -> bool:
    """Return whether two values are of one family: both numbers, both text, both booleans or both instants."""
    return family(a) is family(b)


def family(value: object) -> type:
    """Return the type a value is compared as: `int` stands for every number that is not a boolean."""
    kind = type(value)
    return int if kind is float else kind


def equal(value: object, operand: object) -> bool:
    """Equal values of one family; text equals an element of a list only through `contains`."""
    return family(value) is family(operand) and value == operand


def _in(value: object, operand: tuple[object, ...]) -> bool:
    kind = family(value)
    return any(kind is family(item) and value == item for item in operand)


def _less(value: Any, operand: Any) -> bool:
    return family(value) is family(operand) and value < operand


def _at_most(value: Any, operand: Any) -> bool:
    return family(value) is family(operand) and value <= operand


def _more(value: Any, operand: Any) -> bool:
    return family(value) is family(operand) and value > operand


def _at_least(value: Any, operand: Any) -> bool:
    return family(value) is family(operand) and value >= operand


def _between(value: Any, operand: Any) -> bool:
    low, high = operand
    kind = family(value)
    return kind is family(low) and kind is family(high) and low <= value <= high


def _contains(value: Any, operand: str) -> bool:
    return isinstance(value, str | list) and operand in value


def _starts_with(value: Any, operand: str) -> bool:
    return isinstance(value, str) and value.startswith(operand)


def _ends_with(value: Any, operand: str) -> bool:
    return isinstance(value, str) and value.endswith(operand)


def _under(value: Any, operand: tuple[str, ...]) -> bool:
    if isinstance(value, str):
        return bool(operand) and path_of(value)[: len(operand)] == operand
    return isinstance(value, list) and any(_under(item, operand) for item in value if isinstance(item, str))


def _before(value: Any, operand: datetime) -> bool:
    instant = to_instant(value)
    return instant is not None and instant < operand


def _after(value: Any, operand: tuple[datetime, datetime]) -> bool:
    instant = to_instant(value)
    return instant is not None and instant >= operand[1]


def _never(_value: object, _operand: object) -> bool:
    return False


def path_of(text: str) -> tuple[str, ...]:
    """Return the parts of a category path: `Cameras > Digital` has two. Blanks around parts and empty parts go."""
    return tuple(part for written in text.split(">") if (part := written.strip()))


def to_instant(value: object) -> datetime | None:
    """Return a value as an aware instant: an instant as it is, text when it is an ISO 8601 date or date and time.

    A date alone is its midnight in UTC. Text that is neither, or a time without an offset, is None.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or len(value) < len("1980-12-31"):
        return None
    try:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):  # an offset may lead out of the years 1 to 9999
        return None
    return instant.replace(tzinfo=UTC) if is_date(value) else None


def is_date(text: str) -> bool:
    """Return whether text is a calendar date without a time (`1980-12-31`)."""
    return len(text) == len("1980-12-31") and text[4] == "-" == text[7]


def end_of(text: str) -> datetime | None:
    """Return the first instant that is after what the text names: the next day for a date, the next ms for a time."""
    start = to_instant(text)
    if start is None:
        return None
    try:
        return start + (timedelta(days=1) if is_date(text) else timedelta(milliseconds=1))
    except OverflowError:
        return None


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("is", Takes.SCALAR, "is", equal, "is"),
        Operator("is_not", Takes.SCALAR, "is not", lambda value, operand: not equal(value, operand), "is not"),
        Operator("in", Takes.SCALARS, "is one of", _in, "in"),
        Operator("not_in", Takes.SCALARS, "is none of", lambda value, operand: not _in(value, operand), "not in"),
        Operator("less_than", Takes.ORDERED, "is less than", _less, "<"),
        Operator("at_most", Takes.ORDERED, "is at most", _at_most, "≤"),
        Operator("more_than", Takes.ORDERED, "is more than", _more, ">"),
        Operator("at_least", Takes.ORDERED, "is at least", _at_least, "≥"),
        Operator("between", Takes.RANGE, "is between", _between, "between"),
        Operator("contains", Takes.TEXT, "contains", _contains, "contains"),
        Operator("starts_with", Takes.TEXT, "starts with", _starts_with, "starts with"),
        Operator("ends_with", Takes.TEXT, "ends with", _ends_with, "ends with"),
        Operator("under", Takes.TEXT, "is or is below", _under, "under"),
        Operator("before", Takes.INSTANT, "is before", _before, "before"),
        Operator("after", Takes.INSTANT, "is after", _after, "after"),
        Operator("is_missing", Takes.NOTHING, "has no value", _never, "is missing"),
        Operator("is_present", Takes.NOTHING, "has a value", lambda _value, _operand: True, "is present"),
    )
}
"""Every comparison of an attribute, by the name it is written with."""

_ANY = ("is_present", "is_missing")
_EQUAL = ("is", "is_not", "in", "not_in")

SUITED: dict[str, tuple[str, ...]] = {
    "string": (*_EQUAL, "contains", "starts_with", "ends_with", "under", *_ANY),
    "number": (*_EQUAL, "less_than", "at_most", "more_than", "at_least", "between", *_ANY),
    "boolean": ("is", "is_not", *_ANY),
    "datetime": ("before", "after", *_ANY),
    "strings": ("contains", "under", *_ANY),
    "object": _ANY,
}
"""The comparisons offered for an attribute of each type, the likeliest first. Others may be written all the same."""

COUNTS: dict[str, Callable[[int, int], bool]] = {
    "at_least": lambda count, limit: count >= limit,
    "at_most": lambda count, limit: count <= limit,
    "exactly": lambda count, limit: count == limit,
    "more_than": lambda count, limit: count > limit,
    "less_than": lambda count, limit: count < limit,
}
"""Every comparison of a count with a number."""


def prepare(operator: Operator, value: Any, *, ignore_case: bool) -> Any:
    """Return the operand in the shape `operator.compare` takes, made once at compile time."""
    if operator.takes is Takes.INSTANT:
        return to_instant(value) if operator.name == "before" else (to_instant(value), end_of(value))
    if ignore_case:
        value = fold_case(value)
    return path_of(value) if operator.name == "under" else value


def fold_case(value: Any) -> Any:
    """Return text (or the texts of a sequence) case folded; anything else as it is."""
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, tuple):
        return tuple(fold_case(item) for item in value)
    if isinstance(value, list):
        return [fold_case(item) for item in value]
    return value
