"""What reading a file gives: rows in slices, and before them what was found."""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.core.gate import Arrival
from parcours.errors import ParcoursError, Problem

REJECTED = "rejected_"
"""What the names of columns begin with that a file of rejects has in front of its own; reading passes them over."""

REJECTED_COLUMNS = tuple(REJECTED + word for word in ("line", "code", "pointer", "message", "row"))
"""The columns of a file of rejects. The last holds the whole row as text when it could not be split into cells."""


class FileError(ParcoursError):
    """A file as a whole cannot be read, or not in the way that was asked for."""

    code = "unreadable_file"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message, hint=problem.hint)
        self.problem = problem


class CellError(Exception):
    """A cell or a row is refused."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class CatalogueItem(msgspec.Struct):
    """One item of a catalogue: all its attributes."""

    catalogue: str
    id: str
    attributes: dict[str, Any]


class Row(msgspec.Struct, gc=False):
    """One row: what it came to, or what is wrong with it."""

    line: int
    """Where it begins in the file; in Parquet its number. Both begin with 1."""
    arrival: Arrival | None = None
    item: CatalogueItem | None = None
    """In place of an arrival when items of a catalogue are read."""
    problem: Problem | None = None
    raw: Any = None
    """As it was read, for `RejectWriter`: cells, or text when it could not be split into cells."""


class Checkpoint(msgspec.Struct, frozen=True):
    """Where reading can go on later: behind so many rows."""

    row: int = 0
    line: int = 1
    """The line of the next row."""
    offset: int = 0
    """Bytes of the unpacked file before it; in Parquet, rows."""
    derived: bool = False
    """Whether ids of rows before it were derived: then those rows are looked at again, for equal ones behind them."""


class Slice(msgspec.Struct):
    """Some rows that follow one another."""

    rows: list[Row]
    checkpoint: Checkpoint
    """Where reading goes on behind these rows."""


class FoundColumn(msgspec.Struct, kw_only=True):
    """One column, and what is made of it."""

    name: str
    role: str
    """`id`, `identity`, `name`, `occurred_at`, `attribute`, `consent`, `list`, `action` or `ignored`."""
    target: str = ""
    """The attribute, the namespace of the identity, or the channel and topic of the consent."""
    type: str = ""
    decided: str = ""
    """Where the type comes from: `declared`, `definition`, `file`, or `inferred` from the sample.

    With `file` and no type each value keeps its own: the sample has none, or several.
    """
    examples: list[str] = msgspec.field(default_factory=list)


class Found(msgspec.Struct, kw_only=True):
    """What is known of a file before it is read."""

    kind: str
    format: str
    compressed: bool = False
    shape: str = "columns"
    """`columns`, or `objects` when each line has the shape of our plain API."""
    encoding: str = ""
    encoding_decided: str = ""
    """`declared`, `mark` (the file begins with a byte order mark) or `detected`."""
    delimiter: str = ""
    quote: str = ""
    escape: str = ""
    header: bool = False
    columns: list[FoundColumn] = msgspec.field(default_factory=list)
    sample: list[list[str]] = msgspec.field(default_factory=list)
    """The first rows, as text."""
    ids: str = ""
    """`declared` when a column holds message ids, `derived` when they come from what the rows say."""
    notes: list[str] = msgspec.field(default_factory=list)
