from __future__ import annotations

import json
import string

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from parcours.conditions.parse import LARGEST
from parcours.definitions.load import LARGEST_SOURCE, Source, dump, dump_yaml, load, load_data, read, yaml_text
from parcours.definitions.workspace import Workspace, key_of, select
from tests.conditions.condition_strategies import garbage
from tests.definitions.definition_strategies import definitions
from tests.definitions.examples import SHOP

LOADERS = [yaml.SafeLoader] + ([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def _either_loader(request, monkeypatch):
    monkeypatch.setattr(yaml_text, "_Loader", request.param)


both = pytest.mark.usefixtures("_either_loader")


def values(text, name="a.yaml"):
    located, problems = read(Source(name, text))
    assert problems == []
    return [one.definition for one in located]


def refused(text, name="a.yaml"):
    _, problems = read(Source(name, text))
    assert problems
    assert all(problem.file == name and problem.line > 0 for problem in problems), problems
    return problems


# --- YAML -------------------------------------------------------------------------------------------------------------


@both
def test_the_shop_loads():
    workspace, errors, warnings = load([Source("shop.yaml", SHOP)])
    assert errors == warnings == []
    assert list(workspace.interactions) == ["order completed", "checkout started", "leaflet handed out"]
    assert list(workspace.segments) == ["regulars", "atlanta-regulars"]
    assert list(workspace.messages) == ["reminder", "nudge"]
    assert workspace.journeys["basket"].max_duration == "30d"


@both
@pytest.mark.parametrize(
    "written",
    ["1980-12-31", "on", "yes", "No", "12:30", "12:30:45", "True", "NULL", "0x1F", "0o17", "017", "1_000", "+49", ".5",
     "1.", "=", "2026-01-31T09:00:00Z", "NaN", "Infinity", "0b1", "1e", "-x"],
)  # fmt: skip
def test_what_is_no_json_is_text(written):
    assert values(f"x: {written}") == [{"x": written}]
    assert values(f"[{written}]") == [written]
    assert values(f"{written}: x") == [{written: "x"}]


@both
def test_json_types():
    text = "a: true\nb: false\nc: null\nd: ~\ne:\nf: -12\ng: 1.5\nh: 1e3\n"
    text += "i: '1'\nj: \"true\"\nk: |\n  null\nl: [1, {m: 2}]"
    expected = {
        "a": True, "b": False, "c": None, "d": None, "e": None, "f": -12, "g": 1.5, "h": 1000.0, "i": "1",
        "j": "true", "k": "null\n", "l": [1, {"m": 2}],
    }  # fmt: skip
    assert values(text) == [expected]
    assert type(values("x: 1")[0]["x"]) is int


@both
def test_documents_and_lists_with_lines():
    text = "# first\n---\nkind: a\nb:\n  - c\n  - d: e\n---\n- x: 1\n\n- y:\n    z/w: 2\n---\n"
    located, problems = read(Source("many.yaml", text))
    assert problems == []
    assert [one.definition for one in located] == [{"kind": "a", "b": ["c", {"d": "e"}]}, {"x": 1}, {"y": {"z/w": 2}}]
    assert located[0].lines == {"": 3, "/kind": 3, "/b": 4, "/b/0": 5, "/b/1": 6, "/b/1/d": 6}
    assert located[1].lines == {"": 8, "/x": 8}
    assert located[2].lines == {"": 10, "/y": 10, "/y/z~1w": 11}
    assert located[2].line_of("/y/z~1w/deeper") == 11
    assert located[2].line_of("/nothing") == 10


@both
@pytest.mark.parametrize(
    "text, line, pointer, words",
    [
        ("a: 1\nb: 2\na: 3", 3, "/a", "twice"),
        ("a:\n  b: 1\n  b: 2", 3, "/a/b", "twice"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "/b", "tags"),
        ("a: !mine x", 1, "/a", "tags"),
        ("a: !!str 1", 1, "/a", "tags"),
        ("a: 1\n2: x", 2, "", "keys are text"),
        ("true: x", 1, "", "keys are text"),
        ("? [a]\n: b", 1, "", "key is plain"),
        ("? {a: 1}\n: b", 1, "", "key is plain"),
        ("a: &x {b: 1}\n<<: *x", 2, "", "merge"),
        ("a: *nobody", 1, "/a", "nothing"),
        ("a: &x [*x]", 1, "/a/0", "nothing"),
        ("a: .nan", 1, "/a", "finite"),
        ("a: -.inf", 1, "/a", "finite"),
        ("a: 1e999", 1, "/a", "finite"),
        (f"a: {'9' * 5_000}", 1, "/a", "whole numbers"),
        (f"a: {LARGEST + 1}", 1, "/a", "whole numbers"),
        ("a: 1\nb: [1, 2\nc: 3", 3, "", "not YAML"),
        ("a: 1\n\tb: 2", 2, "", "column"),
        ("a: 'x", 1, "", "not YAML"),
        ("a: x\0", 1, "", "may not stand"),
        ("a: 1\nb: \x07", 2, "", "may not stand"),
        ("a: '\ud800'", 1, "", "may not stand"),
        ("[" * 1_000, 1, "", "deeper"),
        ("{a: " * 1_000, 1, "", "deeper"),
        ("- " * 1_000 + "a", 1, "", "deeper"),
        ("x" * (LARGEST_SOURCE + 1), 1, "", "1 MiB"),
        ("ü" * (LARGEST_SOURCE // 2 + 1), 1, "", "1 MiB"),
    ],
)  # fmt: skip
def test_yaml_is_refused_with_its_place(text, line, pointer, words):
    problem = refused(text)[-1]
    assert words in problem.message
    assert problem.line == line
    assert problem.pointer.startswith(pointer)


@both
def test_aliases_are_copies():
    [data] = values("a: &x {b: [1]}\nc: *x\nd: [*x, *x]")
    assert data == {"a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}, {"b": [1]}]}
    assert data["a"] is not data["c"]
    assert data["a"]["b"] is not data["c"]["b"]


@both
def test_a_billion_laughs_end_early():
    text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    for i, _ in enumerate(string.ascii_letters):
        text += f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 10)}]\n"
    assert "at most" in refused(text)[0].message


@both
def test_one_mistake_keeps_its_neighbours():
    text = "- {kind: a}\n- {kind: b, kind: c}\n- {kind: d}\n---\nkind: e\n---\nkind: [\n"
    located, problems = read(Source("a.yaml", text))
    assert [one.definition["kind"] for one in located] == ["a", "d", "e"]
    assert [(problem.code, problem.pointer) for problem in problems] == [
        ("duplicate_key", "/kind"),
        ("syntax", "/kind"),
    ]


def test_nothing_is_no_definition():
    for text in ("", "\ufeff", "# only words\n", "---\n---\n", "null"):
        assert values(text) == []
    assert refused("", name="a.json")


# --- JSON -------------------------------------------------------------------------------------------------------------


@given(garbage)
def test_json_is_read_as_the_standard_library_reads_it(data):
    text = json.dumps(data, ensure_ascii=True, indent=1)
    try:
        json.dumps(data, allow_nan=False)
    except ValueError:
        assert refused(text, "a.json")
        return
    located, problems = read(Source("a.json", text))
    if not problems:
        expected = json.loads(text)
        found = [one.definition for one in located]
        assert found == (expected if isinstance(expected, list) else [] if expected is None else [expected])


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_json_with_tabs_pairs_and_long_keys(name):
    key = "k" * 2_000
    text = '{\n\t"kind": "\\ud83d\\ude00",\n\t"' + key + '":\t[1,\n\t2]\n}'
    located, problems = read(Source(name, text))
    assert problems == []
    assert located[0].definition == {"kind": "😀", key: [1, 2]}
    assert located[0].lines == {"": 1, "/kind": 2, f"/{key}": 3, f"/{key}/0": 3, f"/{key}/1": 4}


def test_yaml_in_flow_style_is_no_json():
    assert values("{kind: segment, name: on}") == [{"kind": "segment", "name": "on"}]
    assert values("[a, b]") == ["a", "b"]
    assert "JSON" in refused("{kind: segment}", "a.json")[0].message


@pytest.mark.parametrize(
    "text, line, words",
    [
        ('{"a": 1,\n"a": 2}', 2, "twice"),
        ('{"a": 1,\n}', 2, "key is text"),
        ("[1,\n2", 2, "missing"),
        ('{"a" 1}', 1, "':'"),
        ("[1 2]", 1, "','"),
        ("[NaN]", 1, "not a value"),
        ("[01]", 1, "not a value"),
        ("[1e999]", 1, "finite"),
        ("\n\n[]x", 3, "follows"),
        ('["a\nb"]', 1, "not closed"),
        ('["\\x"]', 1, "backslash"),
        ("[" * 100_000, 1, "deeper"),
        ('{"a":' * 100_000, 1, "deeper"),
        ("", 1, "ends too early"),
        ('"' + "a" * 500_000, 1, "not closed"),
    ],
)
def test_json_is_refused_with_its_place(text, line, words):
    problem = refused(text, "a.json")[-1]
    assert words in problem.message
    assert problem.line == line


# --- anything ---------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=40) | st.text("{}[]:,-&*!|>'\"#%@`?\n\t ab1.~<=", max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text):
    for name in ("a.yaml", "a.json"):
        _, problems = read(Source(name, text))
        assert all(problem.line > 0 for problem in problems), problems
        load([Source(name, text)])


@given(st.lists(garbage, max_size=3))
def test_any_json_value_is_loaded_or_refused(items):
    _, errors, _ = load_data(items)
    assert len(errors) >= len(items)
    assert all(problem.pointer.startswith("/definitions/") for problem in errors)


@given(definitions, st.data())
@settings(deadline=None)
def test_a_damaged_definition_is_refused_and_never_raises(data, draw):
    text = json.dumps(data)
    start = draw.draw(st.integers(0, len(text)))
    load([Source("a.yaml", text[:start] + draw.draw(st.text("{}[]:,\"'-1ab ", max_size=3)) + text[start + 1 :])])
    broken = dict(data)
    broken[draw.draw(st.sampled_from(sorted(broken)))] = draw.draw(garbage)
    load_data([broken])


@given(definitions)
@settings(deadline=None)
def test_dump_and_load_give_the_same(data):
    workspace, _, _ = load_data([data])
    [definition] = workspace.all()
    again, _, _ = load_data([dump(definition)])
    assert again.all() == [definition]
    json.dumps(dump(definition))


@given(st.lists(definitions, max_size=3, unique_by=lambda data: (data["kind"], data.get("name", "").strip().lower())))
@settings(max_examples=200, deadline=None)
def test_yaml_and_json_text_give_the_same(items):
    workspace, errors, _ = load_data(items)
    if any(problem.code == "defined_twice" for problem in errors):
        return
    text = dump_yaml(workspace.all())
    assert load([Source("a.yaml", text)])[0] == workspace
    text = json.dumps([dump(definition) for definition in workspace.all()])
    assert load([Source("a.json", text)])[0] == workspace


def test_dump_leaves_out_what_is_usual():
    workspace, _, _ = load([Source("shop.yaml", SHOP)])
    assert dump(workspace.segments["regulars"]) == {
        "kind": "segment",
        "name": "regulars",
        "description": "Three orders in a quarter.",
        "condition": {"did": "order completed", "times": {"at_least": 3}, "within": "90d"},
    }
    assert "name: 'on'" in dump_yaml(load_data([{"kind": "segment", "name": "on", "condition": {"all": []}}])[0].all())


# --- together ---------------------------------------------------------------------------------------------------------


def test_errors_have_file_line_pointer_and_hint():
    text = "kind: segment\nname: a\ncondition:\n  all:\n    - {contact: city, iz: 1}\n    - segment: b\n"
    _, errors, _ = load([Source("one.yaml", text), Source("two.yaml", "\nkind: segmnt\n")])
    assert [(e.file, e.line, e.pointer) for e in errors] == [
        ("one.yaml", 5, "/condition/all/0/iz"),
        ("two.yaml", 2, "/kind"),
    ]
    assert errors[1].hint == "did you mean 'segment'?"


def test_references_have_lines_too():
    text = "kind: segment\nname: a\ncondition:\n  all:\n    - segment: bb\n"
    text += "---\nkind: segment\nname: b\ncondition: {all: []}"
    _, errors, _ = load([Source("one.yaml", text)])
    assert [str(error) for error in errors] == [
        "one.yaml:5 /condition/all/0/segment: there is no segment 'bb' (did you mean 'b'?)"
    ]


def test_twice_is_refused_and_interactions_match_in_any_case():
    first = Source(
        "a.yaml", "- {kind: interaction, name: Store_Visit}\n- {kind: segment, name: x, condition: {all: []}}"
    )
    second = Source("b.yaml", "kind: interaction\nname: ' store_visit'")
    _, errors, _ = load([first, second])
    assert [(e.code, e.file, e.line, e.hint) for e in errors] == [("defined_twice", "b.yaml", 2, "first in a.yaml:1")]
    _, errors, _ = load_data([{"kind": "interaction", "name": "A"}, {"kind": "interaction", "name": "a"}])
    assert [(e.pointer, e.hint) for e in errors] == [("/definitions/1/name", "first in /definitions/0")]


def test_known_definitions_count_and_are_replaced():
    known, _, _ = load_data([{"kind": "segment", "name": "a", "condition": {"all": []}}])
    later, errors, _ = load_data([{"kind": "segment", "name": "b", "condition": {"segment": "a"}}], known)
    assert errors == []
    assert list(later.segments) == ["a", "b"]
    assert list(known.segments) == ["a"]
    circle, errors, _ = load([Source("a.yaml", "{kind: segment, name: a, condition: {segment: b}}")], later)
    assert [error.code for error in errors] == ["segment_cycle"]
    assert circle.segments["a"].condition == {"segment": "b"}


def test_a_known_definition_that_breaks_is_named():
    base = {"kind": "segment", "name": "base", "condition": {"contact": "a", "is": 1}}
    known, errors, _ = load_data([base, {"kind": "segment", "name": "a", "condition": {"segment": "base"}}])
    assert errors == []
    _, [error], _ = load_data([base | {"archived": True}], known)
    assert (error.pointer, error.message) == (
        "/segments/a/condition/segment",
        "segment 'a': the segment 'base' is archived",
    )


def test_a_known_definition_that_was_broken_before_is_for_nobody_else_to_mend():
    broken, errors, _ = load_data([{"kind": "segment", "name": "a", "condition": {"segment": "gone"}}])
    assert len(errors) == 1
    other = {"kind": "segment", "name": "b", "condition": {"contact": "a", "is": 1}}
    assert load_data([other], broken)[1] == []
    _, [error], _ = load_data([{"kind": "segment", "name": "a", "condition": {"segment": "gone"}}], broken)
    assert error.pointer == "/definitions/0/condition/segment"


@pytest.mark.parametrize("broken", ["{kind: segment, name: b}", "{kind: segment, name: b, name: c}", "{kind: ["])
def test_what_could_not_be_read_is_not_missed(broken):
    sources = [Source("a.yaml", "{kind: segment, name: a, condition: {segment: b}}"), Source("b.yaml", broken)]
    _, errors, _ = load(sources)
    assert {error.file for error in errors} == {"b.yaml"}


def test_settings_are_there_once_they_are_defined():
    assert Workspace().all() == []
    assert Workspace().get("workspace", "workspace") is None
    usual, errors, _ = load_data([{"kind": "workspace"}])
    assert errors == []
    assert [dump(one) for one in usual.all()] == [{"kind": "workspace"}]
    assert usual == Workspace()
    own, errors, _ = load_data([{"kind": "workspace", "strict": True}], usual)
    assert errors == []
    back, errors, _ = load_data([{"kind": "workspace"}], own)
    assert errors == []
    assert back.all() == usual.all()
    _, [twice], _ = load_data([{"kind": "workspace"}, {"kind": "workspace", "name": "workspace"}])
    assert twice.code == "defined_twice"


def test_settings_that_could_not_be_read_are_not_missed():
    items = [{"kind": "interaction", "name": "a", "channel": "kiosk"}, {"kind": "workspace", "chanels": {}}]
    _, [error], _ = load_data(items)
    assert error.pointer == "/definitions/1/chanels"


def test_definitions_are_selected():
    everything = load([Source("shop.yaml", SHOP)])[0].all()

    def names(**wanted):
        return [one.name for one in select(everything, **wanted)]

    assert "Leaflet Handed Out" not in names()
    assert "Leaflet Handed Out" in names(archived=True)
    assert names(channel="kiosk") == ["Order Completed"]
    assert names(channel="push") == ["nudge"]
    assert names(source_type="staff", archived=True) == ["Leaflet Handed Out"]
    assert names(text="FRIENDS of") == ["friends"]
    assert names(text="three orders") == ["regulars"]


def test_a_workspace_is_known_by_its_keys():
    workspace, _, _ = load([Source("shop.yaml", SHOP)])
    assert key_of(workspace.interactions["order completed"]) == ("interaction", "order completed")
    assert key_of(workspace.journeys["basket"]) == ("journey", "basket")
