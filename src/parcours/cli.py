"""The command line: `parcours serve | check | apply | export | simulate | schema | demo`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import http.client
import json
import logging
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import msgspec
import structlog
import typer
from rich.console import Console
from rich.table import Table

import parcours
from parcours.core.effects import Trace, What
from parcours.core.gate import Arrival, Reacted
from parcours.definitions.load import Source, dump, dump_yaml, load
from parcours.definitions.schema import json_schema
from parcours.definitions.workspace import KINDS, AnyDefinition, Workspace
from parcours.errors import InvalidDefinitionError, ParcoursError, Problem
from parcours.runtimes.engine import Accepted, Refused
from parcours.runtimes.simulation import Simulation
from parcours.sources.segment import REACTIONS, MalformedError, SegmentReader
from parcours.wiring import Service, build, settings_from, simulation, template_problems

app = typer.Typer(
    name="parcours",
    help="Real-time customer journeys. Start with: parcours check FILES, parcours simulate FILES, parcours serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)

SUFFIXES = (".yaml", ".yml", ".json")

Files = Annotated[
    list[Path], typer.Argument(help="Definition files (YAML or JSON), or folders of them.", show_default=False)
]
Url = Annotated[str, typer.Option(envvar="PARCOURS_URL", help="The service.")]
SecretKey = Annotated[str, typer.Option(envvar="PARCOURS_SECRET_KEY", help="The key that may use the API.")]


def main() -> None:
    """Run the command line; an error of ours is one line, not a traceback."""
    try:
        app()
    except ParcoursError as error:
        _err.print(f"parcours: {error}", markup=False, style="red", soft_wrap=True)
        sys.exit(2)


@app.command()
def serve(
    data: Annotated[Path | None, typer.Option(help="The folder in which everything is kept. [parcours-data]")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one. [8700]")] = None,
    clock: Annotated[
        str | None, typer.Option(help="system, or inputs: time follows the inputs (for rehearsals). [system]")
    ] = None,
    smtp_url: Annotated[str | None, typer.Option(help="The mail server, smtp://HOST:PORT.")] = None,
    sender: Annotated[str | None, typer.Option(help="Who mails are from.")] = None,
    push_url: Annotated[str | None, typer.Option(help="Where push notifications are posted to.")] = None,
    push_token: Annotated[str | None, typer.Option(help="The push provider's bearer token.")] = None,
    write_key: Annotated[str | None, typer.Option(help="The key that may send interactions.")] = None,
    secret_key: Annotated[str | None, typer.Option(help="The key that may use the API.")] = None,
    largest_body: Annotated[int | None, typer.Option(help="Bytes a request body may have. [4194304]")] = None,
) -> None:
    """Start the service. Every option is also an environment variable, such as PARCOURS_PORT."""
    settings = settings_from(locals())
    _log_to_stderr()
    service = build(settings)
    for kind, key in service.new_keys.items():
        _out.print(f"{kind} key (shown once, keep it): {key}", markup=False, soft_wrap=True)
    listener = _listen(settings.host, settings.port)
    import uvloop

    uvloop.run(_serve(service, listener))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that event loops know the connections for TCP and turn Nagle's algorithm off.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, UnicodeError) as error:
        listener.close()
        ours = isinstance(error, OSError) and error.errno in {errno.EADDRINUSE, errno.EACCES}
        why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
        raise ParcoursError(
            f"cannot listen on {host}:{port}: {why}",
            hint="choose another --port" if ours else "--host is an address of this machine, such as 127.0.0.1",
        ) from None
    return listener


async def _serve(service: Service, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        service.app,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
    )

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave signals alone: uvicorn's own way sends itself the signal again, before the host is closed."""
            yield

    server = Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    # What was loaded until now stays; and the contacts held in memory are no garbage to look through at each turn.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await service.host.start()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 (the server has no event to wait for)
        await asyncio.sleep(0.005)
    host, port = listener.getsockname()[:2]
    try:
        with contextlib.suppress(OSError, ValueError):
            print(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        await serving
    finally:
        await service.host.close()


def _log_to_stderr() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


class _StandardError:
    """Standard error, at once and without an end: what cannot be written (a full disk, a closed pipe) is lost."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            os.write(_STANDARD_ERROR, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        pass


_STANDARD_ERROR = 2


@app.command()
def check(
    files: Files,
) -> None:
    """Print everything that is wrong with definition files; exit with 1 if anything is."""
    sources = _sources(files)
    workspace, problems, warnings = load(sources)
    problems += template_problems(sources)
    _print_problems(warnings, "warning")
    _print_problems(problems, "error")
    if problems:
        _err.print(f"{len(problems)} {_plural(len(problems), 'problem')}", style="red")
        raise typer.Exit(1)
    _out.print(f"{len(workspace.all())} {_plural(len(workspace.all()), 'definition')}, no problems")


@app.command()
def apply(files: Files, url: Url = "http://127.0.0.1:8700", secret_key: SecretKey = "") -> None:
    """Check definition files and put them in force: all or none."""
    workspace, problems, _ = load(_sources(files), _in_force(url, secret_key))
    if problems:
        raise InvalidDefinitionError(problems)
    given, _, _ = load(_sources(files))
    wanted = {(type(definition), definition.name) for definition in given.all()}
    chosen = [dump(item) for item in workspace.all() if (type(item), item.name) in wanted]
    status, answer = _call("PUT", f"{url}/v1/definitions", secret_key, {"definitions": chosen})
    try:
        warnings = msgspec.convert(answer.get("warnings", []), list[Problem])
        errors = msgspec.convert(answer.get("errors", []), list[Problem])
    except msgspec.ValidationError:
        raise _stranger(url) from None
    _print_problems(warnings, "warning")
    if status != 200:  # noqa: PLR2004 (HTTP)
        raise InvalidDefinitionError(errors) if errors else _refused(status, answer)
    _out.print(f"{len(chosen)} {_plural(len(chosen), 'definition')} in force at {url}")


@app.command()
def export(
    url: Url = "http://127.0.0.1:8700",
    secret_key: SecretKey = "",
    out: Annotated[
        Path | None, typer.Option(help="A folder: one file a definition. Without it, YAML to the screen.")
    ] = None,
) -> None:
    """Write the definitions in force as YAML."""
    definitions = _in_force(url, secret_key).all()
    if out is None:
        _write(None, dump_yaml(definitions))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParcoursError(f"cannot make the folder {out}: {error.strerror}") from None
    for definition, name in zip(definitions, file_names(definitions), strict=True):
        _write(out / name, dump_yaml([definition]))
    _out.print(f"{len(definitions)} {_plural(len(definitions), 'file')} in {out}")


def file_names(definitions: Iterable[AnyDefinition]) -> list[str]:
    """Return a name for the file of each definition; those that would be the same are numbered."""
    kinds = {type_: kind for kind, type_ in KINDS.items()}
    names: dict[str, None] = {}
    for definition in definitions:
        letters = definition.name.casefold()[:_LONGEST_NAME]
        name = "".join(letter if letter.isalnum() or letter == "_" else "-" for letter in letters).strip("-")
        stem = f"{kinds[type(definition)]}-{name}".strip("-")
        numbered = (f"{stem}-{number}.yaml" for number in count(2))
        names[next(file for file in chain([f"{stem}.yaml"], numbered) if file not in names)] = None
    return list(names)


_LONGEST_NAME = 60
"""Characters of a definition's name that its file is named by: a file's name may have 255 bytes."""


def _write(path: Path | None, text: str) -> None:
    """Write to a file, or to the screen."""
    try:
        if path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            path.write_text(text, encoding="utf-8")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ParcoursError(f"cannot write {path or 'to the screen'}: {error.strerror}") from None


def _in_force(url: str, secret_key: str) -> Workspace:
    status, answer = _call("GET", f"{url}/v1/definitions", secret_key)
    if status != 200:  # noqa: PLR2004 (HTTP)
        raise _refused(status, answer)
    definitions = answer.get("definitions")
    if not isinstance(definitions, list) or not all(isinstance(item, dict) for item in definitions):
        raise _stranger(url)
    workspace, problems, _ = load([Source(url, json.dumps(definitions))])
    if problems:
        raise InvalidDefinitionError(problems)
    return workspace


def _refused(status: int, answer: dict[str, Any]) -> ParcoursError:
    said = " ".join(str(answer.get("detail", answer)).split())[:_SHOWN]
    return ParcoursError(f"the service answered {status}: {said}", hint="check --secret-key")


def _stranger(url: str) -> ParcoursError:
    return ParcoursError(f"what {url} answered is not understood", hint="is it parcours, and of this version?")


_SHOWN = 500
"""Characters of an answer that an error repeats."""


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="A file to write to; without it, the screen.")] = None,
) -> None:
    """Write the JSON Schema of definition files, for editors."""
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    _write(out, text)


@app.command()
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
    workspace, problems, warnings = load(_sources(files))
    if problems:
        raise InvalidDefinitionError(problems)
    _print_problems(warnings, "warning")
    arrivals = sorted(_read_inputs(inputs), key=lambda item: item[1].occurred_at or 0)
    start = (arrivals[0][1].occurred_at or 0) if arrivals else 0
    end = _instant(until) if until is not None else None
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
    for number, line in enumerate(_read_text(path).split("\n"), 1):
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
            _err.print(f"line {line}: no message {name!r} was sent yet; nothing reacted to it", markup=False)
            return
        channel, reaction = REACTIONS[event]
        arrival.what = Reacted(reaction, sent[-1], {"channel": channel})
    for outcome in run.send(arrival):
        if isinstance(outcome, Refused):
            _err.print(f"line {line}: refused: {outcome.problem}", markup=False)
        elif not isinstance(outcome, Accepted):
            _err.print(f"line {line}: a repeat, ignored", markup=False)


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
        when = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        detail = entry.detail or {}
        why = entry.reason or str(detail.get("rule", ""))
        if "message" in detail:
            why = f"{detail['message']}: {why}"
        table.add_row(when, who, entry.journey, entry.step, entry.what, why)
    _out.print(table)
    _out.print(f"{len(run.messages())} {_plural(len(run.messages()), 'message')} would have been sent")


@app.command()
def demo(
    households: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the 2,469 households, for the hurried.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service up afterwards.")] = False,
) -> None:
    """Push a real year of retail through the service, and check every count."""
    from parcours.demo.run import run_demo

    raise typer.Exit(run_demo(households, keep, _out))


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        _out.print(parcours.__version__)
        raise typer.Exit


def _sources(paths: Iterable[Path]) -> list[Source]:
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(item for item in path.rglob("*") if item.suffix in SUFFIXES)
            if not inside:
                raise ParcoursError(f"no {', '.join(SUFFIXES)} file in {path}")
            found += [Source(str(item), _read_text(item)) for item in inside]
        else:
            found.append(Source(str(path), _read_text(path)))
    return found


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParcoursError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParcoursError(f"{path} is not UTF-8: byte {error.start}", hint="save it as UTF-8") from None


def _instant(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ParcoursError(f"{text!r} is not a time", hint="write for example 2026-01-31T09:00:00Z") from None
    if instant.tzinfo is None:
        raise ParcoursError(f"{text!r} has no offset", hint="write for example 2026-01-31T09:00:00Z")
    return int(instant.timestamp() * 1000)


def _call(method: str, url: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    if not url.startswith(("http://", "https://")):
        raise ParcoursError(f"the url is {url!r}", hint="write for example http://127.0.0.1:8700")
    if not (key.isascii() and key.isprintable()):
        raise ParcoursError("a header cannot hold the key", hint="check --secret-key for what is not ASCII")
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 (checked above)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (checked above)
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, b""
        with contextlib.suppress(OSError, http.client.HTTPException):
            text = error.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ParcoursError(f"cannot reach {url}: {why}", hint="is the service running? parcours serve") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return status, found
    if status < 400:  # noqa: PLR2004 (HTTP)
        raise _stranger(url)
    return status, {"detail": http.client.responses.get(status, "")}


def _print_problems(problems: Iterable[Problem], kind: str) -> None:
    for problem in problems:
        _err.print(f"{kind}: {problem}", markup=False, style="yellow" if kind == "warning" else "red", soft_wrap=True)


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
