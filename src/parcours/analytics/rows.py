"""Slices of the log as rows of the tables of `model`: what is read of a store, and Arrow tables made of it.

| what                    | comes from                                                                                |
|-------------------------|-------------------------------------------------------------------------------------------|
| interactions, reactions | the log                                                                                   |
| messages that were sent | the outbox, where each stands once, also when a timer sent it and no input                |
| contacts                | their states: those that a slice touches are read as they are now, and their rows replaced |

A slice touches the contacts of its inputs, those to whom messages were sent, and those for whom timers fired. Of contacts
no input is looked at, so there is one place that knows which fact counts, and it is not this one. When the log was gone
through for the first time, and after a programme was changed, slices also touch everybody who has points or coupons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from parcours.analytics.members import Held, held_by, rows_of
from parcours.analytics.model import CONTACTS, FIXED, LISTS, Catalog, Kind, cells
from parcours.conditions.parse import parse_condition
from parcours.conditions.to_python import Test, compile_condition
from parcours.core.contact import Contact
from parcours.core.ids import contact_number, contact_of_message
from parcours.core.inputs import Interaction, Publish, Reaction
from parcours.core.loyalty.compiled import Loyalty
from parcours.definitions.load import with_known_good
from parcours.definitions.message import WEBHOOK
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError
from parcours.ports import Posted, Record, Store

_ARROW = {
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INSTANT: pa.int64(),
    Kind.DAY: pa.int32(),
    Kind.LISTED: pa.bool_(),
    **dict.fromkeys(LISTS, pa.list_(pa.string())),
}
_REMEMBERED = 50_000
"""Texts whose cells are remembered, for most come again and again."""

SWEPT = 1_000
"""Contacts that are gone through with one slice after programmes were changed."""

_EVERYTHING = 10**9
_KEPT = "kept:"
"""What the marks begin with that say how far interactions of a name are blanked, for their time to be kept is over."""


class Person(NamedTuple):
    """What the tables hold of a contact itself."""

    number: int
    attributes: dict[str, Any]
    consent: dict[str, dict[str, str]]
    lists: list[str]
    held: Held | None
    """What it has in programmes, and its coupons."""


class Place(NamedTuple):
    """How far the tables go: everything up to there is in them."""

    position: int = 0
    """In the log."""
    sequence: int = 0
    """In the outbox."""
    fired: int = 0
    """Among what was traced apart from inputs."""
    revision: int = 0
    """The revision of the programmes by which the rows of members are."""
    swept: str | None = None
    """Behind which contact what others have is not in the tables, or as another revision says; None when all is."""


class Slice(msgspec.Struct):
    """What one transaction takes over. Nothing of it changes any more, so it may be looked at in another thread."""

    after: Place
    """Behind which it begins."""
    upto: Place
    """Where it ends."""
    whole: bool
    """Whether everything is there then up to the position that was asked for, and what came of it."""
    records: list[Record]
    sent: list[Posted]
    people: list[Person]
    """The contacts that are touched, as they are now."""
    owners: dict[str, int]
    """Each contact that is touched to the number of whom it is part of now: itself, as a rule."""
    erased: list[int]
    """Contacts of whom nothing is kept."""
    messages: dict[str, tuple[str, str]]
    """The messages that were reacted to: the name of the definition, and the channel."""
    kept: dict[str, int]
    """Folded names to the position up to which their interactions are blanked."""
    loyalty: Loyalty
    """The programmes in force when the contacts were read."""
    as_of: int
    """The instant from which on what is told of members holds."""


def read_slice(store: Store, after: Place, limit: int, loyalty: Loyalty, until: int) -> Slice:
    """Return the next slice of the log, and all that its rows need. Whoever calls may use the store.

    `loyalty` is what is in force at the end of the log, `until` the position up to which everything is wanted.
    """
    records = store.log(after.position, limit)
    sent = store.outbox(after.sequence, limit)
    fired = store.fired(after.fired, limit)
    upto = Place(
        records[-1].position if records else after.position,
        sent[-1].sequence if sent else after.sequence,
        fired[-1][0] if fired else after.fired,
        loyalty.revision,
    )
    # The log is read before what came of it: where this is not read to its end, something of that may be missing.
    whole = (len(records) < limit or upto.position >= until) and max(len(sent), len(fired)) < limit
    swept: list[Contact] = []
    begin = after.swept if after.revision == loyalty.revision and after.position else ""
    if begin is not None:
        # What somebody has is worked out once, and not for each slice in which something happened to them.
        swept = store.scan(begin, min(limit, SWEPT)) if whole else []
        done = whole and len(swept) < min(limit, SWEPT)
        upto = upto._replace(swept=None if done else swept[-1].id if swept else begin)
        whole = done
    as_of = store.last_received_at()
    found = Slice(after, upto, whole, records, sent, [], {}, [], {}, _kept(store), loyalty, as_of)
    touched = {record.contact for record in records if record.contact}
    touched.update(item.message.contact for item in sent)
    touched.update(contact for _, contact in fired)
    touched.update(contact.id for contact in swept if contact.loyalty or contact.coupons)
    states = dict(store.contacts(touched))
    for id_ in list(states):
        state = states[id_]
        while state.merged_into:
            into = state.merged_into
            if into not in states:
                states |= store.contacts([into])
            state = states[into]
        found.owners[id_] = contact_number(state.id)
    for id_, state in states.items():
        number = contact_number(id_)
        if state.erased_at:
            found.erased.append(number)
        elif not state.merged_into:
            found.owners[id_] = number
            consent = {channel: dict(topics) for channel, topics in state.consent.items()}
            lists = [name for name, membership in state.lists.items() if membership.member]
            held = held_by(state) if upto.swept is None or id_ <= upto.swept else None
            found.people.append(Person(number, dict(state.attributes), consent, lists, held))
            found.as_of = max(found.as_of, state.time)
    _add_messages(store, found)
    return found


def _kept(store: Store) -> dict[str, int]:
    return {name[len(_KEPT) :]: int(at) for name, at in store.marks().items() if name.startswith(_KEPT)}


def _add_messages(store: Store, found: Slice) -> None:
    wanted: set[str] = set()
    for record in found.records:
        # The kind of an input is in its first bytes.
        if b"reaction" in record.body[:16]:
            item = record.input()
            if isinstance(item, Reaction):
                wanted.add(item.message)
    for contact in {contact_of_message(message) for message in wanted}:
        if contact is not None:
            for posted in store.posted(contact, _EVERYTHING):
                if posted.message.id in wanted and posted.message.channel != WEBHOOK:
                    found.messages[posted.message.id] = (posted.message.message, posted.message.channel)


class Rules:
    """Which interactions count, as the definitions say that are in force where the log has been read to."""

    def __init__(self, publications: Iterable[Publish] = ()) -> None:
        self._workspace: Workspace | None = None
        self._tests: dict[str, Test] = {}
        for publication in publications:
            self.publish(publication)

    def publish(self, item: Publish) -> None:
        """Take up a publication."""
        self._workspace = with_known_good(self._workspace or Workspace(), item.definitions)
        self._tests = {}
        for name, definition in self._workspace.interactions.items():
            if definition.counts_when is not None:
                node, problems = parse_condition(definition.counts_when)
                if node is None:
                    raise InvalidDefinitionError(problems)
                self._tests[name] = compile_condition(node)

    def counts(self, item: Interaction) -> bool:
        """Return whether an interaction counts."""
        test = self._tests.get(item.name)
        return test is None or test(_NOBODY, item.attributes, item.received_at)


_NOBODY = Contact("")
"""A rule looks at the interaction alone."""


Cells = tuple[tuple[Kind, Any], ...]
"""What `model.cells` returns, ready to be gone through."""

_EXACT = 2**53
"""Whole numbers up to here are doubles as they are."""


class _Columns:
    """Rows of one table, put together column by column."""

    def __init__(self, fixed: Mapping[str, pa.DataType]) -> None:
        self.count = 0
        self.cells: dict[str, dict[Kind, list[Any]]] = {}
        """Attribute, then kind, to the column; a column may end before the last row."""
        self._fixed: list[list[Any]] = [[] for _ in fixed]
        self._names = fixed

    def add(self, *row: object) -> None:
        """Add a row without attributes."""
        for column, value in zip(self._fixed, row, strict=True):
            column.append(value)
        self.count += 1

    def table(self, name_of: Callable[[str, Kind], str]) -> pa.Table:
        columns = {
            name: pa.array(column, kind) for column, (name, kind) in zip(self._fixed, self._names.items(), strict=True)
        }
        for attribute, kinds in self.cells.items():
            for kind, values in kinds.items():
                values.extend([None] * (self.count - len(values)))
                columns[name_of(attribute, kind)] = pa.array(values, _ARROW.get(kind, pa.string()))
        return pa.table(columns)


_ROW = {name: pa.int64() for name in ("contact", "position", "occurred_at", "received_at")}
_TYPES = {"BIGINT": pa.int64(), "TEXT": pa.string(), "BOOLEAN": pa.bool_(), "ARRAY<TEXT>": pa.list_(pa.string())}
_FIXED = {name: {column: _TYPES[kind] for column, kind in columns.items()} for name, columns in FIXED.items()}


class Rows:
    """Turns slices into Arrow tables, and lets the catalog learn the columns they need."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._texts: dict[str, Cells] = {}

    def tables(self, found: Slice, rules: Rules) -> Iterator[tuple[str, pa.Table]]:
        """Yield tables with the rows to be inserted. `rules` follows what was published."""
        scopes: dict[str, _Columns] = {}
        messages = _Columns(_FIXED["messages"])
        for record in found.records:
            item = record.input()
            if isinstance(item, Interaction):
                if rules.counts(item):
                    columns = scopes.get(item.name)
                    if columns is None:
                        columns = scopes[item.name] = _Columns(_ROW)
                    columns.add(found.owners[record.contact], record.position, item.occurred_at, item.received_at)
                    self._add(item.attributes, columns)
            elif isinstance(item, Reaction):
                if item.message in found.messages:
                    name, channel = found.messages[item.message]
                    owner = found.owners[record.contact]
                    at, position = item.occurred_at, record.position
                    messages.add(owner, item.message, name, channel, item.reaction, at, position)
            elif isinstance(item, Publish):
                rules.publish(item)
        gone = set(found.erased)
        for posted in found.sent:
            message = posted.message
            to = found.owners.get(message.contact)
            if to is not None and to not in gone and message.channel != WEBHOOK:
                at = message.decided_at
                messages.add(to, message.id, message.message, message.channel, "sent", at, posted.sequence)
        for scope, columns in scopes.items():
            yield self.catalog.learn_table(scope), self._table(scope, columns)
        if messages.count:
            yield "messages", self._table(CONTACTS, messages)
        yield from self._people(found.people, found.loyalty)

    def _people(self, found: list[Person], loyalty: Loyalty) -> Iterator[tuple[str, pa.Table]]:
        people = _Columns({"contact": pa.int64()})
        tables = {name: _Columns(columns) for name, columns in _FIXED.items() if name != "messages"}
        for person in found:
            people.add(person.number)
            self._add(person.attributes, people)
            for channel, topics in person.consent.items():
                for topic, state in topics.items():
                    tables["consents"].add(person.number, channel, topic, state)
            for name in person.lists:
                tables["list_members"].add(person.number, name)
            if person.held is not None:
                for name, row in rows_of(person.number, person.held, loyalty):
                    tables[name].add(*row)
        for name, columns in {"contacts": people, **tables}.items():
            if columns.count:
                yield name, self._table(CONTACTS, columns)

    def _table(self, scope: str, columns: _Columns) -> pa.Table:
        return columns.table(lambda attribute, kind: self.catalog.learn(scope, attribute, kind))

    def _add(self, attributes: Mapping[str, Any], columns: _Columns) -> None:
        """Set the cells of the row that was added last."""
        before, known, texts = columns.count - 1, columns.cells, self._texts
        for name, value in attributes.items():
            kinds = known.get(name)
            if kinds is None:
                kinds = known[name] = {}
            if type(value) is str:
                found = texts.get(value)
                if found is None:
                    if len(texts) >= _REMEMBERED:
                        texts.clear()
                    found = texts[value] = tuple(cells(value).items())
            elif type(value) is int and -_EXACT <= value <= _EXACT:
                found = ((Kind.NUMBER, float(value)),)
            else:
                found = tuple(cells(value).items())
            for kind, cell in found:
                column = kinds.get(kind)
                if column is None:
                    column = kinds[kind] = []
                if missing := before - len(column):
                    column.extend([None] * missing)
                column.append(cell)
