"""`parcours check | apply | export | schema`: definitions as files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parcours.cli.client import call, in_force, refused, stranger
from parcours.cli.console import ERR, OUT, Files, SecretKey, Url, plural, print_problems, sources_in, write
from parcours.definitions.load import dump, dump_yaml, load
from parcours.definitions.schema import json_schema
from parcours.definitions.workspace import KINDS, AnyDefinition
from parcours.errors import InvalidDefinitionError, ParcoursError, Problem
from parcours.wiring import template_problems


def check(
    files: Files,
) -> None:
    """Print everything that is wrong with definition files; exit with 1 if anything is."""
    sources = sources_in(files)
    workspace, problems, warnings = load(sources)
    problems += template_problems(sources)
    print_problems(warnings, "warning")
    print_problems(problems, "error")
    if problems:
        ERR.print(f"{len(problems)} {plural(len(problems), 'problem')}", style="red")
        raise typer.Exit(1)
    OUT.print(f"{len(workspace.all())} {plural(len(workspace.all()), 'definition')}, no problems")


def apply(files: Files, url: Url = "http://127.0.0.1:8700", secret_key: SecretKey = "") -> None:
    """Check definition files and put them in force: all or none."""
    workspace, problems, _ = load(sources_in(files), in_force(url, secret_key))
    if problems:
        raise InvalidDefinitionError(problems)
    given, _, _ = load(sources_in(files))
    wanted = {(type(definition), definition.name) for definition in given.all()}
    chosen = [dump(item) for item in workspace.all() if (type(item), item.name) in wanted]
    status, answer = call("PUT", f"{url}/v1/definitions", secret_key, {"definitions": chosen})
    try:
        warnings = msgspec.convert(answer.get("warnings", []), list[Problem])
        errors = msgspec.convert(answer.get("errors", []), list[Problem])
    except msgspec.ValidationError:
        raise stranger(url) from None
    print_problems(warnings, "warning")
    if status != 200:  # noqa: PLR2004 (HTTP)
        raise InvalidDefinitionError(errors) if errors else refused(status, answer)
    OUT.print(f"{len(chosen)} {plural(len(chosen), 'definition')} in force at {url}")


def export(
    url: Url = "http://127.0.0.1:8700",
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
        stem = f"{kinds[type(definition)]}-{name}".strip("-")
        numbered = (f"{stem}-{number}.yaml" for number in count(2))
        names[next(file for file in chain([f"{stem}.yaml"], numbered) if file not in names)] = None
    return list(names)


_LONGEST_NAME = 60
"""Characters of a definition's name that its file is named by: a file's name may have 255 bytes."""


def schema(
    out: Annotated[Path | None, typer.Option(help="A file to write to; without it, the screen.")] = None,
) -> None:
    """Write the JSON Schema of definition files, for editors."""
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    write(out, text)
