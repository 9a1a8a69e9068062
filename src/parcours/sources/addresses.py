"""Is this an address? Looked at once, when it comes in, so that a decision to send need not ask."""

from __future__ import annotations

from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

LONGEST_TOKEN = 4_096


@lru_cache(maxsize=16_384)
def normalize_email(text: str) -> str | None:
    """Return an e-mail address in its usual form, or None when the text is not one. Nothing is looked up.

    The domain is lower-cased and written in Unicode, the local part is put in NFC and keeps its case.
    """
    try:
        return validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        return None


def address_of(channel: str, value: object) -> str | None:
    """Return the valid address a contact's attribute gives for a channel, or None."""
    if not isinstance(value, str):
        return None
    if channel == "email":
        return normalize_email(value)
    token = value.strip()
    return token if 0 < len(token) <= LONGEST_TOKEN else None
