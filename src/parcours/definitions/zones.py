"""Time zones, by their IANA names."""

from __future__ import annotations

import re
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from parcours.errors import did_you_mean

TIMEZONE = "timezone"
"""The contact's attribute that holds the name of a time zone."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Names under which a machine keeps what is its own, or nothing."""


@lru_cache(maxsize=2_048)
def zone_of(name: str) -> ZoneInfo | None:
    """Return the time zone of an IANA name such as `Europe/Berlin`, or None when there is none of this name."""
    if not _NAME.fullmatch(name) or name in _NO_ZONES or name.startswith(("posix/", "right/")):
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # a folder of zones, no zone at all
        return None


def zone_hint(name: str) -> str:
    """Return what may have been meant by a name that is no zone's."""
    return did_you_mean(name, available_timezones()) or "use an IANA name, such as Europe/Berlin"
