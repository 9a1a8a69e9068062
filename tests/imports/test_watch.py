"""Files that appear in a watched folder are imported once and put away, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from parcours.runtimes.embedded import Embedded
from parcours.runtimes.jobs import Jobs
from parcours.runtimes.watch import Watch
from parcours.sources.files import drop_rejected
from parcours.stores.memory import MemoryStore
from parcours.wiring import open_import, watch_spec
from tests.imports.helper import engine_of
from tests.imports.servers import SftpServer, s3

SPEC = "kind: interactions\nname: Bought\nidentities: {user_id: who}\ntypes: {total: number}\n"


class Place:
    """A watched folder with a service behind it; looks only when asked to."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.fs, self.root = fsspec.url_to_fs(url)
        self.fs.makedirs(self.root, exist_ok=True)
        self.store = MemoryStore()
        self.engine = engine_of(self.store)
        self._data = data

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Watch]:
        host = Embedded(self.engine, {}, lambda _: {})
        self.jobs = Jobs(host, self._data / "imports", open_import, 10_000_000, drop_rejected)
        await host.start()
        await self.jobs.start()
        try:
            yield Watch(self.jobs, self.url, 60, watch_spec)
        finally:
            await self.jobs.close()
            host._closing = True
            host._wake.set()
            await asyncio.wait([host._task])
            await host.outbox.close()

    def put(self, name: str, text: str) -> None:
        self.fs.pipe_file(f"{self.root}/{name}", text.encode())

    def text(self, name: str) -> str:
        return self.fs.cat_file(f"{self.root}/{name}").decode()

    def names(self) -> list[str]:
        found = (name.removeprefix(self.root).lstrip("/") for name in self.fs.find(self.root))
        return sorted(name for name in found if name)

    async def through(self, watch: Watch) -> None:
        """Look until nothing is under way."""
        for _ in range(3):
            await watch.look()
            for job in self.jobs.all():
                await self.jobs.finished(job.id)
        await watch.look()


@pytest.fixture(params=["folder", "memory", "sftp", "s3"])
def place(request, tmp_path) -> Iterator[Place]:
    """The same on a disk, in memory, and on real servers for SFTP and S3."""
    data = tmp_path / "data"
    if request.param == "folder":
        yield Place(str(tmp_path / "in"), data)
    elif request.param == "memory":
        yield Place(f"memory://{uuid4()}/in", data)
    elif request.param == "sftp":
        server = request.getfixturevalue("sftp_server")
        yield Place(f"{server.url}/{uuid4()}/in", data)
    else:
        request.getfixturevalue("s3_server")
        yield Place(f"s3://bucket/{uuid4()}/in", data)


