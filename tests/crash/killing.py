"""Clients that ask a service for one thing after the other, until it is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from tests.service import Service


async def until_killed(
    service: Service, clients: Sequence[Callable[[], Awaitable[int]]], enough: int, moment: float = 0.0
) -> None:
    """Let all clients ask, each again and again, and kill the service after so many answers and a moment.

    Args:
        service: It is killed, and has ended when this returns.
        clients: Each asks once, and returns how many answers that were.
        enough: So many answers of all of them.
        moment: Seconds.
    """
    count, killed = 0, False
    reached = asyncio.Event()

    async def work(ask: Callable[[], Awaitable[int]]) -> None:
        nonlocal count
        while not killed:
            try:
                count += await ask()
            except (aiohttp.ClientError, OSError):
                # It was killed, or let go of a connection that had nothing to do for a while.
                assert killed or service.process.poll() is None, "the service ended by itself"
                continue
            if count >= enough:
                reached.set()

    workers = [asyncio.create_task(work(ask)) for ask in clients]
    waiting = asyncio.create_task(reached.wait())
    # A worker ends before only when something is wrong, which it tells.
    done, _ = await asyncio.wait([waiting, *workers], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if waiting in done:
        await asyncio.sleep(moment)  # not to wait for anything: the moment of the kill is to be any
    killed = True
    service.process.kill()
    await asyncio.gather(*workers)
    await asyncio.to_thread(service.kill)
