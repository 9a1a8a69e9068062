"""Values within what is nested: `answer.items.0.price`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reached(data: Mapping[str, Any], path: str) -> Any:
    """Return the value under a name or, with dots, within what is nested; None when there is none."""
    if path in data:
        return data[path]
    value: Any = data
    for part in path.split("."):
        if isinstance(value, list) and part.isascii() and part.isdigit() and len(part) < _LONGEST_INDEX:
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


_LONGEST_INDEX = 10
