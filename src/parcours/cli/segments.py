"""`parcours segments`: how many, who, of what kind, what they share; against a running service."""

from __future__ import annotations

import http.client
import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from parcours.cli.asking import AsJson, as_json, as_table, ask, condition_in, text
from parcours.cli.client import refused
from parcours.cli.console import OUT, SERVICE, SecretKey, Url, plural
from parcours.errors import ParcoursError

app = typer.Typer(
    help="Segments: how many are in them, who, of what kind, what they share, and files of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="SEGMENT", help="The name of a segment.")]


@app.command()
def count(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SEGMENT...]", help="Names of segments.")] = None,
    condition: Annotated[
        str, typer.Option(help='Or a condition as JSON, such as {"contact": "age", "at_least": 18}.')
    ] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Count the contacts in segments, or those for whom a condition is true."""
    if bool(names) == bool(condition):
        raise ParcoursError("give segments or --condition", hint="parcours segments count NAME")
    answers: dict[str, Any] = {name: ask("GET", url, ["segments", name, "count"], secret_key) for name in names or ()}
    if condition:
        body = {"condition": condition_in(condition)}
        answers["(condition)"] = ask("POST", url, ["segments", "count"], secret_key, body)
    if as_json_:
        as_json(answers)
        return
    rows = ((name, str(answer["count"]), str(answer["of"]), answer["time"]) for name, answer in answers.items())
    as_table(("segment", "contacts", "of", "as of"), rows)


@app.command()
def sample(
    name: Name,
    size: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 10,
    seed: Annotated[str, typer.Option(help="The same seed gives the same contacts.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show contacts of a segment, taken at random."""
    pairs: list[tuple[str, object]] = [("size", size), ("seed", seed)]
    answer = ask("GET", url, ["segments", name, "sample"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("id", "identities", "attributes"),
        (
            (
                row["id"],
                "\n".join(f"{space}:{value}" for space, value in row["identities"]),
                "\n".join(f"{key}: {text(value)}" for key, value in row["attributes"].items()),
            )
            for row in answer["contacts"]
        ),
    )
    shown = len(answer["contacts"])
    OUT.print(f"{shown} of {answer['count']} {plural(answer['count'], 'contact')}")


@app.command()
def breakdown(
    name: Name,
    by: Annotated[str, typer.Option(help="The attribute.")] = "",
    tier: Annotated[str, typer.Option(help="In place of an attribute a programme, for the tiers of its members.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many values to show.")] = 20,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show how many contacts of a segment have which values of an attribute, or which tier of a programme."""
    pairs: list[tuple[str, object]] = [("by", by), ("tier", tier), ("limit", limit)]
    answer = ask("GET", url, ["segments", name, "breakdown"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    rows = [(text(row["value"]), str(row["count"])) for row in answer["values"]]
    rows += [(f"{text(one['least'])} to {text(one['greatest'])}", str(one["count"])) for one in answer["bins"]]
    if answer["others"]:
        rows.append((f"({answer['others']} other {plural(answer['others'], 'value')})", ""))
    rows.append(("(none)", str(answer["missing"])))
    as_table((by or f"tier of {tier}", "contacts"), rows)


@app.command()
def overlap(
    first: Name,
    second: Name,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show how many contacts two segments share."""
    answer = ask("POST", url, ["segments", "overlap"], secret_key, {"segments": [first, second]})
    if as_json_:
        as_json(answer)
        return
    share = "" if answer["jaccard"] is None else f"{answer['jaccard']:.1%}"
    rows = [(first, str(answer["sizes"][0])), (second, str(answer["sizes"][1]))]
    as_table(
        ("contacts in", "how many"),
        [*rows, ("both", str(answer["both"])), ("either", str(answer["either"])), ("both of either", share)],
    )


@app.command()
def sizes(
    name: Name,
    start: Annotated[str, typer.Option(help="From this time on; a year ago unless set.")] = "",
    end: Annotated[str, typer.Option(help="Before this time; now unless set.")] = "",
    every: Annotated[str, typer.Option(help="One size for each so long.")] = "1d",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show how many contacts a segment had over time."""
    pairs: list[tuple[str, object]] = [("start", start), ("end", end), ("every", every)]
    answer = ask("GET", url, ["segments", name, "sizes"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    as_table(("time", "contacts"), ((row["time"], str(row["size"])) for row in answer["sizes"]))


@app.command()
def changes(
    name: Name,
    since: Annotated[str, typer.Option(help="From this time on, such as 2026-01-31.")],
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    after: Annotated[str, typer.Option(help="Go on where an answer said.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show who entered and left a watched segment since a time."""
    pairs: list[tuple[str, object]] = [("since", since), ("limit", limit), ("after", after)]
    answer = ask("GET", url, ["segments", name, "changes"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    rows = ((row["time"], row["contact"], "in" if row["member"] else "out") for row in answer["changes"])
    as_table(("time", "contact", "now"), rows)
    if answer["next"]:
        OUT.print(f"more with --after {answer['next']}", markup=False)


@app.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="The file; its ending says the format: .csv, .parquet or .jsonl.")],
    attribute: Annotated[
        list[str] | None, typer.Option(help="Only this attribute; for several, repeat it. All unless set.")
    ] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Write everybody in a segment to a file."""
    form = out.suffix.removeprefix(".")
    if form not in {"csv", "parquet", "jsonl"}:
        raise ParcoursError(
            f"{out.name} is no file of a kind that is written", hint="end it in .csv, .parquet or .jsonl"
        )
    pairs = [("form", form), *(("attributes", one) for one in attribute or ())]
    place = f"{url}/v1/segments/{quote(name, safe='')}/export?{urlencode(pairs)}"
    _download(place, secret_key, out)
    OUT.print(f"the segment {name} in {out}", markup=False, soft_wrap=True)


def _download(url: str, secret_key: str, out: Path) -> None:
    """Write what a service answers to a file, as a whole or not at all."""
    if not url.startswith(("http://", "https://")):
        raise ParcoursError(f"the url is {url!r}", hint="write for example http://127.0.0.1:8700")
    part = out.with_name(f"{out.name}.part")
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret_key}"})  # noqa: S310 (checked)
        with urllib.request.urlopen(request, timeout=600) as answer, part.open("wb") as file:  # noqa: S310 (checked)
            shutil.copyfileobj(answer, file)
        part.replace(out)
    except urllib.error.HTTPError as error:
        try:
            said = json.loads(error.read())
        except (ValueError, OSError, http.client.HTTPException):
            said = {}
        raise refused(error.code, said if isinstance(said, dict) else {}) from None
    except (OSError, http.client.HTTPException) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ParcoursError(f"cannot write {out.name} from {url.partition('/v1')[0]}: {why}") from None
    finally:
        part.unlink(missing_ok=True)
