"""Print a tree for people: `city in ("Atlanta", "Seattle") and did "order completed" at least 3 times in 90d`."""

from __future__ import annotations

from parcours.conditions import ast
from parcours.conditions.durations import format_duration
from parcours.conditions.operators import OPERATORS


def describe(node: ast.Node) -> str:
    """Return one line that says what a tree asks."""
    match node:
        case ast.Attribute():
            return _attribute(node)
        case ast.History():
            where = f" where {_inner(node.where)}" if node.where is not None else ""
            window = f" in {format_duration(node.within)}" if node.within is not None else ""
            times = "time" if node.count == 1 else "times"
            return f'did "{node.interaction}"{where} {node.operator.replace("_", " ")} {node.count} {times}{window}'
        case ast.InSegment():
            return f"in segment {node.name}"
        case ast.Consent():
            topic = f"/{node.topic}" if node.topic else ""
            return f"consent {node.channel}{topic} is {node.state}"
        case ast.Not():
            return f"not {_inner(node.part)}"
        case ast.All():
            return " and ".join(_inner(part) for part in node.parts) or "always"
        case ast.Any():
            return " or ".join(_inner(part) for part in node.parts) or "never"


def _inner(node: ast.Node) -> str:
    text = describe(node)
    return f"({text})" if isinstance(node, ast.All | ast.Any) and len(node.parts) > 1 else text


def _attribute(node: ast.Attribute) -> str:
    words = OPERATORS[node.operator].text
    subject = node.name if node.subject is ast.Subject.CONTACT else f"interaction.{node.name}"
    if node.value is None:
        return f"{subject} {words}"
    value = (
        f"({', '.join(_value(item) for item in node.value)})" if isinstance(node.value, tuple) else _value(node.value)
    )
    return f"{subject} {words} {value}" + (" (any case)" if node.ignore_case else "")


def _value(value: ast.Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
