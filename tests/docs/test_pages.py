"""What the pages show is what the code takes and makes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parcours.definitions.load import Source, load
from parcours.definitions.workspace import Workspace
from tools import check_docs, doc_tables, draw_journey

ROOT = Path(__file__).resolve().parents[2]
PAGES = check_docs.pages(ROOT)


def blocks(language: str) -> list[tuple[str, str]]:
    found = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        (f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 2}", match[1])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in found.finditer(text)
    ]


DEFINITIONS = [block for block in blocks("yaml") if re.search(r"^kind: ", block[1], re.MULTILINE)]


@pytest.mark.parametrize("place, text", [pytest.param(*block, id=block[0]) for block in DEFINITIONS])
def test_every_block_of_definitions_passes_the_check(place: str, text: str) -> None:
    _, problems, _ = load([Source(place, text)])
    assert problems == []


@pytest.mark.parametrize("place, text", [pytest.param(*block, id=block[0]) for block in blocks("json")])
def test_every_json_block_is_json(place: str, text: str) -> None:
    assert json.loads(text), place


@pytest.mark.parametrize("example", re.findall(r"`(\{contact: x, .*?\})`", doc_tables.operators()))
def test_every_example_of_an_operator_is_a_condition(example: str) -> None:
    text = f"kind: segment\nname: x\ncondition: {example}\n"
    workspace, problems, _ = load([Source("example.yaml", text)])
    assert problems == []
    assert list(workspace.segments) == ["x"]


def test_tables_and_pictures_are_up_to_date() -> None:
    assert doc_tables.main(["--check"]) == 0
    assert draw_journey.main(["--check"]) == 0


def test_a_page_that_fell_behind_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("<!-- table: operators -->\nold\n<!-- /table -->\n", encoding="utf-8")
    assert doc_tables.main(["--check", "--root", str(tmp_path)]) == 1
    assert "docs/page.md: a table differs" in capsys.readouterr().out


def test_a_picture_that_fell_behind_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "examples" / "seed"
    folder.mkdir(parents=True)
    for file in (ROOT / "examples" / "seed").glob("*.yaml"):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    assert draw_journey.main(["--root", str(tmp_path)]) == 0
    assert draw_journey.main(["--check", "--root", str(tmp_path)]) == 0
    journey = folder / "journey.yaml"
    journey.write_text(journey.read_text(encoding="utf-8").replace("after: 1d", "after: 2d"), encoding="utf-8")
    assert draw_journey.main(["--check", "--root", str(tmp_path)]) == 1
    assert "differs from examples/seed" in capsys.readouterr().out


def shapes(workspace: Workspace, name: str) -> list[draw_journey.Node]:
    graph = draw_journey.Graph(workspace.journeys[name], workspace)
    draw_journey.lay_out(graph)
    return [node for node in graph.nodes if node.shape != "pass"]


LOOP = """
kind: message
name: nudge
channel: push
content: {title: "<Hey> & you", body: Still there.}
---
kind: journey
name: loop
entry: {type: interaction, interaction: Cart Viewed}
start: pause
steps:
  pause:
    type: wait_for
    events: [{type: interaction, interaction: Order Completed, where: {interaction: coupon, is: "<b>"}}]
    timeout: {after: 1d, next: nudge}
    next: done
  nudge: {type: send, messages: [nudge], next: pause, suppressed: done}
  done: {type: end}
"""


@pytest.mark.parametrize("folder", ["examples/seed", "examples/complete-journey", "loop"])
def test_nothing_in_a_picture_lies_on_anything_else(folder: str) -> None:
    workspace = load([Source("loop.yaml", LOOP)])[0] if folder == "loop" else draw_journey.read([ROOT / folder])
    assert workspace.journeys
    for name, journey in workspace.journeys.items():
        nodes = shapes(workspace, name)
        for index, one in enumerate(nodes):
            for other in nodes[index + 1 :]:
                apart = abs(one.x - other.x) >= (one.width + other.width) / 2
                assert apart or abs(one.y - other.y) >= (one.height + other.height) / 2
        drawn = draw_journey.draw(journey, workspace)
        assert drawn == draw_journey.draw(journey, workspace)
        assert "<b>" not in drawn


def test_a_script_runs_by_itself(tmp_path: Path) -> None:
    out = tmp_path / "welcome.svg"
    script = ROOT / "tools" / "draw_journey.py"
    command = [sys.executable, script, ROOT / "examples" / "complete-journey", "--journey", "welcome", "--out", out]
    subprocess.run(command, check=True, timeout=60)
    assert out.read_text(encoding="utf-8").startswith("<svg ")
