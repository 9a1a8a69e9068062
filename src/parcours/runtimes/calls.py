"""What a step sends to another service: its templates, filled at the moment of the call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from parcours.conditions.durations import parse_duration
from parcours.core.effects import Message
from parcours.definitions.message import WEBHOOK, MessageDefinition
from parcours.definitions.steps import Webhook
from parcours.definitions.templates import filled_in, kept_from, texts_in
from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Delivery, Secrets
from parcours.runtimes.facts import Lazy
from parcours.runtimes.secrets import blanked, private_texts

Render = Callable[[MessageDefinition, Mapping[str, Any]], Mapping[str, str]]
"""Makes the texts of a message; raises PermanentFailureError when a template fails."""

_PARTS = re.compile(r"[\s/?&=#,;:\"'<>()\[\]{}]+")
"""What stands between the parts of a text by which a secret may be told."""


def call_of(message: Message, step: Webhook, render: Render, facts: Mapping[str, Any], secrets: Secrets) -> Delivery:
    """Return a call ready to be made.

    Its content has `method`, `timeout` in seconds, `headers` as JSON, and may have a `body`, and with `sign` the text of
    the secret that it is signed with.

    Raises:
        PermanentFailureError: A template cannot be filled, or a secret is not set or may not be sent there.
        TemporaryFailureError: A secret cannot be read now.
    """
    templates = {f"headers/{name}": text for name, text in step.headers.items()} | {"url": step.url}
    templates |= dict(texts_in(step.body, "body"))
    lent = Lazy(secrets.value)
    try:
        filled = _filled(message, templates, render, {**facts, "secrets": lent})
        content = {"method": step.method, "timeout": str(parse_duration(step.timeout) / 1000)}
        if step.sign:
            content["sign"] = lent[step.sign]
    except PermanentFailureError as error:
        raise PermanentFailureError(blanked(str(error), private_texts(lent.found.values()))) from None
    except TemporaryFailureError as error:
        raise TemporaryFailureError(blanked(str(error), private_texts(lent.found.values()))) from None
    for name in lent.found:
        kept = kept_from(name, step.url, secrets.hosts(name))
        if kept is not None:
            raise PermanentFailureError(f"{kept[1]}: {kept[2]}")
    headers = {name: filled[f"headers/{name}"] for name in step.headers}
    if step.body is not None:
        body = filled_in(step.body, filled, "body")
        content["body"] = body if isinstance(body, str) else msgspec.json.encode(body).decode()
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
    content["headers"] = msgspec.json.encode(headers).decode()
    private: tuple[str, ...] = ()
    if lent.found:
        made = _made_of(
            message, templates, filled, render, {**facts, "secrets": Lazy(lambda name: "x" * len(lent[name]))}
        )
        private = private_texts({*lent.found.values(), *made})
    return Delivery(id=message.id, channel=WEBHOOK, address=filled["url"], content=content, private=private)


def _filled(
    message: Message, templates: Mapping[str, str], render: Render, facts: Mapping[str, Any]
) -> Mapping[str, str]:
    return render(MessageDefinition(name=message.step, channel=WEBHOOK, content=dict(templates)), facts)


def _made_of(
    message: Message,
    templates: Mapping[str, str],
    filled: Mapping[str, str],
    render: Render,
    masked: Mapping[str, Any],
) -> set[str]:
    """Return what filters made of secrets (base64, say): the parts of texts that are others without them."""
    asking = {place: text for place, text in templates.items() if "secrets" in text}
    found: set[str] = set()
    try:
        without = _filled(message, asking, render, masked)
    except PermanentFailureError:
        without = {}
    for place in asking:
        found |= {*_PARTS.split(filled[place])} - {*_PARTS.split(without.get(place, ""))}
    return found
