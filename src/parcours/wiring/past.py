"""Backtests over what is recorded in a folder, also of a service that runs."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import Counts, Job, Shortage
from parcours.runtimes.backtest.person import run as run_people
from parcours.runtimes.backtest.report import BacktestReport, report_of
from parcours.runtimes.backtest.stock import with_shortages
from parcours.stores.past import SqlitePast
from parcours.wiring.settings import SettingsError

SMALL_PAST = 20_000
"""Records up to which a backtest is run in this process, since others take longer to begin."""


def backtest(data: Path, job: Job, zone: str = "UTC", processes: int = 2) -> BacktestReport:
    """Run a backtest over what is recorded in a folder, also of a service that runs.

    Raises:
        SettingsError: There is no store.
        BacktestError: It cannot be run as it was asked for.
        InvalidDefinitionError: The drafts are not valid.
        StoreError: The store cannot be read.
    """
    started = time.monotonic()
    path = data / "parcours.db"
    if not path.is_file():
        raise SettingsError(f"there is no store in {data}", hint="--data is the folder that parcours serve has")
    past = SqlitePast(path)
    try:
        made = Backtest(job, past.publications())
        alone = made.purse is not None or past.last_position() <= SMALL_PAST
        if processes < 2 or alone:  # noqa: PLR2004 (as many as make a difference)
            counts, left = with_shortages(
                made,
                past,
                lambda known: run_people(Backtest(job, past.publications(), known), past.people(0, 1)),
            )
        else:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                counts, left = with_shortages(made, past, partial(_backtest_shares, pool, path, job, processes))
    finally:
        past.close()
    report = report_of(made, counts, zone, left)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _backtest_shares(
    pool: ProcessPoolExecutor, path: Path, job: Job, processes: int, shortages: Sequence[Shortage]
) -> Counts:
    counts = Counts()
    known = list(shortages)
    shares = [pool.submit(_backtest_share, path, job, known, share, processes) for share in range(processes)]
    for share in shares:
        counts.add(share.result())
    return counts


def _backtest_share(path: Path, job: Job, shortages: Sequence[Shortage], share: int, shares: int) -> Counts:
    """Run a share of all people; in a process of its own, which leaves the processor to a service that runs."""
    with contextlib.suppress(OSError):
        os.nice(5)
    gc.freeze()
    past = SqlitePast(path)
    try:
        return run_people(Backtest(job, past.publications(), shortages), past.people(share, shares))
    finally:
        past.close()
