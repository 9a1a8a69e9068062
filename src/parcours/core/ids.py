"""Derived ids: an id comes from what caused it, so doing a thing twice is doing it once."""

from __future__ import annotations

import hashlib

CONTACT_LENGTH = 15
"""Characters of a contact's id: 60 bits in hexadecimal."""

_DERIVED_LENGTH = 16
_HEXADECIMAL = frozenset("0123456789abcdef")


def derive(*parts: str) -> str:
    """Return 16 characters (64 bits) that stand for the parts: equal for equal parts, on every machine."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def contact_id(namespace: str, value: str, attempt: int = 0) -> str:
    """Return the id of the contact first seen under an identity.

    `attempt` gives another id when the one before is taken by somebody else.
    """
    parts = (namespace, value) if attempt == 0 else (namespace, value, str(attempt))
    return derive(*parts)[:CONTACT_LENGTH]


def is_contact_id(text: str) -> bool:
    """Return whether a text has the form of a contact's id."""
    return len(text) == CONTACT_LENGTH and _HEXADECIMAL.issuperset(text)


def contact_number(contact: str) -> int:
    """Return a contact's id as a number below 2**60, the form in which stores keep it."""
    return int(contact, 16)


def contact_from_number(number: int) -> str:
    """Return the id whose number this is."""
    return f"{number:015x}"


def message_id(contact: str, run: str, step: str, visit: int, message: str) -> str:
    """Return the id of a message: its contact and what caused it."""
    return f"{contact}-{derive(run, step, str(visit), message)}"


def contact_of_message(message: str) -> str | None:
    """Return the contact a message id belongs to, or None when the text is not a message id."""
    contact, dash, rest = message.partition("-")
    valid = dash and is_contact_id(contact) and len(rest) == _DERIVED_LENGTH and _HEXADECIMAL.issuperset(rest)
    return contact if valid else None


def identity_key(namespace: str, value: str) -> bytes:
    """Return 16 bytes that stand for an identity whose contact was erased."""
    return hashlib.blake2b(f"{namespace}\0{value}".encode(), digest_size=16, person=b"identity").digest()


def message_key(source: str, message: str) -> bytes:
    """Return 16 bytes that stand for `(source, message id)`, which is accepted once."""
    return hashlib.blake2b(f"{source}\0{message}".encode(), digest_size=16).digest()
