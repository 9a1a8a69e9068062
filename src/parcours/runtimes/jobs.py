"""Imports in a running service: files that were uploaded or found, read one after the other.

Each has a folder of its own in the data folder: `job.json`, `file`, and `rejected.csv` (or `.jsonl`). A job whose
description is not there was never taken. After a kill a job goes on where its mark says (see `importer`). The file goes
once it was read, the rejected rows stay for `KEPT_DAYS`, and the description and the mark as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import structlog

from parcours.definitions.workspace import Workspace
from parcours.errors import ParcoursError, Problem
from parcours.ports import Changes
from parcours.runtimes.clocks import wall_time
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.importer import MARK, Importer, Progress, Rehearsal, RejectFile, Rows, Tally, progress_in

KEPT_DAYS = 30
"""Days for which the rejected rows of a job, and the job, are kept after it."""

DAY = 86_400_000

State = Literal["waiting", "running", "done", "failed", "cancelled"]

_log = structlog.get_logger(__name__)


class Opened(NamedTuple):
    """A file that is ready to be imported."""

    rows: Rows
    rejects: RejectFile | None
    fingerprint: str
    found: dict[str, Any]
    """What is known of the file, as plain data."""


class Opener(Protocol):
    """Opens files."""

    def __call__(
        self, path: Path, spec: Mapping[str, Any], workspace: Workspace, *, name: str, rejects: Path | None
    ) -> Opened:
        """Return a file that is ready to be imported as a description says.

        Raises:
            ParcoursError: It cannot be read so.
        """
        ...


class Dropper(Protocol):
    """Takes rows out of files of rejected rows."""

    def __call__(self, path: Path, found: Mapping[str, Any], erased: Callable[[str, str], bool]) -> int:
        """Take out the rows with an identity for which `erased` is true, and return how many there were.

        Raises:
            OSError: The file is as it was.
        """
        ...


class Job(msgspec.Struct, kw_only=True):
    """One import."""

    id: str
    name: str
    spec: dict[str, Any]
    size: int
    created_at: int
    state: State = "waiting"
    dry_run: bool = False
    learn: bool = False
    create: bool = False
    origin: str = ""
    """The file's name in the watched folder; empty for an upload."""
    taken: dict[str, tuple[int, str]] = {}
    """There, the state of the file and of what lay beside it when it was copied, by what follows its name."""
    finished_at: int | None = None
    place: int = 0
    """Bytes that were read so far."""
    tally: Tally = msgspec.field(default_factory=Tally)
    problem: Problem | None = None
    """Why it failed."""
    found: dict[str, Any] = {}
    """What is known of the file: its format, its columns, and how that was decided."""
    examples: list[Any] = []
    """Of a dry run: what the first rows would become."""
    target: str = ""
    """What its file is called where it is put away in the watched folder."""
    filed: bool = False
    """Whether what is left of it in the watched folder was put away."""


class UnknownJobError(ParcoursError):
    """There is no such import."""

    code = "unknown_import"


