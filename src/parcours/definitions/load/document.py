"""What the readers of YAML and JSON share: a document while it is read, numbers, and when to stop."""

from __future__ import annotations

import math
import re

from parcours.conditions.parse import LARGEST
from parcours.errors import Problem

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""What is read as a number."""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_LONGEST_INTEGER = len(str(LARGEST)) + 1


class StopReadingError(Exception):
    """The rest of a source cannot be read. It never leaves this package: the document says why."""


class Document:
    """One document while it is read: its value, the line of each part, and what is wrong with it."""

    def __init__(self) -> None:
        self.value: object = None
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []

    def refuse(self, code: str, message: str, pointer: str, line: int, hint: str = "") -> None:
        """Note what is wrong at a place."""
        self.problems.append(Problem(code=code, message=message, pointer=pointer, line=line, hint=hint))

    def number(self, text: str, pointer: str, line: int) -> int | float:
        """Return a number as JSON writes it, refused when it is too large to be kept."""
        if _INTEGER.fullmatch(text):
            if len(text) <= _LONGEST_INTEGER and abs(int(text)) <= LARGEST:
                return int(text)
            hint = "quote it: an order number is better written as text"
            self.refuse("invalid_value", f"whole numbers go up to {LARGEST}", pointer, line, hint)
            return 0
        number = float(text)
        if not math.isfinite(number):
            self.refuse("invalid_value", "numbers are finite", pointer, line)
        return number
