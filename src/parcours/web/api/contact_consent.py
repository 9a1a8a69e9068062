"""The consent of a contact over the API: as it is, what was said of it, given and withdrawn."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, get, put
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.core.contact import Contact
from parcours.core.gate import Learned
from parcours.core.inputs import Reaction, Update
from parcours.definitions.message import CHANNELS
from parcours.ports import Moment
from parcours.web.api.common import guard, host_of
from parcours.web.api.people import Place, cursor_of, find, iso, learn, page, parts_of, place_in
from parcours.web.api.search import MOST_FOUND


class ConsentRow(msgspec.Struct):
    """The consent for a channel, or for a topic of it."""

    channel: str
    topic: str
    """Empty for the channel as a whole."""
    state: str
    at: int | None
    """When it was given or withdrawn."""
    time: str | None


class ConsentChange(msgspec.Struct):
    """What was said of a consent, once."""

    channel: str
    topic: str
    state: str
    at: int
    """When it was said."""
    time: str
    received_at: int
    received_time: str
    by: str
    """Who recorded it, if that was told."""
    how: str
    """In what way, if that was told."""
    source: str
    """The door and the sender it came from."""
    reaction: str
    """`unsubscribed` or `complained`, if it was said in a reaction to a message."""
    message: str
    """The message it was a reaction to."""
    position: int
    contact: str


class Consents(msgspec.Struct):
    """The consent of a contact as it is, and what was said of it, newest first. `next` is `before` of the next page."""

    consent: list[ConsentRow]
    history: list[ConsentChange]
    next: str | None


class Evidence(msgspec.Struct, forbid_unknown_fields=True):
    """Who recorded a consent, and in what way."""

    by: Annotated[str, msgspec.Meta(max_length=200)] = ""
    how: Annotated[str, msgspec.Meta(max_length=200)] = ""


class NewConsent(msgspec.Struct, forbid_unknown_fields=True):
    """A consent that is given or withdrawn."""

    channel: str
    state: Literal["opted_in", "opted_out", "unknown"]
    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    evidence: Evidence = msgspec.field(default_factory=Evidence)


class ContactConsentApi(Controller):
    """The consent of contacts."""

    path = "/v1/contacts"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/{contact:str}/consent", summary="The consent of a contact")
    async def consent(
        self,
        request: Request[Any, Any, Any],
        contact: FromPath[str],
        limit: FromQuery[int] = 50,
        before: FromQuery[str] = "",
    ) -> Consents:
        """Return the consent as it is, and what was said of it: when, by whom and in what way, newest first."""
        host = host_of(request)
        place = place_in(before, Place) if before else None
        async with host.turn:
            state = find(host, contact)
            everyone = parts_of(host.store, state)
        rows, after = await page(
            host, everyone, max(1, min(limit, MOST_FOUND)), place, lambda *moment: changes_at(*moment) or None
        )
        history = [change for changes in rows for change in changes]
        return Consents(consent_of(state), history, cursor_of(after) if after is not None else None)

    @put("/{contact:str}/consent", summary="Set a consent", status_code=200)
    async def set_consent(
        self, request: Request[Any, Any, Any], contact: FromPath[str], data: JSONBody[NewConsent]
    ) -> list[ConsentRow]:
        """Give or withdraw the consent for a channel, or for a topic of it, and return all as it is then."""
        if data.channel not in CHANNELS:
            detail = f"channel: {shown(data.channel)} is none of {', '.join(CHANNELS)}"
            raise HTTPException(status_code=400, detail=detail)
        evidence = {"by": data.evidence.by, "how": data.evidence.how}
        learned = Learned(
            consent={data.channel: {data.topic: data.state}},
            evidence={name: text for name, text in evidence.items() if text},
        )
        fields = {"topic": data.topic, "evidence": evidence}
        return consent_of(await learn(host_of(request), contact, learned, fields))


def consent_of(contact: Contact) -> list[ConsentRow]:
    """Return the consent of a contact as it is, by channel and topic."""
    rows = []
    for channel, topics in contact.consent.items():
        for topic, state in topics.items():
            at = contact.consented.get(channel, {}).get(topic)
            rows.append(ConsentRow(channel, topic, state, at, iso(at) if at is not None else None))
    return sorted(rows, key=lambda row: (row.channel, row.topic))


def changes_at(contact: str, moment: Moment) -> list[ConsentChange]:
    """Return what was said of consent at a moment."""
    item = moment.record.input() if moment.record is not None else None
    said: dict[str, dict[str, str]] = {}
    by = how = reaction = message = ""
    if isinstance(item, Update):
        said, by, how = item.consent, item.evidence.get("by", ""), item.evidence.get("how", "")
    elif (
        isinstance(item, Reaction) and item.reaction in {"unsubscribed", "complained"} and "channel" in item.attributes
    ):
        said = {str(item.attributes["channel"]): {str(item.attributes.get("topic", "")): "opted_out"}}
        reaction, message = item.reaction, item.message
    else:
        return []
    at, received_at = item.occurred_at, item.received_at
    return [
        ConsentChange(
            channel=channel,
            topic=topic,
            state=state,
            at=at,
            time=iso(at),
            received_at=received_at,
            received_time=iso(received_at),
            by=by,
            how=how,
            source=item.source,
            reaction=reaction,
            message=message,
            position=moment.position,
            contact=contact,
        )
        for channel, topics in said.items()
        for topic, state in topics.items()
    ]
