"""The web application: the ingest door in front, everything else behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from litestar import Litestar, Response, get
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.routes import HTTPRoute

import parcours
from parcours.analytics.service import Analytics
from parcours.errors import StoreError
from parcours.runtimes.backtest.jobs import Backtests
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.jobs import Jobs
from parcours.sources.webhooks import Webhook
from parcours.web.api import CONTROLLERS
from parcours.web.api.common import guard, scope_in
from parcours.web.api.failures import broken, failed, store_failed, too_deep
from parcours.web.auth import SCOPES, Keys
from parcours.web.bodies import Receive, Scope, Send
from parcours.web.doors import Doors, serves
from parcours.web.ingest import Ingest, is_ingest
from parcours.web.telemetry import CONTENT_TYPE, Telemetry


def guarded(api: Litestar) -> Iterator[tuple[str, str, str]]:
    """Yield method, path and scope of everything in the API that needs a key."""
    for route in api.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if guard in handler.resolve_guards():
                    for method in sorted(handler.http_methods - {"OPTIONS"}):
                        yield method, route.path_format, scope_in(handler, route.path_format, method)


def create_api(
    host: Embedded,
    keys: Keys,
    largest_body: int,
    imports: Jobs | None = None,
    analytics: Analytics | None = None,
    backtests: Backtests | None = None,
) -> Litestar:
    """Return the part of the application behind the doors."""
    telemetry = Telemetry(host, keys)

    @get("/healthz", summary="Is it up?", include_in_schema=True)
    async def healthz() -> Response[dict[str, Any]]:
        """Say whether the service does its work: 503 while the store fails, or when a part of it has ended.

        `waiting_for_provider` counts messages whose channel has no provider, by channel. It is no failure.
        """
        status, code = ("ok", 200) if host.healthy else ("failing", 503)
        try:
            waiting = host.unprovided
        except Exception:  # noqa: BLE001 (a store that fails is what this is asked about)
            waiting = {}
        answer = {"status": status, "version": parcours.__version__, "waiting_for_provider": waiting}
        return Response(answer, status_code=code)

    @get("/metrics", summary="Figures for Prometheus", media_type="text/plain")
    async def metrics() -> Response[bytes]:
        """Return counts since the process started."""
        return Response(telemetry.text(), media_type=CONTENT_TYPE)

    def configure(config: AppConfig) -> AppConfig:
        companions = {"imports": imports, "analytics": analytics, "backtests": backtests}
        config.state = State({"host": host, "keys": keys, **companions})
        return config

    return Litestar(
        route_handlers=[*CONTROLLERS, healthz, metrics],
        on_app_init=[configure],
        openapi_config=OpenAPIConfig(title="parcours", version=parcours.__version__, path="/schema"),
        request_max_body_size=largest_body,
        exception_handlers={
            HTTPException: failed,
            StoreError: store_failed,
            RecursionError: too_deep,
            Exception: broken,
        },
        logging_config=None,
    )


def create_app(
    host: Embedded,
    keys: Keys,
    *,
    largest_body: int,
    webhooks: Mapping[str, Webhook] | None = None,
    webhook_secrets: Mapping[str, str] | None = None,
    imports: Jobs | None = None,
    analytics: Analytics | None = None,
    backtests: Backtests | None = None,
) -> Any:
    """Return the ASGI application that serves a host. The caller starts and closes the host."""
    api = create_api(host, keys, largest_body, imports, analytics, backtests)
    keys.scopes = frozenset(SCOPES) | {scope for _, _, scope in guarded(api)}
    ingest = Ingest(host, keys, largest_body)
    doors = Doors(host, keys, largest_body, webhooks, webhook_secrets)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_ingest(scope["path"]):
            await ingest(scope, receive, send)
        elif scope["type"] == "http" and serves(scope["path"], scope["method"]):
            await doors(scope, receive, send)
        else:
            await api(scope, receive, send)  # type: ignore[arg-type]  # the framework's own names for the same shapes

    return app
