"""`parcours packs`: ready-made definitions, switched on and off together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import quote

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.client import stranger
from parcours.cli.console import OUT, SERVICE, SecretKey, Url, plural, print_problems
from parcours.cli.definitions import asked

if TYPE_CHECKING:  # the application and all it needs, to be loaded only by who asks a service
    from parcours.web.api.packs import Switched

app = typer.Typer(
    help="Packs of ready-made definitions, switched on and off together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Pack = Annotated[str, typer.Argument(metavar="PACK", help="Its name, as parcours packs list shows it.")]

T = TypeVar("T")


@app.command("list")
def list_(url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Show all packs, and which are switched on."""
    table = Table()
    for column in ("name", "title", "version", "definitions", "state"):
        table.add_column(column, overflow="fold")
    from parcours.web.api.packs import Packs

    for pack in _ask("GET", url, "", secret_key, Packs).packs:
        cells = (pack.name, pack.title, pack.version, str(pack.definitions), pack.state)
        table.add_row(*map(Text, cells))
    OUT.print(table)


@app.command()
def show(pack: Pack, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Show the definitions of a pack, and what became of each."""
    from parcours.web.api.packs import PackView

    view = _ask("GET", url, f"/{quote(pack, safe='')}", secret_key, PackView)
    OUT.print(f"{view.title} ({view.name} {view.version}, {view.state}): {view.description}", markup=False)
    table = Table()
    for column in ("kind", "name", "description", "state"):
        table.add_column(column, overflow="fold")
    for part in view.definitions:
        cells = (part.kind, part.name, str(part.definition.get("description", "")), part.state)
        table.add_row(*map(Text, cells))
    OUT.print(table)


@app.command()
def enable(pack: Pack, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Add the definitions of a pack that are missing, and restore those that were archived."""
    from parcours.web.api.packs import Switched

    _report(_ask("POST", url, f"/{quote(pack, safe='')}/enable", secret_key, Switched), pack, "added or restored")


@app.command()
def disable(pack: Pack, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Archive the definitions of a pack that nobody changed and nothing uses."""
    from parcours.web.api.packs import Switched

    _report(_ask("POST", url, f"/{quote(pack, safe='')}/disable", secret_key, Switched), pack, "archived")


def _report(answer: Switched, pack: str, done: str) -> None:
    print_problems(answer.warnings, "warning")
    for left in answer.left:
        users = ", ".join(f"the {user.kind} {user.name!r}" for user in left.users)
        why = f"used by {users}" if users else left.why
        OUT.print(f"left as it is: the {left.kind} {left.name!r}, {why}", markup=False, soft_wrap=True)
    count = len(answer.done)
    OUT.print(f"{count} {plural(count, 'definition')} {done}; the pack {pack} is {answer.state}", markup=False)


def _ask(method: str, url: str, path: str, secret_key: str, kind: type[T]) -> T:
    answer = asked(method, f"{url}/v1/packs{path}", secret_key)
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError:
        raise stranger(url) from None
