"""`parcours loyalty reward` and `parcours loyalty coupon`: rewards and their codes, against a running service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from parcours.cli.asking import AsJson, Author, Contact, MessageId, Reason, as_json, as_table, ask
from parcours.cli.console import ERR, OUT, SERVICE, SecretKey, Url, read_text

_OPTIONS: dict[str, Any] = {
    "no_args_is_help": True,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}

rewards = typer.Typer(help="Rewards: issue them, and fill their pools of codes.", **_OPTIONS)
coupons = typer.Typer(help="Coupons: check, reserve, redeem, release, cancel and reopen them.", **_OPTIONS)

Reward = Annotated[str, typer.Argument(metavar="REWARD", help="The name of a reward.")]
Code = Annotated[str, typer.Argument(metavar="CODE", help="The code of a coupon.")]
Who = Annotated[str, typer.Option("--contact", help="Who presents it: an id, or user_id:VALUE.")]
Basket = Annotated[float | None, typer.Option("--basket", help="What the basket comes to.")]
Order = Annotated[str, typer.Option("--order", help="The order it is for.")]

_AT_ONCE = 5_000
_HERE = SERVICE


@rewards.command("list")
def list_(url: Url = _HERE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Show all rewards, and how many were issued and redeemed."""
    answer = ask("GET", url, ["loyalty", "rewards"], secret_key)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("name", "title", "issued", "redeemed", "left", "state"),
        (
            (
                row["name"],
                row["title"],
                f"{row['issued']:,}",
                f"{row['redeemed']:,}",
                "any" if row["left"] is None else f"{row['left']:,}",
                "archived" if row["archived"] else "",
            )
            for row in answer["rewards"]
        ),
    )


@rewards.command()
def issue(
    reward: Reward,
    contact: Contact,
    pay: Annotated[bool, typer.Option("--pay", help="The contact pays with points.")] = False,
    reason: Reason = "",
    author: Author = "",
    message_id: MessageId = "",
    url: Url = _HERE,
    secret_key: SecretKey = "",
) -> None:
    """Issue a reward to a contact; exit with 1 if it is not."""
    body = {"contact": contact, "pay": pay, "reason": reason, "author": author, "id": message_id}
    _told(ask("POST", url, ["loyalty", "rewards", reward, "issue"], secret_key, body))


@rewards.command()
def codes(
    reward: Reward,
    file: Annotated[Path, typer.Argument(help="A text file with one code a line.", exists=True, dir_okay=False)],
    url: Url = _HERE,
    secret_key: SecretKey = "",
) -> None:
    """Put codes into the pool of a reward; run again, nothing is put in twice."""
    found = [line.strip() for line in read_text(file).removeprefix("\ufeff").splitlines() if line.strip()]
    new = pool = 0
    for start in range(0, len(found), _AT_ONCE):
        body = {"codes": found[start : start + _AT_ONCE]}
        answer = ask("POST", url, ["loyalty", "rewards", reward, "codes"], secret_key, body)
        new, pool = new + answer["new"], answer["pool"]
    OUT.print(f"{new:,} of {len(found):,} codes are new; {pool:,} are in the pool")


@coupons.command()
def check(
    code: Code,
    contact: Who = "",
    basket: Basket = None,
    order: Order = "",
    url: Url = _HERE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Say whether a coupon can be redeemed; exit with 1 if not."""
    body = {"code": code, "contact": contact, "basket": basket, "order": order}
    answer = ask("POST", url, ["loyalty", "coupons", "check"], secret_key, body)
    if as_json_:
        as_json(answer)
    else:
        _told(answer)


@coupons.command()
def reserve(
    code: Code,
    contact: Who = "",
    basket: Basket = None,
    order: Order = "",
    message_id: MessageId = "",
    url: Url = _HERE,
    secret_key: SecretKey = "",
) -> None:
    """Keep a coupon for an order for a while."""
    _use("reserve", code, {"contact": contact, "basket": basket, "order": order, "id": message_id}, url, secret_key)


@coupons.command()
def redeem(
    code: Code,
    contact: Who = "",
    basket: Basket = None,
    order: Order = "",
    message_id: MessageId = "",
    url: Url = _HERE,
    secret_key: SecretKey = "",
) -> None:
    """Redeem a coupon, once."""
    _use("redeem", code, {"contact": contact, "basket": basket, "order": order, "id": message_id}, url, secret_key)


@coupons.command()
def release(
    code: Code, order: Order = "", message_id: MessageId = "", url: Url = _HERE, secret_key: SecretKey = ""
) -> None:
    """Let go of what an order reserved."""
    _use("release", code, {"order": order, "id": message_id}, url, secret_key)


@coupons.command()
def cancel(
    code: Code,
    reason: Reason = "",
    author: Author = "",
    message_id: MessageId = "",
    url: Url = _HERE,
    secret_key: SecretKey = "",
) -> None:
    """Cancel a coupon: it is of no use any more."""
    _use("cancel", code, {"reason": reason, "author": author, "id": message_id}, url, secret_key)


@coupons.command()
def reopen(
    code: Code,
    order: Order = "",
    reason: Reason = "",
    author: Author = "",
    message_id: MessageId = "",
    url: Url = _HERE,
    secret_key: SecretKey = "",
) -> None:
    """Let a coupon be redeemed again that was redeemed with an order, for that came back."""
    body = {"order": order, "reason": reason, "author": author, "id": message_id}
    _use("reopen", code, body, url, secret_key)


@coupons.command("list")
def of_contact(contact: Contact, url: Url = _HERE, secret_key: SecretKey = "", as_json_: AsJson = False) -> None:
    """Show the coupons of a contact, the latest first."""
    answer = ask("GET", url, ["loyalty", "contacts", contact, "coupons"], secret_key)
    if as_json_:
        as_json(answer)
        return
    as_table(
        ("code", "reward", "state", "issued", "valid until", "order"),
        (
            (row["code"], row["reward"], row["state"], row["issued_time"], row["valid_until_time"] or "", row["order"])
            for row in answer["coupons"]
        ),
    )


def _use(action: str, code: str, body: dict[str, Any], url: str, secret_key: str) -> None:
    _told(ask("POST", url, ["loyalty", "coupons", action], secret_key, {"code": code, **body}))


def _told(answer: dict[str, Any]) -> None:
    """Show a coupon, and with exit code 1 why something was not done with it."""
    coupon = answer["coupon"]
    if coupon is not None:
        until = f", valid until {coupon['valid_until_time']}" if coupon["valid_until_time"] else ""
        OUT.print(f"{coupon['code']}: {coupon['reward']}, {coupon['state']}{until}", markup=False, soft_wrap=True)
    if answer.get("discount") is not None:
        OUT.print(f"takes off: {answer['discount']:.2f}")
    if answer["reason"]:
        hint = f" ({answer['hint']})" if answer.get("hint") else ""
        ERR.print(f"declined: {answer['reason']}{hint}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1)
