"""What a condition means, written as plainly as can be: the tree asked of everything that ever happened.

The compilers are held to it. It shares no code with them beyond reading names, and it is slow.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from parcours.conditions import ast

DAY = 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Event(NamedTuple):
    """An interaction: what happened, and when."""

    name: str
    """Folded."""
    at: int
    attributes: Mapping[str, Any] = {}


class Mail(NamedTuple):
    """A message that was sent, and every reaction to it as `(kind, when it occurred)`."""

    message: str
    channel: str
    at: int
    reactions: Sequence[tuple[str, int]] = ()


class Had(NamedTuple):
    """What a member of a programme has from one instant to before another."""

    start: int
    finish: int
    current: bool
    """Whether they are a member, rather than were one."""
    spendable: int
    held: int
    lifetime: int
    period: int
    """What occurred before does not count towards tiers."""
    span: int
    """Nor does what is as old as this; 0 for none."""
    tiers: tuple[str, ...]
    """Theirs is the last."""


class Joined(NamedTuple):
    """A member of a programme."""

    has: Sequence[Had] = ()
    qualified: Sequence[tuple[int, int]] = ()
    """When something that counts towards tiers occurred, and how much."""

    def at(self, now: int) -> Had:
        """Return what the member has at an instant."""
        (found,) = (had for had in self.has if had.start <= now < had.finish)
        return found

    def qualifying(self, now: int) -> int:
        """Return what counts towards tiers at an instant."""
        had = self.at(now)
        counts = [(at, amount) for at, amount in self.qualified if had.period <= at <= now]
        return sum(amount for at, amount in counts if not had.span or now - had.span < at)


class Given(NamedTuple):
    """A coupon."""

    reward: str
    state: str
    issued_at: int
    at: int
    """When it came into the state."""
    until: int
    """0 for ever."""


class Somebody(NamedTuple):
    """A contact with everything that is known of it."""

    attributes: Mapping[str, Any] = {}
    consent: Mapping[str, Mapping[str, str]] = {}
    lists: Mapping[str, bool] = {}
    events: Sequence[Event] = ()
    """In the order in which they arrived."""
    messages: Sequence[Mail] = ()
    number: int = 0
    """The contact's id as a number."""
    programmes: Mapping[str, Joined] = {}
    coupons: Sequence[Given] = ()


class Asked(NamedTuple):
    """Of whom a condition is asked, and when."""

    of: Somebody
    now: int
    trigger: Mapping[str, Any] = {}
    """The attributes of the interaction at hand."""
    entry: int | None = None
    """When the run started."""
    segments: Mapping[str, ast.Node] = {}


def answer(node: ast.Node, asked: Asked) -> bool:  # noqa: PLR0911 (a case a kind of node)
    """Return whether a condition is true."""
    match node:
        case ast.All():
            return all(answer(part, asked) for part in node.parts)
        case ast.Any():
            return any(answer(part, asked) for part in node.parts)
        case ast.Not():
            return not answer(node.part, asked)
        case ast.Attribute():
            source = asked.of.attributes if node.subject is ast.Subject.CONTACT else asked.trigger
            return compares(node, source.get(node.name), asked.now)
        case ast.InSegment():
            return answer(asked.segments[node.name], asked)
        case ast.InList():
            return asked.of.lists.get(node.name, False)
        case ast.Consent():
            topics = asked.of.consent.get(node.channel, {})
            return (topics.get(node.topic) or topics.get("") or "unknown") == node.state
        case ast.Sample():
            digest = hashlib.md5(f"{node.seed}:{asked.of.number}".encode()).digest()
            percent = Fraction(int.from_bytes(digest[:4], "big"), 2**32) * 100
            start, length = (Fraction(round(part * 10**6), 10**6) for part in (node.start, node.percent))
            return start <= percent < start + length
        case ast.Points() | ast.Tier() | ast.IsMember():
            member = asked.of.programmes.get(node.programme)
            return member is not None and _has(node, member, asked.now)
        case ast.HasReward():
            return any(_fits(node, coupon, asked.now) for coupon in asked.of.coupons)
        case ast.History():
            return history(node, asked)
        case ast.Sequence():
            return sequence(node, asked)
        case ast.MessageHistory():
            return messages(node, asked)


# --- what happened ----------------------------------------------------------------------------------------------------


