"""What goes wrong around an import costs the import, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from parcours.core.gate import Arrival, Happened
from parcours.errors import StoreError
from parcours.ports import Changes
from parcours.runtimes import jobs as module
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Accepted
from parcours.runtimes.jobs import Job, Jobs, UploadError
from parcours.sources.files import drop_rejected
from parcours.stores.memory import MemoryStore
from parcours.testing.faults import FaultyStore
from parcours.wiring import open_import, watch_spec
from tests.imports.helper import engine_of
from tests.runtimes.waiting import until

SPEC = watch_spec("kind: interactions\nname: Bought\nidentities: {user_id: who}\ntypes: {total: number}\n")


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def job(**given: Any) -> Job:
    return Job(**{"id": "", "name": "sales.csv", "spec": SPEC, "size": 0, "created_at": 0} | given)


@pytest.fixture
async def jobs(tmp_path) -> AsyncIterator[Jobs]:
    host = Embedded(engine_of(MemoryStore()), {}, lambda _: {})
    made = Jobs(host, tmp_path / "imports", open_import, 1_000, drop_rejected)
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


async def test_the_mark_of_an_import_goes_with_its_job(jobs, monkeypatch):
    store = jobs._host.store
    store.commit(Changes(marks={"import:abc": "of the command line"}))
    removed = await jobs.finished((await jobs.take(job(), body(b"who,total\nann,1\n"))).id)
    old = await jobs.finished((await jobs.take(job(), body(b"who,total\nbob,1\n"))).id)
    assert sum(name.startswith("import:") for name in store.marks()) == 3
    async with jobs._host.turn:
        twice = [asyncio.create_task(jobs.remove(removed.id)) for _ in range(2)]
        await asyncio.sleep(0)
    await asyncio.gather(*twice)
    assert [name.endswith(old.id) for name in store.marks() if name.startswith("import:")] == [False, True]
    now = module.wall_time()
    monkeypatch.setattr(module, "wall_time", lambda: now + 31 * module.DAY)
    new = await jobs.finished((await jobs.take(job(), body(b"who,total\ncyd,1\n"))).id)
    marks = [name for name in store.marks() if name.startswith("import:")]
    assert [name.endswith(new.id) for name in marks] == [False, True]


async def test_a_store_that_fails_costs_neither_an_old_job_nor_the_next(jobs, monkeypatch):
    host = jobs._host
    old = await jobs.finished((await jobs.take(job(), body(b"who,total\nann,1\n"))).id)
    now = module.wall_time()
    faulty = FaultyStore(host.store)
    monkeypatch.setattr(host.engine, "store", faulty)
    faulty.fail("commit", StoreError("no space"))
    with pytest.raises(StoreError):
        await jobs.remove(old.id)
    faulty.fail("commit", StoreError("no space"))
    monkeypatch.setattr(module, "wall_time", lambda: now + 31 * module.DAY)
    new = await jobs.finished((await jobs.take(job(), body(b"who,total\nbob,1\n"))).id)
    assert new.state == "done"
    assert faulty.failed == 2
    await until(lambda: jobs.all() == [new])


async def test_how_far_an_import_came_is_read_in_turn(jobs, monkeypatch):
    host = jobs._host
    read = host.store.mark
    turns: list[bool] = []

    def mark(name: str) -> Any:
        turns.append(host.turn.locked())
        return read(name)

    monkeypatch.setattr(host.store, "mark", mark)
    await jobs.finished((await jobs.take(job(), body(b"who,total\nann,1\n"))).id)
    assert turns
    assert all(turns)


@pytest.mark.parametrize("text", [b"", b'{"id": 5}', b"\xff"])
async def test_a_job_whose_description_cannot_be_read_is_kept(jobs, tmp_path, text):
    folder = tmp_path / "imports"
    for name in ("broken", "cut"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(b"who,total\n")
    (folder / "broken" / "job.json").write_bytes(text)
    with capture_logs() as logs:
        jobs._take_up()
    assert [place.name for place in folder.iterdir()] == ["broken"]
    assert (folder / "broken" / "file").exists()
    assert [(line["event"], line["job"]) for line in logs] == [("import_unreadable", "broken")]
    assert jobs.all() == []


async def test_who_was_erased_while_a_file_waited_is_not_brought_back_by_it(jobs):
    host = jobs._host
    (outcome,) = await host.submit([Arrival("test", "1", (("user_id", "ann"),), Happened("Bought", {"total": 1}))])
    people = body(b"user_id,city\nann,Paris\nbob,Rome\n")
    async with host.turn:
        taken = await jobs.take(job(spec=watch_spec("kind: contacts\n"), name="people.csv"), people)
        host.engine.erase(outcome.contact)
    done = await jobs.finished(taken.id)
    assert (done.tally.accepted, done.tally.rejected) == (1, 1)
    assert host.store.resolve([("user_id", "ann")]) == {}


CONTACTS = watch_spec("kind: contacts\nidentities: {email: mail, user_id: who}\ntypes: {age: number}\n")


async def test_of_rejected_rows_those_of_who_is_erased_go_and_no_others(jobs):
    host = jobs._host
    rows = (
        b'mail,who,age\nann@example.com,,1\nANN@example.com ,,"x\xe2\x80\xa8\n1"\nbob@example.com,,y\n'
        b'cyd@example.com,ann@example.com,z\n"tell ann@example.com",,w\n'
    )
    taken = await jobs.finished((await jobs.take(job(spec=CONTACTS, created_at=1), body(rows))).id)
    assert (taken.tally.accepted, taken.tally.rejected) == (1, 4)
    before = jobs.rejected(taken).read_text("utf-8-sig")
    ann = host.store.resolve([("email", "ann@example.com")])["email", "ann@example.com"]
    taken.created_at = 0  # the test's clock is not the machine's
    await host.erase(ann)
    after = jobs.rejected(taken).read_text("utf-8-sig")
    assert "ANN" not in after
    assert after == before.replace(before[before.index("3,") : before.index("5,")], "")
    assert len(after.splitlines()) == 1 + 3


async def test_a_file_of_rejected_rows_goes_with_its_last_row(jobs):
    host = jobs._host
    await host.submit([Arrival("test", "1", (("user_id", "ann"),), Happened("Seen", {}))])
    lines = b'{"who": "ann", "total": "x"}\n'
    taken = await jobs.finished((await jobs.take(job(name="sales.jsonl"), body(lines))).id)
    assert taken.tally.rejected == 1
    taken.created_at = 0
    await host.erase(host.store.resolve([("user_id", "ann")])["user_id", "ann"])
    assert jobs.rejected(taken) is None


async def test_rejected_rows_of_who_was_erased_go_at_the_next_start_at_the_latest(jobs, monkeypatch):
    host = jobs._host
    (ann,) = await host.submit([Arrival("test", "1", (("user_id", "ann"),), Happened("Seen", {}))])
    taken = await jobs.finished((await jobs.take(job(), body(b"who,total\nann,x\nbob,y\n"))).id)
    taken.created_at = 0
    monkeypatch.setattr(host, "after_erasure", None)  # a kill in between
    await host.erase(ann.contact)
    assert "ann" in jobs.rejected(taken).read_text()
    await jobs.forget()
    assert "ann" not in jobs.rejected(taken).read_text()
    assert "bob" in jobs.rejected(taken).read_text()
