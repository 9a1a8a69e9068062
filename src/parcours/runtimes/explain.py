"""Why did she get this, and why did she not? What was recorded of a contact, folded anew with the plans then in force.

The fold is pure, so folding again gives what was decided; and a plan that tells what its conditions saw
(`runtimes.listening`) gives the reasons that no trace keeps. Nothing is kept for it, and nothing is changed by it.

| asked about one journey and one contact | answered with                                                             |
|-----------------------------------------|---------------------------------------------------------------------------|
| why did she get this?                   | the input that let her in, each step and way, with what conditions saw     |
| why did she never enter?                | what was considered, and which part of the condition was not true          |
| why was she refused, or not sent to?    | the reason in the trace, with its values                                   |
| what is she waiting for?                | the step, and until when                                                   |

A contact of whom more than `MOST_RECORDS` are recorded is not explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from parcours.conditions.examine import Answer, examine
from parcours.core.codec import decode_contact, encode
from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact
from parcours.core.effects import Effects, Message, Trace, What
from parcours.core.fold import fold, wake
from parcours.core.inputs import Enter, Erased, Input, Interaction, Publish, Reaction, Update
from parcours.core.keys import key_of
from parcours.core.membership import bring_up
from parcours.core.plan import Plan
from parcours.definitions.load import definitions_in
from parcours.errors import ParcoursError
from parcours.ports import Store
from parcours.runtimes.listening import listening

MOST_RECORDS = 20_000
"""Records of a contact that are folded again at the most."""

MOST_MOMENTS = 500
"""Moments of an explanation, the latest."""


class TooMuchError(ParcoursError):
    """More is recorded of a contact than is folded again for somebody who asks."""

    code = "too_much"


class Asked(msgspec.Struct):
    """A condition of the journey that was asked."""

    place: str
    """Where it stands: `entry`, `steps/valuable`, `segment regulars`."""
    answer: Answer


class Moment(msgspec.Struct):
    """An input, or time, at which the journey was considered."""

    at: int
    what: str
    """The name of the interaction, or what else came: `identify`, `opened`, `enter`, `timer`, `live`."""
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    asked: list[Asked] = msgspec.field(default_factory=list)
    decided: list[Trace] = msgspec.field(default_factory=list)
    """Of this journey."""
    counted: int = 0
    """How many an entry had counted that asks for something several times, if they were not enough."""
    needed: int = 0


class Standing(msgspec.Struct):
    """Where a run stands."""

    run: str
    key: str
    version: int
    step: str
    since: int
    until: int | None
    """When it goes on by itself; None when only something that happens lets it."""
    ends: int | None
    """When the run ends at the latest."""


class Explanation(msgspec.Struct):
    """Why a contact is in a journey as it is."""

    contact: str
    journey: str
    at: int
    entered: int
    """How often the contact entered."""
    because: list[str]
    """The answer, in sentences."""
    standing: list[Standing]
    moments: list[Moment]


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
        """The latest."""
        self.entered = 0
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
            self._wake(one, item.received_at)
            one.past.append(item)
            # The fold changes what it is given, and an absorbed contact is kept as it was.
            effects = fold(self._ears(), one.contact, _own(item))
            self._note(one, item.received_at, effects, item)
        self._wake_all(until)

    def _publish(self, item: Publish) -> None:
        before = self.plan
        definitions = definitions_in(item.definitions)
        self.plan = before.publish(definitions, at=item.received_at, position=item.position, moves=item.moves)
        self._listening = None
        known, now = before.newest.get(self.journey), self.plan.newest.get(self.journey)
        if now is not None and now.segment is not None and not now.watches and now is not known:
            # Those who are not in the segment leave no record of having been looked at.
            for one in list(self.people.values()):
                self._ready(one)
                answer = examine(now.segment.node, one.contact, {}, item.received_at)
                self._heard.append(Asked("segment", answer.named(now.segment.text)))
                self._note(one, item.received_at, Effects(), None, "live")

    def _ears(self) -> Plan:
        if not self.journey:
            return self.plan
        if self._listening is None:
            self._listening = listening(self.plan, self.journey, self._hear)
        return self._listening

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
        self._note(one, self.plan.revised_at, effects, None, "live")

    def _parts(self, contact: Contact) -> list[str]:
        found: dict[str, None] = {}
        waiting = [contact.id]
        while waiting:
            id_ = waiting.pop()
            if id_ not in found and id_ in self.people:
                found[id_] = None
                waiting += self.people[id_].contact.merged
        return list(found)

    def _wake(self, one: Retold, until: int) -> None:
        self._ready(one)
        while (due := one.contact.next_due) is not None and due <= until:
            effects = Effects()
            wake(self._ears(), one.contact, due, effects)
            self._note(one, due, effects, None, "timer")

    def _wake_all(self, until: int) -> None:
        for one in list(self.people.values()):
            self._wake(one, until)

    def _note(self, one: Retold, at: int, effects: Effects, item: Input | None, what: str = "") -> None:
        one.trace += effects.trace
        one.sent += effects.messages
        asked, self._heard = self._heard, []
        decided = [entry for entry in effects.trace if entry.journey == self.journey]
        self.entered += sum(entry.what == What.ENTERED for entry in decided)
        counted, needed = self._counted(one.contact, item) if not decided else (0, 0)
        if not self.journey or not (asked or decided or counted):
            return
        name, values = _described(item, self.plan) if item is not None else (what, {})
        self.moments.append(Moment(at, name, values, asked, decided, counted, needed))
        del self.moments[:-MOST_MOMENTS]

    def _counted(self, contact: Contact, item: Input | None) -> tuple[int, int]:
        """Return how many the entry has counted, and how many it asks for."""
        known = self.plan.newest.get(self.journey)
        if known is None or known.tally is None or not isinstance(item, Interaction) or item.name not in known.names:
            return 0, 0
        key = key_of(item.attributes, known.key) if known.key else ""
        return len(contact.tallies.get(known.tally.id, {}).get(key, ())), known.tally.times


def _position(thing: tuple[str, Input | Publish]) -> int:
    return thing[1].position


def _own(item: Input) -> Input:
    other: Contact | None = getattr(item, "other", None)
    return item if other is None else msgspec.structs.replace(item, other=decode_contact(encode(other)))


def _described(item: Input, plan: Plan) -> tuple[str, dict[str, Any]]:
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


# --- from a store -----------------------------------------------------------------------------------------------------


class Past(msgspec.Struct):
    """What is recorded of a contact."""

    contact: str
    """The id under which it lives now."""
    publications: list[Publish]
    records: list[tuple[str, Input]]
    """Its own, and those of all that became part of it."""


def past_of(store: Store, contact: str) -> Past:
    """Return what is recorded of a contact.

    Raises:
        TooMuchError: It is more than `MOST_RECORDS`.
    """
    state = store.contacts([contact])[contact]
    while state.merged_into:
        state = store.contacts([state.merged_into])[state.merged_into]
    records: list[tuple[str, Input]] = []
    found: set[str] = set()
    waiting = [state.id]
    while waiting:
        id_ = waiting.pop()
        if id_ in found:
            continue
        found.add(id_)
        waiting += store.contacts([id_])[id_].merged
        records += ((id_, record.input()) for record in store.history(id_, MOST_RECORDS + 1 - len(records)))  # type: ignore[misc]  # they concern a contact
        if len(records) > MOST_RECORDS:
            raise TooMuchError(f"more than {MOST_RECORDS:,} inputs are recorded of this contact")
    return Past(state.id, store.publications(), records)


def explain(past: Past, plan: Plan, journey: str, at: int) -> Explanation:
    """Return why a contact is in a journey as it is at an instant.

    Args:
        past: What is recorded of the contact.
        plan: The plan in force, by which the journey is known.
        journey: Its name.
        at: The instant.
    """
    life = Retelling(past.publications, past.records, journey)
    life.until(at)
    one = life.people.get(past.contact) or Retold(past.contact)
    standing = _standing(one.contact, journey)
    because = list(_because(life, plan.newest.get(journey), journey, standing))
    if not life.entered:
        because += _outside(plan.newest.get(journey), one.contact, at)
    return Explanation(past.contact, journey, at, life.entered, because, standing, life.moments)


def _standing(contact: Contact, journey: str) -> list[Standing]:
    found = []
    for run in contact.runs.get(journey, {}).values():
        timers = {timer.token: timer.due for timer in reversed(contact.timers) if timer.run == run.id}
        found += [
            Standing(run.id, run.key, run.version, token.step, token.since, timers.get(token.id), timers.get(0))
            for token in run.tokens
        ]
    return found


def _because(life: Retelling, known: CompiledJourney | None, journey: str, standing: list[Standing]) -> Iterator[str]:
    """Yield the answer, in sentences."""
    if not life.entered:
        yield from _not_entered(life, known, journey)
        return
    for moment in life.moments:
        for entry in moment.decided:
            yield from _told(moment, entry)
    for stand in standing:
        of = f" ({stand.key})" if stand.key else ""
        until = f"until {iso(stand.until)}" if stand.until is not None else "for something to happen"
        yield f"The run{of} stands at {stand.step!r} since {iso(stand.since)} and waits {until}."


def _outside(known: CompiledJourney | None, contact: Contact, at: int) -> Iterator[str]:
    """Yield why a contact is not in the segment whose members enter."""
    if known is not None and known.segment is not None:
        answer = examine(known.segment.node, contact, {}, at)
        if not answer.answer:
            yield f"At {iso(at)} it is not {known.segment.text}: {'; '.join(answer.reasons())}."


def _not_entered(life: Retelling, known: CompiledJourney | None, journey: str) -> Iterator[str]:
    yield f"The contact never entered {journey!r}."
    refused = [(moment, entry) for moment in life.moments for entry in moment.decided if entry.what == What.REFUSED]
    for moment, entry in refused:
        yield f"At {iso(moment.at)} {moment.what!r} would have let it in, and was refused: {entry.reason}."
    late = [moment for moment in life.moments if any(entry.what == What.LATE for entry in moment.decided)]
    for moment in late:
        yield f"{moment.what!r}, which came at {iso(moment.at)}, had occurred too long before."
    asked = [(moment, one) for moment in life.moments for one in moment.asked if not one.answer.answer]
    for moment, one in asked[-_MOST_SAID:]:
        said = "; ".join(one.answer.reasons())
        yield f"At {iso(moment.at)} {moment.what!r} was considered, and the condition at {one.place} was false: {said}."
    counted = [moment for moment in life.moments if moment.counted and all(one.answer.answer for one in moment.asked)]
    for moment in counted[-1:]:
        yield (
            f"At {iso(moment.at)} {moment.what!r} was counted: {moment.counted} so far, and {moment.needed} are asked for "
            "(close enough together, where the entry says so)."
        )
    if not (refused or late or asked or counted):
        state = life.plan.states.get(journey, "draft") if known is not None else ""
        if state and state != "live":
            yield f"The journey is not live: its state is {state!r}."
        yield "Nothing that could let it in was recorded."


_MOST_SAID = 10


def _told(moment: Moment, entry: Trace) -> Iterator[str]:
    at = iso(entry.at)
    match entry.what:
        case What.ENTERED:
            asked = [one for one in moment.asked if one.place.startswith(("entry", "segment")) and one.answer.answer]
            saw = f", for {'; '.join(reason for one in asked for reason in one.answer.reasons())}"
            yield f"At {at} {moment.what!r} let the contact in{saw if asked else ''}."
        case What.BRANCHED:
            step = [one for one in moment.asked if one.place.startswith(f"steps/{entry.step}")]
            saw = f" ({'; '.join(reason for one in step for reason in one.answer.reasons())})"
            yield f"At {at} it left {entry.step!r} by {entry.reason!r}{saw if step else ''}."
        case What.SENT:
            yield f"At {at} the message {entry.reason!r} was sent at {entry.step!r}."
        case What.SUPPRESSED:
            message = (entry.detail or {}).get("message", "")
            yield f"At {at} the message {message!r} was not sent: {entry.reason}."
        case What.REFUSED:
            yield f"At {at} {moment.what!r} would have let the contact in again, and was refused: {entry.reason}."
        case What.LATE:
            yield f"{moment.what!r}, which came at {at}, had occurred too long before."
        case What.ARRIVED:
            pass
        case _:
            reason = f": {entry.reason}" if entry.reason else ""
            yield f"At {at} {entry.what}{reason}."


def iso(instant: int) -> str:
    """Return an instant in ISO 8601, UTC."""
    text = datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace(".000+00:00", "Z").replace("+00:00", "Z")
