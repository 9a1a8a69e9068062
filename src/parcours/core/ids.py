"""Derived ids: an id comes from what caused it, so doing a thing twice is doing it once."""

from __future__ import annotations

import hashlib

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_CONTACT_BITS = 60
CONTACT_LENGTH = _CONTACT_BITS // 5


def _text(number: int, length: int) -> str:
    return "".join(_DIGITS[(number >> shift) & 31] for shift in range(5 * (length - 1), -1, -5))


def derive(*parts: str) -> str:
    """Return 13 characters (64 bits) that stand for the parts: equal for equal parts, on every machine."""
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return _text(int.from_bytes(digest, "big"), 13)


def contact_id(namespace: str, value: str, attempt: int = 0) -> str:
    """Return the id of the contact first seen under an identity: 12 characters, 60 bits.

    `attempt` gives another id when the one before is taken by somebody else.
    """
    seed = f"{namespace}\0{value}" if attempt == 0 else f"{namespace}\0{value}\0{attempt}"
    digest = hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return _text(int.from_bytes(digest, "big") >> (64 - _CONTACT_BITS), CONTACT_LENGTH)


def contact_number(contact: str) -> int:
    """Return a contact's id as a number below 2**60, the form in which stores keep it."""
    return int(contact, 32)


def contact_from_number(number: int) -> str:
    """Return the id whose number this is."""
    return _text(number, CONTACT_LENGTH)


def message_id(contact: str, run: str, step: str, visit: int, message: str) -> str:
    """Return the id of a message: its contact and what caused it."""
    return f"{contact}-{derive(run, step, str(visit), message)}"


def contact_of_message(message: str) -> str | None:
    """Return the contact a message id belongs to, or None when the text is not a message id."""
    contact, dash, rest = message.partition("-")
    if dash and len(contact) == CONTACT_LENGTH and len(rest) == 13 and all(c in _DIGITS for c in contact + rest):  # noqa: PLR2004 (64 bits, 5 a character)
        return contact
    return None


def message_key(source: str, message: str) -> bytes:
    """Return 16 bytes that stand for `(source, message id)`, which is accepted once."""
    return hashlib.blake2b(f"{source}\0{message}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
