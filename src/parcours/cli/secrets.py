"""`parcours secrets list | make`: which secrets calls of webhooks may carry, and new ones to sign with."""

from __future__ import annotations

import base64
import secrets

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.client import stranger
from parcours.cli.console import OUT, SERVICE, SecretKey, Url
from parcours.cli.definitions import asked

app = typer.Typer(
    help="Secrets that calls of webhooks carry.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class _Use(msgspec.Struct):
    journey: str
    pointer: str


class _Secret(msgspec.Struct):
    """What the API tells of a secret. Its own struct comes with all of the API, which takes long to load."""

    name: str
    source: str | None
    problem: str
    hosts: list[str]
    used_by: list[_Use]


@app.command("list")
def list_(url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Show the names of all secrets, where they are set, and who uses them; never what they say."""
    try:
        found = msgspec.convert(asked("GET", f"{url}/v1/secrets", secret_key).get("secrets"), list[_Secret])
    except msgspec.ValidationError:
        raise stranger(url) from None
    table = Table()
    for column in ("name", "set as", "problem", "may be sent to", "used by"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for one in found:
        uses = "\n".join(f"{use.journey} {use.pointer}" for use in one.used_by)
        table.add_row(*map(Text, (one.name, one.source or "", one.problem, "\n".join(one.hosts), uses)))
    OUT.print(table)


@app.command()
def make() -> None:
    """Print a new secret to sign calls with, made up here and kept nowhere."""
    OUT.print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), markup=False, soft_wrap=True)
