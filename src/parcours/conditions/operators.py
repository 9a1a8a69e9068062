"""The one table of comparisons: what each is called, what it takes, and what it means.

Every comparison takes the attribute's value (never missing: a comparison with a missing value is false, and that is
decided before), a prepared operand, and now. A comparison of unlike types is false: numbers never equal text, and
`true` is not 1.

Numbers are IEEE doubles, whole ones too, as they are in a column of any store: 2^53 and 2^53 + 1 are the same number.
Days are calendar days in UTC.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from parcours.conditions.instants import microseconds, moment_of

_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400_000


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
    TEXTS = "texts"
    """A list of strings."""
    INSTANT = "instant"
    """A date (`1980-12-31`) or a date and time with an offset."""
    DURATION = "duration"
    """A duration (`30d`), in the tree milliseconds."""
    DAYS = "days"
    """A duration of whole days, in the tree milliseconds."""
    NOTHING = "nothing"
    """`true`."""


CASELESS = frozenset({Takes.INSTANT, Takes.DURATION, Takes.DAYS, Takes.NOTHING})
"""To what takes these, `ignore_case` says nothing."""


class Operator(msgspec.Struct, frozen=True):
    """One comparison."""

    name: str
    takes: Takes
    title: str
    compare: Callable[[Any, Any, int], bool]
    """Whether it is true of a value, a prepared operand and now, in milliseconds."""
    text: str
    """How it reads between the attribute and the value."""
    clocked: bool = False
    """Whether the answer depends on now."""


def comparable(a: object, b: object) -> bool:
    """Return whether two values are of one family: both numbers, both text, both booleans or both instants."""
    return family(a) is family(b)


def family(value: object) -> type:
    """Return the type a value is compared as: `int` stands for every number that is not a boolean."""
    kind = type(value)
    return int if kind is float else kind


def real(value: Any) -> Any:
    """Return a value as it is compared: a whole number as a double, anything else as it is."""
    if type(value) is not int:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def equal(value: object, operand: object, _now: int = 0) -> bool:
    """Equal values of one family; text equals an element of a list only through `contains`."""
    return family(value) is family(operand) and bool(real(value) == real(operand))


def _in(value: object, operand: tuple[object, ...], _now: int = 0) -> bool:
    kind, value = family(value), real(value)
    return any(kind is family(item) and value == real(item) for item in operand)


def _less(value: Any, operand: Any, _now: int) -> bool:
    return family(value) is family(operand) and real(value) < real(operand)


def _at_most(value: Any, operand: Any, _now: int) -> bool:
    return family(value) is family(operand) and real(value) <= real(operand)


def _more(value: Any, operand: Any, _now: int) -> bool:
    return family(value) is family(operand) and real(value) > real(operand)


def _at_least(value: Any, operand: Any, _now: int) -> bool:
    return family(value) is family(operand) and real(value) >= real(operand)


def _between(value: Any, operand: Any, _now: int) -> bool:
    low, high = operand
    kind = family(value)
    return kind is family(low) and kind is family(high) and real(low) <= real(value) <= real(high)


def _contains(value: Any, operand: str, _now: int) -> bool:
    return isinstance(value, str | list) and operand in value


def _contains_any(value: Any, operand: tuple[str, ...], _now: int) -> bool:
    return isinstance(value, list) and any(item in value for item in operand)


def _contains_all(value: Any, operand: tuple[str, ...], _now: int) -> bool:
    return isinstance(value, list) and all(item in value for item in operand)


def _starts_with(value: Any, operand: str, _now: int) -> bool:
    return isinstance(value, str) and value.startswith(operand)


def _ends_with(value: Any, operand: str, _now: int) -> bool:
    return isinstance(value, str) and value.endswith(operand)


def _under(value: Any, operand: tuple[str, ...], _now: int = 0) -> bool:
    if isinstance(value, str):
        return bool(operand) and path_of(value)[: len(operand)] == operand
    return isinstance(value, list) and any(_under(item, operand) for item in value if isinstance(item, str))


def _before(value: Any, operand: datetime, _now: int) -> bool:
    instant = to_instant(value)
    return instant is not None and instant < operand


def _after(value: Any, operand: tuple[datetime, datetime], _now: int) -> bool:
    instant = to_instant(value)
    return instant is not None and instant >= operand[1]


def _within_last(value: Any, operand: int, now: int) -> bool:
    instant = to_instant(value)
    return instant is not None and (now - operand) * 1_000 < microseconds(instant) <= now * 1_000


def _within_next(value: Any, operand: int, now: int) -> bool:
    instant = to_instant(value)
    return instant is not None and now * 1_000 < microseconds(instant) <= (now + operand) * 1_000


def _older_than(value: Any, operand: int, now: int) -> bool:
    instant = to_instant(value)
    return instant is not None and microseconds(instant) <= (now - operand) * 1_000


def _anniversary_within(value: Any, operand: int, now: int) -> bool:
    instant = to_instant(value)
    if instant is None:
        return False
    return days_to_anniversary(instant, now) * _DAY < operand


def days_to_anniversary(instant: datetime, now: int) -> int:
    """Return how many days (UTC) it is to the next anniversary of an instant, 0 for today."""
    today = moment_of(now).date()
    born = instant.astimezone(UTC).date()
    this_year = _anniversary(born, today.year)
    ahead = this_year if this_year >= today else _anniversary(born, today.year + 1)
    return (ahead - today).days


def _anniversary(day: date, year: int) -> date:
    """Return the anniversary of a day in a year: 28 February for the 29th in a common year."""
    try:
        return day.replace(year=year)
    except ValueError:
        return day.replace(year=year, day=28)


def _never(_value: object, _operand: object, _now: int) -> bool:
    return False


def _always(_value: object, _operand: object, _now: int) -> bool:
    return True


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
        Operator("is_not", Takes.SCALAR, "is not", lambda value, operand, _now: not equal(value, operand), "is not"),
        Operator("in", Takes.SCALARS, "is one of", _in, "in"),
        Operator("not_in", Takes.SCALARS, "is none of", lambda value, operand, _now: not _in(value, operand), "not in"),
        Operator("less_than", Takes.ORDERED, "is less than", _less, "<"),
        Operator("at_most", Takes.ORDERED, "is at most", _at_most, "≤"),
        Operator("more_than", Takes.ORDERED, "is more than", _more, ">"),
        Operator("at_least", Takes.ORDERED, "is at least", _at_least, "≥"),
        Operator("between", Takes.RANGE, "is between", _between, "between"),
        Operator("contains", Takes.TEXT, "contains", _contains, "contains"),
        Operator("contains_any", Takes.TEXTS, "contains one of", _contains_any, "contains one of"),
        Operator("contains_all", Takes.TEXTS, "contains all of", _contains_all, "contains all of"),
        Operator("starts_with", Takes.TEXT, "starts with", _starts_with, "starts with"),
        Operator("ends_with", Takes.TEXT, "ends with", _ends_with, "ends with"),
        Operator("under", Takes.TEXT, "is or is below", _under, "under"),
        Operator("before", Takes.INSTANT, "is before", _before, "before"),
        Operator("after", Takes.INSTANT, "is after", _after, "after"),
        Operator(
            "within_last",
            Takes.DURATION,
            "is in the past, less than so long ago",
            _within_last,
            "in the last",
            clocked=True,
        ),
        Operator("within_next", Takes.DURATION, "is ahead, so far or less", _within_next, "in the next", clocked=True),
        Operator(
            "older_than", Takes.DURATION, "is so long ago or longer", _older_than, "longer ago than", clocked=True
        ),
        Operator(
            "anniversary_within",
            Takes.DAYS,
            "has its anniversary today or in the days after, so many days in all",
            _anniversary_within,
            "has its anniversary within",
            clocked=True,
        ),
        Operator("is_missing", Takes.NOTHING, "has no value", _never, "is missing"),
        Operator("is_present", Takes.NOTHING, "has a value", _always, "is present"),
    )
}
"""Every comparison of an attribute, by the name it is written with."""

_ANY = ("is_present", "is_missing")
_EQUAL = ("is", "is_not", "in", "not_in")

SUITED: dict[str, tuple[str, ...]] = {
    "string": (*_EQUAL, "contains", "starts_with", "ends_with", "under", *_ANY),
    "number": (*_EQUAL, "less_than", "at_most", "more_than", "at_least", "between", *_ANY),
    "boolean": ("is", "is_not", *_ANY),
    "datetime": ("before", "after", "within_last", "within_next", "older_than", "anniversary_within", *_ANY),
    "strings": ("contains", "contains_any", "contains_all", "under", *_ANY),
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

SUMS = ("at_least", "at_most", "more_than", "less_than", "between")
"""The comparisons of a sum: those of `OPERATORS` that order numbers."""

MILLIONTHS = 1_000_000

LARGEST_SUMMAND = 1e12
"""A sum passes over values that are larger, either way."""


def number_of(value: object) -> float | None:
    """Return a value as a finite double, or None when it is no number."""
    if type(value) is int:
        value = real(value)
    return value if type(value) is float and math.isfinite(value) else None


def millionths(value: object) -> int | None:
    """Return a number as the whole number of millionths that a sum adds up, or None when a sum passes over it.

    Whole numbers add up to the same in any order, and in any store.
    """
    number = number_of(value)
    if number is None or abs(number) > LARGEST_SUMMAND:
        return None
    return math.floor(number * MILLIONTHS + 0.5)


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
