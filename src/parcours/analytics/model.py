"""The columns questions about all contacts are asked of, and how a value becomes cells of them.

| table                          | one row for            | columns                                                         |
|--------------------------------|------------------------|-----------------------------------------------------------------|
| `contacts`                     | a contact              | `contact`, columns of attributes                                |
| one for each interaction's name | an interaction        | `contact`, `position`, `occurred_at`, `received_at`, columns of attributes |
| `messages`                     | a message and reaction | `contact`, `message`, `name`, `channel`, `reaction`, `at`, `position` |
| `consents`                     | a channel and topic    | `contact`, `channel`, `topic`, `state`                          |
| `list_members`                 | a membership           | `contact`, `list`                                               |
| `members`                      | a stretch of time of a member | `contact`, `programme`, `start`, `finish`, `known_until`, what they have |
| `qualified`                    | what counts towards tiers | `contact`, `programme`, `at`, `amount`                       |
| `coupons`                      | a coupon               | `contact`, `reward`, `state`, `issued_at`, `at`, `valid_until`  |

`contact` and `position` are whole numbers; a position is given once, and of a message that was sent it is its place in
the outbox. Instants are milliseconds since the epoch. Every contact that is in any table is in `contacts`, once. `messages`
may repeat a message and reaction: the first time counts. A message's `name` is that of its definition.

In a stretch of time, from `start` to before `finish`, a member of a programme has the same. Those of a contact in one
programme follow each other without a gap, up to `known_until`. What counts towards tiers is what in `qualified` occurred at
`period` or later and, where `span` is not 0, not as long ago as that. A coupon is in its `state` since `at`.

An attribute may hold values of several kinds over time, and its name any character, so each kind that occurs has a
column of its own with a short made-up name, which the catalog knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any

import msgspec
from sqlglot import exp

from parcours.conditions.instants import microseconds
from parcours.conditions.operators import path_of, to_instant

CONTACTS = ""
"""The scope of a contact's own attributes; that of an interaction's is its folded name."""


class Kind(StrEnum):
    """What one column of an attribute holds. A value has a cell in the columns that say something about it."""

    NUMBER = "n"
    """A number, as a double."""
    TEXT = "t"
    """Text."""
    FOLDED = "f"
    """The case folded text, where it differs from the text."""
    PATH = "p"
    """A category path as `path_text` writes it, where the text is no plain part of one."""
    FOLDED_PATH = "g"
    """The same of the folded text, where it differs from that."""
    BOOLEAN = "b"
    """True or false."""
    TEXTS = "l"
    """The texts of a list."""
    FOLDED_TEXTS = "m"
    """The case folded texts of a list, where one differs."""
    PATHS = "q"
    """Every beginning of every path in a list, where one is no plain part."""
    FOLDED_PATHS = "r"
    """The same of the folded texts, where they differ."""
    INSTANT = "i"
    """Microseconds since the epoch: of a date and time, and of text that is one."""
    DAY = "d"
    """The month times 100 and the day in UTC of that instant."""
    LISTED = "o"
    """Where there is a value and it is no number, text or boolean: whether it is a list."""


LISTS = frozenset({Kind.TEXTS, Kind.FOLDED_TEXTS, Kind.PATHS, Kind.FOLDED_PATHS})
"""Kinds whose cell is a list of texts. Such a cell may be an empty list where there is no value."""

_TYPES = {
    Kind.NUMBER: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.INSTANT: "BIGINT",
    Kind.DAY: "INT",
    Kind.LISTED: "BOOLEAN",
    **dict.fromkeys(LISTS, "ARRAY<TEXT>"),
}

_ROWS = {"contact": "BIGINT", "position": "BIGINT", "occurred_at": "BIGINT", "received_at": "BIGINT"}

FIXED = {
    "messages": {
        "contact": "BIGINT",
        "message": "TEXT",
        "name": "TEXT",
        "channel": "TEXT",
        "reaction": "TEXT",
        "at": "BIGINT",
        "position": "BIGINT",
    },
    "consents": {"contact": "BIGINT", "channel": "TEXT", "topic": "TEXT", "state": "TEXT"},
    "list_members": {"contact": "BIGINT", "list": "TEXT"},
    "members": {
        "contact": "BIGINT",
        "programme": "TEXT",
        "start": "BIGINT",
        "finish": "BIGINT",
        "known_until": "BIGINT",
        "current": "BOOLEAN",
        "spendable": "BIGINT",
        "held": "BIGINT",
        "lifetime": "BIGINT",
        "period": "BIGINT",
        "span": "BIGINT",
        "tier": "TEXT",
        "tiers": "ARRAY<TEXT>",
    },
    "qualified": {"contact": "BIGINT", "programme": "TEXT", "at": "BIGINT", "amount": "BIGINT"},
    "coupons": {
        "contact": "BIGINT",
        "reward": "TEXT",
        "state": "TEXT",
        "issued_at": "BIGINT",
        "at": "BIGINT",
        "valid_until": "BIGINT",
    },
}
"""The tables that are the same everywhere, with the types of their columns. No cell of them is missing."""

_MICROSECOND = timedelta(microseconds=1)


class AttributeColumns(msgspec.Struct):
    """The columns of one attribute: its number, and the kinds that have a column."""

    number: int
    kinds: set[Kind] = msgspec.field(default_factory=set)


class Table(msgspec.Struct):
    """One table with columns of attributes."""

    name: str
    attributes: dict[str, AttributeColumns] = msgspec.field(default_factory=dict)


class Catalog(msgspec.Struct):
    """Which column holds an attribute's values of one kind. Names once given stay."""

    tables: dict[str, Table] = msgspec.field(default_factory=lambda: {CONTACTS: Table("contacts")})
    """By scope."""

    def table(self, scope: str) -> str | None:
        """Return the table of a scope, or None where nothing is known of it."""
        table = self.tables.get(scope)
        return table.name if table else None

    def column(self, scope: str, attribute: str, kind: Kind) -> str | None:
        """Return the column of an attribute's values of one kind, or None where there are none."""
        table = self.tables.get(scope)
        known = table.attributes.get(attribute) if table else None
        return _column(known, kind) if known and kind in known.kinds else None

    def columns(self, scope: str) -> Iterator[tuple[str, Kind, str]]:
        """Yield attribute, kind and column for every column of a scope's table, in the order they were added."""
        for attribute, known in self.tables[scope].attributes.items():
            for kind in Kind:
                if kind in known.kinds:
                    yield attribute, kind, _column(known, kind)

    def learn_table(self, scope: str) -> str:
        """Return the table of a scope, giving it one where it has none."""
        table = self.tables.get(scope)
        if table is None:
            table = self.tables[scope] = Table(f"i{len(self.tables)}")
        return table.name

    def learn(self, scope: str, attribute: str, kind: Kind) -> str:
        """Return the column of an attribute's values of one kind, giving it one where it has none."""
        self.learn_table(scope)
        attributes = self.tables[scope].attributes
        known = attributes.get(attribute)
        if known is None:
            known = attributes[attribute] = AttributeColumns(len(attributes) + 1)
        known.kinds.add(kind)
        return _column(known, kind)


