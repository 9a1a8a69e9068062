"""`parcours contacts`: people, found, shown, exported, erased; against a running service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from parcours.cli.asking import PAGE, AsJson, Contact, as_json, as_table, ask, condition_in, paged, text
from parcours.cli.console import OUT, SERVICE, SecretKey, Url, plural, write
from parcours.conditions.instants import brief
from parcours.errors import ParcoursError

app = typer.Typer(
    help="Contacts: who they are, what happened to them, and their erasure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def show(contact: Contact, url: Url = SERVICE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Show what is known of a contact."""
    answer = ask("GET", url, ["contacts", contact], secret_key, pairs=[("limit", 10)])
    if as_json_:
        as_json(answer)
        return
    state: dict[str, Any] = answer["contact"]
    rows = [("id", state["id"]), *((f"identity {space}", value) for space, value in state["identities"])]
    rows += [(f"attribute {name}", text(value)) for name, value in sorted(state["attributes"].items())]
    rows += [(f"address {channel}", address or "not valid") for channel, address in sorted(state["addresses"].items())]
    for channel, topics in sorted(state["consent"].items()):
        rows += [(f"consent {channel} {topic}".strip(), said) for topic, said in sorted(topics.items())]
    rows += [("list", name) for name, membership in sorted(state["lists"].items()) if membership["member"]]
    for journey, runs in sorted(state["runs"].items()):
        rows += [
            (f"journey {journey}", f"at {', '.join(token['step'] for token in run['tokens'])}") for run in runs.values()
        ]
    rows += [("became part of it", id_) for id_ in state["merged"]]
    as_table(("what", "value"), rows)


