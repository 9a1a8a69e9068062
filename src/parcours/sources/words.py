"""What is wrong with JSON, in our words: the decoder tells it in the names of Python's types.

| the decoder says                         | we say                                     | code            |
|------------------------------------------|--------------------------------------------|-----------------|
| Expected `str`, got `int`                | expected text, got an integer              | `wrong_type`    |
| Expected `int` <= 5                      | it is not at most 5                        | `invalid_value` |
| Invalid enum value 'x'                   | 'x' is none of the values it may have      | `invalid_value` |
| Object missing required field `x`        | 'x' is missing                             | `missing_field` |
| Object contains unknown field `x`        | there is no field 'x'                      | `unknown_field` |
| anything else                            | it is not of the form asked for            | `wrong_type`    |
"""

from __future__ import annotations

import re

import msgspec

from parcours.conditions.parse import escape
from parcours.errors import Problem

_TYPES = {
    "str": "text", "int": "an integer", "float": "a number", "bool": "true or false", "object": "an object",
    "array": "a list", "null": "null", "datetime": "a time", "date": "a date", "bytes": "text", "duration": "a duration",
}  # fmt: skip
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_SHOWN = 80

_GOT = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_BOUND = re.compile(r"Expected `(\w+)`( of length)? (>=|<=|>|<) (\S+)")
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_ENUM = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_TIME = re.compile(r"Invalid (RFC3339|ISO8601) encoded (\w+)")


def in_our_words(said: str, pointer: str = "") -> Problem:
    """Return the problem that the decoder tells of, at a place, or at a field of what is there."""
    if found := _GOT.fullmatch(said):
        return Problem(
            code="wrong_type", message=f"expected {_named(found[1])}, got {_named(found[2])}", pointer=pointer
        )
    if found := _MISSING.fullmatch(said):
        return Problem(
            code="missing_field", message=f"{found[1]!r} is missing", pointer=f"{pointer}/{escape(found[1])}"
        )
    if found := _UNKNOWN.fullmatch(said):
        name = found[1][:_SHOWN]
        return Problem(code="unknown_field", message=f"there is no field {name!r}", pointer=f"{pointer}/{escape(name)}")
    if found := _ENUM.fullmatch(said):
        return Problem(
            code="invalid_value", message=f"{found[1][:_SHOWN]} is none of the values it may have", pointer=pointer
        )
    if found := _BOUND.fullmatch(said):
        counted = {"str": " characters long", "array": " entries long"}.get(found[1], "") if found[2] else ""
        return Problem(
            code="invalid_value", message=f"it is not {_BOUNDS[found[3]]} {found[4]}{counted}", pointer=pointer
        )
    if found := _TIME.fullmatch(said):
        example = "such as 2026-01-31T12:00:00Z" if found[2] == "datetime" else ""
        return Problem(
            code="wrong_type",
            message=f"it is no {'time' if example else found[2]} in ISO 8601",
            pointer=pointer,
            hint=example,
        )
    return Problem(code="wrong_type", message="it is not of the form asked for", pointer=pointer)


def told_of(error: msgspec.ValidationError, pointer: str = "") -> Problem:
    """Return what a decoder's error tells, with `pointer` in front of the place."""
    said, _, path = str(error).partition(" - at `$")
    return in_our_words(said, pointer + pointer_in(path.rstrip("`")))


def not_json(said: object) -> Problem:
    """Return that something is not JSON, and where the decoder stopped, as far as it says so."""
    text = str(said)
    place = text.rpartition("(byte ")[2].rstrip(")") if "(byte " in text else ""
    hint = "it ends too early" if "truncated" in text else f"look at byte {place}" if place else ""
    return Problem(code="invalid_json", message="it is not valid JSON", hint=hint)


def pointer_in(path: str) -> str:
    """Return msgspec's `.items[0].contact[...]` as a JSON pointer; what it does not tell is left out."""
    return path.replace("[...]", "").replace(".", "/").replace("[", "/").replace("]", "")


def _named(kinds: str) -> str:
    return " or ".join(_TYPES.get(kind, kind) for kind in kinds.split(" | "))
