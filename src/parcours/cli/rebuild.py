"""`parcours rebuild`: what can be made again from the log, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parcours.cli.asking import ask
from parcours.cli.console import OUT, SERVICE, SecretKey, Url, plural

app = typer.Typer(
    help="Make again what is made from the log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _rebuild() -> None:
    """Make again what is made from the log."""


@app.command()
def analytics(
    data: Annotated[
        Path | None, typer.Option(help="The folder of a service that does not run; without it, a running one is asked.")
    ] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Make the analytics database again. The sizes that segments had are kept."""
    if data is None:
        answer = ask("POST", url, ["analytics", "rebuild"], secret_key)
        count = answer["behind"]
        OUT.print(f"begun: {count:,} {plural(count, 'record')} to go through")
        return
    from rich.progress import Progress

    from parcours.wiring import rebuild_analytics, settings_from

    settings = settings_from({"data": data})
    with Progress(console=OUT, transient=True) as progress:
        task = progress.add_task("records", total=None)
        count = rebuild_analytics(settings, lambda done, of: progress.update(task, completed=done, total=of))
    OUT.print(f"{count:,} {plural(count, 'record')} gone through")
