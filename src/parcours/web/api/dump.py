"""Everything that is kept, over the API, page by page, in the shapes that an import reads."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import Controller, Request, get
from litestar.exceptions import ClientException
from litestar.params import FromPath, FromQuery

from parcours.core.ids import is_contact_id
from parcours.runtimes.dump import page
from parcours.web.api.common import guard, host_of


class DumpPage(msgspec.Struct):
    """Some rows. `after` goes on behind them; it is null at the end."""

    rows: list[dict[str, Any]]
    after: str | None


class DumpApi(Controller):
    """What is kept."""

    path = "/v1/dump"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/{kind:str}", summary="Everything of a kind, page by page", opt={"scope": "dump:read"})
    async def dump(
        self,
        request: Request[Any, Any, Any],
        kind: FromPath[Literal["contacts", "interactions", "lists", "items", "ledger", "coupons"]],
        after: FromQuery[str] = "",
        catalogue: FromQuery[str] = "",
    ) -> DumpPage:
        """Return rows in the shapes that an import reads. A page may be empty and not be the last.

        No import reads `ledger` and `coupons`: points and coupons come of inputs, and of nothing else.
        """
        host = host_of(request)
        if after and not _is_place(kind, after):
            raise ClientException(detail="'after' is not what a page before had")
        async with host.turn:
            return DumpPage(*page(host.engine, kind, after, catalogue=catalogue))


def _is_place(kind: str, after: str) -> bool:
    """Return whether a page may end there: at a position in the log, an item of a catalogue, or a contact."""
    if kind == "interactions":
        return after.isascii() and after.isdigit() and len(after) < _DIGITS
    return kind == "items" or is_contact_id(after)


_DIGITS = 19
