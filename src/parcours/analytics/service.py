"""The analytics database beside a running engine: it follows by itself, and a question waits until it has followed.

The store belongs to the engine's host. It is read in its turn and in slices, so that what arrives is held up for a
slice at most; everything DuckDB does is done in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from parcours.analytics.duckdb_store import DuckdbAnalytics
from parcours.analytics.questions import Group, TooFarAheadError, count
from parcours.analytics.rows import Slice
from parcours.analytics.sql import UnanswerableError
from parcours.conditions import ast
from parcours.errors import ParcoursError
from parcours.ports import Clock, Store

SLICE = 5_000
"""Records of the log that are read in one turn."""

LOOK_SECONDS = 1.0
"""Seconds between looks for what is new, so that a question finds little left to do."""

BUSY = 2_000
"""Records between two looks from which on the service is busy."""

FAR_BEHIND = 500_000
"""Records that may wait while the service is busy; a question takes them over first, whatever they are."""

SIZES_EVERY = 3_600_000
"""Milliseconds between looks at how large every segment is."""

LONGEST_SECONDS = 60.0
"""Seconds after which a question is given up, for others wait."""

COMPACT_SECONDS = 3_600.0
"""Seconds between two times the file is written anew for what was erased."""

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Analytics:
    """Answers questions about all contacts of a host. It runs as long as the host does.

    Args:
        database: The file, open; it is closed with this.
        store: The host's.
        turn: Held by whoever uses the store.
        ready: Makes the store's states whole; called in turn.
        clock: The host's.
        segments: Returns the condition of each segment in force.
    """

    def __init__(
        self,
        database: DuckdbAnalytics,
        *,
        store: Store,
        turn: asyncio.Lock,
        ready: Callable[[], None],
        clock: Clock,
        segments: Callable[[], Mapping[str, ast.Node]],
    ) -> None:
        self.database = database
        self._store = store
        self._turn = turn
        self._ready = ready
        self._clock = clock
        self._segments = segments
        self._asking = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parcours-analytics")
        self._task: asyncio.Task[None] | None = None
        self._compact_at = 0.0
        self._look_at = 0
        self._seen = 0

    @property
    def behind(self) -> int:
        """How many records of the log are not in the tables yet."""
        return max(0, self._store.last_position() - self.database.position)

    async def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run(), name="analytics")

    async def close(self) -> None:
        """End; what is not in the tables yet comes into them at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await asyncio.get_running_loop().run_in_executor(self._thread, self.database.close)
        self._thread.shutdown()

    async def ask(self, question: Callable[[DuckdbAnalytics], T]) -> T:
        """Return the answer to a question; it takes account of everything that was acknowledged before it was asked.

        Raises:
            AnalyticsError: It cannot be answered now.
            UnanswerableError: It cannot be answered at all.
        """
        until = self._store.last_position()
        async with self._asking:
            await self._follow(until)
            limit = asyncio.get_running_loop().call_later(LONGEST_SECONDS, self.database.interrupt)
            try:
                return await self._do(lambda: question(self.database))
            finally:
                limit.cancel()

    async def rebuild(self) -> None:
        """Begin again at the beginning of the log. Questions wait until everything is there."""
        async with self._asking:
            await self._do(self.database.reset)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _follow(self, until: int, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Take over what there is up to a position of the log, and what came of it. Goes no further once it is to `stop`.

        It does not go after what arrives meanwhile: while much arrives, that would have no end.
        """
        while True:
            async with self._turn:
                self._ready()
                same = self.database.follows(self._store)
                found = self.database.read(self._store, SLICE, until) if same else None
            if not same:
                _log.warning("analytics_begin_again", hint="the log is not the one that was followed")
                await self._do(self.database.reset)
                continue
            if found is None:
                return
            await self._do(lambda found=found: self._feed(found))  # type: ignore[misc]  # its type is known
            # A slice that somebody else took over meanwhile, who was cancelled while it was fed, is left alone.
            if stop() or (found.whole and self.database.place == found.upto):
                return

    def _feed(self, found: Slice) -> None:
        self.database.feed(found)

    async def _run(self) -> None:
        failed = False
        while True:
            try:
                await self._look()
                failed = False
            except ParcoursError as error:
                if not failed:
                    _log.error("analytics_failed", hint=error.hint, exc_info=error)
                failed = True
            except Exception:  # noqa: BLE001 (whatever it is, questions may still be answered)
                if not failed:
                    with contextlib.suppress(Exception):
                        _log.exception("analytics_failed")
                failed = True
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        last = self._store.last_position()
        busy, self._seen = last - self._seen >= BUSY, last
        if busy and self.behind < FAR_BEHIND:
            return  # whoever sends is served first; what is left waits for a calmer moment, or for a question

        def now_busy() -> bool:
            return busy or self._store.last_position() - last >= BUSY

        async with self._asking:
            # While it is busy, one slice: enough not to fall behind without an end.
            await self._follow(last, stop=now_busy)
        if now_busy():
            return
        if self.database.dirty and time.monotonic() >= self._compact_at:
            self._compact_at = time.monotonic() + COMPACT_SECONDS
            async with self._asking:
                await self._do(self.database.compact)
        now = self._clock.now()
        if now >= self._look_at:
            self._look_at = now - now % SIZES_EVERY + SIZES_EVERY
            for name in list(self._segments()):
                await self._measure(name)

    async def _measure(self, name: str) -> None:
        """Note how large a segment is by what is in the tables; one that cannot be asked of everybody has no size."""
        segments, now = self._segments(), self._clock.now()
        if name not in segments:
            return

        def measure() -> None:
            with contextlib.suppress(UnanswerableError, TooFarAheadError):
                group = Group(segments[name], segments, now).since(self.database.as_of)
                self.database.note_size(name, group.now, count(self.database, group))

        async with self._asking:
            await self._do(measure)
