"""`parcours import`: files of contacts, interactions, lists and items, into a store or a running service."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import typer
from rich.console import Group
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from parcours.cli.client import call, refused, stranger
from parcours.cli.console import ERR, OUT, SERVICE, SecretKey, plural, read_text
from parcours.errors import ParcoursError, Problem
from parcours.runtimes.dump import EXPORTS
from parcours.runtimes.importer import Importer, Rehearsal, Tally
from parcours.sources.files import Found, ImportSpec, spec_from_options, spec_from_text
from parcours.wiring import kept_engine, open_import, plain_spec

ROWS = 2_500
"""Rows of a part where nobody else waits for the store."""

LOOK_SECONDS = 0.5
"""Between looks at an import that a service does."""

_USUAL_URL = SERVICE
_SHOWN = 10


def import_(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON Lines or Parquet; the first two also packed (.gz).")],
    kind: Annotated[
        str | None, typer.Option(help="interactions, contacts, lists or items; or the --spec says it.")
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="A description of the files, YAML or JSON.")] = None,
    options: Annotated[
        list[str] | None, typer.Option("--set", help="A field of a description, such as occurred_at=Date; repeatable.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="The zone of times without an offset.")] = None,
    source: Annotated[str | None, typer.Option(help="What message ids are told apart by. [file]")] = None,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="It is history: it counts, and triggers nothing.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="The data folder of a service that does not run: its store is written to.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(envvar="PARCOURS_URL", help=f"A running service to upload to. [{_USUAL_URL}]")
    ] = None,
    secret_key: SecretKey = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
    learn: Annotated[bool, typer.Option("--learn", help="Take interactions that nobody defined, too.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make lists that are not there.")] = False,
    rejects: Annotated[Path | None, typer.Option(help="Where rejected rows go. [FILE.rejected.csv or .jsonl]")] = None,
) -> None:
    """Import files. Ends with 0 when every row was taken, with 1 when some were rejected.

    Rejected rows go to a file, to be mended and imported again. The same file again changes nothing, and an import that
    was cut off goes on where it was.
    """
    described = _spec(kind, spec, options or [], zone=zone, source=source, backfill=backfill)
    if rejects is not None and len(files) > 1:
        raise ParcoursError("--rejects is for one file", hint="without it, each file has its own")
    if data is not None and url is not None:
        raise ParcoursError("--data and --url cannot both be given")
    all_taken = True
    for file in files:
        if not file.is_file():
            raise ParcoursError(f"there is no file {file}")
        work = _Work(file, described, rejects, dry_run=dry_run, learn=learn, create=create)
        if data is not None:
            tally = work.into(data)
        elif dry_run and url is None:
            tally = work.alone()
        else:
            tally = work.upload((url or _USUAL_URL).rstrip("/"), secret_key)
        all_taken = all_taken and tally.rejected == 0
    raise typer.Exit(0 if all_taken else 1)


def _spec(
    kind: str | None,
    spec: Path | None,
    options: list[str],
    *,
    zone: str | None,
    source: str | None,
    backfill: bool,
) -> ImportSpec:
    if kind in EXPORTS:
        hint = "points and coupons come of inputs: import interactions, or use the API; docs/operating.md has backups"
        raise ParcoursError(f"no import reads {kind!r}", hint=hint)
    given = [f"kind={kind}"] if kind is not None else []
    given += [f"zone={zone}"] if zone is not None else []
    given += [f"source={source}"] if source is not None else []
    given += ["backfill=true"] if backfill else []
    if spec is not None:
        return spec_from_text(str(spec), read_text(spec), [*given, *options])
    if not any(option.startswith("kind=") for option in [*given, *options]):
        raise ParcoursError("nothing says what is in the files", hint="--kind interactions, contacts, lists or items")
    return spec_from_options([*given, *options])


class _Work:
    """What is done with one file."""

    def __init__(
        self, file: Path, spec: ImportSpec, rejects: Path | None, *, dry_run: bool, learn: bool, create: bool
    ) -> None:
        self._file = file
        self._spec = spec
        self._rejects = rejects or file.with_name(f"{file.name}.rejected")
        self._dry_run = dry_run
        self._learn = learn
        self._create = create

    def into(self, data: Path) -> Tally:
        """Import the file into a store that nobody else has."""
        if self._dry_run and not (data / "parcours.db").is_file():
            raise ParcoursError(
                f"there is no store in {data}", hint="without --data, a dry run looks at the file alone"
            )
        with kept_engine(data) as engine:
            workspace = engine.plan.workspace
            rejects = None if self._dry_run else self._rejects
            opened = open_import(
                self._file, plain_spec(self._spec), workspace, name=self._file.name, rejects=rejects, rows=ROWS
            )
            # What was loaded until now stays; what comes and goes holds no circles to look for.
            gc.collect()
            gc.freeze()
            gc.set_threshold(2_000_000, 20, 50)
            if self._dry_run:
                rehearsal = Rehearsal(opened.rows, engine, file=self._file.name, learn=self._learn, create=self._create)
                return self._rehearse(rehearsal, opened.found)
            with _bar(self._file) as tell:
                importer = Importer(
                    opened.rows,
                    opened.rejects,
                    opened.fingerprint,
                    engine,
                    file=self._file.name,
                    learn=self._learn,
                    create=self._create,
                    tell=lambda progress: tell(progress.place, progress.tally),
                )
                if importer.resumed:
                    OUT.print(f"{self._file}: goes on behind row {importer.resumed:,}", markup=False, soft_wrap=True)
                started = time.perf_counter()
                done = importer.run()
                seconds = time.perf_counter() - started
        written = getattr(opened.rejects, "path", None) if done.tally.rejected else None
        self._summary(done.tally, written, (done.tally.rows - importer.resumed) / max(seconds, 1e-9))
        return done.tally

    def alone(self) -> Tally:
        """Say what the file holds, without a store."""
        from parcours.definitions.workspace import Workspace

        opened = open_import(self._file, plain_spec(self._spec), Workspace(), name=self._file.name, rows=ROWS)
        OUT.print("without --data or --url, definitions are not looked at", markup=False, style="yellow")
        return self._rehearse(Rehearsal(opened.rows, None, file=self._file.name), opened.found)

    def _rehearse(self, rehearsal: Rehearsal, found: dict[str, Any]) -> Tally:
        with _bar(self._file) as tell:
            for part in rehearsal.steps():
                tell(part.place, rehearsal.tally)
        _show(self._file, found, rehearsal.examples)
        self._summary(rehearsal.tally, None)
        return rehearsal.tally

    def upload(self, url: str, secret_key: str) -> Tally:
        """Let a running service import the file."""
        query = {"name": self._file.name, "spec": msgspec.json.encode(self._spec).decode()}
        for option, given in (("dry_run", self._dry_run), ("learn", self._learn), ("create", self._create)):
            if given:
                query[option] = "true"
        status, answer = _upload(f"{url}/v1/imports?{urlencode(query)}", secret_key, self._file)
        if status != 202:  # noqa: PLR2004 (HTTP)
            raise refused(status, answer)
        place = f"{url}/v1/imports/{quote(str(answer.get('id', '')), safe='')}"
        with _bar(self._file) as tell:
            while True:
                status, answer = call("GET", place, secret_key)
                if status != 200:  # noqa: PLR2004 (HTTP)
                    raise refused(status, answer)
                tally = _tally_of(answer, url)
                tell(int(answer.get("place", 0)), tally)
                if answer.get("state") not in {"waiting", "running"}:
                    break
                time.sleep(LOOK_SECONDS)
        if answer.get("state") != "done":
            why = str(_problem_of(answer) or answer.get("state"))
            raise ParcoursError(f"{self._file} was not imported: {why}")
        if self._dry_run:
            _show(self._file, answer.get("found", {}), answer.get("examples", []))
        written = None
        if answer.get("rejected_file"):
            suffix = ".csv" if answer.get("found", {}).get("format") == "csv" else ".jsonl"
            written = _with_suffix(self._rejects, suffix)
            _download(f"{place}/rejected", secret_key, written)
        self._summary(tally, written)
        return tally

    def _summary(self, tally: Tally, written: Path | None, speed: float = 0.0) -> None:
        verb = "would be " if self._dry_run else ""
        said = [
            f"{self._file}: {tally.rows:,} {plural(tally.rows, 'row')}: {verb}{tally.accepted:,} taken",
            f"{tally.duplicates:,} known before",
            f"{tally.rejected:,} rejected",
        ]
        if speed >= 1:
            said.append(f"{speed:,.0f} rows/s")
        OUT.print(", ".join(said), markup=False, soft_wrap=True)
        for problem in tally.problems[:_SHOWN]:
            ERR.print(f"rejected: {problem}", markup=False, style="red", soft_wrap=True)
        if tally.rejected > _SHOWN:
            reasons = ", ".join(f"{code} {count:,}" for code, count in sorted(tally.reasons.items()))
            ERR.print(f"rejected in all: {reasons}", markup=False, style="red", soft_wrap=True)
        if written is not None:
            OUT.print(f"rejected rows are in {written}", markup=False, soft_wrap=True)


def _with_suffix(path: Path, suffix: str) -> Path:
    return path if path.suffix in {".csv", ".jsonl"} else path.with_name(path.name + suffix)


@contextlib.contextmanager
def _bar(file: Path) -> Iterator[Callable[[int, Tally], None]]:
    """Show how far it is; yields what is told of it."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[speed]:,.0f}/s, {task.fields[rejected]:,} rejected"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as bar:
        task = bar.add_task(file.name, total=file.stat().st_size, rows=0, speed=0.0, rejected=0)
        started = time.perf_counter()
        before = -1

        def tell(place: int, tally: Tally) -> None:
            nonlocal before
            before = tally.rows if before < 0 else before
            speed = (tally.rows - before) / max(time.perf_counter() - started, 1e-9)
            bar.update(task, completed=place, rows=tally.rows, speed=speed, rejected=tally.rejected)

        yield tell