def _has(node: ast.Points | ast.Tier | ast.IsMember, member: Joined, now: int) -> bool:
    had = member.at(now)
    if isinstance(node, ast.Points):
        figure = member.qualifying(now) if node.kind == "qualifying" else getattr(had, node.kind)
        return {
            "at_least": figure >= node.value,
            "at_most": figure <= node.value,
            "more_than": figure > node.value,
            "less_than": figure < node.value,
            "exactly": figure == node.value,
        }[node.operator]
    if isinstance(node, ast.IsMember) or not had.current:
        return had.current
    theirs = had.tiers if node.operator == "at_least" else had.tiers[-1:]
    return any(tier in node.names for tier in theirs)


def _fits(node: ast.HasReward, coupon: Given, now: int) -> bool:
    since = coupon.at if node.state == "redeemed" else coupon.issued_at
    if coupon.reward != node.reward or (node.within and since <= now - node.within):
        return False
    if node.state == "open":
        return coupon.state in ("issued", "reserved") and (not coupon.until or coupon.until > now)
    return node.state == "issued" or coupon.state == "redeemed"


def inside(window: ast.Window, at: int, asked: Asked) -> bool:
    if at > asked.now:
        return False
    if window.within is not None and at <= asked.now - window.within:
        return False
    if window.start is not None and at < window.start:
        return False
    if window.end is not None and at >= window.end:
        return False
    return not window.since or (asked.entry is not None and at >= asked.entry)


def in_order(events: Sequence[Event]) -> list[Event]:
    """Return events in the order they occurred; at one instant, what arrived first is first."""
    return [event for _, _, event in sorted((event.at, place, event) for place, event in enumerate(events))]


def matches(names: Sequence[str], where: ast.Node | None, event: Event) -> bool:
    return event.name in names and (where is None or answer(where, Asked(Somebody(), event.at, event.attributes)))


def number(value: Any) -> float | None:
    if sort_of(value) != "number":
        return None
    return float(value) if math.isfinite(float(value)) else None


def history(leaf: ast.History, asked: Asked) -> bool:
    found = [
        event
        for event in in_order(asked.of.events)
        if matches(leaf.interactions, leaf.where, event) and inside(leaf.window, event.at, asked)
    ]
    if leaf.measure is ast.Measure.COUNT:
        return counts(leaf.operator, len(found), leaf.value)
    values = [event.attributes.get(leaf.attribute) for event in found]
    numbers = [value for value in map(number, values) if value is not None]
    present = [value for value in values if value is not None]
    match leaf.measure:
        case ast.Measure.SUM:
            total = sum(as_millionths(value) for value in numbers if abs(value) <= 1e12)
            if leaf.operator == "between":
                low, high = leaf.value
                return as_millionths(low) <= total <= as_millionths(high)
            return counts(leaf.operator, total, as_millionths(leaf.value))
        case ast.Measure.MINIMUM:
            return compares(leaf, min(numbers, default=None), asked.now)
        case ast.Measure.MAXIMUM:
            return compares(leaf, max(numbers, default=None), asked.now)
        case ast.Measure.FIRST:
            return compares(leaf, present[0] if present else None, asked.now)
        case _:
            return compares(leaf, present[-1] if present else None, asked.now)


def as_millionths(value: float) -> int:
    return math.floor(float(value) * 1e6 + 0.5)


def sequence(leaf: ast.Sequence, asked: Asked) -> bool:
    events = in_order(asked.of.events)

    def goes_on(index: int, before: int | None) -> bool:
        """Return whether the steps from `index` on happen after the event at the place `before`."""
        if index == len(leaf.steps):
            return True
        step = leaf.steps[index]
        after = [place for place in range(len(events)) if before is None or place > before]
        fitting = [place for place in after if matches(step.interactions, step.where, events[place])]
        if before is not None and step.within is not None:
            fitting = [place for place in fitting if events[place].at - events[before].at < step.within]
        if step.absent:
            return not fitting and asked.now >= events[before].at + step.within
        return any(goes_on(index + 1, place) for place in fitting if inside(leaf.window, events[place].at, asked))

    return goes_on(0, None)


def messages(leaf: ast.MessageHistory, asked: Asked) -> bool:
    count = 0
    for mail in asked.of.messages:
        if (leaf.of and mail.message not in leaf.of) or (leaf.channel and mail.channel != leaf.channel):
            continue
        times = [mail.at] if leaf.reaction == "sent" else [at for kind, at in mail.reactions if kind == leaf.reaction]
        if times and inside(leaf.window, min(times), asked):
            count += 1
    return counts(leaf.operator, count, leaf.count)


