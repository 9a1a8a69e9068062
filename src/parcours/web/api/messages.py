"""Messages over the API: what one would say to a contact, before it is sent to anybody."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody

from parcours.conditions.parse import escape, shown
from parcours.core.permission import refusal
from parcours.definitions.message import CHANNELS
from parcours.definitions.templates import of_content
from parcours.errors import PermanentFailureError, did_you_mean
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.people import find


class PreviewOf(msgspec.Struct, forbid_unknown_fields=True):
    """To whom a message would go, and what would have started the run."""

    contact: str
    """An identity such as `user_id:42`, or the id of a contact."""
    interaction: dict[str, Any] = {}
    """The attributes of the interaction that would have started the run."""
    run: dict[str, Any] = {}
    """What steps of the run would have saved, by name, and its `key`."""
    content: dict[str, str] | None = None
    """Templates to be tried in place of those in force, by field."""


class Preview(msgspec.Struct):
    """What a message would say now."""

    message: str
    channel: str
    address: str | None
    """Where it would go; null when the contact has no valid address."""
    refused: str
    """Why consent or the address would keep it from being sent, empty when they would not. Caps and quiet hours are not
    looked at."""
    content: dict[str, str]


class MessagesApi(Controller):
    """What messages say."""

    path = "/v1/messages"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/{message:str}/preview", summary="What it would say", status_code=200, opt={"scope": "contacts:read"})
    async def preview(
        self, request: Request[Any, Any, Any], message: FromPath[str], data: JSONBody[PreviewOf]
    ) -> Preview:
        """Fill the templates of a message for a contact, as if it were decided now. Nothing is sent."""
        host = host_of(request)
        definition = named("message", message, host.engine.plan.messages).definition
        if data.content is not None and (problems := host.check(of_content(data.content))):
            raise HTTPException(
                status_code=422, detail="a template cannot be read", extra=msgspec.to_builtins(problems)
            )
        _check_fields(definition.channel, data.content or {})
        async with host.turn:
            contact = find(host, data.contact)
            try:
                content, address = host.preview(message, contact, data.interaction, data.content, data.run)
            except PermanentFailureError as error:
                raise HTTPException(status_code=422, detail=str(error), extra={"code": "template_failed"}) from None
            refused = refusal(contact, definition) or ""
        return Preview(
            message,
            definition.channel,
            address,
            refused,
            {name: content[name] for name in _ordered(definition.channel, content)},
        )


def _check_fields(channel: str, content: dict[str, str]) -> None:
    """Refuse content that messages of a channel do not have."""
    fields = CHANNELS[channel]
    known = (*fields.required, *fields.one_of, *fields.optional)
    for name in content:
        if name not in known:
            hint = did_you_mean(name, known) or f"fields are {', '.join(known)}"
            detail = f"/content/{escape(name)}: {fields.title} has no {shown(name)}: {hint}"
            raise HTTPException(status_code=422, detail=detail, extra={"code": "unknown_content"})


def _ordered(channel: str, content: dict[str, str]) -> list[str]:
    fields = CHANNELS[channel]
    usual = (*fields.required, *fields.one_of, *fields.optional)
    return [*(name for name in usual if name in content), *(name for name in content if name not in usual)]
