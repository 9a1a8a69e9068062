"""Files to import, and what it takes to import them in process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parcours.ports import Store
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine
from parcours.runtimes.importer import Importer, Progress
from parcours.sources.files import spec_from_options
from parcours.sources.slices import FileRows
from parcours.wiring import open_import, plain_spec

DEFINITIONS: list[dict[str, Any]] = [
    {"kind": "interaction", "name": "Bought", "attributes": {"total": {"type": "number"}}, "strict": True},
    {"kind": "catalogue", "name": "products", "attributes": {"price": {"type": "number"}}},
    {"kind": "list", "name": "vip"},
]
SALES = ("kind=interactions", "name=Bought", "identities.user_id=who", "occurred_at=at")


def engine_of(store: Store, *definitions: dict[str, Any]) -> Engine:
    engine = Engine(store, SystemClock(0))
    errors, _ = engine.publish([*DEFINITIONS, *definitions])
    assert not errors
    return engine


def sales(path: Path, rows: int, *, wrong: int = 0) -> Path:
    """Write sales; every so many a row that is refused as it is read, and one that only the engine refuses."""
    lines = ["who,at,total,more"]
    for number in range(rows):
        more = ""
        total = f"{number}.5"
        if wrong and number % wrong == 1:
            total = "much"
        lines.append(f"u{number % 50},2026-01-{number % 28 + 1:02d}T10:00:00Z,{total},{more}")
    path.write_text("\n".join(lines) + "\n")
    return path


def importer(engine: Engine, path: Path, *options: str, rows: int = 100, apart: bool = False, **more: Any) -> Importer:
    opened = open_import(
        path,
        plain_spec(spec_from_options(options)),
        engine.plan.workspace,
        name=path.name,
        rejects=path.with_name("rejects.csv"),
        rows=rows,
    )
    assert isinstance(opened.rows, FileRows)
    opened.rows._apart = apart
    return Importer(opened.rows, opened.rejects, opened.fingerprint, engine, file=path.name, **more)


def run(engine: Engine, path: Path, *options: str, size: int = 250, **more: Any) -> Progress:
    return importer(engine, path, *options, **more).run(size)
