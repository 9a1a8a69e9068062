"""What a store holds, as rows in the shapes that an import reads: out, in, and out again is the same.

| kind           | a row                                                                                               |
|----------------|-----------------------------------------------------------------------------------------------------|
| `contacts`     | what was learned of a contact at one instant: attributes (null for one removed) and consent           |
| `interactions` | one interaction; an id of a source other than `file` has the source in front, `api.interactions:o-1` |
| `lists`        | one membership, or that somebody was taken off                                                      |
| `items`        | one item of a catalogue                                                                             |

The ledger and the coupons are told by `runtimes.dump_loyalty`; no import reads these.

Rows come in pages: contacts, lists and items in the order of ids, interactions in that of the log. Who was erased, and
interactions whose time to be kept is over, are not in them; nor is who recorded a consent, which the log alone has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from parcours.conditions.instants import iso
from parcours.core.contact import Contact
from parcours.core.inputs import Interaction
from parcours.ports import Identity, Store
from parcours.runtimes.dumped import strength, strongest
from parcours.runtimes.engine import Engine
from parcours.runtimes.loyalty import dump as dump_loyalty

KINDS = ("contacts", "interactions", "lists", "items")
"""What an import reads again."""

EXPORTS = dump_loyalty.KINDS
"""What no import reads: it comes of inputs."""

PAGE = 1_000
"""Contacts, records or items that are looked at for one page."""

SOURCE = "file"
"""The source whose message ids stand by themselves: the one that imports have."""

Row = dict[str, Any]


class Page(NamedTuple):
    """Some rows, and where to go on behind them; None at the end."""

    rows: list[Row]
    after: str | None


def page(engine: Engine, kind: str, after: str = "", *, catalogue: str = "") -> Page:
    """Return the next page of a kind."""
    store = engine.store
    if kind in EXPORTS:
        return Page(*dump_loyalty.page(store, kind, after, engine.clock.now()))
    if kind == "interactions":
        return _interactions(engine, int(after or 0))
    if kind == "items":
        found = store.scan_items(catalogue, after, PAGE)
        rows = [{"id": id_, "attributes": attributes} for id_, attributes in found]
        return Page(rows, found[-1][0] if len(found) == PAGE else None)
    contacts = store.scan(after, PAGE)
    made = _learned if kind == "contacts" else _memberships
    rows = [row for contact in contacts if contact.identities and not contact.erased_at for row in made(contact)]
    return Page(rows, contacts[-1].id if len(contacts) == PAGE else None)


def rows(engine: Engine, kind: str, *, catalogue: str = "") -> Iterator[Row]:
    """Yield every row of a kind."""
    after: str | None = ""
    while after is not None:
        found, after = page(engine, kind, after, catalogue=catalogue)
        yield from found


def _learned(contact: Contact) -> Iterator[Row]:
    ordered = sorted({(space, value) for space, value in contact.identities}, key=strength)
    everything: dict[str, str] = {}
    more: list[Identity] = []
    for space, value in ordered:
        if everything.setdefault(space, value) != value:
            more.append((space, value))
    times: dict[int, Row] = {}
    for name, at in contact.changed.items():
        times.setdefault(at, {}).setdefault("attributes", {})[name] = contact.attributes.get(name)
    for channel, topics in contact.consented.items():
        for topic, at in topics.items():
            states = times.setdefault(at, {}).setdefault("consent", {}).setdefault(channel, {})
            states[topic] = contact.consent[channel][topic]
    yield {"contact": everything} | (_sorted(*times.popitem()) if len(times) == 1 else {})
    for space, value in more:
        # Two of one namespace do not fit into an object: another one ties them together.
        tie = next((identity for identity in ordered if identity[0] != space), None)
        yield {"contact": {space: value} if tie is None else dict([tie, (space, value)])}
    for at in sorted(times):
        yield {"contact": strongest(contact)} | _sorted(at, times[at])


def _sorted(at: int, what: Row) -> Row:
    return {"occurred_at": iso(at)} | {
        key: {name: _in_order(value) for name, value in sorted(values.items())} for key, values in sorted(what.items())
    }


def _in_order(value: Any) -> Any:
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def _memberships(contact: Contact) -> Iterator[Row]:
    for name, membership in sorted(contact.lists.items()):
        action = "add" if membership.member else "remove"
        yield {"contact": strongest(contact), "list": name, "action": action, "occurred_at": iso(membership.at)}


def _interactions(engine: Engine, after: int) -> Page:
    store, definitions = engine.store, engine.plan.workspace.interactions
    records = store.log(after, PAGE)
    found = [(record.contact, item) for record in records if isinstance(item := record.input(), Interaction)]
    owners = _survivors(store, {contact for contact, _ in found})
    made: list[Row] = []
    for contact, item in found:
        owner = owners.get(contact)
        if owner is None or not owner.identities:
            continue
        known = engine.learner.knowledge(item.name)
        spelling = item.name if known is None else known.spelling
        made.append(
            {
                "id": item.message_id if item.source == SOURCE else f"{item.source}:{item.message_id}",
                "name": definitions[item.name].name if item.name in definitions else spelling,
                "contact": strongest(owner),
                "occurred_at": iso(item.occurred_at),
                "attributes": item.attributes,
            }
        )
    return Page(made, str(records[-1].position) if len(records) == PAGE else None)


def _survivors(store: Store, ids: set[str]) -> dict[str, Contact]:
    """Return contacts, each as the one it has become part of; none that was erased."""
    found: dict[str, Contact] = {}
    known = store.contacts(ids)
    for id_, first in known.items():
        contact = first
        while contact.merged_into:
            contact = store.contacts([contact.merged_into])[contact.merged_into]
        if not contact.erased_at:
            found[id_] = contact
    return found
