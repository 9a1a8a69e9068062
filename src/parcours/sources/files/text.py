"""Bytes of a file to lines of text: unpacking, encodings, and pieces that end where a line does.

Every piece is bytes in an encoding in which a line feed is one byte; UTF-16 and the like are put into UTF-8 first. A
byte that cannot be decoded becomes half of a surrogate pair, which no file can hold otherwise: its row is refused then,
and no other.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO

import msgspec

from parcours.errors import Problem
from parcours.sources.files.rows import FileError

LONGEST_LINE = 2**20
"""Bytes of a line; the rest of a longer one is passed over."""

SHOWN = 1_000
"""Bytes that are kept of a line that is too long."""

SAMPLE = 2**20
"""Bytes from which a dialect and types are found out."""

SEARCHED = 2**28
"""Bytes that are searched for something that is not UTF-8 when no encoding was declared."""

_BLOCK = 2**18
_PACKED = b"\x1f\x8b"
_MARKS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]
_SINGLE = ("cp125", "iso8859", "koi8", "mac-", "cp437", "cp85", "cp86")
_ERRORS = "parcours.files"


def _mark_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Stand in for what cannot be decoded."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _mark_bytes)


def _mark_once(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(f"{_ERRORS}.once", _mark_once)


class Encoding(msgspec.Struct, frozen=True):
    """An encoding, and how it was found."""

    name: str
    decided: str
    mark: int = 0
    """Bytes of the byte order mark."""
    returns: bool = False
    """Lines end with a carriage return alone."""

    @property
    def direct(self) -> bool:
        """Whether lines can be told apart before they are decoded."""
        name = codecs.lookup(self.name).name
        return name in {"utf-8", "ascii"} or name.startswith(_SINGLE)

    @property
    def pieces(self) -> str:
        """The encoding of the pieces that are handed out."""
        return self.name if self.direct else "utf-8"


class Opened(msgspec.Struct):
    """A file that was opened: its bytes, unpacked."""

    stream: BinaryIO
    packed: bool
    seekable: bool
    close: list[BinaryIO]
    """What was opened here, and is to be closed."""


def open_file(file: str | Path | BinaryIO) -> Opened:
    """Open a file, or look into a stream, which stays its owner's to close.

    Raises:
        FileError: It cannot be opened.
    """
    if isinstance(file, str | Path):
        try:
            stream: BinaryIO = Path(file).open("rb")  # noqa: SIM115 (closed by whoever reads)
        except OSError as error:
            message = f"it cannot be opened: {error.strerror or error}"
            raise FileError(Problem(code="unreadable_file", message=message)) from None
        close = [stream]
    else:
        stream, close = file, []
    seekable = stream.seekable()
    if seekable:
        start = stream.tell()
        packed = stream.read(2) == _PACKED
        stream.seek(start)
    else:
        buffered = io.BufferedReader(_Raw(stream), _BLOCK)
        packed = buffered.peek(2)[:2] == _PACKED
        stream = buffered
    if packed:
        stream = gzip.open(stream)  # type: ignore[assignment]  # noqa: SIM115 (closed by whoever reads)
    return Opened(stream, packed, seekable, close)


class _Raw(io.RawIOBase):
    """A stream that cannot be sought in, such as a pipe, to be looked into before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Bytes:
    """A stream read from where it stands; a break in it is its end, and kept in `broken`."""

    def __init__(self, stream: BinaryIO, *, seekable: bool) -> None:
        self._stream = stream
        self._held = b""
        self.broken = ""
        self._start = stream.tell() if seekable else None

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none at the end."""
        if self._held:
            data, self._held = self._held[:size], self._held[size:]
            return data
        return self._read(size)

    def peek(self, size: int) -> bytes:
        """Return the next bytes without taking them."""
        while len(self._held) < size and (data := self._read(size - len(self._held))):
            self._held += data
        return self._held[:size]

    def rewind(self) -> bool:
        """Go back to the beginning, if that is possible."""
        if self._start is None:
            return False
        self._stream.seek(self._start)
        self._held, self.broken = b"", ""
        return True

    def skip(self, size: int) -> None:
        """Pass over so many bytes, quickly where the stream can be sought in."""
        held = len(self._held)
        self._held = self._held[size:]
        size -= held
        if size > 0 and self._start is not None:
            try:
                self._stream.seek(size, io.SEEK_CUR)
            except (OSError, EOFError, zlib.error) as error:
                self.broken = str(error)
            return
        while size > 0 and (data := self._read(min(size, _BLOCK))):
            size -= len(data)

    def _read(self, size: int) -> bytes:
        try:
            reader = getattr(self._stream, "read1", self._stream.read)
            data: bytes = reader(size)
        except (OSError, EOFError, zlib.error) as error:
            self.broken = str(error) or type(error).__name__
            return b""
        return data


def detect(stream: Bytes, declared: str) -> Encoding:
    """Find out how a file is encoded: by its mark, as declared, or UTF-8 where all of it is, else Windows' cp1252."""
    head = stream.peek(SAMPLE)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return _with_ends(Encoding(name, "mark", len(mark)), head)
    if declared:
        return _with_ends(
            Encoding({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(declared, declared), "declared"), head
        )
    name = "utf-8"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
        if len(head) == SAMPLE and stream.rewind():
            decoder.reset()
            searched = 0
            while searched < SEARCHED and (data := stream.read(_BLOCK)):
                decoder.decode(data)
                searched += len(data)
    except UnicodeDecodeError:
        name = "cp1252"
    if len(head) == SAMPLE:
        stream.rewind()
    return _with_ends(Encoding(name, "detected"), head)


def _with_ends(encoding: Encoding, head: bytes) -> Encoding:
    text = head[encoding.mark :].decode(encoding.name, _ERRORS)
    return msgspec.structs.replace(encoding, returns="\r" in text and "\n" not in text)


def decode(data: bytes, encoding: str) -> tuple[str, bool]:
    """Return text, and whether some of it could not be decoded."""
    try:
        return data.decode(encoding), False
    except UnicodeDecodeError:
        return data.decode(encoding, _ERRORS), True


class Piece(msgspec.Struct):
    """Whole lines of a file."""

    data: bytes
    offset: int
    """Where they begin, in bytes of the pieces' encoding."""
    last: bool = False
    """No more lines can be had behind these, as the file ends or a line is too long."""
    too_long: bool = False
    """It is the beginning of a line that is too long."""


class Pieces:
    """The lines of a file in pieces, from an offset.

    Args:
        stream: The file.
        encoding: How it is encoded.
        size: About how many bytes a piece has.
        start: From which offset on.
    """

    def __init__(self, stream: Bytes, encoding: Encoding, size: int, start: int = 0) -> None:
        self._stream = stream
        self._size = min(max(size, 1), LONGEST_LINE)
        self._decoder = (
            None if encoding.direct else codecs.getincrementaldecoder(encoding.name)(errors=f"{_ERRORS}.once")
        )
        self._returns = encoding.returns
        self._rest = b""
        self._kept = 0
        self._ended = False
        self._offset = start
        stream.skip(encoding.mark + (start if encoding.direct else 0))
        while not encoding.direct and start > 0 and (data := self._read(min(start, _BLOCK))):
            self._rest = data[start:]
            start -= len(data)

    @property
    def offset(self) -> int:
        """Where the next piece begins."""
        return self._offset

    def give_back(self, data: bytes) -> None:
        """Take back lines at the end of the newest piece, to hand them out with more behind them."""
        self._rest = data + self._rest
        self._kept = len(data)
        self._offset -= len(data)

    def take(self) -> Piece | None:
        """Return the next piece, None at the end."""
        kept, self._kept = self._kept, 0
        data, cut = self._rest, 0
        while not self._ended:
            fresh = len(data) - kept
            if fresh >= self._size and (cut := data.rfind(b"\n", kept) + 1) > kept:
                break
            if fresh > LONGEST_LINE:
                return self._long_line(data, kept)
            block = self._read(max(self._size, kept))
            self._ended = not block
            data += block
        if self._ended:
            cut = len(data)
        if not data:
            return None
        self._rest = data[cut:]
        self._offset += cut
        return Piece(data[:cut], self._offset - cut, last=self._ended)

    def _long_line(self, whole: bytes, kept: int) -> Piece:
        if kept:  # what was given back gets no more
            self._rest = whole[kept:]
            self._offset += kept
            return Piece(whole[:kept], self._offset - kept, last=True)
        piece = Piece(whole[:SHOWN], self._offset, too_long=True)
        end = whole.find(b"\n")
        while end < 0:
            self._offset += len(whole)
            whole = self._read(_BLOCK)
            if not whole:
                self._ended = True
                break
            end = whole.find(b"\n")
        self._rest = whole[end + 1 :] if end >= 0 else b""
        self._offset += end + 1
        return piece

    def _read(self, size: int) -> bytes:
        """Return bytes in the pieces' encoding."""
        data = self._stream.read(size)
        if self._decoder is not None:
            text = self._decoder.decode(data, not data)
            while data and not text:
                data = self._stream.read(size)
                text = self._decoder.decode(data, not data)
            data = text.encode("utf-8", "surrogatepass")
        return data.replace(b"\r", b"\n") if self._returns else data
