"""`parcours simulate`: definitions over inputs, on a virtual clock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from parcours.cli.console import ERR, OUT, Files, instant_in, plural, print_problems, read_text, sources_in
from parcours.conditions.instants import iso
from parcours.core.effects import Trace, What
from parcours.core.gate import Arrival, Reacted
from parcours.definitions.load import dump, load
from parcours.errors import InvalidDefinitionError, Problem
from parcours.runtimes.engine import Accepted, Refused
from parcours.runtimes.simulation import Simulation
from parcours.sources.segment import REACTIONS, MalformedError, SegmentReader
from parcours.wiring import simulation


def simulate(
    files: Files,
    inputs: Annotated[
        Path, typer.Option(help="What happens: Segment messages with a timestamp, one JSON object a line.")
    ],
    until: Annotated[
        str | None, typer.Option(help="Run the clock on to this instant, ISO 8601 with an offset.")
    ] = None,
) -> None:
    """Run definitions over inputs on a virtual clock, send nothing, and print what would happen.

    A reaction names the message it is to by its definition:
    {"type": "track", "event": "Email Opened", "userId": "1", "timestamp": "…", "properties": {"message": "offer-email"}}
    """
    workspace, problems, warnings = load(sources_in(files))
    if problems:
        raise InvalidDefinitionError(problems)
    print_problems(warnings, "warning")
    arrivals = sorted(_read_inputs(inputs), key=lambda item: item[1].occurred_at or 0)
    start = (arrivals[0][1].occurred_at or 0) if arrivals else 0
    end = instant_in(until) if until is not None else None
    run = simulation(start)
    definitions = [dump(definition) for definition in workspace.all()]
    journeys = [item for item in definitions if item["kind"] == "journey"]
    run.publish([item for item in definitions if item["kind"] != "journey"])
    # Journeys go live after what is known at the first instant, so that a segment has members when it is read.
    known = [item for item in arrivals if item[1].occurred_at == start and not isinstance(item[1].what, Reacted)]
    for line, arrival in known:
        _simulate_one(run, line, arrival)
    run.publish(journeys)
    for line, arrival in arrivals:
        if (line, arrival) not in known:
            run.advance(arrival.occurred_at or 0)
            _simulate_one(run, line, arrival)
    if end is not None:
        run.advance(end)
    _print_timeline(run)


def _read_inputs(path: Path) -> list[tuple[int, Arrival]]:
    counter = iter(range(1, sys.maxsize))
    reader = SegmentReader("simulation", lambda: 0, lambda: f"line-{next(counter)}")
    found: list[tuple[int, Arrival]] = []
    problems: list[Problem] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            type_ = msgspec.json.decode(line, type=_Typed).type
            read = reader.single(line.encode(), type_)
        except (MalformedError, msgspec.DecodeError) as error:
            problem = error.problem if isinstance(error, MalformedError) else Problem(code="json", message=str(error))
            problems.append(msgspec.structs.replace(problem, file=str(path), line=number))
            continue
        problems += [msgspec.structs.replace(item[2], file=str(path), line=number) for item in read.problems]
        for arrival in read.arrivals:
            if arrival.occurred_at is None:
                missing = Problem(code="no_time", message="'timestamp' is missing", pointer="/timestamp")
                problems.append(msgspec.structs.replace(missing, file=str(path), line=number))
            found.append((number, arrival))
    if problems:
        raise InvalidDefinitionError(problems)
    return found


class _Typed(msgspec.Struct):
    type: str = ""


def _simulate_one(run: Simulation, line: int, arrival: Arrival) -> None:
    event = getattr(arrival.what, "name", "")
    if event in REACTIONS and "message" in getattr(arrival.what, "attributes", {}):
        owner = next(iter(run.store.resolve(arrival.identities).values()), "")
        name = arrival.what.attributes["message"]
        sent = [item.id for item in run.messages() if item.message == name and item.contact == owner]
        if not sent:
            ERR.print(f"line {line}: no message {name!r} was sent yet; nothing reacted to it", markup=False)
            return
        channel, reaction = REACTIONS[event]
        arrival.what = Reacted(reaction, sent[-1], {"channel": channel})
    for outcome in run.send(arrival):
        if isinstance(outcome, Refused):
            ERR.print(f"line {line}: refused: {outcome.problem}", markup=False)
        elif not isinstance(outcome, Accepted):
            ERR.print(f"line {line}: a repeat, ignored", markup=False)


def _print_timeline(run: Simulation) -> None:
    table = Table(title="What happened", title_justify="left")
    for column in ("when", "who", "journey", "step", "what", "why"):
        table.add_column(column, no_wrap=column == "when", overflow="fold")
    rows: list[tuple[int, str, Trace]] = []
    after = ""
    while contacts := run.store.scan(after, 1_000):
        after = contacts[-1].id
        for contact in contacts:
            who = contact.identities[0][1] if contact.identities else contact.id
            rows += [(entry.at, who, entry) for entry in run.trace(contact.id)]
    for at, who, entry in sorted(rows, key=lambda row: row[0]):
        if entry.what == What.ARRIVED:
            continue
        when = iso(at, "seconds")
        detail = entry.detail or {}
        why = entry.reason or str(detail.get("rule", ""))
        if "message" in detail:
            why = f"{detail['message']}: {why}"
        table.add_row(when, who, entry.journey, entry.step, entry.what, why)
    OUT.print(table)
    OUT.print(f"{len(run.messages())} {plural(len(run.messages()), 'message')} would have been sent")
