"""What was recorded of a contact, folded anew with the plans then in force, and what the conditions of a journey said.

The fold is pure, so folding again gives what was decided; and a plan that tells what its conditions saw
(`runtimes.listening`) gives the reasons that no trace keeps. Nothing is kept for it, and nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from parcours.conditions.examine import Answer, examine
from parcours.core import ids
from parcours.core.codec import decode_contact, encode
from parcours.core.contact import Contact
from parcours.core.effects import TEST, Effects, Message, Trace, What
from parcours.core.fold import due_before, fold, wake
from parcours.core.inputs import Absorb, Enter, Erased, Input, Interaction, Publish, Reaction, Update
from parcours.core.keys import key_of
from parcours.core.life import HELD
from parcours.core.membership import bring_up
from parcours.core.plan import Plan
from parcours.definitions.common import names_of
from parcours.definitions.load import definitions_in
from parcours.definitions.steps import InteractionBranch, WaitFor
from parcours.runtimes.budgets_left import OutOfBudget, out_of_budget
from parcours.runtimes.listening import listening

MOST_MOMENTS = 500
"""Moments of an explanation: the latest, of which four in five may be older ones that did something."""


class Asked(msgspec.Struct):
    """A condition of the journey that was asked."""

    place: str
    """Where it stands: `entry`, `steps/valuable`, `segment regulars`."""
    answer: Answer


class Moment(msgspec.Struct):
    """An input, or time, at which the journey was considered."""

    at: int
    what: str
    """The name of the interaction, or what else came: `identify`, `opened`, `enter`, `timer`; of what a publication did
    `paused`, `resumed`, `moved`, or `live` for anything else."""
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    asked: list[Asked] = msgspec.field(default_factory=list)
    decided: list[Trace] = msgspec.field(default_factory=list)
    """Of this journey."""
    withheld: list[OutOfBudget] = msgspec.field(default_factory=list)
    """Rules of loyalty that gave nothing for the same input, for want of budget."""
    counted: int = 0
    """How many an entry had counted that asks for something several times, if they were not enough."""
    needed: int = 0
    passed_over: str = ""
    """Why an interaction that the journey asks for was not looked at: it is history that was imported (`backfill`), or
    `not_counted`."""
    rule: str = ""
    """What its definition asks for, when it was not counted."""


class State(msgspec.Struct):
    """The state a journey came into."""

    at: int
    state: str


class Held(msgspec.Struct):
    """An entry that was held while the journey was paused."""

    at: int
    what: str
    """What would have let the contact in."""


class Retold:
    """A contact while what was recorded of it is folded again."""

    def __init__(self, id_: str) -> None:
        self.contact = Contact(id_)
        self.past: list[Input] = []
        self.sent: list[Message] = []
        self.trace: list[Trace] = []


class Retelling:
    """Folds what was recorded of a contact, and of those who became part of it, and listens to a journey.

    Args:
        publications: Every publication, in order.
        records: What was recorded of them, each with its contact, in order.
        journey: The journey that is listened to; none when only the trace is wanted.
    """

    def __init__(
        self, publications: Iterable[Publish], records: Iterable[tuple[str, Input]], journey: str = ""
    ) -> None:
        self.journey = journey
        self.people: dict[str, Retold] = {}
        self.moments: list[Moment] = []
        """The latest; those at which something was done before those at which nothing was."""
        self.left_out = False
        """Whether there were more moments."""
        self.entered = 0
        self.states: list[State] = []
        """What the journey came into, in order."""
        self.held: dict[str, Held] = {}
        """Run that begins when an entry is let in that was held, to that entry."""
        self.let_in: set[int] = set()
        """When entries were let in that had been held."""
        self.plan = Plan.empty()
        self._publications = list(publications)
        self._records = [record for record in records if not isinstance(record[1], Erased)]
        self._heard: list[Asked] = []
        self._listening: Plan | None = None

    def until(self, until: int) -> None:
        """Fold everything that was received up to an instant, and fire the timers that were due by then."""
        things: list[tuple[str, Input | Publish]] = [("", item) for item in self._publications]
        things += self._records
        for id_, item in sorted(things, key=_position):
            if item.received_at > until:
                continue
            if isinstance(item, Publish):
                self._wake_all(item.received_at)
                self._publish(item)
                continue
            one = self.people.setdefault(id_, Retold(id_))
            self._ready(one)
            while due_before(one.contact, item):
                self._fire(one)
            one.past.append(item)
            # The fold changes what it is given, and an absorbed contact is kept as it was.
            effects = fold(self._ears(), one.contact, _own(item))
            self._note(one, item.received_at, effects, item)
        self._wake_all(until)
        self._leave_out()

    def _leave_out(self) -> None:
        """Keep the moments that are told."""
        kept = _worth_telling(self.moments)
        self.left_out = self.left_out or len(kept) < len(self.moments)
        self.moments = kept

    def _publish(self, item: Publish) -> None:
        before = self.plan
        definitions = definitions_in(item.definitions)
        self.plan = before.publish(definitions, at=item.received_at, position=item.position, moves=item.moves)
        self._listening = None
        state = self.plan.states.get(self.journey)
        if state is not None and state != before.states.get(self.journey):
            self.states.append(State(item.received_at, state))
        known, now = before.newest.get(self.journey), self.plan.newest.get(self.journey)
        if now is not None and now.segment is not None and not now.watches and now is not known:
            # Those who are not in the segment leave no record of having been looked at.
            for one in list(self.people.values()):
                self._ready(one)
                answer = examine(now.segment.node, one.contact, {}, item.received_at)
                self._heard.append(Asked("segment", answer.named(now.segment.text)))
                self._note(one, item.received_at, Effects(), None, "live")

    def _ears(self) -> Plan:
        if self._listening is None:
            self._listening = self._listener(self.plan)
        return self._listening

    def _listener(self, plan: Plan) -> Plan:
        """Return a plan that decides alike and tells `_hear` what is to be told."""
        return listening(plan, self.journey, self._hear) if self.journey else plan

    def _hear(self, place: str, answer: Answer) -> None:
        self._heard.append(Asked(place, answer))

    def _ready(self, one: Retold) -> None:
        """Bring a contact up to the plan, if it is not and is not new."""
        contact = one.contact
        if contact.revision == self.plan.revision or not contact.time or contact.merged_into or contact.erased_at:
            return
        past: list[Input] = []
        sent: list[Message] = []
        if self.plan.lacks_history(contact.revision) or self.plan.lacks_sent(contact.revision):
            parts = [self.people[id_] for id_ in self._parts(contact)]
            past = sorted((item for part in parts for item in part.past), key=lambda item: item.position)
            past = [item for item in past if item.position <= self.plan.revised_position]
            sent = sorted((message for part in parts for message in part.sent), key=lambda message: message.decided_at)
        effects = Effects()
        bring_up(self._ears(), contact, past, sent, effects)
        told = (entry.what for entry in effects.trace if entry.journey == self.journey and entry.what in _OF_LIFE)
        self._note(one, self.plan.revised_at, effects, None, next(told, "live"))

    def _parts(self, contact: Contact) -> list[str]:
        found: dict[str, None] = {}
        waiting = [contact.id]
        while waiting:
            id_ = waiting.pop()
            if id_ not in found and id_ in self.people:
                found[id_] = None
                waiting += self.people[id_].contact.merged
        return list(found)

    def _fire(self, one: Retold) -> None:
        """Fire the timers that are due next."""
        due, effects = one.contact.next_due, Effects()
        if due is not None:
            if any(timer.token == HELD and timer.journey == self.journey for timer in one.contact.timers):
                self.let_in.add(due)
            wake(self._ears(), one.contact, due, effects)
            self._note(one, due, effects, None, "timer")

    def _wake_all(self, until: int) -> None:
        for one in list(self.people.values()):
            self._ready(one)
            while (due := one.contact.next_due) is not None and due <= until:
                self._fire(one)

    def _note(self, one: Retold, at: int, effects: Effects, item: Input | None, what: str = "") -> None:
        one.trace += effects.trace
        one.sent += effects.messages
        asked, self._heard = self._heard, []
        decided = [entry for entry in effects.trace if entry.journey == self.journey]
        self.entered += sum(entry.what == What.ENTERED and not entry.run.startswith(TEST) for entry in decided)
        counted, needed = self._counted(one.contact, item) if not decided else (0, 0)
        passed_over, rule = self._passed_over(effects, item) if not (asked or decided) else ("", "")
        if not self.journey or not (asked or decided or counted or passed_over):
            return
        name, values = described(item, self.plan) if item is not None else (what, {})
        withheld = list(out_of_budget(effects.trace, item, self.plan.loyalty))
        self.moments.append(Moment(at, name, values, asked, decided, withheld, counted, needed, passed_over, rule))
        self._remember_held(one.contact, at, name, sum(is_held_entry(entry) for entry in decided))
        if len(self.moments) >= 2 * MOST_MOMENTS:
            self._leave_out()

    def _remember_held(self, contact: Contact, at: int, what: str, number: int) -> None:
        """Remember under which runs the entries will be known that were just held."""
        for held in [held for held in contact.held if held.journey == self.journey][-number:] if number else ():
            by = self.plan.newest[self.journey].key
            key = key_of(held.attributes, by) if by else ""
            self.held[ids.derive(contact.id, self.journey, key, held.cause)] = Held(at, what)

    def _passed_over(self, effects: Effects, item: Input | None) -> tuple[str, str]:
        """Return why an interaction that the journey asks for was not looked at, and what was asked of it."""
        known = self.plan.newest.get(self.journey)
        if known is None or not isinstance(item, Interaction):
            return "", ""
        rules = [entry.detail for entry in effects.trace if entry.what == What.NOT_COUNTED]
        if not (rules or item.backfill):
            return "", ""
        waits = (step for step in known.definition.steps.values() if isinstance(step, WaitFor))
        branches = (one for step in waits for one in step.events if isinstance(one, InteractionBranch))
        if item.name not in {*known.names, *(name for one in branches for name in names_of(one.interaction))}:
            return "", ""
        return ("not_counted", str((rules[0] or {}).get("rule", ""))) if rules else ("backfill", "")

    def _counted(self, contact: Contact, item: Input | None) -> tuple[int, int]:
        """Return how many the entry has counted, and how many it asks for."""
        known = self.plan.newest.get(self.journey)
        if known is None or known.tally is None or not isinstance(item, Interaction) or item.name not in known.names:
            return 0, 0
        key = key_of(item.attributes, known.key) if known.key else ""
        return len(contact.tallies.get(known.tally.id, {}).get(key, ())), known.tally.times


def _worth_telling(moments: list[Moment]) -> list[Moment]:
    """Return as many moments as are told: most of them of those that did something, however much came to nothing since."""
    if len(moments) <= MOST_MOMENTS:
        return moments
    telling = [number for number, moment in enumerate(moments) if any(map(_tells, moment.decided))]
    most = MOST_MOMENTS * 4 // 5
    chosen = set(telling[-most:])
    for number in range(len(moments) - 1, -1, -1):
        if len(chosen) == MOST_MOMENTS:
            break
        chosen.add(number)
    return [moments[number] for number in sorted(chosen)]


def _tells(entry: Trace) -> bool:
    return entry.what not in {What.REFUSED, What.LATE}


_OF_LIFE = frozenset({What.PAUSED, What.RESUMED, What.MOVED})


def is_held_entry(entry: Trace) -> bool:
    """Return whether an entry of the trace tells of an entry that is held, rather than of a message."""
    return entry.what == What.HELD and not entry.step


def _position(thing: tuple[str, Input | Publish]) -> int:
    return thing[1].position


def _own(item: Input) -> Input:
    if not isinstance(item, Absorb):
        return item
    return msgspec.structs.replace(item, other=decode_contact(encode(item.other)))


def described(item: Input, plan: Plan) -> tuple[str, dict[str, Any]]:
    """Return what an input is called, and its values."""
    match item:
        case Interaction():
            known = plan.workspace.interactions.get(item.name)
            return known.name if known is not None else item.spelling or item.name, item.attributes
        case Update():
            return "identify", item.attributes
        case Reaction():
            return item.reaction, {"message_id": item.message}
        case Enter():
            return "enter", item.attributes
        case _:
            return str(type(item).__struct_config__.tag), {}
