"""`parcours check | apply | export | schema`: definitions as files; `parcours definitions`: those in force."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from parcours.cli.client import call, in_force, refused, stranger
from parcours.cli.console import ERR, OUT, SERVICE, Files, SecretKey, Url, plural, print_problems, sources_in, write
from parcours.definitions.load import Source, dump, dump_yaml, load, read
from parcours.definitions.schema import json_schema
from parcours.definitions.workspace import KINDS, AnyDefinition, is_archived, key_name, key_of, select
from parcours.errors import InvalidDefinitionError, ParcoursError, Problem, did_you_mean
from parcours.wiring import schedule_problems, template_problems

app = typer.Typer(
    help="The definitions in force, one by one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Kind = Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name; that of an interaction in any spelling.")]


def check(
    files: Files,
) -> None:
    """Print everything that is wrong with definition files; exit with 1 if anything is."""
    sources = sources_in(files)
    workspace, problems, warnings = load(sources)
    wrong, doubtful = template_problems(sources, workspace)
    problems += wrong + schedule_problems(sources, workspace)
    warnings += doubtful
    print_problems(warnings, "warning")
    print_problems(problems, "error")
    if problems:
        ERR.print(f"{len(problems)} {plural(len(problems), 'problem')}", style="red")
        raise typer.Exit(1)
    OUT.print(f"{len(workspace.all())} {plural(len(workspace.all()), 'definition')}, no problems")


def apply(files: Files, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Check definition files and put them in force: all or none."""
    sources = sources_in(files)
    workspace, problems, _ = load(sources, in_force(url, secret_key))
    problems += template_problems(sources, workspace)[0] + schedule_problems(sources, workspace)
    if problems:
        raise InvalidDefinitionError(problems)
    given, _, _ = load(sources)
    wanted = {(type(definition), definition.name) for definition in given.all()}
    chosen = [dump(item) for item in workspace.all() if (type(item), item.name) in wanted]
    status, answer = call("PUT", f"{url}/v1/definitions", secret_key, {"definitions": chosen})
    try:
        warnings = _placed(msgspec.convert(answer.get("warnings", []), list[Problem]), chosen, sources)
        errors = _placed(msgspec.convert(answer.get("errors", []), list[Problem]), chosen, sources)
    except msgspec.ValidationError:
        raise stranger(url) from None
    print_problems(warnings, "warning")
    if status != 200:  # noqa: PLR2004 (HTTP)
        raise InvalidDefinitionError(errors) if errors else refused(status, answer)
    OUT.print(f"{len(chosen)} {plural(len(chosen), 'definition')} in force at {url}")


def _placed(problems: Iterable[Problem], sent: Sequence[dict[str, Any]], sources: Iterable[Source]) -> list[Problem]:
    """Return what the service said of the definitions that were sent, with the file and line of each."""
    places = {_written(located.definition): located for source in sources for located in read(source)[0]}
    found = []
    for problem in problems:
        index, _, below = problem.pointer.removeprefix("/definitions/").partition("/")
        located = places.get(_written(sent[int(index)])) if index.isdigit() and int(index) < len(sent) else None
        if located is not None:
            pointer = f"/{below}" if below else ""
            place = {"file": located.file, "line": located.line_of(pointer), "pointer": pointer}
            found.append(msgspec.structs.replace(problem, **place))
        else:
            found.append(problem)
    return found


def _written(definition: object) -> tuple[str, str]:
    data = definition if isinstance(definition, dict) else {}
    kind = str(data.get("kind", ""))
    return kind, key_name(kind, str(data.get("name", kind)))


def export(
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    out: Annotated[
        Path | None, typer.Option(help="A folder: one file a definition. Without it, YAML to the screen.")
    ] = None,
) -> None:
    """Write the definitions in force as YAML."""
    definitions = in_force(url, secret_key).all()
    if out is None:
        write(None, dump_yaml(definitions))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParcoursError(f"cannot make the folder {out}: {error.strerror}") from None
    for definition, name in zip(definitions, file_names(definitions), strict=True):
        write(out / name, dump_yaml([definition]))
    OUT.print(f"{len(definitions)} {plural(len(definitions), 'file')} in {out}")


