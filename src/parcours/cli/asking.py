"""What the commands share that ask a running service about its data: the question, the answer, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.client import call, refused
from parcours.cli.console import OUT, write
from parcours.errors import ParcoursError

AsJson = Annotated[bool, typer.Option("--json", help="Print what the service answered, as JSON.")]
Contact = Annotated[
    str, typer.Argument(metavar="CONTACT", help="An identity such as user_id:42, or the id of a contact.")
]

MessageId = Annotated[str, typer.Option("--id", help="A message id: asked twice with the same one, it is done once.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
Author = Annotated[str, typer.Option("--author", help="Who says so.")]

PAGE = 1_000
"""Rows that are asked for at once."""

_WRONG_KEY = (401, 403)
_DECLINED = 409


def ask(
    method: str,
    url: str,
    path: Sequence[str],
    secret_key: str,
    body: dict[str, Any] | None = None,
    pairs: Iterable[tuple[str, object]] = (),
) -> dict[str, Any]:
    """Return what a service answered; a body that was accepted in part, or declined with a reason, is one, too.

    Args:
        method: Of HTTP.
        url: Of the service.
        path: The parts of the path below `/v1`, not yet quoted.
        secret_key: The key that may use the API.
        body: What is sent along.
        pairs: Of the query; those with an empty value are left out.

    Raises:
        ParcoursError: It refuses.
    """
    place = "/".join(quote(part, safe="") for part in path)
    query = urlencode([(name, value) for name, value in pairs if value not in {"", None}])
    status, answer = call(method, f"{url}/v1/{place}{'?' if query else ''}{query}", secret_key, body)
    if status < 400 or "results" in answer or (status == _DECLINED and "reason" in answer):  # noqa: PLR2004 (HTTP)
        return answer
    if status in _WRONG_KEY:
        raise refused(status, answer)
    lines = str(answer.get("detail", answer)).splitlines()
    raise ParcoursError("\n".join(" ".join(line.split()) for line in lines)[:_SHOWN])


_SHOWN = 1_000
"""Characters of an answer that an error repeats."""


def paged(
    url: str,
    path: Sequence[str],
    secret_key: str,
    rows: str,
    limit: int,
    place: str = "after",
    pairs: Sequence[tuple[str, object]] = (),
) -> tuple[list[dict[str, Any]], str | None]:
    """Return up to `limit` rows of answers that come page by page, and where it goes on, None at the end.

    Args:
        url: Of the service.
        path: The parts of the path below `/v1`, not yet quoted.
        secret_key: The key that may use the API.
        rows: Under which name an answer has them.
        limit: How many at the most.
        place: Under which name the query has where to go on.
        pairs: Of the query beside.

    Raises:
        ParcoursError: It refuses.
    """
    found: list[dict[str, Any]] = []
    more: str | None = ""
    while more is not None and len(found) < limit:
        asked = [*pairs, ("limit", min(PAGE, limit - len(found))), (place, more)]
        answer = ask("GET", url, path, secret_key, pairs=asked)
        found += answer[rows]
        more = answer["next"]
    return found, more


def condition_in(given: str) -> Any:
    """Return a condition that is written as JSON.

    Raises:
        ParcoursError: It is no JSON.
    """
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        hint = 'write for example {"contact": "age", "at_least": 18}'
        raise ParcoursError("the condition is not JSON", hint=hint) from None


def as_json(value: Any) -> None:
    """Print a value as JSON for machines."""
    write(None, json.dumps(value, indent=2, ensure_ascii=False).translate(_ESCAPED) + "\n")


_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""JSON leaves as they are what some terminals take for commands."""


def as_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text(cell)) for cell in row))  # as text: a value may look like markup
    OUT.print(table)


def text(value: object) -> str:
    """Return a value as people read it in a cell."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def attributes_in(given: Iterable[str]) -> dict[str, Any]:
    """Return attributes written `name=value`: a value that is JSON is that, any other is text.

    Raises:
        ParcoursError: One is not written so.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise ParcoursError(f"{one!r} is no attribute with a value", hint="write for example price=59.90")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found
