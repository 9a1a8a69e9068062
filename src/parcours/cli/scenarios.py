"""`parcours test`: scenario files, on a virtual clock."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.console import OUT, plural, write
from parcours.errors import ParcoursError

if TYPE_CHECKING:
    from parcours.testing.scenarios import Failure, Result, Scenario


class HostName(StrEnum):
    """Where scenarios run."""

    MEMORY = "memory"
    EMBEDDED = "embedded"
    LATE = "late"
    ALL = "all"


def run_scenarios(
    files: Annotated[list[Path], typer.Argument(help="Scenario files, or folders of them.", show_default=False)],
    host: Annotated[
        HostName,
        typer.Option(
            help="memory: the reference. embedded: the store of the service, closed and opened before each step. late: "
            "timers are looked at late."
        ),
    ] = HostName.MEMORY,
    name: Annotated[str, typer.Option("-k", help="Only scenarios with this in their name, or their file's.")] = "",
    junit: Annotated[Path | None, typer.Option(help="Write the results to a file, as JUnit's XML.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the results to a file, as JSON.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for every scenario.")] = False,
) -> None:
    """Run scenario files on a virtual clock; exit with 1 when something is not as they say."""
    import structlog

    from parcours.testing.scenarios import HOSTS, read_scenarios, run, scenario_files

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found = scenario_files(files)
    scenarios = [one for one in read_scenarios(found) if _chosen(one, name)]
    if not scenarios:
        hint = (
            f"none has {name!r} in its name" if name else "their files are called scenarios.yaml or NAME.scenarios.yaml"
        )
        raise ParcoursError("there are no scenarios", hint=hint)
    results: list[Result] = []
    for host_name in HOSTS if host is HostName.ALL else [host.value]:
        for scenario in scenarios:
            result = run(scenario, HOSTS[host_name], host_name)
            results.append(result)
            if result.failure is not None:
                _print_failure(result, result.failure)
            elif verbose:
                OUT.print(Text.assemble((" ok ", "green"), f" {result.scenario}  ({host_name})"))
    if junit is not None:
        write(junit, junit_xml(results))
    if json_ is not None:
        write(
            json_, json.dumps({"results": [plain(result) for result in results]}, indent=2, ensure_ascii=False) + "\n"
        )
    failed = sum(result.failure is not None for result in results)
    seconds = sum(result.seconds for result in results)
    runs = f"{len(results)} {plural(len(results), 'scenario')} in {len({one.file for one in scenarios})} "
    runs += f"{plural(len({one.file for one in scenarios}), 'file')}, {seconds:.1f} s"
    if failed:
        OUT.print(Text(f"{failed} of {runs}: not as they say", style="red"))
        raise typer.Exit(1)
    OUT.print(Text(f"{runs}: all as they say", style="green"))


def _chosen(scenario: Scenario, name: str) -> bool:
    return name.casefold() in scenario.name.casefold() or name.casefold() in str(scenario.file).casefold()


def _print_failure(result: Result, failure: Failure) -> None:
    OUT.print(Text.assemble(("FAIL", "bold red"), f"  {result.scenario}  ({result.host})"))
    OUT.print(Text(f"{failure.file}:{failure.line}  at {failure.when}", style="bold"), soft_wrap=True)
    for message in failure.messages:
        OUT.print(Text(f"  {message}", style="red"), soft_wrap=True)
    if not failure.who:
        return
    table = Table(title=f"What happened to {failure.who}", title_justify="left", title_style="bold")
    for column in ("when", "what", "journey", "step", "why"):
        table.add_column(column, no_wrap=column == "when", overflow="fold")
    for line in failure.happened:
        style = "cyan" if line.came_in else ""
        cells = (line.when, line.what, line.journey, line.step, line.why)
        table.add_row(*(Text(cell) for cell in cells), style=style)
    OUT.print(table)


def plain(result: Result) -> dict[str, object]:
    """Return a result as plain data."""
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(result)
    return found | {"ok": result.failure is None}


def junit_xml(results: Sequence[Result]) -> str:
    """Return results as the XML that continuous integration reads: one suite a host, one case a scenario."""
    from xml.etree.ElementTree import Element, SubElement, indent, tostring

    root = Element("testsuites")
    for host in dict.fromkeys(result.host for result in results):
        cases = [result for result in results if result.host == host]
        suite = SubElement(
            root,
            "testsuite",
            name=f"scenarios on {host}",
            tests=str(len(cases)),
            failures=str(sum(case.failure is not None for case in cases)),
            time=_seconds(case.seconds for case in cases),
        )
        for case in cases:
            element = SubElement(
                suite,
                "testcase",
                name=case.scenario,
                classname=case.file,
                file=case.file,
                line=str(case.line),
                time=_seconds([case.seconds]),
            )
            if case.failure is not None:
                SubElement(element, "failure", message=case.failure.messages[0]).text = str(case.failure)
    indent(root)
    return _NOT_IN_XML.sub("\ufffd", tostring(root, encoding="unicode", xml_declaration=True)) + "\n"


_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What no XML may hold, however it is written, and attributes may."""


def _seconds(seconds: Iterable[float]) -> str:
    return f"{sum(seconds):.3f}"