class UploadError(ParcoursError):
    """A file was not taken."""

    code = "upload_failed"

    def __init__(self, message: str, *, hint: str = "", status: int = 400) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Jobs:
    """Takes files and imports them, one after the other, for as long as the host runs.

    Args:
        host: Where they go.
        folder: Where jobs are kept.
        open_file: Opens files.
        largest: Bytes a file may have.
        drop_rows: Takes the rows of contacts that are erased out of rejected rows.
    """

    def __init__(self, host: Embedded, folder: Path, open_file: Opener, largest: int, drop_rows: Dropper) -> None:
        self.largest = largest
        self._drop_rows = drop_rows
        self._forgetting = asyncio.Lock()
        host.after_erasure = self.forget
        self._host = host
        self._folder = folder
        self._open = open_file
        self._jobs: dict[str, Job] = {}
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: tuple[str, asyncio.Task[None]] | None = None
        self._closing = False

    # --- what there is --------------------------------------------------------------------------------------------

    def all(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return sorted(self._jobs.values(), key=_age, reverse=True)

    def job(self, id_: str) -> Job:
        """Return one job.

        Raises:
            UnknownJobError: There is none of this id.
        """
        if id_ not in self._jobs:
            raise UnknownJobError(f"there is no import {id_[:80]!r}")
        return self._jobs[id_]

    def rejected(self, job: Job) -> Path | None:
        """Return the file of a job's rejected rows, if there are any."""
        return next((path for path in self._place(job.id).glob("rejected.*") if path.stat().st_size), None)

    def file(self, job: Job) -> Path | None:
        """Return the file of a job, as long as it is kept."""
        path = self._place(job.id) / "file"
        return path if path.is_file() else None

    def _place(self, id_: str) -> Path:
        return self._folder / id_

    # --- files come in --------------------------------------------------------------------------------------------

    async def take(self, job: Job, body: AsyncIterator[bytes]) -> Job:
        """Write a file and let it be imported; what `job` says of its id, size and times is set here.

        Raises:
            UploadError: It is too large or empty, or cannot be written. Nothing of it is left.
        """
        id_ = secrets.token_hex(6)
        place = self._place(id_)
        size = 0
        try:
            place.mkdir(mode=0o700, parents=True)
            with (place / "file").open("xb") as file:
                async for part in body:
                    size += len(part)
                    self._check(size)
                    await asyncio.to_thread(file.write, part)
                await asyncio.to_thread(_sync, file)
            self._check(size, whole=True)
            job = msgspec.structs.replace(job, id=id_, size=size, created_at=wall_time())
            self._keep(job)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise UploadError(
                f"the file cannot be kept: {error.strerror}", hint="free some space", status=507
            ) from error
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        self._jobs[id_] = job
        self._wake.set()
        return job

    def _check(self, size: int, *, whole: bool = False) -> None:
        if size > self.largest:
            hint = "import it with the service stopped, or raise largest_upload"
            raise UploadError(f"the file is larger than {self.largest} bytes", hint=hint, status=413)
        if whole and not size:
            raise UploadError("the file is empty", hint="send it as the body of the request")

    def _keep(self, job: Job) -> None:
        """Write a job's description, durably and at once."""
        place = self._place(job.id) / "job.json"
        new = place.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(job))
            _sync(file)
        new.replace(place)

    def keep(self, job: Job) -> None:
        """Write a job's description; a disk that is full costs no more than that a restart does not know of it."""
        try:
            self._keep(job)
        except OSError as error:
            _log.warning("import_not_noted", job=job.id, error=error.strerror)

    async def remove(self, id_: str) -> Job:
        """Cancel a job that is not finished, or remove one that is. What was imported stays.

        Raises:
            UnknownJobError: There is none of this id.
            StoreError: Its mark cannot be removed; it stays.
        """
        job = self.job(id_)
        if job.state in _OPEN:
            if self._running is not None and self._running[0] == id_:
                self._running[1].cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([self._running[1]])
            if job.state in _OPEN:
                self._finish(job, "cancelled")
        else:
            await self._drop([id_])
        return job

    async def _drop(self, ids: Collection[str]) -> None:
        """Remove jobs that are finished: their marks first, so that none is left without its job."""
        async with self._host.turn:
            store = self._host.store
            gone = [name for name in store.marks() if name.startswith(MARK) and name.rpartition(":")[2] in ids]
            if gone:
                store.commit(Changes(marks=dict.fromkeys(gone)))
        for id_ in ids:
            self._jobs.pop(id_, None)
            await asyncio.to_thread(shutil.rmtree, self._place(id_), ignore_errors=True)

    async def forget(self) -> None:
        """Take rows of contacts that were erased since their file was handed over out of the rejected rows."""
        async with self._forgetting:
            for job in self.all():
                if job.finished_at is not None:
                    await asyncio.to_thread(self._forget, job)

    def _forget(self, job: Job) -> None:
        """Do it for a job that is finished, so that nobody writes its rejected rows any more."""

        def erased(namespace: str, value: str) -> bool:
            stone = self._host.engine.tombstone((namespace, value))
            return stone is not None and stone.erased_at >= job.created_at

        path = self.rejected(job)
        if path is None or not self._host.engine.has_tombstones:
            return
        try:
            self._drop_rows(path, job.found, erased)
        except Exception:  # noqa: BLE001 (whatever it is, the contact is erased; it is tried again at the next start)
            _log.exception("rejected_rows_not_erased", job=job.id)

    # --- and are imported -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what was there before, and begin."""
        await asyncio.to_thread(self._take_up)
        await self.forget()  # a kill may have come between an erasure and this
        self._task = asyncio.create_task(self._run(), name="imports")

    def _take_up(self) -> None:
        for place in sorted(self._folder.glob("*")):
            try:
                job = msgspec.json.decode((place / "job.json").read_bytes(), type=Job)
            except FileNotFoundError:
                # Its upload was cut off.
                shutil.rmtree(place, ignore_errors=True)
                continue
            except (OSError, ValueError, msgspec.DecodeError) as error:
                # Its file was accepted, and is not thrown away.
                _log.warning("import_unreadable", job=place.name, error=str(error))
                continue
            if job.state == "running":
                job.state = "waiting"
            self._jobs[job.id] = job

    async def close(self) -> None:
        """Stop where it is: the next start goes on there."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def finished(self, id_: str) -> Job:
        """Wait until a job is finished, and return it."""
        while (job := self.job(id_)).state in _OPEN:
            self._changed.clear()
            await self._changed.wait()
        return job

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            await self._forget_old()
            waiting = [job for job in self._jobs.values() if job.state == "waiting"]
            if not waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._wake.wait()
                continue
            job = min(waiting, key=_age)
            task = asyncio.create_task(self._import(job), name="import")
            self._running = (job.id, task)
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.wait([task])
                raise
            finally:
                self._running = None

    async def _forget_old(self) -> None:
        before = wall_time() - KEPT_DAYS * DAY
        old = {job.id for job in self._jobs.values() if job.finished_at is not None and job.finished_at < before}
        if not old:
            return
        try:
            await self._drop(old)
        except Exception:  # noqa: BLE001 (whatever it is, the next job is to run; they are tried again)
            _log.exception("imports_not_forgotten")

    async def _import(self, job: Job) -> None:
        job.state = "running"
        self.keep(job)
        try:
            if job.dry_run:
                await self._rehearse(job)
            else:
                await self._do(job)
        except asyncio.CancelledError:
            if not self._closing:
                self._finish(job, "cancelled")
            raise
        except ParcoursError as error:
            problem = getattr(error, "problem", None)
            self._fail(job, problem or Problem(code=error.code, message=error.message, hint=error.hint))
        except Exception as error:  # noqa: BLE001 (whatever it is, the next job is to run)
            _log.exception("import_failed", job=job.id)
            self._fail(job, Problem(code="internal_error", message=f"could not be imported: {type(error).__name__}"))
        else:
            self._finish(job, "done")

    def _opened(self, job: Job) -> Opened:
        place = self._place(job.id)
        rejects = place / "rejected" if not job.dry_run else None
        workspace = self._host.engine.plan.workspace
        return self._open(place / "file", job.spec, workspace, name=job.name, rejects=rejects)

    async def _do(self, job: Job) -> None:
        opened = await asyncio.to_thread(self._opened, job)
        job.found = opened.found

        def tell(progress: Progress) -> None:
            job.tally, job.place = progress.tally, progress.place

        # The whole job, not only the file: two jobs of the same file, one of which was cut off, have files of their own.
        own = f"{opened.fingerprint}:{job.id}"
        async with self._host.turn:
            before = progress_in(self._host.store, own)
            importer = Importer(
                opened.rows,
                opened.rejects,
                own,
                self._host.engine,
                file=job.name,
                learn=job.learn,
                create=job.create,
                tell=tell,
            )
            importer.handed_over = job.created_at or None
        if before is not None and before.done:
            # It was killed between the last row and the word that it was done.
            tell(before)
            return
        await importer.run_in(self._host)

    async def _rehearse(self, job: Job) -> None:
        opened = await asyncio.to_thread(self._opened, job)
        job.found = opened.found
        rehearsal = Rehearsal(opened.rows, self._host.engine, file=job.name, learn=job.learn, create=job.create)
        parts = opened.rows.parts()
        try:
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                async with self._host.turn:
                    rehearsal.look(part)
                job.tally, job.place = rehearsal.tally, part.place
        finally:
            await asyncio.to_thread(opened.rows.close)
        job.examples = rehearsal.examples

    def _fail(self, job: Job, problem: Problem) -> None:
        job.problem = problem
        self._finish(job, "failed")

    def _finish(self, job: Job, state: State) -> None:
        job.state, job.finished_at = state, wall_time()
        self._forget(job)
        self.keep(job)
        if not job.origin:
            self.drop_file(job)
        self._changed.set()

    def drop_file(self, job: Job) -> None:
        """Remove the file of a job that is finished."""
        with contextlib.suppress(OSError):
            (self._place(job.id) / "file").unlink(missing_ok=True)


_OPEN = frozenset({"waiting", "running"})
_LOOK_SECONDS = 3_600.0
"""Between looks for jobs whose time to be kept is over."""


def _age(job: Job) -> tuple[int, str]:
    return job.created_at, job.id


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
