"""`parcours explain`: why did she get this, and why did she not?"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.asking import AsJson, as_json, ask, text
from parcours.cli.console import OUT, SERVICE, SecretKey, Url


def explain(
    journey: Annotated[str, typer.Option(help="The journey, by name.")],
    contact: Annotated[str, typer.Option(help="An identity such as user_id:42, or the id of a contact.")],
    at: Annotated[str, typer.Option(help="As it was at an instant, ISO 8601 with an offset.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Tell why a contact got something from a journey, or did not: what was considered, with the values seen."""
    pairs = [("contact", contact), ("at", at)]
    answer = ask("GET", url, ["journeys", journey, "explain"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    for line in answer["because"]:
        OUT.print(Text(line), soft_wrap=True)
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
