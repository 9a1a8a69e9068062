"""Files for an import: rows in parts, read by a process of their own when there are many.

Reading and folding cost about the same, so a large file is read by a child process: it hands its parts over a pipe, as
msgpack that is decoded into arrivals without a step between. What rows looked like goes along undecoded, and is only
looked at where rows are rejected. A child that ends before the file does is an error; one whose parent has gone ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from parcours.core.gate import Arrival, Happened, Learned
from parcours.core.ids import message_key
from parcours.core.prepared import AnyArrival, Kind, Prepared, Preparer
from parcours.errors import Problem
from parcours.sources.files import (
    CatalogueItem,
    Checkpoint,
    FileError,
    Found,
    ImportSpec,
    Known,
    RejectWriter,
    Row,
    Slice,
    read,
)

LARGE = 2**20
"""Bytes from which on a file is read by a process of its own."""

WAITING = 6
"""Parts that wait to be taken."""

_LOOK = 0.2
"""Seconds after which whoever waits for a part looks whether it is still wanted."""

_WIDE = 2**20
"""Bytes of a pipe: what anybody may ask for."""

_NOTHING = Known()
_HEAD = struct.Struct(">cI")


Raws = tuple[Sequence[Any], Sequence[Any]]


class Part(msgspec.Struct):
    """Some rows that follow one another: what they came to, and which are wrong."""

    lines: list[int]
    """Of the arrivals or items."""
    arrivals: Sequence[AnyArrival]
    items: Sequence[CatalogueItem]
    wrong: list[tuple[int, Problem]]
    """Lines that were refused as they were read, and why."""
    checkpoint: dict[str, Any]
    """Where reading goes on behind them, as plain data."""
    place: int
    """Bytes of the file as it lies there that were read so far."""
    raws: Raws | Callable[[], Raws]
    """Rows as they were read, of what came to something and of what is wrong, or what gets them."""

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.lines) + len(self.wrong)

    def raw(self, index: int, *, wrong: bool) -> Any:
        """Return a row as it was read."""
        if callable(self.raws):
            self.raws = self.raws()
        good, bad = self.raws
        return (bad if wrong else good)[index]


class _Happenings(msgspec.Struct, array_like=True):
    """Interactions on their way between processes, column by column; those that were made ready, and the others."""

    kinds: list[Kind]
    of_kind: list[int]
    """Of each that was made ready, its place among the kinds; empty when there is only one."""
    keys: list[bytes]
    people: list[tuple[tuple[str, str], ...]]
    """Identities, each once."""
    of_people: list[int]
    times: list[int]
    tails: list[bytes]
    others: list[_Happening]
    order: bytes
    """Of each row, whether it is among the others (1) or not (0); empty when there are none."""

    @classmethod
    def of(cls, arrivals: Sequence[Any], preparer: Preparer) -> _Happenings:
        made = preparer.prepare(arrivals)
        others: list[Any] = []
        order = b""
        if None in made:
            others = [arrival for arrival, one in zip(arrivals, made, strict=True) if one is None]
            order = bytes([one is None for one in made])
            arrivals = [arrival for arrival, one in zip(arrivals, made, strict=True) if one is not None]
        ready = [one for one in made if one is not None]
        kinds: dict[int, Kind] = {id(kind): kind for kind, _ in ready}
        places = {kind: place for place, kind in enumerate(kinds)}
        people: dict[tuple[tuple[str, str], ...], int] = {}
        of_people = [people.setdefault(arrival.identities, len(people)) for arrival in arrivals]
        return cls(
            list(kinds.values()),
            [places[id(kind)] for kind, _ in ready] if len(kinds) > 1 else [],
            [message_key(arrival.source, arrival.message_id) for arrival in arrivals],
            list(people),
            of_people,
            [arrival.occurred_at for arrival in arrivals],
            [tail for _, tail in ready],
            others,
            order,
        )

    def arrivals(self) -> list[Any]:
        only = self.kinds[0] if len(self.kinds) == 1 else None
        kinds = repeat(only) if only is not None else map(self.kinds.__getitem__, self.of_kind)
        people = map(self.people.__getitem__, self.of_people)
        ready = map(Prepared, kinds, self.keys, people, self.times, self.tails)
        if not self.order:
            return list(ready)
        others = iter(self.others)
        return [next(others) if other else next(ready) for other in self.order]


class _Happening(Arrival):
    what: Happened


class _Contacts(Arrival):
    what: Learned


class _Frame(msgspec.Struct, array_like=True):
    """A part on its way between processes. What rows came to is encoded by itself, for its type is known."""

    lines: list[int]
    values: msgspec.Raw
    wrong: list[tuple[int, Problem]]
    checkpoint: Checkpoint
    place: int
    raws: bytes
    texts: bool
    """Whether `raws` is msgpack, as for cells of text; else it is pickled."""


_KINDS: dict[str, Any] = {
    "interactions": msgspec.msgpack.Decoder(_Happenings),
    "contacts": msgspec.msgpack.Decoder(list[_Contacts]),
    "lists": msgspec.msgpack.Decoder(list[_Contacts]),
    "items": msgspec.msgpack.Decoder(list[CatalogueItem]),
}
_frames = msgspec.msgpack.Decoder(_Frame)
_texts = msgspec.msgpack.Decoder(Raws)
_encode = msgspec.msgpack.Encoder().encode
_UNENCODABLE = (OverflowError, TypeError, ValueError, RecursionError)


def fingerprint(path: Path, spec: ImportSpec) -> str:
    """Return what stands for a file's bytes together with how they are read.

    Raises:
        FileError: It cannot be read.
    """
    digest = hashlib.blake2b(msgspec.json.encode(spec, order="deterministic"), digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path.name, error) from error
    return digest.hexdigest()


class FileRows:
    """A file to be imported.

    Args:
        path: Where it is.
        spec: How it is read.
        name: What to call it in problems; its suffix tells the format.
        known: What the workspace declares.
        rows: About how many rows a part has.
        apart: Whether it is read by a process of its own; as it is large when None.

    Raises:
        FileError: It cannot be read as a whole, or not in the way that was asked for.
    """

    def __init__(
        self,
        path: Path,
        spec: ImportSpec,
        *,
        name: str = "",
        known: Known = _NOTHING,
        rows: int = 2_500,
        apart: bool | None = None,
    ) -> None:
        self.path = path
        self.spec = spec
        self.name = name or path.name
        self._known = known
        self._rows = rows
        try:
            self.size = path.stat().st_size
            with read(path, spec, name=self.name, known=known, rows=rows) as reading:
                self.found: Found = reading.found
        except OSError as error:
            raise _unreadable(self.name, error) from error
        self._apart = self.size >= LARGE if apart is None else apart
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what is under way."""
        if self._child is not None:
            self._child.close()

    def parts(self, start: dict[str, Any] | None = None) -> Iterator[Part]:
        """Yield the rows in parts, from a checkpoint on.

        Raises:
            FileError: They cannot be read.
        """
        checkpoint = Checkpoint() if start is None else msgspec.convert(start, Checkpoint)
        if self._apart:
            self._child = _Child(self.path, self.spec, self.name, self._known, self._rows, checkpoint)
            yield from self._child.parts()
        else:
            yield from self._here(checkpoint)

    def _here(self, checkpoint: Checkpoint) -> Iterator[Part]:
        try:
            with read(self.path, self.spec, name=self.name, known=self._known, rows=self._rows) as reading:
                for one in reading.slices(checkpoint):
                    good, wrong = _sorted(one)
                    yield Part(
                        [row.line for row in good],
                        [row.arrival for row in good if row.arrival is not None],
                        [row.item for row in good if row.item is not None],
                        [(row.line, row.problem) for row in wrong if row.problem is not None],
                        msgspec.to_builtins(one.checkpoint),
                        reading.place,
                        ([row.raw for row in good], [row.raw for row in wrong]),
                    )
        except OSError as error:
            raise _unreadable(self.name, error) from error


