"""The doors beside the Segment protocol, as plain ASGI: our own plain API, CloudEvents, and webhooks of other services.

| path                           | who may               | what                                                              |
|--------------------------------|-----------------------|-------------------------------------------------------------------|
| `POST /v1/interactions`        | a write key           | one interaction or `{"items": [...]}`; `parcours.sources.plain`   |
| `POST /v1/contacts`            | a write key           | the same for what is known of contacts                            |
| `POST /v1/cloudevents`         | a write key           | CloudEvents 1.0; `parcours.sources.cloudevents`                   |
| `POST /v1/webhooks/NAME`       | who signs as we know  | a delivery; `parcours.sources.webhooks`                           |
| `GET /v1/webhooks/NAME`        | anybody               | the challenge of a vendor that asks whether the address is ours   |
| `POST /v1/webhooks/NAME/try`   | a secret key          | what a delivery would become; nothing is kept                     |
| `GET /v1/webhooks/NAME/rejected` | a secret key        | the newest deliveries of which something was rejected             |

Every item gets a result of its own, `{index, id, status, error?}`, its status being `accepted`, `duplicate` or
`rejected`; a `pointer` in an error points into the item.

| answer | when                                                                                                        |
|--------|-------------------------------------------------------------------------------------------------------------|
| 200    | every item was accepted or had been before; it is durable                                                   |
| 200 of a webhook | it is signed rightly, whatever became of it: vendors leave addresses that refuse                  |
| 400    | the body cannot be read, or some items were rejected; the others were accepted                              |
| 401    | no key or a wrong one; no signature or a wrong one                                                          |
| 403    | the key may not send what came                                                                              |
| 404    | there is no such webhook, or no secret is set for it                                                        |
| 405, 413, 415 | not POST, too large, an encoding or media type we do not read                                        |
| 429    | nothing was kept, for it is more than the key may send; send it again after `Retry-After` seconds           |
| 503    | nothing was kept; send it again after `Retry-After` seconds                                                 |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
import structlog

from parcours.core.gate import Arrival, Happened, Learned, admit
from parcours.errors import Problem, StoreError
from parcours.runtimes.clocks import wall_time
from parcours.runtimes.embedded import Embedded, OverloadedError
from parcours.runtimes.engine import Accepted, Refused
from parcours.sources import cloudevents
from parcours.sources.plain import Item, read_contacts, read_interactions
from parcours.sources.segment import MalformedError
from parcours.sources.webhooks import Webhook, read_json
from parcours.web.auth import DEFAULT_SOURCE, NOT_ALLOWED, Holder, Keys, covers, not_allowed
from parcours.web.bodies import Receive, Scope, Send, StatusError, read_body, read_raw_body, respond

INTERACTIONS = "/v1/interactions"
CONTACTS = "/v1/contacts"
CLOUDEVENTS = "/v1/cloudevents"
WEBHOOKS = "/v1/webhooks/"
TRY = "/try"
TRY_SCOPE = "definitions:read"
"""What a secret key needs to try a webhook."""
REJECTED = "/rejected"
REJECTED_SCOPE = "contacts:read"
"""What a secret key needs to see what was rejected: it tells of people."""
MOST_REJECTED = 100
"""Deliveries of a webhook that are kept because something of them was rejected."""
LONGEST_REJECTED = 64 * 1024
"""Bytes that are kept of one."""

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode

_READERS: dict[str, Callable[[bytes], list[Item]]] = {INTERACTIONS: read_interactions, CONTACTS: read_contacts}
PLACES = {"/timestamp": "/occurred_at", "/properties": "/attributes", "/traits": "/attributes", "/event": "/name"}
_EVENT_PLACES = {"/timestamp": "/time", "/properties": "/data", "/event": "/type"}


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one item: `index` is its place in the body, from 0 on."""

    index: int
    id: str
    status: str
    error: Problem | None = None


class Answer(msgspec.Struct, omit_defaults=True):
    """What became of a body; `error` stands there when it could not be read as a whole."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[Result]
    error: Problem | None = None


class Preview(msgspec.Struct, omit_defaults=True):
    """What one item of a delivery would become: an interaction with its name, or else what is known of a contact."""

    id: str
    interaction: str = ""
    contact: bool = False
    identities: list[tuple[str, str]] = []
    attributes: dict[str, Any] = {}
    addresses: dict[str, str | None] = {}
    consent: dict[str, dict[str, str]] = {}
    occurred_at: int | None = None
    """Milliseconds since the epoch; absent means now."""
    error: Problem | None = None


class Rejected(msgspec.Struct):
    """A delivery of which something was rejected. It is kept in memory, so a restart forgets it."""

    received_at: int
    """Milliseconds since the epoch."""
    body: str
    results: list[Result]


class Trial(msgspec.Struct):
    """What a delivery would become. `signature` is `right`, or says what is wrong with it."""

    topic: str
    signature: str
    items: list[Preview]


def serves(path: str, method: str) -> bool:
    """Return whether a request is for one of these doors. `GET /v1/contacts` and `GET /v1/interactions` are the API's."""
    if path.startswith(WEBHOOKS) or path == CLOUDEVENTS:
        return True
    return path in {INTERACTIONS, CONTACTS} and method == "POST"


