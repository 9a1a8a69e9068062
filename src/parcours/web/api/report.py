"""The report of what happened, counted."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get

from parcours.web.api.common import guard, host_of


class StatisticRow(msgspec.Struct):
    """How often something happened at a step."""

    journey: str
    version: int
    step: str
    what: str
    reason: str
    count: int


class OutboxRow(msgspec.Struct):
    """How many messages there are in a state."""

    channel: str
    message: str
    state: str
    count: int


class Report(msgspec.Struct):
    """What happened, counted."""

    records: int
    contacts: int
    now: int
    """The engine's clock, milliseconds since the epoch."""
    queued: int
    reading: bool
    open_timers_due: int
    """1 while a timer that is due by the clock has not fired, else 0."""
    statistics: list[StatisticRow]
    outbox: list[OutboxRow]
    waiting_for_provider: dict[str, int]
    """How many messages wait because their channel has no provider, by channel."""


class ReportApi(Controller):
    """What happened, counted."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/report", summary="What happened, counted")
    async def report(self, request: Request[Any, Any, Any]) -> Report:
        """Return counts by journey and step, and by message and state."""
        host = host_of(request)
        store = host.store
        async with host.turn:
            counts = store.counts()
            return Report(
                records=counts["records"],
                contacts=counts["contacts"],
                now=host.engine.clock.now(),
                queued=host.queued,
                reading=host.engine.reading,
                open_timers_due=int((due := host.engine.next_due()) is not None and due <= host.engine.clock.now()),
                statistics=[StatisticRow(*place, count) for place, count in sorted(store.statistics().items())],
                outbox=[OutboxRow(*place, count) for place, count in sorted(store.outbox_counts().items())],
                waiting_for_provider=host.unprovided,
            )
