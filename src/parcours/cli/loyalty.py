"""`parcours loyalty`: members of programmes, their points, and what a programme owes; against a running service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from parcours.cli.asking import AsJson, Author, Contact, MessageId, Reason, as_json, as_table, ask, attributes_in, paged
from parcours.cli.console import ERR, OUT, SERVICE, SecretKey, Url, write
from parcours.cli.loyalty_check import check
from parcours.cli.loyalty_simulate import simulate
from parcours.cli.rewards import coupons, rewards
from parcours.errors import ParcoursError
from parcours.runtimes.loyalty.statement import StatementDay, as_csv

app = typer.Typer(
    help="Loyalty: members of programmes, their points and tiers, and what a programme owes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(simulate)
app.command()(check)
app.add_typer(rewards, name="reward")
app.add_typer(coupons, name="coupon")

Programme = Annotated[str, typer.Argument(metavar="PROGRAMME", help="The name of a programme.")]
Points = Annotated[int, typer.Argument(metavar="POINTS", help="How many.")]
Reference = Annotated[str, typer.Option("--reference", help="The order it is about.")]


@app.command()
def programmes(url: Url = SERVICE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Show all programmes with their tiers and live rules."""
    answer = ask("GET", url, ["loyalty", "programmes"], secret_key)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("name", "title", "tiers", "rules", "state"),
        (
            (
                row["name"],
                row["title"],
                "\n".join(f"{tier['name']} from {tier['at']:,}" for tier in row["tiers"]),
                "\n".join(row["rules"]),
                "archived" if row["archived"] else "",
            )
            for row in answer["programmes"]
        ),
    )


