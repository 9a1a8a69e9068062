"""Cells to values, a column at a time: quickly when all of them are well formed, else one by one to say which is not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec

from parcours.conditions.instants import moment_of
from parcours.conditions.parse import LARGEST
from parcours.definitions.interaction import AttributeType
from parcours.sources.files.rows import CellError
from parcours.sources.files.times import Times
from parcours.sources.plain import refuse_unstorable
from parcours.sources.segment import LONGEST_ID, MalformedError

Values = Sequence[Any]
Failures = dict[int, CellError]

LARGEST_OBJECT = 2**17
"""Characters of a cell that holds an object."""

_DIGITS = len(str(LARGEST))
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_GROUPED = re.compile(r"[-+]?[0-9]{1,3}([.\u00a0\u202f ][0-9]{3})+(,[0-9]*)?")
_numbers = msgspec.json.Decoder(list[int | float])
_BOOLEANS = {
    "true": True, "false": False, "yes": True, "no": False, "t": True, "f": False, "y": True, "n": False,
    "1": True, "0": False, "on": True, "off": False,
}  # fmt: skip
_ALL_BOOLEANS = {form: value for word, value in _BOOLEANS.items() for form in (word, word.upper(), word.capitalize())}


class Converter:
    """What makes values of one column.

    Attributes:
        cell: Makes a value of text that is not empty.
        value: Makes a value of what a file that has types holds.
        kept: Tells whether all values of a file that has types are what they are to be.
        column: Makes values of many texts; may raise whatever it likes when one is not well formed.
    """

    def __init__(
        self,
        cell: Callable[[str], Any],
        value: Callable[[Any], Any] | None = None,
        column: Callable[[Sequence[str]], Values] | None = None,
        *,
        kept: Callable[[Values], bool] | None = None,
    ) -> None:
        self.cell = cell
        self.value = value or (lambda value: cell(text_of(value)))
        self.kept = kept or (lambda _: False)
        self.column = column or (lambda texts: [cell(text) for text in texts])


def convert_column(
    converter: Converter, cells: Values, empty: frozenset[str], *, typed: bool
) -> tuple[Values, Failures]:
    """Return the values of cells, None for empty ones, and what is wrong with those that have none."""
    if typed:
        try:
            if empty.isdisjoint(cells) and converter.kept(cells):
                return cells, {}
        except (TypeError, ValueError):
            pass
        return _each(converter.value, cells, empty)
    if empty.isdisjoint(cells):
        try:
            return converter.column(cells), {}
        except (CellError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return _each(converter.cell, cells, empty)
    try:
        filled = iter(converter.column([cell for cell in cells if cell not in empty]))
    except (CellError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return _each(converter.cell, cells, empty)
    return [None if cell in empty else next(filled) for cell in cells], {}


def _each(convert: Callable[[Any], Any], cells: Values, empty: frozenset[str]) -> tuple[Values, Failures]:
    values: list[Any] = []
    failures: Failures = {}
    for index, cell in enumerate(cells):
        value = None
        if cell is not None and not (isinstance(cell, str) and cell in empty):
            try:
                value = convert(cell)
            except CellError as error:
                failures[index] = error
        values.append(value)
    return values, failures


# --- texts ------------------------------------------------------------------------------------------------------------


def text_of(value: object) -> str:
    """Return a value of a file that has types as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CellError("undecodable", "the bytes are not UTF-8") from None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST:
        return str(int(value))  # a column of integers with gaps is often kept as floats
    return str(value)


def strings() -> Converter:
    """Return what keeps text."""
    return Converter(_checked_text, column=lambda texts: texts, kept=_are_texts)


def _checked_text(text: str) -> str:
    if "\0" in text:  # a row of CSV with such text was refused before
        raise CellError("nul_character", "text holds the character NUL")
    return text


def _are_texts(values: Values) -> bool:
    return set(map(type, values)) == {str} and "\0" not in "".join(values)


