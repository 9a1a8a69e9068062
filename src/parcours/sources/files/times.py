"""Times as files write them: ISO 8601, numbers since 1970, and formats of one's own, with or without a zone.

A wall time that does not exist moves forward to the first that does; one that exists twice means the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from parcours.conditions.instants import EPOCH, MILLISECOND, milliseconds
from parcours.sources.files.rows import CellError

_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (wall times are told apart by their missing zone)
_SECOND = timedelta(seconds=1)
_DAY = 86_400_000
_HOUR = 3_600_000
_LATEST = int((datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) / MILLISECOND)
_MOST_KEPT = 100_000

NUMBERS = {"seconds": 1_000, "milliseconds": 1}
"""Formats that are a number since 1970, and the milliseconds of one."""

_WORDS = [
    ("yyyy", "%Y"), ("yy", "%y"), ("HH", "%H"), ("hh", "%H"), ("MM", "%M"), ("mm", ""), ("dd", "%d"), ("SS", "%S"),
    ("ss", "%S"),
]  # fmt: skip
_FIXED = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2}


class FormatError(ValueError):
    """It is no format of a time."""


def compile_format(pattern: str) -> str:
    """Return a format as `strptime` takes it; `iso`, `seconds` and `milliseconds` as they are.

    In `dd/mm/yyyy HH:MM:SS`, `mm` is the month before the hours and the minutes behind them.

    Raises:
        FormatError: It is none.
    """
    if pattern == "iso" or pattern in NUMBERS:
        return pattern
    compiled = pattern
    if "%" not in pattern:
        pieces, rest, hours = [], pattern, False
        while rest:
            for word, code in _WORDS:
                if rest.startswith(word):
                    hours = hours or code == "%H"
                    pieces.append(code or ("%M" if hours else "%m"))
                    rest = rest[len(word) :]
                    break
            else:
                if rest[0].isalpha() and rest[0] != "T":
                    raise FormatError(f"{pattern!r} is no format of a time")
                pieces.append(rest[0])
                rest = rest[1:]
        compiled = "".join(pieces)
    try:
        sample = EPOCH.strftime(compiled)
        datetime.strptime(sample, compiled)  # noqa: DTZ007 (only tried out)
    except (ValueError, re.error):
        raise FormatError(f"{pattern!r} is no format of a time") from None
    if not re.search(r"%[yYcxGs]", compiled) or not re.search(r"%[djcxDuUWV]", compiled):
        raise FormatError(f"{pattern!r} does not name a day")
    return compiled


class Times:
    """Reads times of one column.

    Args:
        formats: What may be written, the first that fits; ISO 8601 when empty.
        zone: The zone of times without an offset; without one they are refused, except dates if `calendar`.
        calendar: A date alone is its midnight in UTC, as attributes hold it, and not in the zone.
    """

    def __init__(self, formats: Sequence[str], zone: str, *, calendar: bool) -> None:
        self._zone = ZoneInfo(zone) if zone else None
        self._calendar = calendar
        self._offsets: dict[int, int | None] = {}
        self._kept: dict[str, int] = {}
        self._formats = [compile_format(pattern) for pattern in formats] or ["iso"]
        self._readers = [_reader(compiled) for compiled in self._formats]
        self._iso = self._formats == ["iso"]
        self.describe = "ISO 8601 with an offset" if self._iso else " or ".join(formats)

    @property
    def numbers(self) -> bool:
        """Whether a plain number may be a time."""
        return any(compiled in NUMBERS for compiled in self._formats)

    def milliseconds(self, text: str) -> int:
        """Return the instant of a text in milliseconds since the epoch.

        Raises:
            CellError: It is none.
        """
        kept = self._kept.get(text)
        if kept is None:
            kept = self._read(text)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[text] = kept
        return kept

    def column(self, texts: Sequence[str]) -> list[int]:
        """Return the instants of many texts, which is quicker.

        Raises:
            CellError: One is none.
        """
        if self._iso and self._zone is None:
            try:
                return [(moment - EPOCH) // MILLISECOND for moment in map(datetime.fromisoformat, texts)]
            except (ValueError, TypeError):
                pass  # one at a time, to say which
        return [self.milliseconds(text) for text in texts]

    def of(self, value: object) -> int:
        """Return the instant of a value of a file that has types.

        Raises:
            CellError: It is none.
        """
        if isinstance(value, str):
            return self.milliseconds(value)
        if isinstance(value, datetime):
            return self._instant(value, dated=False)
        if isinstance(value, date):
            return self._instant(datetime.combine(value, time()), dated=True)
        if isinstance(value, int | float) and not isinstance(value, bool) and self.numbers:
            return self.milliseconds(repr(value))
        raise CellError("wrong_type", "it is not a time", f"write {self.describe}")

    def _read(self, text: str) -> int:
        stripped = text.strip()
        for compiled, reader in zip(self._formats, self._readers, strict=True):
            try:
                read = reader(stripped)
            except (ValueError, OverflowError):
                continue
            if isinstance(read, int):
                return _checked(read)
            dated = len(stripped) <= len("1980-12-31") if compiled == "iso" else not re.search("%[HIcXs]", compiled)
            return self._instant(read, dated=dated)
        raise CellError("wrong_type", f"{text[:80]!r} is not a time", f"write {self.describe}")

    def _instant(self, moment: datetime, *, dated: bool) -> int:
        if moment.tzinfo is not None:
            return milliseconds(moment)
        wall = (moment - _NAIVE_EPOCH) // MILLISECOND
        if dated and self._calendar:
            return wall
        if self._zone is None:
            raise CellError("naive_time", "the time has no offset", "write it with its offset, or declare a zone")
        hour = wall // _HOUR
        offset = self._offsets.get(hour, -1)
        if offset == -1:
            if len(self._offsets) >= _MOST_KEPT:
                self._offsets.clear()
            offset = self._offsets[hour] = self._offset(moment.replace(minute=0, second=0, microsecond=0))
        return resolve(moment, self._zone) if offset is None else wall - offset

    def _offset(self, hour: datetime) -> int | None:
        """Return how far a whole hour is ahead of UTC in milliseconds, or None when the clock is changed in it."""
        assert self._zone is not None  # noqa: S101 (only asked for with a zone)
        ends = (hour, hour.replace(minute=59, second=59, microsecond=999_999))
        try:
            offsets = {
                end.replace(tzinfo=self._zone, fold=fold).utcoffset() // MILLISECOND  # type: ignore[operator]
                for end in ends
                for fold in (0, 1)
            }
        except (OverflowError, ValueError):
            return None
        return offsets.pop() if len(offsets) == 1 else None


def resolve(moment: datetime, zone: tzinfo) -> int:
    """Return the instant of a wall time in a zone, in milliseconds.

    One that exists twice means the first; one that does not exist means the first instant behind the gap.
    """
    try:
        first = moment.replace(tzinfo=zone, fold=0)
        before, after = first.utcoffset(), moment.replace(tzinfo=zone, fold=1).utcoffset()
        assert before is not None and after is not None  # noqa: S101, PT018 (zones know their offsets)
        wall = moment - _NAIVE_EPOCH
        if after <= before:  # the clock is put back, or not changed at all
            return (wall - before) // MILLISECOND
        # The clock is put forward: the gap begins where the old offset ends. It is looked for to the second.
        low, high = (wall - after) // _SECOND, (wall - before) // _SECOND + 1
        while low < high:
            middle = (low + high) // 2
            if (EPOCH + timedelta(seconds=middle)).astimezone(zone).utcoffset() == before:
                low = middle + 1
            else:
                high = middle
    except OverflowError:
        raise CellError("absurd_time", "the time is too far away") from None
    return low * 1_000


def _checked(milliseconds: int) -> int:
    if not -_LATEST <= milliseconds <= _LATEST:
        raise CellError("absurd_time", "the time is too far away")
    return milliseconds


def _reader(compiled: str) -> Callable[[str], datetime | int]:
    """Return what reads one format: a wall time, an instant, or milliseconds."""
    if compiled == "iso":
        return datetime.fromisoformat
    if compiled in NUMBERS:
        factor = NUMBERS[compiled]
        return lambda text: _number(text, factor)
    parts = re.findall(r"%.|[^%]+", compiled)
    if all(part in _FIXED or "%" not in part for part in parts) and {"%Y", "%m", "%d"} <= set(parts):
        return _Fixed(parts)
    return lambda text: datetime.strptime(text, compiled)  # noqa: DTZ007 (the zone is given behind it)


def _number(text: str, factor: int) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,9}0*)?", text):
        raise ValueError(text)
    return round(float(text) * factor) if "." in text else int(text) * factor


class _Fixed:
    """Reads a format in which every part has so many digits: ten times as fast as `strptime`.

    What has another width is left to `strptime`, which takes `1/2/2026`, too.
    """

    def __init__(self, parts: list[str]) -> None:
        self._compiled = "".join(parts)
        group = {code: f"([0-9]{{{width}}})" for code, width in _FIXED.items()}
        self._pattern = re.compile("".join(group.get(part) or re.escape(part) for part in parts))
        codes = [part for part in parts if part in _FIXED]
        self._order = [codes.index(code) for code in ("%Y", "%m", "%d", "%H", "%M", "%S") if code in codes]
        usual = [code for code in ("%Y", "%m", "%d", "%H", "%M", "%S") if code in codes]
        self._quick = usual == ["%Y", "%m", "%d", "%H", "%M", "%S"][: len(usual)] and len(set(codes)) == len(codes)

    def __call__(self, text: str) -> datetime:
        found = self._pattern.fullmatch(text) if self._quick else None
        if found is None:
            return datetime.strptime(text, self._compiled)  # noqa: DTZ007 (the zone is given behind it)
        groups = found.groups()
        year, month, day, *rest = [int(groups[index]) for index in self._order]
        return datetime(year, month, day, *rest)  # type: ignore[arg-type]  # noqa: DTZ001 (the same)
