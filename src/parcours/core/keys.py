"""Keys: what tells runs of one contact apart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def key_of(attributes: Mapping[str, Any], name: str) -> str:
    """Return the key of a run: the attribute's value as text, empty when it is missing, or a list or an object.

    A whole number is written alike whether it came as `1` or `1.0`.
    """
    value = attributes.get(name)
    if value is None or not isinstance(value, str | int | float | datetime):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
