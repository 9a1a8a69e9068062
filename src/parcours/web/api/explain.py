"""Explanations over the API: why a contact got something from a journey or by a rule, and why it did not."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, QueryParameter

from parcours.conditions.instants import milliseconds
from parcours.conditions.parse import shown
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.explain import Past, TooMuchError, explain, past_of
from parcours.runtimes.loyalty.explain import explain_rules
from parcours.web.api.common import as_object, guard, host_of, named
from parcours.web.api.loyalty import programme_of
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
        named("journey", journey, host.engine.plan.journeys)
        past, until = await _past(host, contact, at)
        # In a thread: others have their turn meanwhile. What is read is only read.
        found = await asyncio.to_thread(explain, past, host.engine.plan, journey, until)
        plain: dict[str, Any] = msgspec.to_builtins(found)
        plain["time"] = iso(found.at)
        for came, row in zip(found.states, plain["states"], strict=True):
            row["time"] = iso(came.at)
        for moment, row in zip(found.moments, plain["moments"], strict=True):
            row["time"] = iso(moment.at)
            row["decided"] = [as_object(entry) for entry in moment.decided]
        return plain


class ExplainRulesApi(Controller):
    """Why a contact got points and rewards by the rules of a programme, and why it did not."""

    path = "/v1/loyalty"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get(
        "/{programme:str}/explain",
        summary="Why did she get these points, and why did she not?",
        opt={"scope": "contacts:read"},
    )
    async def explain(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: Who = "",
        rule: FromQuery[str] = "",
        at: At = "",
    ) -> dict[str, Any]:
        """Fold what is recorded of a contact again, and tell what rules gave, or one of them, and why not."""
        host = host_of(request)
        programme_of(host, programme)
        if rule:
            rules = host.engine.plan.workspace.rules.values()
            named("rule", rule, {one.name: one for one in rules if one.programme == programme})
        past, until = await _past(host, contact, at)
        found = await asyncio.to_thread(explain_rules, past, programme, rule, until)
        plain: dict[str, Any] = msgspec.to_builtins(found)
        plain["time"] = iso(found.at)
        for look, row in zip(found.looks, plain["looks"], strict=True):
            row["time"] = iso(look.at)
        return plain


async def _past(host: Embedded, contact: str, at: str) -> tuple[Past, int]:
    """Return what is recorded of a contact, and the instant up to which it is to be told.

    Raises:
        HTTPException: No contact is named, there is none of this name, the instant is none, or too much is recorded.
    """
    if not contact:
        detail = "'contact' is missing: write for example ?contact=user_id:42"
        raise HTTPException(status_code=400, detail=detail, extra={"code": "missing_key"})
    until = _instant(at) if at else None
    async with host.turn:
        state = find(host, contact)
        try:
            past = past_of(host.store, state.id)
        except TooMuchError as error:
            raise HTTPException(status_code=422, detail=str(error), extra={"code": error.code}) from None
        now = host.engine.clock.now()
    # Nobody knows yet what lies ahead: what would come by time alone has not happened.
    return past, now if until is None else min(until, now)


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
