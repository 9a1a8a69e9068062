"""What the controllers of the API share: who may, the host behind them, and structs shown to people."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers.base import BaseRouteHandler

from parcours.core.contact import Contact
from parcours.core.effects import Trace
from parcours.core.inputs import Input, WorkspaceInput
from parcours.runtimes.embedded import Embedded
from parcours.web.auth import Keys

DEEPEST = 100
"""How deep the values of a contact are shown; what is nested deeper stands as "…"."""


def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Let only a secret key pass."""
    keys: Keys = connection.app.state["keys"]
    if not keys.may_manage(connection.headers.get("authorization")):
        raise NotAuthorizedException(
            detail="no secret key, or a wrong one: send it as a Bearer token", headers={"WWW-Authenticate": "Bearer"}
        )


def host_of(request: Request[Any, Any, Any]) -> Embedded:
    """Return the host that the application serves."""
    host: Embedded = request.app.state["host"]
    return host


def as_object(value: Contact | Input | WorkspaceInput | Trace) -> dict[str, Any]:
    """Return a struct that is stored as an array as an object with names, for people."""
    found: dict[str, Any] = _named(value)
    return found


def _named(value: object, depth: int = 0) -> Any:
    if depth > DEEPEST:
        return "…"
    if isinstance(value, msgspec.Struct):
        tag = type(value).__struct_config__.tag
        named = {"type": tag} if isinstance(tag, str) else {}
        return named | {name: _named(getattr(value, name), depth + 1) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _named(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_named(item, depth + 1) for item in value]
    return value
