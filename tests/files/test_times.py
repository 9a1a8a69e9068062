"""Times in every form, and around the hours at which clocks are changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.sources.files.rows import CellError
from parcours.sources.files.times import EPOCH, FormatError, Times, compile_format
from tests.profiles import examples


def read(text: object, formats: list[str] | None = None, zone: str = "", *, calendar: bool = False) -> str:
    times = Times(formats or [], zone, calendar=calendar)
    return (EPOCH + timedelta(milliseconds=times.of(text))).isoformat()


@pytest.mark.parametrize(
    "text, formats, zone, instant",
    [
        ("2026-01-31T12:00:00+01:00", [], "", "2026-01-31T11:00:00+00:00"),
        ("2026-01-31 12:00:00Z", [], "Europe/Paris", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31T12:00:00", [], "Europe/Paris", "2026-01-31T11:00:00+00:00"),
        ("2026-07-31", [], "Europe/Paris", "2026-07-30T22:00:00+00:00"),
        ("31/01/2026", ["dd/mm/yyyy"], "UTC", "2026-01-31T00:00:00+00:00"),
        ("1/2/2026", ["dd/mm/yyyy"], "UTC", "2026-02-01T00:00:00+00:00"),
        ("31.01.26 7:05", ["%d.%m.%y %H:%M"], "UTC", "2026-01-31T07:05:00+00:00"),
        ("01/31/2026 23:59:58", ["dd/mm/yyyy HH:MM:SS", "mm/dd/yyyy HH:MM:SS"], "UTC", "2026-01-31T23:59:58+00:00"),
        ("20260131 2359", ["yyyymmdd HHMM"], "UTC", "2026-01-31T23:59:00+00:00"),
        ("31 Jan 2026 12:00 +0200", ["%d %b %Y %H:%M %z"], "", "2026-01-31T10:00:00+00:00"),
        ("1769860800", ["seconds"], "", "2026-01-31T12:00:00+00:00"),
        ("1769860800.5", ["seconds"], "", "2026-01-31T12:00:00.500000+00:00"),
        ("1769860800001", ["milliseconds"], "", "2026-01-31T12:00:00.001000+00:00"),
        (1769860800, ["seconds"], "", "2026-01-31T12:00:00+00:00"),
        (date(2026, 1, 31), [], "UTC", "2026-01-31T00:00:00+00:00"),
        # The clock is put forward at 02:00: 02:30 is not, and the first instant behind it is 03:00.
        ("2026-03-29T02:30:00", [], "Europe/Paris", "2026-03-29T01:00:00+00:00"),
        ("2026-03-29T02:00:00", [], "Europe/Paris", "2026-03-29T01:00:00+00:00"),
        ("2026-03-29T01:59:59", [], "Europe/Paris", "2026-03-29T00:59:59+00:00"),
        ("2026-03-29T03:00:00", [], "Europe/Paris", "2026-03-29T01:00:00+00:00"),
        # It is put back at 03:00: 02:30 is twice, and the first is meant.
        ("2026-10-25T02:30:00", [], "Europe/Paris", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T03:00:00", [], "Europe/Paris", "2026-10-25T02:00:00+00:00"),
        # Half an hour, and a day that was left out.
        ("2026-10-04T02:15:00", [], "Australia/Lord_Howe", "2026-10-03T15:30:00+00:00"),
        ("2011-12-30T12:00:00", [], "Pacific/Apia", "2011-12-30T10:00:00+00:00"),
    ],
)  # fmt: skip
def test_times(text: object, formats: list[str], zone: str, instant: str) -> None:
    assert read(text, formats, zone) == instant


@pytest.mark.parametrize(
    "text, formats, code",
    [
        ("2026-01-31T12:00:00", [], "naive_time"), ("2026-01-31", [], "naive_time"), ("31/01/2026", [], "wrong_type"),
        ("2026-02-30T00:00:00Z", [], "wrong_type"), ("soon", ["seconds"], "wrong_type"),
        ("99999999999999999", ["seconds"], "absurd_time"), (True, ["seconds"], "wrong_type"), (1, [], "wrong_type"),
        ("31/02/2026", ["dd/mm/yyyy"], "wrong_type"), ("9999-12-31T23:59:59-12:00", [], None),
    ],
)  # fmt: skip
def test_what_is_no_time(text: object, formats: list[str], code: str | None) -> None:
    times = Times(formats, "", calendar=False)
    if code is None:
        assert times.of(text) > 0
        return
    with pytest.raises(CellError) as raised:
        times.of(text)
    assert raised.value.code == code


def test_a_day_of_an_attribute_is_its_midnight_in_utc() -> None:
    assert read("1980-12-31", [], "Europe/Paris", calendar=True) == "1980-12-31T00:00:00+00:00"
    assert read("31/12/1980", ["dd/mm/yyyy"], "", calendar=True) == "1980-12-31T00:00:00+00:00"


@pytest.mark.parametrize("pattern", ["", "dd/mm", "%H:%M", "yyyy", "soon", "%Q", "%d/%m/%Y %", "dd/mm/yyyy x"])
def test_what_is_no_format(pattern: str) -> None:
    with pytest.raises(FormatError):
        compile_format(pattern)


@examples(60)
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]),
)
def test_a_wall_time_that_exists_is_that_instant(moment: datetime, zone: str) -> None:
    moment = moment.replace(microsecond=0)
    instant = datetime.fromisoformat(read(moment.isoformat(), [], zone))
    wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    expected = moment.replace(tzinfo=ZoneInfo(zone))
    assert wall >= moment
    if wall == moment:
        assert instant == expected.astimezone(UTC)
    else:  # it does not exist: the instant is the first with another offset
        assert (instant - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None) < moment


@examples(60)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_a_quick_format_reads_what_strptime_does(moment: datetime) -> None:
    text = moment.strftime("%d/%m/%Y %H:%M:%S")
    assert read(text, ["dd/mm/yyyy HH:MM:SS"], "UTC") == moment.replace(microsecond=0, tzinfo=UTC).isoformat()