def _show(file: Path, found: dict[str, Any], examples: list[Any]) -> None:
    """Print what is known of a file."""
    try:
        known = msgspec.convert(found, Found)
    except msgspec.ValidationError:
        return
    facts = [known.format + (", packed" if known.compressed else "")]
    if known.encoding:
        facts.append(f"{known.encoding} ({known.encoding_decided})")
    if known.delimiter:
        facts.append(f"delimiter {known.delimiter!r}, quote {known.quote!r}" + (", a header" if known.header else ""))
    if known.shape != "columns":
        facts.append("lines in the shape of the plain API")
    if known.ids:
        facts.append(f"message ids {known.ids}")
    columns = Table()
    for name in ("column", "becomes", "type", "decided by", "examples"):
        columns.add_column(name, overflow="fold")
    for column in known.columns:
        becomes = f"{column.role} {column.target}".strip()
        cells = (column.name, becomes, column.type, column.decided, " | ".join(column.examples))
        columns.add_row(*map(Text, cells))
    lines: list[Any] = [Text(f"{file}: {'; '.join(facts)}"), *(Text(note, style="yellow") for note in known.notes)]
    if known.columns:
        lines.append(columns)
    lines += [Text("would become: " + json.dumps(example, ensure_ascii=False, default=str)) for example in examples]
    OUT.print(Group(*lines), soft_wrap=True)


