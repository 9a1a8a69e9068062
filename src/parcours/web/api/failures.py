"""Errors of the API: one form for all of them, in our words, whoever found it.

| field         | what                                                                                     |
|---------------|------------------------------------------------------------------------------------------|
| `code`        | what it is, for programs                                                                 |
| `message`     | what is wrong                                                                            |
| `pointer`     | where: a JSON pointer into the body, `?name` for a value of the query, or empty          |
| `hint`        | what to do, or empty                                                                     |
| `status_code` | the status once more                                                                     |
| `detail`      | all of it in one line, for people                                                        |
| `extra`       | more about it, where there is more: all problems of a definition, or who uses it         |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)

from parcours.conditions.parse import escape
from parcours.errors import Problem, StoreError
from parcours.sources.words import in_our_words, not_json

_log = structlog.get_logger(__name__)

_CODES = {
    400: "invalid_request",
    401: "wrong_key",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    411: "length_required",
    412: "not_met",
    413: "body_too_large",
    415: "unknown_media_type",
    429: "too_many_requests",
    503: "unavailable",
}
_FRAMEWORKS_OWN = {"Not Found", "Request Entity Too Large"}


class Failure(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An error of the API."""

    status_code: int
    detail: str
    code: str
    message: str
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    hint: str | msgspec.UnsetType = msgspec.UNSET
    extra: Any = None


def failed(request: Request[Any, Any, Any], error: HTTPException) -> Response[Failure]:
    """Answer an error that a handler, or the framework, raised."""
    problem = _problem(request, error)
    extra = None if isinstance(error, ValidationException) else error.extra
    headers = dict(error.headers or {})
    return _answer(error.status_code, problem, extra, headers)


def store_failed(_request: Request[Any, Any, Any], error: StoreError) -> Response[Failure]:
    """Nothing was kept; sending it again is safe."""
    problem = Problem(code=error.code, message=error.message, hint=error.hint)
    return _answer(503, problem, headers={"Retry-After": "1"})


def too_deep(_request: Request[Any, Any, Any], _error: RecursionError) -> Response[Failure]:
    """Answer a body that is nested without end."""
    return _answer(400, Problem(code="too_deep", message="the body is nested too deeply"))


def broken(request: Request[Any, Any, Any], error: Exception) -> Response[Failure]:
    """Answer a defect of ours."""
    _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    hint = "its cause is in the service's log"
    return _answer(500, Problem(code="internal_error", message="the service has a defect", hint=hint))


def _answer(
    status: int, problem: Problem, extra: Any = None, headers: Mapping[str, str] | None = None
) -> Response[Failure]:
    failure = Failure(
        status_code=status,
        detail=str(problem),
        code=problem.code,
        message=problem.message,
        pointer=problem.pointer,
        hint=problem.hint,
        extra=extra or None,
    )
    return Response(failure, status_code=status, headers=dict(headers or {}), media_type="application/json")


def _problem(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    if isinstance(error, ValidationException):
        return _invalid(error)
    if isinstance(error, MethodNotAllowedException):
        taken = (error.headers or {}).get("allow", "").replace(", OPTIONS", "")
        return Problem(code=_CODES[405], message=f"this path does not take {request.method}", hint=f"it takes {taken}")
    if isinstance(error.__cause__, SerializationException) and type(error) is ClientException:
        return not_json(error.detail)
    if isinstance(error, NotFoundException) and error.detail in _FRAMEWORKS_OWN:
        message = f"there is nothing at {request.url.path[:100]}"
        return Problem(code="unknown_path", message=message, hint="what there is stands at /schema")
    if error.status_code == 413 and error.detail in _FRAMEWORKS_OWN:  # noqa: PLR2004 (the status itself)
        return Problem(code=_CODES[413], message="the body is too large", hint="send it in smaller parts")
    return _stated(error)


def _stated(error: HTTPException) -> Problem:
    """Return what a handler of ours said."""
    extra = error.extra
    code = _CODES.get(error.status_code, "refused")
    first = extra[0] if isinstance(extra, list) and extra else extra
    if isinstance(first, Mapping) and isinstance(first.get("code"), str):
        message = str(first.get("message") or error.detail)
        return Problem(
            code=first["code"],
            message=message,
            pointer=str(first.get("pointer") or ""),
            hint=str(first.get("hint") or ""),
        )
    return Problem(code=code, message=str(error.detail))


_LACKING = re.compile(r"Missing required (\w+) parameter '(.+?)' for ")


def _invalid(error: ValidationException) -> Problem:
    """Return what the framework found while it read the body and the query."""
    if lacking := _LACKING.match(error.detail):
        place = f"?{lacking[2]}" if lacking[1] == "query" else lacking[2]
        return Problem(code="missing_field", message=f"{lacking[2]!r} is missing", pointer=place)
    found = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    said, key = (str(found.get(name, "")) for name in ("message", "key"))
    source = getattr(found.get("source"), "value", found.get("source"))
    if source in {"body", None}:
        if said == "'data'":
            return Problem(code="missing_body", message="there is no body", hint="send JSON")
        return in_our_words(said, _pointer(key))
    problem = in_our_words(said)
    place = f"?{key}" if source == "query" else key
    message = problem.message.removesuffix(", got text")
    return msgspec.structs.replace(problem, pointer=place, message=message)


def _pointer(key: str) -> str:
    """Return `items[0].name` as a JSON pointer into the body."""
    if key in {"", "data"}:
        return ""
    parts = key.removeprefix("data.").replace("]", "").replace("[", ".").split(".")
    return "".join(f"/{escape(part)}" for part in parts if part and part != "...")