@pytest.fixture(scope="module")
def sftp_server(tmp_path_factory) -> Iterator[SftpServer]:
    server = SftpServer(tmp_path_factory.mktemp("sftp"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, s3(patch, "bucket") as address:
        yield address


async def test_a_file_is_imported_and_put_away_with_its_rejected_rows_beside(place):
    place.put("sales.csv", "who,total\nann,1\nbob,much\n")
    place.put("sales.csv.import.yaml", SPEC)
    async with place.running() as watch:
        await place.through(watch)
    assert place.names() == ["done/sales.csv", "done/sales.csv.import.yaml", "rejected/sales.csv.rejected.csv"]
    assert "bob,much" in place.text("rejected/sales.csv.rejected.csv")
    assert place.store.counts()["records"] == 2


async def test_a_file_that_still_grows_is_left_alone(place):
    async with place.running() as watch:
        place.put("contacts-1.csv", "user_id,plan\nann,")
        await watch.look()
        place.put("contacts-1.csv", "user_id,plan\nann,gold\n")
        await watch.look()
        assert place.jobs.all() == []
        await place.through(watch)
        assert place.names() == ["done/contacts-1.csv"]
        place.put("contacts-2.csv", "user_id,plan\nbob,gold\n")
        place.put("contacts-2.csv.ready", "")
        await watch.look()
        assert place.jobs.all()[0].name == "contacts-2.csv"
        await place.through(watch)
    assert place.names() == ["done/contacts-1.csv", "done/contacts-2.csv"]


async def test_a_list_of_patterns_says_how_files_are_read(place):
    place.put("import.yaml", f'- files: "orders-*.csv"\n  {"  ".join(SPEC.splitlines(keepends=True))}')
    place.put("orders-1.csv", "who,total\nann,1\n")
    place.put("other.csv", "who,total\nann,1\n")
    place.put("orders-2.csv.part", "who")
    async with place.running() as watch:
        await place.through(watch)
    assert place.names() == [
        "done/orders-1.csv", "import.yaml", "orders-2.csv.part", "rejected/other.csv", "rejected/other.csv.problem.txt",
    ]  # fmt: skip
    assert "nothing says" in place.text("rejected/other.csv.problem.txt")


async def test_a_file_that_cannot_be_read_is_put_away_with_the_reason(place):
    place.put("sales.csv", "a,b\n1,2\n")
    place.put("sales.csv.import.yaml", SPEC)
    place.put("contacts-empty.csv", "")
    async with place.running() as watch:
        await place.through(watch)
    assert [name for name in place.names() if name.endswith(".txt")] == [
        "rejected/contacts-empty.csv.problem.txt", "rejected/sales.csv.problem.txt",
    ]  # fmt: skip
    assert "'who'" in place.text("rejected/sales.csv.problem.txt")


async def test_a_name_that_comes_again_overwrites_nothing(place):
    async with place.running() as watch:
        for plan in ("gold", "silver"):
            place.put("contacts-1.csv", f"user_id,plan\nann,{plan}\n")
            await place.through(watch)
    names = place.names()
    assert len(names) == 2
    assert "done/contacts-1.csv" in names
    assert place.text("done/contacts-1.csv").endswith("gold\n")


@pytest.mark.parametrize("moment", range(6))
async def test_a_kill_at_any_moment_is_followed_by_what_was_left_to_do(place, monkeypatch, moment):
    place.put("sales.csv", "who,total\nann,1\nbob,much\n")
    place.put("sales.csv.import.yaml", SPEC)

    class Killed(BaseException):
        pass

    left = moment

    def counting(work: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return work(*given, **named)

        return counted

    kind = type(place.fs)
    async with place.running() as watch:
        for name in ("mv", "put_file", "pipe_file", "rm_file"):
            monkeypatch.setattr(kind, name, counting(getattr(kind, name)))
        with contextlib.suppress(Killed):
            await place.through(watch)
    monkeypatch.undo()
    async with place.running() as watch:
        await place.through(watch)
    assert place.names() == ["done/sales.csv", "done/sales.csv.import.yaml", "rejected/sales.csv.rejected.csv"]
    assert place.store.counts()["records"] == 2


@pytest.mark.parametrize("ready", [False, True])
async def test_the_next_file_of_a_name_that_comes_while_the_first_is_imported_is_imported_too(place, ready):
    def send(text: str) -> None:
        place.put("sales.csv.import.yaml", SPEC)
        place.put("sales.csv", text)
        if ready:
            place.put("sales.csv.ready", "")

    async with place.running() as watch:
        send("who,total\nann,1\n")
        while not place.jobs.all():
            await watch.look()
        await place.jobs.finished(place.jobs.all()[0].id)
        await asyncio.sleep(0.02)
        send("who,total\nbob,2\ncyd,3\n")
        await place.through(watch)
        await place.through(watch)
        second = place.jobs.all()[0].id
    assert place.names() == [
        f"done/sales-{second}.csv", f"done/sales-{second}.csv.import.yaml", "done/sales.csv", "done/sales.csv.import.yaml",
    ]  # fmt: skip
    assert place.text("done/sales.csv") == "who,total\nann,1\n"
    assert place.text(f"done/sales-{second}.csv") == "who,total\nbob,2\ncyd,3\n"
    assert watch_spec(place.text("done/sales.csv.import.yaml")) == watch_spec(SPEC)
    assert place.store.counts()["records"] == 4


async def test_a_description_that_comes_ahead_of_the_next_file_is_left_for_it(place):
    place.put("sales.csv", "who,total\nann,1\n")
    place.put("sales.csv.import.yaml", SPEC)
    async with place.running() as watch:
        while not place.jobs.all():
            await watch.look()
        await place.jobs.finished(place.jobs.all()[0].id)
        place.put("sales.csv.import.yaml", SPEC.replace("who", "buyer"))
        await place.through(watch)
    assert place.names() == ["done/sales.csv", "done/sales.csv.import.yaml", "sales.csv.import.yaml"]
    assert "buyer" in place.text("sales.csv.import.yaml")
    assert watch_spec(place.text("done/sales.csv.import.yaml")) == watch_spec(SPEC)


async def test_a_file_that_changes_while_it_is_copied_is_left_alone(place, monkeypatch):
    place.put("contacts-1.csv", "user_id,plan\nann,gold\n")
    async with place.running() as watch:
        copied = watch._body

        async def changing(job: Any) -> AsyncIterator[bytes]:
            place.put("contacts-1.csv", "user_id,plan\nann,silver\n")
            async for block in copied(job):
                yield block

        monkeypatch.setattr(watch, "_body", changing)
        await watch.look()
        await watch.look()
        assert place.jobs.all() == []
        assert place.names() == ["contacts-1.csv"]
        monkeypatch.undo()
        await place.through(watch)
    assert place.names() == ["done/contacts-1.csv"]


async def test_a_file_that_is_refused_is_left_when_it_is_another_by_then(place, monkeypatch):
    place.put("contacts-1.csv", "")
    async with place.running() as watch:
        free = watch._free

        def late(*given: str) -> str:
            place.put("contacts-1.csv", "user_id,plan\nann,gold\n")
            return free(*given)

        monkeypatch.setattr(watch, "_free", late)
        await watch.look()
        await watch.look()
        assert place.names() == ["contacts-1.csv"]
        monkeypatch.undo()
        await place.through(watch)
    assert place.names() == ["done/contacts-1.csv"]


async def test_a_server_that_was_away_is_found_again(tmp_path, sftp_server, monkeypatch):
    place = Place(f"{sftp_server.url}/{uuid4()}/in", tmp_path / "data")
    place.put("contacts-1.csv", "user_id,plan\nann,gold\n")
    connect, tries = fsspec.url_to_fs, 0

    def connecting(url: str, **more: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 2:
            sftp_server.start()
        return connect(url, **more)

    async with place.running() as watch:
        put_away = asyncio.Event()
        file = watch._file

        async def filing(job: Any) -> None:
            await file(job)
            put_away.set()

        monkeypatch.setattr(watch, "_file", filing)
        monkeypatch.setattr(fsspec, "url_to_fs", connecting)
        watch._seconds = 0.01
        sftp_server.stop()
        await watch.start()
        await put_away.wait()
        await watch.close()
    assert tries == 2
    place.fs, _ = connect(place.url, skip_instance_cache=True)
    assert place.names() == ["done/contacts-1.csv"]
    assert place.store.counts()["contacts"] == 1
