"""Check plain data against a type and report everything that is wrong with it at once.

`msgspec.convert` is fast and exact and stops at the first mistake. People mend a file in one go when they see all of
them, each with its place and a hint; so the same types are walked here first, by what `msgspec.inspect` says of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from parcours.conditions.durations import PATTERN as DURATION_PATTERN
from parcours.conditions.durations import parse_duration
from parcours.conditions.parse import LARGEST, escape, parse_condition, shown, unfit_text
from parcours.definitions.common import CONDITION_REF
from parcours.errors import Problem, did_you_mean

T = TypeVar("T")

DEEPEST = 128
"""How deep plain data may be nested: more than the deepest condition in any step needs."""

_LISTS = inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType | inspect.CollectionType


class ConditionPlace(msgspec.Struct, frozen=True):
    """A condition inside a definition."""

    pointer: str
    owner: msgspec.Struct
    """The struct whose field holds it."""
    condition: dict[str, Any]


def problems_of(value: object, expected: Any, pointer: str = "") -> list[Problem]:
    """Return every reason why plain data is not of a type.

    Args:
        value: What JSON or YAML is read to: dicts, lists, text, numbers, booleans and None.
        expected: A struct or any other type msgspec knows.
        pointer: The JSON pointer of `value`; those of the problems begin with it.
    """
    unfit = list(_unfit(value, pointer))
    if any(problem.code == "too_deep" for problem in unfit):
        return unfit
    walker = _Walker()
    walker.check(value, _type_info(expected), pointer)
    # What is unfit for any place is not worth a second report.
    known = {problem.pointer for problem in unfit}
    return unfit + [problem for problem in walker.problems if problem.pointer not in known]


def convert(value: object, expected: type[T], pointer: str = "") -> tuple[T | None, list[Problem]]:
    """Return the value as the type asked for and an empty list, or None and every problem."""
    problems = problems_of(value, expected, pointer)
    if problems:
        return None, problems
    try:
        return msgspec.convert(value, expected), []
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        return None, [_problem("invalid_value", message, pointer + _pointer_of(path.rstrip("`")))]


def conditions_in(definition: msgspec.Struct, pointer: str = "") -> Iterator[ConditionPlace]:
    """Yield every condition anywhere inside a definition, with its JSON pointer and the struct it stands in."""
    for name, written, is_condition in _fields(type(definition)):
        value = getattr(definition, name)
        below = f"{pointer}/{escape(written)}"
        if is_condition:
            if value is not None:
                yield ConditionPlace(below, definition, value)
        elif isinstance(value, msgspec.Struct):
            yield from conditions_in(value, below)
        elif isinstance(value, Mapping | list | tuple):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            for key, item in items:
                if isinstance(item, msgspec.Struct):
                    yield from conditions_in(item, f"{below}/{escape(str(key))}")


@lru_cache(maxsize=256)
def _type_info(expected: Any) -> inspect.Type:
    return inspect.type_info(expected)


@lru_cache(maxsize=256)
def _fields(cls: type[msgspec.Struct]) -> tuple[tuple[str, str, bool], ...]:
    """Return the name of each field, how it is written, and whether it holds a condition."""
    info = inspect.type_info(cls)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    return tuple((field.name, field.encode_name, _is_condition(field.type)) for field in fields)


def _is_condition(expected: inspect.Type) -> bool:
    match expected:
        case inspect.Metadata():
            return (expected.extra_json_schema or {}).get("$ref") == CONDITION_REF or _is_condition(expected.type)
        case inspect.UnionType():
            return any(_is_condition(part) for part in expected.types)
        case _:
            return False


def _unfit(value: object, pointer: str) -> Iterator[Problem]:
    """Yield what JSON and every store could not hold, wherever it stands."""
    todo = [(value, pointer, 0)]
    while todo:
        item, place, depth = todo.pop()
        if depth > DEEPEST:
            yield _problem("too_deep", f"nested deeper than {DEEPEST}", pointer)
            return
        match item:
            case list() | tuple():
                todo.extend((part, f"{place}/{index}", depth + 1) for index, part in reversed([*enumerate(item)]))
            case Mapping():
                for key in item:
                    if not isinstance(key, str):
                        yield _problem("invalid_key", f"keys are text, and {shown(key)} is not", place, "quote it")
                    elif unfit := unfit_text(key):
                        yield _problem("invalid_text", f"a key's {unfit}", place)
                parts = [(part, f"{place}/{escape(str(key))}", depth + 1) for key, part in item.items()]
                todo.extend(reversed(parts))
            case _:
                yield from _unfit_scalar(item, place)


def _unfit_scalar(item: object, place: str) -> Iterator[Problem]:
    match item:
        case str():
            if unfit := unfit_text(item):
                yield _problem("invalid_text", unfit, place)
        case bool() | None:
            pass
        case int():
            if abs(item) > LARGEST:
                hint = "an order number is better written as text"
                yield _problem("invalid_value", f"whole numbers go up to {LARGEST}", place, hint)
        case float():
            if not math.isfinite(item):
                yield _problem("invalid_value", "numbers are finite", place)
        case _:
            yield _problem("wrong_type", f"{type(item).__name__!r} is not a type of JSON", place)


class _Walker:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, code: str, message: str, pointer: str, hint: str = "") -> None:
        self.problems.append(_problem(code, message, pointer, hint))

    def wrong_type(self, wanted: str, value: object, pointer: str, hint: str = "") -> None:
        self.refuse("wrong_type", f"expected {wanted}, found {_kind(value)}", pointer, hint)

    def check(self, value: object, expected: inspect.Type, pointer: str, written: str = "") -> None:
        """Collect what is wrong with a value; `written` says how its text is to be written."""
        match expected:
            case inspect.Metadata():
                self.metadata(value, expected, pointer, written)
            case inspect.StructType():
                self.struct(value, expected, pointer)
            case inspect.UnionType():
                self.union(value, expected, pointer, written)
            case inspect.DictType():
                self.mapping(value, expected, pointer)
            case (
                inspect.ListType()
                | inspect.VarTupleType()
                | inspect.SetType()
                | inspect.FrozenSetType()
                | inspect.CollectionType()
            ):
                self.sequence(value, expected, pointer)
            case inspect.StrType():
                self.text(value, expected, pointer, written)
            case inspect.LiteralType():
                self.literal(value, expected.values, pointer)
            case inspect.EnumType():
                self.literal(value, [member.value for member in expected.cls], pointer)
            case inspect.AnyType():
                pass
            case _:
                self.other(value, expected, pointer)

    def metadata(self, value: object, expected: inspect.Metadata, pointer: str, written: str) -> None:
        schema = expected.extra_json_schema or {}
        if schema.get("$ref") == CONDITION_REF:
            self.problems.extend(parse_condition(value, pointer)[1])
            return
        said = (expected.extra or {}).get("written") or schema.get("description") or written
        self.check(value, expected.type, pointer, str(said))

    def struct(self, value: object, expected: inspect.StructType, pointer: str) -> None:
        if not isinstance(value, Mapping):
            self.wrong_type("an object", value, pointer)
            return
        fields = {field.encode_name: field for field in expected.fields}
        known = set(fields)
        if expected.tag_field is not None:
            known.add(expected.tag_field)
            self.tag(value, expected.tag_field, [expected.tag], pointer)
        missing = [name for name, field in fields.items() if field.required and name not in value]
        for key, item in value.items():
            below = f"{pointer}/{escape(str(key))}"
            if key in fields:
                self.check(item, fields[key].type, below)
            elif key not in known and expected.forbid_unknown_fields:
                hint = did_you_mean(str(key), [*missing, *known]) or f"known keys are {', '.join(_sorted(known))}"
                self.refuse("unknown_key", f"unknown key {shown(key)}", below, hint)
        self.one_of(value, [fields[name] for name in getattr(expected.cls, "exactly_one", ())], pointer)
        for name in missing:
            self.refuse("missing_key", f"missing key {name!r}", pointer, _describe(fields[name].type))

    def one_of(self, value: Mapping[Any, Any], fields: Sequence[inspect.Field], pointer: str) -> None:
        """Require that exactly one of some fields is there, where there are any."""
        keys = [field.encode_name for field in fields]
        found = [key for key in keys if value.get(key) is not None]
        if keys and not found:
            hint = "; or ".join(map(_describe, [field.type for field in fields]))
            self.refuse("missing_key", f"missing key {' or '.join(map(repr, keys))}", pointer, hint)
        for key in found[1:]:
            message = f"has {' and '.join(map(repr, found))}; of these there is one"
            self.refuse("too_many_keys", message, f"{pointer}/{escape(key)}", "leave one of them out")

    def tag(self, value: Mapping[Any, Any], field: str, tags: Collection[Any], pointer: str) -> bool:
        """Return whether the key that says which struct this is is there and known."""
        if field not in value:
            self.refuse("missing_key", f"missing key {field!r}", pointer, f"one of {', '.join(map(str, tags))}")
            return False
        if not any(_same(value[field], tag) for tag in tags):
            self.literal(value[field], tags, f"{pointer}/{escape(field)}")
            return False
        return True

    def union(self, value: object, expected: inspect.UnionType, pointer: str, written: str) -> None:
        parts = [part for part in expected.types if not isinstance(part, inspect.NoneType)]
        if value is None and len(parts) < len(expected.types):
            return
        structs = [part for part in parts if isinstance(part, inspect.StructType) and part.tag_field is not None]
        if isinstance(value, Mapping) and structs:
            field = str(structs[0].tag_field)
            if self.tag(value, field, [part.tag for part in structs], pointer):
                self.check(value, next(part for part in structs if _same(part.tag, value[field])), pointer)
            return
        if len(parts) == 1:
            self.check(value, parts[0], pointer, written)
            return
        # A union of unlike types: one of them fits, or the nearest says what is wrong.
        attempts = []
        for part in parts:
            attempt = _Walker()
            attempt.check(value, part, pointer, written)
            if not attempt.problems:
                return
            attempts.append(attempt.problems)
        near = [found for found in attempts if not any(_is_type_problem(one, pointer) for one in found)]
        if near:
            self.problems.extend(near[0])
        else:
            self.wrong_type(" or ".join(_sorted({_wanted(part) for part in parts})), value, pointer)

    def mapping(self, value: object, expected: inspect.DictType, pointer: str) -> None:
        if not isinstance(value, Mapping):
            self.wrong_type("an object", value, pointer)
            return
        self.length(len(value), expected, pointer, "entries")
        for key, item in value.items():
            below = f"{pointer}/{escape(str(key))}"
            keys = _Walker()
            keys.check(key, expected.key_type, below)
            for problem in keys.problems:
                self.refuse("invalid_key", f"as a key, {problem.message}", below, problem.hint)
            self.check(item, expected.value_type, below)

    def sequence(self, value: object, expected: _LISTS, pointer: str) -> None:
        if not isinstance(value, list | tuple):
            hint = "write it as a list of one" if not isinstance(value, Mapping) and value is not None else ""
            self.wrong_type("a list", value, pointer, hint)
            return
        self.length(len(value), expected, pointer, "items")
        for index, item in enumerate(value):
            self.check(item, expected.item_type, f"{pointer}/{index}")

    def length(self, found: int, expected: _LISTS | inspect.DictType | inspect.StrType, pointer: str, of: str) -> None:
        if expected.min_length is not None and found < expected.min_length:
            self.refuse("too_short", f"has {found} {of}, and at least {expected.min_length} are needed", pointer)
        if expected.max_length is not None and found > expected.max_length:
            self.refuse("too_long", f"has {found} {of}, and at most {expected.max_length} are allowed", pointer)

    def text(self, value: object, expected: inspect.StrType, pointer: str, written: str) -> None:
        if not isinstance(value, str):
            hint = "quote it" if isinstance(value, int | float) else ""
            self.wrong_type("text", value, pointer, hint)
            return
        self.length(len(value), expected, pointer, "characters")
        if expected.pattern is None:
            return
        # `$` also matches before a line's end, which is never meant.
        whole = expected.pattern.startswith("^") and expected.pattern.endswith("$")
        if not (re.fullmatch if whole else re.search)(expected.pattern, value):
            hint = written or f"it must match {expected.pattern}"
            self.refuse("invalid_value", f"{shown(value)} is not written as it must be", pointer, hint)
        elif expected.pattern == DURATION_PATTERN:
            try:
                parse_duration(value)
            except ValueError as error:
                self.refuse("invalid_value", str(error), pointer)

    def literal(self, value: object, values: Collection[Any], pointer: str) -> None:
        if any(_same(value, known) for known in values):
            return
        known = [_word(item) for item in values]
        if isinstance(value, Mapping | list | tuple):
            self.wrong_type(" or ".join(known), value, pointer)
            return
        hint = f"one of {', '.join(known)}" if len(known) > 1 else f"write {known[0]}"
        if isinstance(value, str) and (guess := did_you_mean(value, known)):
            hint = f"{guess[:-1]}; {hint}" if len(known) > 1 else guess
        self.refuse("unknown_value", f"unknown value {shown(value)}", pointer, hint)

    def other(self, value: object, expected: inspect.Type, pointer: str) -> None:
        """Check what has no parts."""
        kinds: dict[type[inspect.Type], type | tuple[type, ...]] = {
            inspect.BoolType: bool,
            inspect.IntType: int,
            inspect.FloatType: (int, float),
            inspect.NoneType: type(None),
        }
        kind = kinds.get(type(expected))
        # Of the rest (dates and their like) msgspec itself says what is wrong, in `convert`.
        if kind is None:
            return
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            hint = "write true or false" if kind is bool else ""
            self.wrong_type(_wanted(expected), value, pointer, hint)
        elif isinstance(expected, inspect.IntType | inspect.FloatType) and isinstance(value, int | float):
            self.bounds(value, expected, pointer)

    def bounds(self, value: float, expected: inspect.IntType | inspect.FloatType, pointer: str) -> None:
        """Require that a number lies where it may."""
        bounds = (
            ("at least", expected.ge, expected.ge is None or value >= expected.ge),
            ("more than", expected.gt, expected.gt is None or value > expected.gt),
            ("at most", expected.le, expected.le is None or value <= expected.le),
            ("less than", expected.lt, expected.lt is None or value < expected.lt),
        )
        if any(not met for _, _, met in bounds):
            said = " and ".join(f"{word} {bound}" for word, bound, _ in bounds if bound is not None)
            message = f"the number {shown(value)} is out of range"
            self.refuse("invalid_value", message, pointer, f"it has to be {said}")


def _problem(code: str, message: str, pointer: str, hint: str = "") -> Problem:
    return Problem(code=code, message=message, pointer=pointer, hint=hint)


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b


def _word(value: object) -> str:
    """Return a word as it is written."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sorted(words: Collection[Any]) -> list[str]:
    return sorted(map(str, words))


