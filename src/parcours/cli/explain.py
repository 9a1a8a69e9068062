"""`parcours explain`: why did she get this, and why did she not?"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.asking import AsJson, as_json, ask, text
from parcours.cli.console import OUT, SERVICE, SecretKey, Url
from parcours.errors import ParcoursError


def explain(
    contact: Annotated[str, typer.Option(help="An identity such as user_id:42, or the id of a contact.")],
    journey: Annotated[str, typer.Option(help="The journey, by name.")] = "",
    programme: Annotated[
        str, typer.Option(help="In place of a journey, the programme whose rules are asked about.")
    ] = "",
    rule: Annotated[str, typer.Option(help="With --programme, only this rule.")] = "",
    at: Annotated[str, typer.Option(help="As it was at an instant, ISO 8601 with an offset.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Tell why a contact got something from a journey or by a rule, or did not: what was considered, with the values seen."""
    if bool(journey) == bool(programme) or (rule and not programme):
        raise ParcoursError("ask about --journey NAME, or about --programme NAME, if wanted with --rule NAME")
    pairs = [("contact", contact), ("at", at), *([("rule", rule)] if rule else [])]
    path = ["journeys", journey, "explain"] if journey else ["loyalty", programme, "explain"]
    answer = ask("GET", url, path, secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    for line in answer["because"]:
        OUT.print(Text(line), soft_wrap=True)
    if journey:
        _show_moments(answer)
    else:
        _show_looks(answer)


def _show_moments(answer: dict[str, Any]) -> None:
    table = Table(title="What was considered", title_justify="left")
    for column in ("when", "what", "condition", "decided"):
        table.add_column(column, no_wrap=column == "when", overflow="fold")
    for moment in answer["moments"]:
        asked = Text("\n").join(_asked(one["place"], one["answer"]) for one in moment["asked"])
        decided = "\n".join(_decided(entry) for entry in moment["decided"])
        table.add_row(
            moment["time"], Text(f"{moment['what']} {_values(moment['values'])}".strip()), asked, Text(decided)
        )
    OUT.print(table)


def _show_looks(answer: dict[str, Any]) -> None:
    table = Table(title="What rules looked at", title_justify="left")
    for column in ("when", "what", "rule", "condition", "given"):
        table.add_column(column, no_wrap=column == "when", overflow="fold")
    for look in answer["looks"]:
        asked = Text("\n").join(_asked(one["place"], one["answer"]) for one in look["asked"])
        what = f"{look['what']} {_values(look['values'])}".strip()
        given = f"{look['points']:,}" if look["given"] else " ".join(filter(None, (look["reason"], look["reward"])))
        table.add_row(look["time"], Text(what), Text(look["rule"]), asked, Text(given))
    OUT.print(table)


def _asked(place: str, answer: dict[str, Any]) -> Text:
    line = Text(f"{place}: ", style="dim")
    _add(line, answer, 0)
    return line


def _add(line: Text, answer: dict[str, Any], depth: int) -> None:
    """Add a part of a condition, and below it its own parts."""
    seen = f" (it was {text(answer['seen']) or 'missing'})" if "seen" in answer else ""
    said, style = ("yes", "green") if answer["answer"] else ("no", "red")
    line.append(f"{answer['text']}{seen}: ", style="").append(said, style=style)
    parts = answer.get("parts", ())
    if len(parts) == 1 and not parts[0].get("parts") and parts[0]["text"] == answer["text"]:
        return
    for part in parts:
        line.append("\n" + "  " * (depth + 1))
        _add(line, part, depth + 1)


def _decided(entry: dict[str, Any]) -> str:
    return " ".join(part for part in (entry["step"], entry["what"], entry["reason"]) if part)


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {text(value)}" for name, value in values.items())
