"""How rows that leave the store name people."""

from __future__ import annotations

from parcours.core.contact import Contact
from parcours.ports import Identity

_USUAL = {"user_id": 0, "anonymous_id": 2}


def strength(identity: Identity) -> tuple[int, str, str]:
    """Return what identities are sorted by, the strongest first."""
    return _USUAL.get(identity[0], 1), *identity


def strongest(contact: Contact) -> dict[str, str]:
    """Return the strongest identity of a contact; nothing for one that has none."""
    return dict(sorted(contact.identities, key=strength)[:1])
