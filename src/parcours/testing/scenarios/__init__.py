"""Scenario files: journeys tried on a virtual clock, written down as YAML. What `parcours test` runs.

    for scenario in read_scenarios(scenario_files([Path("examples")])):
        result = run(scenario, HOSTS["memory"])
        assert result.failure is None, result.failure

| module     | what                                                                        |
|------------|-----------------------------------------------------------------------------|
| `format`   | what can be written: structs, a field a row                                 |
| `reading`  | from files to scenarios; everything wrong with them, with file and line     |
| `times`    | instants and lengths of time as people write them                           |
| `hosts`    | where a scenario runs                                                       |
| `running`  | what each step does                                                         |
| `looking`  | what there is to see of a contact at one instant                            |
| `naming`   | names in expectations that name nothing                                     |
| `expecting`| whether it is as expected: one function a field of `format.Expect`          |
| `timeline` | what happened to a contact, in lines for a person                           |
"""

from __future__ import annotations

from parcours.testing.scenarios.hosts import HOSTS, Host
from parcours.testing.scenarios.reading import Scenario, read_scenarios, scenario_files
from parcours.testing.scenarios.running import Failure, Result, run
from parcours.testing.scenarios.schema import scenario_schema

__all__ = [
    "HOSTS",
    "Failure",
    "Host",
    "Result",
    "Scenario",
    "read_scenarios",
    "run",
    "scenario_files",
    "scenario_schema",
]
