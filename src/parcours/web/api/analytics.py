"""The analytics database over the API: how far it is, and making it again."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get, post

from parcours.analytics.service import Analytics
from parcours.web.api.common import guard
from parcours.web.api.segments import analytics_of


class State(msgspec.Struct):
    """How far the analytics database follows the log."""

    position: int
    """The place in the log up to which everything is in it."""
    behind: int
    """How many records are not in it yet."""
    bytes: int
    """How large it is on the disk."""


class AnalyticsApi(Controller):
    """The analytics database."""

    path = "/v1/analytics"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="How far the analytics database is")
    async def state(self, request: Request[Any, Any, Any]) -> State:
        """Return how far the database follows the log."""
        return _state(analytics_of(request))

    @post("/rebuild", summary="Make the analytics database again", status_code=202)
    async def rebuild(self, request: Request[Any, Any, Any]) -> State:
        """Begin again at the beginning of the log; questions wait until everything is there."""
        analytics = analytics_of(request)
        await analytics.rebuild()
        return _state(analytics)


def _state(analytics: Analytics) -> State:
    return State(analytics.database.position, analytics.behind, analytics.database.bytes)
