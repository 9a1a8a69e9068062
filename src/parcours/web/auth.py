"""Who may: a write key may only send, a secret key may use the API, each as far as its scopes go.

Keys come as HTTP Basic user names with an empty password (as the Segment protocol has it) or as a Bearer token. Only
hashes are kept: in the store, as marks `key:ID`.

A hash is looked up in a dictionary, not compared in constant time with each. The time of a look-up says at most
something about SHA-256 of what was given, and nobody can make a key from the beginning of its hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from parcours.errors import ParcoursError, Problem
from parcours.web.bodies import StatusError
from parcours.web.limits import Bucket

MARK = "key:"
"""What the names of the store's marks of keys begin with."""

DEFAULT_SOURCE = "default"
"""The source of a key that names none; message ids are told apart by source."""

ALL = "*"
SEND = "send"
SEND_INTERACTIONS = "send:interactions"
SEND_CONTACTS = "send:contacts"

SENDING: dict[str, str] = {
    SEND: "send anything",
    SEND_INTERACTIONS: "send interactions and reactions, and nothing else",
    SEND_CONTACTS: "send what is known of contacts, and nothing else",
}
"""The scopes that a write key may have, to what they allow."""

SCOPES: dict[str, str] = {
    "definitions:read": "read definitions, try webhooks",
    "definitions:write": "publish definitions",
    "contacts:read": "read contacts",
    "contacts:write": "change and erase contacts",
    "report:read": "read counts",
    "import:write": "import files",
    "keys:read": "list keys",
    "keys:write": "make, change and revoke keys that may no more than oneself",
    **SENDING,
    ALL: "everything",
}
"""The scopes that a secret key may have. The API adds those of its other paths, see `scope_of`."""

NOT_ALLOWED = Problem(
    code="not_allowed", message="the key may not send this", hint="give it the scope send, or use another key"
)

_SCOPE = re.compile(r"[a-z][a-z_-]{0,63}:(read|write)")
_SHOWN = 4
"""Characters of a key, its last, that are kept to recognise it by, if it is long enough to lose them."""

Kind = Literal["write", "secret"]
_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Source = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
_Rate = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
_Burst = Annotated[float, msgspec.Meta(ge=1, le=10_000_000)]
_Size = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
_Scopes = Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]


class NewKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A key to be made. A write key has the scope `send` unless others are given; a secret key needs some."""

    kind: Kind
    name: _Name = ""
    scopes: _Scopes | None = None
    source: _Source = DEFAULT_SOURCE
    rate: _Rate | None = None
    burst: _Burst | None = None
    largest_body: _Size | None = None


class KeyChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What is to be changed about a key; what is left out stays, and null takes a limit away."""

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    scopes: _Scopes | msgspec.UnsetType = msgspec.UNSET
    source: _Source | msgspec.UnsetType = msgspec.UNSET
    rate: _Rate | msgspec.UnsetType | None = msgspec.UNSET
    burst: _Burst | msgspec.UnsetType | None = msgspec.UNSET
    largest_body: _Size | msgspec.UnsetType | None = msgspec.UNSET


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key."""

    id: str
    kind: Kind
    hash: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    source: str = DEFAULT_SOURCE
    rate: float | None = None
    """Items a second that may be sent, or requests to the API; None is no limit."""
    burst: float | None = None
    """Items that may come at once after a pause; as many as in a second when it is None."""
    largest_body: int | None = None
    """Bytes a body may have, if the service allows no fewer."""
    created_at: int = 0
    created_by: str = ""
    """The id of the key that made it; empty for the operator."""
    revoked_at: int | None = None
    ending: str = ""
    """Its last characters."""
    in_settings: bool = False
    """It is given by the settings, and not kept."""


class KeyView(msgspec.Struct, kw_only=True):
    """A key, without what it could be used by."""

    id: str
    kind: Kind
    name: str
    scopes: list[str]
    source: str
    rate: float | None
    burst: float | None
    largest_body: int | None
    created_at: int
    """Milliseconds since the epoch; 0 if it is not known."""
    created_by: str
    """The id of the key that made it; empty for the operator."""
    revoked_at: int | None
    ending: str
    """Its last characters, to recognise it by."""
    in_settings: bool
    """Whether the settings give it; it cannot be changed or revoked here then."""


class KeyRefusedError(ParcoursError):
    """A key cannot be made, changed or revoked. `status` is that of HTTP."""

    code = "key_refused"

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def hash_key(key: str) -> str:
    """Return what is kept of a key: its SHA-256. Keys are long and random, so no slower hash is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def make_key(kind: Kind) -> tuple[str, str, str]:
    """Return a new key, what is kept of it, and its ending."""
    text = f"{kind[0]}k_{secrets.token_urlsafe(24)}"
    return text, hash_key(text), text[-_SHOWN:]


