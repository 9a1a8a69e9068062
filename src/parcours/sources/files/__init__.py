"""Files of contacts, interactions, lists and items: CSV, JSON Lines and Parquet, to arrivals.

`read` looks into a file and says what it found; iterating what it returns gives rows in slices, each row an arrival or
an item, or what is wrong with it. `RejectWriter` keeps the rows that were refused. docs/files.md describes both.
"""

from __future__ import annotations

from parcours.sources.files.reading import Reading, read
from parcours.sources.files.rejects import RejectWriter, drop_rejected
from parcours.sources.files.rows import CatalogueItem, Checkpoint, FileError, Found, FoundColumn, Row, Slice
from parcours.sources.files.spec import (
    AttributeColumn,
    ConsentColumn,
    ImportSpec,
    Known,
    problems_of,
    spec_from_data,
    spec_from_options,
    spec_from_text,
)

__all__ = [
    "AttributeColumn",
    "CatalogueItem",
    "Checkpoint",
    "ConsentColumn",
    "FileError",
    "Found",
    "FoundColumn",
    "ImportSpec",
    "Known",
    "Reading",
    "RejectWriter",
    "Row",
    "Slice",
    "drop_rejected",
    "problems_of",
    "read",
    "spec_from_data",
    "spec_from_options",
    "spec_from_text",
]
