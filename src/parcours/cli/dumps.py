"""`parcours dump`: contacts, interactions, lists and items as a file that `parcours import` reads; ledger and coupons."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
import typer

from parcours.cli.client import call, refused
from parcours.cli.console import OUT, SERVICE, SecretKey, Url, plural
from parcours.errors import ParcoursError, did_you_mean
from parcours.runtimes.dump import EXPORTS, KINDS, Row, rows
from parcours.runtimes.loyalty.dump import COLUMNS
from parcours.wiring import kept_engine

FORMATS = (".jsonl", ".csv", ".parquet")

_COLUMNS = {
    "contacts": ("contact.user_id",),
    "interactions": ("name", "contact.user_id"),
    "lists": ("list", "contact.user_id"),
    "items": ("id",),
}
"""Those of a file that has no rows."""

_NOTHING = "\\N"
"""What stands in cells that hold nothing, for an empty text is something."""


def dump(
    out: Annotated[Path, typer.Argument(help="The file to write: .jsonl, .csv or .parquet.")],
    kind: Annotated[str, typer.Option(help="contacts, interactions, lists, items, ledger or coupons.")],
    catalogue: Annotated[str, typer.Option(help="The catalogue, of items.")] = "",
    data: Annotated[Path | None, typer.Option(help="The data folder of a service that does not run.")] = None,
    url: Url = SERVICE,
    secret_key: SecretKey = "",
) -> None:
    """Write what is kept to a file. Imported into an empty store, it gives the same again.

    The ledger and the coupons are for others to read: no import reads them, for they come of inputs.
    Lines of JSON hold everything. CSV and Parquet need an attribute to be of one type in all rows; how they are read is
    written beside them, to FILE.import.yaml.
    """
    known = (*KINDS, *EXPORTS)
    if kind not in known:
        hint = did_you_mean(kind, known) or f"kinds are {', '.join(known)}"
        raise ParcoursError(f"there is no kind {kind!r}", hint=hint)
    if out.suffix not in FORMATS:
        raise ParcoursError(f"{out} is of no format that is known", hint=f"let it end in {', '.join(FORMATS)}")
    if kind == "items" and not catalogue:
        raise ParcoursError("items are of a catalogue", hint="--catalogue NAME")
    if data is not None:
        if not (data / "parcours.db").is_file():
            raise ParcoursError(f"there is no store in {data}", hint="--data is the folder that parcours serve has")
        with kept_engine(data) as engine:
            count = write(out, kind, rows(engine, kind, catalogue=catalogue), catalogue)
    else:
        count = write(out, kind, _asked(url, secret_key, kind, catalogue), catalogue)
    OUT.print(f"{count:,} {plural(count, 'row')} to {out}", markup=False, soft_wrap=True)


def _asked(url: str, secret_key: str, kind: str, catalogue: str) -> Iterator[Row]:
    """Yield rows as a running service gives them, page by page."""
    after: str | None = ""
    while after is not None:
        query = urlencode({"after": after, "catalogue": catalogue})
        status, answer = call("GET", f"{url}/v1/dump/{kind}?{query}", secret_key)
        if status != 200:  # noqa: PLR2004 (HTTP)
            raise refused(status, answer)
        yield from answer["rows"]
        after = answer["after"]


def write(out: Path, kind: str, found: Iterable[Row], catalogue: str = "") -> int:
    """Write rows to a file as its suffix says, and return how many.

    Raises:
        ParcoursError: It cannot be written, or not in this format.
    """
    new = out.with_name(f".{out.name}.new")
    try:
        if out.suffix == ".jsonl":
            count = 0
            with new.open("wb") as file:
                for row in found:
                    file.write(msgspec.json.encode(row) + b"\n")
                    count += 1
        else:
            count = _write_columns(new, out, kind, [_flat(row) for row in found], catalogue)
        new.replace(out)
    except OSError as error:
        raise ParcoursError(f"cannot write {out}: {error.strerror}") from None
    finally:
        new.unlink(missing_ok=True)
    return count


def _flat(row: Row) -> Row:
    """Return a row with a name for each value, such as `attributes.total`."""
    flat: Row = {}
    for key, value in row.items():
        if key in {"contact", "attributes"}:
            flat.update({f"{key}.{name}": one for name, one in value.items() if one is not None})
        elif key == "consent":
            for channel, topics in value.items():
                flat.update({f"consent.{channel}.{topic}".rstrip("."): state for topic, state in topics.items()})
        else:
            flat[key] = value
    return flat


def _write_columns(new: Path, out: Path, kind: str, found: list[Row], catalogue: str) -> int:
    if kind in EXPORTS:
        _write_export(new, out, COLUMNS[kind], found)
        return len(found)
    names = list(dict.fromkeys(name for row in found for name in row)) or list(_COLUMNS[kind])
    names.sort(key=_place)
    types = {name: _type_of(name, found) for name in names if name.startswith("attributes.")}
    if out.suffix == ".csv":
        empty = _NOTHING
        while any(value == empty for row in found for value in row.values()):
            empty += "N"
        _write_csv(new, names, found, empty)
        spec: Row = {"kind": kind, "empty": [empty], "delimiter": ",", "quote": '"', "escape": "", "header": True}
    else:
        _write_parquet(new, names, types, found)
        spec = {"kind": kind, "empty": []}
    spec |= {"encoding": "utf-8"} if out.suffix == ".csv" else {}
    spec |= {"catalogue": catalogue} if kind == "items" else {}
    spec |= {"types": {name.removeprefix("attributes."): type_ for name, type_ in types.items()}} if types else {}
    spaces = [name for name in names if name.startswith("contact.")]
    spec |= {"identities": {name.removeprefix("contact."): name for name in spaces}} if spaces else {}
    import yaml

    out.with_name(f"{out.name}.import.yaml").write_text(
        yaml.safe_dump(spec, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    return len(found)


def _write_export(new: Path, out: Path, columns: Iterable[str], found: list[Row]) -> None:
    """Write rows that no import reads: empty cells are empty, and there is nothing beside the file."""
    spaces = sorted({name for row in found for name in row if name.startswith("contact.")}) or ["contact.user_id"]
    names = [name for column in columns for name in (spaces if column == "contact" else [column])]
    if out.suffix == ".csv":
        _write_csv(new, names, found, "")
        return
    types = {name: _type_of(name, found) for name in names if found and name not in spaces}
    _write_parquet(new, names, types, found)


def _write_csv(new: Path, names: list[str], found: list[Row], empty: str) -> None:
    with new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in found:
            writer.writerow([empty if row.get(name) is None else _text(row[name]) for name in names])


def _place(name: str) -> tuple[int, str]:
    first = name.partition(".")[0]
    order = ("id", "name", "contact", "list", "action", "occurred_at", "attributes", "consent")
    return order.index(first), name


def _type_of(name: str, found: list[Row]) -> str:
    kinds = {_kind(row[name]) for row in found if row.get(name) is not None}
    if len(kinds) > 1:
        said = f"{name.removeprefix('attributes.')!r} is {' in one row and '.join(sorted(kinds))} in another"
        raise ParcoursError(said, hint="write .jsonl, whose values have types of their own")
    return kinds.pop()


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, datetime):
        return "datetime"
    return "string" if isinstance(value, str) else "object"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)


def _write_parquet(new: Path, names: list[str], types: dict[str, str], found: list[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"boolean": pa.bool_(), "number": pa.float64(), "datetime": pa.timestamp("us", "UTC")}
    columns = []
    for name in names:
        values = [row.get(name) for row in found]
        kind = kinds.get(types.get(name, ""), pa.string())
        if types.get(name) == "object":
            values = [None if value is None else _text(value) for value in values]
        elif types.get(name) == "number" and all(value is None or type(value) is int for value in values):
            kind = pa.int64()
        columns.append(pa.array(values, kind))
    parquet.write_table(pa.table(columns, names), new)