def short_text(what: str, longest: int = LONGEST_ID, *, lower: bool = False) -> Converter:
    """Return what reads ids and names: trimmed, neither empty nor long."""

    def cell(text: str) -> str:
        text = text.strip()
        if not text:
            raise CellError("no_identity" if what == "identity" else "invalid_item", f"the {what} is empty")
        if len(text) > longest:
            raise CellError("invalid_item", f"the {what} is longer than {longest} characters")
        return text.lower() if lower else text

    def column(texts: Sequence[str]) -> Values:
        trimmed = [text.strip() for text in texts]
        if "" in trimmed or max(map(len, trimmed), default=0) > longest:
            raise ValueError
        return [text.lower() for text in trimmed] if lower else trimmed

    def value(given: object) -> str:
        if isinstance(given, bool | list | dict) or (isinstance(given, float) and not given.is_integer()):
            raise CellError("wrong_type", f"the {what} is neither text nor an integer")
        return cell(text_of(given))

    return Converter(cell, value, column)


def words(meanings: dict[str, Any], what: str) -> Converter:
    """Return what reads one of some words, in any case."""
    folded = {word.casefold(): meaning for word, meaning in meanings.items()}

    def cell(text: str) -> Any:
        try:
            return folded[text.strip().casefold()]
        except KeyError:
            hint = f"one of {', '.join(list(folded)[:8])}"
            raise CellError("wrong_type", f"{text[:80]!r} is no {what}", hint) from None

    return Converter(cell)


# --- attributes -------------------------------------------------------------------------------------------------------


def attribute(type_: AttributeType, times: Times, separator: str, *, decimal_comma: bool) -> Converter:
    """Return what makes values of an attribute."""
    if type_ == "number":
        return _number_converter(decimal_comma=decimal_comma)
    if type_ == "boolean":
        return Converter(_boolean, _boolean_value, lambda texts: [_ALL_BOOLEANS[text] for text in texts])
    if type_ == "datetime":
        return Converter(
            lambda text: _moment(times.milliseconds(text)),
            lambda value: _moment(times.of(value)),
            lambda texts: [_moment(instant) for instant in times.column(texts)],
        )
    if type_ == "strings":
        return Converter(lambda text: _split(text, separator), lambda value: _list_of_texts(value, separator))
    if type_ == "object":
        return Converter(_object, _object_value)
    return strings()


def _number_converter(*, decimal_comma: bool) -> Converter:
    def cell(text: str) -> int | float:
        return _number(text, decimal_comma=decimal_comma)

    def column(texts: Sequence[str]) -> Values:
        if decimal_comma:
            joined = "\x1f".join(texts)
            if "." in joined:
                raise ValueError
            joined = joined.replace(",", ".").replace("\x1f", ",")
        else:
            joined = ",".join(texts)
        # JSON's numbers are ours but for leading zeros and signs, and reading them all at once is quick. A cell gives one
        # at least, so that there are as many as cells says that each gave one.
        values = _numbers.decode(f"[{joined}]")
        if len(values) != len(texts) or max(map(len, texts), default=0) >= _DIGITS:
            raise ValueError
        return values

    return Converter(cell, _number_value, column, kept=_are_numbers)


def _are_numbers(values: Values) -> bool:
    kinds = set(map(type, values))
    if kinds == {int}:
        return bool(min(values) >= -LARGEST and max(values) <= LARGEST)
    return kinds == {float} and math.isfinite(sum(values))


def _number(text: str, *, decimal_comma: bool) -> int | float:
    plain = text.strip()
    if decimal_comma:
        if _GROUPED.fullmatch(plain):
            plain = re.sub("[.\u00a0\u202f ]", "", plain)
        elif "." in plain:
            raise CellError("wrong_type", f"{text[:80]!r} is not a number with a decimal comma")
        plain = plain.replace(",", ".")
    if not _NUMBER.fullmatch(plain):
        hint = "declare decimal_comma" if not decimal_comma and "," in plain else "declare its type as string"
        raise CellError("wrong_type", f"{text[:80]!r} is not a number", hint)
    if "." in plain or "e" in plain or "E" in plain:
        return _finite(float(plain))
    if len(plain) > _DIGITS + 1:
        raise CellError("too_large", "the number has more than 64 bits", "declare its type as string")
    return _sized(int(plain))


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise CellError("not_finite", "it is not a finite number")
    return number


def _sized(number: int) -> int:
    if not -LARGEST - 1 <= number <= LARGEST:
        raise CellError("too_large", "the number has more than 64 bits", "declare its type as string")
    return number


