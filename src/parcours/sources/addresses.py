"""Is this an address? Looked at once, when it comes in, so that a decision to send need not ask."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email

LONGEST_TOKEN = 4_096

_PHONE = re.compile(r"\+[1-9][0-9]{7,14}")
_PHONE_MARKS = str.maketrans("", "", " \t\u00a0\u202f-\u2010\u2011./()")


@lru_cache(maxsize=16_384)
def normalize_email(text: str) -> str | None:
    """Return an e-mail address in its usual form, or None when the text is not one. Nothing is looked up.

    The domain is lower-cased and written in Unicode, the local part is put in NFC and keeps its case.
    """
    try:
        return validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        return None


def normalize_phone(text: str) -> str | None:
    """Return a telephone number in E.164 (`+` and 8 to 15 digits), or None when the text is not one.

    Blanks and the marks between groups of digits are left out. A number without its country is none: nobody can tell
    which is meant. Whether the number is in use is not looked at.
    """
    plain = text.strip().translate(_PHONE_MARKS)
    if plain.startswith("00"):
        plain = f"+{plain[2:]}"
    return plain if _PHONE.fullmatch(plain) else None


def subscription_of(value: object) -> str | None:
    """Return a browser's push subscription as JSON text, or None when it is none.

    It is given as the browser gives it, an object or the text of one: `endpoint`, and `keys` with `p256dh` and `auth`.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, Mapping):
        return None
    endpoint, keys = value.get("endpoint"), value.get("keys")
    if not isinstance(endpoint, str) or not isinstance(keys, Mapping) or not _is_https(endpoint):
        return None
    wanted = {name: keys.get(name) for name in ("p256dh", "auth")}
    if not all(isinstance(key, str) and key for key in wanted.values()):
        return None
    text = json.dumps({"endpoint": endpoint, "keys": wanted}, separators=(",", ":"))
    return text if len(text) <= LONGEST_TOKEN else None


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


def address_of(channel: str, value: object) -> str | None:
    """Return the valid address a contact's attribute gives for a channel, or None."""
    if channel == "web_push":
        return subscription_of(value)
    if not isinstance(value, str):
        return None
    if channel == "email":
        return normalize_email(value)
    if channel == "sms":
        return normalize_phone(value)
    token = value.strip()
    return token if 0 < len(token) <= LONGEST_TOKEN else None
