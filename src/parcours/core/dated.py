"""Entries by a date of the contact: a birthday, the days before a contract ends.

| rule                                                                                                              |
|-------------------------------------------------------------------------------------------------------------------|
| a contact with a date has one timer for each such journey, at the next moment after now; what is past never fires  |
| it is set when the journey goes live (for everybody), when the date or the time zone of the contact is told, when   |
| another contact becomes part of this one, and for the next year when it comes due                                  |
| yearly: the anniversaries from the date's own year on; of 29 February the 28th in a common year                    |
| the moment is a time of day in the contact's zone, whole calendar days before or after the date                    |
| a date is text such as 1980-12-31, or an instant, which is the day that it is in the contact's zone; an instant at  |
| midnight UTC is a date whose time nobody said                                                                      |
| `where` is asked at the moment itself                                                                              |
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

from parcours.conditions.operators import is_date, to_instant
from parcours.core.compiled import Dated
from parcours.core.contact import DATE, Contact, Timer
from parcours.core.effects import Effects
from parcours.core.plan import Plan
from parcours.core.runs import enter
from parcours.core.waits import local, wall
from parcours.core.zones import zone_for

_ONE_DAY = timedelta(days=1)
_YEARS = 3
"""Anniversaries that are tried: the one before, this year's, the next."""


def next_moment(dated: Dated, value: object, zone: ZoneInfo, now: int) -> int | None:
    """Return the first moment after now at which a contact with this date enters, or None."""
    day = _day_of(value, zone)
    if day is None:
        return None
    try:
        if not dated.yearly:
            at = wall(zone, day + dated.days * _ONE_DAY, dated.time)
            return at if at > now else None
        first = max(day.year, (local(zone, now).date() - dated.days * _ONE_DAY).year - 1)
        moments = (
            wall(zone, _anniversary(day, year) + dated.days * _ONE_DAY, dated.time)
            for year in range(first, first + _YEARS)
        )
        return next((at for at in moments if at > now), None)
    except (OverflowError, ValueError):  # beyond all calendars
        return None


def _day_of(value: object, zone: ZoneInfo) -> date | None:
    instant = to_instant(value)
    if instant is None:
        return None
    if isinstance(value, str) and is_date(value):
        return instant.date()
    here = instant.astimezone(UTC)
    try:
        return here.date() if here.time() == here.time().min else here.astimezone(zone).date()
    except OverflowError:
        return None


def _anniversary(day: date, year: int) -> date:
    try:
        return day.replace(year=year)
    except ValueError:
        return day.replace(year=year, day=28)


def set_dates(plan: Plan, contact: Contact, journeys: Iterable[str], now: int) -> None:
    """Set the timers of some journeys that are entered by a date. The contact is changed."""
    for name in journeys:
        dated = plan.dated.get(name)
        due = None
        if dated is not None:
            value = contact.attributes.get(dated.attribute)
            if value is not None:
                due = next_moment(dated, value, zone_for(plan, contact, plan.newest[name]), now)
        known = contact.dates.get(name)
        if known == due:
            continue
        if known is not None:
            del contact.dates[name]
            # In place, for whoever fires timers has the list in hand.
            contact.timers[:] = [timer for timer in contact.timers if timer.token != DATE or timer.journey != name]
        if due is not None:
            contact.dates[name] = due
            contact.created += 1
            insort(contact.timers, Timer(due, contact.created, name, "", DATE))


def come_due(plan: Plan, contact: Contact, timer: Timer, effects: Effects) -> None:
    """The moment of a date came. The contact is changed."""
    contact.dates.pop(timer.journey, None)
    if timer.journey not in plan.dated:
        return
    now, journey = timer.due, plan.newest[timer.journey]
    set_dates(plan, contact, (journey.name,), now)
    if journey.where is None or journey.where.ask(contact, {}, now):
        enter(plan, contact, journey, {}, 0, now, effects, f"date@{now}")
