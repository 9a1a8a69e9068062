"""`parcours messages`: what messages would say; against a running service."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from parcours.cli.asking import AsJson, as_json, as_table, ask
from parcours.cli.console import SERVICE, SecretKey, Url
from parcours.errors import ParcoursError

app = typer.Typer(
    help="Messages: what they would say to a contact.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def messages() -> None:
    """Keep the name of the command, though there is one only."""


@app.command()
def preview(
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="Its name.")],
    contact: Annotated[str, typer.Option(help="An identity such as user_id:42, or the id of a contact.")],
    interaction: Annotated[
        str, typer.Option(help='Attributes of what would have started the run, as JSON, such as {"total": 12}.')
    ] = "",
    run: Annotated[str, typer.Option(help='What steps would have saved, and the key, as JSON: {"key": "A7"}.')] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show what a message would say to a contact now. Nothing is sent."""
    body: dict[str, Any] = {"contact": contact}
    if interaction:
        body["interaction"] = _attributes(interaction, "interaction")
    if run:
        body["run"] = _attributes(run, "run")
    answer = ask("POST", url, ["messages", message, "preview"], secret_key, body)
    if as_json_:
        as_json(answer)
        return
    rows = [("to", answer["address"] or "no valid address")]
    rows += [("would not be sent", answer["refused"])] if answer["refused"] else []
    as_table((answer["channel"], answer["message"]), [*rows, *answer["content"].items()])


def _attributes(given: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(given)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ParcoursError(f"the {what} is no JSON object", hint='write for example {"total": 12}')
    return found
