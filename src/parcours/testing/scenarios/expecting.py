"""Whether things are as a scenario expects: one function for each field of `format.Expect`, in `CHECKS`.

The rules this file keeps:

| what is asked about                                    | what counts                                                       |
|--------------------------------------------------------|-------------------------------------------------------------------|
| sent, suppressed, held, entered, refused, ended, goal, | what was decided since the last look at this very instant; with   |
| way, trace, recorded                                   | `at` at another one, or at any                                    |
| path, nothing, nothing_else, anything that is `false`  | everything decided since the last look                            |
| not_sent                                               | everything ever decided                                           |
| step, waiting_until, runs, attributes, segments …      | what is so now                                                    |

A look is a step with `expect`, for each contact by itself.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from parcours.conditions import ast
from parcours.conditions.examine import examine
from parcours.conditions.names import match_name
from parcours.conditions.to_python import compile_condition, consent_state
from parcours.core.contact import Timer
from parcours.core.effects import Trace, What
from parcours.core.inputs import Interaction
from parcours.core.member import Member
from parcours.errors import PermanentFailureError, did_you_mean
from parcours.ports import Delivery
from parcours.testing.scenarios.format import NEVER, Calling, Entry, Expect, Names, Posted, Reasons, Recorded, Sending
from parcours.testing.scenarios.looking import Look, View
from parcours.testing.scenarios.naming import unknown
from parcours.testing.scenarios.times import is_length, length_in

_EVERYTHING = 1_000_000
_OURS = frozenset({"", "loyalty"})
"""The sources of interactions that nobody sent: steps and rules recorded them."""

Problems = Iterator[str]


def unmet(expect: Expect, look: Look) -> list[tuple[str, str]]:
    """Return what is not as expected: the field, and what was expected and found."""
    view = View(expect, look)
    found: list[tuple[str, str]] = []
    if view.at is not None and view.at > look.now:
        found.append(("at", f"what is decided at {look.shown(view.at)} is asked for, and that lies ahead"))
    for field, check in CHECKS.items():
        wanted = getattr(expect, field)
        # False is something else than nothing, and 0 than false.
        if type(wanted) is type(_USUAL[field]) and wanted == _USUAL[field]:
            continue
        found += [(field, problem) for problem in check(view, wanted)]
    return [*found, *unknown(expect, look.engine.plan)]


# --- messages ---------------------------------------------------------------------------------------------------------


def _sent(view: View, wanted: str | list[str | Sending] | Sending) -> Problems:
    items = [item if isinstance(item, Sending) else Sending(message=item) for item in _listed(wanted)]
    counts = Counter((item.message, item.at) for item in items)
    sent = view.since(What.SENT)
    for item in items:
        at = view.at if item.at is None else view.instant(item.at)
        found = [entry for entry in sent if entry.reason == item.message and at in {None, entry.at}]
        times = max(item.times, counts[item.message, item.at])
        if len(found) != times:
            often = "" if times == 1 else f" {times} times"
            instead = view.when(view.since(What.SENT, What.SUPPRESSED, What.HELD), _fate)
            when = "" if at is None else f" at {view.look.shown(at)}"
            yield f"{item.message!r} was to be sent to {view.who}{often}{when}; since the last look: {instead}"
            continue
        for entry in found:
            yield from _made(view.look, item, entry)


def _made(look: Look, item: Sending, entry: Trace) -> Problems:
    texts = [item.text] if isinstance(item.text, str) else item.text
    if item.channel is None and item.to is None and not texts and not item.no_text:
        return
    message = look.message(str((entry.detail or {}).get("message_id", "")))
    if message is None:
        yield f"{item.message!r} is not in the outbox"
        return
    if item.channel not in {None, message.channel}:
        yield f"{item.message!r} was to go by {item.channel}, and goes by {message.channel}"
    if item.to not in {None, message.address}:
        yield f"{item.message!r} was to go to {item.to!r}, and goes to {message.address!r}"
    if texts or item.no_text:
        try:
            content = look.deliver(message).content
        except PermanentFailureError as error:
            yield f"the text of {item.message!r} cannot be made: {error}"
            return
        whole = "\n".join(content.values())
        for field, text in texts.items() if isinstance(texts, dict) else (("", text) for text in texts):
            if text not in (content.get(field, "") if field else whole):
                place = f"the {field} of {item.message!r}" if field else f"the text of {item.message!r}"
                yield f"{text!r} was to be in {place}, which says: {content.get(field, '') if field else whole}"
        for text in _listed(item.no_text):
            if text in whole:
                yield f"{text!r} was not to be in the text of {item.message!r}, which says: {whole}"


def _not_sent(view: View, wanted: bool | Names) -> Problems:  # noqa: FBT001 (as it is written)
    names = None if isinstance(wanted, bool) else set(_listed(wanted))
    found = [entry for entry in view.ever if entry.what == What.SENT and (names is None or entry.reason in names)]
    if found:
        yield f"{view.when(found, _of_message)} was not to be sent to {view.who}"


def _reasons(view: View, wanted: Reasons, what: str, name: str, *, by: Callable[[Trace], str]) -> Problems:
    """Check decisions that have a reason: any, none, of these reasons, or of each named thing this reason."""
    found = view.decided(what)
    instead = view.when(view.since(what), lambda entry: f"{by(entry)} ({entry.reason})")
    if isinstance(wanted, bool):
        if bool(found if wanted else view.since(what)) != wanted:
            yield f"{'something' if wanted else 'nothing'} was to be {name} for {view.who}; {name}: {instead}"
        return
    if isinstance(wanted, Mapping):
        for thing, reason in wanted.items():
            if not any(by(entry) == thing and entry.reason == reason for entry in found):
                yield f"{thing!r} was to be {name} for {view.who} as {reason!r}; {name}: {instead}"
        return
    left = Counter(entry.reason for entry in found)
    for reason in _listed(wanted):
        if not left[reason]:
            yield f"something was to be {name} for {view.who} as {reason!r}; {name}: {instead}"
        left[reason] -= 1


def _suppressed(view: View, wanted: Reasons) -> Problems:
    return _reasons(view, wanted, What.SUPPRESSED, "suppressed", by=_message_in)


def _held(view: View, wanted: Reasons) -> Problems:
    found = view.decided(What.HELD)
    until = {entry.reason: int((entry.detail or {}).get("until", 0)) for entry in found}
    instead = view.when(view.since(What.HELD), lambda entry: entry.reason)
    if isinstance(wanted, bool):
        if bool(found if wanted else view.since(What.HELD)) != wanted:
            yield f"{'a message' if wanted else 'nothing'} was to be held for {view.who}; held: {instead}"
        return
    for name in wanted if isinstance(wanted, Mapping) else _listed(wanted):
        if name not in until:
            yield f"{name!r} was to be held for {view.who}; held: {instead}"
        elif isinstance(wanted, Mapping) and until[name] != view.look.instant(wanted[name]):
            yield f"{name!r} was to be held until {wanted[name]}, and is until {view.look.shown(until[name])}"


def _called(view: View, wanted: str | list[str | Calling] | Calling) -> Problems:
    found = view.decided(What.CALLED)
    instead = view.when(view.since(What.CALLED), lambda entry: entry.step)
    for one in _listed(wanted):
        asked = one if isinstance(one, Calling) else Calling(step=one)
        entry = next((entry for entry in found if entry.step == asked.step), None)
        message = view.look.message(str((entry.detail or {}).get("message_id", ""))) if entry is not None else None
        if message is None:
            yield f"{asked.step!r} was to make a call for {view.who}; called: {instead}"
            continue
        try:
            delivery = view.look.deliver(message)
        except PermanentFailureError as error:
            yield f"the call of {asked.step!r} cannot be made: {error}"
            continue
        yield from _made_as(asked, delivery)


def _made_as(asked: Calling, delivery: Delivery) -> Problems:
    content = delivery.content
    headers = msgspec.json.decode(content.get("headers", "{}"), type=dict[str, str])
    body: Any = content.get("body")
    if body is not None and not isinstance(asked.body, str):
        with contextlib.suppress(msgspec.DecodeError):
            body = msgspec.json.decode(body)
    pairs = [
        ("url", asked.url, delivery.address),
        ("method", asked.method, content.get("method")),
        ("body", asked.body, body),
    ]
    pairs += [(f"header {name}", value, headers.get(name)) for name, value in asked.headers.items()]
    for name, wanted, found in pairs:
        if wanted is not None and wanted != found:
            yield f"the {name} of the call of {asked.step!r} was to be {wanted!r}, and is {found!r}"


def _nothing_else(view: View, _wanted: object) -> Problems:
    expect = view.expect
    expected = [item.message if isinstance(item, Sending) else item for item in _listed(expect.sent or [])]
    sent = [entry for entry in view.since(What.SENT) if entry.reason not in expected]
    if sent:
        yield f"nothing else was to be sent to {view.who}; sent: {view.when(sent, _of_message)}"
    for what, wanted in ((What.SUPPRESSED, expect.suppressed), (What.HELD, expect.held)):
        found = view.since(what)
        if found and not wanted:
            yield f"nothing was to be {what} for {view.who}; {what}: {view.when(found, _of_message)}"


def _nothing(view: View, _wanted: object) -> Problems:
    if view.fresh:
        yield f"nothing was to be decided for {view.who}; decided: {view.when(view.fresh, _described)}"


# --- journeys ---------------------------------------------------------------------------------------------------------


def _entered(view: View, wanted: bool | int | Names) -> Problems:  # noqa: FBT001 (as it is written)
    found, ever = view.decided(What.ENTERED), view.since(What.ENTERED)
    instead = view.when(ever, _of_journey)
    refused = view.since(What.REFUSED)
    if refused:
        instead += f"; refused: {view.when(refused, lambda entry: f'{entry.journey} ({entry.reason})')}"
    if isinstance(wanted, bool):
        if bool(found if wanted else ever) != wanted:
            yield f"{view.who} was {'' if wanted else 'not '}to enter; entered: {instead}"
    elif isinstance(wanted, int):
        if len(found) != wanted:
            yield f"{view.who} was to enter {wanted} times; entered: {instead}"
    else:
        left = Counter(entry.journey for entry in found)
        for name in _listed(wanted):
            if not left[name]:
                yield f"{view.who} was to enter {name!r}; entered: {instead}"
            left[name] -= 1


def _refused(view: View, wanted: Reasons) -> Problems:
    return _reasons(view, wanted, What.REFUSED, "refused", by=_of_journey)


def _ended(view: View, wanted: Reasons) -> Problems:
    return _reasons(view, wanted, What.ENDED, "ended", by=_of_journey)


def _goal(view: View, wanted: Names) -> Problems:
    found = view.decided(What.GOAL)
    for name in _listed(wanted):
        if not any(entry.reason == name for entry in found):
            reached = view.when(view.since(What.GOAL), lambda entry: entry.reason)
            yield f"{view.who} was to reach the goal {name!r}; reached: {reached}"


def _way(view: View, wanted: Names) -> Problems:
    ways = [entry.reason for entry in view.decided(What.BRANCHED)]
    if ways != _listed(wanted):
        instead = view.when(view.since(What.BRANCHED), lambda entry: f"{entry.step} by {entry.reason!r}")
        yield f"the ways taken were to be {', '.join(_listed(wanted))}; taken since the last look: {instead}"


def _path(view: View, wanted: list[str]) -> Problems:
    path = [entry.step for entry in view.since(What.ARRIVED)]
    if path != wanted:
        yield f"{view.who} was to come to {', '.join(wanted) or 'no step'}, and came to {', '.join(path) or 'none'}"


def _step(view: View, wanted: Names) -> Problems:
    at = sorted(token.step for run in view.runs for token in run.tokens)
    if at != sorted(_listed(wanted)):
        stands = f"stands at {', '.join(at)}" if at else "is in no run"
        yield f"{view.who} was to stand at {', '.join(_listed(wanted)) or 'no step'}, and {stands}"


def _waiting_until(view: View, wanted: str) -> Problems:
    look = view.look
    runs = {run.id: {token.id for token in run.tokens} for run in view.runs}

    def waits(timer: Timer) -> bool:
        return timer.run in runs and timer.token in runs[timer.run]

    dues = [timer.due for timer in look.contact.timers if waits(timer)]
    instead = ", ".join(look.shown(due) for due in dues) or "for something that happens"
    if not runs:
        yield f"{view.who} was to wait, and is in no run"
        return
    if wanted == NEVER:
        if dues:
            yield f"{view.who} was to wait for something that happens, and waits until {instead}"
        return
    until = look.now + length_in(wanted) if is_length(wanted) else look.instant(wanted)
    if until not in dues:
        yield f"{view.who} was to wait until {look.shown(until)}, and waits {'until ' if dues else ''}{instead}"


def _runs(view: View, wanted: int) -> Problems:
    if len(view.runs) != wanted:
        there = ", ".join(f"{run.journey} {run.key}".strip() for run in view.runs) or "none"
        yield f"{view.who} was to have {wanted} runs under way; there are: {there}"


# --- the contact ------------------------------------------------------------------------------------------------------


def _attributes(view: View, wanted: dict[str, Any]) -> Problems:
    known = view.look.contact.attributes
    for name, value in wanted.items():
        if known.get(name) != value or isinstance(known.get(name), bool) != isinstance(value, bool):
            yield f"the attribute {name!r} of {view.who} was to be {value!r}, and is {known.get(name)!r}"


def _consent(view: View, wanted: dict[str, Any]) -> Problems:
    for channel, given in wanted.items():
        for topic, state in (given if isinstance(given, Mapping) else {"": given}).items():
            found = consent_state(view.look.contact.consent, channel, topic) or "unknown"
            if found != state:
                yield f"consent of {view.who} for {channel} {topic}".rstrip() + f" was to be {state}, and is {found}"


def _member(view: View, name: str) -> bool:
    test = compile_condition(ast.InSegment(name), view.look.engine.plan.segments)
    return test(view.look.contact, {}, view.look.now)


def _in_segment(view: View, wanted: Names) -> Problems:
    yield from _of_segments(view, wanted, member=True)


def _not_in_segment(view: View, wanted: Names) -> Problems:
    yield from _of_segments(view, wanted, member=False)


def _of_segments(view: View, wanted: Names, *, member: bool) -> Problems:
    for name in _listed(wanted):
        if name not in view.look.engine.plan.segments:
            yield f"there is no segment {name!r}{_meant(name, view.look.engine.plan.segments)}"
        elif _member(view, name) != member:
            why = examine(view.look.engine.plan.segments[name], view.look.contact, {}, view.look.now).reasons()
            said = f": {'; '.join(why)}" if why else ""
            yield f"{view.who} was {'' if member else 'not '}to be in the segment {name!r}{said}"


def _meant(name: str, known: Collection[str]) -> str:
    hint = did_you_mean(name, known)
    return f" ({hint})" if hint else ""


def _on_list(view: View, wanted: Names) -> Problems:
    yield from _of_lists(view, wanted, member=True)


def _not_on_list(view: View, wanted: Names) -> Problems:
    yield from _of_lists(view, wanted, member=False)


def _of_lists(view: View, wanted: Names, *, member: bool) -> Problems:
    for name in _listed(wanted):
        if name not in view.look.engine.plan.workspace.lists:
            yield f"there is no list {name!r}{_meant(name, view.look.engine.plan.workspace.lists)}"
            continue
        known = view.look.contact.lists.get(name)
        if (known is not None and known.member) != member:
            yield f"{view.who} was {'' if member else 'not '}to be on the list {name!r}"


# --- loyalty ----------------------------------------------------------------------------------------------------------


def _of_member(view: View, wanted: Any, name: str, value: Callable[[Member], Any], none: Any) -> Problems:
    programmes = view.look.engine.plan.workspace.programmes
    if not isinstance(wanted, Mapping):
        if len(programmes) != 1:
            there = f"is to be given by programme: there are {', '.join(programmes)}"
            yield f"{name} {there}" if programmes else f"there is no programme, so {name} is nobody's"
            return
        wanted = {next(iter(programmes)): wanted}
    for programme, one in wanted.items():
        member = view.look.contact.loyalty.get(programme)
        found = value(member) if member is not None else none
        if found != one:
            is_none = "" if member is not None else f"; {view.who} is no member"
            yield f"{name} of {view.who} in {programme!r} was to be {one!r}, and is {found!r}{is_none}"


def _points(view: View, wanted: int | dict[str, int]) -> Problems:
    return _of_member(view, wanted, "the balance", attrgetter("balance"), 0)


def _held_points(view: View, wanted: int | dict[str, int]) -> Problems:
    return _of_member(view, wanted, "what is held", attrgetter("held"), 0)


def _tier(view: View, wanted: str | dict[str, str]) -> Problems:
    return _of_member(view, wanted, "the tier", attrgetter("tier"), "")


def _coupons(view: View, wanted: dict[str, str]) -> Problems:
    found = {coupon.reward: coupon.state for coupon in view.look.contact.coupons.values()}
    for reward, state in wanted.items():
        if reward not in view.look.engine.plan.workspace.rewards:
            yield f"there is no reward {reward!r}{_meant(reward, view.look.engine.plan.workspace.rewards)}"
        elif found.get(reward, "") != state:
            yield f"the latest {reward!r} of {view.who} was to be {state or 'none'}, and is {found.get(reward) or 'none'}"


def _declined(view: View, wanted: Names) -> Problems:
    found = [entry.reason for entry in view.decided(What.DECLINED)]
    if found != _listed(wanted):
        said = ", ".join(found) or "nothing"
        yield f"something was to be declined for {view.who} as {', '.join(_listed(wanted))}; declined: {said}"


def _ledger(view: View, wanted: list[Posted]) -> Problems:
    look = view.look
    postings = [posting.entry for id_ in look.ids for posting in look.engine.store.ledger(id_, _EVERYTHING)]
    found = [entry for entry in sorted(postings, key=attrgetter("at", "sequence")) if view.at in {None, entry.at}]
    fits = [
        all(value is None or getattr(entry, name) == value for name, value in msgspec.structs.asdict(one).items())
        for entry, one in zip(found, wanted, strict=False)
    ]
    if len(found) != len(wanted) or not all(fits):
        said = ", ".join(f"{entry.kind} {entry.amount:+} (held {entry.held:+}, {entry.rule})" for entry in found)
        yield f"the ledger of {view.who} was to have other entries; it has: {said or 'none'}"


# --- everything else --------------------------------------------------------------------------------------------------


def _recorded(view: View, wanted: str | list[str | Recorded] | Recorded) -> Problems:
    look = view.look
    records = [record.input() for id_ in look.ids for record in look.engine.store.history(id_, _EVERYTHING)]
    found = [
        item
        for item in reversed(records)
        if isinstance(item, Interaction) and item.source in _OURS and view.at in {None, item.received_at}
    ]
    said = ", ".join(f"{item.name} {item.attributes}" for item in found) or "nothing"
    for one in _listed(wanted):
        asked = one if isinstance(one, Recorded) else Recorded(interaction=one)
        if not any(
            item.name == match_name(asked.interaction) and _includes(item.attributes, asked.attributes)
            for item in found
        ):
            yield f"{asked.interaction!r} {asked.attributes or ''} was to be recorded for {view.who}; recorded: {said}"


def _trace(view: View, wanted: Entry | list[Entry]) -> Problems:
    for entry in _listed(wanted):
        found = [one for one in view.current if _fits(one, entry)]
        if len(found) != entry.times and not (entry.times == 1 and found):
            said = ", ".join(f"{name}: {value}" for name, value in msgspec.to_builtins(entry).items())
            instead = view.when(view.fresh, _described)
            yield f"an entry of the trace was to say {{{said}}}; since the last look it says: {instead}"


def _fits(found: Trace, entry: Entry) -> bool:
    return (
        found.what == entry.what
        and entry.journey in {None, found.journey}
        and entry.step in {None, found.step}
        and entry.reason in {None, found.reason}
        and entry.version in {None, found.version}
        and _includes(found.detail or {}, entry.detail)
    )


def _includes(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in found and found[name] == value for name, value in wanted.items())


def _listed(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]


def _message_in(entry: Trace) -> str:
    return str((entry.detail or {}).get("message", entry.reason))


def _of_message(entry: Trace) -> str:
    return (
        entry.reason if entry.what in {What.SENT, What.HELD} else f"{_message_in(entry)} {entry.what} ({entry.reason})"
    )


def _fate(entry: Trace) -> str:
    """Return what became of a message that was to be sent."""
    return f"{_of_message(entry)}{' held for quiet hours' if entry.what == What.HELD else ''}"


def _of_journey(entry: Trace) -> str:
    return entry.journey


def _described(entry: Trace) -> str:
    return " ".join(part for part in (entry.journey, entry.step, entry.what, entry.reason) if part)


CHECKS: dict[str, Callable[[View, Any], Problems]] = {
    "sent": _sent,
    "not_sent": _not_sent,
    "suppressed": _suppressed,
    "held": _held,
    "called": _called,
    "nothing_else": _nothing_else,
    "nothing": _nothing,
    "entered": _entered,
    "refused": _refused,
    "ended": _ended,
    "goal": _goal,
    "way": _way,
    "path": _path,
    "step": _step,
    "waiting_until": _waiting_until,
    "runs": _runs,
    "attributes": _attributes,
    "consent": _consent,
    "in_segment": _in_segment,
    "not_in_segment": _not_in_segment,
    "on_list": _on_list,
    "not_on_list": _not_on_list,
    "points": _points,
    "held_points": _held_points,
    "tier": _tier,
    "coupons": _coupons,
    "declined": _declined,
    "ledger": _ledger,
    "recorded": _recorded,
    "trace": _trace,
}
"""Field of `format.Expect` to what yields how it is not met."""

_USUAL: dict[str, Any] = {
    field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    for field in msgspec.structs.fields(Expect)
}
"""What each field is when nothing is asked."""
