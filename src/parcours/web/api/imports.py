"""Imports over the API: a file is the body of a request, and is imported while the service runs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import File

from parcours.errors import InvalidDefinitionError, Problem
from parcours.runtimes.importer import Tally
from parcours.runtimes.jobs import Job, Jobs, State, UnknownJobError, UploadError
from parcours.sources.files import spec_from_data, spec_from_text
from parcours.web.api.common import guard

READ, WRITE = {"scope": "import:read"}, {"scope": "import:write"}

_LONGEST_NAME = 200


class ImportView(msgspec.Struct, kw_only=True):
    """An import. `place` of `size` bytes were read; `rejected_file` is where rejected rows are."""

    id: str
    name: str
    kind: str
    state: State
    dry_run: bool
    size: int
    place: int
    created_at: int
    finished_at: int | None
    watched: bool
    """Whether it came from the watched folder."""
    tally: Tally
    problem: Problem | None
    rejected_file: str | None


class ImportDetails(ImportView, kw_only=True):
    """An import with how its file is read, and of a dry run what the first rows would become."""

    spec: dict[str, Any]
    found: dict[str, Any]
    examples: list[Any]


class Imports(msgspec.Struct):
    """All imports, the newest first."""

    imports: list[ImportView]


class ImportsApi(Controller):
    """Files that are imported."""

    path = "/v1/imports"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post(
        "/",
        summary="Import a file",
        status_code=202,
        opt=WRITE,
        request_max_body_size=None,
    )
    async def take(
        self,
        request: Request[Any, Any, Any],
        kind: FromQuery[str] = "",
        name: FromQuery[str] = "",
        spec: FromQuery[str] = "",
        options: Annotated[list[str] | None, QueryParameter(name="set")] = None,
        dry_run: FromQuery[bool] = False,  # noqa: FBT002 (a parameter of the query)
        learn: FromQuery[bool] = False,  # noqa: FBT002 (a parameter of the query)
        create: FromQuery[bool] = False,  # noqa: FBT002 (a parameter of the query)
    ) -> ImportDetails:
        """Take the body as a file, and import it as soon as those before it are done.

        `spec` is a description in YAML or JSON, `set` a field of one (`set=occurred_at=Date`), `kind` its kind. The
        answer comes when the whole file is kept; what becomes of it is at `/v1/imports/ID`.
        """
        jobs = _jobs(request)
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > jobs.largest:
            detail = f"the file is larger than {jobs.largest} bytes (raise largest_upload)"
            raise HTTPException(status_code=413, detail=detail)
        job = Job(
            id="",
            name=Path(name).name[:_LONGEST_NAME] or "upload",
            spec=_spec(spec, [*([f"kind={kind}"] if kind else []), *(options or [])]),
            size=0,
            created_at=0,
            dry_run=dry_run,
            learn=learn,
            create=create,
        )
        try:
            return _details(jobs, await jobs.take(job, _body(request)))
        except UploadError as error:
            raise HTTPException(status_code=error.status, detail=str(error)) from None

    @get("/", summary="All imports", opt=READ)
    async def all(self, request: Request[Any, Any, Any]) -> Imports:
        """Return the imports of the last 30 days."""
        jobs = _jobs(request)
        return Imports([_view(jobs, job) for job in jobs.all()])

    @get("/{id:str}", summary="One import", opt=READ)
    async def one(self, request: Request[Any, Any, Any], id: FromPath[str]) -> ImportDetails:  # noqa: A002 (the path's)
        """Return how far it is."""
        jobs = _jobs(request)
        return _details(jobs, _job(jobs, id))

    @get("/{id:str}/rejected", summary="Its rejected rows", opt=READ)
    async def rejected(self, request: Request[Any, Any, Any], id: FromPath[str]) -> File:  # noqa: A002 (the path's)
        """Return the file of rejected rows, to be mended and imported again."""
        jobs = _jobs(request)
        job = _job(jobs, id)
        path = jobs.rejected(job)
        if path is None:
            raise NotFoundException(detail="no row was rejected")
        media = "text/csv" if path.suffix == ".csv" else "application/x-ndjson"
        return File(path, filename=f"{quote(job.name)}.rejected{path.suffix}", media_type=media)

    @delete("/{id:str}", summary="Cancel or remove an import", status_code=200, opt=WRITE)
    async def remove(self, request: Request[Any, Any, Any], id: FromPath[str]) -> ImportDetails:  # noqa: A002 (the path's)
        """Cancel it, or once it is finished remove it with its rejected rows. What was imported stays."""
        jobs = _jobs(request)
        found = _details(jobs, _job(jobs, id))
        with contextlib.suppress(UnknownJobError):  # removed meanwhile
            found.state = (await jobs.remove(id)).state
        return found


def _jobs(request: Request[Any, Any, Any]) -> Jobs:
    jobs: Jobs | None = request.app.state["imports"]
    if jobs is None:
        raise NotFoundException(detail="this service takes no files")
    return jobs


def _job(jobs: Jobs, id_: str) -> Job:
    try:
        return jobs.job(id_)
    except UnknownJobError as error:
        raise NotFoundException(detail=str(error)) from None


def _spec(text: str, options: list[str]) -> dict[str, Any]:
    try:
        spec = spec_from_text("spec", text, options) if text else spec_from_data({}, options)
    except InvalidDefinitionError as error:
        raise ClientException(
            detail="the description of the import is wrong: " + "; ".join(str(problem) for problem in error.problems),
            extra=[msgspec.to_builtins(problem) for problem in error.problems],
        ) from None
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return found


async def _body(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    gathered = bytearray()
    async for part in request.stream():
        gathered += part
        if len(gathered) >= _BLOCK:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


_BLOCK = 2**20


def _fields(jobs: Jobs, job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "kind": job.spec.get("kind", ""),
        "state": job.state,
        "dry_run": job.dry_run,
        "size": job.size,
        "place": job.place,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "watched": bool(job.origin),
        "tally": job.tally,
        "problem": job.problem,
        "rejected_file": f"/v1/imports/{job.id}/rejected" if jobs.rejected(job) is not None else None,
    }


def _view(jobs: Jobs, job: Job) -> ImportView:
    return ImportView(**_fields(jobs, job))


def _details(jobs: Jobs, job: Job) -> ImportDetails:
    return ImportDetails(**_fields(jobs, job), spec=job.spec, found=job.found, examples=job.examples)
