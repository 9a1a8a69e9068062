"""`parcours journeys`, on: states, versions, what is different, what happened in each step, moves and tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer

from parcours.cli.asking import AsJson, as_json, as_table, ask, attributes_in, text
from parcours.cli.client import call
from parcours.cli.console import ERR, OUT, SERVICE, SecretKey, Url
from parcours.cli.journeys import app, identity
from parcours.errors import ParcoursError, did_you_mean

Name = Annotated[str, typer.Argument(metavar="JOURNEY", help="The name of a journey.")]

__all__ = ["app"]


@app.command(name="list")
def list_(
    state: Annotated[str, typer.Option(help="Only those in this state, such as live or scheduled.")] = "",
    archived: Annotated[bool, typer.Option("--archived", help="Also those that were put away.")] = False,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show all journeys with their states and counts."""
    pairs: list[tuple[str, object]] = [("in_state", state), ("archived", "true" if archived else "")]
    answer = ask("GET", url, ["journeys"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("journey", "state", "version", "entered", "running", "goals"),
        (
            (row["name"], row["state"], row["version"], row["entered"], row["running"], _counts(row["goals"]))
            for row in answer["journeys"]
        ),
    )


@app.command()
def show(name: Name, url: Url = SERVICE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Show a journey with its versions."""
    answer = ask("GET", url, ["journeys", name], secret_key)
    if as_json_:
        as_json(answer)
        return
    OUT.print(f"{name} is {answer['state']}", markup=False)
    if answer["next_change"]:
        OUT.print(f"it comes into another state by itself at {answer['next_change']}", markup=False)
    as_table(
        ("version", "published", "entered", "running"),
        ((row["version"], row["published"], row["entered"], row["running"]) for row in answer["versions"]),
    )


ACTIONS = ("publish", "schedule", "test", "pause", "resume", "close", "stop", "archive", "restore", "draft")
"""What a journey can be told."""


@app.command()
def state(
    name: Name,
    action: Annotated[str, typer.Argument(metavar="ACTION", help=f"One of {', '.join(ACTIONS)}.")],
    starts: Annotated[str, typer.Option(help="With publish and schedule: when it starts.")] = "",
    ends: Annotated[str, typer.Option(help="With publish and schedule: when it ends.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Bring a journey into another state."""
    if action not in ACTIONS:
        hint = did_you_mean(action, ACTIONS) or f"one of {', '.join(ACTIONS)}"
        raise ParcoursError(f"a journey cannot be told to {action!r}", hint=hint)
    times = {key: value for key, value in (("starts", starts), ("ends", ends)) if value}
    if times and action not in {"publish", "schedule"}:
        raise ParcoursError(f"--{next(iter(times))} says nothing with {action}", hint="use it with publish or schedule")
    place = f"{url}/v1/journeys/{quote(name, safe='')}"
    if action == "test":
        answer = _told(call("PATCH", place, secret_key, {"state": "test"}))
    else:
        answer = _told(call("POST", f"{place}/{action}", secret_key, times or None))
    _problems(answer)
    OUT.print(f"{name} is {ask('GET', url, ['journeys', name], secret_key)['state']}", markup=False)


@app.command()
def check(name: Name, url: Url = SERVICE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Say everything that is wrong with a journey as it is; exit with 1 if something is."""
    answer = ask("POST", url, ["journeys", name, "check"], secret_key)
    if as_json_:
        as_json(answer)
    else:
        _problems(answer)
        if not answer["errors"]:
            OUT.print("nothing keeps it from being published", markup=False)
    if answer["errors"]:
        raise typer.Exit(1)


@app.command()
def diff(
    name: Name,
    before: Annotated[int, typer.Argument(metavar="VERSION", help="The older version.")],
    after: Annotated[int, typer.Argument(metavar="VERSION", help="The newer version.")],
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show what is different between two versions of a journey."""
    pairs: list[tuple[str, object]] = [("before", before), ("after", after)]
    answer = ask("GET", url, ["journeys", name, "diff"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    rows: list[tuple[object, ...]] = [("added", step, "", "", "") for step in answer["added"]]
    rows += [("removed", step, "", "", "") for step in answer["removed"]]
    rows += [("changed", one["step"], *_cells(field)) for one in answer["changed"] for field in one["fields"]]
    rows += [("arrow added", arrow["step"], arrow["pointer"], "", arrow["to"]) for arrow in answer["arrows_added"]]
    rows += [("arrow removed", arrow["step"], arrow["pointer"], arrow["to"], "") for arrow in answer["arrows_removed"]]
    rows += [("changed", "(journey)", *_cells(field)) for field in answer["fields"]]
    if not rows:
        OUT.print(f"version {before} and version {after} are the same")
        return
    as_table(("what", "step", "field", f"version {before}", f"version {after}"), rows)


_MOVED = (("moved_in", "moved here"), ("moved_out", "moved to other versions"))


@app.command()
def stats(
    name: Name,
    version: Annotated[int, typer.Option(help="Only this version; 0 for all.")] = 0,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show how many came to each step, wait there and left it which way; goals and experiments."""
    answer = ask("GET", url, ["journeys", name, "statistics"], secret_key, pairs=[("version", version or "")])
    if as_json_:
        as_json(answer)
        return
    found = answer["figures"]
    moved = [f"{found[field]:,} {said}" for field, said in _MOVED if found[field]]
    OUT.print(", ".join([f"{found['entered']:,} entered", *moved, f"{found['running']:,} under way"]), markup=False)
    for what in ("ended", "refused"):
        if found[what]:
            OUT.print(f"{what}: {_counts(found[what])}", markup=False)
    shares = {row["step"]: row["share"] for row in answer["funnel"]}
    # On a narrow screen each column counts, and few journeys have something in all of them.
    columns = {title: tell for title, tell in _COLUMNS.items() if any(tell(step) for step in found["steps"])}
    as_table(
        ("step", "type", "entered", "of all", *columns),
        (
            (
                step["step"],
                step["type"],
                step["entered"],
                _percent(shares.get(step["step"])),
                *(tell(step) for tell in columns.values()),
            )
            for step in found["steps"]
        ),
    )
    if found["goals"]:
        as_table(
            ("goal", "reached", "of all", "95 %"),
            (
                (one["goal"], one["reached"], _percent(one["rate"]["value"]), _interval(one["rate"]))
                for one in found["goals"]
            ),
        )
    for experiment in answer["experiments"]:
        if not experiment["goals"]:
            OUT.print(f"{experiment['step']}: the journey has no goal to compare the variants by", markup=False)
        for goal in experiment["goals"]:
            OUT.print(f"{experiment['step']}, goal {goal['goal']}: {goal['verdict']}", markup=False)
            as_table(
                ("variant", "runs", "reached", "rate", "95 %", "difference", "verdict"),
                (
                    (
                        one["name"],
                        one["runs"],
                        one["reached"],
                        _percent(one["rate"]["value"]),
                        _interval(one["rate"]),
                        "" if one["difference"] is None else f"{100 * one['difference']['value']:+.1f}",
                        one["verdict"],
                    )
                    for one in goal["variants"]
                ),
            )


_COLUMNS: dict[str, Callable[[dict[str, Any]], object]] = {
    "waiting": lambda step: step["waiting"] or "",
    "left": lambda step: _counts(step["left"] | step["dropped"]),
    "sent": lambda step: _counts(step["sent"]),
    "held": lambda step: step["held"] or "",
    "not sent": lambda step: _counts(step["suppressed"]),
    "failed": lambda step: _counts(step["failed"]),
}
"""What is told of a step, where there is any."""


@app.command(name="test")
def try_out(
    name: Name,
    people: Annotated[list[str], typer.Argument(metavar="CONTACT...", help="Identities such as user_id:42.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An attribute of what starts the run, such as total=59.90."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, max=60, help="How long to wait for it to end.")] = 10,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Test a journey with contacts, and show what happened; exit with 1 if one could not begin."""
    contacts = [identity(one) for one in people]
    body = {"contacts": contacts, "attributes": attributes_in(set_ or []), "seconds": seconds}
    answer = ask("POST", url, ["journeys", name, "test"], secret_key, body)
    if as_json_:
        as_json(answer)
        return
    for one in answer["tests"]:
        state = "did not begin" if not one["run"] else "ended" if one["ended"] else "still under way"
        OUT.print(f"{one['contact']}: {state}", markup=False)
        rows = ((row["time"], row["what"], row["step"], row["reason"], row["detail"] or "") for row in one["trace"])
        as_table(("time", "what", "step", "reason", "detail"), rows)
    if not all(one["run"] for one in answer["tests"]):
        raise typer.Exit(1)


@app.command()
def move(
    name: Name,
    before: Annotated[int, typer.Argument(metavar="FROM", help="The version whose runs are moved.")],
    after: Annotated[int, typer.Argument(metavar="TO", help="The version they are moved to.")],
    step: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Where those at a step go; steps of the same name need none."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Move runs from one version of a journey to another; exit with 1 if something keeps that from being done."""
    steps = {}
    for one in step or ():
        old, equals, new = one.partition("=")
        if not equals or not old or not new:
            raise ParcoursError(f"{one!r} is no mapping of a step", hint="write for example pause=wait")
        steps[old] = new
    body = {"from": before, "to": after, "steps": steps, "dry_run": dry_run}
    answer = _told(call("POST", f"{url}/v1/journeys/{quote(name, safe='')}/moves", secret_key, body))
    if as_json_:
        as_json(answer)
    else:
        _problems(answer)
        rows = ((old, answer["steps"].get(old, ""), count) for old, count in answer["runs"].items())
        as_table((f"step of version {before}", f"of version {after}", "runs"), rows)
        OUT.print("moved" if answer["moved"] else "nothing was moved", markup=False)
    if answer["errors"]:
        raise typer.Exit(1)


def _told(answered: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    """Return what a service answered, also when it says what is wrong."""
    status, answer = answered
    if status < 400 or "errors" in answer:  # noqa: PLR2004 (HTTP)
        return answer
    raise ParcoursError(" ".join(str(answer.get("detail", answer)).split()))


def _problems(answer: dict[str, Any]) -> None:
    for kind, style in (("errors", "red"), ("warnings", "yellow")):
        for problem in answer[kind]:
            place, hint = problem.get("pointer", ""), problem.get("hint", "")
            said = f"{kind[:-1]}: {place}{': ' if place else ''}{problem['message']}{f' ({hint})' if hint else ''}"
            ERR.print(said, markup=False, style=style, soft_wrap=True)
    if answer["errors"] and "moved" not in answer:
        raise typer.Exit(1)


def _cells(field: dict[str, Any]) -> tuple[str, str, str]:
    before, after = field["texts"] or (text(field["before"]), text(field["after"]))
    return field["pointer"], before, after


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _interval(rate: dict[str, float]) -> str:
    return f"{rate['low']:.1%} to {rate['high']:.1%}"
