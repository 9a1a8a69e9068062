"""A watched folder: files that appear in it are imported, and put away afterwards.

| place                              | what                                                                                |
|------------------------------------|-------------------------------------------------------------------------------------|
| `FILE`                             | taken when its size and time are the same at two looks, or at once beside `FILE.ready` |
| `FILE.import.yaml`                 | how it is read                                                                      |
| `import.yaml`                      | how files are read whose names fit a pattern: `- files: "orders-*.csv"`, and the rest |
| `done/`                            | files that were read to their end                                                   |
| `rejected/FILE.rejected.csv`       | rows that were rejected                                                             |
| `rejected/FILE`, `FILE.problem.txt` | a file that could not be read, and why                                              |

Without a description the kind is what the name begins with: `contacts-`, `interactions-`, `lists-` or `items-`.

The folder is a path or a URL that fsspec understands. A file is copied first; what becomes of it stands in its job, so a
kill at any moment is followed by what was left to do, and a file that is read twice changes nothing the second time.
What lies under its name by then is only put away if it is what was copied: else the copy is, and the new file is taken
as any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import fsspec
import structlog
import yaml

from parcours.errors import ParcoursError
from parcours.runtimes.jobs import Job, Jobs, UploadError

DONE, REJECTED = "done", "rejected"
DESCRIPTIONS = "import.yaml"
DESCRIPTION = ".import.yaml"
READY = ".ready"
PROBLEM = ".problem.txt"
KINDS = ("contacts", "interactions", "lists", "items")
UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
"""What the names of files end in that are still being written."""

_BLOCK = 2**20

_log = structlog.get_logger(__name__)

State = tuple[int, str]
"""A file's size, and its time and tag."""


class _ChangedError(Exception):
    """A file was written to while it was copied."""


