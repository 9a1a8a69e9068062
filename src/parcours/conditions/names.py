"""How names match: after NFKC, trim and case folding, `Store_Visit` is `store_visit`."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=16_384)
def match_name(name: str) -> str:
    """Return the form of an interaction's name by which it is compared."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
