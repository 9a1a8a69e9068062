"""Where in its journey a message was decided that could not be delivered, or a call that failed for good.

A reaction names nothing but the message. Its place is in the trace of the contact, and is put into the reaction before that
is written down, so that the fold can tell of it (`effects.What.UNDELIVERED`), and count it at the step.
"""

from __future__ import annotations

from collections.abc import Iterator

from parcours.core import ids
from parcours.core.contact import Contact
from parcours.core.effects import Trace, What
from parcours.core.inputs import Failure, Reaction
from parcours.ports import Changes, Store

_LOOKS = (4, 40, 1_000)
"""How many of the newest moments of a contact are looked at, one number after the other."""

_DECIDED = frozenset({What.SENT, What.HELD, What.CALLED})


def complete(store: Store, changes: Changes, contact: Contact, item: Reaction) -> bool:
    """Put the place into a reaction that tells of a failure, or take the failure out when it was told before.

    Return whether it tells of one.
    """
    if item.failure is None:
        return False
    item.failure = _at(item.failure.reason, item.message, _newest_first(store, changes, contact, item.message))
    return True


def _at(reason: str, message: str, entries: Iterator[Trace]) -> Failure | None:
    for entry in entries:
        if entry.detail is None or entry.detail.get("message_id") != message:
            continue
        if entry.what == What.UNDELIVERED:
            return None
        if entry.what in _DECIDED:
            return Failure(reason, entry.journey, entry.version, entry.run, entry.step)
    return None


def _newest_first(store: Store, changes: Changes, contact: Contact, message: str) -> Iterator[Trace]:
    """Yield what was decided about a contact, and about the one that it was when the message was sent."""
    for id_ in dict.fromkeys([contact.id, ids.contact_of_message(message) or contact.id]):
        if id_ in changes.contacts:
            for of, _, entries in reversed(changes.traces):
                if of == id_:
                    yield from reversed(entries)
        # Most failures are of what was decided lately: no more is read than has to be.
        seen = 0
        for limit in _LOOKS:
            moments = store.trace(id_, limit)
            for _, entries in moments[seen:]:
                yield from reversed(entries)
            seen = len(moments)
            if seen < limit:
                break
