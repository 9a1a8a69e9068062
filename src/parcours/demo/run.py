"""The demo as a whole: start what it needs, send a year of purchases, wait, compare, and end what was started."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import parcours
from parcours.definitions.load import Source, dump, load
from parcours.definitions.workspace import Workspace
from parcours.demo.client import Client, Report, ahead, batches
from parcours.demo.compare import Comparison, compare, comparison_table, steps_table
from parcours.demo.counts import Expected, expected
from parcours.demo.dataset import Dataset, DemoError
from parcours.demo.processes import MailServer, Service, mail_server, service

WRITE_KEY = "demo"
SECRET_KEY = "demo-secret"  # noqa: S105 (of a service that this machine alone can reach, for as long as the demo runs)

PATIENCE_SECONDS = 60.0
"""How long nothing may move before the demo gives up."""

_POLL_SECONDS = 0.25
_INTERRUPTED = 130


class _Run(msgspec.Struct, frozen=True):
    """What a run of the demo came to."""

    inputs: int
    sending_seconds: float
    all_seconds: float
    report: Report
    comparison: Comparison


def run_demo(households: int | None, keep: bool, console: Console) -> int:  # noqa: FBT001 (as the command line gives it)
    """Run the demo.

    Args:
        households: How many of the dataset's households take part, the first by number; None for all.
        keep: Leave the service up afterwards, until Ctrl-C.
        console: Where to show what happens.

    Returns:
        0 when every count agrees, 1 when one does not or something failed, 130 after Ctrl-C.
    """
    try:
        with _terminable():
            return _demo(households, keep=keep, console=console)
    except DemoError as error:
        console.print(f"[bold red]The demo failed:[/] {escape(str(error))}")
        if error.details:
            console.print(error.details, markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return _INTERRUPTED


def find_examples() -> Path:
    """Return the folder of the demo's definitions.

    Raises:
        DemoError: It is neither in the package nor beside it.
    """
    package = Path(parcours.__file__).resolve().parent
    for folder in (package / "examples" / "complete-journey", package.parents[1] / "examples" / "complete-journey"):
        if folder.is_dir():
            return folder
    raise DemoError(
        "the demo's definitions are missing: there is no folder examples/complete-journey",
        hint="run the demo from a checkout: git clone, then make demo",
    )


def load_examples() -> Workspace:
    """Return the demo's definitions.

    Raises:
        DemoError: They are missing, or something is wrong with them.
    """
    files = sorted(find_examples().glob("*.yaml"))
    workspace, errors, _ = load(Source(file.name, file.read_text(encoding="utf-8")) for file in files)
    if errors:
        error = DemoError("the demo's definitions are not valid")
        error.details = "\n".join(map(str, errors))
        raise error
    return workspace


def _demo(households: int | None, *, keep: bool, console: Console) -> int:
    workspace = load_examples()
    began = time.monotonic()
    with ExitStack() as stack:
        with console.status("Reading the data, and counting by SQL what must come of it"):
            dataset = stack.enter_context(Dataset(households))
            sql = expected(households)
        console.print(
            f"[bold]The Complete Journey[/]: {sql.contacts:,} households, {sql.orders:,} orders with {sql.lines:,} "
            f"lines. SQL expects {sum(sql.mails.values()):,} mails."
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parcours-demo-")))
        with console.status("Starting the service and a mail server"):
            mails = stack.enter_context(mail_server())
            running = stack.enter_context(service(_options(folder, mails), folder / "service.log"))
            client = stack.enter_context(Client(running.url, WRITE_KEY, SECRET_KEY))
            client.publish([dump(definition) for definition in workspace.all()])
        run = _run(client, mails, dataset, sql, workspace, console)
        _show(run, workspace, console, time.monotonic() - began)
        good = not run.comparison.differences
        if keep:
            _stay(running, folder, console)
    return 0 if good else 1


def _options(folder: Path, mails: MailServer) -> list[str]:
    return [
        *("--clock", "inputs"),
        *("--data", str(folder / "data")),
        *("--port", "0"),
        *("--smtp-url", f"smtp://127.0.0.1:{mails.port}"),
        *("--write-key", WRITE_KEY),
        *("--secret-key", SECRET_KEY),
    ]


def _run(
    client: Client, mails: MailServer, dataset: Dataset, sql: Expected, workspace: Workspace, console: Console
) -> _Run:
    before = client.report().records
    with _progress(console) as progress:
        began = time.monotonic()
        inputs = _send(client, dataset, progress)
        sent = time.monotonic()
        report = _settle(client, progress)
        settled = time.monotonic()
    subjects = {name: message.content["subject"] for name, message in workspace.messages.items()}
    comparison = compare(report, mails.counts(), sql, subjects=subjects, records_before=before)
    return _Run(inputs, sent - began, settled - began, report, comparison)


def _send(client: Client, dataset: Dataset, progress: Progress) -> int:
    task = progress.add_task("Sending a year of orders", total=dataset.size(), rate="")
    done = 0
    began = time.monotonic()
    # One request at a time: what happened first must be in the log first.
    with ahead(batches(dataset.messages())) as bodies:
        for count, body in bodies:
            client.send(body)
            done += count
            progress.update(task, completed=done, rate=f"{done / (time.monotonic() - began):,.0f} inputs/s")
    return done


def _settle(client: Client, progress: Progress) -> Report:
    """Wait until nothing is under way any more, or nothing moves."""
    task: Any = None
    before: Report | None = None
    moved = time.monotonic()
    while True:
        report = client.report()
        if report != before:
            moved = time.monotonic()
        pending = report.in_state("pending")
        # Two equal reports: between the last input and the timers that it makes due nothing else would show.
        if report == before and not (pending or report.queued or report.reading or report.open_timers_due):
            if task is not None:
                progress.update(task, completed=report.in_state("sent"), total=report.in_state("sent"))
            return report
        if time.monotonic() - moved > PATIENCE_SECONDS:
            raise DemoError(
                f"nothing has moved for {PATIENCE_SECONDS:.0f} s, but {pending:,} mails and "
                f"{report.open_timers_due:,} timers still wait"
            )
        if pending:
            if task is None:
                task = progress.add_task("Sending the last mails", total=None, rate="")
            progress.update(task, completed=report.in_state("sent"), total=report.in_state("sent") + pending)
        before = report
        time.sleep(_POLL_SECONDS)


def _show(run: _Run, workspace: Workspace, console: Console, seconds: float) -> None:
    numbers = Table(title="How it went", title_justify="left", title_style="bold", show_header=False, box=None)
    numbers.add_column()
    numbers.add_column(justify="right")
    numbers.add_row("inputs", f"{run.inputs:,}")
    numbers.add_row("seconds to send them", f"{run.sending_seconds:,.1f}")
    numbers.add_row("inputs/s, over HTTP, durable and folded", f"{run.inputs / run.sending_seconds:,.0f}")
    numbers.add_row("mails sent", f"{run.report.in_state('sent'):,}")
    numbers.add_row("seconds until the last mail was sent", f"{run.all_seconds:,.1f}")
    numbers.add_row("seconds in all", f"{seconds:,.1f}")
    console.print()
    console.print(numbers)
    console.print()
    console.print(steps_table(run.comparison, workspace.journeys.values()))
    console.print()
    console.print(comparison_table(run.comparison))
    if run.comparison.differences:
        console.print("[bold red]Not all counts agree.[/]")
    else:
        console.print("[bold green]All counts agree.[/]")


def _stay(running: Service, folder: Path, console: Console) -> None:
    """Leave everything up until Ctrl-C."""
    console.print()
    console.print(f"The service is still up: {running.url}", highlight=False)
    bearer = f"-H 'Authorization: Bearer {SECRET_KEY}'"
    for line in (
        f"  curl {bearer} {running.url}/v1/report",
        f"  curl {bearer} {running.url}/v1/contacts/user_id:household-1",
        f"  its data and its log are in {folder}",
        "Ctrl-C ends it and deletes its data.",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    try:
        running.process.wait()
    except KeyboardInterrupt:
        return
    raise DemoError(f"the service has ended by itself, with {running.process.returncode}")


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=console,
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that the children are ended then, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
