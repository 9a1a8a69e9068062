"""The JSON Schema of a condition as it is written, made from the table of operators.

It serves editors: completion, descriptions, and red lines while somebody types. `conditions.parse` stays the judge, and
knows what a schema cannot say (that a duration is not zero, that a date exists).
"""

from __future__ import annotations

from typing import Any

from parcours.conditions.durations import PATTERN
from parcours.conditions.operators import COUNTS, OPERATORS, Operator, Takes
from parcours.conditions.parse import CONSENT_STATES, MOST_TIMES

Schema = dict[str, Any]

_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2}))?$"


def condition_schema(ref: str = "#/$defs/Condition") -> Schema:
    """Return the schema of a condition; `ref` is where it will be found, for it refers to itself."""
    again: Schema = {"$ref": ref}
    some = {"type": "array", "items": again}
    return {
        "title": "Condition",
        "description": "Is it true? A comparison with a missing value is false; `not` turns it to true.",
        "type": "object",
        "anyOf": [
            _object("all", "Every one is true; true when there are none.", {"all": some}),
            _object("any", "At least one is true; false when there are none.", {"any": some}),
            _object("not", "The condition is false.", {"not": again}),
            _comparison("contact", "An attribute of the contact."),
            _comparison("interaction", "An attribute of the interaction at hand."),
            _object(
                "did",
                "How often an interaction happened.",
                {
                    "did": _name("The name of the interaction; matches without regard to case."),
                    "times": _times(),
                    "within": {
                        "type": "string",
                        "pattern": PATTERN,
                        "description": "The window that ends now, such as 90d; all time when there is none.",
                    },
                    "where": again | {"description": "What must be true of each one: attributes of the interaction."},
                },
            ),
            _object("segment", "Belongs to a segment.", {"segment": _name("The name of the segment.")}),
            _object(
                "consent",
                "What the contact agreed to.",
                {
                    "consent": _name("The channel."),
                    "topic": _name("The topic; the channel as a whole when there is none."),
                    "is": {"enum": list(CONSENT_STATES), "default": CONSENT_STATES[0]},
                },
            ),
        ],
    }


def _object(head: str, description: str, properties: Schema) -> Schema:
    return {
        "title": head,
        "description": description,
        "type": "object",
        "properties": properties,
        "required": [head],
        "additionalProperties": False,
    }


def _comparison(head: str, description: str) -> Schema:
    properties: Schema = {head: _name("The name of the attribute.")}
    properties |= {name: _operand(operator) for name, operator in OPERATORS.items()}
    properties["ignore_case"] = {"type": "boolean", "default": False, "description": "Compare text in any case."}
    return _object(head, description, properties) | {"oneOf": [{"required": [name]} for name in OPERATORS]}


def _operand(operator: Operator) -> Schema:
    number: Schema = {"type": "number"}
    text: Schema = {"type": "string"}
    scalar: Schema = {"anyOf": [text, number, {"type": "boolean"}]}
    ordered: Schema = {"anyOf": [number, text]}
    takes: dict[Takes, Schema] = {
        Takes.SCALAR: scalar,
        Takes.SCALARS: {"type": "array", "items": scalar},
        Takes.ORDERED: ordered,
        Takes.RANGE: {"type": "array", "items": ordered, "minItems": 2, "maxItems": 2},
        Takes.TEXT: text,
        Takes.INSTANT: {"type": "string", "pattern": _INSTANT, "examples": ["1980-12-31", "2026-01-31T09:00:00+01:00"]},
        Takes.NOTHING: {"const": True},
    }
    return takes[operator.takes] | {"description": operator.title}


def _times() -> Schema:
    count: Schema = {"type": "integer", "minimum": 0, "maximum": MOST_TIMES}
    return {
        "description": "How often; at least once when it is left out.",
        "anyOf": [
            count,
            {
                "type": "object",
                "properties": dict.fromkeys(COUNTS, count),
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
        ],
    }


def _name(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "pattern": r"\S", "description": description}