def _column(known: AttributeColumns, kind: Kind) -> str:
    return f"a{known.number}_{kind.value}"


def cells(value: object) -> dict[Kind, Any]:
    """Return the cells of an attribute's value; none when it is missing."""
    if value is None:
        return {}
    if isinstance(value, bool):
        return {Kind.BOOLEAN: value}
    if isinstance(value, int | float):
        return _number_cells(value)
    if isinstance(value, str):
        return _text_cells(value)
    found: dict[Kind, Any] = {Kind.LISTED: isinstance(value, list | tuple)}
    if isinstance(value, list | tuple):
        found |= _list_cells([item for item in value if isinstance(item, str)])
    elif isinstance(value, datetime):
        found |= _instant_cells(value)
    return found


def _number_cells(value: float) -> dict[Kind, Any]:
    try:
        number = float(value)
    except OverflowError:
        return {Kind.LISTED: False}
    return {Kind.NUMBER: number + 0.0} if isfinite(number) else {Kind.LISTED: False}  # -0.0 + 0.0 is 0.0


def _text_cells(text: str) -> dict[Kind, Any]:
    found: dict[Kind, Any] = {Kind.TEXT: text}
    folded = text.casefold()
    if folded != text:
        found[Kind.FOLDED] = folded
    if not _plain(text):
        found[Kind.PATH] = path_text(path_of(text))
        if folded != text:
            found[Kind.FOLDED_PATH] = path_text(path_of(folded))
    if text and "0" <= text[0] <= "9" and (instant := to_instant(text)) is not None:
        found |= _instant_cells(instant)
    return found


