"""Where in its journey a message was decided that could not be delivered, or a call that failed for good.

A reaction names nothing but the message. The message itself knows its place, which is put into the reaction before that
is written down, so that the fold can tell of it (`effects.What.UNDELIVERED`), and count it at the step: once, so it is
looked up in the trace whether it was told before. No more is read than what came after the message was decided.
"""

from __future__ import annotations

from collections.abc import Iterator

from parcours.core import ids
from parcours.core.contact import Contact
from parcours.core.effects import Message, Trace, What
from parcours.core.inputs import Failure, Reaction
from parcours.ports import Changes, Store

_FIRST_LOOK = 4
"""How many of the newest are read at first: most failures are of what was decided lately."""

_MORE = 4
"""How many times as many are read next."""


def complete(store: Store, changes: Changes, contact: Contact, item: Reaction) -> bool:
    """Put the place into a reaction that tells of a failure; take the failure out when it was told before, or of no message.

    Return whether it tells of one.
    """
    if item.failure is None:
        return False
    owners = _owners(store, changes, contact, item.message)
    message = _message(store, changes, owners, item.message)
    if message is None or _told(store, changes, owners, message):
        item.failure = None
    else:
        place = message.journey, message.journey_version, message.run, message.step
        item.failure = Failure(item.failure.reason, *place)
    return True


def _owners(store: Store, changes: Changes, contact: Contact, message: str) -> list[str]:
    """Return the contact, and those that it was since the message was decided, the latest first."""
    found = [ids.contact_of_message(message) or contact.id]
    while found[-1] != contact.id:
        state = changes.contacts.get(found[-1]) or store.contacts(found[-1:]).get(found[-1])
        found.append((state.merged_into if state is not None else "") or contact.id)
    return found[::-1]


def _message(store: Store, changes: Changes, owners: list[str], wanted: str) -> Message | None:
    for message in reversed(changes.messages):
        if message.id == wanted:
            return message
    for owner in owners:
        limit, before, more = _FIRST_LOOK, 0, True
        while more:
            posted = store.posted(owner, limit, before)
            for one in posted:
                if one.message.id == wanted:
                    return one.message
            more = len(posted) == limit
            limit, before = limit * _MORE, posted[-1].sequence if posted else 0
    return None


def _told(store: Store, changes: Changes, owners: list[str], message: Message) -> bool:
    """Return whether it was told before that a message failed."""
    return any(
        entry.what == What.UNDELIVERED and entry.detail is not None and entry.detail.get("message_id") == message.id
        for owner in owners
        for entry in _since(store, changes, owner, message.decided_at)
    )


def _since(store: Store, changes: Changes, owner: str, at: int) -> Iterator[Trace]:
    """Yield what was decided about a contact from an instant on, the newest first."""
    for of, _, entries in reversed(changes.traces):
        if of == owner:
            yield from reversed(entries)
    limit, seen, more = _FIRST_LOOK, 0, True
    while more:
        moments = store.trace(owner, limit)
        for _, entries in moments[seen:]:
            # What is decided of a contact is decided in the order of time.
            if entries and entries[-1].at < at:
                return
            yield from reversed(entries)
        more = len(moments) == limit
        limit, seen = limit * _MORE, len(moments)