def counts(operator: str, count: int, limit: int) -> bool:
    return {
        "at_least": count >= limit, "at_most": count <= limit, "exactly": count == limit,
        "more_than": count > limit, "less_than": count < limit,
    }[operator]  # fmt: skip


# --- comparisons ------------------------------------------------------------------------------------------------------


def compares(leaf: ast.Attribute | ast.History, value: Any, now: int) -> bool:
    """Return what a comparison says of a value, None when it is missing."""
    if leaf.operator == "is_missing":
        return value is None
    if value is None:
        return False
    operand = leaf.value
    if leaf.ignore_case:
        value, operand = lower(value), lower(operand)
    return holds(leaf.operator, value, operand, now)


def sort_of(value):
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def lower(value):
    if isinstance(value, list | tuple):
        return [lower(item) for item in value]
    return value.casefold() if isinstance(value, str) else value


def moment(value):
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        return None
    for written in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"):
        try:
            read = datetime.strptime(value, written)  # noqa: DTZ007 (a date is its midnight in UTC, set below)
            return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    return None


def after_epoch(now: int) -> datetime:
    return EPOCH + timedelta(milliseconds=now)


def has_anniversary(born: date, day: date) -> bool:
    common = (day + timedelta(days=1)).month == 3  # 28 February is followed by March
    if (born.month, born.day) == (2, 29) and common and (day.month, day.day) == (2, 28):
        return True
    return (born.month, born.day) == (day.month, day.day)


def same(a, b):
    if sort_of(a) == sort_of(b) == "number":
        return float(a) == float(b)
    return sort_of(a) == sort_of(b) and a == b


def holds(operator, value, operand, now):  # noqa: C901, PLR0911, PLR0912 (a case an operator)
    ordered = sort_of(value) == sort_of(operand) and sort_of(value) in {"text", "number"}
    if ordered and sort_of(value) == "number":
        value, operand = float(value), float(operand)
    match operator:
        case "is":
            return same(value, operand)
        case "is_not":
            return not same(value, operand)
        case "in":
            return any(same(value, item) for item in operand)
        case "not_in":
            return not any(same(value, item) for item in operand)
        case "less_than":
            return ordered and value < operand
        case "at_most":
            return ordered and (value < operand or value == operand)
        case "more_than":
            return ordered and value > operand
        case "at_least":
            return ordered and (value > operand or value == operand)
        case "between":
            low, high = operand
            return holds("at_least", value, low, now) and holds("at_most", value, high, now)
        case "contains":
            if isinstance(value, str):
                return value.find(operand) >= 0
            return isinstance(value, list) and any(same(item, operand) for item in value)
        case "contains_any":
            return isinstance(value, list) and bool({*operand} & {item for item in value if isinstance(item, str)})
        case "contains_all":
            return isinstance(value, list) and {*operand} <= {item for item in value if isinstance(item, str)}
        case "starts_with":
            return isinstance(value, str) and value[: len(operand)] == operand
        case "ends_with":
            return isinstance(value, str) and (not operand or value[-len(operand) :] == operand)
        case "under":
            if isinstance(value, list):
                return any(holds("under", item, operand, now) for item in value if isinstance(item, str))
            inner, outer = (
                [part.strip() for part in text.split(">") if part.strip()] for text in (str(value), operand)
            )
            return isinstance(value, str) and outer != [] and [*map(same, inner, outer)] == [True] * len(outer)
        case "is_present":
            return True
    return holds_of_a_moment(operator, moment(value), operand, after_epoch(now))


def holds_of_a_moment(operator, at, operand, now):
    if at is None:
        return False
    match operator:
        case "before":
            return at < moment(operand)
        case "after":
            if len(operand) == len("1980-12-31"):
                return at >= moment(operand) + timedelta(days=1)
            return at >= moment(operand) + timedelta(milliseconds=1)
        case "within_last":
            return now - timedelta(milliseconds=operand) < at <= now
        case "within_next":
            return now < at <= now + timedelta(milliseconds=operand)
        case "older_than":
            return at <= now - timedelta(milliseconds=operand)
        case "anniversary_within":
            days = range(min(operand // DAY, 366))
            return any(has_anniversary(at.date(), now.date() + timedelta(days=day)) for day in days)
    raise AssertionError(operator)
