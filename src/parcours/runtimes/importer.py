"""Imports: the rows of a file, folded in batches, each committed together with how far the import came.

The mark of an import (`import:` and its fingerprint) is kept in the same transaction as the rows of a batch: where reading
goes on, what was counted, and how long the file of rejected rows is. So an import that was killed goes on behind its last
durable batch, and neither does a row twice nor leaves one out; the rejected rows behind the mark are taken back and
written again. Once the whole file was read the mark says so; the same file again is read from its beginning, and changes
nothing, for its rows are known.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import msgspec

from parcours.core import ids
from parcours.core.gate import Arrival, Learned, admit, admit_item
from parcours.core.prepared import AnyArrival, Prepared
from parcours.errors import ParcoursError, Problem, StoreError
from parcours.ports import Store
from parcours.runtimes.embedded import Embedded, OverloadedError
from parcours.runtimes.engine import Accepted, Duplicate, Engine, Outcome

BATCH = 20_000
"""Rows of a transaction where nobody else waits for the store."""

LIVE_BATCH = 1_000
"""Rows of a transaction in a running service."""

SHOWN = 20
"""Problems that are kept to be shown; the others are in the file of rejected rows."""

RETRY_SECONDS = 1.0
"""Between tries when a running service has too much to do, or its store fails."""

MARK = "import:"


class ItemRow(Protocol):
    """An item of a catalogue."""

    @property
    def catalogue(self) -> str:
        """Where it belongs."""
        ...

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def attributes(self) -> dict[str, Any]:
        """All its attributes."""
        ...


class Part(Protocol):
    """Some rows of a file."""

    @property
    def rows(self) -> int:
        """How many there are."""
        ...

    @property
    def lines(self) -> Sequence[int]:
        """The lines of the arrivals, or of the items."""
        ...

    @property
    def arrivals(self) -> Sequence[AnyArrival]:
        """What rows came to."""
        ...

    @property
    def items(self) -> Sequence[ItemRow]:
        """What rows came to, in a file of items."""
        ...

    @property
    def wrong(self) -> Sequence[tuple[int, Problem]]:
        """The lines that were refused as they were read."""
        ...

    @property
    def checkpoint(self) -> dict[str, Any]:
        """Where reading goes on behind them, as plain data."""
        ...

    @property
    def place(self) -> int:
        """Bytes that were read so far."""
        ...


Rejected = tuple[Any, int, bool, int, Problem]
"""A part, the index of a row among its lines or (true) those that are wrong, its line, and what is wrong."""


class Rows(Protocol):
    """A file that is read."""

    def parts(self, start: dict[str, Any] | None = None) -> Iterator[Part]:
        """Yield the rows in parts, from a checkpoint on."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...


