"""Parquet to cells, in batches, with the types of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from parcours.errors import Problem
from parcours.sources.files.blocks import Block
from parcours.sources.files.rows import FileError

_SAMPLE = 1_000
_TOO_MANY = 2_000


class ParquetRows:
    """A Parquet file.

    Raises:
        FileError: It is none, or what reads it is not installed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 (only who reads Parquet needs it)
            from pyarrow import parquet  # noqa: PLC0415 (the same)
        except ImportError:
            raise _refused("reading Parquet needs the package 'pyarrow'", "pip install pyarrow") from None
        self._arrow = pa
        self._errors = (pa.ArrowException, OSError, ValueError, RuntimeError)
        try:
            self._file = parquet.ParquetFile(stream)
            self.names: list[str] = [str(name) for name in self._file.schema_arrow.names]
            self.count: int = self._file.metadata.num_rows
        except self._errors as error:
            raise _refused(f"it is not a Parquet file: {str(error)[:300]}") from None
        if len(self.names) > _TOO_MANY:
            raise _refused(f"it has more than {_TOO_MANY} columns")

    def sample(self) -> list[list[Any]]:
        """Return the first rows.

        Raises:
            FileError: They cannot be read.
        """
        for _, cells in self._batches(0, _SAMPLE):
            return cells
        return []

    def blocks(self, start: int, size: int) -> Iterator[Block]:
        """Yield rows from a number on.

        Raises:
            FileError: The file is damaged.
        """
        for row, cells in self._batches(start, size):
            lines = list(range(row + 1, row + len(cells) + 1))
            yield Block(lines, cells, [], row + len(cells) + 1, row + len(cells))

    def _batches(self, start: int, size: int) -> Iterator[tuple[int, list[list[Any]]]]:
        groups: list[int] = []
        row = 0
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if row + rows > start or groups:
                groups.append(group)
            else:
                row += rows
        try:
            for batch in self._file.iter_batches(batch_size=size, row_groups=groups):
                drop = max(0, start - row)
                if drop < batch.num_rows:
                    columns = [self._values(column) for column in batch.slice(drop).columns]
                    yield row + drop, [list(cells) for cells in zip(*columns, strict=True)]
                row += batch.num_rows
        except self._errors as error:
            raise _refused(f"the file is damaged: {str(error)[:300]}") from None

    def _values(self, column: Any) -> list[Any]:
        pa = self._arrow
        kind = column.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            # Python's times end at microseconds; what is finer is cut off, as we keep milliseconds.
            column = column.cast(pa.timestamp("us", kind.tz), safe=False)
        elif pa.types.is_dictionary(kind):
            column = column.dictionary_decode()
        try:
            values: list[Any] = column.to_pylist()
        except UnicodeDecodeError:
            values = column.cast(pa.binary()).to_pylist()
        return values


def _refused(message: str, hint: str = "") -> FileError:
    return FileError(Problem(code="unreadable_file", message=message, hint=hint))
