"""`parcours backtest`: drafts run over what was recorded."""

from __future__ import annotations

import re
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
from parcours.definitions.load import Located, Source, read
from parcours.definitions.validate import convert
from parcours.definitions.zones import zone_hint, zone_of
from parcours.errors import InvalidDefinitionError, ParcoursError, Problem
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
    if zone_of(zone) is None:
        raise ParcoursError(f"there is no time zone {zone!r}", hint=zone_hint(zone))
    drafts, others = located_in(sources_in(files)), located_in(sources_in(against or []))
    common: dict[str, Any] = {
        "start": instant_in(start),
        "end": instant_in(end),
        "rates": {name: _number(text) for name, text in _pairs(rate or [])},
        "delays": {name: _length(text) for name, text in _pairs(after or [])},
        "assume": assumptions_in(assume) if assume is not None else Assumptions(),
        "with_live": with_live,
    }
    mine, its = plain(drafts), plain(others)
    try:
        if data is not None:
            reports = run_here(data, [mine, *([its] if against else [])], common, zone, processes)
        else:
            reports = run_there(url, secret_key, mine, its if against else None, {**common, "zone": zone})
    except ParcoursError as error:
        raise ParcoursError(placed(str(error), drafts, others)) from None
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


def located_in(sources: Iterable[Source]) -> list[Located]:
    """Return the definitions of files, and where they stand.

    Raises:
        InvalidDefinitionError: A file cannot be read.
    """
    found: list[Located] = []
    wrong: list[Problem] = []
    for source in sources:
        good, problems = read(source)
        wrong += problems
        found += [located for located in good if isinstance(located.definition, dict)]
    if wrong:
        raise InvalidDefinitionError(wrong)
    return found


def plain(drafts: Iterable[Located]) -> list[dict[str, Any]]:
    """Return definitions as plain data."""
    return [located.definition for located in drafts if isinstance(located.definition, dict)]


def definitions_in(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Return the definitions of files as plain data."""
    return plain(located_in(sources))


def placed(said: str, drafts: Sequence[Located], others: Sequence[Located]) -> str:
    """Return what is wrong with definitions, with file and line in place of their numbers."""

    def place(found: re.Match[str]) -> str:
        against, number, pointer = found.groups()
        files = others if against else drafts
        if int(number) >= len(files):
            return found.group()
        located = files[int(number)]
        line = located.line_of(pointer)
        where = f"{located.file}:{line}" if line else located.file
        return f"{where} {pointer}" if pointer else where

    return re.sub(r"^(/against)?/definitions/(\d+)((?:/[^:\n]*)?)(?=: )", place, said, flags=re.MULTILINE)


def run_here(
    data: Path, drafts: list[list[dict[str, Any]]], common: dict[str, Any], zone: str, processes: int
) -> list[BacktestReport]:
    """Run drafts, and what they are compared with, over what is in a folder."""
    from parcours.runtimes.backtest.job import Job
    from parcours.wiring import backtest as run

    with OUT.status("Running"):
        jobs = [Job(definitions=one, baseline=number > 0, **common) for number, one in enumerate(drafts)]
        reports = []
        for job in jobs:
            try:
                reports.append(run(data, job, zone, processes))
            except InvalidDefinitionError as error:
                raise error.below("/against" if job.baseline else "") from None
        return reports


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
    if not report.inputs:
        OUT.print("Nothing was recorded in this time.")
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
    "held": lambda step: f"{step.held:,}" if step.held else "",
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
    shares: dict[int, tuple[str, float, float]] = {}
    theirs = {journey.journey: journey for journey in other.journeys}
    for journey in one.journeys:
        # A draft is compared with that of its name, or with the only one there is.
        same = theirs.get(journey.journey) or (other.journeys[0] if len(other.journeys) == 1 else None)
        if same is None:
            OUT.print(f"{journey.journey}: there is no draft of this name to compare it with", markup=False)
            continue
        rows += [
            (f"{journey.journey}: entries", journey.entries, same.entries),
            (f"{journey.journey}: people", journey.people, same.people),
            (f"{journey.journey}: messages", sum(journey.messages.values()), sum(same.messages.values())),
            (f"{journey.journey}: suppressed", _suppressed(journey), _suppressed(same)),
            *(
                (f"{journey.journey}: goal {goal}", journey.goals.get(goal, 0), same.goals.get(goal, 0))
                for goal in dict.fromkeys([*journey.goals, *same.goals])
            ),
            (f"{journey.journey}: under way", journey.under_way, same.under_way),
        ]
        if journey.conversion is not None and same.conversion is not None:
            shares[len(rows)] = (f"{journey.journey}: conversion", journey.conversion, same.conversion)
    for number, (what, mine, its) in enumerate(rows, 1):
        table.add_row(what, f"{mine:,}", f"{its:,}", f"{mine - its:+,}")
        if (share := shares.get(number)) is not None:
            table.add_row(share[0], f"{share[1]:.1%}", f"{share[2]:.1%}", f"{100 * (share[1] - share[2]):+.1f} points")
    OUT.print(table)


def _suppressed(journey: JourneyReport) -> int:
    return sum(sum(step.suppressed.values()) for step in journey.steps)


def names_of(found: dict[str, int]) -> str:
    """Return counts as text, the most frequent first."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
