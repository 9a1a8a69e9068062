"""CSV to cells. A row that cannot be read costs no other: reading goes on at the next line.

A quote that is never closed would swallow what is behind it, up to the next quote or the end of the file. So a row has
limits, and what stands behind a quote that closes a cell must be a delimiter.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from parcours.conditions.parse import escape
from parcours.sources.files.blocks import SHOWN, Block, bad_row, unfit_text
from parcours.sources.files.dialect import Dialect
from parcours.sources.files.rows import CellError
from parcours.sources.files.text import LONGEST_LINE, Piece, Pieces, decode

MOST_LINES = 500
"""Lines of one row."""

LONGEST_ROW = 2**18
"""Characters of a row of several lines."""

_UNCLOSED = "a quote that is opened here is not closed"
_END = "unexpected end of data"


class _TooLargeError(csv.Error):
    """A row has more lines or characters than are plausible."""


class _Feed:
    """Hands lines to a reader, no more of them than a row may have."""

    def __init__(self, lines: Sequence[str], start: int) -> None:
        self.lines = lines
        self.next = self.row = start

    def __iter__(self) -> Iterator[str]:
        lines, size = self.lines, 0
        while self.next < len(lines):
            if self.next == self.row:
                size = 0
            elif self.next - self.row >= MOST_LINES or size > LONGEST_ROW:
                raise _TooLargeError
            size += len(lines[self.next])
            self.next += 1
            yield lines[self.next - 1]


class CsvRows:
    """Reads cells.

    Args:
        dialect: How the file is written.
        encoding: Of the pieces.
        width: How many cells a row has; 0 for any number.
        names: The columns, for problems.
        file: The file's name, for problems.
    """

    def __init__(
        self, dialect: Dialect, encoding: str, names: Sequence[str] = (), file: str = "", *, checked: bool = True
    ) -> None:
        self._options = dialect.options()
        self._encoding = encoding
        self._names = names
        self._file = file
        self._checked = checked

    def blocks(self, pieces: Pieces, line: int, skipped: int, *, header: bool) -> Iterator[Block]:
        """Yield the rows of each piece.

        Args:
            pieces: The file.
            line: The number of the first line.
            skipped: Lines before the header.
            header: Whether the first row is the header.
        """
        while (piece := pieces.take()) is not None:
            block = Block()
            if piece.too_long:
                error = CellError("line_too_long", f"the line is longer than {LONGEST_LINE} bytes")
                text = decode(piece.data, self._encoding)[0]
                block.bad.append(bad_row(line, error, text, self._file))
                line += 1
            else:
                while skipped:
                    end = piece.data.find(b"\n") + 1
                    piece.data, piece.offset = piece.data[end:], piece.offset + end
                    line, skipped = line + 1, skipped - 1
                text, doubtful = decode(piece.data, self._encoding)
                left = self._split(text, line, block, last=piece.last)
                if left:
                    self._give_back(pieces, piece, left)
                if header and (block.cells or block.bad):
                    header = False
                    drop = block.cells if not block.bad or block.lines[:1] < [block.bad[0].line] else block.bad
                    if drop is block.cells:
                        del block.lines[0]
                    del drop[0]
                self._check(block, doubtful=doubtful or "\0" in text)
                line = block.line
            block.line, block.offset = line, pieces.offset
            yield block

    def _give_back(self, pieces: Pieces, piece: Piece, left: int) -> None:
        """Give back the last so many lines."""
        end = len(piece.data)
        if not piece.data.endswith(b"\n"):
            left -= 1
            end = piece.data.rfind(b"\n") + 1
        at = end
        for _ in range(left):
            at = piece.data.rfind(b"\n", 0, at - 1) + 1
        pieces.give_back(piece.data[at:])

    def _split(self, text: str, line: int, block: Block, *, last: bool) -> int:
        """Split text into rows; return how many lines at its end need what comes behind them."""
        count = text.count("\n") + (not text.endswith("\n") and text != "")
        block.line = line + count
        try:
            rows = list(csv.reader(io.StringIO(text, newline="\n"), **self._options))
        except csv.Error:
            left = self._carefully(text, line, block, last=last)
            block.line -= left
            return left
        if len(rows) == count:
            block.lines, block.cells = list(range(line, line + count)), rows
        else:
            for row in rows:
                block.lines.append(line)
                block.cells.append(row)
                line += 1 + sum(cell.count("\n") for cell in row)
        if [] in rows:
            kept = [(at, row) for at, row in zip(block.lines, block.cells, strict=True) if row]
            block.lines, block.cells = [at for at, _ in kept], [row for _, row in kept]
        return 0

    def _carefully(self, text: str, line: int, block: Block, *, last: bool) -> int:
        """Split text row by row, and go on at the next line where that fails."""
        lines = list(io.StringIO(text, newline="\n"))
        feed = _Feed(lines, 0)
        while feed.row < len(lines):
            start = feed.row
            try:
                for row in csv.reader(feed, **self._options):
                    if row:
                        block.lines.append(line + feed.row)
                        block.cells.append(row)
                    feed.row = feed.next
            except csv.Error as error:
                start = feed.row
                unfinished = str(error) == _END
                if unfinished and not last:
                    return len(lines) - start
                several = unfinished or feed.next - start > 1 or isinstance(error, _TooLargeError)
                self._refuse(block, line + start, lines[start], several=several, error=error)
                feed = _Feed(lines, start + 1)
            else:
                break
        return 0

    def _refuse(self, block: Block, line: int, text: str, *, several: bool, error: csv.Error) -> None:
        if several:
            refused = CellError("unclosed_quote", _UNCLOSED, "close it, or write it twice if it is part of the text")
        elif "field larger" in str(error):
            refused = CellError("cell_too_long", "a cell is too long")
        elif "new-line" in str(error):
            refused = CellError("invalid_row", "there is a carriage return outside of quotes")
        else:
            refused = CellError(
                "invalid_row", f"a quote does not end its cell: {error}", "write a quote within text twice"
            )
        block.bad.append(bad_row(line, refused, text.rstrip("\r\n")[:SHOWN], self._file))

    def _check(self, block: Block, *, doubtful: bool) -> None:
        """Refuse rows of another width, and text that cannot be kept."""
        width = len(self._names)
        if not self._checked or (not doubtful and set(map(len, block.cells)) <= {width}):
            return
        lines, cells = block.lines, block.cells
        block.lines, block.cells = [], []
        for line, row in zip(lines, cells, strict=True):
            bad = self._bad(line, row, width, doubtful=doubtful)
            if bad is None:
                block.lines.append(line)
                block.cells.append(row)
            else:
                block.bad.append(bad_row(line, bad[0], row, self._file, bad[1]))

    def _bad(self, line: int, row: list[str], width: int, *, doubtful: bool) -> tuple[CellError, str] | None:
        del line
        if len(row) != width:
            few = "few" if len(row) < width else "many"
            return CellError(f"too_{few}_columns", f"the row has {len(row)} cells, the file {width} columns"), ""
        if doubtful:
            for name, cell in zip(self._names, row, strict=True):
                error = unfit_text(cell)
                if error is not None:
                    return error, f"/{escape(name)}"
        return None
