"""`parcours test`: what it prints, what it writes, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from parcours.cli.console import OUT
from tests.cli.test_commands import parcours

FILE = """
definitions:
  - {kind: message, name: hello, channel: email, purpose: transactional, content: {subject: Hello, text: Hello.}}
  - kind: journey
    name: j
    entry: {type: interaction, interaction: Go}
    start: s
    steps: {s: {type: send, messages: [hello]}}
contacts:
  ann: {reachable: email}
scenarios:
  she is greeted:
    - {track: Go, expect: {sent: hello}}
  she is greeted twice:
    - {track: Go, expect: {sent: hello}}
    - {after: 1d, track: Go, expect: {sent: hello}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(OUT, "_width", 200)
    path = tmp_path / "hello.scenarios.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_failure_is_shown_with_its_place_and_the_timeline(file: Path):
    done = parcours("test", file)
    assert done.code == 1
    assert "FAIL  she is greeted twice  (memory)" in done.out
    assert f"{file}:16  at Tue 2026-03-03 09:00:00" in done.out
    assert "'hello' was to be sent to ann" in done.out
    assert "entered_before" in done.out
    assert "1 of 2 scenarios in 1 file" in done.out


def test_all_as_they_say(file: Path):
    done = parcours("test", file, "-k", "greeted", "-k", "she is greeted", "--host", "all", "-v")
    assert done.code == 1
    file.write_text(FILE.rpartition("  she is greeted twice")[0], encoding="utf-8")
    done = parcours("test", file.parent, "--host", "all", "-v")
    assert done.code == 0
    assert done.out.count("she is greeted") == 3
    assert "3 scenarios in 1 file" in done.out


def test_some_by_name(file: Path):
    assert parcours("test", file, "-k", "twice").out.count("FAIL") == 1
    nothing = parcours("test", file, "-k", "thrice")
    assert nothing.code == 2
    assert "none has 'thrice' in its name" in nothing.err


def test_results_for_machines(file: Path, tmp_path: Path):
    parcours("test", file, "--junit", tmp_path / "junit.xml", "--json", tmp_path / "results.json", "--host", "late")
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("scenarios on late", "2", "1")
    assert [case.get("name") for case in suite] == ["she is greeted", "she is greeted twice"]
    assert "what happened to ann" in (suite[1][0].text or "")
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["results"]
    assert [one["ok"] for one in results] == [True, False]
    assert results[1]["failure"]["line"] == 16
    # The last that happened, and the look at it that failed.
    refused, look = results[1]["failure"]["happened"][-2:]
    assert refused["why"].startswith("entered_before")
    assert look["why"].startswith("line 16")


def test_what_no_xml_may_hold_is_left_out_of_it(file: Path, tmp_path: Path):
    odd = FILE.replace("she is greeted twice", '"she is \\e[31m ]]> & < greeted twice"').replace(
        "{after: 1d, track: Go,", '{after: 1d, track: Go, attributes: {a: "\\e[2J"},'
    )
    file.write_text(odd, encoding="utf-8")
    assert parcours("test", file, "--junit", tmp_path / "junit.xml").code == 1
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert suite[1].get("name") == "she is \ufffd[31m ]]> & < greeted twice"
    assert "\ufffd[2J" in (suite[1][0].text or "")


def test_what_is_written_wrongly_is_said(file: Path):
    file.write_text(FILE.replace("expect: {sent: hello}}", "expct: {sent: hello}}", 1), encoding="utf-8")
    done = parcours("test", file)
    assert done.code == 2
    assert f"{file}:13" in done.err.replace("\n", "")
    assert "did you mean 'expect'?" in done.err


def test_commands_that_read_definitions_pass_over_scenarios(file: Path):
    (file.parent / "list.yaml").write_text("{kind: list, name: vip}", encoding="utf-8")
    done = parcours("check", file.parent)
    assert done.code == 0, done
    assert "1 definition, no problems" in done.out


def test_the_schema_of_scenarios():
    schema = json.loads(parcours("schema", "--scenarios").out)
    assert schema["title"] == "Scenarios of parcours"
