"""Caps: how many messages a contact gets at most in a time.

| rule                                                                                                               |
|--------------------------------------------------------------------------------------------------------------------|
| a message takes its place when it is decided, so two journeys cannot both take the last one                        |
| a cap counts what it is for: exempt messages never, transactional ones only when it says so                        |
| a window of length W at instant t is `(t - W, t]`; a calendar day is that of the contact's clock at t              |
| a place that was taken stays taken, also when quiet hours hold the message and it never leaves                     |
| two contacts that become one have taken the places of both                                                         |

A contact keeps one list of instants for all caps that count the same. With each message that takes a place it keeps no more
of them than the highest of these caps has places, nor older ones than the longest of them looks at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

import msgspec

from parcours.conditions.durations import UNITS, parse_duration
from parcours.core.contact import Contact
from parcours.definitions.message import MessageDefinition
from parcours.definitions.policy import Cap

CAPS = "caps:"
"""What stands among the needs for what caps count, with what they count behind it; ids of needs are hexadecimal."""

_LONGEST_DAY = 2 * UNITS["d"]
"""How far back a calendar day may have begun: days of 25 hours, and contacts that move to another zone."""


class CompiledCap(msgspec.Struct, frozen=True):
    """A cap, ready to be asked."""

    definition: Cap
    of: str
    """What it counts: equal for caps that count the same."""
    limit: int
    per: int
    """The length of the window; 0 for a calendar day."""
    text: str


class Counted(msgspec.Struct, frozen=True):
    """What caps that count the same look at together."""

    keep: int
    span: int


def compile_caps(caps: Iterable[Cap]) -> tuple[CompiledCap, ...]:
    """Return caps, ready to be asked."""
    return tuple(
        CompiledCap(cap, _counts(cap), cap.limit, parse_duration(cap.per) if cap.per is not None else 0, _text(cap))
        for cap in caps
    )


def counted_by(caps: Iterable[CompiledCap]) -> dict[str, Counted]:
    """Return what has to be kept of each thing that is counted."""
    found: dict[str, Counted] = {}
    for cap in caps:
        known = found.get(cap.of, Counted(0, 0))
        found[cap.of] = Counted(max(known.keep, cap.limit), max(known.span, cap.per or _LONGEST_DAY))
    return found


def caps_for(caps: Iterable[CompiledCap], message: MessageDefinition) -> tuple[CompiledCap, ...]:
    """Return the caps that a message is held to."""
    return tuple(cap for cap in caps if _is_for(cap.definition, message))


def _is_for(cap: Cap, message: MessageDefinition) -> bool:
    return (
        not message.exempt
        and (cap.transactional or message.purpose == "marketing")
        and cap.channel in {"", message.channel}
        and cap.topic in {"", message.topic}
    )


def _counts(cap: Cap) -> str:
    return f"{cap.channel}/{cap.topic}/{'all' if cap.transactional else 'marketing'}"


def _text(cap: Cap) -> str:
    time = f"in {cap.per}" if cap.per is not None else "a day"
    return " ".join(part for part in (str(cap.limit), time, cap.channel, cap.topic) if part)


def full(contact: Contact, caps: Iterable[CompiledCap], now: int, midnight: int) -> CompiledCap | None:
    """Return the first cap that has no place left, or None. `midnight` is when the contact's day began."""
    for cap in caps:
        times = contact.capped.get(cap.of)
        if times is None or len(times) < cap.limit:
            continue
        if times[-cap.limit] > (now - cap.per if cap.per else midnight - 1):
            return cap
    return None


def take(contact: Contact, caps: Iterable[CompiledCap], counted: Mapping[str, Counted], now: int) -> None:
    """Take a place in each cap. The contact is changed."""
    for of in dict.fromkeys(cap.of for cap in caps):
        times = contact.capped.setdefault(of, [])
        times.append(now)
        contact.capped[of] = _kept(times, counted[of], now)


def join(contact: Contact, other: Contact, counted: Mapping[str, Counted], now: int) -> None:
    """Let a contact have taken the places of another, too. The contact is changed."""
    for of, times in other.capped.items():
        known = counted.get(of)
        if known is not None and (kept := _kept(sorted(contact.capped.get(of, []) + times), known, now)):
            contact.capped[of] = kept


def count_again(
    contact: Contact, lacking: Iterable[str], taken: Mapping[str, list[int]], counted: Mapping[str, Counted], now: int
) -> None:
    """Count anew what has newly come to be counted, from all that was sent. The contact is changed."""
    for of in lacking:
        contact.capped.pop(of, None)
        if kept := _kept(sorted(taken.get(of, [])), counted[of], now):
            contact.capped[of] = kept
    for of in [of for of in contact.capped if of not in counted]:
        del contact.capped[of]


def _kept(times: list[int], counted: Counted, now: int) -> list[int]:
    return times[max(bisect_right(times, now - counted.span), len(times) - counted.keep) :]
