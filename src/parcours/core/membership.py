"""Who belongs to the watched segments: kept exact by inputs and by time.

| when                                  | what                                                                            |
|---------------------------------------|---------------------------------------------------------------------------------|
| a contact is first met under a plan   | what it lacks is remembered from its history; who is a member then was one       |
|                                       | before (`bring_up`)                                                             |
| an input touches a segment            | the answer is asked again; who enters or leaves is told in the trace, and the    |
|                                       | journeys that wait for it start (`look`)                                        |
| a timer that the condition asked for  | the same, at its own instant (`come_due`)                                       |

What journeys do at that (send messages) may touch segments again: they are looked at until nothing changes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from itertools import chain
from operator import attrgetter, itemgetter

from parcours.conditions.needs import Keeps
from parcours.core.aims import look_at_aims
from parcours.core.caps import CAPS, caps_for, count_again
from parcours.core.codec import decode_message
from parcours.core.contact import Contact, Membership, Sent, Timer
from parcours.core.dated import set_dates
from parcours.core.effects import Effects, Message, Trace, What
from parcours.core.inputs import Input, Interaction, Reaction
from parcours.core.life import live_on
from parcours.core.loyalty.clock import catch_up
from parcours.core.memory import remember_message, remember_reaction, shorten
from parcours.core.plan import MESSAGES, Plan
from parcours.core.runs import enter
from parcours.core.tally import count_history
from parcours.core.watch import Watched
from parcours.definitions.message import WEBHOOK

MOST_ROUNDS = 10
"""How often segments are looked at again for what their journeys did: more than any chain that makes sense."""


def bring_up(plan: Plan, contact: Contact, past: Iterable[Input], sent: Iterable[Message], effects: Effects) -> None:
    """Let a contact catch up with a plan that it has not been folded with yet. The contact is changed.

    `past` are its inputs from before the publication that made the plan, and `sent` the messages sent to it, oldest
    first; they are only looked at when the contact lacks memories (`plan.lacks_history`). The result is the same
    whenever this is done, as long as nothing was folded in between.
    """
    if contact.merged_into or contact.erased_at:
        return
    since, contact.revision = contact.revision, plan.revision
    effects.position = plan.revised_position
    if plan.lacks_history(since) or plan.lacks_sent(since):
        sent = [message for message in sent if message.channel != WEBHOOK]
        if plan.lacks_history(since):
            _remember_again(plan, contact, past, sent, since)
        _count_again(plan, contact, sent, since)
    # Rules may be others by now, which ask for less.
    if not plan.remembers_messages:
        contact.messages = {}
    shorten(plan.needs, contact)
    live_on(plan, contact, effects)
    _watch_anew(plan, contact, since)
    for name, turned in plan.turned.items():
        if turned.revision > since:
            look_at_aims(plan, contact, (name,), turned.at, effects)
    for (name, watches), announced in plan.announced.items():
        asked = plan.watch.segments.get(watches)
        if asked is None or announced.revision <= since or name not in asked.entered:
            continue
        # Asked as of then: time alone may have changed the answer since.
        if asked.ask(contact, {}, announced.at):
            _start(plan, contact, (name,), announced.at, announced.position, effects, watches)
    if contact.loyalty and plan.loyalty.revision > since:
        catch_up(plan.loyalty, contact, effects)
        look(plan, contact, plan.watch.by_loyalty.values(), plan.loyalty.revised_at, 0, effects, "")


def _watch_anew(plan: Plan, contact: Contact, since: int) -> None:
    """Let a contact know whether it is a member of what is newly watched, and when its dates come."""
    watched = plan.watch.segments
    for name in [name for name in contact.segments if name not in watched]:
        _set_timer(contact, name, None)
        del contact.segments[name]
    for segment in watched.values():
        if segment.revision <= since:
            continue
        member = segment.ask(contact, {}, segment.since)
        if segment.name in contact.segments:
            _set_timer(contact, segment.name, None)
        contact.segments[segment.name] = Membership(member, segment.since)
        _set_timer(contact, segment.name, segment.change(contact, segment.since) if segment.change else None)
    set_dates(plan, contact, [name for name in contact.dates if name not in plan.dated], plan.revised_at)
    for name, dated in plan.dated.items():
        if dated.revision > since:
            set_dates(plan, contact, (name,), dated.since)


def _count_again(plan: Plan, contact: Contact, sent: Iterable[Message], since: int) -> None:
    """Count what caps newly count. What was decided after the publication is counted by what follows in the log."""
    lacking = [of for of in plan.counted if plan.needed[CAPS + of] > since]
    if not lacking:
        return
    taken: dict[str, list[int]] = {}
    delayed = (decode_message(one.body) for one in contact.delayed)
    for message in {message.id: message for message in chain(delayed, sent)}.values():
        at, position = message.held_since or message.decided_at, message.position
        if position >= plan.revised_position or at > plan.revised_at:
            continue
        for of in {cap.of for cap in caps_for(plan.caps, plan.texts[message.message, message.version])}:
            taken.setdefault(of, []).append(at)
    count_again(contact, lacking, taken, plan.counted, plan.revised_at)


def _remember_again(plan: Plan, contact: Contact, past: Iterable[Input], sent: Iterable[Message], since: int) -> None:
    lacking = {id_ for id_, revision in plan.needed.items() if revision > since}
    if MESSAGES in lacking:
        contact.messages.clear()
        for message in sent:
            remember_message(contact, message.id, Sent(message.message, message.channel, message.decided_at))
    for id_ in lacking & contact.tallies.keys():
        del contact.tallies[id_]
    # What was blanked in the log meanwhile, since it need not be kept any longer, is only remembered here.
    counters = {id_: contact.counters.pop(id_) for id_ in lacking if id_ in contact.counters}
    figures = {id_: contact.figures.pop(id_) for id_ in lacking if id_ in contact.figures}
    _take_again(plan, contact, past, lacking)
    for id_, times in counters.items():
        both = sorted((Counter(times) | Counter(contact.counters.get(id_, []))).elements())
        contact.counters[id_] = both[-plan.needs[id_].keep :]
    for id_, entries in figures.items():
        if plan.needs[id_].keeps is Keeps.ENTRIES:
            known = {(at, place): value for at, place, value in (*entries, *contact.figures.get(id_, []))}
            both_entries = [(at, place, value) for (at, place), value in sorted(known.items(), key=_FIRST)]
            contact.figures[id_] = both_entries[-plan.needs[id_].keep :]


def _take_again(plan: Plan, contact: Contact, past: Iterable[Input], lacking: AbstractSet[str]) -> None:
    """Let a contact remember its past, as far as it lacks memories."""
    for item in past:
        if isinstance(item, Interaction):
            route = plan.routes.get(item.name)
            if route is None:
                continue
            rule = route.counts_when
            if rule is not None and not rule.ask(contact, item.attributes, item.received_at):
                continue
            for memory in route.memories:
                if memory.need.id in lacking:
                    memory.take(contact, item)
            count_history(contact, route, item, lacking)
        elif isinstance(item, Reaction) and MESSAGES in lacking:
            remember_reaction(contact, item.message, item.reaction, item.occurred_at)


def look(
    plan: Plan,
    contact: Contact,
    touched: Collection[Watched],
    now: int,
    position: int,
    effects: Effects,
    cause: str,
    *,
    silent: bool = False,
) -> None:
    """Ask again who belongs to the segments that were touched. The contact is changed.

    `cause` tells what touched them from every other input; it is empty for time alone. `silent` is for history that
    triggers nothing: memberships follow, and nobody enters or leaves.
    """
    for _ in range(MOST_ROUNDS):
        sent = len(effects.messages)
        for segment in touched:
            member = segment.ask(contact, {}, now)
            known = contact.segments.get(segment.name)
            if known is None or known.member != member:
                due = known.due if known is not None else None
                contact.segments[segment.name] = Membership(member, now, due)
                if (member or known is not None) and not silent:
                    effects.trace.append(Trace(now, What.JOINED if member else What.LEFT, reason=segment.name))
                    journeys = segment.entered if member else segment.left
                    _start(plan, contact, journeys, now, position, effects, cause)
            if segment.change is not None:
                _set_timer(contact, segment.name, segment.change(contact, now))
        if len(effects.messages) > sent and plan.aims.by_message:
            look_at_aims(plan, contact, plan.aims.by_message, now, effects)
        if len(effects.messages) == sent or not plan.watch.by_message:
            return
        touched = plan.watch.by_message.values()


def _start(
    plan: Plan,
    contact: Contact,
    journeys: Collection[str],
    now: int,
    position: int,
    effects: Effects,
    cause: str,
) -> None:
    for name in journeys:
        # The instant is part of the cause: time alone may let somebody enter again and again.
        enter(plan, contact, plan.newest[name], {}, position, now, effects, f"{cause}@{now}")


def come_due(plan: Plan, contact: Contact, timer: Timer, effects: Effects) -> None:
    """A timer that a segment asked for came due. The contact is changed."""
    segment = plan.watch.segments.get(timer.run)
    if segment is not None:
        contact.segments[timer.run].due = None
        look(plan, contact, (segment,), timer.due, 0, effects, "")


def _set_timer(contact: Contact, segment: str, due: int | None) -> None:
    """Let the contact have one timer of a segment, due at an instant, or with None no timer."""
    known = contact.segments[segment]
    before = known.due
    if before == due:
        return
    timers = contact.timers
    if before is not None:
        for index in range(bisect_left(timers, before, key=_due), len(timers)):
            timer = timers[index]
            if timer.due > before:
                break  # it is the one that fires now
            if not timer.journey and timer.run == segment:
                del timers[index]
                break
    known.due = due
    if due is not None:
        contact.created += 1
        insort(timers, Timer(due, contact.created, "", segment, 0))


_due = attrgetter("due")
_FIRST = itemgetter(0)
