"""How a CSV file is written: what stands between cells and around them, and whether its first row names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from parcours.sources.files.rows import REJECTED_COLUMNS
from parcours.sources.files.spec import ImportSpec

_DELIMITERS = ",;\t|"
_LOOKED_AT = 200
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n")
_VALUE = re.compile(r"[-+]?[0-9][0-9.,:/ TZ+-]*|[^@\s]+@[^@\s]+\.[^@\s]+|true|false", re.IGNORECASE)


class Dialect(msgspec.Struct, frozen=True):
    """How cells are written."""

    delimiter: str = ","
    quote: str = '"'
    """Empty when nothing is quoted."""
    escape: str = ""
    header: bool = True
    skipped: int = 0
    """Lines before the header."""
    rejects: bool = False
    """It is a file of rejects, mended to be read again."""

    def options(self) -> dict[str, Any]:
        """Return what `csv.reader` takes."""
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote or None,
            "quoting": csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            "escapechar": self.escape or None,
            "doublequote": True,
            "strict": True,
        }


def sniff(sample: str, spec: ImportSpec, wanted: Collection[str]) -> Dialect:
    """Find out how a file is written, as far as it was not declared.

    Args:
        sample: The beginning of the file, ending where a line does.
        spec: What was declared.
        wanted: Columns that a header would have.
    """
    skipped = 0
    delimiter = spec.delimiter
    if found := _SEPARATOR_LINE.match(sample):
        skipped, delimiter = 1, delimiter or found[1]
        sample = sample[found.end() :]
    quote, escape = spec.quote, spec.escape
    if quote is None:
        quote = "'" if '"' not in sample and _quoted_by(sample, "'") else '"'
    if escape is None:
        escape = "\\" if quote and re.search(rf"[^\\{quote}]\\{quote}[^\r\n,;|\t]", sample) else ""
    if not delimiter:
        delimiter = max(_DELIMITERS, key=lambda one: _score(sample, Dialect(one, quote, escape), wanted))
    first = next(_rows(sample, Dialect(delimiter, quote, escape)), [])
    rejects = first[:1] == [REJECTED_COLUMNS[0]]
    header = spec.header
    if header is None:
        header = _is_header([cell.strip() for cell in first], spec, wanted)
    return Dialect(delimiter, quote, escape, header or rejects, skipped, rejects)


def _quoted_by(sample: str, quote: str) -> bool:
    cells = re.findall(rf"(?:^|[,;\t|]){quote}[^{quote}\r\n]*{quote}(?=[,;\t|\r\n]|$)", sample, re.MULTILINE)
    return len(cells) >= max(1, sample.count(quote) // 4)


def _rows(sample: str, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the first rows; what cannot be read is left out."""
    options = {**dialect.options(), "strict": False}
    reader = csv.reader(io.StringIO(sample, newline="\n"), **options)
    found = 0
    while found < _LOOKED_AT:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue
        if row:
            found += 1
            yield row


def _score(sample: str, dialect: Dialect, wanted: Collection[str]) -> tuple[int, float, int]:
    """Return how well a delimiter fits: names that are found, rows of the usual width, and that width."""
    widths: Counter[int] = Counter()
    named = 0
    for index, row in enumerate(_rows(sample, dialect)):
        if index == 0:
            named = len({cell.strip() for cell in row} & set(wanted))
        widths[len(row)] += 1
    if not widths:
        return 0, 0.0, 0
    width, rows = max(widths.items(), key=lambda item: (item[1] if item[0] > 1 else 0, item[0]))
    return (named, rows / widths.total(), width) if width > 1 else (named, 0.0, 1)


def _is_header(first: list[str], spec: ImportSpec, wanted: Collection[str]) -> bool:
    if not first or (spec.names and first != spec.names):
        return False
    if set(wanted) & set(first):
        return True
    named = [cell for cell in first if cell]
    return bool(named) and not any(_VALUE.fullmatch(cell) for cell in named)
