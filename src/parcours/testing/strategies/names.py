"""The few names, times and values of which random workspaces are made."""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]
Identities = tuple[tuple[str, str], ...]

START = 1_772_442_000_000
"""2026-03-02T09:00:00Z: the instant at which scenarios begin."""

PEOPLE = ("ann", "bob", "cyd")
STARTED = "started"
"""The journey that others start."""

ATTRIBUTES = ("city", "age", "birthday")
DEVICES = ("x", "y")
INTERACTIONS = ("Go", "Paid", "Seen")
MESSAGES = ("news", "offer", "receipt", "ping", "nudge", "text", "card")
SEGMENTS = ("locals", "regulars")
LISTS = ("vip", "friends")
CITIES = ("Atlanta", "Boston")
ORDERS = ("a", "b")
WAITS = ("6h", "12h", "1d", "36h")
DURATIONS = ("2d", "3d", "5d")
ZONES = ("Asia/Tokyo", "America/New_York")
DATES = ("2026-03-03", "2026-03-04T09:00:00Z", "once")
PAUSES = ("1s", "1h", "6h", "12h", "1d", "2d")
REACTIONS = ("delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")
SAVED = "said"
"""The name under which webhooks save what they are answered."""

HOUR = 3_600_000
