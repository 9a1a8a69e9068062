"""Read a tree of conditions from plain data, and report everything that is wrong with it at once.

How a condition is written (YAML or JSON):

    all: [condition, ...]                                   every one is true
    any: [condition, ...]                                   at least one is true
    not: condition
    {contact: city, in: [Atlanta, Seattle]}                 an attribute of the contact
    {interaction: purchaseMessage, is: "thank you"}         an attribute of the interaction at hand
    {did: Order Completed, times: {at_least: 3}, within: 90d, where: condition}
    {segment: regulars}
    {consent: email, topic: news, is: opted_in}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from parcours.conditions import ast
from parcours.conditions.durations import parse_duration
from parcours.conditions.names import match_name
from parcours.conditions.operators import COUNTS, OPERATORS, Takes, end_of, to_instant
from parcours.errors import Problem, did_you_mean

CONSENT_STATES = ("opted_in", "opted_out", "unknown")

DEEPEST = 32
"""How many conditions may be nested: enough for any drawn tree, too few to exhaust a stack."""

LARGEST = 2**63 - 1
"""The largest whole number, either way: what every store keeps exactly."""

MOST_TIMES = 1_000
"""The largest number a count is compared with: a contact remembers that many times and one more."""

_ENDS = 2  # of a range
_SHOWN_KEYS = 5
_SHOWN = 80  # characters of somebody's text that a message repeats

_HEADS = ("all", "any", "not", "contact", "interaction", "did", "segment", "consent")


_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Refused(Exception):  # noqa: N818 (never leaves this module: a part that could not be read, already reported)
    pass


def parse_condition(data: object, pointer: str = "") -> tuple[ast.Node | None, list[Problem]]:
    """Return the tree and an empty list, or None and every problem, each with a JSON pointer below `pointer`."""
    reader = _Reader()
    try:
        node = reader.node(data, pointer, 0)
    except _Refused:
        node = None
    return (None, reader.problems) if reader.problems else (node, [])


def unfit_text(text: str) -> str:
    """Return what is wrong with a text that no store could keep: a NUL or half of a surrogate pair; else nothing."""
    if "\0" in text:
        return "text holds a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "text holds half of a surrogate pair, which is no character"
    return ""


def looks_only_at_trigger(node: ast.Node) -> bool:
    """Return whether a tree looks at nothing but attributes of the interaction at hand."""
    match node:
        case ast.Attribute():
            return node.subject is ast.Subject.TRIGGER
        case ast.All() | ast.Any():
            return all(looks_only_at_trigger(part) for part in node.parts)
        case ast.Not():
            return looks_only_at_trigger(node.part)
        case _:
            return False


def shown(value: object) -> str:
    """Return a value as a message repeats it: quoted and not longer than a line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def escape(key: str) -> str:
    """Return a key as a token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


class _Reader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, message: str, pointer: str, hint: str = "") -> _Refused:
        self.problems.append(Problem(code="invalid_condition", message=message, pointer=pointer, hint=hint))
        return _Refused()

    def attempt(self, read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """Read a part whose refusal must not hide what is wrong with its neighbours."""
        try:
            return read(*args, **kwargs)
        except _Refused:
            return None

    def node(self, data: object, pointer: str, depth: int) -> ast.Node:
        if depth > DEEPEST:
            raise self.refuse(f"conditions are nested deeper than {DEEPEST}", pointer)
        if not isinstance(data, Mapping):
            raise self.refuse(
                f"a condition is an object, not {_kind(data)}", pointer, "for example {contact: city, is: Atlanta}"
            )
        heads = [head for head in _HEADS if head in data]
        if len(heads) != 1:
            known = ", ".join(_HEADS)
            guess = "" if heads else next((hint for key in data if (hint := did_you_mean(str(key), _HEADS))), "")
            found = f"has {' and '.join(heads)}" if heads else f"has {_keys(data) or 'nothing'}"
            raise self.refuse(f"a condition has exactly one of {known}; this one {found}", pointer, guess)
        readers: dict[str, Callable[[Mapping[str, Any], str, int], ast.Node]] = {
            "all": self.group,
            "any": self.group,
            "not": self.negation,
            "contact": self.attribute,
            "interaction": self.attribute,
            "did": self.history,
            "segment": self.segment,
            "consent": self.consent,
        }
        return readers[heads[0]](data, pointer, depth)

    def group(self, data: Mapping[str, Any], pointer: str, depth: int) -> ast.Node:
        head = "all" if "all" in data else "any"
        self.only(data, {head}, pointer)
        below = f"{pointer}/{head}"
        if not isinstance(data[head], list):
            raise self.refuse(f"{head!r} takes a list of conditions, not {_kind(data[head])}", below)
        parts: list[ast.Node] = []
        for index, item in enumerate(data[head]):
            part = self.attempt(self.node, item, f"{below}/{index}", depth + 1)
            if part is not None:
                parts.append(part)
        return ast.All(tuple(parts)) if head == "all" else ast.Any(tuple(parts))

    def negation(self, data: Mapping[str, Any], pointer: str, depth: int) -> ast.Node:
        self.only(data, {"not"}, pointer)
        return ast.Not(self.node(data["not"], f"{pointer}/not", depth + 1))

    def attribute(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        subject = ast.Subject.CONTACT if "contact" in data else ast.Subject.TRIGGER
        name = self.attempt(self.text, data, subject.value, pointer) or ""
        written = [key for key in data if key not in {subject.value, "ignore_case"}]
        operators = [key for key in written if key in OPERATORS]
        for key in written:
            if key not in OPERATORS:
                hint = did_you_mean(str(key), OPERATORS) or f"operators are {', '.join(OPERATORS)}"
                self.refuse(f"unknown operator {shown(key)}", f"{pointer}/{escape(str(key))}", hint)
        if len(operators) != 1:
            if len(written) == len(operators):
                self.refuse(
                    f"a comparison has exactly one operator, this one has {len(operators)}",
                    pointer,
                    f"operators are {', '.join(OPERATORS)}",
                )
            raise _Refused
        operator = OPERATORS[operators[0]]
        ignore_case = data.get("ignore_case", False)
        if not isinstance(ignore_case, bool):
            self.refuse("'ignore_case' is true or false", f"{pointer}/ignore_case")
        elif ignore_case and operator.takes in {Takes.INSTANT, Takes.NOTHING}:
            self.refuse(f"'ignore_case' says nothing to {operator.name!r}", f"{pointer}/ignore_case", "leave it out")
        value = self.operand(data[operator.name], operator.takes, f"{pointer}/{operator.name}")
        return ast.Attribute(subject, name, operator.name, value, ignore_case)

    def operand(self, value: object, takes: Takes, pointer: str) -> ast.Scalar | tuple[ast.Scalar, ...] | None:
        match takes:
            case Takes.NOTHING:
                if value is not True:
                    raise self.refuse("takes true", pointer, "wrap the condition in 'not' for the opposite")
                return None
            case Takes.SCALAR:
                return self.scalar(value, pointer)
            case Takes.TEXT:
                if not isinstance(value, str):
                    raise self.refuse(f"takes text, not {_kind(value)}", pointer)
                return self.scalar(value, pointer)
            case Takes.ORDERED:
                return self.ordered(value, pointer)
            case Takes.INSTANT:
                if not isinstance(value, str) or to_instant(value) is None or end_of(value) is None:
                    raise self.refuse(
                        "takes a date or a date and time with an offset",
                        pointer,
                        'for example "1980-12-31" or "2026-01-31T09:00:00+01:00"',
                    )
                return value
            case Takes.SCALARS | Takes.RANGE:
                if not isinstance(value, list):
                    raise self.refuse(f"takes a list, not {_kind(value)}", pointer)
                read = self.ordered if takes is Takes.RANGE else self.scalar
                if takes is Takes.RANGE and len(value) != _ENDS:
                    self.refuse("takes two values, the lower and the upper end", pointer)
                items = [self.attempt(read, item, f"{pointer}/{index}") for index, item in enumerate(value)]
                return tuple(item for item in items if item is not None)

    def scalar(self, value: object, pointer: str) -> ast.Scalar:
        if not isinstance(value, str | int | float | bool):
            raise self.refuse(f"takes text, a number or true/false, not {_kind(value)}", pointer)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.refuse("takes a finite number", pointer)
        if isinstance(value, int) and abs(value) > LARGEST:
            raise self.refuse(
                f"takes a whole number up to {LARGEST}", pointer, "an order number is better written as text"
            )
        if isinstance(value, str) and (unfit := unfit_text(value)):
            raise self.refuse(unfit, pointer)
        return value

    def ordered(self, value: object, pointer: str) -> ast.Scalar:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.refuse(f"takes a number or text, not {_kind(value)}", pointer)
        return self.scalar(value, pointer)

    def history(self, data: Mapping[str, Any], pointer: str, depth: int) -> ast.Node:
        counts = {key: f"write times: {{{key}: {shown(data[key])}}}" for key in COUNTS if key in data}
        self.only(data, {"did", "times", "within", "where"}, pointer, counts)
        name = self.attempt(self.text, data, "did", pointer) or ""
        times = self.attempt(self.times, data.get("times", {"at_least": 1}), f"{pointer}/times")
        operator, count = times or ("at_least", 1)
        within = None
        if "within" in data:
            within = self.attempt(self.duration, data["within"], f"{pointer}/within")
        where = None
        if "where" in data:
            where = self.node(data["where"], f"{pointer}/where", depth + 1)
            if not looks_only_at_trigger(where):
                raise self.refuse(
                    "'where' may only look at attributes of the interaction",
                    f"{pointer}/where",
                    "put other conditions beside it, in 'all'",
                )
        return ast.History(match_name(name), operator, count, where, within)

    def times(self, data: object, pointer: str) -> tuple[str, int]:
        if isinstance(data, int) and not isinstance(data, bool):
            data = {"exactly": data}
        if not isinstance(data, Mapping) or len(data) != 1 or next(iter(data)) not in COUNTS:
            raise self.refuse(
                f"'times' takes a number or one of {', '.join(COUNTS)}", pointer, "for example {at_least: 3}"
            )
        operator, count = next(iter(data.items()))
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_TIMES:
            raise self.refuse(f"takes a whole number from 0 to {MOST_TIMES:,}", f"{pointer}/{operator}")
        return operator, count

    def duration(self, value: object, pointer: str) -> int:
        if not isinstance(value, str):
            raise self.refuse(f"takes a duration, not {_kind(value)}", pointer, "for example 90d")
        try:
            return parse_duration(value)
        except ValueError as error:
            raise self.refuse(str(error), pointer) from None

    def segment(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        self.only(data, {"segment"}, pointer)
        return ast.InSegment(self.text(data, "segment", pointer))

    def consent(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        self.only(data, {"consent", "topic", "is"}, pointer)
        channel = self.attempt(self.text, data, "consent", pointer) or ""
        topic = (self.attempt(self.text, data, "topic", pointer) or "") if "topic" in data else ""
        state = data.get("is", "opted_in")
        if state not in CONSENT_STATES:
            raise self.refuse(f"'is' takes one of {', '.join(CONSENT_STATES)}", f"{pointer}/is")
        return ast.Consent(channel, str(state), topic)

    def text(self, data: Mapping[str, Any], key: str, pointer: str) -> str:
        value = data[key]
        if not isinstance(value, str):
            raise self.refuse(f"{key!r} takes a name, not {_kind(value)}", f"{pointer}/{key}")
        if not value.strip():
            raise self.refuse(f"{key!r} takes a name, and this one is empty", f"{pointer}/{key}")
        if unfit := unfit_text(value):
            raise self.refuse(unfit, f"{pointer}/{key}")
        return value

    def only(
        self, data: Mapping[str, Any], known: set[str], pointer: str, hints: Mapping[Any, str] | None = None
    ) -> None:
        for key in data:
            if key not in known:
                hint = (hints or {}).get(key) or did_you_mean(str(key), known)
                self.refuse(f"unknown key {shown(key)}", f"{pointer}/{escape(str(key))}", hint)


def _keys(data: Mapping[Any, Any]) -> str:
    names = ", ".join(shown(key) for key in islice(data, _SHOWN_KEYS))
    return f"{names}, …" if len(data) > _SHOWN_KEYS else names


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list"}.get(
        type(value), "an object"
    )
