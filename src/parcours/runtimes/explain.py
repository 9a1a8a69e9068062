"""Why did she get this, and why did she not? What was recorded of a contact, folded anew with the plans then in force.

The fold is pure, so folding again gives what was decided; and a plan that tells what its conditions saw
(`runtimes.listening`) gives the reasons that no trace keeps. Nothing is kept for it, and nothing is changed by it.

| asked about one journey and one contact | answered with                                                             |
|-----------------------------------------|---------------------------------------------------------------------------|
| why did she get this?                   | the input that let her in, each step and way, with what conditions saw     |
| why did she never enter?                | what was considered, and which part of the condition was not true          |
| why was she refused, or not sent to?    | the reason in the trace, with its values                                   |
| what is she waiting for?                | the step, and until when                                                   |
| what of her points?                     | which rules gave nothing for the same input for want of budget              |

A contact of whom more than `MOST_RECORDS` are recorded is not explained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from parcours.conditions.instants import brief
from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact
from parcours.core.effects import TEST, Trace, What
from parcours.core.inputs import Input, Publish
from parcours.core.merge import parts_of
from parcours.core.plan import OPEN, Plan
from parcours.definitions.steps import Webhook
from parcours.errors import ParcoursError
from parcours.ports import Store
from parcours.runtimes.acts import in_words
from parcours.runtimes.budgets_left import counted, said_of
from parcours.runtimes.not_entered import of_segment, what_it_takes
from parcours.runtimes.retelling import Moment, Retelling, Retold, State, is_held_entry

MOST_RECORDS = 20_000
"""Records of a contact that are folded again at the most."""


class TooMuchError(ParcoursError):
    """More is recorded of a contact than is folded again for somebody who asks."""

    code = "too_much"


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
    paused: int | None = None
    """Since when the journey is paused: then nothing moves, and what comes due happens when the pause is over."""


class Explanation(msgspec.Struct):
    """Why a contact is in a journey as it is."""

    contact: str
    journey: str
    at: int
    entered: int
    """How often the contact entered, tests left out."""
    because: list[str]
    """The answer, in sentences."""
    states: list[State]
    """The states the journey came into, in order."""
    standing: list[Standing]
    moments: list[Moment]


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
    for id_ in parts_of(state.id, lambda id_: store.contacts([id_])[id_].merged):
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
    standing = _standing(one.contact, life, journey)
    because = list(_because(life, plan.newest.get(journey), journey, standing, at))
    known = plan.newest.get(journey)
    if not life.entered and known is not None:
        because += of_segment(known, one.contact, at)
        if _NOTHING in because:
            because += what_it_takes(known, one.contact, at)
    return Explanation(past.contact, journey, at, life.entered, because, life.states, standing, life.moments)


def _standing(contact: Contact, life: Retelling, journey: str) -> list[Standing]:
    found = []
    paused = life.states[-1].at if life.states and life.states[-1].state == "paused" else None
    for run in contact.runs.get(journey, {}).values():
        # Those of a paused journey are on the shelf.
        mine = sorted(timer for timer in (*contact.timers, *contact.shelf) if timer.run == run.id)
        timers = {timer.token: timer.due for timer in reversed(mine)}
        found += [
            Standing(run.id, run.key, run.version, token.step, token.since, timers.get(token.id), timers.get(0), paused)
            for token in run.tokens
        ]
    return found


def _because(
    life: Retelling, known: CompiledJourney | None, journey: str, standing: list[Standing], at: int
) -> Iterator[str]:
    """Yield the answer, in sentences."""
    if not life.entered:
        yield from _not_entered(life, known, journey, at)
    apart = _told_apart(life.moments)
    refused = [entry for moment in life.moments for entry in moment.decided if entry.what == What.REFUSED]
    unsaid = set(map(id, refused[:-_MOST_SAID]))
    if life.entered and unsaid:
        yield _more(life, len(unsaid), "it was refused", refused[0].at, refused[-_MOST_SAID - 1].at)
    for moment in life.moments:
        entries = [one for one in moment.decided if id(one) not in unsaid and (life.entered or _of_test(one))]
        # Of several runs the same may be told.
        yield from dict.fromkeys(said for entry in entries for said in _labelled(life, moment, entry, apart))
        if life.entered and moment.passed_over:
            yield _was_passed_over(moment)
        yield from _withheld(moment)
    for stand in standing:
        yield from _passed_by(life.moments, stand)
        yield _stands(stand, at, known, apart)


def _told_apart(moments: list[Moment]) -> dict[str, str]:
    """Return what to call runs, where there are several: by their keys, or those of the same time by when they began."""
    began: dict[str, Trace] = {}
    ended: dict[str, int] = {}
    for entry in (entry for moment in moments for entry in moment.decided):
        if entry.what == What.ENTERED:
            began[entry.run] = entry
        elif entry.what == What.ENDED:
            ended[entry.run] = entry.at
    found = {}
    for run, entry in began.items():
        key = str((entry.detail or {}).get("key", ""))
        others = [
            other
            for other in began.values()
            if other.run != run
            and _of_test(other) == _of_test(entry)
            and (key or (entry.at < ended.get(other.run, math.inf) and other.at < ended.get(run, math.inf)))
        ]
        if others:
            found[run] = key or f"the run of {brief(entry.at)}"
    return found


def _was_passed_over(moment: Moment) -> str:
    """Return that an interaction was not looked at, and why."""
    if moment.passed_over == "backfill":
        return f"At {brief(moment.at)} {moment.what!r} came as history, which starts and moves nothing."
    return (
        f"At {brief(moment.at)} {moment.what!r} did not count, for what its definition asks was false: {moment.rule}."
    )


def _withheld(moment: Moment) -> Iterator[str]:
    """Yield which rules gave nothing for the same input for want of budget, how much was left, and until when."""
    for one in moment.withheld:
        of = f", of {counted(one.points, 'point')}" if one.points else ""
        what = f"gave nothing for {moment.what!r}{of}"
        yield f"At {brief(moment.at)} the rule {one.rule!r} {what}: {said_of(one.budgets)}."


def _of_test(entry: Trace) -> bool:
    return entry.run.startswith(TEST)


def _labelled(life: Retelling, moment: Moment, entry: Trace, apart: dict[str, str]) -> Iterator[str]:
    """Yield what is told of an entry, of which run it is where there are several, and whether it is of a test."""
    # A pause is of all of them, and that somebody entered without a key says when.
    named = entry.what not in {What.PAUSED, What.RESUMED} and (
        entry.what != What.ENTERED or "key" in (entry.detail or {})
    )
    for said in _told(life, moment, entry):
        run = f"{said[:-1]} ({apart[entry.run]})." if named and entry.run in apart else said
        yield f"In a test, {run[0].lower()}{run[1:]}" if _of_test(entry) else run


def _passed_by(moments: list[Moment], stand: Standing) -> Iterator[str]:
    """Yield what came while a run stands at a step and did not take it further, the latest."""
    place = f"steps/{stand.step}/"
    found = [
        f"At {brief(moment.at)} {moment.what!r} did not take it from {stand.step!r}: {'; '.join(one.answer.reasons())}."
        for moment in moments
        if moment.at >= stand.since
        for one in moment.asked
        if one.place.startswith(place) and not one.answer.answer
    ]
    yield from found[-_MOST_PASSED_BY:]


def _stands(stand: Standing, at: int, known: CompiledJourney | None, apart: dict[str, str]) -> str:
    whose = "The run of a test" if stand.run.startswith(TEST) else "The run"
    name = stand.key or apart.get(stand.run, "").removeprefix("the run ")
    run = f"{whose} ({name})" if stand.key else f"{whose} {name}" if name else whose
    older = f" of version {stand.version}" if known is not None and stand.version != known.version else ""
    place = f"{run} stands at {stand.step!r}{older} since {brief(stand.since)}"
    if stand.paused is not None:
        over = ""
        if stand.until is not None:
            is_over = stand.until <= at
            over = f"; what it waits for by itself {'was' if is_over else 'is'} over at {brief(stand.until)}"
        return (
            f"{place}. The journey is paused since {brief(stand.paused)}, and nothing moves until that is over{over}."
        )
    until = f"until {brief(stand.until)}" if stand.until is not None else "for something to happen"
    return f"{place} and waits {until}."


def _not_entered(life: Retelling, known: CompiledJourney | None, journey: str, at: int) -> Iterator[str]:
    yield f"The contact never entered {journey!r}."
    if known is not None and journey not in life.plan.journeys:
        yield f"At {brief(at)} the journey had not been published yet."
    if not life.people:
        yield f"At {brief(at)} nothing of the contact had been recorded yet."
        return
    yield from _closed(life.states, at)
    refused = [
        (moment, entry)
        for moment in life.moments
        for entry in moment.decided
        if entry.what == What.REFUSED and not _of_test(entry)
    ]
    if len(refused) > _MOST_SAID:
        yield _more(life, len(refused) - _MOST_SAID, "it was refused", refused[0][0].at, refused[-_MOST_SAID - 1][0].at)
    for moment, entry in refused[-_MOST_SAID:]:
        yield f"At {brief(moment.at)} {_would_have(life, moment, entry)} let it in, and was refused: {_why_refused(entry)}."
    held = [moment for moment in life.moments if any(map(is_held_entry, moment.decided))]
    for moment in held[-_MOST_SAID:]:
        yield f"At {brief(moment.at)} {moment.what!r} would have let it in: the journey was paused, and the entry is held."
    late = [moment for moment in life.moments if any(entry.what == What.LATE for entry in moment.decided)]
    for moment in late[-_MOST_SAID:]:
        yield f"{moment.what!r}, which came at {brief(moment.at)}, had occurred too long before."
    passed_over = [moment for moment in life.moments if moment.passed_over]
    yield from map(_was_passed_over, passed_over[-_MOST_SAID:])
    asked = [(moment, one) for moment in life.moments for one in moment.asked if not one.answer.answer]
    if len(asked) > _MOST_SAID:
        yield _more(
            life, len(asked) - _MOST_SAID, "a condition was false", asked[0][0].at, asked[-_MOST_SAID - 1][0].at
        )
    for moment, one in asked[-_MOST_SAID:]:
        said = "; ".join(one.answer.reasons())
        yield f"At {brief(moment.at)} {moment.what!r} was considered, and the condition at {one.place} was false: {said}."
    counted = [moment for moment in life.moments if moment.counted and all(one.answer.answer for one in moment.asked)]
    for moment in counted[-1:]:
        yield (
            f"At {brief(moment.at)} {moment.what!r} was counted: {moment.counted} so far, and {moment.needed} are asked for "
            "(close enough together, where the entry says so)."
        )
    state = life.plan.states.get(journey, "") if known is not None else ""
    if state and state != "live":
        since = f" since {brief(life.states[-1].at)}" if life.states else ""
        yield f"The journey is not live: its state is {state!r}{since}."
    if not (refused or held or late or passed_over or asked or counted):
        yield _NOTHING


def _more(life: Retelling, times: int, what: str, since: int, until: int) -> str:
    """Return that something was so besides what is told of one by one."""
    often = f"{'at least ' if life.left_out else ''}{counted(times, 'time')}"
    between = f"at {brief(since)}" if since == until else f"from {brief(since)} to {brief(until)}"
    return f"Besides what is told here, {what} {often}, {between}."


_NOTHING = "Nothing that could let it in was recorded."

_MOST_SAID = 10
"""How often the same is told one by one, the latest."""
_MOST_PASSED_BY = 3


def _closed(states: list[State], at: int) -> Iterator[str]:
    """Yield when nobody could enter a journey that had been live and that came into another state since."""
    lived = False
    for state, following in pairwise(states):
        lived = lived or state.state == "live"
        if lived and state.state not in OPEN and following.at <= at:
            yield f"The journey was {state.state} from {brief(state.at)} to {brief(following.at)}, and nobody entered."


def _would_have(life: Retelling, moment: Moment, entry: Trace) -> str:
    """Return what an entry was that was refused: something that came, or an entry that had been held."""
    by_plan = moment.what in {"live", "paused", "resumed", "moved"} and entry.reason in _STATES
    held = by_plan or (moment.what == "timer" and moment.at in life.let_in)
    return "an entry that had been held would have" if held else f"{moment.what!r} would have"


def _told_of_life(life: Retelling, moment: Moment, entry: Trace) -> str:
    """Return what is told of pauses and of moves, and of anything else."""
    at = brief(entry.at)
    match entry.what:
        case What.ENTERED if entry.run in life.held:
            held = life.held[entry.run]
            return (
                f"At {at} the entry of {brief(held.at)} ({held.what!r}), held while the journey was paused, was let in."
            )
        case What.HELD if is_held_entry(entry):
            return (
                f"At {at} {moment.what!r} would have let the contact in: the journey was paused, and the entry is held."
            )
        case What.HELD:
            return f"At {at} the message {entry.reason!r} was decided at {entry.step!r}, and held for quiet hours{_until(entry)}."
        case What.PAUSED:
            return f"At {at} the journey was paused: nothing of the run moves until that is over."
        case What.RESUMED:
            return f"At {at} the journey was no longer paused, and the run goes on."
        case What.MOVED:
            versions = f"from version {entry.version} to {(entry.detail or {}).get('version', 'another')}"
            same = entry.step == entry.reason
            steps = f"and stays at {entry.step!r}" if same else f"from {entry.step!r} to {entry.reason!r}"
            return f"At {at} the run was moved {versions}, {steps}."
        case _:
            return _told_of_steps(life, entry)


def _told_of_steps(life: Retelling, entry: Trace) -> str:
    """Return what is told of what steps did and could not do."""
    at = brief(entry.at)
    match entry.what:
        case What.UNDELIVERED:
            detail = entry.detail or {}
            error = f" ({detail['error']})" if detail.get("error") else ""
            called = _is_call(life, entry)
            return f"At {at} {'the call' if called else 'the message'} of {entry.step!r} failed: {entry.reason}{error}."
        case What.CALLED:
            return f"At {at} the call of {entry.step!r} was decided."
        case What.FAILED:
            times = (entry.detail or {}).get("times", "")
            why = f"it made the same happen {times} times without a wait in between"
            return f"At {at} {entry.step!r} failed, and the run ended: {entry.reason} ({why})."
        case What.SKIPPED:
            return f"At {at} {entry.step!r} did not do what it was to do: {entry.reason}."
        case _:
            return f"At {at} {entry.what}" + (f": {entry.reason}." if entry.reason else ".")


def _acted(life: Retelling, moment: Moment, entry: Trace) -> Iterator[str]:
    """Yield what a step did that leaves nothing else in the trace, unless it could not."""
    journey = life.plan.journeys.get(entry.journey, {}).get(entry.version)
    step = journey.steps.get(entry.step) if journey is not None else None
    undone = {(one.run, one.step) for one in moment.decided if one.what in {What.SKIPPED, What.FAILED}}
    if step is not None and (entry.run, entry.step) not in undone and (words := in_words(step.definition)):
        yield f"At {brief(entry.at)} {entry.step!r} {words}."


def _is_call(life: Retelling, entry: Trace) -> bool:
    journey = life.plan.journeys.get(entry.journey, {}).get(entry.version)
    step = journey.steps.get(entry.step) if journey is not None else None
    return step is not None and isinstance(step.definition, Webhook)


_WORDS = {
    "no_consent": "the contact has not opted in to its channel or topic",
    "opted_out": "the contact opted out of its channel or topic",
    "no_address": "there is no address for its channel",
    "invalid_address": "the address for its channel is none",
    "quiet_hours": "it was quiet where the contact lives, and what comes then is dropped",
    "no_test_recipient": "the test names no recipient for its channel",
}
"""What the reasons mean for which a message is not sent."""

_STATES = frozenset({"draft", "closed", "stopped", "archived", "scheduled"})


def _why_refused(entry: Trace) -> str:
    if entry.reason == "paused":
        return "the journey was paused, and entries are discarded meanwhile"
    if entry.reason in _STATES:
        return f"the journey is {entry.reason}"
    if entry.reason == "no_key":
        return f"no_key (it has no value for {(entry.detail or {}).get('key', '')!r})"
    seen = [text for name, value in (entry.detail or {}).items() if (text := _in_the_way(name, value))]
    return f"{entry.reason} ({', '.join(seen)})" if seen else entry.reason


def _in_the_way(name: str, value: Any) -> str:
    """Return a value by which an entry was refused, in words."""
    match name:
        case "entered":
            return f"it entered at {brief(value)}"
        case "until":
            return f"not before {brief(value)}"
        case "entries" | "runs":
            return f"{name}: {value}"
        case "key" if isinstance(value, str):
            return f"key {value!r}"
        case "where" | "exit":
            return str(value)
        case _:
            return ""


def _until(entry: Trace) -> str:
    until = (entry.detail or {}).get("until")
    return f" until {brief(until)}" if until else ""


def _for(moment: Moment, place: str) -> str:
    """Return what conditions saw that were true at a place, as the end of a sentence."""
    asked = [one.answer for one in moment.asked if one.place == place and one.answer.answer]
    reasons = [reason for answer in asked for reason in answer.reasons()]
    return f", for {'; '.join(reasons)}" if reasons else ""


def _told(life: Retelling, moment: Moment, entry: Trace) -> Iterator[str]:
    at = brief(entry.at)
    match entry.what:
        case What.ENTERED if entry.run not in life.held:
            asked = [one for one in moment.asked if one.place.startswith(("entry", "segment")) and one.answer.answer]
            saw = f", for {'; '.join(reason for one in asked for reason in one.answer.reasons())}"
            yield f"At {at} {moment.what!r} let the contact in{saw if asked else ''}."
        case What.BRANCHED:
            place = f"steps/{entry.step}"
            step = [one for one in moment.asked if one.place == place or one.place.startswith(f"{place}/")]
            saw = f" ({'; '.join(reason for one in step for reason in one.answer.reasons())})"
            yield f"At {at} it left {entry.step!r} by {entry.reason!r}{saw if step else ''}."
        case What.SENT:
            yield f"At {at} the message {entry.reason!r} was sent at {entry.step!r}."
        case What.SUPPRESSED:
            detail = entry.detail or {}
            words = detail.get("cap") or _WORDS.get(entry.reason)
            why = f"{entry.reason} ({words})" if words else entry.reason
            yield f"At {at} the message {detail.get('message', '')!r} was not sent: {why}."
        case What.REFUSED:
            yield f"At {at} {_would_have(life, moment, entry)} let the contact in again, and was refused: {_why_refused(entry)}."
        case What.LATE:
            yield f"{moment.what!r}, which came at {at}, had occurred too long before."
        case What.GOAL:
            yield f"At {at} the goal {entry.reason!r} was reached by {moment.what!r}{_for(moment, 'aims/goals')}."
        case What.ENDED if entry.reason == "exited":
            why = _for(moment, "aims/exits") or f" ({(entry.detail or {}).get('exit', '')})"
            yield f"At {at} ended: exited by {moment.what!r}{why}."
        case What.DROPPED if any(one.what == What.ENDED and one.run == entry.run for one in moment.decided):
            pass
        case What.ARRIVED:
            yield from _acted(life, moment, entry)
        case What.SWITCHED | What.PASSED | What.DREW | What.CONVERTED:
            pass  # for counts; what there is to tell, others tell
        case _:
            yield _told_of_life(life, moment, entry)
