"""The JSON Schema of a condition as it is written, made from the table of operators.

It serves editors: completion, descriptions, and red lines while somebody types. `conditions.parse` stays the judge, and
knows what a schema cannot say (that a duration is not zero, that a date exists).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from parcours.conditions.durations import PATTERN
from parcours.conditions.loyalty import POINTS, REWARD_STATES, TIER_OPERATORS
from parcours.conditions.operators import COUNTS, LARGEST_SUMMAND, OPERATORS, SUMS, Operator, Takes
from parcours.conditions.parse import (
    CONSENT_STATES,
    FEWEST_STEPS,
    MEASURES,
    MESSAGE_EVENTS,
    MOST_MESSAGES,
    MOST_STEPS,
    MOST_TIMES,
    SINCE,
)

Schema = dict[str, Any]

_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2}))?$"


_INSTANTS = ["1980-12-31", "2026-01-31T09:00:00+01:00"]

_DURATION: Schema = {"type": "string", "pattern": PATTERN, "examples": ["24h", "90d"]}

_MEASURES = {
    "sum": ("Sum", "The sum of an attribute; 0 when there is nothing to add."),
    "min": ("Least", "The least number an attribute had."),
    "max": ("Greatest", "The greatest number an attribute had."),
    "first": ("First", "The attribute of the first interaction that has it."),
    "last": ("Last", "The attribute of the last interaction that has it."),
}


def condition_schema(ref: str = "#/$defs/Condition") -> Schema:
    """Return the schema of a condition; `ref` is where it will be found, for it refers to itself."""
    again: Schema = {"$ref": ref}
    some = {"title": "Conditions", "type": "array", "items": again}
    segment = _name("Segment", "The name of the segment.")
    on_list = _name("List", "The name of the list.")
    return {
        "title": "Condition",
        "description": "Is it true? A comparison with a missing value is false; `not` turns it to true.",
        "type": "object",
        "anyOf": [
            _object("all", "All of", "Every one is true; true when there are none.", {"all": some}),
            _object("any", "Any of", "At least one is true; false when there are none.", {"any": some}),
            _object("not", "Not", "The condition is false.", {"not": again | {"title": "Condition"}}),
            _comparison("contact", "Attribute of the contact", "An attribute of the contact."),
            _comparison("interaction", "Attribute of the interaction", "An attribute of the interaction at hand."),
            _comparison("run", "Data of the run", "What a step of the run saved, or its key."),
            _did(again),
            _did_not(again),
            _sequence(again),
            _messages(),
            _object("segment", "In a segment", "Belongs to a segment.", {"segment": segment}),
            _object("list", "On a list", "Is on a list.", {"list": on_list}),
            _object(
                "consent",
                "Consent",
                "What the contact agreed to.",
                {
                    "consent": _name("Channel", "The channel."),
                    "topic": _name("Topic", "The topic; the channel as a whole when there is none."),
                    "is": {"title": "Is", "enum": list(CONSENT_STATES), "default": CONSENT_STATES[0]},
                },
            ),
            _object(
                "sample",
                "Random sample",
                "Is in a random part of everybody that stays the same.",
                {
                    "sample": _name("Draw", "The name of the draw; draws of different names are independent."),
                    "percent": {"title": "Percent", "type": "number", "minimum": 0, "maximum": 100},
                    "from": {
                        "title": "From",
                        "description": "Where the part begins, in percent; parts next to one another share nobody.",
                        "type": "number",
                        "minimum": 0,
                        "maximum": 100,
                        "default": 0,
                    },
                },
                "percent",
            ),
            *_of_members(),
        ],
    }


def _of_members() -> list[Schema]:
    programme = _name("Programme", "The name of the programme.")
    points: Schema = {"type": "integer"}
    tier = {"type": "string", "minLength": 1}
    limits = {name: points | {"title": _title(name), "description": "How many."} for name in COUNTS}
    kinds = {"title": "Kind", "description": "Which points.", "enum": list(POINTS), "default": "spendable"}
    tiers: Schema = {
        name: (tier if name != "in" else {"type": "array", "items": tier, "minItems": 1})
        | {"title": _title(name), "description": "The tier, or the tiers."}
        for name in TIER_OPERATORS
    }
    about_points = "How many points somebody has; false of who was never a member."
    return [
        _object("points", "Points", about_points, {"points": programme, "kind": kinds} | limits)
        | _exactly_one(tuple(COUNTS)),
        _object("tier", "Tier", "The tier somebody has.", {"tier": programme} | tiers) | _exactly_one(TIER_OPERATORS),
        _object(
            "reward",
            "Reward",
            "Whether a coupon of a reward was issued, was redeemed, or can be redeemed now.",
            {
                "reward": _name("Reward", "The name of the reward."),
                "is": {"title": "Is", "description": "What.", "enum": list(REWARD_STATES), "default": "issued"},
                "within": _DURATION | {"title": "Within", "description": "How long ago at most; ever without."},
            },
        ),
        _object("member", "Member", "Is a member of a programme.", {"member": programme}),
    ]


def _object(head: str, title: str, description: str, properties: Schema, *needed: str) -> Schema:
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": properties,
        "required": [head, *needed],
        "additionalProperties": False,
    }


# --- comparisons ------------------------------------------------------------------------------------------------------


def _comparison(head: str, title: str, description: str) -> Schema:
    properties: Schema = {head: _name("Attribute", "The name of the attribute.")}
    properties |= {name: _operand(operator) for name, operator in OPERATORS.items()}
    properties["ignore_case"] = {
        "title": "In any case",
        "type": "boolean",
        "default": False,
        "description": "Compare text in any case.",
    }
    return _object(head, title, description, properties) | _exactly_one(OPERATORS)


def _exactly_one(names: Iterable[str]) -> Schema:
    return {"oneOf": [{"required": [name]} for name in names]}


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
        Takes.TEXTS: {"type": "array", "items": text},
        Takes.DURATION: _DURATION,
        Takes.DAYS: _DURATION | {"examples": ["7d"]},
        Takes.INSTANT: {"type": "string", "pattern": _INSTANT, "examples": _INSTANTS},
        Takes.NOTHING: {"const": True},
    }
    return takes[operator.takes] | {"title": _title(operator.name), "description": f"True when it {operator.title}."}


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


# --- what happened ----------------------------------------------------------------------------------------------------


def _did(again: Schema) -> Schema:
    properties = {"did": _interactions(), "times": _times(MOST_TIMES)}
    properties |= {measure: _measure(measure) for measure in MEASURES}
    properties |= {"where": _where(again)} | _window()
    figures = ("times", *MEASURES)
    at_most_one = [*_exactly_one(figures)["oneOf"], {"not": {"anyOf": _exactly_one(figures)["oneOf"]}}]
    return _object("did", "Did", "How often an interaction happened, or what its values come to.", properties) | {
        "oneOf": at_most_one
    }


def _did_not(again: Schema) -> Schema:
    properties = {"did_not": _interactions(), "where": _where(again)} | _window()
    return _object("did_not", "Did not", "An interaction did not happen, not even once.", properties)


def _measure(measure: str) -> Schema:
    title, description = _MEASURES[measure]
    if measure != "sum":
        return _comparison("of", title, description)
    limit: Schema = {"type": "number", "minimum": -LARGEST_SUMMAND, "maximum": LARGEST_SUMMAND}
    properties: Schema = {"of": _name("Attribute", "The name of the attribute.")}
    for name in SUMS:
        several = OPERATORS[name].takes is Takes.RANGE
        taken = {"type": "array", "items": limit, "minItems": 2, "maxItems": 2} if several else limit
        properties[name] = taken | {"title": _title(name), "description": f"True when it {OPERATORS[name].title}."}
    return _object("of", title, description, properties) | _exactly_one(SUMS)


def _sequence(again: Schema) -> Schema:
    within = _DURATION | {"title": "Within", "description": "How long after the step before: less than this."}
    did = {"did": _interactions(), "where": _where(again)}
    did_not = {"did_not": _interactions(), "where": _where(again), "within": within}
    first = _object("did", "First step", "What happens first.", did)
    follows = _object("did", "Followed by", "What happens after the step before.", did | {"within": within})
    stays_out = _object("did_not", "Not followed by", "What does not happen; only last.", did_not, "within")
    steps = {
        "title": "Steps",
        "type": "array",
        "prefixItems": [first],
        "items": {"title": "Step", "anyOf": [follows, stays_out]},
        "minItems": FEWEST_STEPS,
        "maxItems": MOST_STEPS,
    }
    description = "Interactions happened one after the other."
    return _object("sequence", "One after the other", description, {"sequence": steps} | _window())


def _messages() -> Schema:
    properties = {
        "messages": {"title": "Were", "description": "What became of them.", "enum": list(MESSAGE_EVENTS)},
        "of": _one_or_several("Message", "The name of the message, or several; any when there is none."),
        "channel": _name("Channel", "The channel; any when there is none."),
        "times": _times(MOST_MESSAGES),
    }
    description = "How often messages were sent to the contact, or reacted to."
    return _object("messages", "Messages", description, properties | _window())


def _interactions() -> Schema:
    return _one_or_several("Interaction", "The name of the interaction, or several; matches without regard to case.")


def _where(again: Schema) -> Schema:
    return again | {
        "title": "Where",
        "description": "What must be true of each one: attributes of the interaction.",
    }


def _window() -> Schema:
    instant: Schema = {"type": "string", "pattern": _INSTANT, "examples": _INSTANTS}
    return {
        "within": _DURATION
        | {"title": "Within", "description": "The window that ends now, such as 90d; all time when there is none."},
        "from": instant | {"title": "From", "description": "What happened before does not count."},
        "until": instant | {"title": "Until", "description": "The end; of a date the end of the day, in UTC."},
        "since": {"title": "Since", "description": "From the start of the run on.", "enum": list(SINCE)},
    }


def _times(most: int) -> Schema:
    count: Schema = {"type": "integer", "minimum": 0, "maximum": most}
    counts = {name: count | {"title": _title(name)} for name in COUNTS}
    return {
        "title": "Times",
        "description": "How often; at least once when it is left out.",
        "anyOf": [
            count | {"title": "Exactly"},
            {
                "title": "Compared",
                "type": "object",
                "properties": counts,
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
        ],
    }


def _one_or_several(title: str, description: str) -> Schema:
    one = {"type": "string", "minLength": 1, "pattern": r"\S"}
    return {
        "title": title,
        "description": description,
        "anyOf": [one | {"title": "One"}, {"title": "Any of", "type": "array", "items": one, "minItems": 1}],
    }


def _name(title: str, description: str) -> Schema:
    return {"title": title, "type": "string", "minLength": 1, "pattern": r"\S", "description": description}
