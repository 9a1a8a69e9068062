"""What is kept of a message, or of a call, when it is decided: everything its texts may say, as it is then."""

from __future__ import annotations

from parcours.core.contact import Contact
from parcours.core.coupon import rewards_of
from parcours.core.effects import Message
from parcours.core.member import standing_of
from parcours.core.walk import Walk


def lists_of(contact: Contact) -> list[str]:
    """Return the names of the lists a contact is on."""
    if not contact.lists:
        return []
    return [name for name, membership in contact.lists.items() if membership.member]


def decided(
    walk: Walk,
    step: str,
    identity: str,
    channel: str,
    address: str,
    message: str,
    version: int,
    priority: int = 0,
) -> Message:
    """Return a message that a step decides now."""
    contact, run = walk.contact, walk.run
    return Message(
        id=identity,
        contact=contact.id,
        channel=channel,
        address=address,
        message=message,
        version=version,
        journey=run.journey,
        run=run.id,
        decided_at=walk.now,
        trigger=run.trigger,
        attributes=dict(contact.attributes),
        priority=priority,
        position=walk.effects.position,
        key=run.key,
        started_at=run.started_at,
        saved=dict(run.data),
        identities=list(contact.identities),
        lists=lists_of(contact),
        step=step,
        journey_version=run.version,
        loyalty=standing_of(contact),
        rewards=rewards_of(contact, walk.now) if contact.coupons else {},
    )
