"""Rejected rows, in a file that can be mended and read again.

CSV comes back as CSV, in UTF-8 and with the same delimiter, with the columns of `REJECTED_COLUMNS` in front; anything
else as JSON Lines, whose objects have the key `rejected`. Reading passes both over.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec

from parcours.errors import Problem
from parcours.sources.files.cells import plain_value
from parcours.sources.files.rows import REJECTED_COLUMNS, CellError, Found, Row

_MARK = "\ufeff"


class Described(Protocol):
    """A file of which it is known what it is: a `Reading`, for one."""

    @property
    def found(self) -> Found:
        """What is known of it."""
        ...


class RejectWriter:
    """Writes rejected rows of one file. The file is made with the first of them.

    Args:
        path: Where to write; what is there is written over.
        reading: What the rows come from.
        start: Bytes of what is there that stay, with more rows behind them.
    """

    def __init__(self, path: str | Path, reading: Described, *, start: int = 0) -> None:
        self.path = Path(path)
        self.count = 0
        self._start = start
        self._found = reading.found
        self._file: io.TextIOWrapper | None = None
        self._put: Callable[[Row, Problem], None] = self._put_csv if self._found.format == "csv" else self._put_json
        self._csv: Any = None
        own = [(index, column.name) for index, column in enumerate(self._found.columns)]
        self._own = [(index, name) for index, name in own if name not in REJECTED_COLUMNS]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, row: Row, problem: Problem | None = None) -> None:
        """Write a row, with what is wrong with it; `problem` when only somebody else found it out."""
        wrong = problem or row.problem
        if wrong is None:
            raise ValueError("nothing is wrong with the row")
        self.count += 1
        self._put(row, wrong)

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def flush(self) -> int:
        """Make what was written durable, and return how many bytes the file has."""
        if self._file is None:
            return self._start
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def _opened(self) -> io.TextIOWrapper:
        if self._file is None:
            # What could not be decoded goes back to the bytes it was, so that nobody takes it for mended.
            raw = self.path.open("r+b" if self._start else "wb")
            if self._start:
                raw.truncate(self._start)
                raw.seek(self._start)
            self._file = io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="")
        return self._file

    def _put_csv(self, row: Row, problem: Problem) -> None:
        if self._csv is None:
            file = self._opened()
            self._csv = csv.writer(
                file,
                delimiter=self._found.delimiter,
                quotechar=self._found.quote or '"',
                escapechar=self._found.escape or None,
                lineterminator="\n",
            )
            if not self._start:
                file.write(_MARK)
                self._csv.writerow([*REJECTED_COLUMNS, *(name for _, name in self._own)])
        cells = row.raw if isinstance(row.raw, list) else []
        whole = row.raw if isinstance(row.raw, str) else ""
        if len(cells) != len(self._found.columns):
            whole = whole or self._found.delimiter.join(cells)
            cells = [*cells[: len(self._found.columns)], *[""] * (len(self._found.columns) - len(cells))]
        what = [str(row.line), problem.code, problem.pointer, _said(problem), whole]
        self._csv.writerow([_written(text) for text in [*what, *(cells[index] for index, _ in self._own)]])

    def _put_json(self, row: Row, problem: Problem) -> None:
        said: dict[str, Any] = {
            "line": row.line, "code": problem.code, "pointer": problem.pointer, "message": _said(problem),
        }  # fmt: skip
        whole: dict[str, Any] = {}
        if isinstance(row.raw, list):
            try:
                for index, name in self._own:
                    if row.raw[index] is not None:
                        whole[name] = plain_value(row.raw[index])
            except CellError:
                whole = {}
                said["row"] = repr(row.raw)
        else:
            try:
                found = msgspec.json.decode(str(row.raw))
                whole = found if isinstance(found, dict) else {}
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                pass
            if not whole:
                said["row"] = _written(str(row.raw)).encode("utf-8", "backslashreplace").decode()
        whole.pop("rejected", None)
        file = self._opened()
        file.write(msgspec.json.encode({"rejected": said, **whole}).decode() + "\n")


def drop_rejected(path: Path, found: Mapping[str, Any], erased: Callable[[str, str], bool]) -> int:
    """Take the rows of contacts that were erased out of a file of rejected rows; return how many there were.

    A row is one's when a whole cell of a column of identities is one of its identities; in JSON, also when `contact`
    has it. A row that could not be split into cells is nobody's. The others stay as they are, byte for byte.

    Args:
        path: The file, which nobody else writes.
        found: What was found of the file that the rows come from: a `Found`, as plain data.
        erased: Whether a namespace and a value are the identity of an erased contact.

    Raises:
        OSError: The file cannot be read or written; it is as it was.
    """
    own = [column for column in found.get("columns", ()) if column["name"] not in REJECTED_COLUMNS]
    identities = [
        (at, column["name"], column["target"]) for at, column in enumerate(own) if column["role"] == "identity"
    ]
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        text = file.read()
    kept: list[str] = []
    dropped = 0
    if path.suffix == ".csv":
        for place, (cells, written) in enumerate(_rows(text, found)):
            more = cells[len(REJECTED_COLUMNS) :]
            its_own = [(space, more[at]) for at, _, space in identities if at < len(more)]
            if place and any(erased(*_identity(space, cell)) for space, cell in its_own):
                dropped += 1
            else:
                kept.append(written)
    else:
        for line in io.StringIO(text, newline="\n"):
            row = msgspec.json.decode(line.encode("utf-8", "replace"))
            contact = row.get("contact")
            told = list(contact.items()) if isinstance(contact, dict) else []
            told += [(space, row[name]) for _, name, space in identities if row.get(name) is not None]
            if any(erased(*_identity(space, value)) for space, value in told):
                dropped += 1
            else:
                kept.append(line)
    if dropped:
        if path.suffix == ".csv" and len(kept) == 1:
            kept = []  # nothing but the header: there are no rejected rows
        new = path.with_name(f"{path.name}.new")
        with new.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write("".join(kept))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    return dropped


def _identity(space: str, value: object) -> tuple[str, str]:
    """Return an identity as a contact has it."""
    text = str(value).strip()
    return space, text.lower() if space == "email" else text


def _rows(text: str, found: Mapping[str, Any]) -> Iterator[tuple[list[str], str]]:
    """Yield each row of CSV as cells and as it was written."""
    lines = list(io.StringIO(text.removeprefix(_MARK), newline="\n"))  # other ends of lines are within cells
    taken = 0

    def fed() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            yield line

    reader = csv.reader(
        fed(),
        delimiter=found.get("delimiter") or ",",
        quotechar=found.get("quote") or '"',
        escapechar=found.get("escape") or None,
    )
    before = 0
    try:
        for cells in reader:
            written = "".join(lines[before:taken])
            yield cells, f"{_MARK}{written}" if not before else written
            before = taken
    except csv.Error as error:
        raise OSError(f"rejected rows cannot be read: {error}") from error


def _said(problem: Problem) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


def _written(text: str) -> str:
    """Return text as it can be written."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
