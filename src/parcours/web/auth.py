"""Who may: a write key may only send, a secret key may use the API.

Both come as HTTP Basic user names with an empty password (as the Segment protocol has it) or as a Bearer token. Only
hashes are kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec


def hash_key(key: str) -> str:
    """Return what is kept of a key: its SHA-256. Keys are long and random, so no slower hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys(msgspec.Struct, frozen=True):
    """The hashes of the keys in force."""

    write: str
    secret: str

    def may_send(self, authorization: str | None) -> bool:
        """Return whether an `Authorization` header may send interactions."""
        given = key_in(authorization)
        return given is not None and (_same(given, self.write) or _same(given, self.secret))

    def may_manage(self, authorization: str | None) -> bool:
        """Return whether an `Authorization` header may use the API."""
        given = key_in(authorization)
        return given is not None and _same(given, self.secret)


def _same(key: str, hashed: str) -> bool:
    return hmac.compare_digest(hash_key(key), hashed)


def key_in(authorization: str | None) -> str | None:
    """Return the key an `Authorization` header carries, or None."""
    if not authorization:
        return None
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip() or None
        case "basic":
            try:
                decoded = base64.b64decode(rest.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError, ValueError):
                return None
            return decoded.partition(":")[0] or None
        case _:
            return None