def _is_type_problem(problem: Problem, pointer: str) -> bool:
    return problem.code == "wrong_type" and problem.pointer == pointer


def _describe(expected: inspect.Type) -> str:
    return (
        str((expected.extra_json_schema or {}).get("description", "")) if isinstance(expected, inspect.Metadata) else ""
    )


def _wanted(expected: inspect.Type) -> str:
    if isinstance(expected, inspect.Metadata):
        return _wanted(expected.type)
    words: dict[type[inspect.Type], str] = {
        inspect.StrType: "text",
        inspect.BoolType: "true or false",
        inspect.IntType: "a whole number",
        inspect.FloatType: "a number",
        inspect.NoneType: "nothing",
        inspect.StructType: "an object",
        inspect.DictType: "an object",
        inspect.LiteralType: "a known word",
        inspect.EnumType: "a known word",
    }
    return words.get(type(expected), "a list")


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {shown(value)}"
        case int() | float():
            return f"the number {shown(value)}"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def _pointer_of(path: str) -> str:
    """Return a path of msgspec (`$.steps[0].next`) as a JSON pointer, as far as it names its parts."""
    pointer = ""
    for key, index in re.findall(r"\.([^.\[\]]+)|\[([^\]]*)\]", path.removeprefix("$")):
        if not key and not index.isdigit():
            break  # `[...]` stands for some key of a mapping
        pointer += f"/{escape(key or index)}"
    return pointer
