"""`parcours catalogues`: the items of catalogues; against a running service."""

from __future__ import annotations

from typing import Annotated

import typer

from parcours.cli.asking import AsJson, as_json, as_table, ask, attributes_in, paged, text
from parcours.cli.console import OUT, SERVICE, SecretKey, Url
from parcours.errors import ParcoursError

app = typer.Typer(
    help="Catalogues: the items in them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="CATALOGUE", help="The name of a catalogue.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of an item.")]


@app.command()
def items(
    name: Annotated[str, typer.Argument(metavar="[CATALOGUE]", help="Without it, all catalogues.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many items to show.")] = 100,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show all catalogues, or the items of one."""
    if not name:
        _show_all(url, secret_key, as_json_)
        return
    found, after = paged(url, ["catalogues", name, "items"], secret_key, "items", limit)
    if as_json_:
        as_json({"items": found, "next": after})
        return
    as_table(
        ("id", "attributes"),
        (
            (item["id"], "\n".join(f"{name}: {text(value)}" for name, value in item["attributes"].items()))
            for item in found
        ),
    )


def _show_all(url: str, secret_key: str, as_json_: bool) -> None:
    answer = ask("GET", url, ["catalogues"], secret_key)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("name", "title", "attributes", "state"),
        (
            (row["name"], row["title"], ", ".join(row["attributes"]), "archived" if row["archived"] else "")
            for row in answer["catalogues"]
        ),
    )


@app.command()
def put(
    name: Name,
    id_: Id,
    attributes: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="All its attributes, such as price=59.90.")
    ] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Put an item into a catalogue, or replace it."""
    body = {"items": {id_: attributes_in(attributes or ())}}
    (row,) = ask("PUT", url, ["catalogues", name, "items"], secret_key, body)["results"]
    if row["error"] is not None:
        raise ParcoursError(f"{row['error'].get('pointer', '')} {row['error']['message']}".strip())
    OUT.print(f"the item {id_} is in {name}", markup=False)


@app.command()
def remove(name: Name, id_: Id, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Take an item out of a catalogue."""
    ask("DELETE", url, ["catalogues", name, "items", id_], secret_key)
    OUT.print(f"the item {id_} is no longer in {name}", markup=False)
