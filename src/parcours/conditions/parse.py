"""Read a tree of conditions from plain data, and report everything that is wrong with it at once.

How a condition is written (YAML or JSON):

    all: [condition, ...]                                   every one is true
    any: [condition, ...]                                   at least one is true
    not: condition
    {contact: city, in: [Atlanta, Seattle]}                 an attribute of the contact
    {interaction: purchaseMessage, is: "thank you"}         an attribute of the interaction at hand
    {run: offer.price, at_most: 100}                        what a step of the run saved, or its `key`
    {did: Order Completed, times: {at_least: 3}, within: 90d, where: condition}
    {did: [Like, Comment], from: 2026-01-01, until: 2026-01-31}            any of a set, in January
    {did_not: Order Completed, within: 90d}                                not even once
    {did: Order Completed, sum: {of: total, at_least: 100}, within: 30d}   or min, max, first, last
    {sequence: [{did: Product Viewed}, {did_not: Order Completed, within: 7d}]}
    {messages: opened, of: welcome, times: {at_least: 2}, within: 30d}
    {segment: regulars}
    {list: vip}
    {consent: email, topic: news, is: opted_in}
    {points: club, at_least: 100}                           kind: held, qualifying or lifetime
    {tier: club, at_least: silver}                          or is, in
    {member: club}
    {sample: october, percent: 10, from: 0}                 a random part of everybody, always the same
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from parcours.conditions import ast
from parcours.conditions.durations import UNITS, parse_duration
from parcours.conditions.instants import first_milliseconds
from parcours.conditions.loyalty import MOST_POINTS, POINTS, REWARD_STATES, TIER_OPERATORS
from parcours.conditions.names import match_name
from parcours.conditions.operators import (
    CASELESS,
    COUNTS,
    LARGEST_SUMMAND,
    OPERATORS,
    SUMS,
    Operator,
    Takes,
    end_of,
    is_date,
    to_instant,
)
from parcours.errors import Problem, did_you_mean

CONSENT_STATES = ("opted_in", "opted_out", "unknown")

DEEPEST = 32
"""How many conditions may be nested: enough for any drawn tree, too few to exhaust a stack."""

LARGEST = 2**63 - 1
"""The largest whole number, either way: what every store keeps exactly."""

MOST_TIMES = 1_000
"""The largest number a count is compared with: a contact remembers that many times and one more."""

MOST_MESSAGES = 200
"""The largest number a count of messages is compared with: a contact remembers that many messages and one more."""

MOST_STEPS = 10
"""How many steps a sequence may have."""

FEWEST_STEPS = 2

MESSAGE_EVENTS = ("sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")
"""What `messages` asks for."""

MEASURES = tuple(measure.value for measure in ast.Measure if measure is not ast.Measure.COUNT)
"""What is made of interactions beside counting them."""

WINDOW = ("within", "from", "until", "since")
"""The keys that say which past is meant."""

SINCE = ("entry",)

_ENDS = 2  # of a range
_HUNDRED = 100
_SHOWN_KEYS = 5
_SHOWN = 80  # characters of somebody's text that a message repeats

_HEADS = (
    *("all", "any", "not", "contact", "interaction", "run", "did", "did_not", "sequence", "messages", "segment"),
    *("list", "consent", "sample", "points", "tier", "member", "reward"),
)

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
            "run": self.attribute,
            "did": self.history,
            "did_not": self.history,
            "sequence": self.sequence,
            "messages": self.messages,
            "segment": self.segment,
            "list": self.on_list,
            "consent": self.consent,
            "sample": self.sample,
            "points": self.points,
            "tier": self.tier,
            "member": self.member,
            "reward": self.reward,
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
        subject = next(one for one in ast.Subject if one.value in data)
        name = self.attempt(self.text, data, subject.value, pointer) or ""
        operator, value, ignore_case = self.comparison(data, subject.value, pointer)
        return ast.Attribute(subject, name, operator, value, ignore_case)

    def comparison(
        self, data: Mapping[str, Any], beside: str, pointer: str
    ) -> tuple[str, ast.Scalar | tuple[ast.Scalar, ...] | None, bool]:
        """Read the one operator of an object, with its value and `ignore_case`; `beside` is the key that is none."""
        written = [key for key in data if key not in {beside, "ignore_case"}]
        operator = self.operator(written, OPERATORS, pointer, beside)
        ignore_case = data.get("ignore_case", False)
        if not isinstance(ignore_case, bool):
            self.refuse("'ignore_case' is true or false", f"{pointer}/ignore_case")
        elif ignore_case and operator.takes in CASELESS:
            self.refuse(f"'ignore_case' says nothing to {operator.name!r}", f"{pointer}/ignore_case", "leave it out")
        value = self.operand(data[operator.name], operator.takes, f"{pointer}/{operator.name}")
        return operator.name, value, ignore_case

    def operator(self, written: list[str], known: Collection[str], pointer: str, beside: str) -> Operator:
        """Return the one operator among the keys of an object; `beside` is the other key that may be meant."""
        operators = [key for key in written if key in known]
        for key in written:
            if key not in known:
                hint = did_you_mean(str(key), [*known, beside]) or f"operators are {', '.join(known)}"
                self.refuse(f"unknown operator {shown(key)}", f"{pointer}/{escape(str(key))}", hint)
        if len(operators) != 1:
            if len(written) == len(operators):
                self.refuse(
                    f"a comparison has exactly one operator, this one has {len(operators)}",
                    pointer,
                    f"operators are {', '.join(known)}",
                )
            raise _Refused
        return OPERATORS[operators[0]]

    def operand(self, value: object, takes: Takes, pointer: str) -> ast.Scalar | tuple[ast.Scalar, ...] | None:
        if takes is Takes.NOTHING:
            if value is not True:
                raise self.refuse("takes true", pointer, "wrap the condition in 'not' for the opposite")
            return None
        one: dict[Takes, Callable[[object, str], ast.Scalar]] = {
            Takes.SCALAR: self.scalar,
            Takes.TEXT: self.one_text,
            Takes.ORDERED: self.ordered,
            Takes.INSTANT: self.instant,
            Takes.DURATION: self.duration,
            Takes.DAYS: self.days,
        }
        if takes in one:
            return one[takes](value, pointer)
        if not isinstance(value, list):
            raise self.refuse(f"takes a list, not {_kind(value)}", pointer)
        several = {Takes.SCALARS: self.scalar, Takes.RANGE: self.ordered, Takes.TEXTS: self.one_text}
        if takes is Takes.RANGE and len(value) != _ENDS:
            self.refuse("takes two values, the lower and the upper end", pointer)
        items = [self.attempt(several[takes], item, f"{pointer}/{index}") for index, item in enumerate(value)]
        return tuple(item for item in items if item is not None)

    def one_text(self, value: object, pointer: str) -> ast.Scalar:
        if not isinstance(value, str):
            raise self.refuse(f"takes text, not {_kind(value)}", pointer)
        return self.scalar(value, pointer)

    def instant(self, value: object, pointer: str) -> str:
        if not isinstance(value, str) or to_instant(value) is None or end_of(value) is None:
            raise self.refuse(
                "takes a date or a date and time with an offset",
                pointer,
                'for example "1980-12-31" or "2026-01-31T09:00:00+01:00"',
            )
        return value

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
        head = "did" if "did" in data else "did_not"
        known = {head, "where", *WINDOW}
        if head == "did":
            known |= {"times", *MEASURES}
        hints = {key: f"write times: {{{key}: {shown(data[key])}}}" for key in COUNTS if key in data}
        if head == "did_not":
            hints |= {key: f"write not: {{did: …, {key}: …}}" for key in ("times", *MEASURES)}
        self.only(data, known, pointer, hints)
        names = self.attempt(self.names, data, head, pointer) or ()
        where = self.attempt(self.where, data, pointer, depth)
        window = self.attempt(self.window, data, pointer) or ast.Window()
        written = [key for key in ("times", *MEASURES) if key in data]
        if head == "did_not":
            return ast.Not(ast.History(names, "at_least", 1, where=where, window=window))
        if len(written) > 1:
            raise self.refuse(
                f"has {' and '.join(written)}; of these there is one at most",
                pointer,
                "put several side by side in 'all'",
            )
        if written and written[0] in MEASURES:
            measure = ast.Measure(written[0])
            below = f"{pointer}/{measure.value}"
            read = self.attempt(self.measure, data[measure.value], measure, below)
            attribute, operator, value, ignore_case = read or ("", "at_least", 0, False)
            return ast.History(names, operator, value, measure, attribute, where, window, ignore_case)
        times = self.attempt(self.times, data.get("times", {"at_least": 1}), f"{pointer}/times", MOST_TIMES)
        operator, count = times or ("at_least", 1)
        return ast.History(names, operator, count, where=where, window=window)

    def names(self, data: Mapping[str, Any], key: str, pointer: str) -> tuple[str, ...]:
        """Read one name of an interaction or a list of them, folded, each once."""
        return tuple(dict.fromkeys(match_name(name) for name in self.one_or_several(data, key, pointer)))

    def one_or_several(self, data: Mapping[str, Any], key: str, pointer: str) -> list[str]:
        value = data[key]
        if not isinstance(value, list):
            return [self.text(data, key, pointer)]
        if not value:
            raise self.refuse(f"{key!r} takes a name or a list of names, and this one is empty", f"{pointer}/{key}")
        items = dict(enumerate(value))
        found = [self.attempt(self.item, item, f"{pointer}/{key}/{index}") for index, item in items.items()]
        return [name for name in found if name is not None]

    def where(self, data: Mapping[str, Any], pointer: str, depth: int) -> ast.Node | None:
        if "where" not in data:
            return None
        where = self.node(data["where"], f"{pointer}/where", depth + 1)
        if not looks_only_at_trigger(where):
            raise self.refuse(
                "'where' may only look at attributes of the interaction",
                f"{pointer}/where",
                "put other conditions beside it, in 'all'",
            )
        if clocked := sorted({leaf.operator for leaf in _comparisons(where) if OPERATORS[leaf.operator].clocked}):
            raise self.refuse(
                f"'where' is asked when the interaction arrives, so {' and '.join(clocked)} may not stand in it",
                f"{pointer}/where",
                "compare with a date, or ask of 'last' or of the contact",
            )
        return where

    def window(self, data: Mapping[str, Any], pointer: str) -> ast.Window:
        within = self.attempt(self.duration, data["within"], f"{pointer}/within") if "within" in data else None
        start = self.attempt(self.edge, data["from"], f"{pointer}/from") if "from" in data else None
        end = self.attempt(self.edge, data["until"], f"{pointer}/until", end=True) if "until" in data else None
        since = data.get("since", "")
        if "since" in data and since not in SINCE:
            self.refuse(f"'since' takes {' or '.join(SINCE)}", f"{pointer}/since")
        if start is not None and end is not None and start >= end:
            self.refuse("is not after 'from', so nothing lies between them", f"{pointer}/until")
        return ast.Window(within, start, end, since if since in SINCE else "")

    def edge(self, value: object, pointer: str, *, end: bool = False) -> int:
        """Read an end of an absolute window, in milliseconds: of a date its beginning, or for `until` its end."""
        text = self.instant(value, pointer)
        instant = end_of(text) if end and is_date(text) else to_instant(text)
        assert instant is not None  # noqa: S101 (an instant was read)
        return first_milliseconds(instant)

    def measure(
        self, data: object, measure: ast.Measure, pointer: str
    ) -> tuple[str, str, ast.Scalar | tuple[ast.Scalar, ...] | None, bool]:
        """Read what is made of an attribute and what it is compared with."""
        if not isinstance(data, Mapping):
            raise self.refuse(
                f"{measure.value!r} takes an object, not {_kind(data)}",
                pointer,
                "for example {of: total, at_least: 100}",
            )
        attribute = None
        if "of" in data:
            attribute = self.attempt(self.text, data, "of", pointer)
        else:
            self.refuse(f"{measure.value!r} needs 'of', the attribute that is meant", pointer)
        if measure is not ast.Measure.SUM:
            operator, value, ignore_case = self.comparison(data, "of", pointer)
            return attribute or "", operator, value, ignore_case
        chosen = self.operator([key for key in data if key != "of"], SUMS, pointer, "of")
        below = f"{pointer}/{chosen.name}"
        value = self.operand(data[chosen.name], chosen.takes, below)
        for limit in value if isinstance(value, tuple) else (value,):
            if isinstance(limit, str) or limit is None or abs(limit) > LARGEST_SUMMAND:
                raise self.refuse(f"takes a number up to {LARGEST_SUMMAND:,.0f}, either way", below)
        return attribute or "", chosen.name, value, False

    def sequence(self, data: Mapping[str, Any], pointer: str, depth: int) -> ast.Node:
        self.only(data, {"sequence", *WINDOW}, pointer)
        window = self.attempt(self.window, data, pointer) or ast.Window()
        written, below = data["sequence"], f"{pointer}/sequence"
        if not isinstance(written, list) or not FEWEST_STEPS <= len(written) <= MOST_STEPS:
            raise self.refuse(
                f"'sequence' takes a list of {FEWEST_STEPS} to {MOST_STEPS} steps",
                below,
                "for example [{did: Product Viewed}, {did: Order Completed, within: 7d}]",
            )
        last = len(written) - 1
        steps = []
        for index, item in enumerate(written):
            step = self.attempt(self.step, item, f"{below}/{index}", depth, first=index == 0, last=index == last)
            if step is not None:
                steps.append(step)
        return ast.Sequence(tuple(steps), window)

    def step(self, data: object, pointer: str, depth: int, *, first: bool, last: bool) -> ast.SequenceStep:
        heads = [head for head in ("did", "did_not") if isinstance(data, Mapping) and head in data]
        if not isinstance(data, Mapping) or len(heads) != 1:
            raise self.refuse(
                "a step of a sequence is an object with either 'did' or 'did_not'", pointer, "for example {did: Viewed}"
            )
        absent = heads[0] == "did_not"
        self.only(data, {heads[0], "where", "within"}, pointer)
        names = self.attempt(self.names, data, heads[0], pointer) or ()
        where = self.attempt(self.where, data, pointer, depth)
        within = None
        if "within" in data and first:
            self.refuse("the first step follows nothing, so it has no 'within'", f"{pointer}/within", "leave it out")
        elif "within" in data:
            within = self.attempt(self.duration, data["within"], f"{pointer}/within")
        if absent and not last:
            self.refuse("'did_not' may only be the last step", f"{pointer}/did_not")
        elif absent and "within" not in data:
            self.refuse("'did_not' needs 'within': how long it must not happen", pointer, "for example within: 7d")
        return ast.SequenceStep(names, where, within, absent)

    def messages(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        counts = {key: f"write times: {{{key}: {shown(data[key])}}}" for key in COUNTS if key in data}
        self.only(data, {"messages", "of", "channel", "times", *WINDOW}, pointer, counts)
        event = data["messages"]
        if event not in MESSAGE_EVENTS:
            hint = did_you_mean(event, MESSAGE_EVENTS) if isinstance(event, str) else ""
            self.refuse(f"'messages' takes one of {', '.join(MESSAGE_EVENTS)}", f"{pointer}/messages", hint)
        names = self.attempt(self.one_or_several, data, "of", pointer) if "of" in data else None
        channel = self.attempt(self.text, data, "channel", pointer) if "channel" in data else None
        times = self.attempt(self.times, data.get("times", {"at_least": 1}), f"{pointer}/times", MOST_MESSAGES)
        operator, count = times or ("at_least", 1)
        window = self.attempt(self.window, data, pointer) or ast.Window()
        return ast.MessageHistory(str(event), operator, count, tuple(dict.fromkeys(names or ())), channel or "", window)

    def times(self, data: object, pointer: str, most: int) -> tuple[str, int]:
        if isinstance(data, int) and not isinstance(data, bool):
            data = {"exactly": data}
        if not isinstance(data, Mapping) or len(data) != 1 or next(iter(data)) not in COUNTS:
            raise self.refuse(
                f"'times' takes a number or one of {', '.join(COUNTS)}", pointer, "for example {at_least: 3}"
            )
        operator, count = next(iter(data.items()))
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= most:
            raise self.refuse(f"takes a whole number from 0 to {most:,}", f"{pointer}/{operator}")
        return operator, count

    def duration(self, value: object, pointer: str) -> int:
        if not isinstance(value, str):
            raise self.refuse(f"takes a duration, not {_kind(value)}", pointer, "for example 90d")
        try:
            return parse_duration(value)
        except ValueError as error:
            raise self.refuse(str(error), pointer) from None

    def days(self, value: object, pointer: str) -> int:
        duration = self.duration(value, pointer)
        if duration % UNITS["d"]:
            raise self.refuse("takes whole days", pointer, "for example 7d")
        return duration

    def on_list(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        self.only(data, {"list"}, pointer)
        return ast.InList(self.text(data, "list", pointer))

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

    def points(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        programme = self.attempt(self.text, data, "points", pointer) or ""
        kind = data.get("kind", "spendable")
        if kind not in POINTS:
            self.refuse(f"'kind' takes one of {', '.join(POINTS)}", f"{pointer}/kind")
        written = [key for key in data if key not in {"points", "kind"}]
        if len(written) != 1 or written[0] not in COUNTS:
            hint = next((guess for key in written if (guess := did_you_mean(str(key), COUNTS))), "")
            raise self.refuse(f"'points' takes exactly one of {', '.join(COUNTS)}", pointer, hint)
        value = data[written[0]]
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST_POINTS:
            raise self.refuse("takes a whole number", f"{pointer}/{written[0]}")
        return ast.Points(programme, written[0], value, str(kind))

    def tier(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        programme = self.attempt(self.text, data, "tier", pointer) or ""
        written = [key for key in data if key != "tier"]
        if len(written) != 1 or written[0] not in TIER_OPERATORS:
            hint = next((guess for key in written if (guess := did_you_mean(str(key), TIER_OPERATORS))), "")
            raise self.refuse(f"'tier' takes exactly one of {', '.join(TIER_OPERATORS)}", pointer, hint)
        operator, below = written[0], f"{pointer}/{written[0]}"
        value = data[operator]
        if operator != "in":
            return ast.Tier(programme, operator, (self.item(value, below),))
        if not isinstance(value, list) or not value:
            raise self.refuse("takes a list of tiers", below)
        return ast.Tier(programme, operator, tuple(self.item(name, f"{below}/{i}") for i, name in enumerate(value)))

    def member(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        self.only(data, {"member"}, pointer)
        return ast.IsMember(self.text(data, "member", pointer))

    def reward(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        self.only(data, {"reward", "is", "within"}, pointer)
        name = self.attempt(self.text, data, "reward", pointer) or ""
        within = (self.attempt(self.duration, data["within"], f"{pointer}/within") or 0) if "within" in data else 0
        state = data.get("is", "issued")
        if state not in REWARD_STATES:
            raise self.refuse(f"'is' takes one of {', '.join(REWARD_STATES)}", f"{pointer}/is")
        return ast.HasReward(name, str(state), within)

    def sample(self, data: Mapping[str, Any], pointer: str, _depth: int) -> ast.Node:
        self.only(data, {"sample", "percent", "from"}, pointer)
        seed = self.attempt(self.text, data, "sample", pointer) or ""
        if "percent" not in data:
            raise self.refuse("'sample' needs 'percent', how many of a hundred", pointer, "for example percent: 10")
        percent = self.attempt(self.percentage, data["percent"], f"{pointer}/percent") or 0
        start = (self.attempt(self.percentage, data["from"], f"{pointer}/from") or 0) if "from" in data else 0
        if start + percent > _HUNDRED:
            self.refuse("'from' and 'percent' come to more than 100", f"{pointer}/percent", f"{100 - start:g} are left")
        return ast.Sample(seed, percent, start)

    def percentage(self, value: object, pointer: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _HUNDRED:
            raise self.refuse("takes a number from 0 to 100", pointer)
        return value

    def text(self, data: Mapping[str, Any], key: str, pointer: str) -> str:
        return self.item(data[key], f"{pointer}/{key}", f"{key!r} ")

    def item(self, value: object, pointer: str, key: str = "") -> str:
        """Read a name."""
        if not isinstance(value, str):
            raise self.refuse(f"{key}takes a name, not {_kind(value)}", pointer)
        if not value.strip():
            raise self.refuse(f"{key}takes a name, and this one is empty", pointer)
        if unfit := unfit_text(value):
            raise self.refuse(unfit, pointer)
        return value

    def only(
        self, data: Mapping[str, Any], known: set[str], pointer: str, hints: Mapping[Any, str] | None = None
    ) -> None:
        for key in data:
            if key not in known:
                hint = (hints or {}).get(key) or did_you_mean(str(key), known)
                self.refuse(f"unknown key {shown(key)}", f"{pointer}/{escape(str(key))}", hint)


def _comparisons(node: ast.Node) -> list[ast.Attribute]:
    """Return the comparisons of a tree that has nothing else below `all`, `any` and `not`."""
    match node:
        case ast.Attribute():
            return [node]
        case ast.All() | ast.Any():
            return [leaf for part in node.parts for leaf in _comparisons(part)]
        case ast.Not():
            return _comparisons(node.part)
        case _:
            return []


def _keys(data: Mapping[Any, Any]) -> str:
    names = ", ".join(shown(key) for key in islice(data, _SHOWN_KEYS))
    return f"{names}, …" if len(data) > _SHOWN_KEYS else names


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list"}.get(
        type(value), "an object"
    )