class Doors:
    """The ASGI application of these paths.

    Args:
        host: Where arrivals go.
        keys: Who may send.
        largest_body: Bytes a body may have, as sent and unpacked.
        webhooks: The webhooks there are, by name.
        secrets: What deliveries are signed with, by the webhook's name; one without a secret is closed.
    """

    def __init__(
        self,
        host: Embedded,
        keys: Keys,
        largest_body: int,
        webhooks: Mapping[str, Webhook] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self._host = host
        self._keys = keys
        self._largest = largest_body
        self._webhooks = webhooks or {}
        self._secrets = secrets or {}
        self._rejected: dict[str, deque[Rejected]] = {}
        """Deliveries of which something was rejected, by webhook, the newest first."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        retry_after = 0
        try:
            status, answer = await self._answer(scope, receive)
        except StatusError as error:
            status, answer, retry_after = error.status, _failure(error.problem), error.retry_after
        except MalformedError as error:
            status, answer = 400, _failure(error.problem)
        except (OverloadedError, StoreError) as error:
            status, retry_after = 503, 1
            answer = _failure(Problem(code=error.code, message=error.message, hint=error.hint))
        await respond(send, status, _encode(answer), retry_after)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        path: str = scope["path"]
        raw: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(raw)
        if path.startswith(WEBHOOKS):
            return await self._webhook(path.removeprefix(WEBHOOKS), scope, headers, receive)
        _only_post(scope)
        holder = self._sender(headers, path)
        body = await read_body(headers, receive, holder.largest(self._largest))
        if holder.revoked:
            raise self._wrong_key()
        try:
            items = self._items(path, headers, body)
        except (MalformedError, StatusError):
            self._keys.charge(holder, 1)
            raise
        self._keys.charge(holder, len(items))
        _restrict(items, path, holder)
        answer = await submit_items(self._host, items, _EVENT_PLACES if path == CLOUDEVENTS else PLACES)
        return (400 if answer.rejected else 200), answer

    def _sender(self, headers: Mapping[bytes, bytes], path: str) -> Holder:
        """Return who sends, if the key is right and something may be sent with it at this path."""
        holder = self._keys.sender(_text(headers, b"authorization"))
        if holder is None:
            raise self._wrong_key()
        if not ((holder.interactions and path != CONTACTS) or (holder.contacts and path != INTERACTIONS)):
            raise not_allowed()
        return holder

    def _wrong_key(self) -> StatusError:
        return self._keys.wrong_key(
            "no write key, or a wrong one",
            "send it as a Bearer token, or as the user name of HTTP Basic authentication",
        )

    def _items(self, path: str, headers: Mapping[bytes, bytes], body: bytes) -> list[Item]:
        if path != CLOUDEVENTS:
            return _READERS[path](body)
        try:
            return cloudevents.read(_texts(headers), body)
        except cloudevents.UnsupportedMediaError:
            hint = f"send {cloudevents.STRUCTURED}, {cloudevents.BATCHED}, or headers that begin with ce-"
            raise StatusError(415, "unknown_media_type", "this is no CloudEvent in JSON", hint) from None

    # --- webhooks -----------------------------------------------------------------------------------------------------

    async def _webhook(
        self, path: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> tuple[int, object]:
        if path.endswith(REJECTED):
            return 200, self._shown_rejected(path.removesuffix(REJECTED), scope, headers)
        name, trial, rest = path.partition(TRY)
        webhook = None if rest else self._webhooks.get(name)
        if trial:
            self._check_manager(headers, TRY_SCOPE)
        secret = self._secrets.get(name, "")
        if webhook is None or not (secret or trial):
            hint = f"set PARCOURS_WEBHOOK_{name.upper().replace('-', '_')}_SECRET" if webhook is not None else ""
            raise StatusError(404, "unknown_webhook", "there is no such webhook, or no secret is set for it", hint)
        if scope["method"] == "GET" and webhook.challenge and not trial:
            return 200, {"challenge": _challenge(scope, webhook.challenge)}
        _only_post(scope)
        raw, plain = await read_raw_body(headers, receive, self._largest)
        texts = _texts(headers)
        refusal = webhook.refusal(secret, texts, raw, plain, wall_time()) if secret else "no secret is set"
        if trial:
            return 200, self._try(webhook, texts, plain, refusal)
        if refusal:
            raise StatusError(401, "wrong_signature", refusal)
        try:
            items = webhook.items(texts, read_json(plain), plain)
        except MalformedError as error:
            items = [Item("", problem=error.problem)]
        answer = await submit_items(self._host, items, PLACES)
        rejected = [result for result in answer.results if result.error is not None]
        for result in rejected:
            _log.warning("webhook_item_rejected", webhook=name, id=result.id, problem=str(result.error))
        if rejected:
            kept = self._rejected.setdefault(name, deque(maxlen=MOST_REJECTED))
            kept.appendleft(Rejected(wall_time(), plain[:LONGEST_REJECTED].decode("utf-8", "replace"), rejected))
        return 200, answer

    def _shown_rejected(self, name: str, scope: Scope, headers: Mapping[bytes, bytes]) -> dict[str, list[Rejected]]:
        self._check_manager(headers, REJECTED_SCOPE)
        if name not in self._webhooks:
            raise StatusError(404, "unknown_webhook", "there is no such webhook")
        if scope["method"] != "GET":
            raise StatusError(405, "method_not_allowed", "this path takes GET")
        return {"deliveries": list(self._rejected.get(name, ()))}

    def _check_manager(self, headers: Mapping[bytes, bytes], needed: str) -> None:
        holder = self._keys.manager(_text(headers, b"authorization"))
        if holder is None:
            raise self._keys.wrong_key("no secret key, or a wrong one", "send it as a Bearer token")
        self._keys.charge(holder, 1)
        if not covers(holder.key.scopes, needed):
            raise StatusError(403, "not_allowed", f"the key lacks the scope {needed}")

    def _try(self, webhook: Webhook, headers: Mapping[str, str], body: bytes, refusal: str) -> Trial:
        payload = read_json(body)
        items = webhook.items(headers, payload, body)
        try:
            topic = webhook.topic(headers, payload)
        except MalformedError:
            topic = ""
        return Trial(topic, refusal or "right", [self._preview(item) for item in items])

    def _preview(self, item: Item) -> Preview:
        arrival = item.arrival
        if arrival is None:
            return Preview(item.id, error=item.problem)
        now = wall_time()
        admitted = admit(self._host.engine.plan, arrival, [], received_at=now, horizon=now, position=0)
        problem = _placed(admitted, PLACES) if isinstance(admitted, Problem) else None
        return _shown(arrival, problem)


async def submit_items(host: Embedded, items: list[Item], places: Mapping[str, str]) -> Answer:
    """Hand on what could be read, and return what became of each item.

    Raises:
        OverloadedError: Too much is waiting.
        StoreError: Nothing was kept.
    """
    outcomes = iter(await host.submit([item.arrival for item in items if item.arrival is not None]))
    answer = Answer(0, 0, 0, [])
    for index, item in enumerate(items):
        problem = item.problem
        if item.arrival is not None:
            outcome = next(outcomes)
            if isinstance(outcome, Refused):
                problem = _placed(outcome.problem, places)
            elif isinstance(outcome, Accepted):
                answer.accepted += 1
                answer.results.append(Result(index, item.id, "accepted"))
                continue
            else:
                answer.duplicates += 1
                answer.results.append(Result(index, item.id, "duplicate"))
                continue
        answer.rejected += 1
        answer.results.append(Result(index, item.id, "rejected", problem))
    return answer


def _restrict(items: list[Item], path: str, holder: Holder) -> None:
    """Tell ids of one key's source from those of another's, and refuse what the key may not send.

    The source of a CloudEvent is in the event.
    """
    source = holder.key.source
    if source != DEFAULT_SOURCE and path != CLOUDEVENTS:
        for item in items:
            if item.arrival is not None:
                item.arrival.source += f".{source}"
    if holder.interactions and holder.contacts:
        return
    for item in items:
        if item.arrival is None:
            continue
        if not (holder.contacts if isinstance(item.arrival.what, Learned) else holder.interactions):
            item.arrival, item.problem = None, NOT_ALLOWED


def _shown(arrival: Arrival, problem: Problem | None) -> Preview:
    preview = Preview(
        arrival.message_id,
        identities=list(arrival.identities),
        attributes=arrival.what.attributes,
        occurred_at=arrival.occurred_at,
        error=problem,
    )
    if isinstance(arrival.what, Happened):
        preview.interaction = arrival.what.name
    else:
        preview.contact = True
        preview.addresses = getattr(arrival.what, "addresses", {})
        preview.consent = getattr(arrival.what, "consent", {})
    if problem is not None and problem.code == "too_deep":
        preview.attributes = {}  # they cannot be shown either
    return preview


def _only_post(scope: Scope) -> None:
    if scope["method"] != "POST":
        raise StatusError(405, "method_not_allowed", "this path takes POST")


def _challenge(scope: Scope, parameter: str) -> str:
    try:
        query: str = scope["query_string"].decode("latin-1")
        given: str = parse_qs(query, max_num_fields=20).get(parameter, [""])[0]
    except ValueError:
        given = ""
    if not given:
        raise StatusError(400, "no_challenge", f"the query has no {parameter!r}")
    return given.encode("utf-8", "replace").decode()


def _texts(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _failure(problem: Problem) -> Answer:
    return Answer(0, 0, 0, [], problem)


def _placed(problem: Problem, places: Mapping[str, str]) -> Problem:
    """Return a problem with its pointer in the words of the door."""
    for ours, theirs in places.items():
        if problem.pointer == ours or problem.pointer.startswith(ours + "/"):
            return msgspec.structs.replace(problem, pointer=theirs + problem.pointer[len(ours) :])
    return problem
