"""Random parts of everybody that stay the same: a contact's place in a draw is a hash of the draw's name and its id.

| what                      | how                                                                                  |
|---------------------------|--------------------------------------------------------------------------------------|
| a contact's place         | the first 8 hexadecimal digits of the MD5 of `NAME:ID`, `ID` the contact's number in decimal |
| the part from 10 on of 20 percent | the places from 10 % of 2^32 on and before 30 % of it, each end rounded up    |

MD5 is what every database can compute; nothing here keeps a secret. Ends are whole numbers, so that parts which lie next
to one another share nobody and leave nobody out. Percentages are exact to a millionth.
"""

from __future__ import annotations

import hashlib

from parcours.conditions import ast

PLACES = 2**32
"""How many places there are in a draw."""

DIGITS = 8
"""Hexadecimal digits of a place."""

_MILLION = 1_000_000
_WHOLE = 100 * _MILLION


def place(seed: str, contact: str) -> int:
    """Return the place of a contact, by its id, in a draw."""
    text = f"{seed}:{int(contact, 16)}"
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:DIGITS], 16)


def edges(leaf: ast.Sample) -> tuple[int, int]:
    """Return the first place that belongs to a part, and the first behind it."""
    start = round(leaf.start * _MILLION)
    end = start + round(leaf.percent * _MILLION)
    return -(-start * PLACES // _WHOLE), -(-end * PLACES // _WHOLE)
