"""What a store holds, written to a file, read into an empty one and written again: the same rows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from parcours.cli.dumps import write
from parcours.core.gate import Arrival, Happened, Learned
from parcours.runtimes.dump import rows
from parcours.runtimes.engine import Engine
from parcours.stores.memory import MemoryStore
from tests.imports.helper import engine_of, run

OPEN = [
    {"kind": "interaction", "name": "Seen"},
    {"kind": "list", "name": "news"},
    {"kind": "catalogue", "name": "things"},
]
NOW = 1_767_225_600_000
PEOPLE = st.sampled_from(["ann", "bob", "cid"])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
SCALAR = st.one_of(TEXT, st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
VALUES = st.one_of(SCALAR, st.lists(SCALAR, max_size=3), st.dictionaries(TEXT, SCALAR, max_size=2))
NAMES = st.one_of(st.sampled_from(["plan", "total", "email"]), TEXT.filter(bool))
TIMES = st.integers(0, 10**10).map(lambda back: NOW - back)


def identities(draw: Any) -> tuple[tuple[str, str], ...]:
    who = draw(PEOPLE)
    more = draw(st.sampled_from([(), (("card", f"c-{who}"),), (("anonymous_id", f"a-{who}"),)]))
    return (("user_id", who), *more)


@st.composite
def arrivals(draw: Any) -> list[Arrival]:
    made = []
    for number in range(draw(st.integers(0, 8))):
        source = draw(st.sampled_from(["file", "api.interactions"]))
        what: Happened | Learned
        if draw(st.booleans()):
            what = Happened(
                draw(st.sampled_from(["Seen", "seen", "Other Thing"])), draw(st.dictionaries(NAMES, VALUES, max_size=3))
            )
        else:
            consent = draw(
                st.dictionaries(
                    st.just("email"),
                    st.dictionaries(
                        st.sampled_from(["", "news"]), st.sampled_from(["opted_in", "opted_out"]), min_size=1
                    ),
                    max_size=1,
                )
            )
            attributes = draw(st.dictionaries(NAMES, st.none() | VALUES, max_size=3))
            what = Learned(
                attributes,
                consent=consent,
                lists=draw(st.dictionaries(st.sampled_from(["vip", "news"]), st.booleans(), max_size=2)),
            )
        made.append(Arrival(source, f"m{number}", identities(draw), what, draw(TIMES), backfill=True))
    return made


def dumped(engine: Engine, kind: str) -> list[dict[str, Any]]:
    return json.loads(json.dumps(list(rows(engine, kind, catalogue="things"))))


def by_text(found: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in found)


@settings(max_examples=60, deadline=None)
@given(
    arrivals(),
    st.dictionaries(
        TEXT.filter(lambda text: text.strip() == text != ""), st.dictionaries(NAMES, VALUES, max_size=3), max_size=4
    ),
)
def test_out_and_in_and_out_again_is_the_same(given_arrivals, items):
    first = engine_of(MemoryStore(), *OPEN)
    first.accept(given_arrivals)
    first.stock("things", items)
    second = engine_of(MemoryStore(), *OPEN)
    with tempfile.TemporaryDirectory() as name:
        for kind in ("contacts", "interactions", "lists", "items"):
            file = Path(name) / f"{kind}.jsonl"
            if write(file, kind, rows(first, kind, catalogue="things")):
                options = [f"kind={kind}", *(["catalogue=things"] if kind == "items" else [])]
                done = run(second, file, *options, learn=True)
                assert not done.tally.problems
                assert done.tally.duplicates == 0
    for kind in ("contacts", "interactions", "lists", "items"):
        assert by_text(dumped(second, kind)) == by_text(dumped(first, kind))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_come_with_how_they_are_read(tmp_path, suffix):
    first = engine_of(MemoryStore(), *OPEN)
    first.accept(
        [
            Arrival(
                "file",
                "1",
                (("user_id", "ann"),),
                Happened("Seen", {"n": 1.5, "t": "", "b": True, "o": {"a": [1]}}),
                NOW,
            ),
            Arrival("file", "2", (("card", "7"),), Happened("Seen", {"n": 2.0, "s": 'a, "b"\nc', "z": "007"}), NOW),
            Arrival(
                "file",
                "3",
                (("user_id", "ann"),),
                Learned(
                    {"plan": "gold"}, consent={"email": {"": "opted_in", "news": "opted_out"}}, lists={"vip": True}
                ),
                NOW,
            ),
        ]
    )
    first.stock("things", {"a": {"price": 1.25, "tags": ["x", "y"]}, "b": {"price": 3.0}})
    second = engine_of(MemoryStore(), *OPEN)
    for kind in ("contacts", "interactions", "lists", "items"):
        file = tmp_path / f"{kind}{suffix}"
        count = write(file, kind, rows(first, kind, catalogue="things"), "things")
        spec = yaml.safe_load(Path(f"{file}.import.yaml").read_text())
        done = run_described(second, file, spec)
        assert done.tally.accepted == count, done.tally.problems
        assert by_text(dumped(second, kind)) == by_text(dumped(first, kind))


def run_described(engine: Engine, file: Path, spec: dict[str, Any]) -> Any:
    from parcours.runtimes.importer import Importer
    from parcours.wiring import open_import, watch_spec

    described = watch_spec(yaml.safe_dump(spec))
    opened = open_import(file, described, engine.plan.workspace, name=file.name)
    return Importer(opened.rows, None, opened.fingerprint, engine, file=file.name).run()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("kind", ["contacts", "interactions", "lists", "items"])
def test_a_dump_of_nothing_is_read_too(tmp_path, suffix, kind):
    engine = engine_of(MemoryStore(), *OPEN)
    file = tmp_path / f"{kind}{suffix}"
    assert write(file, kind, rows(engine, kind, catalogue="things"), "things") == 0
    spec: dict[str, Any] = {"kind": kind} | ({"catalogue": "things"} if kind == "items" else {})
    if suffix != ".jsonl":
        spec = yaml.safe_load(Path(f"{file}.import.yaml").read_text())
    tally = run_described(engine, file, spec).tally
    assert (tally.rows, tally.rejected) == (0, 0)
    assert dumped(engine, kind) == []
