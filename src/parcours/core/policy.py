"""May this message be sent to this contact now, and when does it leave? The first refusal is the reason.

| order | question                                                    | answer                                              |
|-------|-------------------------------------------------------------|-----------------------------------------------------|
| 1     | consent and a valid address (`permission`)                  | not sent: `no_consent`, `opted_out`, `no_address`, `invalid_address` |
| 2     | a place in every cap it is held to (`caps`)                 | not sent: `frequency_cap`                           |
| 3     | quiet hours (`quiet`)                                       | not sent: `quiet_hours`; or held until they are over |
|       | then it takes its places and leaves, or is held             |                                                     |
| later | when they are over: still consent and a valid address?      | leaves, or is not sent after all                    |
|       | is its journey paused then?                                 | leaves when that is over, and it is not quiet       |

A test is only asked 1, with the recipients of tests for an address.

Held is decided: the token goes on at once as if the message were sent. What it says is that of the moment of decision.
"""

from __future__ import annotations

import msgspec

from parcours.core.caps import full, take
from parcours.core.codec import decode_message, encode
from parcours.core.compiled import CompiledMessage
from parcours.core.contact import DELAYED, Contact, Delayed, Sent, Timer
from parcours.core.effects import Effects, Message, Trace, What
from parcours.core.memory import remember_message
from parcours.core.permission import address, refusal
from parcours.core.plan import Plan
from parcours.core.quiet import midnight
from parcours.core.walk import Walk, add_timer
from parcours.core.zones import zone_for


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """What is decided of a message."""

    refused: str = ""
    """Why it is not sent; empty when it is."""
    until: int = 0
    """When quiet hours are over that hold it, 0 for none."""
    cap: str = ""
    """Which cap refused it."""


_GO = Ruling()


def rule(walk: Walk, message: CompiledMessage) -> Ruling:
    """Decide on a message, and take its places in caps if it is sent. The contact is changed."""
    plan, contact, now = walk.plan, walk.contact, walk.now
    definition = message.definition
    if walk.run.test:
        return Ruling(refusal(contact, definition, plan.tests[walk.run.journey].recipients) or "")
    reason = refusal(contact, definition)
    if reason is not None:
        return Ruling(reason)
    caps = plan.caps_of.get(definition.name, ())
    if caps:
        # The cap is the workspace's, so it goes by no journey's zone.
        day = midnight(zone_for(plan, contact), now) if any(not cap.per for cap in caps) else 0
        cap = full(contact, caps, now, day)
        if cap is not None:
            return Ruling("frequency_cap", cap=cap.text)
    ruling = _GO
    quiet = plan.quiet
    if quiet is not None and quiet.is_for(definition):
        until = quiet.over(zone_for(plan, contact, walk.journey), now)
        if until is not None and quiet.drop:
            return Ruling("quiet_hours")
        if until is not None:
            ruling = Ruling(until=until)
    if caps:
        take(contact, caps, plan.counted, now)
    return ruling


def hold(walk: Walk, message: Message, step: str, until: int) -> None:
    """Let a message leave at a later instant. The contact is changed."""
    contact = walk.contact
    contact.delayed.append(Delayed(message.id, walk.run.version, step, encode(message)))
    add_timer(contact, Timer(until, 0, message.journey, message.id, DELAYED))
    walk.note(What.HELD, step, message.message, {"message_id": message.id, "until": until})


def may_leave(plan: Plan, contact: Contact, id_: str, at: int) -> int:
    """Return when a message leaves that a pause of its journey kept until now: at once, or when it is quiet no more."""
    delayed = next(one for one in contact.delayed if one.id == id_)
    message = decode_message(delayed.body)
    if plan.quiet is None or not plan.quiet.is_for(plan.texts[message.message, message.version]):
        return at
    until = plan.quiet.over(zone_for(plan, contact, plan.journeys[message.journey][delayed.version]), at)
    return at if until is None else until


def leave(plan: Plan, contact: Contact, timer: Timer, effects: Effects) -> None:
    """Quiet hours are over for a message: it leaves, unless it may not be sent any more. The contact is changed."""
    delayed = next(one for one in contact.delayed if one.id == timer.run)
    contact.delayed.remove(delayed)
    message, now = decode_message(delayed.body), timer.due
    definition = plan.texts[message.message, message.version]

    def note(what: str, reason: str, detail: dict[str, str]) -> None:
        place = message.journey, delayed.version, message.run, delayed.step
        effects.trace.append(Trace(now, what, *place, reason, detail))

    reason = refusal(contact, definition)
    if reason is not None:
        note(What.SUPPRESSED, reason, {"message": message.message, "message_id": message.id})
        return
    message.contact, message.address = contact.id, address(contact, message.channel) or ""
    message.held_since, message.decided_at = message.decided_at, now
    if plan.remembers_messages:
        remember_message(contact, message.id, Sent(message.message, message.channel, now))
    note(What.SENT, message.message, {"message_id": message.id})
    effects.messages.append(message)