class RejectFile(Protocol):
    """Where rejected rows go."""

    def whole(self, length: int) -> bool:
        """Return whether as many bytes are there."""
        ...

    def write(self, at: int, rejected: Iterable[Rejected]) -> int:
        """Write rows behind a length, in place of what is there; return the new length once it is durable."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Tally(msgspec.Struct, kw_only=True):
    """What became of the rows so far."""

    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    """Rows that were known, and changed nothing."""
    rejected: int = 0
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    """Code of a problem to how many rows have it."""
    problems: list[Problem] = msgspec.field(default_factory=list)
    """The first of them."""

    def copy(self) -> Tally:
        """Return another that can be changed by itself."""
        return msgspec.structs.replace(self, reasons=dict(self.reasons), problems=list(self.problems))

    def reject(self, problem: Problem) -> None:
        """Count a rejected row."""
        self.rejected += 1
        self.reasons[problem.code] = self.reasons.get(problem.code, 0) + 1
        if len(self.problems) < SHOWN:
            self.problems.append(problem)


class Progress(msgspec.Struct, kw_only=True):
    """How far an import came, as its mark keeps it."""

    checkpoint: dict[str, Any] | None = None
    rejects: int = 0
    """Bytes of the file of rejected rows."""
    done: bool = False
    at: int = 0
    """When it was kept."""
    place: int = 0
    """Bytes of the file that were read."""
    tally: Tally = msgspec.field(default_factory=Tally)


def progress_in(store: Store, fingerprint: str) -> Progress | None:
    """Return how far an import came before, or None."""
    kept = store.mark(MARK + fingerprint)
    try:
        return msgspec.json.decode(kept, type=Progress) if kept else None
    except msgspec.DecodeError:
        return None


class _Batch:
    """Rows that are kept together."""

    def __init__(self, job: Importer, parts: Sequence[Part]) -> None:
        self._job = job
        self._parts = parts
        self._before = job.begun
        self.arrivals: Sequence[AnyArrival] = (
            parts[0].arrivals if len(parts) == 1 else [arrival for part in parts for arrival in part.arrivals]
        )
        # An erasure since then is newer than what a row without a time says.
        at = None if job.handed_over is None else min(job.handed_over, job.now())
        for arrival in self.arrivals:
            if isinstance(arrival, Prepared):
                arrival.kind.known_only = not job.learn
                continue
            arrival.known_only = not job.learn
            if arrival.occurred_at is None:
                arrival.occurred_at = at
        self.catalogue = ""
        self.items: dict[str, dict[str, Any] | None] = {}
        self._unchanged: set[str] = set()
        for part in parts:
            for item in part.items:
                self.catalogue = item.catalogue
                self.items[item.id] = item.attributes

    def leave_out(self, known: Mapping[str, dict[str, Any]]) -> None:
        """Let items that are as they were not be written again."""
        self._unchanged = {id_ for id_, attributes in self.items.items() if known.get(id_) == attributes}
        for id_ in self._unchanged:
            del self.items[id_]

    def lists(self) -> set[str]:
        """Return the names of the lists that rows are about."""
        told = (arrival.what for arrival in self.arrivals if not isinstance(arrival, Prepared))
        return {name for what in told if isinstance(what, Learned) for name in what.lists}

    def stocked(self, problems: Sequence[Problem | None]) -> dict[str, str]:
        """Return the mark to be kept with the items."""
        wrong = dict(zip(self.items, problems, strict=True))
        repeated = Duplicate()
        taken = Accepted(0, "")
        return self._mark(
            [
                repeated if item.id in self._unchanged else taken if (found := wrong[item.id]) is None else found
                for part in self._parts
                for item in part.items
            ]
        )

    def folded(self, outcomes: Sequence[Outcome]) -> dict[str, str]:
        """Return the mark to be kept with the arrivals. May be asked again: what was written before is taken back."""
        if _TAKEN.issuperset(map(type, outcomes)):
            return self._mark(outcomes)
        return self._mark([one if type(one) in _TAKEN else one.problem for one in outcomes])  # type: ignore[union-attr]

    def _mark(self, results: Sequence[Any]) -> dict[str, str]:
        job, tally = self._job, self._before.tally.copy()
        rejected: list[Rejected] = []
        start = 0
        for part in self._parts:
            own = results[start : start + len(part.lines)]
            start += len(part.lines)
            tally.rows += part.rows
            kinds = Counter(map(type, own))
            accepted, duplicates = kinds[Accepted], kinds[Duplicate]
            tally.accepted += accepted
            tally.duplicates += duplicates
            if accepted + duplicates < part.rows:
                rejected += _rejected(part, own, job.file)
        for *_, problem in rejected:
            tally.reject(problem)
        length = self._before.rejects
        if job.rejects is not None:
            try:
                length = job.rejects.write(length, rejected)
            except ParcoursError as error:
                # The rows are taken, without a mark: who goes on finds them known, and these rejected once more.
                job.broken = error
                return {}
        last = self._parts[-1]
        job.begun = Progress(checkpoint=last.checkpoint, rejects=length, at=job.now(), place=last.place, tally=tally)
        return job.mark(job.begun)


_TAKEN = frozenset({Accepted, Duplicate})


def _rejected(part: Part, results: Sequence[Any], file: str) -> list[Rejected]:
    """Return the rejected rows of a part, in the order of lines."""
    found: list[Rejected] = [(part, index, True, line, problem) for index, (line, problem) in enumerate(part.wrong)]
    for index, (line, result) in enumerate(zip(part.lines, results, strict=True)):
        if isinstance(result, Problem):
            found.append((part, index, False, line, msgspec.structs.replace(result, line=line, file=file)))
    found.sort(key=_line)
    return found


def _line(rejected: Rejected) -> int:
    return rejected[3]


class Importer:
    """One import: what is read, where its rejected rows go, and how far it is.

    Args:
        rows: The file.
        rejects: Where rejected rows go; they are only counted when None.
        fingerprint: What stands for the file and how it is read.
        engine: Where it goes.
        file: The file's name, for problems.
        learn: Whether interactions that nobody defined are taken, too.
        create: Whether lists that are not there are made.
        tell: Called with how far the import is, after each batch.
    """

    def __init__(
        self,
        rows: Rows,
        rejects: RejectFile | None,
        fingerprint: str,
        engine: Engine,
        *,
        file: str = "",
        learn: bool = False,
        create: bool = False,
        tell: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.handed_over: int | None = None
        """When rows without a time occurred, milliseconds; as they are folded when None."""
        self.rejects = rejects
        self.file = file
        self.learn = learn
        self._create = create
        self._rows = rows
        self._fingerprint = fingerprint
        self._engine = engine
        self._tell = tell
        self.broken: ParcoursError | None = None
        """Why rejected rows could not be written."""
        self.resumed = 0
        """Rows that an import before, which was cut off, had taken."""
        before = progress_in(engine.store, fingerprint)
        whole = before is not None and not before.done and (rejects is None or rejects.whole(before.rejects))
        self.begun = before if whole and before is not None else Progress()
        """How far it is with the batch that is being written."""
        self.resumed = self.begun.tally.rows

    def now(self) -> int:
        """Return the engine's time."""
        return self._engine.clock.now()

    def mark(self, progress: Progress) -> dict[str, str]:
        """Return the mark that says how far the import is."""
        return {MARK + self._fingerprint: msgspec.json.encode(progress).decode()}

    def _batches(self, size: int) -> Iterator[_Batch]:
        """Yield rows to be kept together; each batch is settled before the next is asked for."""
        gathered: list[Part] = []
        count = 0
        for part in self._rows.parts(self.begun.checkpoint):
            gathered.append(part)
            count += part.rows
            if count >= size:
                yield _Batch(self, gathered)
                gathered, count = [], 0
        if gathered:
            yield _Batch(self, gathered)

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _missing_lists(self, batch: _Batch) -> list[dict[str, Any]]:
        if not self._create:
            return []
        missing = batch.lists() - self._engine.plan.workspace.lists.keys()
        return [{"kind": "list", "name": name} for name in sorted(missing)]

    def _end(self) -> Progress:
        if self.rejects is not None and self.begun.rejects == 0:
            self.rejects.write(0, ())  # what an earlier import left there is not this one's
        return msgspec.structs.replace(self.begun, done=True, at=self.now())

    def _last_mark(self, done: Progress) -> dict[str, str]:
        """Return the mark that stays: what is wrong with rows stands in the file of rejected ones."""
        return self.mark(msgspec.structs.replace(done, tally=msgspec.structs.replace(done.tally, problems=[])))

    # --- alone ----------------------------------------------------------------------------------------------------

    def run(self, size: int = BATCH) -> Progress:
        """Import everything, with the store to itself.

        Raises:
            StoreError: It came as far as was told; started again, it goes on there.
            ParcoursError: The file cannot be read on, or rejected rows cannot be written; the same goes.
        """
        engine = self._engine
        kept: Future[None] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="parcours-commit") as committer:
            try:
                for batch in self._batches(size):
                    # Meanwhile the batch before was written to the disk, which needs no interpreter.
                    if kept is not None:
                        kept.result()
                        self._check()
                        self._tell(self.begun)
                    if batch.catalogue:
                        batch.leave_out(engine.store.items(batch.catalogue, list(batch.items)))
                        engine.stock(batch.catalogue, batch.items, batch.stocked)
                    else:
                        for definition in self._missing_lists(batch):
                            engine.publish([definition])
                        engine.begin(batch.arrivals, marking=batch.folded)
                    kept = committer.submit(engine.finish)
                if kept is not None:
                    kept.result()
                    self._check()
                done = self._end()
                engine.accept([], marking=lambda _: self._last_mark(done))
                engine.flush()
            except BaseException:
                # What was folded half-way must not be written with the rest.
                committer.shutdown()
                engine.store.forget()
                raise
            finally:
                self.close()
        self._tell(done)
        return done

    def close(self) -> None:
        """Close what was opened."""
        self._rows.close()
        if self.rejects is not None:
            self.rejects.close()

    # --- in a running service -------------------------------------------------------------------------------------

    async def run_in(self, host: Embedded, size: int = LIVE_BATCH) -> Progress:
        """Import everything through a host, a batch at a time between all else it does.

        Raises:
            ParcoursError: The file cannot be read on, or rejected rows cannot be written. Started again, it goes on.
        """
        batches = self._batches(size)
        try:
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                await self._keep(host, batch)
                self._check()
                self._tell(self.begun)
            done = self._end()
            await _again(lambda: host.submit([], lambda _: self._last_mark(done)))
        finally:
            await asyncio.to_thread(self.close)
        self._tell(done)
        return done

    async def _keep(self, host: Embedded, batch: _Batch) -> None:
        if batch.catalogue:
            async with host.turn:
                known = host.store.items(batch.catalogue, list(batch.items))
            batch.leave_out(known)
            await _again(lambda: host.stock(batch.catalogue, batch.items, batch.stocked))
            return
        for definition in self._missing_lists(batch):
            await _again(lambda definition=definition: host.publish([definition]))  # type: ignore[misc]
        await _again(lambda: host.submit(batch.arrivals, batch.folded))


