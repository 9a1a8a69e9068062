"""What the controllers of the API share: who may, the host behind them, and structs shown to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler

from parcours.conditions.parse import shown
from parcours.core.codec import decode_message
from parcours.core.contact import Contact, Delayed
from parcours.core.effects import Entry, Trace
from parcours.core.inputs import Input, WorkspaceInput
from parcours.errors import did_you_mean
from parcours.runtimes.embedded import Embedded
from parcours.web.auth import Holder, Keys, covers, scope_of
from parcours.web.bodies import StatusError

T = TypeVar("T")

DEEPEST = 100
"""How deep the values of a contact are shown; what is nested deeper stands as "…"."""


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let only a secret key pass that has the scope of the path.

    A handler states its scope with `opt={"scope": "contacts:read"}`; one that does not has the one that
    `parcours.web.auth.scope_of` makes of its path.
    """
    # Asynchronous, though nothing is awaited: the framework would run it in a thread, beside the doors.
    keys: Keys = connection.app.state["keys"]
    holder = keys.manager(connection.headers.get("authorization"))
    if holder is None:
        refusal = keys.wrong_key("no secret key, or a wrong one", "send it as a Bearer token")
        raise NotAuthorizedException(
            detail=f"{refusal.message}: {refusal.hint}", headers={"WWW-Authenticate": "Bearer"}
        )
    try:
        keys.charge(holder, 1)
    except StatusError as error:
        raise HTTPException(
            status_code=error.status, detail=str(error), headers={"Retry-After": str(error.retry_after)}
        ) from None
    scope = scope_in(handler, connection.scope["path_template"], str(connection.scope.get("method")))
    if not covers(holder.key.scopes, scope):
        raise PermissionDeniedException(detail=f"the key lacks the scope {scope}")
    _check_size(connection, holder)
    connection.scope["auth"] = holder


def scope_in(handler: BaseRouteHandler, path: str, method: str) -> str:
    """Return the scope that a key needs for a handler: the one it states, or that of its path and method."""
    stated = handler.opt.get("scope")
    return stated if isinstance(stated, str) else scope_of(path, method)


def _check_size(connection: ASGIConnection[Any, Any, Any, Any], holder: Holder) -> None:
    """Refuse a body that is larger than the key may send; the limit of the service is the framework's to keep."""
    largest = holder.key.largest_body
    if largest is None:
        return
    length = connection.headers.get("content-length", "")
    if length.isdigit() and int(length) > largest:
        raise HTTPException(status_code=413, detail=f"the body is larger than {largest} bytes, as the key has it")
    if not length and "transfer-encoding" in connection.headers:
        raise HTTPException(status_code=411, detail="the size of bodies with this key is limited: send content-length")


def caller_of(request: Request[Any, Any, Any]) -> Holder:
    """Return with whose key a request came."""
    holder: Holder = request.scope["auth"]
    return holder


def named(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return what is known by a name.

    Raises:
        NotFoundException: Nothing is; the name that may have been meant is told.
    """
    if name not in known:
        raise not_there(kind, name, known)
    return known[name]


def not_there(kind: str, name: str, known: Iterable[str]) -> NotFoundException:
    """Return the answer that tells that nothing of a kind has a name, and which one may have been meant."""
    hint = did_you_mean(name, known)
    said = f"there is no {kind} {shown(name)}"
    return NotFoundException(detail=f"{said} ({hint})" if hint else said)


def host_of(request: Request[Any, Any, Any]) -> Embedded:
    """Return the host that the application serves."""
    host: Embedded = request.app.state["host"]
    return host


def as_object(value: Contact | Input | WorkspaceInput | Trace | Entry) -> dict[str, Any]:
    """Return a struct that is stored as an array as an object with names, for people."""
    found: dict[str, Any] = _named(value)
    return found


def _named(value: object, depth: int = 0) -> Any:
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Delayed):
        value = decode_message(value.body)
    if isinstance(value, msgspec.Struct):
        tag = type(value).__struct_config__.tag
        named = {"type": tag} if isinstance(tag, str) else {}
        return named | {name: _named(getattr(value, name), depth + 1) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _named(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_named(item, depth + 1) for item in value]
    return value
