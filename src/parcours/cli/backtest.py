"""`parcours backtest`: drafts run over what was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace
from rich.table import Table

from parcours.cli.asking import AsJson, as_json, ask
from parcours.cli.console import OUT, SERVICE, Files, SecretKey, Url, instant_in, plural, read_text, sources_in
from parcours.conditions.durations import parse_duration
from parcours.definitions.load import Source, read
from parcours.definitions.validate import convert
from parcours.errors import InvalidDefinitionError, ParcoursError
from parcours.runtimes.backtest.job import Assumptions
from parcours.runtimes.backtest.report import BacktestReport, JourneyReport, RewardReport, StepReport

Against = Annotated[
    list[Path] | None, typer.Option(help="Files of other drafts to compare with; may be given several times.")
]
Folder = Annotated[
    Path | None, typer.Option(help="The folder of a service, running or not; without it, a running one is asked.")
]
Processes = Annotated[int, typer.Option(min=1, max=64, help="With --data: processes that share the work.")]


def backtest(
    files: Files,
    start: Annotated[str, typer.Option("--from", help="When the draft goes live, ISO 8601 with an offset.")],
    end: Annotated[str, typer.Option("--to", help="Until when it runs, ISO 8601 with an offset.")],
    against: Against = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(help="The share of messages assumed to be reacted to: opened=0.25. May be given several times."),
    ] = None,
    after: Annotated[
        list[str] | None, typer.Option(help="How long after the message that happens: opened=2h. Several times, too.")
    ] = None,
    assume: Annotated[
        Path | None,
        typer.Option(
            help="A file of what else is assumed: answers of webhooks, entries over the API, stock of rewards."
        ),
    ] = None,
    zone: Annotated[str, typer.Option(help="Whose days messages are counted by.")] = "UTC",
    with_live: Annotated[
        bool, typer.Option("--with-live", help="Let the journeys that are live take part, so that caps are shared.")
    ] = False,
    data: Folder = None,
    processes: Processes = 2,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    json: AsJson = False,
) -> None:
    """Run drafts over what was recorded on a virtual clock, send nothing, and report what they would have come to."""
    drafts, others = definitions_in(sources_in(files)), definitions_in(sources_in(against or []))
    common: dict[str, Any] = {
        "start": instant_in(start),
        "end": instant_in(end),
        "rates": {name: _number(text) for name, text in _pairs(rate or [])},
        "delays": {name: _length(text) for name, text in _pairs(after or [])},
        "assume": assumptions_in(assume) if assume is not None else Assumptions(),
        "with_live": with_live,
    }
    if data is not None:
        reports = run_here(data, [drafts, *([others] if against else [])], common, zone, processes)
    else:
        reports = run_there(url, secret_key, drafts, others if against else None, {**common, "zone": zone})
    if json:
        as_json([msgspec.to_builtins(report) for report in reports])
        return
    for report in reports[:1]:
        _print(report)
    if len(reports) > 1:
        _compare(*reports)


def assumptions_in(path: Path) -> Assumptions:
    """Return the assumptions that a file states.

    Raises:
        InvalidDefinitionError: They are not as they should be.
    """
    located, problems = read(Source(str(path), read_text(path)))
    if not problems and len(located) != 1:
        raise ParcoursError(f"{path} is to hold one set of assumptions, and holds {len(located)}")
    if not problems:
        found, wrong = convert(located[0].definition, Assumptions)
        if found is not None:
            return found
        problems = [replace(one, file=str(path), line=located[0].line_of(one.pointer)) for one in wrong]
    raise InvalidDefinitionError(problems)


def definitions_in(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Return the definitions of files as plain data."""
    found: list[dict[str, Any]] = []
    for source in sources:
        good, problems = read(source)
        if problems:
            raise InvalidDefinitionError(problems)
        found += [located.definition for located in good if isinstance(located.definition, dict)]
    return found


def run_here(
    data: Path, drafts: list[list[dict[str, Any]]], common: dict[str, Any], zone: str, processes: int
) -> list[BacktestReport]:
    """Run drafts, and what they are compared with, over what is in a folder."""
    from parcours.runtimes.backtest.job import Job
    from parcours.wiring import backtest as run

    with OUT.status("Running"):
        jobs = [Job(definitions=one, baseline=number > 0, **common) for number, one in enumerate(drafts)]
        return [run(data, job, zone, processes) for job in jobs]


def run_there(
    url: str,
    secret_key: str,
    drafts: list[dict[str, Any]],
    others: list[dict[str, Any]] | None,
    common: dict[str, Any],
    path: Sequence[str] = ("backtests",),
) -> list[BacktestReport]:
    """Let a running service do it."""
    body = {
        **msgspec.to_builtins(common),
        "definitions": drafts,
        **({"against": {"definitions": others}} if others is not None else {}),
    }
    answer = ask("POST", url, [*path], secret_key, body)
    with OUT.status("Running"):
        while answer["state"] in {"waiting", "running"}:
            time.sleep(_POLL_SECONDS)
            answer = ask("GET", url, [*path, answer["id"]], secret_key)
    if answer["state"] == "failed":
        raise ParcoursError(answer["problem"]["message"], hint=answer["problem"].get("hint", ""))
    found = [answer["report"], answer["against"]]
    return [msgspec.convert(report, BacktestReport) for report in found if report is not None]


