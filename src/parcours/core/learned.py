"""What arrives, learned: the attributes of each kind of interaction and of contacts, for people to pick from.

| known of                         | exact                                 | from those looked at                          |
|----------------------------------|---------------------------------------|-----------------------------------------------|
| a kind of interaction, contacts  | how many, the first and last time     |                                               |
| an attribute                     | how many, the first and last time     | its types, its most frequent values           |

The first `ALL` inputs of a name are all looked at, then every `EVERY`th, by count: the same log teaches the same,
however it is cut into batches. Of contacts, each update that carries attributes is one input.

Everything is bounded; see the constants. Values are counted by the algorithm of Misra and Gries, many steps at once:
a count is never too high, and is right for an attribute with no more than `MOST_VALUES` values.

What could tell of a person is not kept: no values of attributes whose names say that they hold addresses, numbers or
names of people; no value with an @ or with as many digits as a telephone number; no value at all of an attribute that
nearly always differs, but for a few amounts with a fraction. Text is counted from the first time, and shown from the
second; numbers and booleans are shown from the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from parcours.conditions.operators import OPERATORS, SUITED, Takes, to_instant
from parcours.core.inputs import Input, Interaction, Update
from parcours.core.prepared import Prepared
from parcours.definitions.interaction import AttributeType, InteractionDefinition
from parcours.definitions.message import ADDRESSES

CONTACTS = ""
"""The name under which the attributes of contacts are learned; no interaction has it."""

ALL = 1_000
EVERY = 17
"""How many inputs of a name are all looked at, and every which one after them: a prime, for senders go round."""

MOST_NAMES = 2_000
MOST_ATTRIBUTES = 500
"""Of one name."""
MOST_ATTRIBUTES_IN_ALL = 50_000
MOST_VALUES = 200
"""Counted of one attribute."""
MOST_VALUES_IN_ALL = 200_000
SHOWN = 100
"""Values shown of one attribute."""
SAMPLES = 5
LONGEST_NAME = 200
LONGEST_VALUE = 100
MOST_ELEMENTS = 20
"""Looked at of one list."""

ENOUGH = 1_000
"""Values counted before an attribute may be found to differ nearly always: new in more than nine of ten."""

PHONE_DIGITS = 7
"""Digits from which on a text may hold the number of a telephone, an account or an order; so may a whole number."""
_LONG_NUMBER = 1_000_000
"""The first with so many."""

_PERSONAL = frozenset(
    {
        *("lat", "lng", "lon", "ip", "ssn", "iban", "bic", "vat", "taxid", "dob", "zip", "fax", "tel", "mobile", "pin"),
        *("userid", "customerid", "contactid", "memberid", "personid", "accountid", "anonymousid", "deviceid"),
        *("nickname", "displayname", "middlename", "maidenname", "fullname", "street", "cardnumber", "mail"),
    }
)
_PERSONAL_PARTS = (
    *("email", "phone", "address", "token", "password", "passwd", "secret", "firstname", "lastname"),
    *("surname", "givenname", "familyname", "username", "birth", "passport", "latitude", "longitude", "postalcode"),
    *("postcode", "zipcode", "creditcard"),
)
"""Parts of the names of attributes, in lower case without signs, that say whose values are not kept."""

_CHANNEL_ADDRESSES = frozenset(ADDRESSES)

_HEAVIEST = 4_000_000
"""Bytes, about, that shapes may take before they are let go of."""

Value = str | int | float
Kept = dict[Value, int]


class LearnedAttribute(msgspec.Struct, array_like=True):
    """What was learned of one attribute."""

    first_seen: int
    last_seen: int
    count: int = 0
    """Inputs that carry it with a value."""
    types: dict[str, int] = msgspec.field(default_factory=dict)
    """Type to how many of those looked at are of it."""
    values: Kept = msgspec.field(default_factory=dict)
    """Text and numbers, to how often they were seen."""
    true: int = 0
    false: int = 0
    asked: int = 0
    """Texts and numbers looked at; in a list, each element."""
    fresh: int = 0
    """How many of them were not among the values then."""
    closed: bool = False
    """Whether values are no longer counted: they tell of a person, or nearly always differ."""

    @property
    def looked(self) -> int:
        """How many inputs that carry it were looked at."""
        return sum(self.types.values())

    @property
    def type(self) -> AttributeType:
        """The most common type of those looked at."""
        best = max(_TYPES, key=lambda kind: self.types.get(kind, 0))
        return best if self.types else "string"


class Knowledge(msgspec.Struct, array_like=True):
    """What was learned of one kind of interaction, or of contacts."""

    spelling: str
    """How its name is shown."""
    first_seen: int
    last_seen: int
    count: int = 0
    attributes: dict[str, LearnedAttribute] = msgspec.field(default_factory=dict)
    spelled: bool = False
    """Whether somebody wrote the name so; else it is the folded one."""


_decoder = msgspec.msgpack.Decoder(Knowledge)
_encoder = msgspec.msgpack.Encoder()


class _Shape:
    """Inputs of one name with the same attributes, counted together until they are settled."""

    __slots__ = ("attributes", "count", "knowledge", "last", "name")

    def __init__(self, name: str, knowledge: Knowledge, attributes: list[LearnedAttribute]) -> None:
        self.name = name
        self.knowledge = knowledge
        self.attributes = attributes
        self.count = 0
        self.last = 0


class Learner:
    """Learns from inputs in the order of the log.

    Inputs that carry the same attributes (a shape) are counted together, and each attribute gets its share of that when
    somebody looks: an input costs about the same, however many attributes it has.
    """

    def __init__(self) -> None:
        self._known: dict[str, Knowledge] = {}
        self._changed: set[str] = set()
        self._shapes: dict[tuple[object, ...], _Shape] = {}
        self._weight = 0
        self._unsettled = False
        """Whether something was observed since it was settled."""
        self._attributes = 0
        self._values = 0

    def observe(self, item: Input) -> None:
        """Learn from an input that was folded. Only interactions and updates teach anything."""
        if isinstance(item, Interaction):
            name = start = item.name
        elif isinstance(item, Update) and item.attributes:
            name, start = CONTACTS, None
        else:
            return
        attributes = item.attributes
        signature: tuple[object, ...] = (start, *attributes)
        if None in attributes.values():  # which is no value, so it takes the types to know what is carried
            signature += tuple(map(type, attributes.values()))
        shape = self._shapes.get(signature) or self._meet(name, item, signature)
        if shape is None:
            return
        self._unsettled = True
        shape.count += 1
        shape.last = item.received_at
        knowledge = shape.knowledge
        knowledge.count = count = knowledge.count + 1
        if count <= ALL or not count % EVERY:
            self._look(knowledge, attributes)
        if start and item.spelling and not knowledge.spelled:  # type: ignore[union-attr]  # only interactions have it
            knowledge.spelling, knowledge.spelled = item.spelling[:LONGEST_NAME], True  # type: ignore[union-attr]

    def observe_many(self, items: Sequence[Prepared], received_at: int) -> None:
        """Learn from interactions of one kind that were taken in one after the other: as from each by itself."""
        kind = items[0].kind
        signature = (kind.name, *kind.attributes)
        shape = self._shapes.get(signature) or self._meet(kind.name, items[0].interaction(0, received_at), signature)
        if shape is None:
            return
        self._unsettled = True
        shape.count += len(items)
        shape.last = received_at
        knowledge = shape.knowledge
        before = knowledge.count
        knowledge.count = after = before + len(items)
        for count in range(before + 1, min(after, ALL) + 1):
            self._look(knowledge, items[count - before - 1].attributes())
        first = max(before, ALL) + 1
        for count in range(first + -first % EVERY, after + 1, EVERY):
            self._look(knowledge, items[count - before - 1].attributes())

    def forget(self, item: Input) -> None:
        """Take back the values of an input that is erased. What was counted of inputs and attributes stays.

        An input that was not looked at is taken back too, as nobody knows: a value that only erased inputs carry goes.
        """
        if not isinstance(item, Interaction | Update):
            return
        name = item.name if isinstance(item, Interaction) else CONTACTS
        knowledge = self._known.get(name)
        if knowledge is None or (name == CONTACTS and isinstance(item, Interaction)):
            return
        for key, value in item.attributes.items():
            attribute = knowledge.attributes.get(key)
            if attribute is None:
                continue
            self._changed.add(name)
            for element in _countable(value):
                if element is True:
                    attribute.true = max(attribute.true - 1, 0)
                elif element is False:
                    attribute.false = max(attribute.false - 1, 0)
                elif (count := attribute.values.get(element)) is not None:
                    if count > 1:
                        attribute.values[element] = count - 1
                    else:
                        del attribute.values[element]
                        self._values -= 1

    def __contains__(self, name: object) -> bool:
        """Return whether anything was learned of the interactions of a folded name."""
        return name in self._known and name != CONTACTS

    def names(self) -> list[str]:
        """Return the folded names of the interactions learned of, sorted."""
        return sorted(name for name in self._known if name != CONTACTS)

    def knowledge(self, name: str) -> Knowledge | None:
        """Return what was learned of a folded name or of `CONTACTS`, to be read only."""
        self._settle()
        return self._known.get(name)

    def take_changed(self) -> set[str]:
        """Return the names of which something changed since this was asked last."""
        self._settle()
        changed, self._changed = self._changed, set()
        return changed

    def encode(self, name: str) -> bytes:
        """Return what was learned of a name as it is stored.

        Raises:
            KeyError: Nothing was learned of it.
        """
        self._settle()
        return _encoder.encode(self._known[name])

    def restore(self, name: str, data: bytes) -> None:
        """Take up again what was stored of a name: it goes on as if it had never stopped.

        Every name that was stored is restored, in any order, before anything is observed.
        """
        self._settle()
        self._shapes.clear()
        self._weight = 0
        self._tally(self._known.pop(name, None), -1)
        self._known[name] = knowledge = decode_knowledge(data)
        self._tally(knowledge, 1)

    def _tally(self, knowledge: Knowledge | None, sign: int) -> None:
        if knowledge is not None:
            self._attributes += sign * len(knowledge.attributes)
            self._values += sign * sum(len(attribute.values) for attribute in knowledge.attributes.values())

    def _meet(self, name: str, item: Interaction | Update, signature: tuple[object, ...]) -> _Shape | None:
        """Return the shape of an input, met for the first time; None when there is no room for its name."""
        at = item.received_at
        contacts = isinstance(item, Update)
        if not contacts and not 0 < len(name) <= LONGEST_NAME:
            return None
        knowledge = self._known.get(name)
        if knowledge is None:
            if len(self._known) >= MOST_NAMES and not contacts:
                return None
            knowledge = self._known[name] = Knowledge(name, at, at)
        known = knowledge.attributes
        carried: list[LearnedAttribute] = []
        for key, value in item.attributes.items():
            if value is None:
                continue
            attribute = known.get(key)
            if attribute is None:
                full = len(known) >= MOST_ATTRIBUTES or self._attributes >= MOST_ATTRIBUTES_IN_ALL
                if full or len(key) > LONGEST_NAME or "@" in key:
                    continue
                attribute = known[key] = LearnedAttribute(at, at, closed=_is_personal(key, of_contact=contacts))
                self._attributes += 1
            carried.append(attribute)
        weight = 32 * len(item.attributes) + sum(map(len, item.attributes)) + 200
        if self._weight + weight > _HEAVIEST:
            self._settle()
            self._shapes.clear()
            self._weight = 0
        self._weight += weight
        shape = self._shapes[signature] = _Shape(name, knowledge, carried)
        return shape

    def _settle(self) -> None:
        """Add what was counted by shape to each attribute, if anything was since."""
        if not self._unsettled:
            return
        self._unsettled = False
        for shape in self._shapes.values():
            count = shape.count
            if not count:
                continue
            shape.count = 0
            last = shape.last
            self._changed.add(shape.name)
            shape.knowledge.last_seen = max(shape.knowledge.last_seen, last)
            for attribute in shape.attributes:
                attribute.count += count
                attribute.last_seen = max(attribute.last_seen, last)

    def _look(self, knowledge: Knowledge, attributes: Mapping[str, Any]) -> None:
        known = knowledge.attributes
        for name, value in attributes.items():
            if value is None or (attribute := known.get(name)) is None:
                continue
            kind = type_of(value)
            attribute.types[kind] = attribute.types.get(kind, 0) + 1
            if kind == "boolean":
                if value:
                    attribute.true += 1
                else:
                    attribute.false += 1
            elif kind == "strings":
                for element in value[:MOST_ELEMENTS]:
                    self._count(attribute, element)
            elif kind == "string" or kind == "number":  # noqa: PLR1714 (two comparisons are quick)
                self._count(attribute, value)

    def _count(self, attribute: LearnedAttribute, value: Value) -> None:
        if attribute.closed:
            return
        values = attribute.values
        attribute.asked += 1
        count = values.get(value)
        if count is not None:
            values[value] = count + 1
            return
        attribute.fresh += 1
        if attribute.asked >= ENOUGH and attribute.fresh * 10 > attribute.asked * 9:
            self._values -= len(values)
            attribute.closed = True
            attribute.values = _amounts(values)
            self._values += len(attribute.values)
            return
        if not _may_be_kept(value):
            return
        if len(values) >= MOST_VALUES:
            self._values -= len(values)
            _prune(values)
            self._values += len(values)
        if self._values < MOST_VALUES_IN_ALL:
            values[value] = 1
            self._values += 1


def decode_knowledge(data: bytes) -> Knowledge:
    """Return what was learned of a name, as it was stored."""
    return _decoder.decode(data)


_TYPES: tuple[AttributeType, ...] = ("string", "number", "boolean", "datetime", "strings", "object")


def type_of(value: object) -> AttributeType:
    """Return the type a value has. Text that is an ISO 8601 date or date and time is a datetime, other text is text."""
    if isinstance(value, str):
        return "datetime" if value[:4].isdigit() and to_instant(value) is not None else "string"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, datetime):
        return "datetime"
    return "strings" if isinstance(value, list) and all(isinstance(item, str) for item in value) else "object"


def _countable(value: object) -> Iterator[Any]:
    """Yield what is counted of a value: itself, or the elements of a list of texts."""
    kind = type_of(value)
    if kind == "strings":
        yield from value[:MOST_ELEMENTS]  # type: ignore[index]  # it is a list
    elif kind not in {"object", "datetime"}:
        yield value


def _may_be_kept(value: Value) -> bool:
    """Return whether a value is short, and looks like neither an e-mail address nor a telephone or account number."""
    if not isinstance(value, str):
        return abs(value) < _LONG_NUMBER  # which is false of what is not a number
    if not 0 < len(value) <= LONGEST_VALUE or "@" in value:
        return False
    return len([one for one in value if one.isdigit()]) < PHONE_DIGITS


def _is_personal(name: str, *, of_contact: bool) -> bool:
    """Return whether the name of an attribute says that its values tell who somebody is."""
    plain = "".join(filter(str.isalnum, name.casefold()))
    if name in _CHANNEL_ADDRESSES or any(part in plain for part in _PERSONAL_PARTS):
        return True
    # The name of a contact is somebody's; that of an interaction may well be a product's.
    return plain in _PERSONAL or (of_contact and plain == "name")


def _prune(values: Kept) -> None:
    """Take away from every count what the first value that is not shown has, and the values that come to nothing."""
    cut = sorted(values.values(), reverse=True)[SHOWN]
    for value, count in list(values.items()):
        if count > cut:
            values[value] = count - cut
        else:
            del values[value]


def _amounts(values: Kept) -> Kept:
    """Return a handful of the values that have a fraction: amounts, which tell of nobody."""
    kept = [value for value in _ordered(values) if isinstance(value, float) and not value.is_integer()]
    return {value: values[value] for value in kept[:SAMPLES]}


def _ordered(values: Kept) -> list[Value]:
    return sorted(values, key=lambda value: (-values[value], isinstance(value, str), value))


# --- as it is offered -------------------------------------------------------------------------------------------------


class OperatorView(msgspec.Struct, frozen=True):
    """A comparison that suits an attribute."""

    name: str
    title: str
    takes: Takes


class ValueView(msgspec.Struct, frozen=True):
    """A value, and in how many of the inputs looked at it was seen."""

    value: str | int | float | bool
    count: int


class AttributeView(msgspec.Struct, frozen=True):
    """One attribute, as pickers offer it."""

    name: str
    title: str
    type: AttributeType
    declared: bool
    required: bool
    count: int
    share: float
    """Of the inputs of its name, those that carry it: 0 to 1."""
    first_seen: int | None
    last_seen: int | None
    looked: int
    """Of those that carry it, how many were looked at for values."""
    values: list[ValueView]
    """The most frequent first; none when values nearly always differ, or are not kept."""
    samples: list[str | int | float | bool]
    operators: list[OperatorView]


def describe(definition: InteractionDefinition | None, knowledge: Knowledge | None) -> list[AttributeView]:
    """Return the attributes declared, in their order, then the others learned, those carried most often first."""
    declared = definition.attributes if definition is not None else {}
    learned = knowledge.attributes if knowledge is not None else {}
    total = knowledge.count if knowledge is not None else 0
    others = [name for name in learned if name not in declared]
    views = []
    for name in (*declared, *sorted(others, key=lambda name: (-learned[name].count, name))):
        said, found = declared.get(name), learned.get(name)
        kind: AttributeType = said.type if said is not None else found.type if found is not None else "string"
        counted = _shown(found) if found is not None else []
        views.append(
            AttributeView(
                name=name,
                title=(said.title if said is not None else "") or name,
                type=kind,
                declared=said is not None,
                required=said is not None and said.required,
                count=found.count if found is not None else 0,
                share=found.count / total if found is not None and total else 0.0,
                first_seen=found.first_seen if found is not None else None,
                last_seen=found.last_seen if found is not None else None,
                looked=found.looked if found is not None else 0,
                values=[] if found is None or found.closed else counted[:SHOWN],
                samples=[one.value for one in counted[:SAMPLES]],
                operators=suited(kind),
            )
        )
    return views


def suited(kind: AttributeType) -> list[OperatorView]:
    """Return the comparisons that suit a type, the likeliest first."""
    return [OperatorView(name, OPERATORS[name].title, OPERATORS[name].takes) for name in SUITED[kind]]


def _shown(attribute: LearnedAttribute) -> list[ValueView]:
    values = attribute.values
    counted = [ValueView(value, values[value]) for value in _ordered(values)]
    shown = [one for one in counted if one.count > 1 or not isinstance(one.value, str)]
    flags = [ValueView(True, attribute.true), ValueView(False, attribute.false)]
    shown += [one for one in flags if one.count]
    return sorted(shown, key=lambda one: -one.count)
