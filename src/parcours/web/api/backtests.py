"""Backtests over the API: drafts run over what was recorded, with nothing sent."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.params import FromPath, JSONBody

from parcours.definitions.load import dump
from parcours.definitions.zones import zone_hint, zone_of
from parcours.errors import InvalidDefinitionError
from parcours.runtimes.backtest.job import Assumptions, BacktestError, Job
from parcours.runtimes.backtest.jobs import Backtests, TooManyBacktestsError, shown
from parcours.runtimes.backtest.jobs import Request as Asking
from parcours.web.api.common import guard, host_of

READ, WRITE = {"scope": "journeys:read"}, {"scope": "journeys:write"}

Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Drafts(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Drafts: definitions that are given, or journeys and rules as they are published."""

    definitions: list[dict[str, Any]] = []
    journeys: list[str] = []
    rules: list[str] = []
    """Rules of loyalty."""


class BacktestAsked(Drafts, kw_only=True, forbid_unknown_fields=True):
    """What is to be run over what time. Instants are milliseconds since the epoch."""

    start: int
    end: int
    against: Drafts | None = None
    """Other drafts to compare with; without any what is live."""
    rates: dict[str, Rate] = {}
    """Kind of reaction to the share of messages that are assumed to be reacted to so."""
    delays: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    """Kind of reaction to milliseconds after which that happens."""
    assume: Assumptions = msgspec.field(default_factory=Assumptions)
    """What else is assumed: answers of webhooks, entries over the API, stock of rewards."""
    zone: str = "UTC"
    """Whose days messages are counted by."""
    with_live: bool = False
    """Let the journeys that are live take part."""
    everybody: bool = False
    """Let everybody be a member of the programmes, from when they are known."""


class BacktestsApi(Controller):
    """Drafts run over what was recorded."""

    path = "/v1/backtests"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/", summary="Run drafts over what was recorded", status_code=202, opt=WRITE)
    async def ask(self, request: Request[Any, Any, Any], data: JSONBody[BacktestAsked]) -> dict[str, Any]:
        """Take a backtest; what it came to is at `/v1/backtests/ID` when it is done. Nothing is sent."""
        return await take(request, data)

    @get("/", summary="All backtests", opt=READ)
    async def every(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Return the latest backtests, the newest first."""
        return {"backtests": [shown(asked) for asked in backtests_of(request).all()]}

    @get("/{id_:str}", summary="What a backtest came to", opt=READ)
    async def one(self, request: Request[Any, Any, Any], id_: FromPath[str]) -> dict[str, Any]:
        """Return a backtest: `state` is waiting, running, done or failed."""
        return told(request, id_)


class SimulationsApi(Controller):
    """Rules of loyalty run over what was recorded: backtests, for those who may see loyalty."""

    path = "/v1/loyalty/simulations"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/", summary="Try rules on what was recorded", status_code=202)
    async def ask(self, request: Request[Any, Any, Any], data: JSONBody[BacktestAsked]) -> dict[str, Any]:
        """Take rules to be tried; what they came to is at `/v1/loyalty/simulations/ID`. Nothing is given."""
        return await take(request, data)

    @get("/{id_:str}", summary="What rules came to")
    async def one(self, request: Request[Any, Any, Any], id_: FromPath[str]) -> dict[str, Any]:
        """Return a simulation: `state` is waiting, running, done or failed."""
        return told(request, id_)


async def take(request: Request[Any, Any, Any], data: BacktestAsked) -> dict[str, Any]:
    """Take a backtest, and show it as it waits."""
    if zone_of(data.zone) is None:
        raise ClientException(f"/zone: there is no time zone {data.zone!r}: {zone_hint(data.zone)}")
    job = await _job(request, data, data)
    against = await _job(request, data, data.against, baseline=True) if data.against is not None else None
    try:
        return shown(backtests_of(request).ask(Asking(job=job, against=against, zone=data.zone)))
    except TooManyBacktestsError as error:
        raise HTTPException(status_code=429, detail=str(error), headers={"Retry-After": "10"}) from None


def told(request: Request[Any, Any, Any], id_: str) -> dict[str, Any]:
    """Show a backtest."""
    asked = backtests_of(request).get(id_)
    if asked is None:
        raise NotFoundException("there is no such backtest")
    return shown(asked)


async def _job(request: Request[Any, Any, Any], data: BacktestAsked, drafts: Drafts, *, baseline: bool = False) -> Job:
    workspace = host_of(request).engine.plan.workspace
    definitions = list(drafts.definitions)
    above = "/against" if baseline else ""
    for index, name in enumerate(drafts.journeys):
        journey = workspace.journeys.get(name)
        if journey is None:
            raise ClientException(f"{above}/journeys/{index}: there is no journey {name!r}")
        definitions.append(dump(journey))
    for index, name in enumerate(drafts.rules):
        rule = workspace.rules.get(name)
        if rule is None:
            raise ClientException(f"{above}/rules/{index}: there is no rule {name!r}")
        definitions.append(dump(rule))
    job = Job(
        definitions=definitions,
        start=data.start,
        end=data.end,
        rates=data.rates,
        delays=data.delays,
        assume=data.assume,
        with_live=data.with_live,
        everybody=data.everybody,
        baseline=baseline,
    )
    try:
        await backtests_of(request).check(job, host_of(request).store.publications())
    except InvalidDefinitionError as error:
        raise ClientException(str(error.below(above))) from None
    except BacktestError as error:
        raise ClientException(str(error)) from None
    return job


def backtests_of(request: Request[Any, Any, Any]) -> Backtests:
    """Return the backtests of the service.

    Raises:
        HTTPException: 503, it runs none.
    """
    backtests: Backtests | None = request.app.state["backtests"]
    if backtests is None:
        raise HTTPException(status_code=503, detail="this service runs no backtests")
    return backtests