@app.command()
def search(
    words: Annotated[str, typer.Argument(metavar="[TEXT]", help="In identities and attributes, in any case.")] = "",
    identity: Annotated[str, typer.Option(help="An identity such as user_id:42.")] = "",
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="An attribute with its value, such as city:Atlanta; for several, repeat it."),
    ] = None,
    on: Annotated[str, typer.Option("--list", help="Only members of a list.")] = "",
    segment: Annotated[str, typer.Option(help="Only those in a segment now.")] = "",
    condition: Annotated[
        str, typer.Option(help='A condition as JSON, such as {"contact": "age", "at_least": 18}; nothing beside it.')
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Find contacts."""
    filters = [("identity", identity), ("text", words), ("list", on), ("segment", segment)]
    filters += [("attribute", one) for one in attribute or ()]
    if condition and any(value for _, value in filters):
        raise ParcoursError("--condition stands alone", hint="put the rest into the condition")
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None and len(found) < limit:
        most = min(PAGE, limit - len(found))
        if condition:
            body = {"condition": condition_in(condition), "limit": most, "after": after}
            answer = ask("POST", url, ["contacts", "search"], secret_key, body)
        else:
            pairs = [*filters, ("limit", most), ("after", after)]
            answer = ask("GET", url, ["contacts"], secret_key, pairs=pairs)
        found += answer["contacts"]
        after = answer["next"]
    if as_json_:
        as_json({"contacts": found, "next": after})
        return
    as_table(
        ("id", "identities", "attributes", "lists", "last"),
        (
            (
                row["id"],
                "\n".join(f"{space}:{value}" for space, value in row["identities"]),
                "\n".join(f"{name}: {text(value)}" for name, value in row["attributes"].items()),
                "\n".join(row["lists"]),
                row["last_time"],
            )
            for row in found
        ),
    )
    more = "" if after is None else ", and there may be more"
    OUT.print(f"{len(found)} {plural(len(found), 'contact')}{more}")


@app.command()
def timeline(
    contact: Contact,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only interaction, update, reaction, merge, message or step; for several, repeat it."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show what happened to a contact, newest first, with what was decided."""
    kinds = [("kind", one) for one in kind or ()]
    entries, before = paged(url, ["contacts", contact, "timeline"], secret_key, "entries", limit, "before", kinds)
    if as_json_:
        as_json({"entries": entries, "next": before})
        return
    as_table(("when", "what", "more"), (row for entry in entries for row in _rows(entry)))


def _rows(entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    given = entry["input"] or {}
    what = given.get("name") or given.get("reaction") or ""
    shown = [f"{name}: {text(value)}" for name, value in (given.get("attributes") or {}).items()]
    rows = [(entry["time"], f"{entry['kind']} {what}".strip(), "\n".join(shown))]
    states = {row["id"]: row["state"] for row in entry["messages"]}
    for decision in entry["decisions"]:
        where = "/".join(part for part in (decision["journey"], decision["step"]) if part)
        state = states.get((decision["detail"] or {}).get("message_id", ""), "")
        why = f"{decision['reason']} ({state})" if state else decision["reason"]
        if decision["what"] in {"suppressed", "held", "refused"}:
            why = _seen(decision["reason"], decision["detail"] or {})
        if decision["what"] == "booked":
            why = _booked(decision["reason"], decision["detail"] or {})
        if decision["what"] == "moved":
            why = f"{why} (version {(decision['detail'] or {}).get('version', '')})"
        rows.append((decision["time"], f"  {decision['what']} {where}".rstrip(), why))
    return rows


def _seen(reason: str, detail: dict[str, Any]) -> str:
    """Return why something was not done, or not yet, with what it was decided by."""
    parts = [f"{detail['message']}: {reason}" if "message" in detail else reason]
    if "cap" in detail:
        parts.append(f"({detail['cap']})")
    parts += [f"({name}: {detail[name]})" for name in ("key", "where", "exit", "entries", "runs") if name in detail]
    times = [name for name in ("entered", "until") if isinstance(detail.get(name), int)]
    parts += [f"{name} {brief(detail[name])}" for name in times]
    return " ".join(parts)


def _booked(kind: str, detail: dict[str, Any]) -> str:
    """Return an entry of the ledger in words: its kind, what it adds, and whose the points were or are."""
    parts = [kind]
    if detail.get("points"):
        parts.append(f"{detail['points']:+,}")
    if detail.get("held"):
        parts.append(f"held {detail['held']:+,}")
    if detail.get("other"):
        parts.append(f"{'to' if detail.get('points', 0) < 0 else 'from'} {detail['other']}")
    return " ".join(parts)


@app.command()
def consent(contact: Contact, url: Url = SERVICE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Show the consent of a contact, and what was said of it: when, by whom and how."""
    history: list[dict[str, Any]] = []
    states: list[dict[str, Any]] = []
    before: str | None = ""
    while before is not None:
        pairs = [("limit", 1_000), ("before", before)]
        answer = ask("GET", url, ["contacts", contact, "consent"], secret_key, pairs=pairs)
        states, before = answer["consent"], answer["next"]
        history += answer["history"]
    if as_json_:
        as_json({"consent": states, "history": history})
        return
    as_table(
        ("channel", "topic", "state", "since"),
        ((row["channel"], row["topic"] or "all", row["state"], row["time"]) for row in states),
    )
    as_table(
        ("when", "channel", "topic", "state", "by", "how", "source"),
        (
            (
                row["time"],
                row["channel"],
                row["topic"] or "all",
                row["state"],
                row["by"],
                row["how"] or row["reaction"],
                row["source"],
            )
            for row in history
        ),
    )


@app.command()
def export(
    contact: Contact,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    out: Annotated[Path | None, typer.Option(help="A file to write to; without it, the screen.")] = None,
) -> None:
    """Write everything that is kept of a contact, as one JSON document."""
    answer = ask("GET", url, ["contacts", contact, "export"], secret_key)
    write(out, json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    if not answer.get("complete"):
        raise ParcoursError("the export is not complete: the contact was erased meanwhile")
    if out is not None:
        OUT.print(f"the contact {answer['contact']} in {out}", markup=False, soft_wrap=True)


@app.command()
def erase(
    contact: Contact,
    suppress: Annotated[
        bool, typer.Option("--suppress", help="Take nothing more under any of its identities, ever.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Erase everything about a contact. It cannot be undone."""
    state = ask("GET", url, ["contacts", contact], secret_key, pairs=[("limit", 1)])["contact"]
    who = ", ".join(f"{space}:{value}" for space, value in state["identities"])
    if not yes and not typer.confirm(f"Erase everything about {who}? It cannot be undone."):
        raise typer.Exit(1)
    answer = ask(
        "DELETE", url, ["contacts", state["id"]], secret_key, pairs=[("suppress", "true" if suppress else "")]
    )  # fmt: skip
    inputs, messages = answer["records"], answer["messages"]
    OUT.print(
        f"erased: {', '.join(answer['erased'])}; {inputs} {plural(inputs, 'input')}, "
        f"{messages} {plural(messages, 'message')} ({answer['cancelled']} not sent yet)",
        markup=False,
        soft_wrap=True,
    )