@app.command()
def member(
    programme: Programme,
    contact: Contact,
    at: Annotated[str, typer.Option(help="The balance at this instant instead, such as 2026-03-02T09:00:00Z.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show the points and the tier of a member, and what comes free and expires next."""
    path = ["loyalty", programme, "members", contact]
    answer = ask("GET", url, [*path, "balance"] if at else path, secret_key, pairs=[("at", at)])
    if as_json_:
        as_json(answer)
    else:
        _show(answer)


@app.command()
def ledger(
    programme: Programme,
    contact: Contact,
    limit: Annotated[int, typer.Option(min=1, help="How many entries to show, the newest.")] = 100,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show the ledger of a member, newest first."""
    path = ["loyalty", programme, "members", contact, "ledger"]
    entries, before = paged(url, path, secret_key, "entries", limit, "before")
    if as_json_:
        as_json({"entries": entries, "next": before})
        return
    _table(entries)


@app.command()
def enrol(
    programme: Programme,
    contact: Contact,
    card: Annotated[str, typer.Option(help="The code of their card.")] = "",
    message_id: MessageId = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Make somebody a member; an identity that is nobody's yet makes the contact, too."""
    _ask("enrol", programme, contact, {"card": card, "id": message_id}, url, secret_key)


@app.command()
def leave(
    programme: Programme,
    contact: Contact,
    reason: Reason = "",
    message_id: MessageId = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Let a member leave a programme."""
    _ask("leave", programme, contact, {"reason": reason, "id": message_id}, url, secret_key)


@app.command()
def spend(
    programme: Programme,
    contact: Contact,
    points: Points,
    reference: Reference = "",
    reason: Reason = "",
    author: Author = "",
    message_id: MessageId = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Spend points of a member; exit with 1 if there are not enough."""
    body = {"points": points, "reference": reference, "reason": reason, "author": author, "id": message_id}
    _ask("spend", programme, contact, body, url, secret_key)


@app.command()
def transfer(
    programme: Programme,
    contact: Contact,
    to: Annotated[str, typer.Argument(metavar="TO", help="Who is to have them, as CONTACT.")],
    points: Points,
    reason: Reason = "",
    author: Author = "",
    message_id: MessageId = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Give points of a member to another, if the programme allows it; exit with 1 if they are not given."""
    body = {"to": to, "points": points, "reason": reason, "author": author, "id": message_id}
    _ask("transfer", programme, contact, body, url, secret_key)


@app.command(context_settings={"ignore_unknown_options": True})
def adjust(
    programme: Programme,
    contact: Contact,
    points: Annotated[int, typer.Argument(metavar="POINTS", help="How many; below zero to take them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    author: Annotated[str, typer.Option("--author", help="Who says so.")],
    qualifying: Annotated[bool, typer.Option("--qualifying", help="They count towards tiers.")] = False,
    message_id: MessageId = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Give points by hand, or take them."""
    body = {"points": points, "reason": reason, "author": author, "qualifying": qualifying, "id": message_id}
    _ask("adjust", programme, contact, body, url, secret_key)


@app.command()
def refund(
    programme: Programme,
    contact: Contact,
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order, as the rule's 'reference' names it.")],
    attributes: Annotated[
        list[str] | None,
        typer.Option("--attribute", metavar="NAME=VALUE", help="What came back, if not all: total=12.50."),
    ] = None,
    message_id: MessageId = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Reverse what an order earned, or what the part that came back had earned."""
    body: dict[str, Any] = {"reference": order, "id": message_id}
    if attributes:
        body["attributes"] = attributes_in(attributes)
    _ask("refund", programme, contact, body, url, secret_key)


@app.command()
def budgets(
    programme: Programme,
    rule: Annotated[str, typer.Option(help="Only those of this rule.")] = "",
    at: Annotated[str, typer.Option(help="In the periods of this instant, such as 2026-03-02T09:00:00Z.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show what is left of the budgets of rules: what all members together get at most."""
    answer = ask("GET", url, ["loyalty", programme, "budgets"], secret_key, pairs=[("rule", rule), ("at", at)])
    if as_json_:
        as_json(answer)
        return
    columns = ("rule", "per", "since", "points given", "points left", "awards given", "awards left")
    rows = (
        (
            row["rule"],
            row["per"],
            row["since_time"] or "",
            f"{row['given_points']:,}",
            "any" if row["left_points"] is None else f"{row['left_points']:,} of {row['points']:,}",
            f"{row['given_times']:,}",
            "any" if row["left_times"] is None else f"{row['left_times']:,} of {row['times']:,}",
        )
        for row in answer["budgets"]
    )
    as_table(columns, rows)


@app.command()
def reviews(
    programme: Programme,
    rule: Annotated[str, typer.Option(help="Only those of this rule.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show the awards that wait for somebody to approve or refuse them, the oldest first."""
    answer = ask("GET", url, ["loyalty", programme, "reviews"], secret_key, pairs=[("rule", rule)])
    if as_json_:
        as_json(answer)
        return
    columns = ("id", "time", "rule", "contact", "points", "reference")
    beside = ("reward", "tier", "record")
    rows = (
        (*(str(row[name]) for name in columns), " ".join(row[name] for name in beside if row[name]))
        for row in answer["reviews"]
    )
    as_table((*columns, "and"), rows)
    OUT.print(f"{answer['total']:,} in review")


ReviewId = Annotated[str, typer.Argument(metavar="ID", help="The id of an award in review.")]


@app.command()
def approve(
    programme: Programme,
    review: ReviewId,
    author: Author,
    reason: Reason = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Approve an award that was put aside: its points can be spent."""
    _decide("approve", programme, review, {"author": author, "reason": reason}, url, secret_key)


@app.command()
def refuse(
    programme: Programme,
    review: ReviewId,
    author: Author,
    reason: Reason = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Refuse an award that was put aside: its points are taken back."""
    _decide("refuse", programme, review, {"author": author, "reason": reason}, url, secret_key)


@app.command()
def shared(
    programme: Programme,
    attribute: Annotated[str, typer.Argument(metavar="ATTRIBUTE", help="Such as device, payment or address.")],
    of: Annotated[
        list[str] | None, typer.Option("--of", help="An interaction that has it; without any, contacts have it, too.")
    ] = None,
    at_least: Annotated[int, typer.Option(min=2, help="How many members share a value.")] = 3,
    list_: Annotated[str, typer.Option("--list", help="Put everybody who shares something on this list.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show what several members share, such as a device or an address, and put them on a list."""
    body = {"attribute": attribute, "of": of or [], "at_least": at_least, "list": list_}
    answer = ask("POST", url, ["loyalty", programme, "shared"], secret_key, body)
    if as_json_:
        as_json(answer)
        return
    rows = ((row["value"], str(len(row["contacts"])), "\n".join(row["contacts"][:_SOME])) for row in answer["shared"])
    if answer["shared"]:
        as_table(("value", "members", "these"), rows)
    OUT.print(f"{answer['total']:,} values, {answer['contacts']:,} members, {answer['listed']:,} put on the list")


_SOME = 5
"""Members that are shown of a value."""


def _decide(verdict: str, programme: str, review: str, body: dict[str, Any], url: str, secret_key: str) -> None:
    _told(ask("POST", url, ["loyalty", programme, "reviews", review, verdict], secret_key, body))


@app.command()
def statement(
    programme: Programme,
    since: Annotated[str, typer.Option(help="The first day, such as 2026-03-01.")] = "",
    until: Annotated[str, typer.Option(help="The last day.")] = "",
    out: Annotated[Path | None, typer.Option("--csv", help="Write it as CSV to this file; - for the screen.")] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show what a programme owes its members, day by day."""
    pairs = [("since", since), ("until", until)]
    answer = ask("GET", url, ["loyalty", programme, "statement"], secret_key, pairs=pairs)
    if as_json_:
        as_json(answer)
        return
    if out is not None:
        write(None if str(out) == "-" else out, as_csv(msgspec.convert(answer["days"], list[StatementDay])))
        return
    figures = ("opening", "earned", "released", "spent", "expired", "reversed", "adjusted", "moved", "closing", "held")
    money = f"owed in {answer['currency']}" if answer["currency"] else "owed"
    as_table(
        ("day", *figures, money),
        (
            (
                row["day"],
                *(f"{row['closing_held' if name == 'held' else name]:,}" for name in figures),
                row["liability"] or f"{row['outstanding']:,}",
            )
            for row in answer["days"]
        ),
    )


@app.command()
def retroactive(
    programme: Programme,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The name of a live rule.")],
    since: Annotated[str, typer.Option("--since", help="From this day or instant on.")],
    until: Annotated[str, typer.Option(help="Before this day or instant; else until the rule was live.")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Give it; without, it is only shown.")] = False,
    author: Annotated[str, typer.Option("--author", help="With --apply: who says so.")] = "",
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Show what a live rule would have given for what occurred before it was live, and with --apply give it, once."""
    if apply and not author:
        raise ParcoursError("--apply needs --author: it is kept who gave points")
    path = ["loyalty", programme, "rules", rule, "retroactive"]
    body = {"since": since, **({"until": until} if until else {})}
    path.append(ask("POST", url, path, secret_key, body)["id"])
    with OUT.status("Working it out"):
        while (answer := ask("GET", url, path, secret_key))["state"] in {"waiting", "running"}:
            time.sleep(_POLL_SECONDS)
    if answer["state"] == "failed":
        raise ParcoursError(answer["problem"])
    if apply:
        answer = ask("POST", url, [*path, "apply"], secret_key, {"author": author})
    if as_json_:
        as_json(answer)
        return
    _show_past(answer, applied=apply)


def _show_past(answer: dict[str, Any], *, applied: bool) -> None:
    """Say what is given for the past, or would be, and to whom."""
    gives, given = answer["gives"], answer["given"]
    if given:
        rows = (
            (
                one["contact"],
                f"{one['awards']:,}",
                f"{one['points']:,}",
                _counts(one["rewards"] | one["recorded"]),
                " ".join(one["tiers"]),
                "" if one["goes_on_from"] is None else f"{one['goes_on_from']} of {gives['every']}",
            )
            for one in given
        )
        as_table(("contact", "times", "points", "and", "tier", "counts on from"), rows)
    done = "given" if applied else "would be given; --apply gives it"
    OUT.print(f"{answer['points']:,} points to {answer['members']:,} members, {answer['awards']:,} times: {done}")
    for kind, counts in (("coupons", "rewards"), ("recorded now", "recorded"), ("come to a tier", "tiers")):
        if answer[counts]:
            OUT.print(f"{kind}: {_counts(answer[counts])}", markup=False)
    if answer["carried"]:
        OUT.print(f"counted on from what is left over: {answer['carried']:,} members")
    for reason, count in answer["refused"].items():
        OUT.print(f"no coupon, {reason}: {count:,}")
    for reason, count in answer["declined"].items():
        OUT.print(f"not given, {reason}: {count:,}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


_POLL_SECONDS = 0.2


def _ask(action: str, programme: str, contact: str, body: dict[str, Any], url: str, secret_key: str) -> None:
    _told(ask("POST", url, ["loyalty", programme, "members", contact, action], secret_key, body))


def _told(answer: dict[str, Any]) -> None:
    _table(answer["entries"])
    if answer["member"] is not None:
        _show(answer["member"])
    if answer["status"] == "declined":
        hint = f" ({answer['hint']})" if answer.get("hint") else ""
        ERR.print(f"declined: {answer['reason']}{hint}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1)


def _show(member: dict[str, Any]) -> None:
    for name in ("balance", "held", "lifetime", "tier", "card"):
        if member.get(name):
            OUT.print(f"{name}: {member[name]}", markup=False)
    if not member.get("balance"):
        OUT.print("balance: 0")
    following = member.get("next_tier")
    if following is not None:
        OUT.print(f"to {following['name']}: {following['missing']:g}", markup=False)
    for row in member.get("coming", ()):
        OUT.print(f"{row['points']} come free at {row['free_time']}", markup=False)
    for row in member.get("expiring", ()):
        OUT.print(f"{row['points']} expire at {row['expires_time']}", markup=False)


def _table(entries: list[dict[str, Any]]) -> None:
    if not entries:
        return
    as_table(
        ("time", "kind", "amount", "held", "balance", "rule", "reference", "reason"),
        (
            (
                row["time"],
                row["kind"],
                f"{row['amount']:+}" if row["amount"] else "",
                f"{row['held']:+}" if row["held"] else "",
                str(row["balance"]),
                row["rule"],
                row["reference"],
                " ".join(filter(None, (row["reason"], row["author"]))),
            )
            for row in entries
        ),
    )