def _number_value(value: object) -> int | float:
    if isinstance(value, bool):
        raise CellError("wrong_type", "it is not a number")
    if isinstance(value, int):
        return _sized(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise CellError("not_finite", "it is not a finite number")
        return _sized(int(value)) if value == value.to_integral_value() else float(value)
    if isinstance(value, str):
        return _number(value, decimal_comma=False)
    raise CellError("wrong_type", "it is not a number")


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise CellError("wrong_type", f"{text[:80]!r} is neither true nor false") from None


def _boolean_value(value: object) -> bool:
    return value if isinstance(value, bool) else _boolean(text_of(value))


def _moment(milliseconds: int) -> datetime:
    try:
        return moment_of(milliseconds)
    except OverflowError:
        raise CellError("absurd_time", "the time is too far away") from None


def _split(text: str, separator: str) -> list[str]:
    return [part for piece in text.split(separator) if (part := piece.strip())]


def _list_of_texts(value: object, separator: str) -> list[str]:
    if isinstance(value, list):
        return [text_of(item) for item in value if item is not None]
    return _split(text_of(value), separator)


def _object(text: str) -> Any:
    if len(text) > LARGEST_OBJECT:
        raise CellError("invalid_item", f"the object is longer than {LARGEST_OBJECT} characters")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise CellError("wrong_type", f"{text[:80]!r} is no JSON") from None
    return _object_value(found)


def _object_value(value: object) -> Any:
    if isinstance(value, str):
        return _object(value)
    if not isinstance(value, dict | list):
        raise CellError("wrong_type", "it is neither an object nor a list")
    try:
        plain = plain_value(value)
        refuse_unstorable({"": plain})
        msgspec.msgpack.encode(plain)
    except MalformedError as error:
        raise CellError(error.problem.code, error.problem.message) from None
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise CellError("unstorable_value", f"it cannot be kept: {error}") from None
    return plain


def plain_value(value: Any) -> Any:
    """Return a nested value of a file that has types with JSON's types only; times become text."""
    if isinstance(value, dict):
        return {text_of(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, Decimal):
        return _number_value(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return text_of(value)


def as_it_is(times: Times) -> Converter:
    """Return what leaves each value of a file that has types its own."""

    def value(given: object) -> Any:
        if isinstance(given, bool):
            return given
        if isinstance(given, int | float | Decimal):
            return _number_value(given)
        if isinstance(given, date):
            return _moment(times.of(given))
        return _object_value(given) if isinstance(given, list | dict) else _checked_text(text_of(given))

    return Converter(_checked_text, value)


# --- finding out types ------------------------------------------------------------------------------------------------

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?")
_COMMA_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,2}(\.[0-9]{3})+|[1-9][0-9]{0,14})(,[0-9]+)?")


def infer(cells: Sequence[str], times: Times, *, decimal_comma: bool) -> AttributeType:
    """Return the type of a column of text: something other than text only if all of the sample fits.

    Digits with leading zeros are text, and so are more than 15 of them: they are codes, which a number would spoil.
    """
    if not cells:
        return "string"
    pattern = _COMMA_NUMBER if decimal_comma else _PLAIN_NUMBER
    if all(map(pattern.fullmatch, cells)):
        return "number"
    if all(cell.lower() in {"true", "false"} for cell in cells) or all(cell.lower() in {"yes", "no"} for cell in cells):
        return "boolean"
    try:
        for cell in cells:
            if len(cell) < len("1/1/26") or not any(character.isdigit() for character in cell) or cell.isdigit():
                return "string"
            times.milliseconds(cell)
    except CellError:
        return "string"
    return "datetime"


def infer_typed(values: Values) -> AttributeType | None:
    """Return the type of a column of a file that has types, None when it is empty or has several."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return None
    found: AttributeType | None = None
    if kinds <= {str, bytes, time}:
        found = "string"
    elif kinds <= {bool}:
        found = "boolean"
    elif kinds <= {int, float, Decimal}:
        found = "number"
    elif all(issubclass(kind, date) for kind in kinds):
        found = "datetime"
    elif kinds <= {list}:
        flat = all(isinstance(item, str) for value in values if value is not None for item in value)
        found = "strings" if flat else "object"
    elif kinds <= {list, dict}:
        found = "object"
    return found
