"""`parcours serve`: the service, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO, cast

import structlog
import typer

from parcours.cli.console import OUT
from parcours.errors import ParcoursError
from parcours.wiring import Service, build, collect_seldom, settings_from


def serve(
    data: Annotated[Path | None, typer.Option(help="The folder in which everything is kept. [parcours-data]")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one. [8700]")] = None,
    clock: Annotated[
        str | None, typer.Option(help="system, or inputs: time follows the inputs (for rehearsals). [system]")
    ] = None,
    smtp_url: Annotated[str | None, typer.Option(help="The mail server, smtp://HOST:PORT.")] = None,
    sender: Annotated[str | None, typer.Option(help="Who mails are from.")] = None,
    push_url: Annotated[str | None, typer.Option(help="Where push notifications are posted to.")] = None,
    webhook_allow: Annotated[
        str | None,
        typer.Option(help="Hosts in private networks that journeys may call: HOST or HOST:PORT, with commas."),
    ] = None,
    secrets_folder: Annotated[
        str | None, typer.Option(help="A folder whose files are secrets that calls of webhooks carry.")
    ] = None,
    secrets_hosts: Annotated[
        str | None, typer.Option(help="The only hosts that secrets may be sent to: NAME=HOST, with commas; * is any.")
    ] = None,
    push_token: Annotated[str | None, typer.Option(help="The push provider's bearer token.")] = None,
    write_key: Annotated[str | None, typer.Option(help="The key that may send interactions.")] = None,
    secret_key: Annotated[str | None, typer.Option(help="The key that may use the API.")] = None,
    largest_body: Annotated[int | None, typer.Option(help="Bytes a request body may have. [4194304]")] = None,
    largest_upload: Annotated[
        int | None, typer.Option(help="Bytes a file may have that is uploaded to be imported. [2147483648]")
    ] = None,
    watch: Annotated[str | None, typer.Option(help="A folder, or its URL, whose files are imported.")] = None,
    analytics_memory: Annotated[
        str | None, typer.Option(help="Memory for questions about all contacts. [512MB]")
    ] = None,
    analytics_threads: Annotated[int | None, typer.Option(help="Threads for such a question. [2]")] = None,
    watch_seconds: Annotated[float | None, typer.Option(help="Seconds between looks into it. [60]")] = None,
) -> None:
    """Start the service. Every option is also an environment variable, such as PARCOURS_PORT."""
    settings = settings_from(locals())
    _log_to_stderr()
    service = build(settings)
    for kind, key in service.new_keys.items():
        OUT.print(f"{kind} key (shown once, keep it): {key}", markup=False, soft_wrap=True)
    listener = _listen(settings.host, settings.port)
    import uvloop

    uvloop.run(_serve(service, listener))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that event loops know the connections for TCP and turn Nagle's algorithm off.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, UnicodeError) as error:
        listener.close()
        ours = isinstance(error, OSError) and error.errno in {errno.EADDRINUSE, errno.EACCES}
        why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
        raise ParcoursError(
            f"cannot listen on {host}:{port}: {why}",
            hint="choose another --port" if ours else "--host is an address of this machine, such as 127.0.0.1",
        ) from None
    return listener


async def _serve(service: Service, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        service.app,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
    )

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave signals alone: uvicorn's own way sends itself the signal again, before the host is closed."""
            yield

    server = Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    collect_seldom()
    await service.host.start()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110 (the server has no event to wait for)
        await asyncio.sleep(0.005)
    host, port = listener.getsockname()[:2]
    try:
        with contextlib.suppress(OSError, ValueError):
            print(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        await serving
    finally:
        await service.host.close()
        gc.unfreeze()  # else libraries in C complain at the end of what nobody let go of


def _log_to_stderr() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


class _StandardError:
    """Standard error, at once and without an end: what cannot be written (a full disk, a closed pipe) is lost."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            os.write(_STANDARD_ERROR, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        pass


_STANDARD_ERROR = 2
