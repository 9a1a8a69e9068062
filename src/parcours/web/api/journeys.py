"""Journeys over the API: letting contacts in."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, Response, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from parcours.definitions.entries import ApiEntry
from parcours.errors import Problem, StoreError
from parcours.runtimes.embedded import OverloadedError
from parcours.sources.plain import read_entries
from parcours.sources.segment import MalformedError
from parcours.web.api.common import caller_of, guard, host_of, named
from parcours.web.auth import DEFAULT_SOURCE
from parcours.web.doors import PLACES, Answer, submit_items


class JourneysApi(Controller):
    """Journeys."""

    path = "/v1/journeys"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/{name:str}/entries", summary="Let contacts enter a journey", status_code=200)
    async def enter(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Answer]:
        """Let one contact enter, or each of `{"items": [...]}`; the journey has the entry `api`.

        An item has `contact` (identities, such as `{"user_id": "42"}`), `attributes` that conditions and templates of
        the journey may look at, and an `id`, which is accepted once for a journey. A contact that was never met is
        made. Whether the journey's rules let a contact in is in its trace.
        """
        host, body = host_of(request), await request.body()
        journey = named("journey", name, host.engine.plan.newest)
        if not isinstance(journey.definition.entry, ApiEntry):
            detail = f"the journey {name!r} is not entered over the API: give it the entry '{{type: api}}'"
            raise HTTPException(status_code=409, detail=detail)
        try:
            items = read_entries(body, name)
        except MalformedError as error:
            return Response(_failure(error.problem), status_code=400)
        source = caller_of(request).key.source
        if source != DEFAULT_SOURCE:
            for item in items:
                if item.arrival is not None:
                    item.arrival.source += f".{source}"
        try:
            answer = await submit_items(host, items, PLACES)
        except (OverloadedError, StoreError) as error:
            failure = _failure(Problem(code=error.code, message=error.message, hint=error.hint))
            return Response(failure, status_code=503, headers={"Retry-After": "1"})
        return Response(answer, status_code=400 if answer.rejected else 200)


def _failure(problem: Problem) -> Answer:
    return msgspec.structs.replace(Answer(0, 0, 0, []), error=problem)