class Rejects:
    """The file of an import's rejected rows, which grows by what is known to be wanted and can be taken back.

    Args:
        path: Where it is; it is made with the first rejected row.
        rows: What the rows come from.
    """

    def __init__(self, path: Path, rows: FileRows) -> None:
        self.path = path
        self._rows = rows
        self._writer: RejectWriter | None = None
        self._length = 0

    def whole(self, length: int) -> bool:
        """Return whether as many bytes are there."""
        return length == 0 or (self.path.is_file() and self.path.stat().st_size >= length)

    def write(self, at: int, rejected: Iterable[tuple[Part, int, bool, int, Problem]]) -> int:
        """Write rows behind a length, in place of what is there, and return the new length once it is durable.

        Each row has its part, its index there, whether it was wrong there, its line and what is wrong.

        Raises:
            FileError: They cannot be written.
        """
        try:
            if self._writer is None or at != self._length:
                self.close()
                if at == 0:
                    self.path.unlink(missing_ok=True)
                else:
                    os.truncate(self.path, at)
                self._writer = RejectWriter(self.path, self._rows, start=at)
                self._length = at
            count = self._writer.count
            for part, index, wrong, line, problem in rejected:
                self._writer.write(Row(line, raw=part.raw(index, wrong=wrong)), problem)
            if self._writer.count > count:
                self._length = self._writer.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                self.close()
            message = f"the file of rejected rows cannot be written: {error.strerror}"
            raise FileError(Problem(code="unwritable_file", message=message, file=self.path.name)) from error
        return self._length

    def close(self) -> None:
        """Close the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _sorted(one: Slice) -> tuple[list[Row], list[Row]]:
    wrong = [row for row in one.rows if row.problem is not None]
    return ([row for row in one.rows if row.problem is None], wrong) if wrong else (one.rows, wrong)


def _unreadable(name: str, error: OSError) -> FileError:
    message = f"it cannot be read: {error.strerror or error}"
    return FileError(Problem(code="unreadable_file", message=message, file=name))


# --- the child --------------------------------------------------------------------------------------------------------


class _Child:
    """A process that reads a file, and the thread that takes what it hands over."""

    def __init__(self, *request: Any) -> None:
        self._decoder = _KINDS[request[1].kind]
        self._items = request[1].kind == "items"
        self._name: str = request[2]
        command = [sys.executable, "-c", "from parcours.sources.slices import child; child()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 (our own)
        _widen(self._process.stdout)
        assert self._process.stdin is not None  # noqa: S101 (as it was asked for)
        with contextlib.suppress(BrokenPipeError):  # then it ended, which is told below
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
        self._frames: queue.Queue[tuple[bytes, bytes]] = queue.Queue(WAITING)
        self._closed = False
        self._thread = threading.Thread(target=self._take, name="parcours-read", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 (as it was asked for)
        kind, body = b"p", b""
        while kind == b"p":
            try:
                kind, body = _receive(stream)
            except (OSError, ValueError):
                kind, body = b"x", b""
            self._put((kind, body))

    def _put(self, frame: tuple[bytes, bytes]) -> None:
        while not self._closed:
            try:
                self._frames.put(frame, timeout=_LOOK)
            except queue.Full:
                continue
            return

    def parts(self) -> Iterator[Part]:
        while True:
            try:
                kind, body = self._frames.get(timeout=_LOOK)
            except queue.Empty:
                if self._closed:
                    return
                continue
            if kind == b"p":
                yield self._part(_frames.decode(body))
            elif kind == b"e":
                raise FileError(msgspec.msgpack.decode(body, type=Problem))
            elif kind == b"d":
                return
            else:
                code = self._process.wait()
                how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
                message = f"the process that reads the file {how}"
                hint = "start the import again: it goes on where it was"
                raise FileError(Problem(code="reader_failed", message=message, hint=hint, file=self._name))

    def _part(self, frame: _Frame) -> Part:
        values = self._decoder.decode(frame.values)
        if isinstance(values, _Happenings):
            values = values.arrivals()
        arrivals, items = ([], values) if self._items else (values, [])
        # They are only looked at where rows are rejected.
        raws = partial(_texts.decode if frame.texts else pickle.loads, frame.raws)
        return Part(frame.lines, arrivals, items, frame.wrong, msgspec.to_builtins(frame.checkpoint), frame.place, raws)

    def close(self) -> None:
        self._closed = True
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold more, where that can be asked for: the fewer turns, the less do two processes wait."""
    if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _WIDE)


