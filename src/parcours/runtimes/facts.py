"""What templates see: names that are looked up in the store only when a template asks for them.

| name                                      | what                                                                        |
|-------------------------------------------|-----------------------------------------------------------------------------|
| `contact.city`                            | an attribute, as it was at the decision                                     |
| `contact.id`, `.identities`, `.lists`     | the id; the first value of each namespace; the names of the lists it is on  |
| `contact.interactions["Order Completed"]` | what the contact did up to the decision: `count`, `first`, `last`, `items`   |
| `interaction.total`                       | an attribute of what started the run                                        |
| `run.key`, `run.started_at`, `run.NAME`   | of the run: its key, its start, what its steps saved                        |
| `catalogue.products[interaction.sku]`     | the attributes of an item, as they are now                                  |
| `journey`, `message_id`, `timezone`       | names and ids; the zone that `date` writes times in                         |

Facts are as of the decision, also when the message leaves later: nothing that came in afterwards is seen. What was erased,
or blanked because its time to be kept is over, is not there. How much is read has limits, and every name that is not
there is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from parcours.conditions.instants import moment_of
from parcours.conditions.names import match_name
from parcours.core.contact import Contact
from parcours.core.coupon import rewards_of
from parcours.core.deciding import lists_of
from parcours.core.effects import Message
from parcours.core.inputs import Absorb, Enter, Interaction
from parcours.core.member import standing_of
from parcours.core.plan import Plan
from parcours.core.zones import zone_among
from parcours.ports import Record, Store

MOST_INPUTS: Final = 1_000
"""The newest inputs of a contact in which interactions are looked for."""

MOST_SHOWN: Final = 100
"""The newest interactions of one kind that `items` gives."""

MOST_ITEMS: Final = 100
"""Items of catalogues that one message may look up."""


class TooManyItemsError(Exception):
    """A message looks up more items than it may."""


class Lazy(Mapping[str, Any]):
    """Names whose values are made when they are asked for; there is no list of them."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find
        self.found: dict[str, Any] = {}
        """What was asked for."""

    def __getitem__(self, key: object) -> Any:
        name = _text(key)
        if name not in self.found:
            self.found[name] = self._find(name)
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __str__(self) -> str:
        return ""


class Person(Mapping[str, Any]):
    """The attributes of a contact, and the names beside them that are looked up.

    Those of loyalty are every programme (`loyalty`), the latest coupons (`rewards`), and in short `points` and `tier` in
    the first of the programmes; an attribute of the name of one of these three is what is meant.
    """

    def __init__(self, store: Store, plan: Plan, message: Message) -> None:
        self._store = store
        self._plan = plan
        self._message = message
        self._attributes = message.attributes
        self._interactions: Lazy | None = None

    def __getitem__(self, key: str) -> Any:
        if key in RESERVED:
            return self._beside(key)
        if key in _OF_LOYALTY and key not in self._attributes:
            return self._of_loyalty(key)
        return self._attributes[key]

    def _beside(self, key: str) -> Any:
        message = self._message
        match key:
            case "id":
                return message.contact
            case "identities":
                return dict(reversed(message.identities))
            case "lists":
                return list(message.lists)
            case "loyalty":
                return message.loyalty
            case _:
                if self._interactions is None:
                    self._interactions = Lazy(History(self._store, self._plan, message).of)
                return self._interactions

    def _of_loyalty(self, key: str) -> Any:
        message = self._message
        if key == "rewards":
            if message.rewards:
                return message.rewards
        elif message.loyalty:
            return message.loyalty[min(message.loyalty)][key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    def __str__(self) -> str:
        return str(dict(self._attributes))


RESERVED = frozenset({"id", "identities", "interactions", "lists", "loyalty"})
"""What a contact has beside its attributes. An attribute of the same name is hidden."""

_OF_LOYALTY = frozenset({"points", "tier", "rewards"})


class Started(Mapping[str, Any]):
    """The attributes of what started a run. Read when a template asks for one."""

    def __init__(self, store: Store, position: int) -> None:
        self._store = store
        self._position = position
        self._known: Mapping[str, Any] | None = None

    def _attributes(self) -> Mapping[str, Any]:
        if self._known is None:
            record = self._store.record(self._position)
            trigger = record.input() if record is not None else None
            self._known = trigger.attributes if isinstance(trigger, Interaction | Enter) else {}
        return self._known

    def __getitem__(self, key: str) -> Any:
        return self._attributes()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes())

    def __len__(self) -> int:
        return len(self._attributes())

    def __str__(self) -> str:
        return str(dict(self._attributes()))


def facts_of(store: Store, plan: Plan, message: Message) -> Facts:
    """Return what the templates of a message see."""
    return Facts(store, plan, message, Started(store, message.trigger))


