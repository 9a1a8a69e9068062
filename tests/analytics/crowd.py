"""Made-up contacts for questions about all of them: few values, near one another, at awkward instants."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise, product
from random import Random
from typing import Any

import msgspec

from tests.conditions.reference import Event, Given, Had, Joined, Mail, Somebody


class Happened(msgspec.Struct):
    name: str
    position: int
    occurred_at: int
    attributes: dict[str, Any]


class Reaction(msgspec.Struct):
    message: str
    name: str
    channel: str
    reaction: str
    at: int
    position: int


class Person(msgspec.Struct):
    id: int
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    consent: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    lists: set[str] = msgspec.field(default_factory=set)
    past: list[Happened] = msgspec.field(default_factory=list)
    messages: list[Reaction] = msgspec.field(default_factory=list)
    """Each with `sent` first; one reaction may be there several times."""
    programmes: dict[str, Joined] = msgspec.field(default_factory=dict)
    coupons: list[Given] = msgspec.field(default_factory=list)

    def somebody(self) -> Somebody:
        """Return the contact as the reference looks at it."""
        past = sorted(self.past, key=lambda event: event.position)
        mails: dict[str, Mail] = {}
        for item in self.messages:
            if item.reaction == "sent":
                mails[item.message] = Mail(item.name, item.channel, item.at, [])
            else:
                mails[item.message].reactions.append((item.reaction, item.at))
        return Somebody(
            self.attributes,
            self.consent,
            dict.fromkeys(self.lists, True),
            [Event(event.name, event.occurred_at, event.attributes) for event in past],
            list(mails.values()),
            self.id,
            self.programmes,
            self.coupons,
        )


HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 1_772_236_800_000  # 2026-02-28T00:00:00Z
NOWS = (
    NOW,
    NOW + 1,
    NOW - 1,
    NOW + DAY - 1,
    NOW + 2 * DAY,
    NOW + 731 * DAY,
    NOW - 30 * DAY,
)  # leap day 2028 among them

NAMES = ("viewed", "ordered", "ünï \"quoted' ; --", "reviewed")
UNSEEN = "never seen"
ATTRIBUTES = ("city", "Total", "a/b~c 'x\" \\ ünï", "never given")

# ruff: noqa: RUF001 (letters that look alike and fold differently)
TEXTS = (
    *("", "Atlanta", "atlanta", "ATLANTA", "Straße", "STRASSE", "strasse", "straße", "ß", "ẞ", "SS", "ss"),
    *("İstanbul", "i̇stanbul", "istanbul", "Istanbul", "ISTANBUL", "ısparta", "Ω", "Ω", "ς", "Σ", "σ", "K", "k", "ŉ"),
    *("é", "e\u0301", "É", "E\u0301", "😀", "👩‍👩‍👧", "\uff5e", "\ufffd", "\U00010400", "\U00010428", "z", "~", "🇫🇷"),
    *(
        "100%",
        "100",
        "1",
        "a_b",
        "axb",
        "a%b",
        "a\\b",
        "a\\\\b",
        "\\",
        "it's",
        '"',
        "`",
        "line\nbreak",
        "tab\t",
        "$1 {x:y} ?",
    ),
    *(
        " Atlanta",
        "Atlanta ",
        "Atlanta > North",
        "Atlanta>north",
        " atlanta >North > A",
        ">",
        "> >",
        "Atlanta >",
        "A > ß",
    ),
    *("true", "null", "NaN", "0", "\u00a0x\u00a0", "\u3000x"),
)
INSTANTS = (
    *("1980-12-31", "2024-02-29", "2026-02-28", "2026-03-01", "2026-02-27", "0001-01-01", "9999-12-30", "1999-02-28"),
    *("2026-02-28T00:00:00Z", "2026-02-28T00:00:00.001Z", "2026-02-28T00:00:00.000001Z", "2026-02-27T23:59:59.999999Z"),
    *("2026-01-31T09:00:00+01:00", "2026-01-31T08:00:00Z", "2026-01-31T08:00:00", "2026-02-28T00:00:00.5Z"),
    *("2026-01-29T00:00:00Z", "2026-02-29", "2026-02-26", "2026-02-28T23:30:00-01:00", "2025-12-31T23:59:59Z"),
)
NUMBERS = (
    *(
        0,
        1,
        -1,
        1.0,
        1.5,
        -0.0,
        0.1,
        0.2,
        0.3,
        0.1 + 0.2,
        2,
        3,
        4.999999,
        5,
        100,
        -100,
        1e12,
        -1e12,
        1e12 + 0.001,
        1e13,
    ),
    *(
        2**53,
        2**53 + 1,
        2**53 - 1,
        2**60,
        2**60 + 1,
        2**63 - 1,
        -(2**63) + 1,
        5e-324,
        1.7976931348623157e308,
        0.0000005,
    ),
    *(0.0000004, -0.0000005, 123456.789, 1e-7, 1 / 3, 2 / 3),
)
VALUES: tuple[Any, ...] = (
    *TEXTS,
    *INSTANTS,
    *NUMBERS,
    *(True, False, None, None, {"nested": 1}, {}),
    *([], ["Atlanta"], ["atlanta", "x"], ["x", "Atlanta > North"], ["Straße"], ["STRASSE", "ß > B"], [1, "1"], [None]),
    *([""], ["it's", "a\\b"], ["İ"], ["x", "y", "z"]),
    *(datetime(2026, 2, 28, tzinfo=UTC), datetime(2000, 2, 29, 12, tzinfo=UTC)),
    datetime(2026, 1, 31, 8, 0, 0, 1, tzinfo=UTC),
)
GAPS = (0, 1, HOUR - 1, HOUR, HOUR + 1, DAY - 1, DAY, DAY + 1)
"""How far what happens lies apart, and how long windows are."""

LISTS = ("vip", "it's a list", "Vip")
CHANNELS = ("email", "push")
TOPICS = ("", "news", "it's")
STATES = ("opted_in", "opted_out", "unknown")
MESSAGES = ("welcome", "it's a message", "bye")
KINDS = ("sent", "opened", "clicked")
PROGRAMMES = ("club", "it's a \\ club", "ünï")
TIERS = ("silver", "it's gold", "platin")
REWARDS = ("ten", "it's a gift")
STATES_OF_COUPONS = ("issued", "reserved", "redeemed", "cancelled", "expired")
NEVER = 2**62
DRAWS = ("october", "it's a \\ draw: 1", "ünï")


def crowd(seed: int, number: int = 160) -> list[Person]:
    """Return contacts with random pasts, and one for each way in which three interactions may follow one another."""
    random = Random(seed)
    found = [_person(random, index) for index in range(number)]
    position = 1_000_000
    for names, gap, age in product(product(NAMES[:2], repeat=3), random.sample(GAPS, 3), random.sample(GAPS, 2)):
        person = Person(1_000_000 + len(found))
        at = NOW - age
        for name in reversed(names):
            person.past.append(Happened(name, position, at, {"Total": random.choice((1, 2.5, None))}))
            at -= random.choice((gap, gap, 0))
            position += random.choice((1, 3))
        if random.random() < 0.5:
            person.past.reverse()  # what arrived last occurred last, or the other way round
            for event, place in zip(person.past, sorted(event.position for event in person.past), strict=True):
                event.position = place
        found.append(person)
    random.shuffle(found)
    return found


def _person(random: Random, number: int) -> Person:
    person = Person(number * 7 + 1)
    person.attributes = _attributes(random)
    for channel in CHANNELS:
        topics = {topic: random.choice(STATES) for topic in TOPICS if random.random() < 0.4}
        if topics:
            person.consent[channel] = topics
    person.lists = {name for name in LISTS if random.random() < 0.3}
    at = NOW - random.choice((0, DAY, 30 * DAY))
    for count in range(random.choice((0, 0, 1, 2, 3, 5, 9, 14))):
        at += random.choice((-1, -1, 1)) * random.choice(GAPS)
        happened = Happened(random.choice(NAMES), number * 100 + count + 1, min(at, NOW), _attributes(random))
        person.past.append(happened)
        if random.random() < 0.1:  # much the same again, at the same instant
            person.past.append(
                Happened(happened.name, number * 100 + 50 + count, happened.occurred_at, happened.attributes)
            )
    for count in range(random.choice((0, 0, 1, 3, 6))):
        name, channel = random.choice(MESSAGES), random.choice(CHANNELS)
        at = NOW - random.choice(GAPS)
        person.messages.append(Reaction(f"m{count}", name, channel, "sent", at, count * 10))
        for again in range(random.choice((0, 1, 1, 2, 3))):
            kind, moment = random.choice(KINDS[1:]), NOW - random.choice(GAPS)
            person.messages.append(Reaction(f"m{count}", name, channel, kind, moment, count * 10 + again + 1))
    person.programmes = {name: _joined(random) for name in PROGRAMMES if random.random() < 0.5}
    person.coupons = [_coupon(random) for _ in range(random.choice((0, 0, 0, 1, 2, 4)))]
    return person


def _joined(random: Random) -> Joined:
    """Return a member whose stretches change at instants that are asked for."""
    edges = sorted({now + random.choice((0, 1, 0, -1)) for now in random.sample(NOWS, random.choice((0, 1, 1, 2, 4)))})
    lifetime, span = random.choice((0, 3, 2**53)), random.choice((0, 0, *GAPS[1:]))
    stretches = [
        Had(
            start,
            finish,
            random.random() < 0.8,
            random.choice((-3, 0, 1, 2, 3, 5, 2**53)),
            random.choice((0, 0, 1, 3)),
            lifetime,
            random.choice((0, 0, NOW, NOW - DAY, NOW + 1, NEVER)),
            span,
            TIERS[: random.choice((0, 1, 2, 3))],
        )
        for start, finish in pairwise([0, *edges, NEVER])
    ]
    times = {NOW + random.choice((-1, -1, 1)) * random.choice(GAPS) for _ in range(random.choice((0, 0, 1, 3, 5)))}
    return Joined(stretches, [(at, random.choice((-2, 1, 2, 3))) for at in sorted(times)])


def _coupon(random: Random) -> Given:
    issued = NOW - random.choice(GAPS)
    until = random.choice((0, 0, NOW, NOW + 1, NOW - 1, NOW + DAY, issued + DAY))
    return Given(random.choice(REWARDS), random.choice(STATES_OF_COUPONS), issued, NOW - random.choice(GAPS), until)


def _attributes(random: Random) -> dict[str, Any]:
    found = {}
    for name in ATTRIBUTES[:3]:
        if random.random() < 0.75:
            found[name] = random.choice(NUMBERS) if name == "Total" and random.random() < 0.7 else random.choice(VALUES)
    return found
