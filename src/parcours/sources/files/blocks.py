"""What a format gives, before it is known what it means: cells with their lines, and rows that could not be read."""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.errors import Problem
from parcours.sources.files.rows import CellError, Row

SHOWN = 2_000
"""Characters that are kept of a row that could not be read."""


class Block(msgspec.Struct):
    """Rows that follow one another."""

    lines: list[int] = msgspec.field(default_factory=list)
    cells: list[Any] = msgspec.field(default_factory=list)
    bad: list[Row] = msgspec.field(default_factory=list)
    line: int = 1
    """The line behind them."""
    offset: int = 0
    """Where reading goes on behind them."""


def bad_row(line: int, error: CellError, raw: Any, file: str, pointer: str = "") -> Row:
    """Return a row that is refused."""
    problem = Problem(code=error.code, message=error.message, hint=error.hint, pointer=pointer, line=line, file=file)
    return Row(line, problem=problem, raw=raw)


def unfit_text(text: str) -> CellError | None:
    """Return why text cannot be kept, if it cannot."""
    if "\0" in text:
        return CellError("nul_character", "text holds the character NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            byte = ord(text[error.start]) - 0xDC00
            if 0 <= byte < 0x100:  # noqa: PLR2004 (a byte)
                shown = f"the byte 0x{byte:02x} cannot be decoded"
                return CellError("undecodable", shown, "declare the encoding in which the file is written")
            return CellError("lone_surrogate", "text holds half of a surrogate pair")
    return None