_POLL_SECONDS = 0.2


def _pairs(given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise ParcoursError(f"{one!r} names no value", hint="write for example opened=0.25")
        yield name, value


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ParcoursError(f"{text!r} is no share", hint="write a number from 0 to 1, such as 0.25")
    return number


def _length(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ParcoursError(str(error), hint="write for example 2h") from None


# --- what is printed --------------------------------------------------------------------------------------------------


def _print(report: BacktestReport) -> None:
    inputs, people = f"{report.inputs:,} {plural(report.inputs, 'input')}", f"{report.people:,} contacts"
    OUT.print(f"{report.start} to {report.end}: {inputs} of {people}, {report.seconds:.1f} s")
    for journey in report.journeys:
        _print_journey(journey)
    for reward in report.rewards:
        print_reward(reward)
    for one in report.assumed:
        OUT.print(
            f"Assumed of the {one.what} {one.of!r}: {one.how} ({one.times:,} {plural(one.times, 'time')})", markup=False
        )
    if report.most_loaded_hour is not None:
        hour = report.most_loaded_hour
        OUT.print(
            f"{report.messages:,} messages on {len(report.days):,} days; most in the hour from {hour.at}: ", end=""
        )
        OUT.print(f"{hour.messages:,}")
        busiest = sorted(report.days.items(), key=lambda day: (-sum(day[1].values()), day[0]))[:_DAYS]
        table = Table(title="The busiest days", title_justify="left")
        table.add_column("day")
        table.add_column("messages", justify="right")
        table.add_column("of these")
        for day, messages in busiest:
            table.add_row(day, f"{sum(messages.values()):,}", names_of(messages))
        OUT.print(table)
    else:
        OUT.print("No message would have been sent.")


_DAYS = 7


def print_reward(reward: RewardReport) -> None:
    """Print what would have become of a reward."""
    left = f", {reward.left:,} left" if reward.left is not None else ""
    declined = f"; not issued: {names_of(reward.declined)}" if reward.declined else ""
    ran_out = f"; none left from {reward.ran_out} on" if reward.ran_out else ""
    OUT.print(
        f"Reward {reward.reward!r}: {reward.issued:,} issued{left}{declined}{ran_out}", markup=False, soft_wrap=True
    )


def _print_journey(journey: JourneyReport) -> None:
    OUT.print(f"\n[bold]{journey.journey}[/]: {journey.entries:,} entries of {journey.people:,} people", end="")
    OUT.print(f", {journey.under_way:,} under way at the end")
    for title, found in (
        ("refused", journey.refused),
        ("ended", journey.ended),
        ("goals", journey.goals),
        ("messages", journey.messages),
    ):
        if found:
            OUT.print(f"  {title}: {names_of(found)}", markup=False)
    if journey.conversion is not None:
        OUT.print(f"  conversion: {journey.conversion:.1%}")
    table = Table()
    for column in ("step", "arrived", "waiting"):
        table.add_column(column, justify="left" if column == "step" else "right")
    # Few journeys call, give or fail.
    columns = {title: tell for title, tell in _COLUMNS.items() if any(tell(step) for step in journey.steps)}
    for title in columns:
        table.add_column(title, overflow="fold")
    for step in journey.steps:
        waiting = f"{step.waiting:,}" if step.waiting else ""
        table.add_row(step.step, f"{step.arrived:,}", waiting, *(tell(step) for tell in columns.values()))
    OUT.print(table)


def _calls(step: StepReport) -> str:
    return names_of(step.answers) or (f"{step.calls:,}" if step.calls else "")


def _rewards(step: StepReport) -> str:
    return names_of(({"given": step.given} if step.given else {}) | step.declined)


_COLUMNS: dict[str, Callable[[StepReport], str]] = {
    "left by": lambda step: names_of(step.left),
    "sent": lambda step: names_of(step.sent),
    "suppressed": lambda step: names_of(step.suppressed),
    "calls": _calls,
    "rewards": _rewards,
    "failed": lambda step: names_of(step.failed),
}
"""What is told of a step, where there is any."""


def _compare(one: BacktestReport, other: BacktestReport) -> None:
    table = Table(title="Compared", title_justify="left")
    for column in ("", "draft", "against", "difference"):
        table.add_column(column, justify="right" if column else "left")
    rows: list[tuple[str, int, int]] = [("messages", one.messages, other.messages)]
    theirs = {journey.journey: journey for journey in other.journeys}
    for journey in one.journeys:
        # A draft is compared with that of its name, or with the only one there is.
        same = theirs.get(journey.journey) or (other.journeys[0] if len(other.journeys) == 1 else None)
        if same is None:
            continue
        rows += [
            (f"{journey.journey}: entries", journey.entries, same.entries),
            (f"{journey.journey}: people", journey.people, same.people),
            (f"{journey.journey}: messages", sum(journey.messages.values()), sum(same.messages.values())),
            (f"{journey.journey}: goals", sum(journey.goals.values()), sum(same.goals.values())),
            (f"{journey.journey}: under way", journey.under_way, same.under_way),
        ]
    for what, mine, its in rows:
        table.add_row(what, f"{mine:,}", f"{its:,}", f"{mine - its:+,}")
    OUT.print(table)


def names_of(found: dict[str, int]) -> str:
    """Return counts as text, the most frequent first."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
