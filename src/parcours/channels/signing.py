"""Signatures of calls, as Standard Webhooks 1.0 describes them (https://www.standardwebhooks.com).

| header              | is                                                                                     |
|---------------------|----------------------------------------------------------------------------------------|
| `webhook-id`        | the id of the call, the same each time it is tried                                     |
| `webhook-timestamp` | when it was tried, in seconds since 1970                                               |
| `webhook-signature` | `v1,` and HMAC-SHA256 of `id.timestamp.body` in base64: one for each key, with spaces  |

A key is written `whsec_` and its bytes, 24 to 64 of them, in base64. A secret of several keys, with white space between
them, signs with each: receivers take over a new key while the old one still counts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from parcours.definitions.steps import SIGNING_HEADERS
from parcours.errors import PermanentFailureError

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


def keys_of(secret: str) -> list[bytes]:
    """Return the keys of a secret.

    Raises:
        PermanentFailureError: It is none to sign with.
    """
    keys: list[bytes] = []
    for text in secret.split():
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not text.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
            keys = []
            break
        keys.append(key)
    if not keys:
        raise PermanentFailureError(
            "the call cannot be signed: the secret is to be whsec_ and 24 to 64 bytes in base64, as"
            " `parcours secrets make` prints one"
        )
    return keys


def signed(secret: str, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body. `timestamp` is in seconds.

    Raises:
        PermanentFailureError: The secret is none to sign with.
    """
    content = f"{identity}.{timestamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys_of(secret)
    ]
    return dict(zip(SIGNING_HEADERS, (identity, str(timestamp), " ".join(signatures)), strict=True))
