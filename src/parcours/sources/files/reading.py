"""Read a file: first what it is, then its rows in slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from parcours.errors import Problem
from parcours.sources.files.blocks import Block, bad_row
from parcours.sources.files.build import Builder
from parcours.sources.files.cells import text_of
from parcours.sources.files.csv_rows import CsvRows
from parcours.sources.files.dialect import Dialect, sniff
from parcours.sources.files.json_lines import ShapedBuilder, flat_row, is_shaped, lines_of
from parcours.sources.files.parquet import ParquetRows
from parcours.sources.files.plan import Plan, plan_columns, wanted_columns
from parcours.sources.files.rows import CellError, Checkpoint, FileError, Found, Row, Slice
from parcours.sources.files.spec import Format, ImportSpec, Known
from parcours.sources.files.text import SAMPLE, Bytes, Encoding, Pieces, decode, detect, open_file

SLICE = 2_000
"""About how many rows a slice has."""

MOST_COLUMNS = 2_000

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_SHOWN_ROWS = 5
_SHOWN_CELL = 200
_NOTHING = Known()


def read(
    file: str | Path | BinaryIO,
    spec: ImportSpec,
    *,
    name: str = "",
    known: Known = _NOTHING,
    rows: int = SLICE,
) -> Reading:
    """Look into a file and return what reads it.

    Args:
        file: Its path, or a stream of bytes; packed with gzip or not.
        spec: How it is to be read.
        name: What to call it in problems; its suffix tells the format. A path has its own.
        known: What the workspace declares.
        rows: About how many rows a slice is to have.

    Raises:
        FileError: It cannot be read as a whole, or not in the way that was asked for.
    """
    return Reading(file, spec, name=name, known=known, rows=rows)


class Reading:
    """A file that is being read. It can be read again from the beginning if it can be sought in.

    Attributes:
        found: What is known of the file.
        checkpoint: Behind the newest slice.
        size: Bytes of the file as it lies there, 0 if that cannot be told.
    """

    def __init__(
        self,
        file: str | Path | BinaryIO,
        spec: ImportSpec,
        *,
        name: str = "",
        known: Known = _NOTHING,
        rows: int = SLICE,
    ) -> None:
        self.spec = spec
        self.name = name or (Path(file).name if isinstance(file, str | Path) else "")
        self.checkpoint = Checkpoint()
        self._known = known
        self._rows = max(1, rows)
        self._opened = open_file(file)
        self.size = Path(file).stat().st_size if isinstance(file, str | Path) else 0
        self._stream = Bytes(self._opened.stream, seekable=self._opened.seekable)
        self._fresh = True
        try:
            self._look(file)
        except FileError as error:
            self.close()
            error.problem = msgspec.structs.replace(error.problem, file=self.name)
            raise
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened here; a stream that was handed in stays open."""
        for stream in self._opened.close:
            stream.close()

    @property
    def place(self) -> int:
        """Bytes of the file as it lies there that were read so far, for a progress bar."""
        stream = self._opened.close[0] if self._opened.close else None
        return 0 if stream is None or stream.closed else stream.tell()

    def __iter__(self) -> Iterator[Slice]:
        return self.slices()

    def slices(self, start: Checkpoint | int = 0) -> Iterator[Slice]:
        """Yield the rows in slices, from a checkpoint or a number of rows on.

        Raises:
            FileError: Reading is to begin again, and the stream cannot be sought in.
        """
        begin = Checkpoint(row=start) if isinstance(start, int) else start
        if not self._fresh and not self._stream.rewind():
            message = "a stream that cannot be sought in is read once"
            raise FileError(Problem(code="unreadable_file", message=message, file=self.name))
        self._fresh = False
        builder = self._builder()
        # Where ids were derived, those of the rows before tell what number an equal one gets.
        seek = begin.offset > 0 and not begin.derived
        passed = begin if seek else Checkpoint()
        self.checkpoint = passed
        row = passed.row
        for block in self._guarded(passed):
            count = len(block.cells) + len(block.bad)
            rows = self._made(builder, block, begin.row - row)
            row += count
            derived = begin.derived or bool(getattr(builder, "derived", False))
            self.checkpoint = Checkpoint(row, block.line, block.offset, derived)
            if rows:
                yield Slice(rows, self.checkpoint)

    # --- looking ------------------------------------------------------------------------------------------------------

    def _look(self, file: str | Path | BinaryIO) -> None:
        spec = self.spec
        head = self._stream.peek(4)
        self._format = spec.format or self._by_name(head)
        # A dump of nothing has no lines of JSON; in any other format there would be a header.
        if not head and (self._format != "jsonl" or self._stream.broken):
            broken = f": {self._stream.broken}" if self._stream.broken else ""
            raise _refused("empty_file", f"the file is empty{broken}")
        self.found = Found(kind=spec.kind, format=self._format, compressed=self._opened.packed)
        if self._format == "parquet":
            self._look_into_parquet(file)
            return
        self._encoding: Encoding = detect(self._stream, spec.encoding)
        self.found.encoding, self.found.encoding_decided = self._encoding.name, self._encoding.decided
        head = self._stream.peek(SAMPLE)
        whole = len(head) < SAMPLE
        text = decode_sample(head[self._encoding.mark :], self._encoding)
        if not whole and "\n" in text:
            text = text[: text.rfind("\n") + 1]
        if head and not text.strip():
            raise _refused("empty_file", "the file holds nothing but blanks")
        self._average = max(1.0, len(text) / max(1, text.count("\n")))
        if self._format == "jsonl":
            self._look_into_json(text)
        else:
            self._look_into_csv(text)

    def _by_name(self, head: bytes) -> Format:
        suffixes = [suffix.lower() for suffix in Path(self.name).suffixes]
        if suffixes and suffixes[-1] == ".gz":
            suffixes.pop()
        if suffixes and suffixes[-1] in _SUFFIXES:
            return _SUFFIXES[suffixes[-1]]
        if head == b"PAR1":
            return "parquet"
        return "jsonl" if head.lstrip().startswith(b"{") else "csv"

    def _look_into_csv(self, text: str) -> None:
        spec, found = self.spec, self.found
        self._dialect: Dialect = sniff(text, spec, wanted_columns(spec))
        sample = text.split("\n", self._dialect.skipped)[-1]
        block = Block()
        CsvRows(self._dialect, "utf-8")._split(sample, 1, block, last=True)  # noqa: SLF001
        if not block.cells:
            raise _refused("unreadable_file", "no row of the file can be read", "declare its delimiter and quote")
        first = block.cells[0]
        rows = block.cells
        if self._dialect.header:
            if block.bad and block.bad[0].line < block.lines[0]:
                raise _refused("unreadable_header", f"the header cannot be read: {block.bad[0].problem}")
            rows = rows[1:]
        names = list(spec.names)
        if self._dialect.rejects or (not names and self._dialect.header):
            names = first
        elif not names:
            names = [f"column_{number}" for number in range(1, len(first) + 1)]
        rows = [row for row in rows if len(row) == len(names)]
        found.delimiter, found.quote, found.escape = (
            self._dialect.delimiter, self._dialect.quote, self._dialect.escape,
        )  # fmt: skip
        found.header = self._dialect.header
        self._planned(names, rows, typed=False)

    def _look_into_json(self, text: str) -> None:
        lines = [line for line in text.split("\n") if line.strip()]
        if not lines or is_shaped(lines[0], self.spec):
            self.found.shape = "objects"
            self.found.ids = "declared or derived"
            self.found.sample = [[line[: _SHOWN_CELL * 5]] for line in lines[:_SHOWN_ROWS]]
            self._plan: Plan | None = None
            return
        names: list[str] = []
        rows = []
        for line in lines:
            try:
                rows.append(flat_row(line, names, growing=True))
            except CellError:
                continue
        if not names:
            raise _refused("unreadable_file", "no line of the file is a JSON object")
        rows = [row + [None] * (len(names) - len(row)) for row in rows]
        self._planned(names, rows, typed=True)

    def _look_into_parquet(self, file: str | Path | BinaryIO) -> None:
        if not self._opened.seekable or self._opened.packed:
            raise _refused("unreadable_file", "Parquet is read from a file that can be sought in, and is not packed")
        del file
        self._stream.rewind()
        self._parquet = ParquetRows(self._opened.stream)
        self._planned(self._parquet.names, self._parquet.sample(), typed=True)

    def _planned(self, names: list[str], rows: list[list[Any]], *, typed: bool) -> None:
        if len(names) > MOST_COLUMNS:
            raise _refused("unreadable_file", f"it has more than {MOST_COLUMNS} columns")
        self._plan = plan_columns(self.spec, names, rows, self._known, typed=typed)
        found = self.found
        found.columns = self._plan.found
        found.notes += self._plan.notes
        found.sample = [[_shown(cell) for cell in row] for row in rows[:_SHOWN_ROWS]]
        if self.spec.kind != "items":
            found.ids = "declared" if self._plan.id is not None else "derived"

    # --- reading ------------------------------------------------------------------------------------------------------

    def _builder(self) -> Builder | ShapedBuilder:
        return (
            ShapedBuilder(self.spec, self.name, self._known)
            if self._plan is None
            else Builder(self._plan, self.name, self._known)
        )

    def _guarded(self, begin: Checkpoint) -> Iterator[Block]:
        """Yield blocks, and at the end what broke reading off, as a row of its own."""
        block = Block(line=begin.line, offset=begin.offset)
        try:
            for block in self._blocks(begin):
                yield block
            broken = self._stream.broken
        except FileError as error:
            broken = str(error)
        except UnicodeError as error:
            broken = f"it is not {self._encoding.name}: {error}"
        if broken:
            error_row = bad_row(
                block.line,
                CellError("broken_file", f"the file breaks off here: {broken}", "get it again"),
                "",
                self.name,
            )
            yield Block(bad=[error_row], line=block.line, offset=block.offset)

    def _blocks(self, begin: Checkpoint) -> Iterator[Block]:
        if self._format == "parquet":
            yield from self._parquet.blocks(begin.offset, self._rows)
            return
        size = int(self._average * self._rows) + 1
        pieces = Pieces(self._stream, self._encoding, size, begin.offset)
        encoding = self._encoding.pieces
        if self._format == "csv":
            assert self._plan is not None  # noqa: S101 (only objects have none)
            reader = CsvRows(self._dialect, encoding, self._plan.names, self.name)
            fresh = begin.offset == 0
            skipped = self._dialect.skipped if fresh else 0
            yield from reader.blocks(pieces, begin.line, skipped, header=fresh and self._dialect.header)
        elif self._plan is None:
            yield from lines_of(pieces, encoding, begin.line, self.name)
        else:
            for block in lines_of(pieces, encoding, begin.line, self.name):
                self._flatten(block, self._plan)
                yield block

    def _flatten(self, block: Block, plan: Plan) -> None:
        lines, texts = block.lines, block.cells
        block.lines, block.cells = [], []
        for line, text in zip(lines, texts, strict=True):
            try:
                row = flat_row(text, plan.names)
            except CellError as error:
                block.bad.append(bad_row(line, error, text, self.name))
            else:
                block.lines.append(line)
                block.cells.append(row)

    def _made(self, builder: Builder | ShapedBuilder, block: Block, drop: int) -> list[Row]:
        """Return the rows of a block but for the first so many."""
        lines, cells, bad = block.lines, block.cells, block.bad
        if drop > 0:
            order = sorted([*lines, *(row.line for row in bad)])
            limit = order[drop] if drop < len(order) else block.line
            kept = sum(line < limit for line in lines)
            builder.pass_over(cells[:kept])
            lines, cells = lines[kept:], cells[kept:]
            bad = [row for row in bad if row.line >= limit]
        rows = builder.rows(lines, cells)
        if bad:
            rows += bad
            rows.sort(key=lambda row: row.line)
        return rows


def decode_sample(head: bytes, encoding: Encoding) -> str:
    """Return the beginning of a file as text."""
    text = decode(head, encoding.name)[0]
    return text.replace("\r", "\n") if encoding.returns else text


def _shown(cell: Any) -> str:
    if cell is None:
        return ""
    try:
        return text_of(cell)[:_SHOWN_CELL]
    except (CellError, TypeError, ValueError):
        return repr(cell)[:_SHOWN_CELL]


def _refused(code: str, message: str, hint: str = "") -> FileError:
    return FileError(Problem(code=code, message=message, hint=hint))
