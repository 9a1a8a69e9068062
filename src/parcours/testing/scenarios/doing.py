"""What the steps of a scenario let happen: one function for each field of `reading.INPUTS`, in `DOES`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from parcours.core.calls import ANSWERED, FAILED
from parcours.core.effects import What
from parcours.core.gate import Asked, Called, Happened, Learned, Reacted
from parcours.core.inputs import Move
from parcours.core.loyalty.coupons import USES
from parcours.definitions.load import Located, dump
from parcours.errors import InvalidDefinitionError, did_you_mean
from parcours.runtimes.engine import Outcome
from parcours.runtimes.engine.rewards import identity_of
from parcours.sources.plain import checked_name, learned_from
from parcours.sources.segment import read_consent
from parcours.testing.scenarios.format import Member, Step
from parcours.testing.scenarios.reading import find_key, key_of_data, merge_patch
from parcours.testing.scenarios.world import UnexpectedError, World


def _track(world: World, step: Step, who: str, _pointer: str) -> Outcome:
    return world.send(
        world.identities(who), Happened(checked_name(str(step.track), "track"), dict(step.attributes)), step
    )


def _learn(world: World, step: Step, who: str, _pointer: str) -> Outcome:
    learned = learned_from(dict(step.identify or {}))
    if step.consent is not None:
        learned.consent = read_consent(step.consent, "/consent")
    learned.lists = dict(step.lists or {})
    return world.send(world.identities(who), learned, step)


def _merge(world: World, step: Step, who: str, _pointer: str) -> Outcome:
    both = (*world.identities(who), *world.identities(str(step.merge)))
    known = any(space == "user_id" for space, _ in world.identities(str(step.merge)))
    return world.send(both, Learned(same=known), step)


def _react(world: World, step: Step, who: str, _pointer: str) -> Outcome:
    world.host.settle()  # what is due by now may send it
    sent = [entry for entry in world.trace(who) if entry.what == What.SENT and step.to in {"", entry.reason}]
    place = step.nth or len(sent)
    if not 1 <= place <= len(sent):
        named = f"of the message {step.to!r}" if step.to else "messages"
        hint = did_you_mean(step.to, world.engine.plan.messages) if step.to not in world.engine.plan.messages else ""
        said = f"{who} was sent {len(sent)} {named} so far: nothing to react to"
        raise UnexpectedError(f"{said} ({hint})" if hint else said)
    entry = sent[place - 1]
    message = str((entry.detail or {})["message_id"])
    # As a door does, which knows the channel by the event.
    attributes = {**step.attributes}
    known = world.engine.plan.messages.get(entry.reason)
    if known is not None:
        attributes.setdefault("channel", known.definition.channel)
    return world.send((), Reacted(str(step.react), message, attributes), step)


def _answer(world: World, step: Step, who: str, _pointer: str) -> Outcome:
    world.host.settle()  # what is due by now may call it
    given = step.answer or {}
    calls = [entry for entry in world.trace(who) if entry.what == What.CALLED and step.to in {"", entry.step}]
    place = step.nth or len(calls)
    if not 1 <= place <= len(calls):
        named = f"the step {step.to!r}" if step.to else "a step"
        raise UnexpectedError(f"{named} made {len(calls)} calls for {who} so far: nothing to answer")
    message = str((calls[place - 1].detail or {})["message_id"])
    kind = FAILED if "error" in given else ANSWERED
    return world.send((), Reacted(kind, message, dict(given), ours=True), step)


def _enter(world: World, step: Step, who: str, _pointer: str) -> Outcome:
    return world.send(world.identities(who), Called(str(step.enter), dict(step.attributes)), step)


def _loyalty(world: World, step: Step, who: str, _pointer: str) -> Outcome:
    asked = step.loyalty
    assert asked is not None  # noqa: S101 (it is what happens)
    if asked.action in USES:
        return _coupon(world, step, who, asked)
    if asked.action == "issue":
        issue = Asked(action="issue", reward=asked.reward, pay=asked.pay, reason=asked.reason, author=asked.author)
        return world.send(world.identities(who), issue, step)
    programmes = list(world.engine.plan.workspace.programmes)
    if not asked.programme and len(programmes) != 1:
        raise UnexpectedError(f"say which programme: there are {', '.join(programmes) or 'none'}")
    given = msgspec.structs.asdict(asked) | {"programme": asked.programme or programmes[0], "presented": ""}
    given["to"] = world.identities(asked.to)[0] if asked.to else None
    return world.send(world.identities(who), Asked(**given, attributes=dict(step.attributes)), step)


def _coupon(world: World, step: Step, who: str, asked: Member) -> Outcome:
    store, id_ = world.host.store, world.id_of(who)
    known = store.contacts([id_])[id_].coupons.values() if id_ else []
    found = [coupon for coupon in known if asked.reward in {"", coupon.reward}]
    if not found:
        raise UnexpectedError(f"{who} has no coupon of {asked.reward or 'anything'}")
    by = who if asked.presented is None else asked.presented
    use = Asked(
        action=asked.action,
        code=found[-1].code,
        presented=(world.id_of(by) or "?") if by else "",
        basket=asked.basket,
        reference=asked.reference,
        author=asked.author,
    )
    return world.send((identity_of(found[-1].code),), use, step)


def _erase(world: World, step: Step, who: str, _pointer: str) -> None:
    try:
        world.engine.erase(world.id_of(who), suppress=bool(step.attributes.get("suppress")))
    except KeyError:
        raise UnexpectedError(f"there is nothing known of {who} to erase") from None


def _items(world: World, step: Step, _who: str, _pointer: str) -> None:
    for catalogue, items in (step.items or {}).items():
        world.stock(catalogue, items)


def _publish(world: World, step: Step, _who: str, pointer: str) -> None:
    world.publish(world.scenario.reader.definitions(world.scenario, step.publish or [], f"{pointer}/publish"))


def _change(world: World, step: Step, _who: str, pointer: str) -> None:
    known = {key_of_data(data): data for data in map(dump, world.engine.plan.workspace.all())}
    changed: list[Located] = []
    for target, patch in (step.change or {}).items():
        try:
            data = known[find_key(target, known)]
        except LookupError as error:
            raise UnexpectedError(str(error.args[0])) from None
        place = f"{pointer}/change"
        lines = {"": world.scenario.line_of(place)}
        changed.append(Located(merge_patch(data, patch), str(world.scenario.file), lines))
    world.publish(changed)


def _move(world: World, step: Step, _who: str, _pointer: str) -> None:
    moving = step.move
    assert moving is not None  # noqa: S101 (it is what happens)
    problems = world.host.move(Move(moving.journey, moving.before, moving.after, dict(moving.steps)))
    if problems:
        raise InvalidDefinitionError(problems)


DOES: dict[str, Callable[[World, Step, str, str], Outcome | None]] = {
    "track": _track,
    "identify": _learn,
    "consent": _learn,
    "lists": _learn,
    "merge": _merge,
    "react": _react,
    "answer": _answer,
    "enter": _enter,
    "loyalty": _loyalty,
    "erase": _erase,
    "items": _items,
    "publish": _publish,
    "change": _change,
    "move": _move,
}
"""What each field of `reading.INPUTS` does."""