def view_of(key: Key) -> KeyView:
    """Return what is shown of a key."""
    fields = {name: getattr(key, name) for name in KeyView.__struct_fields__}
    return KeyView(**fields | {"scopes": list(key.scopes)})


def marks_of(key: Key) -> dict[str, str]:
    """Return the mark that keeps a key in a store."""
    return {MARK + key.id: msgspec.json.encode(key).decode()}


def keys_in(marks: Mapping[str, str]) -> list[Key]:
    """Return the keys that a store keeps.

    Raises:
        msgspec.ValidationError: A mark is not one of a key.
    """
    found: list[Key] = []
    for name, value in marks.items():
        if not name.startswith(MARK):
            continue
        if value.startswith("{"):
            found.append(msgspec.json.decode(value, type=Key))
        else:  # before there could be many, a mark was the hash alone
            kind: Kind = "write" if name == MARK + "write" else "secret"
            scopes = (SEND,) if kind == "write" else (ALL,)
            found.append(Key(id=name.removeprefix(MARK), kind=kind, hash=value, scopes=scopes))
    return found


def covers(own: Collection[str], scope: str) -> bool:
    """Return whether scopes allow what a scope does."""
    return scope in own or ALL in own or (SEND in own and scope.startswith(SEND + ":"))


def not_allowed() -> StatusError:
    """Return the answer to what is sent with a key that may not send it."""
    return StatusError(403, NOT_ALLOWED.code, NOT_ALLOWED.message, NOT_ALLOWED.hint)


def scope_of(path: str, method: str) -> str:
    """Return the scope of an API path that states none: `/v1/NAME/…` is `NAME:read` or `NAME:write`.

    Other paths have the scope of everything.
    """
    parts = path.split("/")
    if len(parts) < 3 or parts[:2] != ["", "v1"]:  # noqa: PLR2004 (/v1/NAME)
        return ALL
    scope = f"{parts[2]}:{'read' if method in {'GET', 'HEAD', 'OPTIONS'} else 'write'}"
    return scope if _SCOPE.fullmatch(scope) else ALL


