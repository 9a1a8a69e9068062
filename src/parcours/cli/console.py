"""What the commands share: the screen, files, and the options that several take."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.segment import Segment

from parcours.conditions.instants import milliseconds
from parcours.definitions.load import DEFINITION_SUFFIXES as SUFFIXES
from parcours.definitions.load import Source, is_scenario_file
from parcours.errors import ParcoursError, Problem

_UNSEEN = {
    code: "\ufffd"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\n\t"
}
"""What tells a terminal to do something, or turns the direction of writing: none of it may come out of data."""


class SafeConsole(Console):
    """A screen that data cannot command: what anybody sent as an attribute is shown and never obeyed."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            part if part.control else Segment(part.text.translate(_UNSEEN), part.style) for part in buffer
        )


OUT = SafeConsole(highlight=False)
ERR = SafeConsole(stderr=True, highlight=False)

Files = Annotated[
    list[Path], typer.Argument(help="Definition files (YAML or JSON), or folders of them.", show_default=False)
]
SERVICE = "http://127.0.0.1:8700"
"""Where a service listens when nothing else is said."""

Url = Annotated[str, typer.Option(envvar="PARCOURS_URL", help="The service.")]
SecretKey = Annotated[str, typer.Option(envvar="PARCOURS_SECRET_KEY", help="The key that may use the API.")]


def write(path: Path | None, text: str) -> None:
    """Write to a file, or to the screen."""
    try:
        if path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            path.write_text(text, encoding="utf-8")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ParcoursError(f"cannot write {path or 'to the screen'}: {error.strerror}") from None


def sources_in(paths: Iterable[Path]) -> list[Source]:
    """Return the definition files among paths, and in the folders among them; files of scenarios are passed over.

    Raises:
        ParcoursError: A file cannot be read, or a folder has none.
    """
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                item for item in path.rglob("*") if item.suffix in SUFFIXES and not is_scenario_file(item.name)
            )
            if not inside:
                raise ParcoursError(f"no {', '.join(SUFFIXES)} file in {path}")
            found += [Source(str(item), read_text(item)) for item in inside]
        else:
            found.append(Source(str(path), read_text(path)))
    return found


def read_text(path: Path) -> str:
    """Return what a file says.

    Raises:
        ParcoursError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParcoursError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParcoursError(f"{path} is not UTF-8: byte {error.start}", hint="save it as UTF-8") from None


def instant_in(text: str) -> int:
    """Return the milliseconds since the epoch of an ISO 8601 time with an offset.

    Raises:
        ParcoursError: It is none.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ParcoursError(f"{text!r} is not a time", hint="write for example 2026-01-31T09:00:00Z") from None
    if instant.tzinfo is None:
        raise ParcoursError(f"{text!r} has no offset", hint="write for example 2026-01-31T09:00:00Z")
    return milliseconds(instant)


def print_problems(problems: Iterable[Problem], kind: str) -> None:
    """Print problems to the screen for errors, one a line."""
    for problem in problems:
        ERR.print(f"{kind}: {problem}", markup=False, style="yellow" if kind == "warning" else "red", soft_wrap=True)


def plural(count: int, word: str) -> str:
    """Return the word as it goes with a count."""
    return word if count == 1 else f"{word}s"
