"""Messages and calls that were to be sent, held or suppressed, and that nothing else was decided."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from parcours.core.effects import Trace, What
from parcours.errors import PermanentFailureError
from parcours.ports import Delivery
from parcours.testing.scenarios.expecting.common import Check, Problems, because, described, listed
from parcours.testing.scenarios.format import Calling, Names, Reasons, Sending
from parcours.testing.scenarios.looking import Look, View


def _sent(view: View, wanted: str | list[str | Sending] | Sending) -> Problems:
    items = [item if isinstance(item, Sending) else Sending(message=item) for item in listed(wanted)]
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
        for text in listed(item.no_text):
            if text in whole:
                yield f"{text!r} was not to be in the text of {item.message!r}, which says: {whole}"


def _not_sent(view: View, wanted: bool | Names) -> Problems:  # noqa: FBT001 (as it is written)
    names = None if isinstance(wanted, bool) else set(listed(wanted))
    found = [entry for entry in view.ever if entry.what == What.SENT and (names is None or entry.reason in names)]
    if found:
        yield f"{view.when(found, _of_message)} was not to be sent to {view.who}"


def _suppressed(view: View, wanted: Reasons) -> Problems:
    return because(view, wanted, What.SUPPRESSED, "suppressed", by=_message_in)


def _held(view: View, wanted: Reasons) -> Problems:
    found = view.decided(What.HELD)
    until = {entry.reason: int((entry.detail or {}).get("until", 0)) for entry in found}
    instead = view.when(view.since(What.HELD), lambda entry: entry.reason)
    if isinstance(wanted, bool):
        if bool(found if wanted else view.since(What.HELD)) != wanted:
            yield f"{'a message' if wanted else 'nothing'} was to be held for {view.who}; held: {instead}"
        return
    for name in wanted if isinstance(wanted, Mapping) else listed(wanted):
        if name not in until:
            yield f"{name!r} was to be held for {view.who}; held: {instead}"
        elif isinstance(wanted, Mapping) and until[name] != view.look.instant(wanted[name]):
            yield f"{name!r} was to be held until {wanted[name]}, and is until {view.look.shown(until[name])}"


def _called(view: View, wanted: str | list[str | Calling] | Calling) -> Problems:
    found = view.decided(What.CALLED)
    instead = view.when(view.since(What.CALLED), lambda entry: entry.step)
    for one in listed(wanted):
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
    expected = [item.message if isinstance(item, Sending) else item for item in listed(expect.sent or [])]
    sent = [entry for entry in view.since(What.SENT) if entry.reason not in expected]
    if sent:
        yield f"nothing else was to be sent to {view.who}; sent: {view.when(sent, _of_message)}"
    for what, wanted in ((What.SUPPRESSED, expect.suppressed), (What.HELD, expect.held)):
        found = view.since(what)
        if found and not wanted:
            yield f"nothing was to be {what} for {view.who}; {what}: {view.when(found, _of_message)}"


def _nothing(view: View, _wanted: object) -> Problems:
    if view.fresh:
        yield f"nothing was to be decided for {view.who}; decided: {view.when(view.fresh, described)}"


def _message_in(entry: Trace) -> str:
    return str((entry.detail or {}).get("message", entry.reason))


def _of_message(entry: Trace) -> str:
    return (
        entry.reason if entry.what in {What.SENT, What.HELD} else f"{_message_in(entry)} {entry.what} ({entry.reason})"
    )


def _fate(entry: Trace) -> str:
    """Return what became of a message that was to be sent."""
    return f"{_of_message(entry)}{' held for quiet hours' if entry.what == What.HELD else ''}"


CHECKS: dict[str, Check] = {
    "sent": _sent,
    "not_sent": _not_sent,
    "suppressed": _suppressed,
    "held": _held,
    "called": _called,
    "nothing_else": _nothing_else,
    "nothing": _nothing,
}
