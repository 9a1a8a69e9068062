"""The use cases can be applied as they are: nothing is wrong with them, and nothing is doubtful."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_commands import parcours

USE_CASES = Path(__file__).resolve().parents[2] / "examples" / "use-cases"
FOLDERS = sorted(file.parent for file in USE_CASES.glob("*/definitions.yaml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_nothing_is_said_of_a_use_case(folder: Path):
    done = parcours("check", folder)
    assert (done.code, done.err) == (0, ""), done


def test_each_use_case_is_in_the_table_and_has_scenarios():
    told = (USE_CASES / "README.md").read_text()
    for folder in (one for one in USE_CASES.iterdir() if one.is_dir()):
        assert f"| [{folder.name}]({folder.name}) |" in told
        assert (folder / "scenarios.yaml").is_file()
