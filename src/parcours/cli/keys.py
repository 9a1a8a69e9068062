"""`parcours keys list | create | change | revoke`: who may send, and who may use the API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.client import call, refused, stranger
from parcours.cli.console import OUT, SERVICE, SecretKey, Url
from parcours.conditions.instants import moment_of
from parcours.errors import ParcoursError
from parcours.runtimes.clocks import wall_time
from parcours.web.auth import KeyChange, KeyView, NewKey, view_of
from parcours.wiring import kept_keys

app = typer.Typer(
    help="Keys: who may send, and who may use the API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Data = Annotated[
    Path | None,
    typer.Option(help="The data folder of a service that does not run: its store is changed, and no key is asked for."),
]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as parcours keys list shows it.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="What it may do, such as contacts:read; more than once for several. * is everything."),
]
Name = Annotated[str | None, typer.Option(help="What people know it by.")]
SourceName = Annotated[str | None, typer.Option(help="The name of the sender; message ids are told apart by it.")]
Rate = Annotated[float | None, typer.Option(help="Items or requests a second; 0 is no limit.")]
Burst = Annotated[float | None, typer.Option(help="How many may come at once; 0 is as many as in a second.")]
LargestBody = Annotated[int | None, typer.Option(help="Bytes a body may have; 0 is as many as the service allows.")]


@app.command("list")
def list_(url: Url = SERVICE, secret_key: SecretKey = "", data: Data = None) -> None:
    """Show all keys, but not the keys themselves."""
    if data is not None:
        with kept_keys(data) as (keys, _):
            found = [view_of(key) for key in keys.all()]
    else:
        status, answer = call("GET", f"{url}/v1/keys", secret_key)
        if status != 200:  # noqa: PLR2004 (HTTP)
            raise _refused(status, answer)
        found = _read(answer.get("keys"), list[KeyView], url)
    table = Table()
    for column in ("id", "kind", "name", "scopes", "source", "limits", "made", "state", "ends in"):
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for key in found:
        state = f"revoked {_day(key.revoked_at)}" if key.revoked_at is not None else "in force"
        shown = "in the settings" if key.in_settings else state
        cells = (
            key.id,
            key.kind,
            key.name,
            " ".join(key.scopes),
            key.source,
            _limits(key),
            _day(key.created_at),
            shown,
        )
        table.add_row(*map(Text, (*cells, key.ending)))  # as text: a name may look like markup
    OUT.print(table)


@app.command()
def create(
    kind: Annotated[str, typer.Argument(help="write (may only send) or secret (may use the API).")],
    name: Name = None,
    scope: Scopes = None,
    source: SourceName = None,
    rate: Rate = None,
    burst: Burst = None,
    largest_body: LargestBody = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    data: Data = None,
) -> None:
    """Make a key and show it, once. A write key may send anything unless a scope says less."""
    given = {"kind": kind} | _given(name, scope, source, rate, burst, largest_body)
    if data is not None:
        with kept_keys(data) as (keys, keep):
            key, text = keys.made(_checked(given, NewKey), None, wall_time())
            keep(key)
        id_ = key.id
    else:
        status, answer = call("POST", f"{url}/v1/keys", secret_key, given)
        if status != 201:  # noqa: PLR2004 (HTTP)
            raise _refused(status, answer)
        made = _read(answer, _Made, url)
        id_, text = made.id, made.key
    OUT.print(f"{kind} key {id_} (shown once, keep it): {text}", markup=False, soft_wrap=True)


@app.command()
def change(
    key: KeyId,
    name: Name = None,
    scope: Scopes = None,
    source: SourceName = None,
    rate: Rate = None,
    burst: Burst = None,
    largest_body: LargestBody = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    data: Data = None,
) -> None:
    """Change what is given of a key. Scopes replace those it had."""
    given = _given(name, scope, source, rate, burst, largest_body)
    if data is not None:
        with kept_keys(data) as (keys, keep):
            keep(keys.changed(key, _checked(given, KeyChange), None))
    else:
        status, answer = call("PATCH", f"{url}/v1/keys/{quote(key, safe='')}", secret_key, given)
        if status != 200:  # noqa: PLR2004 (HTTP)
            raise _refused(status, answer)
    OUT.print(f"key {key} changed", markup=False)


@app.command()
def revoke(key: KeyId, url: Url = SERVICE, secret_key: SecretKey = "", data: Data = None) -> None:
    """Let a key be good for nothing, at once and for ever."""
    if data is not None:
        with kept_keys(data) as (keys, keep):
            keep(keys.revoked(key, None, wall_time()))
    else:
        status, answer = call("DELETE", f"{url}/v1/keys/{quote(key, safe='')}", secret_key)
        if status != 200:  # noqa: PLR2004 (HTTP)
            raise _refused(status, answer)
    OUT.print(f"key {key} revoked", markup=False)


class _Made(msgspec.Struct):
    id: str
    key: str


_Shape = TypeVar("_Shape")


def _given(
    name: str | None,
    scopes: list[str] | None,
    source: str | None,
    rate: float | None,
    burst: float | None,
    largest_body: int | None,
) -> dict[str, Any]:
    """Return the fields that were given; 0 takes a limit away."""
    fields = {"name": name, "scopes": scopes or None, "source": source}
    limits = {"rate": rate, "burst": burst, "largest_body": largest_body}
    given = {field: value for field, value in fields.items() if value is not None}
    return given | {field: value or None for field, value in limits.items() if value is not None}


def _checked(given: dict[str, Any], shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.convert(given, shape)
    except msgspec.ValidationError as error:
        raise ParcoursError(f"the key cannot be like that: {error}", hint="see parcours keys create --help") from None


def _read(answer: object, shape: type[_Shape], url: str) -> _Shape:
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError:
        raise stranger(url) from None


def _refused(status: int, answer: dict[str, Any]) -> ParcoursError:
    """Return what a service answered; only with 401 it is about the key one has."""
    if status == 401:  # noqa: PLR2004 (HTTP)
        return refused(status, answer)
    said = f"{answer.get('detail', answer)}"
    if isinstance(extra := answer.get("extra"), list):
        said += "".join(
            f"; {item.get('key', '')}: {item.get('message', '')}" for item in extra if isinstance(item, dict)
        )
    return ParcoursError(f"the service answered {status}: {' '.join(said.split())[:500]}")


def _day(instant: int | None) -> str:
    return moment_of(instant).date().isoformat() if instant else ""


def _limits(key: KeyView) -> str:
    limits = [f"{key.rate:g} a second" if key.rate is not None else "", f"{key.burst:g} at once" if key.burst else ""]
    if key.largest_body is not None:
        limits.append(f"{key.largest_body} bytes")
    return ", ".join(filter(None, limits))