class Facts(Mapping[str, Any]):
    """What the templates of a message see, whatever it was that started the run. Made name by name, as they are asked."""

    def __init__(self, store: Store, plan: Plan, message: Message, interaction: Mapping[str, Any]) -> None:
        self._store = store
        self._plan = plan
        self._message = message
        self._found: dict[str, Any] = {"interaction": interaction}

    def __getitem__(self, key: str) -> Any:
        if key not in self._found:
            self._found[key] = self._make(key)
        return self._found[key]

    def _make(self, key: str) -> Any:
        message = self._message
        match key:
            case "contact":
                return Person(self._store, self._plan, message)
            case "journey":
                return message.journey
            case "message_id":
                return message.id
            case "run":
                started_at = moment_of(message.started_at) if message.started_at else None
                return message.saved | {"key": message.key, "started_at": started_at, "id": message.run}
            case "catalogue":
                return Catalogues(self._store, self._plan).all
            case "timezone":
                versions = self._plan.newest.get(message.journey)
                return zone_among(self._plan, message.attributes, versions).key
            case _:
                raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


_NAMES = ("contact", "interaction", "journey", "message_id", "run", "catalogue", "timezone")


class History:
    """What a contact did up to a decision. Read at once, and only when a template asks."""

    def __init__(self, store: Store, plan: Plan, message: Message) -> None:
        self._store = store
        self._plan = plan
        self._message = message
        self._known: dict[str, list[Interaction]] | None = None

    def of(self, name: str) -> dict[str, Any]:
        """Return what templates see of the interactions of a name."""
        if self._known is None:
            self._known = self._read()
        found = self._known.get(match_name(name), [])
        shown = [_shown(item) for item in found[:MOST_SHOWN]]
        last = shown[0] if shown else None
        first = _shown(found[-1]) if found else None
        return {"count": len(found), "size": len(found), "items": shown, "last": last, "first": first}

    def _read(self) -> dict[str, list[Interaction]]:
        found: dict[str, list[Interaction]] = {}
        for item in self._inputs():
            if isinstance(item, Interaction) and self._counts(item):
                found.setdefault(item.name, []).append(item)
        for items in found.values():
            items.sort(key=lambda item: (item.occurred_at, item.position), reverse=True)
        return found

    def _inputs(self) -> Iterator[Any]:
        """Yield the newest inputs of the contact, and of all who had become part of it."""
        people, left = [self._message.contact], MOST_INPUTS
        for contact in people:
            for record in self._store.history(contact, left):
                left -= 1
                item = record.input()
                if not self._seen(record, item.received_at):
                    continue
                if isinstance(item, Absorb) and item.other.id not in people:
                    people.append(item.other.id)
                yield item
            if left <= 0:
                return

    def _seen(self, record: Record, received_at: int) -> bool:
        """Return whether an input came before the decision: by its place, or before the timer at which it was made."""
        message = self._message
        if message.position:
            return record.position <= message.position
        return received_at < (message.held_since or message.decided_at)

    def _counts(self, item: Interaction) -> bool:
        route = self._plan.routes.get(item.name)
        rule = route.counts_when if route is not None else None
        return rule is None or rule.ask(Contact(self._message.contact), item.attributes, item.received_at)


def _shown(item: Interaction) -> dict[str, Any]:
    return {"occurred_at": moment_of(item.occurred_at), **item.attributes}


class Catalogues:
    """The items of catalogues, looked up one by one."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        self._known = plan.workspace.catalogues
        self._left = MOST_ITEMS
        self.all = Lazy(self._catalogue)

    def _catalogue(self, name: str) -> Lazy:
        if name not in self._known:
            raise KeyError(name)
        return Lazy(lambda id_: self._item(name, id_))

    def _item(self, catalogue: str, id_: str) -> dict[str, Any]:
        if self._left <= 0:
            raise TooManyItemsError(f"it looks up more than {MOST_ITEMS} items of catalogues")
        self._left -= 1
        return {"id": id_} | self._store.items(catalogue, [id_])[id_]


def _text(key: object) -> str:
    """Return a name as text: a whole number is written alike whether it came as `1` or `1.0`.

    Raises:
        KeyError: It is nothing that names could be.
    """
    if isinstance(key, str):
        return key
    if isinstance(key, bool) or not isinstance(key, int | float):
        raise KeyError(key)
    return str(int(key)) if isinstance(key, int) or key.is_integer() else str(key)


def as_message(
    plan: Plan, contact: Contact, message: str, now: int, position: int, run: Mapping[str, Any] | None = None
) -> Message:
    """Return a message that would be decided now, to look at what it would say.

    `run` is what steps of the run would have saved, with its key under `key`.
    """
    key = (run or {}).get("key")
    definition = plan.messages[message].definition
    return Message(
        id="preview",
        contact=contact.id,
        channel=definition.channel,
        address="",
        message=message,
        version=plan.messages[message].version,
        journey="",
        run="",
        decided_at=now,
        trigger=0,
        attributes=dict(contact.attributes),
        position=position,
        identities=list(contact.identities),
        lists=lists_of(contact),
        loyalty=standing_of(contact),
        rewards=rewards_of(contact, now) if contact.coupons else {},
        key=key if isinstance(key, str) else "",
        started_at=now,
        saved=dict(run or {}),
    )
