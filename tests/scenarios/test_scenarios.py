"""Every scenario file of the repository, on every host."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcours.testing.scenarios import HOSTS, read_scenarios, run, scenario_files

ROOT = Path(__file__).resolve().parents[2]
FILES = scenario_files([ROOT / "examples", ROOT / "tests" / "scenarios"])


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_scenarios(file: Path, host: str):
    failures = [result.failure for one in read_scenarios([file]) if (result := run(one, HOSTS[host], host)).failure]
    assert not failures, "\n\n".join(map(str, failures))


def test_names_of_scenarios_are_their_own():
    names = [scenario.name for scenario in read_scenarios(FILES)]
    assert sorted(names) == sorted(set(names))