def _tally_of(answer: dict[str, Any], url: str) -> Tally:
    try:
        return msgspec.convert(answer.get("tally"), Tally)
    except msgspec.ValidationError:
        raise stranger(url) from None


def _problem_of(answer: dict[str, Any]) -> Problem | None:
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(answer.get("problem"), Problem | None)
    return None


def _upload(url: str, key: str, file: Path) -> tuple[int, dict[str, Any]]:
    """Send a file as the body of a request, and return the status and what was answered."""
    headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
    with file.open("rb") as body, _asked("POST", url, key, body, headers) as answer:
        try:
            found = json.loads(answer.read())
        except ValueError:
            found = None
    return answer.status, found if isinstance(found, dict) else {"detail": answer.reason}


def _download(url: str, key: str, path: Path) -> None:
    with _asked("GET", url, key) as answer:
        if answer.status != 200:  # noqa: PLR2004 (HTTP)
            raise refused(answer.status, {"detail": answer.reason})
        try:
            with path.open("wb") as file:
                while block := answer.read(2**20):
                    file.write(block)
        except OSError as error:
            raise ParcoursError(f"cannot write {path}: {error.strerror}") from None


@contextlib.contextmanager
def _asked(
    method: str, url: str, key: str, body: Any = None, headers: dict[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ParcoursError(f"the url is {url.partition('/v1/')[0]!r}", hint=f"write for example {_USUAL_URL}")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=600)
    try:
        connection.request(
            method, f"{parts.path}?{parts.query}", body, {"Authorization": f"Bearer {key}", **(headers or {})}
        )
        yield connection.getresponse()
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        where = f"{parts.scheme}://{parts.netloc}"
        raise ParcoursError(f"cannot reach {where}: {why}", hint="is the service running? parcours serve") from None
    finally:
        connection.close()
