"""`parcours journeys`: their states, versions and figures, and letting contacts in; against a running service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from parcours.cli.asking import AsJson, as_json, ask, attributes_in
from parcours.cli.console import ERR, OUT, SERVICE, SecretKey, Url, read_text
from parcours.errors import ParcoursError

app = typer.Typer(
    help="Journeys: their states, versions and figures, and letting contacts in.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_AT_ONCE = 1_000


@app.command()
def enter(
    journey: Annotated[str, typer.Argument(metavar="JOURNEY", help="The name of a journey with the entry api.")],
    people: Annotated[
        list[str] | None, typer.Argument(metavar="[CONTACT]...", help="Identities such as user_id:42.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An attribute given with it, such as total=59.90."),
    ] = None,
    id_: Annotated[
        str, typer.Option("--id", help="Accepted once for the journey, so that it can be said again; of one contact.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(help="JSON lines, each with contact, attributes and id, as the API takes them.", exists=True),
    ] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Let contacts enter a journey; exit with 1 if somebody was rejected."""
    attributes = attributes_in(set_ or [])
    items: list[dict[str, Any]] = [{"contact": identity(one), "attributes": attributes} for one in people or []]
    if file is not None:
        items += _items(file)
    if not items:
        raise ParcoursError("nobody is named", hint="name contacts such as user_id:42, or a --file")
    if id_:
        if len(items) > 1:
            raise ParcoursError("--id is of one contact", hint="give each line of a --file an id of its own")
        items[0]["id"] = id_
    whole: dict[str, Any] = {"accepted": 0, "duplicates": 0, "rejected": 0, "results": []}
    for start in range(0, len(items), _AT_ONCE):
        answer = ask(
            "POST", url, ["journeys", journey, "entries"], secret_key, {"items": items[start : start + _AT_ONCE]}
        )
        if "error" in answer:
            raise ParcoursError(answer["error"]["message"], hint=answer["error"].get("hint", ""))
        for count in ("accepted", "duplicates", "rejected"):
            whole[count] += answer[count]
        whole["results"] += [{**row, "index": row["index"] + start} for row in answer["results"]]
    if as_json_:
        as_json(whole)
    else:
        for row in whole["results"]:
            if row["status"] == "rejected":
                who = json.dumps(items[row["index"]].get("contact"), ensure_ascii=False)
                ERR.print(f"{who}: {row['error']['message']}", markup=False, style="red", soft_wrap=True)
        OUT.print(f"{whole['accepted']} accepted, {whole['duplicates']} repeated, {whole['rejected']} rejected")
    if whole["rejected"]:
        raise typer.Exit(1)


def identity(given: str) -> dict[str, str]:
    """Return an identity written `user_id:42` as the API takes it."""
    space, colon, value = given.partition(":")
    if not colon or not value:
        raise ParcoursError(f"{given!r} is no identity", hint="write for example user_id:42")
    return {space: value}


def _items(file: Path) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(read_text(file).removeprefix("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            item = None
        if not isinstance(item, dict):
            raise ParcoursError(f"line {number} of {file.name} is no JSON object")
        found.append(item)
    return found