def file_names(definitions: Iterable[AnyDefinition]) -> list[str]:
    """Return a name for the file of each definition; those that would be the same are numbered."""
    kinds = {type_: kind for kind, type_ in KINDS.items()}
    names: dict[str, None] = {}
    for definition in definitions:
        letters = definition.name.casefold()[:_LONGEST_NAME]
        name = "".join(letter if letter.isalnum() or letter == "_" else "-" for letter in letters).strip("-")
        kind = kinds[type(definition)]
        stem = kind if kind == "workspace" else f"{kind}-{name}".strip("-")
        numbered = (f"{stem}-{number}.yaml" for number in count(2))
        names[next(file for file in chain([f"{stem}.yaml"], numbered) if file not in names)] = None
    return list(names)


_LONGEST_NAME = 60
"""Characters of a definition's name that its file is named by: a file's name may have 255 bytes."""


def schema(
    out: Annotated[Path | None, typer.Option(help="A file to write to; without it, the screen.")] = None,
    scenarios: Annotated[bool, typer.Option("--scenarios", help="The schema of scenario files instead.")] = False,
) -> None:
    """Write the JSON Schema of definition files, or of scenario files, for editors."""
    from parcours.testing.scenarios import scenario_schema

    text = json.dumps(scenario_schema() if scenarios else json_schema(), indent=2, ensure_ascii=False) + "\n"
    write(out, text)


# --- those in force, one by one ---------------------------------------------------------------------------------------


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="Only those of a kind.")] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
    archived: Annotated[bool, typer.Option("--archived", help="Also those that were put away.")] = False,
    channel: Annotated[str | None, typer.Option(help="Only those of a channel.")] = None,
    source_type: Annotated[str | None, typer.Option(help="Only interactions of a source type.")] = None,
    text: Annotated[str, typer.Option(help="Only those with it in name, title or description.")] = "",
) -> None:
    """Show the definitions in force."""
    if kind is not None and kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"kinds are {', '.join(KINDS)}"
        raise ParcoursError(f"there is no kind {kind!r}", hint=hint)
    table = Table()
    for column in ("kind", "name", "title", "channel", "source type", "state"):
        table.add_column(column, overflow="fold")
    everything = in_force(url, secret_key).all()
    for one in select(everything, archived=archived, channel=channel, source_type=source_type, text=text):
        if kind is not None and key_of(one)[0] != kind:
            continue
        said = [key_of(one)[0], one.name, one.title, *(getattr(one, at, "") for at in ("channel", "source_type"))]
        state = "archived" if is_archived(one) else getattr(one, "state", "")
        table.add_row(*(Text(cell) for cell in (*said, state)))
    OUT.print(table)


@app.command()
def show(kind: Kind, name: Name, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Write a definition in force as YAML, and above it who uses it."""
    place = _place(url, kind, name)
    definition = asked("GET", place, secret_key)
    workspace, problems, _ = load([Source(place, json.dumps([definition]))])
    mine = [one for one in workspace.all() if key_of(one)[0] == kind]
    if not mine or any(problem.code != "unknown_reference" for problem in problems):
        raise stranger(url)
    try:
        uses = msgspec.convert(asked("GET", f"{place}/uses", secret_key).get("uses"), list[_Use])
    except msgspec.ValidationError:
        raise stranger(url) from None
    comments = "".join(f"# used by the {use.kind} {use.name!r} at {use.pointer}\n" for use in uses)
    write(None, comments + dump_yaml(mine))


@app.command()
def archive(kind: Kind, name: Name, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Put a definition away that nothing in use refers to."""
    asked("POST", f"{_place(url, kind, name)}/archive", secret_key)
    OUT.print(f"the {kind} {name!r} is archived", markup=False)


@app.command()
def restore(kind: Kind, name: Name, url: Url = SERVICE, secret_key: SecretKey = "") -> None:
    """Take an archived definition back."""
    asked("POST", f"{_place(url, kind, name)}/restore", secret_key)
    OUT.print(f"the {kind} {name!r} is restored", markup=False)


class _Use(msgspec.Struct):
    kind: str
    name: str
    pointer: str


def _place(url: str, kind: str, name: str) -> str:
    return f"{url}/v1/definitions/{quote(kind, safe='')}/{quote(name, safe='')}"


def asked(method: str, place: str, secret_key: str) -> dict[str, Any]:
    """Return what a service answered.

    Raises:
        ParcoursError: It refuses.
    """
    status, answer = call(method, place, secret_key)
    if status < 400:  # noqa: PLR2004 (HTTP)
        return answer
    if status in {404, 409}:
        raise ParcoursError(str(answer.get("detail", answer)))
    try:
        errors = msgspec.convert(answer.get("errors", []), list[Problem])
    except msgspec.ValidationError:
        errors = []
    raise InvalidDefinitionError(errors) if errors else refused(status, answer)
