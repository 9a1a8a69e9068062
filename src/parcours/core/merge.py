"""Two contacts are found to be one person: what becomes of each.

| of the other contact | in the one that stays                                                                          |
|----------------------|------------------------------------------------------------------------------------------------|
| identities           | become its own                                                                                 |
| attributes, consent, lists | the one that occurred later counts; at the same instant, the one that stays has its way         |
| what is remembered   | interactions of both in the order they occurred, at one instant in that of the log; as many of |
|                      | the latest as are kept; sums are added                                                         |
| messages             | of both, with what became of them; those that quiet hours hold leave for the one that stays     |
| places in caps       | those of both are taken                                                                        |
| watched segments     | who was a member as either is one, until it is asked again                                     |
| runs                 | go on in it with their timers, unless a run of the same journey and key is under way there      |
| entries              | of both, as far as a journey asks how often or how long ago somebody entered; those that wait  |
|                      | for the end of a pause wait on                                                                 |
| runs that have ended | of both, as long as they have a goal to reach                                                  |
| what entries count   | of both together                                                                               |
| coupons              | of both; so are the limits of rewards                                                          |
| points and tiers     | as `core.loyalty.join` says                                                                    |

The other is left empty, with nothing but where it went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from parcours.core import admission, caps, memory, tally
from parcours.core.contact import DELAYED, Contact, Membership, Timer, under_way
from parcours.core.effects import Effects, Trace, What
from parcours.core.inputs import Absorb, Dissolve
from parcours.core.loyalty import coupons, join
from parcours.core.plan import Plan
from parcours.definitions.message import ADDRESSES


def learn(contact: Contact, name: str, value: object, at: int) -> bool:
    """Set an attribute, or with None remove it, unless something that occurred later is known; return whether."""
    if at < contact.changed.get(name, at):
        return False
    contact.changed[name] = at
    if value is None:
        contact.attributes.pop(name, None)
    else:
        contact.attributes[name] = value
    return True


def consent(contact: Contact, channel: str, topic: str, state: str, at: int) -> None:
    """Set the consent for a topic of a channel, unless something that occurred later is known.

    Whoever opts out of a channel as a whole (the topic is empty) opts out of all that was said of its topics before.
    """
    times = contact.consented.setdefault(channel, {})
    states = contact.consent.setdefault(channel, {})
    if topic and states.get("") == "opted_out" and times.get("", at) > at:
        state, at = "opted_out", times[""]
    if at < times.get(topic, at):
        return
    times[topic], states[topic] = at, state
    if not topic and state == "opted_out":
        for other, since in times.items():
            if other and since <= at:
                times[other], states[other] = at, state


def enlist(contact: Contact, name: str, at: int, *, member: bool) -> None:
    """Put a contact on a list or take it off, unless something that occurred later is known."""
    known = contact.lists.get(name)
    if known is None or at >= known.at:
        contact.lists[name] = Membership(member, at)


def erase(contact: Contact, now: int) -> None:
    """Leave nothing of a contact but that it was erased. The contact is changed."""
    empty = Contact(contact.id, now, erased_at=now)
    for field in Contact.__struct_fields__:
        setattr(contact, field, getattr(empty, field))


def dissolve(plan: Plan, contact: Contact, item: Dissolve, effects: Effects) -> None:
    """Empty a contact that has become part of another. The contact is changed."""
    join.leave_empty(plan.loyalty, contact, "merged", item, effects, item.into)
    effects.trace.append(Trace(item.received_at, What.MERGED, reason="into", detail={"contact": item.into}))
    empty = Contact(contact.id, contact.time, created=contact.created, merged=contact.merged, merged_into=item.into)
    for field in Contact.__struct_fields__:
        setattr(contact, field, getattr(empty, field))


def absorb(plan: Plan, contact: Contact, item: Absorb, effects: Effects) -> None:
    """Let another contact become part of this one. The contact is changed."""
    now, other = item.received_at, item.other
    effects.trace.append(Trace(now, What.MERGED, reason="with", detail={"contact": other.id}))
    contact.merged.append(other.id)
    contact.identities += [identity for identity in other.identities if identity not in contact.identities]
    _absorb_knowledge(contact, other)
    for name, membership in other.segments.items():
        # Whoever was a member before does not enter again as somebody else.
        known = contact.segments.get(name)
        if membership.member and known is not None and not known.member:
            known.member, known.at = True, membership.at
    memory.merge(plan.needs, contact, other, now)
    admission.absorb(contact, other)
    tally.absorb(contact, other)
    caps.join(contact, other, plan.counted, now)
    contact.delayed += other.delayed
    moved: set[str] = set()
    for journey, runs in other.runs.items():
        parallel = plan.newest[journey].parallel
        for run in runs.values():
            if not parallel and not run.test and under_way(contact.runs.get(journey, {}), run.key):
                effects.trace += [
                    Trace(now, What.DROPPED, journey, run.version, run.id, token.step, "merged") for token in run.tokens
                ]
                effects.trace.append(Trace(now, What.ENDED, journey, run.version, run.id, "", "merged"))
                continue
            contact.runs.setdefault(journey, {})[run.id] = run
            moved.add(run.id)
    for journey, runs in other.over.items():
        contact.over.setdefault(journey, {}).update(runs)
        moved.update(runs)
    _absorb_timers(contact, other, moved)
    contact.awaits |= {id_: awaited for id_, awaited in other.awaits.items() if awaited[1] in moved}
    coupons.absorb(contact, other)
    join.absorb(plan.loyalty, contact, item, effects)


def _absorb_knowledge(contact: Contact, other: Contact) -> None:
    for name, at in other.changed.items():
        if at <= contact.changed.get(name, at - 1):
            continue
        learn(contact, name, other.attributes.get(name), at)
        channel = ADDRESSES.get(name)
        if channel is not None and channel in other.addresses:
            contact.addresses[channel] = other.addresses[channel]
    for channel, topics in other.consented.items():
        for topic, at in sorted(topics.items()):
            if at > contact.consented.get(channel, {}).get(topic, at - 1):
                consent(contact, channel, topic, other.consent[channel][topic], at)
    for name, membership in other.lists.items():
        if name not in contact.lists or membership.at > contact.lists[name].at:
            enlist(contact, name, membership.at, member=membership.member)


def _absorb_timers(contact: Contact, other: Contact, moved: set[str]) -> None:
    for own, timers in ((contact.timers, other.timers), (contact.shelf, other.shelf)):
        for timer in sorted(timers, key=lambda timer: timer.created):
            if timer.run in moved or timer.token == DELAYED:
                contact.created += 1
                own.append(Timer(timer.due, contact.created, timer.journey, timer.run, timer.token))
        own.sort()
    contact.held += other.held


def parts_of(contact: str, merged: Callable[[str], Iterable[str]]) -> list[str]:
    """Return the ids of a contact and of everyone who became part of it, and of them.

    `merged` returns who became part of somebody at once.
    """
    found: dict[str, None] = {}
    waiting = [contact]
    while waiting:
        id_ = waiting.pop()
        if id_ not in found:
            found[id_] = None
            waiting += merged(id_)
    return list(found)
