"""Definitions over the API."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, put
from litestar.params import JSONBody

from parcours.definitions.load import dump
from parcours.errors import Problem
from parcours.web.api.common import guard, host_of

MOST_PROBLEMS = 200
"""Problems listed in one answer."""


class Definitions(msgspec.Struct, forbid_unknown_fields=True):
    """Definitions as plain data, each with its `kind`."""

    definitions: list[dict[str, Any]]


class Published(msgspec.Struct):
    """What publishing came to. With an error nothing was published."""

    published: bool
    errors: list[Problem]
    warnings: list[Problem]


class DefinitionsApi(Controller):
    """Definitions, all together."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @put("/definitions", summary="Publish definitions", status_code=200)
    async def publish(self, request: Request[Any, Any, Any], data: JSONBody[Definitions]) -> Response[Published]:
        """Check definitions against each other and those in force, and put them in force: all or none."""
        errors, warnings = await host_of(request).publish(data.definitions)
        answer = Published(not errors, errors[:MOST_PROBLEMS], warnings[:MOST_PROBLEMS])
        return Response(answer, status_code=400 if errors else 200)

    @get("/definitions", summary="All definitions in force")
    async def definitions(self, request: Request[Any, Any, Any]) -> Definitions:
        """Return every definition in the form in which it can be published again."""
        return Definitions([dump(definition) for definition in host_of(request).engine.plan.workspace.all()])
