"""Explanations over the API: why a contact got something from a journey, and why it did not."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get
from litestar.exceptions import HTTPException
from litestar.params import FromPath, QueryParameter

from parcours.conditions.instants import milliseconds
from parcours.conditions.parse import shown
from parcours.runtimes.explain import TooMuchError, explain, past_of
from parcours.web.api.common import as_object, guard, host_of, named
from parcours.web.api.people import find, iso

Who = Annotated[str, QueryParameter(description="An identity such as user_id:42, or the id of a contact.")]
At = Annotated[
    str,
    QueryParameter(
        description="ISO 8601 with an offset: as it was then, and what happened up to then. Now else, and when it lies ahead."
    ),
]


class ExplainApi(Controller):
    """Why a contact is in a journey as it is."""

    path = "/v1/journeys"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/{journey:str}/explain", summary="Why did she get this, and why did she not?", opt={"scope": "contacts:read"})
    async def explain(
        self, request: Request[Any, Any, Any], journey: FromPath[str], contact: Who = "", at: At = ""
    ) -> dict[str, Any]:
        """Fold what is recorded of a contact again, and tell what the conditions of a journey saw."""
        host = host_of(request)
        if not contact:
            detail = "'contact' is missing: write for example ?contact=user_id:42"
            raise HTTPException(status_code=400, detail=detail, extra={"code": "missing_key"})
        named("journey", journey, host.engine.plan.journeys)
        until = _instant(at) if at else None
        async with host.turn:
            state = find(host, contact)
            try:
                past = past_of(host.store, state.id)
            except TooMuchError as error:
                raise HTTPException(status_code=422, detail=str(error), extra={"code": error.code}) from None
            plan, now = host.engine.plan, host.engine.clock.now()
        # In a thread: others have their turn meanwhile. What is read is only read.
        # Nobody knows yet what lies ahead: what would come by time alone has not happened.
        found = await asyncio.to_thread(explain, past, plan, journey, now if until is None else min(until, now))
        plain: dict[str, Any] = msgspec.to_builtins(found)
        plain["time"] = iso(found.at)
        for came, row in zip(found.states, plain["states"], strict=True):
            row["time"] = iso(came.at)
        for moment, row in zip(found.moments, plain["moments"], strict=True):
            row["time"] = iso(moment.at)
            row["decided"] = [as_object(entry) for entry in moment.decided]
        return plain


def _instant(text: str) -> int:
    try:
        # A plus sign in a query is a space to whoever reads it.
        time = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        detail = f"'at' is {shown(text)}: write for example 2026-01-31T09:00:00Z"
        raise HTTPException(status_code=400, detail=detail)
    return milliseconds(time)
