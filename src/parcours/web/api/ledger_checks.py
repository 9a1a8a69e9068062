"""Whether ledgers, balances and the statement agree, over the API: looked at beside the service's work."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import Controller, Request, get, post
from litestar.exceptions import NotFoundException

from parcours.runtimes.loyalty.reconcile import LedgerCheck, LedgerChecks, Reconciled
from parcours.web.api.common import guard, host_of
from parcours.web.api.people import iso

READ = {"scope": "loyalty:read"}


class LedgerCheckShown(msgspec.Struct):
    """A check, and what it came to when its state is `done`."""

    id: str
    state: Literal["running", "done", "failed"]
    started_at: int
    started_time: str
    agrees: bool | None
    """Whether everything agrees; null until it is done."""
    result: Reconciled | None
    problem: str


class LedgerChecksApi(Controller):
    """Checks of the ledger."""

    path = "/v1/loyalty/check"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/", summary="Check whether ledgers, balances and the statement agree", status_code=202, opt=READ)
    async def ask(self, request: Request[Any, Any, Any]) -> LedgerCheckShown:
        """Begin a check of every member of every programme, or return the one that is under way."""
        return _shown(_checks_of(request).ask())

    @get("/", summary="What the latest check of ledgers came to", opt=READ)
    async def latest(self, request: Request[Any, Any, Any]) -> LedgerCheckShown:
        """Return the latest check since the service was started."""
        check = _checks_of(request).latest
        if check is None:
            raise NotFoundException(detail="nobody asked for a check since the service was started")
        return _shown(check)


def _checks_of(request: Request[Any, Any, Any]) -> LedgerChecks:
    for companion in host_of(request).companions:
        if isinstance(companion, LedgerChecks):
            return companion
    raise NotFoundException(detail="this service checks no ledgers")


def _shown(check: LedgerCheck) -> LedgerCheckShown:
    result = check.result if check.state == "done" else None
    return LedgerCheckShown(
        check.id,
        check.state,
        check.started_at,
        iso(check.started_at),
        result.agrees if result is not None else None,
        result,
        check.problem,
    )
