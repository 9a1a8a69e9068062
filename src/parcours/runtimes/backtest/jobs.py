"""The backtests of a service: asked for, run one after the other beside its work, and kept with what they came to."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from parcours.core.inputs import Publish
from parcours.errors import ParcoursError, Problem
from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import Job
from parcours.runtimes.backtest.report import BacktestReport
from parcours.runtimes.clocks import wall_time

MOST_KEPT = 100
"""Backtests that are kept; the oldest go."""

MOST_WAITING = 10

_ID = re.compile(r"[0-9a-f]{16}")
_log = structlog.get_logger(__name__)


class TooManyBacktestsError(ParcoursError):
    """Too many wait to be run."""

    code = "too_many_backtests"


class Request(msgspec.Struct, kw_only=True):
    """What is asked for: drafts, and with `against` others to compare them with."""

    job: Job
    against: Job | None = None
    zone: str = "UTC"


class Asked(msgspec.Struct, kw_only=True):
    """One backtest."""

    id: str
    created_at: int
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    request: Request
    report: BacktestReport | None = None
    against: BacktestReport | None = None
    problem: Problem | None = None
    """Why it failed."""


Run = Callable[[Job, str], BacktestReport]
"""Runs a job over everything recorded and reports by a zone's days. Called in a thread."""


class Backtests:
    """A companion of the host that runs backtests.

    Args:
        folder: Where they are kept, one file each.
        run: Runs one.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        self._folder = folder
        self._run = run
        self._waiting: asyncio.Queue[Asked] = asyncio.Queue()
        self._asked: dict[str, Asked] = {}
        self._checking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin. What was cut off by the end of the service before has failed."""
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                asked = msgspec.json.decode(path.read_bytes(), type=Asked)
                if asked.state in {"waiting", "running"}:
                    asked.state = "failed"
                    asked.problem = Problem(code="cut_off", message="the service was ended", hint="ask for it again")
                self._asked[asked.id] = asked
        self._task = asyncio.create_task(self._work(), name="backtests")

    async def close(self) -> None:
        """End; what runs is left to itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def check(self, job: Job, publications: Sequence[Publish]) -> None:
        """Find what is wrong with a job now, rather than when its turn has come. One after the other, in a thread.

        All that was ever published is gone through, and every instant of every schedule, while others are answered.

        Raises:
            InvalidDefinitionError: The drafts are not valid together with what is published.
            BacktestError: It cannot be run as it is asked for.
        """
        async with self._checking:
            await asyncio.to_thread(Backtest, job, publications)

    def ask(self, request: Request) -> Asked:
        """Take a backtest, to be run when those before it are done.

        Raises:
            TooManyBacktestsError: Too many wait.
        """
        if self._waiting.qsize() >= MOST_WAITING:
            raise TooManyBacktestsError(f"{MOST_WAITING} backtests wait already", hint="ask again when one is done")
        asked = Asked(id=secrets.token_hex(8), created_at=wall_time(), request=request)
        self._asked[asked.id] = asked
        self._keep(asked)
        self._waiting.put_nowait(asked)
        return asked

    def get(self, id_: str) -> Asked | None:
        """Return one."""
        return self._asked.get(id_) if _ID.fullmatch(id_) else None

    def all(self) -> list[Asked]:
        """Return those that are kept, the newest first."""
        return sorted(self._asked.values(), key=lambda asked: (asked.created_at, asked.id), reverse=True)

    async def _work(self) -> None:
        while True:
            asked = await self._waiting.get()
            asked.state = "running"
            try:
                request = asked.request
                asked.report = await asyncio.to_thread(self._run, request.job, request.zone)
                if request.against is not None:
                    asked.against = await asyncio.to_thread(self._run, request.against, request.zone)
                asked.state = "done"
            except ParcoursError as error:
                asked.state = "failed"
                asked.problem = Problem(code=error.code, message=error.message, hint=error.hint)
            except Exception as error:  # noqa: BLE001 (whatever it is, the next one is run)
                asked.state = "failed"
                asked.problem = Problem(code="internal_error", message=f"it failed: {type(error).__name__}")
                _log.exception("backtest_failed", backtest=asked.id)
            # What is applied to the past may be long.
            await asyncio.to_thread(self._keep, asked)
            self._forget()

    def _keep(self, asked: Asked) -> None:
        """Write one down; a disk that is full costs the copy, not the backtest."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = self._folder / f"{asked.id}.tmp"
            written.write_bytes(msgspec.json.encode(asked))
            written.replace(self._folder / f"{asked.id}.json")
        except OSError as error:
            _log.warning("backtest_not_kept", backtest=asked.id, error=str(error))

    def _forget(self) -> None:
        for asked in self.all()[MOST_KEPT:]:
            if asked.state in {"done", "failed"}:
                del self._asked[asked.id]
                with contextlib.suppress(OSError):
                    (self._folder / f"{asked.id}.json").unlink()


def shown(asked: Asked) -> dict[str, Any]:
    """Return a backtest as people see it: what was asked for without the definitions."""
    report = msgspec.structs.replace(asked.report, past=[]) if asked.report is not None else None
    found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(asked, report=report))
    if found["report"] is not None:
        del found["report"]["past"]
    for name in ("job", "against"):
        if (job := found["request"].get(name)) is not None:
            job["definitions"] = [f"{item.get('kind')} {item.get('name')}" for item in job["definitions"]]
    return found
