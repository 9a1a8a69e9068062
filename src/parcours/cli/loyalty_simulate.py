"""`parcours loyalty simulate`: rules tried on what was recorded, before they go live."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from parcours.cli.asking import AsJson, as_json
from parcours.cli.backtest import (
    Against,
    Folder,
    Processes,
    definitions_in,
    names_of,
    print_reward,
    run_here,
    run_there,
)
from parcours.cli.console import OUT, SERVICE, Files, SecretKey, Url, instant_in, plural, sources_in
from parcours.errors import ParcoursError
from parcours.runtimes.backtest.report import BacktestReport
from parcours.runtimes.backtest.rules import ProgrammeReport, RuleReport

_DAYS = 7


def simulate(
    files: Files,
    start: Annotated[str, typer.Option("--from", help="When the rules go live, ISO 8601 with an offset.")],
    end: Annotated[str, typer.Option("--to", help="Until when, ISO 8601 with an offset.")],
    rule: Annotated[
        list[str] | None, typer.Option(help="Only this rule of the files; may be given several times.")
    ] = None,
    against: Against = None,
    against_live: Annotated[bool, typer.Option("--against-live", help="Compare with what is live.")] = False,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Let everybody be a member, from when they are known.")
    ] = False,
    data: Folder = None,
    processes: Processes = 2,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    json: AsJson = False,
) -> None:
    """Try rules on recorded history: what they would cost, whom they touch, why they give nothing. Nothing is given."""
    drafts = _chosen(definitions_in(sources_in(files)), rule or [])
    others = definitions_in(sources_in(against or [])) if against or against_live else None
    common: dict[str, Any] = {"start": instant_in(start), "end": instant_in(end), "everybody": everybody}
    if data is not None:
        reports = run_here(data, [drafts, *([others] if others is not None else [])], common, "UTC", processes)
    else:
        reports = run_there(url, secret_key, drafts, others, common, ("loyalty", "simulations"))
    if json:
        as_json([msgspec.to_builtins(report) for report in reports])
        return
    _print(reports[0])
    if len(reports) > 1:
        _compare(*reports)


def _chosen(definitions: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """Return the definitions, of the rules only those of these names, or all."""
    rules = [str(item.get("name")) for item in definitions if item.get("kind") == "rule"]
    if missing := [name for name in names if name not in rules]:
        hint = f"there are: {', '.join(rules)}" if rules else "there is none"
        raise ParcoursError(f"no rule {missing[0]!r} in the files", hint=hint)
    return [item for item in definitions if item.get("kind") != "rule" or not names or item.get("name") in names]


def _print(report: BacktestReport) -> None:
    inputs, people = f"{report.inputs:,} {plural(report.inputs, 'input')}", f"{report.people:,} contacts"
    OUT.print(f"{report.start} to {report.end}: {inputs} of {people}, {report.seconds:.1f} s")
    for programme in report.programmes:
        _print_programme(programme)
    for reward in report.rewards:
        print_reward(reward)
    table = Table(title="By rule", title_justify="left")
    for column in ("rule", "times", "members", "given", "pending", "reversed", "expired", "cost"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for rule in report.rules:
        figures = (rule.awards, rule.members, rule.given, rule.pending, rule.reversed, rule.expired, rule.cost)
        name = rule.rule if rule.draft else f"{rule.rule} (live)"
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    OUT.print(table)
    for rule in report.rules:
        if rule.withheld:
            OUT.print(f"{rule.rule} gave nothing: {names_of(rule.withheld)}", markup=False)
        if rule.ran_out is not None:
            OUT.print(f"the budget of {rule.rule} was not enough from {rule.ran_out} on", markup=False)


def _print_programme(report: ProgrammeReport) -> None:
    OUT.print(f"\n[bold]{report.programme}[/]: {report.cost:,} points", end="")
    OUT.print(f" to {report.touched:,} of {report.members:,} members, {report.entries:,} entries")
    OUT.print(f"  given {report.given:,}, of these held at the end {report.pending:,}", end="")
    OUT.print(f"; reversed {report.reversed:,}, expired {report.expired:,}, spent {report.spent:,}")
    OUT.print(f"  at the end members have {report.balance:,}, and {report.held:,} held")
    given = {day: sum(kinds.get(kind, 0) for kind in ("earned", "pending")) for day, kinds in report.days.items()}
    busiest = sorted(given.items(), key=lambda pair: (-pair[1], pair[0]))[:_DAYS]
    if busiest:
        OUT.print(f"  the busiest of {len(given):,} days: {', '.join(f'{day} {points:,}' for day, points in busiest)}")


def _compare(one: BacktestReport, other: BacktestReport) -> None:
    table = Table(title="Compared", title_justify="left")
    for column in ("", "draft", "against", "difference"):
        table.add_column(column, justify="right" if column else "left")
    theirs = {report.programme: report for report in other.programmes}
    for mine in one.programmes:
        its = theirs.get(mine.programme, ProgrammeReport(mine.programme))
        for figure in ("cost", "given", "pending", "reversed", "expired", "spent", "touched"):
            _row(table, f"{mine.programme}: {figure}", getattr(mine, figure), getattr(its, figure))
    rules = {report.rule: report for report in other.rules}
    for name in _names(one.rules, other.rules):
        nothing = RuleReport(name, "", draft=False)
        ours = next((report for report in one.rules if report.rule == name), nothing)
        _row(table, f"{name}: cost", ours.cost, rules.get(name, nothing).cost)
    OUT.print(table)


def _names(*reports: Iterable[RuleReport]) -> list[str]:
    return list(dict.fromkeys(report.rule for of_one in reports for report in of_one))


def _row(table: Table, what: str, mine: int, its: int) -> None:
    table.add_row(what, f"{mine:,}", f"{its:,}", f"{mine - its:+,}")
