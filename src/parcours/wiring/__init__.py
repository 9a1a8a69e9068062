"""Settings to chosen parts: the only place that names technologies.

| module    | what                                                                |
|-----------|---------------------------------------------------------------------|
| settings  | what an operator can set                                            |
| folder    | the data folder: store, keys, analytics                             |
| providers | of mail, push and calls; the webhooks that come in                  |
| imports   | files that are imported                                             |
| past      | backtests over a folder                                             |
| checking  | definition files, checked as the service would                      |
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from parcours.channels.render import Renderer
from parcours.ports import Clock
from parcours.runtimes.backtest.jobs import Backtests
from parcours.runtimes.clocks import InputsClock, SystemClock, wall_time
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.runtimes.jobs import Jobs
from parcours.runtimes.loyalty.reconcile import LedgerChecks
from parcours.runtimes.simulation import Simulation
from parcours.sources.files import drop_rejected
from parcours.stores.memory import MemoryStore
from parcours.wiring.checking import schedule_problems, template_problems
from parcours.wiring.folder import (
    kept_engine,
    kept_keys,
    keys_of,
    make_folder,
    open_analytics,
    open_store,
    rebuild_analytics,
)
from parcours.wiring.imports import open_import, plain_spec, watch, watch_spec
from parcours.wiring.past import backtest
from parcours.wiring.providers import build_channels, webhooks_of
from parcours.wiring.settings import Settings, SettingsError, allowed_hosts, secrets_of, settings_from

__all__ = [
    "Service",
    "Settings",
    "SettingsError",
    "allowed_hosts",
    "backtest",
    "build",
    "build_channels",
    "collect_seldom",
    "kept_engine",
    "kept_keys",
    "open_import",
    "plain_spec",
    "rebuild_analytics",
    "schedule_problems",
    "secrets_of",
    "settings_from",
    "simulation",
    "template_problems",
    "watch_spec",
]


_log = structlog.get_logger(__name__)


class Service(msgspec.Struct):
    """A host ready to be started, and the application that serves it."""

    host: Embedded
    app: Callable[..., Any]
    new_keys: dict[str, str]
    """Keys that were made up just now, to be shown once."""


def build(settings: Settings) -> Service:
    """Return the service that settings describe, with its store open.

    Raises:
        SettingsError: A setting is of no use.
        StoreError: The store cannot be opened.
    """
    from parcours.web.app import create_app

    make_folder(settings.data)
    channels = build_channels(settings)
    webhooks = webhooks_of(settings)
    store = open_store(settings.data)
    keys, new_keys = keys_of(store, settings)
    start = store.last_received_at()
    if settings.clock == "system" and (behind := start - wall_time()) > 0:
        hint = "the service's time stands still until the machine's has caught up; set the machine's clock right"
        _log.warning("clock_behind", seconds=behind / 1000, hint=hint)
    clock: Clock = InputsClock(start) if settings.clock == "inputs" else SystemClock(start)
    renderer = Renderer()
    host = Embedded(
        Engine(store, clock), channels, renderer.render, renderer.check, renderer.names, secrets_of(settings)
    )
    jobs = Jobs(host, settings.data / "imports", open_import, settings.largest_upload, drop_rejected)
    host.companions.append(jobs)
    if settings.watch:
        host.companions.append(watch(settings, jobs))
    analytics = open_analytics(settings, host)
    host.companions.append(analytics)
    backtests = Backtests(settings.data / "backtests", lambda job, zone: backtest(settings.data, job, zone))
    host.companions.append(backtests)
    host.companions.append(LedgerChecks(host))
    app = create_app(
        host,
        keys,
        imports=jobs,
        analytics=analytics,
        backtests=backtests,
        largest_body=settings.largest_body,
        webhooks=webhooks,
        webhook_secrets=settings.webhook_secrets,
    )
    return Service(host, app, new_keys)


def collect_seldom() -> None:
    """Let garbage be collected seldom, as suits a process that holds many contacts.

    What was loaded until now stays; and the contacts held in memory are no garbage to look through at each turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


def simulation(start: int) -> Simulation:
    """Return a simulation on the memory host whose clock stands at an instant (milliseconds)."""
    return Simulation(MemoryStore(), start)
