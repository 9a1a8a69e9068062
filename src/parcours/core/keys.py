"""Keys: what tells runs of one contact apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def key_of(attributes: Mapping[str, Any], name: str) -> str:
    """Return the key of a run: the attribute's value as text, empty when it is missing.

    A whole number is written alike whether it came as `1` or `1.0`.
    """
    value = attributes.get(name)
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
