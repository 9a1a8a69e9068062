"""What goes wrong around an import costs the import, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parcours.core.gate import Arrival, Happened
from parcours.runtimes import jobs as module
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Accepted
from parcours.runtimes.jobs import Job, Jobs, UploadError
from parcours.stores.memory import MemoryStore
from parcours.wiring import open_import, watch_spec
from tests.imports.helper import engine_of

SPEC = watch_spec("kind: interactions\nname: Bought\nidentities: {user_id: who}\ntypes: {total: number}\n")


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def job(**given: Any) -> Job:
    return Job(**{"id": "", "name": "sales.csv", "spec": SPEC, "size": 0, "created_at": 0} | given)


@pytest.fixture
async def jobs(tmp_path) -> AsyncIterator[Jobs]:
    host = Embedded(engine_of(MemoryStore()), {}, lambda _: {})
    made = Jobs(host, tmp_path / "imports", open_import, 1_000)
    host.companions.append(made)
    await host.start()
    yield made
    await host.close()


async def test_a_disk_that_is_full_is_told_and_nothing_is_left(jobs, tmp_path, monkeypatch):
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_sync", full)
    with pytest.raises(UploadError, match="No space left") as told:
        await jobs.take(job(), body(b"who,total\n", b"ann,1\n"))
    assert told.value.status == 507
    assert list((tmp_path / "imports").iterdir()) == []
    with pytest.raises(UploadError, match="larger"):
        await jobs.take(job(), body(b"x" * 1_001))
    monkeypatch.undo()
    with pytest.raises(UploadError, match="empty"):
        await jobs.take(job(), body())
    assert list((tmp_path / "imports").iterdir()) == []


async def test_rejected_rows_that_cannot_be_written_fail_the_import_and_nothing_else(jobs, tmp_path):
    host = jobs._host
    async with host.turn:
        taken = await jobs.take(job(), body(b"who,total\nann,1\nbob,x\n"))
        (tmp_path / "imports" / taken.id / "rejected.csv").mkdir()
        live = asyncio.create_task(host.submit([Arrival("web", "1", (("user_id", "eve"),), Happened("Bought", {}))]))
        await asyncio.sleep(0.2)
    assert isinstance((await live)[0], Accepted)
    done = await jobs.finished(taken.id)
    assert done.state == "failed"
    assert "cannot be written" in done.problem.message
    assert host.healthy
    # The row that was taken stays, and is known when it comes again.
    (tmp_path / "imports" / taken.id / "rejected.csv").rmdir()
    again = await jobs.finished((await jobs.take(job(), body(b"who,total\nann,1\nbob,x\n"))).id)
    assert (again.state, again.tally.duplicates, again.tally.rejected) == ("done", 1, 1)


async def test_an_old_job_is_forgotten_with_its_rejected_rows(jobs, tmp_path, monkeypatch):
    old = await jobs.finished((await jobs.take(job(), body(b"who,total\nann,x\n"))).id)
    assert jobs.rejected(old) is not None
    now = module.wall_time()
    monkeypatch.setattr(module, "wall_time", lambda: now + 31 * module.DAY)
    new = await jobs.finished((await jobs.take(job(), body(b"who,total\nann,1\n"))).id)
    assert [one.id for one in jobs.all()] == [new.id]
    assert [place.name for place in (tmp_path / "imports").iterdir()] == [new.id]
