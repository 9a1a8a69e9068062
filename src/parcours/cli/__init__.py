"""The command line: `parcours COMMAND`. Each module holds the commands of one subject."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import parcours
from parcours.cli import (
    backtest,
    catalogues,
    contacts,
    definitions,
    dumps,
    explain,
    imports,
    interactions,
    keys,
    lists,
    lives,
    loyalty,
    messages,
    packs,
    rebuild,
    scenarios,
    secrets,
    segments,
    serve,
    simulate,
)
from parcours.cli.console import ERR, OUT
from parcours.errors import ParcoursError

app = typer.Typer(
    name="parcours",
    help="Real-time customer journeys. Start with: parcours check FILES, parcours simulate FILES, parcours serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS = (
    serve.serve,
    definitions.check,
    definitions.apply,
    definitions.export,
    definitions.schema,
    simulate.simulate,
    backtest.backtest,
)
for _command in COMMANDS:
    app.command()(_command)
app.command("import")(imports.import_)
app.command("test")(scenarios.run_scenarios)
app.command()(dumps.dump)
app.command()(explain.explain)
app.add_typer(definitions.app, name="definitions")
app.add_typer(packs.app, name="packs")
app.add_typer(keys.app, name="keys")
app.add_typer(secrets.app, name="secrets")
app.add_typer(contacts.app, name="contacts")
app.add_typer(lists.app, name="lists")
app.add_typer(loyalty.app, name="loyalty")
app.add_typer(messages.app, name="messages")
app.add_typer(segments.app, name="segments")
app.add_typer(rebuild.app, name="rebuild")
app.add_typer(lives.app, name="journeys")
app.add_typer(catalogues.app, name="catalogues")
app.add_typer(interactions.app, name="interactions")


def main() -> None:
    """Run the command line; an error of ours is one line, not a traceback."""
    try:
        app()
    except ParcoursError as error:
        ERR.print(f"parcours: {error}", markup=False, style="red", soft_wrap=True)
        sys.exit(2)


@app.command()
def demo(
    households: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the 2,469 households, for the hurried.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service up afterwards.")] = False,
) -> None:
    """Push a real year of retail through the service, and check every count."""
    from parcours.demo.run import run_demo

    raise typer.Exit(run_demo(households, keep, OUT))


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        OUT.print(parcours.__version__)
        raise typer.Exit