class Watch:
    """Looks into a folder again and again.

    Args:
        jobs: What imports the files.
        url: The folder.
        seconds: Between looks.
        read_spec: Reads the text of a description, and returns it as plain data.

    Raises:
        ValueError: The URL is of a kind that is not known.
        ImportError: Its package is not installed.
        OSError: It cannot be opened.
    """

    def __init__(self, jobs: Jobs, url: str, seconds: float, read_spec: Callable[[str], dict[str, Any]]) -> None:
        self._jobs = jobs
        self._seconds = seconds
        self._read_spec = read_spec
        self._url = url
        self._fs, self._root = fsspec.url_to_fs(url)
        self._root = self._root.rstrip("/")
        self._before: dict[str, State] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="watch")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        failing = False
        while True:
            try:
                if failing:
                    # A connection that broke stays broken, and is kept for whoever asks for the same.
                    self._fs, _ = await asyncio.to_thread(fsspec.url_to_fs, self._url, skip_instance_cache=True)
                await self.look()
            except Exception as error:  # noqa: BLE001 (a folder that cannot be reached is looked into again)
                if not failing:
                    _log.exception("watch_failed", error=type(error).__name__)
                failing = True
            else:
                failing = False
            await asyncio.sleep(self._seconds)

    async def look(self) -> None:
        """Put away what is finished, and take what is there."""
        for job in self._jobs.all():
            if job.origin and not job.filed and job.finished_at is not None:
                await self._file(job)
        files = await asyncio.to_thread(self._files)
        under_way = {job.origin for job in self._jobs.all() if job.origin and not job.filed}
        for name, state in files.items():
            if name in under_way or _is_ours(name):
                continue
            if self._before.get(name) == state or name + READY in files:
                await self._take(name)
        self._before = files

    # --- looking --------------------------------------------------------------------------------------------------

    def _path(self, *names: str) -> str:
        return "/".join((self._root, *names))

    def _files(self) -> dict[str, State]:
        self._fs.invalidate_cache()
        self._fs.makedirs(self._root, exist_ok=True)
        return {
            str(entry["name"]).rstrip("/").rpartition("/")[2]: _state(entry)
            for entry in sorted(self._fs.ls(self._root, detail=True), key=_name)
            if entry["type"] == "file"
        }

    def _lot(self, name: str) -> dict[str, State]:
        """Return the states of a file and of what lies beside it for it, by what follows its name."""
        self._fs.invalidate_cache()
        found = {}
        for suffix in (READY, DESCRIPTION, ""):
            with contextlib.suppress(FileNotFoundError):
                found[suffix] = _state(self._fs.info(self._path(name + suffix)))
        return found

    def _text(self, name: str) -> str | None:
        path = self._path(name)
        return str(self._fs.cat_file(path).decode()) if self._fs.exists(path) else None

    def _described(self, name: str) -> dict[str, Any]:
        """Return how a file is read, as plain data.

        Raises:
            ParcoursError: Nothing says it, or what does is wrong.
        """
        try:
            own = self._text(name + DESCRIPTION)
            if own is not None:
                return self._read_spec(own)
            listed = self._text(DESCRIPTIONS)
            for entry in (yaml.safe_load(listed) or []) if listed is not None else []:
                if not isinstance(entry, dict) or not isinstance(entry.get("files"), str):
                    raise ParcoursError(f"{DESCRIPTIONS} is a list of descriptions, each with 'files'")
                if fnmatchcase(name, entry["files"]):
                    rest = {key: value for key, value in entry.items() if key != "files"}
                    return self._read_spec(yaml.safe_dump(rest, allow_unicode=True))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ParcoursError(f"its description cannot be read: {' '.join(str(error).split())}") from None
        for kind in KINDS:
            if name.startswith((f"{kind}-", f"{kind}_", f"{kind}.")):
                return self._read_spec(f"kind: {kind}\n")
        hint = f"write {name}{DESCRIPTION} or {DESCRIPTIONS}, or let the name begin with contacts- or interactions-"
        raise ParcoursError("nothing says what is in the file", hint=hint)

    # --- taking ---------------------------------------------------------------------------------------------------

    async def _take(self, name: str) -> None:
        job = Job(id="", name=name, spec={}, size=0, created_at=0, origin=name)
        job.taken = await asyncio.to_thread(self._lot, name)
        try:
            job.spec = await asyncio.to_thread(self._described, name)
        except ParcoursError as error:
            await self._refuse(job, str(error))
            return
        try:
            await self._jobs.take(job, self._body(job))
        except (FileNotFoundError, _ChangedError):
            return
        except UploadError as error:
            if error.status == _NO_ROOM:
                _log.warning("watched_file_waits", file=name, error=str(error))
                return
            await self._refuse(job, str(error))

    async def _refuse(self, job: Job, problem: str) -> None:
        """Put away a file that was not taken, unless it is another by now."""
        job.target = await asyncio.to_thread(self._free, job.name, secrets.token_hex(6))
        if _same(job.taken, await asyncio.to_thread(self._lot, job.name)):
            await asyncio.to_thread(self._put_away, job, None, REJECTED, problem)

    async def _body(self, job: Job) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(self._fs.open, self._path(job.name), "rb")
        try:
            while block := await asyncio.to_thread(file.read, _BLOCK):
                yield block
        finally:
            await asyncio.to_thread(file.close)
        now = await asyncio.to_thread(self._lot, job.name)
        if not _same(job.taken, now):
            raise _ChangedError
        job.taken = now

    # --- putting away ---------------------------------------------------------------------------------------------

    async def _file(self, job: Job) -> None:
        """Put away a file that was imported. What it is called there is noted first, so that a kill changes nothing."""
        if not job.target:
            job.target = await asyncio.to_thread(self._free, job.name, job.id)
            self._jobs.keep(job)
        rejected = self._jobs.rejected(job)
        if rejected is not None:
            await asyncio.to_thread(self._put, rejected, f"{job.target}.rejected{rejected.suffix}")
        problem = ""
        if job.state != "done":
            problem = str(job.problem or f"it was {job.state}")
        copy = self._jobs.file(job)
        await asyncio.to_thread(self._put_away, job, copy, REJECTED if problem else DONE, problem)
        job.filed = True
        self._jobs.keep(job)
        self._jobs.drop_file(job)

    def _free(self, name: str, id_: str) -> str:
        """Return the name, or one beside it when a file of this name was put away before."""
        taken = (
            self._path(DONE, name),
            self._path(REJECTED, name),
            *(self._path(REJECTED, f"{name}.rejected{suffix}") for suffix in (".csv", ".jsonl")),
        )
        if not any(self._fs.exists(path) for path in taken):
            return name
        stem, dot, suffix = name.partition(".")
        return f"{stem}-{id_}{dot}{suffix}"

    def _put(self, path: Any, target: str) -> None:
        self._fs.makedirs(self._path(REJECTED), exist_ok=True)
        self._fs.put_file(str(path), self._path(REJECTED, target))

    def _put_away(self, job: Job, copy: Path | None, folder: str, problem: str) -> None:
        """Move a file, and what lies beside it for it; once more after a kill is no harm.

        What was written anew since it was copied stays where it is, and what was copied is put in its place.
        """
        self._fs.makedirs(self._path(folder), exist_ok=True)
        if problem:
            self._fs.pipe_file(self._path(folder, job.target + PROBLEM), f"{problem}\n".encode())
        now = self._lot(job.name)
        old = {suffix for suffix, state in now.items() if job.taken.get(suffix) == state}
        if READY in old:
            self._fs.rm_file(self._path(job.name + READY))
        described = self._path(folder, job.target + DESCRIPTION)
        if DESCRIPTION in old and ("" in old or "" not in now):
            self._move(job.name + DESCRIPTION, described)
        elif DESCRIPTION in job.taken and not self._fs.exists(described):
            self._fs.pipe_file(described, yaml.safe_dump(job.spec, allow_unicode=True, sort_keys=False).encode())
        if "" in old:
            self._move(job.name, self._path(folder, job.target))
        elif copy is not None:
            self._fs.put_file(str(copy), self._path(folder, job.target))

    def _move(self, name: str, target: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(target)
        self._fs.mv(self._path(name), target)


def _state(entry: dict[str, Any]) -> State:
    time = entry.get("mtime") or entry.get("LastModified") or entry.get("created") or ""
    return int(entry.get("size") or 0), f"{time} {entry.get('ETag') or entry.get('etag') or ''}".rstrip()


def _same(one: dict[str, State], other: dict[str, State]) -> bool:
    """Return whether a file and its description are as they were."""
    return all(one.get(suffix) == other.get(suffix) for suffix in ("", DESCRIPTION))


def _is_ours(name: str) -> bool:
    hidden = name.startswith((".", "~"))
    return hidden or name == DESCRIPTIONS or name.endswith((DESCRIPTION, READY, PROBLEM, *UNFINISHED))


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"])


_NO_ROOM = 507
