"""The short way of rows that were made ready and that nothing listens to."""

from __future__ import annotations

from parcours.core.codec import encode
from parcours.core.contact import Contact
from parcours.core.fold import unheard
from parcours.core.prepared import HEAD, Kind, Prepared
from parcours.ports import Identity, Record
from parcours.runtimes.engine.batch import Batch
from parcours.runtimes.engine.folding import Folding
from parcours.runtimes.engine.outcomes import Accepted
from parcours.runtimes.engine.people import People


class Direct:
    """Takes in interactions that were made ready, of contacts of which nothing changes by them but the time."""

    def __init__(self, engine: Folding, batch: Batch, people: People) -> None:
        self.at_rest: dict[tuple[Identity, ...], Contact] = {}
        """Contacts that were found to be such; to be cleared when one of them may have changed."""
        self._engine = engine
        self._plan = engine.plan
        self._batch = batch
        self._people = people
        self._now = batch.received_at
        self._received_at = encode(self._now)
        self._kind: Kind | None = None
        self._suits = False

    def take(self, item: Prepared, key: bytes) -> Accepted | None:
        """Take one in, or return None: then it is to be looked at as any other arrival."""
        if item.kind is not self._kind:
            self._kind = item.kind
            self._suits = not self._engine.clock.follows_inputs and self._is_suited(item.kind)
        if not self._suits:
            self.at_rest.clear()
            return None
        if item.occurred_at > self._now:
            return None
        contact = self.at_rest.get(item.identities) or self._find(item.identities)
        if contact is None:
            return None
        batch = self._batch
        batch.prepared = True
        batch.position = position = batch.position + 1
        body = b"".join((HEAD, encode(position), self._received_at, item.tail))
        batch.changes.records.append(Record(position, contact.id, key, body))
        batch.inputs.append(item)
        return Accepted(position, contact.id)

    def _is_suited(self, kind: Kind) -> bool:
        plan = self._plan
        route = plan.routes.get(kind.name)
        if route is None or route.definition is None:
            if kind.definition or plan.workspace.settings.strict or kind.name not in self._engine.learner:
                return False
        elif encode(route.definition) != kind.definition:
            return False
        return unheard(plan, kind.name, backfill=kind.backfill)

    def _find(self, identities: tuple[Identity, ...]) -> Contact | None:
        contact = self._people.known(identities)
        if contact is None or not contact.time or contact.revision != self._plan.revision:
            return None
        timers = contact.timers
        if (timers and timers[0].due <= self._now) or contact.merged_into or contact.erased_at:
            return None
        if any(map(self._engine.tombstone, identities)):
            return None
        contact.time = self._now
        self._batch.changes.contacts[contact.id] = contact
        self.at_rest[identities] = contact
        return contact
