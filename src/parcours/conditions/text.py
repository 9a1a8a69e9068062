"""Print a tree for people: `city in ("Atlanta", "Seattle") and did "order completed" at least 3 times in 90d`."""

from __future__ import annotations

from collections.abc import Iterable

from parcours.conditions import ast
from parcours.conditions.durations import format_duration
from parcours.conditions.instants import moment_of
from parcours.conditions.loyalty import describe_loyalty
from parcours.conditions.operators import OPERATORS, Takes

_DURATIONS = {Takes.DURATION, Takes.DAYS}


def describe(node: ast.Node) -> str:  # noqa: PLR0911 (a case a kind of node)
    """Return one line that says what a tree asks."""
    match node:
        case ast.Attribute():
            subject = node.name if node.subject is ast.Subject.CONTACT else f"{node.subject.value}.{node.name}"
            return f"{subject} {_comparison(node)}"
        case ast.History():
            return _history(node)
        case ast.Sequence():
            return _sequence(node)
        case ast.MessageHistory():
            return _messages(node)
        case ast.InSegment():
            return f"in segment {node.name}"
        case ast.InList():
            return f"on list {node.name}"
        case ast.Consent():
            topic = f"/{node.topic}" if node.topic else ""
            return f"consent {node.channel}{topic} is {node.state}"
        case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
            return describe_loyalty(node)
        case ast.Sample():
            start = f" from {node.start:.9g}%" if node.start else ""
            return f"in sample {node.seed} of {node.percent:.9g}%{start}"
        case ast.Not():
            return f"not {_inner(node.part)}"
        case ast.All():
            return " and ".join(_inner(part) for part in node.parts) or "always"
        case ast.Any():
            return " or ".join(_inner(part) for part in node.parts) or "never"


def _inner(node: ast.Node) -> str:
    text = describe(node)
    return f"({text})" if isinstance(node, ast.All | ast.Any) and len(node.parts) > 1 else text


def _comparison(node: ast.Attribute | ast.History) -> str:
    operator = OPERATORS[node.operator]
    if node.value is None:
        return operator.text
    if operator.takes in _DURATIONS and isinstance(node.value, int):
        return f"{operator.text} {format_duration(node.value)}"
    value = f"({_several(node.value)})" if isinstance(node.value, tuple) else _value(node.value)
    return f"{operator.text} {value}" + (" (any case)" if node.ignore_case else "")


def _history(node: ast.History) -> str:
    what = f"did {_names(node.interactions)}{_where(node.where)}"
    window = _window(node.window)
    if node.measure is ast.Measure.COUNT:
        assert isinstance(node.value, int)  # noqa: S101 (the parser reads nothing else)
        return f"{what} {_times(node.operator, node.value)}{window}"
    return f"{node.measure.value} of {node.attribute} {_comparison(node)} where {what}{window}"


def _sequence(node: ast.Sequence) -> str:
    parts = []
    for step in node.steps:
        never = "not " if step.absent else ""
        within = f" within {format_duration(step.within)}" if step.within is not None else ""
        parts.append(f"{never}{_names(step.interactions)}{_where(step.where)}{within}")
    return f"did {' then '.join(parts)}{_window(node.window)}"


def _messages(node: ast.MessageHistory) -> str:
    of = f" {' or '.join(node.of)}" if node.of else ""
    channel = f" by {node.channel}" if node.channel else ""
    return f"messages{of}{channel} {node.reaction} {_times(node.operator, node.count)}{_window(node.window)}"


def _names(names: Iterable[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)


def _where(where: ast.Node | None) -> str:
    return f" where {_inner(where)}" if where is not None else ""


def _times(operator: str, count: int) -> str:
    return f"{operator.replace('_', ' ')} {count} {'time' if count == 1 else 'times'}"


def _window(window: ast.Window) -> str:
    text = f" in {format_duration(window.within)}" if window.within is not None else ""
    if window.start is not None:
        text += f" from {_instant(window.start)}"
    if window.end is not None:
        text += f" until before {_instant(window.end)}"
    return text + (f" since {window.since}" if window.since else "")


def _instant(milliseconds: int) -> str:
    """Return an instant as a date, or a date and time where it is no midnight in UTC."""
    text = moment_of(milliseconds).isoformat(timespec="auto").removesuffix("+00:00")
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


def _several(values: Iterable[ast.Scalar]) -> str:
    return ", ".join(_value(item) for item in values)


def _value(value: ast.Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