def _list_cells(texts: list[str]) -> dict[Kind, Any]:
    if not texts:
        return {}
    found: dict[Kind, Any] = {Kind.TEXTS: texts}
    folded = [text.casefold() for text in texts]
    if folded != texts:
        found[Kind.FOLDED_TEXTS] = folded
    if not all(map(_plain, texts)):
        found[Kind.PATHS] = _beginnings(texts)
        if folded != texts:
            found[Kind.FOLDED_PATHS] = _beginnings(folded)
    return found


def _instant_cells(instant: datetime) -> dict[Kind, Any]:
    found: dict[Kind, Any] = {Kind.INSTANT: micros(instant)}
    try:
        day = instant.astimezone(UTC)
    except OverflowError:  # an offset may lead out of the years 1 to 9999
        return found
    found[Kind.DAY] = day.month * 100 + day.day
    return found


def micros(instant: datetime) -> int:
    """Return an aware instant as microseconds since the epoch."""
    return microseconds(instant)


def path_text(path: tuple[str, ...]) -> str:
    """Return a path with an end after each part, so that what is below it begins with it: `Cameras>Digital>`."""
    return "".join(f"{part}>" for part in path)


def _plain(text: str) -> bool:
    """Return whether text is a path of one part, written as that part alone."""
    return ">" not in text and text == text.strip()


def _beginnings(texts: list[str]) -> list[str]:
    found: dict[str, None] = {}
    for text in texts:
        path = path_of(text)
        for length in range(1, len(path) + 1):
            found[path_text(path[:length])] = None
    return list(found)


def create_tables(catalog: Catalog, dialect: str = "duckdb") -> Iterator[str]:
    """Yield the statements that make every table of a catalog in an empty database."""
    for name, columns in FIXED.items():
        yield _create(name, columns, {}, dialect)
    for scope, table in catalog.tables.items():
        fixed = {"contact": "BIGINT"} if scope == CONTACTS else _ROWS
        typed = {column: _TYPES.get(kind, "TEXT") for _, kind, column in catalog.columns(scope)}
        yield _create(table.name, fixed, typed, dialect)


def column_type(kind: Kind, dialect: str = "duckdb") -> str:
    """Return the type of a column of an attribute, as a statement writes it."""
    return _type(_TYPES.get(kind, "TEXT"), dialect, required=False).sql(dialect=dialect)


def _create(name: str, required: dict[str, str], optional: dict[str, str], dialect: str) -> str:
    definitions = [
        exp.ColumnDef(
            this=exp.to_identifier(column, quoted=True), kind=_type(kind, dialect, required=column in required)
        )
        for column, kind in (required | optional).items()
    ]
    table = exp.to_table(name)
    text = exp.Create(this=exp.Schema(this=table, expressions=definitions), kind="TABLE").sql(dialect=dialect)
    if dialect != "clickhouse":
        return text
    order = "(contact, occurred_at, position)" if "occurred_at" in required else "contact"
    return f"{text} ENGINE = MergeTree ORDER BY {order}"


def _type(kind: str, dialect: str, *, required: bool) -> exp.DataType:
    made = exp.DataType.build(kind)
    if dialect == "clickhouse":
        # There a column holds no missing value unless it says so, and a list never does.
        made.set("nullable", not required and not kind.startswith("ARRAY"))
        for inner in made.expressions:
            inner.set("nullable", False)
    return made
