"""Files that are imported: opened as they are described, and watched for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from parcours.definitions.workspace import Workspace
from parcours.runtimes.jobs import Jobs, Opened
from parcours.runtimes.watch import Watch
from parcours.sources.files import ImportSpec, Known, spec_from_data, spec_from_text
from parcours.sources.slices import FileRows, Rejects, fingerprint
from parcours.wiring.settings import Settings, SettingsError


def watch(settings: Settings, jobs: Jobs) -> Watch:
    """Return what imports the files of the folder that is watched.

    Raises:
        SettingsError: It cannot be watched.
    """
    try:
        return Watch(jobs, settings.watch, settings.watch_seconds, watch_spec)
    except (ImportError, ValueError, OSError) as error:
        # It may hold a password, which is not repeated.
        scheme = settings.watch.partition("://")[0] if "://" in settings.watch else "file"
        raise SettingsError(
            f"the folder to watch cannot be used ({scheme}): {type(error).__name__}",
            hint="docs/files.md names the package that each kind of URL needs",
        ) from None


def watch_spec(text: str) -> dict[str, Any]:
    """Return the description of an import that stands beside a file, as plain data.

    Raises:
        ParcoursError: It is none.
    """
    return plain_spec(spec_from_text("import.yaml", text))


def plain_spec(spec: ImportSpec) -> dict[str, Any]:
    """Return a description of an import as plain data."""
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return found


def open_import(
    path: Path,
    spec: Mapping[str, Any],
    workspace: Workspace,
    *,
    name: str = "",
    rejects: Path | None = None,
    rows: int = 1_000,
) -> Opened:
    """Return a file that is ready to be imported; the file of rejected rows gets the suffix that suits it.

    Raises:
        ParcoursError: It cannot be read as described.
    """
    described = spec_from_data(dict(spec))
    mark = fingerprint(path, described)
    opened = FileRows(path, described, name=name, known=Known.of(workspace, mark), rows=rows)
    suffix = ".csv" if opened.found.format == "csv" else ".jsonl"
    file = None
    if rejects is not None:
        file = Rejects(
            rejects if rejects.suffix in {".csv", ".jsonl"} else rejects.with_name(rejects.name + suffix), opened
        )
    found: dict[str, Any] = msgspec.to_builtins(opened.found)
    return Opened(opened, file, mark, found)