async def _again(work: Callable[[], Any]) -> None:
    """Do something until it is done: while there is too much to do, or the store fails, nothing of it was."""
    while True:
        try:
            await work()
        except (StoreError, OverloadedError):
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


class Rehearsal:
    """What an import would do; it changes nothing.

    Args:
        rows: The file.
        engine: Where it would go; without one, rows are only read.
        file: The file's name, for problems.
        learn: As for `Importer`.
        create: As for `Importer`.
    """

    def __init__(
        self, rows: Rows, engine: Engine | None, *, file: str = "", learn: bool = False, create: bool = False
    ) -> None:
        self._rows = rows
        self._engine = engine
        self._file = file
        self._learn = learn
        self._create = create
        self.tally = Tally()
        self.examples: list[Any] = []
        """What the first rows would become, as plain data."""

    def steps(self) -> Iterator[Part]:
        """Go through the file; yields each part when it was looked at.

        Raises:
            ParcoursError: It cannot be read on.
        """
        try:
            for part in self._rows.parts():
                self.look(part)
                yield part
        finally:
            self._rows.close()

    def look(self, part: Part) -> None:
        """Count what would become of some rows."""
        arrivals = [one.arrival() if isinstance(one, Prepared) else one for one in part.arrivals]
        values: Sequence[Any] = arrivals or part.items
        for value in values[: EXAMPLES - len(self.examples)]:
            self.examples.append(msgspec.to_builtins(value))
        results: list[Any] = [None] * len(part.lines)
        if self._engine is not None:
            results = self._items(part.items) if part.items else self._arrivals(arrivals, self._engine)
        tally = self.tally
        tally.rows += part.rows
        rejected = _rejected(part, results, self._file)
        for *_, problem in rejected:
            tally.reject(problem)
        duplicates = sum(type(one) is Duplicate for one in results)
        tally.duplicates += duplicates
        tally.accepted += part.rows - duplicates - len(rejected)

    def _items(self, items: Sequence[ItemRow]) -> list[Any]:
        assert self._engine is not None  # noqa: S101 (asked before)
        known = self._engine.store.items(items[0].catalogue, [item.id for item in items])
        return [
            admit_item(self._engine.plan, item.catalogue, item.id, item.attributes)
            or (Duplicate() if known.get(item.id) == item.attributes else None)
            for item in items
        ]

    def _arrivals(self, arrivals: Sequence[Arrival], engine: Engine) -> list[Any]:
        keys = [ids.message_key(arrival.source, arrival.message_id) for arrival in arrivals]
        seen = engine.store.seen(keys)
        now = engine.clock.now()
        results: list[Any] = []
        for arrival, key in zip(arrivals, keys, strict=True):
            if key in seen:
                results.append(Duplicate())
                continue
            arrival.known_only = not self._learn
            if self._create and isinstance(arrival.what, Learned):
                arrival.what.lists = {}
            item = admit(
                engine.plan, arrival, [], received_at=now, horizon=engine.clock.horizon(), position=1,
                learned=engine.learner,
            )  # fmt: skip
            results.append(item if isinstance(item, Problem) else None)
        return results


EXAMPLES = 3
"""Rows of which a rehearsal shows what they would become."""
