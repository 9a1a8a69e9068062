"""Budgets of rules over the API: what all members together got by each, and what is left."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery

from parcours.runtimes.engine.budgets import BudgetState, states
from parcours.web.api.common import guard, host_of
from parcours.web.api.loyalty import instant_of, programme_of
from parcours.web.api.people import iso


class BudgetRow(BudgetState):
    """A budget of a live rule, in one of its periods."""

    since_time: str | None = None


class Budgets(msgspec.Struct):
    """The budgets of a programme."""

    at: int
    time: str
    """The instant in whose periods they are."""
    budgets: list[BudgetRow]


class BudgetsApi(Controller):
    """What is left of budgets."""

    path = "/v1/loyalty/{programme:str}/budgets"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="What is left of the budgets of rules")
    async def budgets(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        rule: FromQuery[str] = "",
        at: FromQuery[str] = "",
    ) -> Budgets:
        """Return every budget of the live rules, or of one, in the periods that are under way now, or were `at` a time."""
        host = host_of(request)
        programme_of(host, programme)
        async with host.turn:
            now = instant_of(at, "at") if at else host.engine.clock.now()
            try:
                found = states(host.store, host.engine.plan.loyalty, programme, now)
            except OverflowError:
                raise HTTPException(status_code=400, detail="'at' is beyond the calendar of the programme") from None
        rows = [
            BudgetRow(
                **msgspec.structs.asdict(state), since_time=iso(state.since_at) if state.since_at is not None else None
            )
            for state in found
            if rule in {"", state.rule}
        ]
        return Budgets(now, iso(now), rows)
