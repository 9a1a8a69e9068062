"""`parcours lists`: who is on a list; against a running service."""

from __future__ import annotations

from typing import Annotated

import typer

from parcours.cli.asking import AsJson, as_json, as_table, ask, paged
from parcours.cli.console import ERR, OUT, SERVICE, SecretKey, Url

app = typer.Typer(
    help="Lists: who is on them, and putting people on and off.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="LIST", help="The name of a list.")]
People = Annotated[
    list[str], typer.Argument(metavar="CONTACT...", help="Identities such as user_id:42, or ids of contacts.")
]


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="[LIST]", help="Its members; without it, all lists.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many members to show.")] = 100,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show all lists with the number of their members, or the members of one."""
    if not name:
        _show_all(url, secret_key, as_json_)
        return
    members, after = paged(url, ["lists", name, "members"], secret_key, "members", limit)
    if as_json_:
        as_json({"members": members, "next": after})
        return
    as_table(
        ("id", "identities", "since"),
        (
            (row["id"], "\n".join(f"{space}:{value}" for space, value in row["identities"]), row["since_time"])
            for row in members
        ),
    )


def _show_all(url: str, secret_key: str, as_json_: bool) -> None:
    answer = ask("GET", url, ["lists"], secret_key, pairs=[("count", "true")])
    if as_json_:
        as_json(answer)
        return
    least = "" if answer["complete"] else "at least "
    as_table(
        ("name", "title", "members", "state"),
        (
            (row["name"], row["title"], f"{least}{row['members']}", "archived" if row["archived"] else "")
            for row in answer["lists"]
        ),
    )


@app.command()
def add(name: Name, people: People, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Put people on a list; exit with 1 if somebody was rejected."""
    _change(name, "add", people, url, secret_key)


@app.command()
def remove(name: Name, people: People, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Take people off a list; exit with 1 if somebody was rejected."""
    _change(name, "remove", people, url, secret_key)


def _change(name: str, what: str, people: list[str], url: str, secret_key: str) -> None:
    answer = ask("PUT", url, ["lists", name, "members"], secret_key, {what: people})
    for row in answer["results"]:
        if row["error"] is not None:
            ERR.print(f"{row['contact']}: {row['error']['message']}", markup=False, style="red", soft_wrap=True)
    OUT.print(f"{answer['done']} done, {answer['unchanged']} unchanged, {answer['rejected']} rejected")
    if answer["rejected"]:
        raise typer.Exit(1)