def _receive(stream: IO[bytes]) -> tuple[bytes, bytes]:
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return b"x", b""
    kind, size = _HEAD.unpack(head)
    body = stream.read(size)
    return (kind, body) if len(body) == size else (b"x", b"")


def child() -> None:
    """Read a file as asked on standard input, and write its parts to standard output. Ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it, too, and ends this one
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    path, spec, name, known, rows, checkpoint = pickle.load(sys.stdin.buffer)  # noqa: S301 (from our own parent)
    try:
        _send_parts(out, path, spec, name, known, rows, checkpoint)
        _send(out, b"d", b"")
    except BrokenPipeError:
        os._exit(1)
    except (FileError, OSError) as error:
        problem = error.problem if isinstance(error, FileError) else _unreadable(name, error).problem
        _send(out, b"e", _encode(problem))
    except Exception:  # noqa: BLE001 (the parent tells that it ended)
        traceback.print_exc()
        os._exit(1)


def _send(out: IO[bytes], kind: bytes, body: bytes) -> None:
    out.write(_HEAD.pack(kind, len(body)))
    out.write(body)
    out.flush()


def _send_parts(
    out: IO[bytes], path: Path, spec: ImportSpec, name: str, known: Known, rows: int, checkpoint: Checkpoint
) -> None:
    import gc  # noqa: PLC0415 (only the child has its own way with it)

    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    preparer = Preparer(known.defined)
    with read(path, spec, name=name, known=known, rows=rows) as reading:
        for one in reading.slices(checkpoint):
            good, wrong = _sorted(one)
            try:
                values = _encoded(good, spec.kind, preparer)
            except _UNENCODABLE:
                good, values = _encodable(good, wrong, name, spec.kind, preparer)
            frame = _Frame(
                [row.line for row in good],
                msgspec.Raw(values),
                [(row.line, row.problem) for row in wrong if row.problem is not None],
                one.checkpoint,
                reading.place,
                *_packed(([row.raw for row in good], [row.raw for row in wrong]), texts=reading.found.format == "csv"),
            )
            _send(out, b"p", _encode(frame))


def _packed(raws: Raws, *, texts: bool) -> tuple[bytes, bool]:
    if texts:
        with contextlib.suppress(*_UNENCODABLE):
            return _encode(raws), True
    return pickle.dumps(raws, protocol=5), False


def _encodable(rows: list[Row], wrong: list[Row], name: str, kind: str, preparer: Preparer) -> tuple[list[Row], bytes]:
    """Return the rows that can be encoded, and that done; the others are wrong."""
    good: list[Row] = []
    for row in rows:
        try:
            _encode(row.item if row.arrival is None else row.arrival)
        except _UNENCODABLE as error:
            message = f"a value cannot be kept: {error}"
            row.problem = Problem(code="unstorable_value", message=message, line=row.line, file=name)
            wrong.append(row)
        else:
            good.append(row)
    wrong.sort(key=_line)
    return good, _encoded(good, kind, preparer)


def _encoded(rows: list[Row], kind: str, preparer: Preparer) -> bytes:
    if kind == "interactions":
        return _encode(_Happenings.of([row.arrival for row in rows], preparer))
    return _encode([row.item if row.arrival is None else row.arrival for row in rows])


def _line(row: Row) -> int:
    return row.line
