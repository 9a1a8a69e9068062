"""Calls of a running service's API."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from parcours.definitions.load import with_known_good
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError, ParcoursError


def in_force(url: str, secret_key: str) -> Workspace:
    """Return the definitions that a service has in force.

    Raises:
        ParcoursError: It cannot be reached, or refuses.
    """
    status, answer = call("GET", f"{url}/v1/definitions", secret_key)
    if status != 200:  # noqa: PLR2004 (HTTP)
        raise refused(status, answer)
    definitions = answer.get("definitions")
    if not isinstance(definitions, list) or not all(isinstance(item, dict) for item in definitions):
        raise stranger(url)
    try:
        return with_known_good(Workspace(), definitions)
    except InvalidDefinitionError as error:
        raise stranger(url) from error


def refused(status: int, answer: dict[str, Any]) -> ParcoursError:
    """Return the error that tells what a service answered."""
    said = " ".join(str(answer.get("detail", answer)).split())[:_SHOWN]
    return ParcoursError(f"the service answered {status}: {said}", hint="check --secret-key")


def stranger(url: str) -> ParcoursError:
    """Return the error for an answer that is not one of ours."""
    return ParcoursError(f"what {url} answered is not understood", hint="is it parcours, and of this version?")


_SHOWN = 500
"""Characters of an answer that an error repeats."""


def call(method: str, url: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Call a service and return the status and the JSON object it answered.

    Raises:
        ParcoursError: It cannot be reached, or the answer is not one of ours.
    """
    if not url.startswith(("http://", "https://")):
        raise ParcoursError(f"the url is {url!r}", hint="write for example http://127.0.0.1:8700")
    if not (key.isascii() and key.isprintable()):
        raise ParcoursError("a header cannot hold the key", hint="check --secret-key for what is not ASCII")
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 (checked above)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (checked above)
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, b""
        with contextlib.suppress(OSError, http.client.HTTPException):
            text = error.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ParcoursError(f"cannot reach {url}: {why}", hint="is the service running? parcours serve") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return status, found
    if status < 400:  # noqa: PLR2004 (HTTP)
        raise stranger(url)
    return status, {"detail": http.client.responses.get(status, "")}
