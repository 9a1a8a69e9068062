"""Instants are exact: there and back, whatever the fraction of the second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.cli.console import instant_in
from parcours.conditions.instants import brief, first_milliseconds, iso, microseconds, milliseconds, moment_of
from parcours.definitions.common import milliseconds_of

INSTANTS = st.integers(-(10**13), 10**14)
LOST = (268_997_955_317, "1978-07-11T09:39:15.317Z")
"""As a number of seconds with a fraction, this is a little less than it is."""


@given(INSTANTS, st.integers(-14 * 60, 14 * 60))
def test_there_and_back(instant: int, offset: int):
    moment = moment_of(instant).astimezone(timezone(timedelta(minutes=offset)))
    assert milliseconds(moment) == first_milliseconds(moment) == instant
    assert microseconds(moment) == instant * 1_000
    assert datetime.fromisoformat(iso(instant)) == datetime.fromisoformat(brief(instant)) == moment
    assert milliseconds_of(iso(instant)) == instant


@given(INSTANTS, st.integers(1, 999))
def test_between_two_instants(instant: int, micros: int):
    moment = moment_of(instant) + timedelta(microseconds=micros)
    assert (milliseconds(moment), first_milliseconds(moment)) == (instant, instant + 1)


def test_how_they_are_written():
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_500, "seconds") == "1970-01-01T00:00:01Z"
    assert (brief(2_000), brief(2_001)) == ("1970-01-01T00:00:02Z", "1970-01-01T00:00:02.001Z")
    with pytest.raises(OverflowError):
        iso(10**18)


def test_no_millisecond_is_lost_where_times_are_read():
    instant, text = LOST
    assert int(datetime.fromisoformat(text).timestamp() * 1000) == instant - 1  # what was read before
    assert milliseconds_of(text) == instant
    assert instant_in(text) == instant
    assert milliseconds(datetime.fromisoformat(text).astimezone(UTC)) == instant
