"""`parcours loyalty check`: whether ledgers, balances, lots and the statement agree."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parcours.cli.asking import AsJson, as_json, as_table, ask
from parcours.cli.console import ERR, OUT, SERVICE, SecretKey, Url, plural
from parcours.errors import ParcoursError
from parcours.runtimes.loyalty.reconcile import Reconciled, reconcile

_POLL_SECONDS = 0.2


def check(
    data: Annotated[
        Path | None, typer.Option(help="The folder of a service that does not run; without it, a running one is asked.")
    ] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    as_json_: AsJson = False,
) -> None:
    """Check every member: do the ledger, the balance, the lots and the statement agree? Exit with 1 if they do not."""
    found = _there(url, secret_key) if data is None else _here(data)
    if as_json_:
        as_json({"agrees": found.agrees, **msgspec.to_builtins(found)})
    else:
        _show(found)
    if not found.agrees:
        raise typer.Exit(1)


def _here(data: Path) -> Reconciled:
    from parcours.wiring import kept_engine

    if not (data / "parcours.db").is_file():
        raise ParcoursError(f"there is no store in {data}", hint="--data is the folder that parcours serve has")
    with kept_engine(data) as engine, OUT.status("Looking at every member"):
        return reconcile(engine.store)


def _there(url: str, secret_key: str) -> Reconciled:
    path = ["loyalty", "check"]
    answer = ask("POST", url, path, secret_key)
    with OUT.status("Looking at every member"):
        while answer["state"] == "running":
            time.sleep(_POLL_SECONDS)
            answer = ask("GET", url, path, secret_key)
    if answer["state"] != "done":
        raise ParcoursError(answer["problem"] or "the check was not ended", hint="ask for it again")
    return msgspec.convert(answer["result"], Reconciled)


def _show(found: Reconciled) -> None:
    if found.programmes:
        as_table(
            ("programme", "members", "entries", "balance", "held"),
            (
                (row.programme, *(f"{figure:,}" for figure in (row.members, row.entries, row.balance, row.held)))
                for row in found.programmes
            ),
        )
    if found.agrees:
        OUT.print(f"{found.contacts:,} {plural(found.contacts, 'contact')}: all agree")
        return
    as_table(
        ("programme", "contact", "what", "where", "expected", "found"),
        (
            (row.programme, row.contact, row.what, row.where, f"{row.expected:,}", f"{row.found:,}")
            for row in found.differences
        ),
    )
    ERR.print(f"{found.total:,} {plural(found.total, 'difference')}", markup=False, style="red")
