"""The JSON Schema of a definition file, for editors: completion, descriptions, and mistakes underlined while typing.

It is made from the same structs that `validate` reads by and from the tables of operators and channels, so it cannot
fall behind them. What only the whole workspace shows (a name that names nothing) is `references`' to find.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from parcours.conditions.schema import Schema, condition_schema
from parcours.definitions.message import CHANNELS, ChannelFields
from parcours.definitions.workspace import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """Return the schema (2020-12) of a document: one definition of any kind, or a list of them.

    `#/$defs/Definition` is one definition, `#/$defs/Condition` a condition, and every struct has its own.
    """
    _, components = msgspec.json.schema_components(list(KINDS.values()), ref_template="#/$defs/{name}")
    defs: dict[str, Any] = {name: _titled(schema) for name, schema in components.items()}
    message = defs[KINDS["message"].__name__]
    message["properties"]["channel"]["enum"] = list(CHANNELS)
    message["allOf"] = [_content(name, fields) for name, fields in CHANNELS.items()]
    for name in ("Exit", "Goal"):
        asked = ("interaction", "if")
        defs[name]["oneOf"] = [
            {"required": [field], "properties": {field: {"not": {"type": "null"}}}} for field in asked
        ]
    defs["Condition"] = condition_schema()
    defs["Definition"] = {
        "title": "Definition",
        "description": f"One definition: {', '.join(KINDS)}.",
        "type": "object",
        "properties": {"kind": {"enum": list(KINDS), "description": "What is defined."}},
        "required": ["kind"],
        "oneOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in KINDS.values()],
    }
    return {
        "$schema": DIALECT,
        "title": "Definitions of parcours",
        "description": "One definition, or a list of them.",
        "anyOf": [
            {"$ref": "#/$defs/Definition"},
            {"type": "array", "items": {"$ref": "#/$defs/Definition"}},
        ],
        "$defs": defs,
    }


def _titled(schema: Schema) -> Schema:
    """Return the schema of a struct with titles for its fields, and `const` where a key has one value only."""
    titled = {**schema, "title": _words(str(schema["title"]).removesuffix("Definition"))}
    properties: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        shaped = dict(field)
        if len(field.get("enum", ())) == 1:
            shaped["const"] = shaped.pop("enum")[0]
        properties[name] = {"title": _words(name), "description": "Says what this is.", **shaped}
    return {**titled, "properties": properties}


def _words(name: str) -> str:
    """Return `re_entry` or `WaitFor` as a title: `Re entry`, `Wait for`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)
    return spaced[:1].upper() + spaced[1:].lower()


def _content(channel: str, fields: ChannelFields) -> Schema:
    """Return what the content of a message must be made of when it is for this channel."""
    text = {"type": "string"}
    filled = {"type": "string", "pattern": r"\S"}
    properties = dict.fromkeys(fields.required, filled) | dict.fromkeys((*fields.one_of, *fields.optional), text)
    content: Schema = {
        "title": f"Content of {fields.title}",
        "properties": properties,
        "required": list(fields.required),
        "additionalProperties": False,
    }
    if fields.one_of:
        content["anyOf"] = [{"properties": {name: filled}, "required": [name]} for name in fields.one_of]
    return {
        "if": {"properties": {"channel": {"const": channel}}, "required": ["channel"]},
        "then": {"properties": {"content": content}},
    }
