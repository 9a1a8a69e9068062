from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings

from parcours.definitions.load import Source, dump, load, load_data, read
from parcours.definitions.message import CHANNELS
from parcours.definitions.schema import json_schema
from parcours.definitions.workspace import KINDS
from tests.definitions.definition_strategies import definitions
from tests.definitions.examples import SHOP
from tests.definitions.test_references import put, shop

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema_and_json():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert json_schema() == SCHEMA


def test_the_shop_passes_one_by_one_and_as_a_list():
    located, problems = read(Source("shop.yaml", SHOP))
    assert problems == []
    for one in located:
        VALIDATOR.validate(one.definition)
    VALIDATOR.validate([one.definition for one in located])
    workspace, _, _ = load([Source("shop.yaml", SHOP)])
    VALIDATOR.validate([dump(definition) for definition in workspace.all()])


@given(definitions)
@settings(deadline=None)
def test_valid_definitions_pass(data):
    if data["kind"] == "message":  # the schema also knows the channels, which random ones do not
        data = {**data, "channel": "push", "content": {"title": "a", "body": "b"}}
    VALIDATOR.validate(data)


@pytest.mark.parametrize(
    "kind, name, pointer, value",
    [
        ("segment", "regulars", "/kind", "segmnt"),
        ("segment", "regulars", "/name", "Regulars!"),
        ("segment", "regulars", "/titel", "x"),
        ("segment", "regulars", "/condition", {"contact": "a", "iz": 1}),
        ("segment", "regulars", "/condition", None),
        ("interaction", "Order Completed", "/attributes/total/type", "numbr"),
        ("interaction", "Order Completed", "/name", ""),
        ("interaction", "Order Completed", "/counts_when", {"all": [{"interaction": "a"}]}),
        ("interaction", "Order Completed", "/retention", "soon"),
        ("interaction", "Order Completed", "/archived", "yes"),
        ("workspace", "workspace", "/name", "mine"),
        ("workspace", "workspace", "/archived", True),
        ("workspace", "workspace", "/channels", {"Not A Name": "x"}),
        ("workspace", "workspace", "/contacts/namespaces", {"1st": "x"}),
        ("workspace", "workspace", "/contacts/attributes/city/type", "txt"),
        ("list", "friends", "/name", "My friends"),
        ("list", "friends", "/condition", {"all": []}),
        ("catalogue", "products", "/attributes/price", "number"),
        ("message", "reminder", "/channel", "e-mail"),
        ("message", "reminder", "/content/htm", "x"),
        ("message", "reminder", "/content", {"subject": "x"}),
        ("message", "reminder", "/content", {"text": "x"}),
        ("message", "nudge", "/content", {"title": "x"}),
        ("message", "reminder", "/purpose", "spam"),
        ("journey", "basket", "/steps", {}),
        ("journey", "basket", "/steps/two words", {"type": "end"}),
        ("journey", "basket", "/steps/pause/for", "soon"),
        ("journey", "basket", "/steps/pause/type", "wayt"),
        ("journey", "basket", "/steps/pause", {"for": "1d"}),
        ("journey", "basket", "/steps/remind/messages", []),
        ("journey", "basket", "/steps/vip/if", {"contact": "a"}),
        ("journey", "basket", "/steps/watch/events/0/reaction", "liked"),
        ("journey", "basket", "/entry/type", "x"),
        ("journey", "basket", "/entry", {"type": "segment", "segment": "a", "on": "write"}),
    ],
)
def test_mistakes_fail_here_and_when_loading(kind, name, pointer, value):
    items = shop()
    put(items[kind, name], pointer, value)
    assert not VALIDATOR.is_valid(items[kind, name])
    assert not VALIDATOR.is_valid(list(items.values()))
    assert load_data(list(items.values()))[1]


def test_everything_has_a_title_and_a_description():
    for name, schema in SCHEMA["$defs"].items():
        assert schema["title"], name
        assert schema["description"], name
        for key, field in schema.get("properties", {}).items():
            assert field.get("title") or name == "Definition", (name, key)
            assert field["description"], (name, key)
            assert field["description"] != "Says what this is." or "const" in field, (name, key)


def test_every_kind_and_channel_is_in_it():
    assert SCHEMA["$defs"]["Definition"]["properties"]["kind"]["enum"] == list(KINDS)
    assert SCHEMA["$defs"]["MessageDefinition"]["properties"]["channel"]["enum"] == list(CHANNELS)


def test_every_reference_is_there():
    for found in json.dumps(SCHEMA).split('"$ref": "#/$defs/')[1:]:
        assert found.partition('"')[0] in SCHEMA["$defs"]
