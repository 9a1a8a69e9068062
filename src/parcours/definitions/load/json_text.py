"""JSON, read as RFC 8259 has it, with the line of every value."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping

from parcours.conditions.parse import escape, shown
from parcours.definitions.load.document import NUMBER, Document, StopReadingError
from parcours.definitions.validate import DEEPEST


def json_document(text: str) -> Document:
    """Return what a text holds; without a value when it is not JSON."""
    reader = _Json(text)
    try:
        reader.document.value = reader.value("", 0)
        if reader.take() != "":
            reader.syntax("something follows the value")
    except StopReadingError:
        reader.document.value = None
    return reader.document


class _Json:
    """Reads one JSON text as RFC 8259 has it, with the line of every value."""

    PIECE = re.compile(
        r'[ \t\r\n]*([{}\[\]:,]|"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"|[-+.0-9a-zA-Z]+|[^ \t\r\n]|\Z)'
    )
    WORDS: Mapping[str, object] = {"null": None, "true": True, "false": False}

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends = [found.start() for found in re.finditer("\n", text)]
        self.document = Document()
        self.position = 0
        self.start = 0

    @property
    def line(self) -> int:
        """The line of the piece read last."""
        return bisect_right(self.ends, self.start - 1) + 1

    def take(self) -> str:
        """Return the next piece, or nothing at the end."""
        found = self.PIECE.match(self.text, self.position)
        if found is None:
            return ""
        self.start, self.position = found.span(1)
        return found[1]

    def syntax(self, message: str) -> None:
        column = self.start - (self.ends[self.line - 2] if self.line > 1 else -1)
        self.document.refuse("syntax", f"this is not JSON, at column {column}: {message}", "", self.line)
        raise StopReadingError

    def value(self, pointer: str, depth: int, line: int = 0) -> object:
        piece = self.take()
        self.document.lines[pointer] = line or self.line
        if depth > DEEPEST:
            self.document.refuse("too_deep", f"nested deeper than {DEEPEST}", pointer, self.line)
            raise StopReadingError
        if piece == "{":
            return self.mapping(pointer, depth)
        if piece == "[":
            return self.sequence(pointer, depth)
        if piece.startswith('"'):
            return self.string(piece)
        if piece in self.WORDS:
            return self.WORDS[piece]
        if not NUMBER.fullmatch(piece):
            self.syntax(f"{shown(piece)} is not a value" if piece else "it ends too early")
        return self.document.number(piece, pointer, self.line)

    def string(self, piece: str) -> str:
        try:
            return str(json.loads(piece))
        except ValueError:
            self.syntax("the text is not closed, or what follows a backslash is unknown")
            return ""

    def sequence(self, pointer: str, depth: int) -> list[object]:
        items: list[object] = []

        def read() -> None:
            items.append(self.value(f"{pointer}/{len(items)}", depth + 1))

        self.separated("]", read)
        return items

    def mapping(self, pointer: str, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}

        def read() -> None:
            piece = self.take()
            if not piece.startswith('"'):
                self.syntax("a key is text in double quotes")
            key, line = self.string(piece), self.line
            below = f"{pointer}/{escape(key)}"
            if key in items:
                first = self.document.lines[below]
                message = f"the key {shown(key)} is given twice"
                self.document.refuse("duplicate_key", message, below, line, f"first in line {first}")
            if self.take() != ":":
                self.syntax("':' is missing after a key")
            value = self.value(below, depth + 1, line)
            items.setdefault(key, value)

        self.separated("}", read)
        return items

    def separated(self, end: str, read: Callable[[], None]) -> None:
        """Read what stands between commas until the end."""
        back = self.position
        if self.take() == end:
            return
        self.position = back
        while True:
            read()
            piece = self.take()
            if piece == end:
                return
            if piece != ",":
                self.syntax(f"',' or {end!r} is missing")
