"""Message ids of rows that carry none: from what the row says and how many equal rows came before it in the file.

So a second import of the same file changes nothing, and neither does one of interactions with rows appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

STATED = frozenset({"contacts", "lists"})
"""Kinds whose rows say how things stand: the same row in a later file is said anew."""

_BITS = 28
_encode = msgspec.msgpack.Encoder(order="deterministic", enc_hook=repr).encode


class RowIds:
    """Derives ids, in the order of the rows.

    A table of 2**28 bits says which rows were certainly not seen before; only the others are counted. A row that it takes
    for another gets a higher number than it would, and always the same one, as the table depends on nothing but the rows
    before. So millions of rows need 32 MB, and ids are as stable as if all of them were kept.

    Args:
        said: What tells this import from others of the same source: rows that are equal mean different things there.
    """

    def __init__(self, said: Sequence[str]) -> None:
        self._said = _encode(list(said))
        self._table = bytearray(2 ** (_BITS - 3))
        self._repeats: dict[str, int] = {}

    def of(self, rows: Sequence[Any]) -> list[str]:
        """Return an id for each row."""
        said, table, repeats = self._said, self._table, self._repeats
        ids: list[str] = []
        add = ids.append
        for row in rows:
            digest = blake2b(said + _encode(row), digest_size=16).hexdigest()
            slot = int(digest[:7], 16)
            bit = 1 << (slot & 7)
            slot >>= 3
            if table[slot] & bit:
                number = repeats[digest] = repeats.get(digest, 0) + 1
                add(f"{digest}-{number}")
            else:
                table[slot] |= bit
                add(digest)
        return ids
