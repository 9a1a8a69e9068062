"""`parcours interactions`: the kinds of interaction there are, and their attributes; against a running service."""

from __future__ import annotations

from typing import Annotated

import typer

from parcours.cli.asking import AsJson, as_json, as_table, ask, text
from parcours.cli.console import SERVICE, SecretKey, Url

app = typer.Typer(
    help="Kinds of interaction, defined or learned, and their attributes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_VALUES = 5
"""Values of an attribute that are shown."""


@app.command("list")
def list_(url: Url = SERVICE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Show every kind of interaction that was defined or learned."""
    answer = ask("GET", url, ["interactions"], secret_key)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("name", "title", "origin", "channel", "count", "attributes", "last"),
        (
            (
                row["name"],
                row["title"],
                row["origin"] + (", archived" if row["archived"] else ""),
                row["channel"],
                row["count"],
                row["attributes"],
                row["last_time"],
            )
            for row in answer["interactions"]
        ),
    )


@app.command()
def attributes(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="In any spelling; without it, those of contacts.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show the attributes of a kind of interaction, or of contacts, with their most frequent values."""
    path = ["interactions", name, "attributes"] if name else ["contacts", "attributes"]
    answer = ask("GET", url, path, secret_key)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("name", "title", "type", "declared", "share", "values"),
        (
            (
                row["name"],
                row["title"],
                row["type"],
                "yes" if row["declared"] else "",
                f"{row['share']:.0%}",
                ", ".join(text(value["value"]) for value in row["values"][:_VALUES]),
            )
            for row in answer["attributes"]
        ),
    )