class Holder:
    """A key in force. There is one of each, so that a change is seen by the requests under way, too."""

    __slots__ = ("_bucket", "_clock", "contacts", "interactions", "key")

    def __init__(self, key: Key, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bucket: Bucket | None = None
        self.key = key
        self.interactions = self.contacts = False
        self._adopt(key)

    def take_over(self, key: Key) -> None:
        """Go on with what was changed about the key; a limit that stays is not filled anew."""
        same = (key.rate, key.burst) == (self.key.rate, self.key.burst)
        bucket = self._bucket
        self._adopt(key)
        if same:
            self._bucket = bucket

    def _adopt(self, key: Key) -> None:
        self.key = key
        self.interactions = covers(key.scopes, SEND_INTERACTIONS)
        self.contacts = covers(key.scopes, SEND_CONTACTS)
        self._bucket = None
        if key.rate is not None:
            self._bucket = Bucket(key.rate, key.burst or max(1.0, key.rate), self._clock)

    @property
    def revoked(self) -> bool:
        """Whether the key is no longer in force."""
        return self.key.revoked_at is not None

    def largest(self, of_all: int) -> int:
        """Return how many bytes a body may have, when those of all may have so many."""
        own = self.key.largest_body
        return of_all if own is None or own > of_all else own

    def take(self, cost: int) -> int:
        """Count items, or return after how many seconds so many may come."""
        return 0 if self._bucket is None else self._bucket.take(cost)


class Keys:
    """All keys there are.

    Args:
        write: The hash of the write key that the settings give, if they do.
        secret: The hash of the secret key that they give.
        kept: The keys in the store. One with the id `write` or `secret` does not count while the settings give it.
        clock: Returns seconds that never go back, for the limits.
    """

    def __init__(
        self, write: str = "", secret: str = "", kept: Iterable[Key] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._holders: dict[str, Holder] = {}
        self._by_hash: dict[str, Holder] = {}
        self.scopes: frozenset[str] | None = None
        """Every scope that a key may have; None takes any that has the form of one."""
        self.wrong = self.limited = 0
        """Requests that were refused: without a key that is right, and beyond its rate."""
        for key in kept:
            self.put(key)
        name = "given by the settings"
        if write:
            self.put(Key(id="write", kind="write", hash=write, name=name, scopes=(SEND,), in_settings=True))
        if secret:
            self.put(Key(id="secret", kind="secret", hash=secret, name=name, scopes=(ALL,), in_settings=True))

    def put(self, key: Key) -> None:
        """Let a key be as given, from now on: new, changed or revoked."""
        holder = self._holders.get(key.id)
        if holder is None:
            holder = self._holders[key.id] = Holder(key, self._clock)
        else:
            if self._by_hash.get(holder.key.hash) is holder:
                del self._by_hash[holder.key.hash]
            holder.take_over(key)
        if not holder.revoked:
            self._by_hash[key.hash] = holder

    def all(self) -> list[Key]:
        """Return every key, also those revoked, in the order in which they were made."""
        return sorted((holder.key for holder in self._holders.values()), key=lambda key: (key.created_at, key.id))

    # --- at each request ----------------------------------------------------------------------------------------------

    def find(self, key: str) -> Holder | None:
        """Return who has a key, if it is in force."""
        return self._by_hash.get(hash_key(key.strip()))

    def sender(self, authorization: str | None) -> Holder | None:
        """Return whose an `Authorization` header is. Any key may send, if its scopes say so."""
        given = key_in(authorization)
        return None if given is None else self._by_hash.get(hash_key(given))

    def manager(self, authorization: str | None) -> Holder | None:
        """Return whose secret key an `Authorization` header carries."""
        holder = self.sender(authorization)
        return holder if holder is not None and holder.key.kind == "secret" else None

    def wrong_key(self, message: str, hint: str) -> StatusError:
        """Return the answer to a request without a key that is right, and count it."""
        self.wrong += 1
        return StatusError(401, "wrong_key", message, hint)

    def charge(self, holder: Holder, items: int) -> None:
        """Count what came with a key; a request without an item counts as one.

        Raises:
            StatusError: 429, it is too much for now.
        """
        wait = holder.take(items or 1)
        if wait:
            self.limited += 1
            raise StatusError(
                429,
                "rate_limited",
                f"more than the key may send: {holder.key.rate:g} a second",
                f"send it again in {wait} s; nothing of it was kept",
                wait,
            )

    # --- making, changing, revoking -----------------------------------------------------------------------------------

    def made(self, new: NewKey, by: Holder | None, now: int) -> tuple[Key, str]:
        """Return a key to be kept and `put`, and its text, which is not kept. `by` is None for the operator.

        Raises:
            KeyRefusedError: 400 a field is of no use, 403 `by` may less.
        """
        scopes = new.scopes if new.scopes is not None else [SEND] if new.kind == "write" else []
        text, hashed, ending = make_key(new.kind)
        key = Key(
            id=secrets.token_hex(6),
            kind=new.kind,
            hash=hashed,
            name=new.name,
            scopes=tuple(dict.fromkeys(scopes)),
            source=new.source,
            rate=new.rate,
            burst=new.burst,
            largest_body=new.largest_body,
            created_at=now,
            created_by=by.key.id if by is not None else "",
            ending=ending,
        )
        self._check(key)
        _refuse_more(key, by, "make")
        return key, text

    def changed(self, id_: str, change: KeyChange, by: Holder | None) -> Key:
        """Return a key with a change, to be kept and `put`.

        Raises:
            KeyRefusedError: 400, 403 as `made`; 404 there is none; 409 it is fixed, or the last of its kind.
        """
        key = self._own(id_, by, "change")
        if key.revoked_at is not None:
            raise KeyRefusedError(409, f"the key {id_!r} is revoked", hint="make a new one")
        given = {field: value for field, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
        if "scopes" in given:
            given["scopes"] = tuple(dict.fromkeys(given["scopes"]))
        if given.get("rate", key.rate) is None and "burst" not in given:
            given["burst"] = None
        after = msgspec.structs.replace(key, **given)
        self._check(after)
        _refuse_more(after, by, "make")
        self._refuse_last(key, after)
        return after

    def revoked(self, id_: str, by: Holder | None, now: int) -> Key:
        """Return a key revoked, to be kept and `put`; one that was revoked before stays as it is.

        Raises:
            KeyRefusedError: 403 `by` may less; 404 there is none; 409 it is fixed, or the last of its kind.
        """
        key = self._own(id_, by, "revoke")
        if key.revoked_at is not None:
            return key
        after = msgspec.structs.replace(key, revoked_at=now)
        self._refuse_last(key, after)
        return after

    def _own(self, id_: str, by: Holder | None, verb: str) -> Key:
        holder = self._holders.get(id_)
        if holder is None:
            raise KeyRefusedError(404, f"there is no key {id_[:80]!r}")
        key = holder.key
        if key.in_settings:
            hint = f"change the service's setting {key.kind}_key and start it again"
            raise KeyRefusedError(409, f"the key {id_!r} is given by the settings", hint=hint)
        _refuse_more(key, by, verb)
        return key

    def _check(self, key: Key) -> None:
        if not key.name.isprintable():
            raise KeyRefusedError(400, "'name' holds characters that cannot be shown")
        if key.burst is not None and key.rate is None:
            raise KeyRefusedError(400, "'burst' is given without 'rate'")
        if not key.scopes:
            raise KeyRefusedError(400, "a secret key needs 'scopes'", hint=f"{ALL} is everything")
        known: Collection[str] = SENDING if key.kind == "write" else SCOPES
        for scope in key.scopes:
            if scope in known:
                continue
            if key.kind == "secret" and (scope in self.scopes if self.scopes is not None else _SCOPE.fullmatch(scope)):
                continue
            names = sorted({*known, *((self.scopes or ()) if key.kind == "secret" else ())})
            hint = f"scopes are {', '.join(names)}"
            raise KeyRefusedError(400, f"a {key.kind} key has no scope {scope[:80]!r}", hint=hint)

    def _refuse_last(self, before: Key, after: Key) -> None:
        """Keep at least one key that may make others."""
        if not _may_keys(before) or _may_keys(after):
            return
        if not any(_may_keys(holder.key) for holder in self._holders.values() if holder.key.id != before.id):
            raise KeyRefusedError(
                409, f"{before.id!r} is the last key that may make others", hint="make another with keys:write first"
            )


def _may_keys(key: Key) -> bool:
    return key.kind == "secret" and key.revoked_at is None and covers(key.scopes, "keys:write")


def _refuse_more(key: Key, by: Holder | None, verb: str) -> None:
    more = [] if by is None else [scope for scope in key.scopes if not covers(by.key.scopes, scope)]
    if more:
        raise KeyRefusedError(403, f"this key cannot {verb} one that may more than itself: {', '.join(more)}")


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
