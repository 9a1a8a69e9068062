"""Channels that answer late: how often a provider fails, and when somebody reacts."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator

import msgspec

from parcours.core.effects import Message
from parcours.core.gate import Arrival, Reacted
from parcours.definitions.message import WEBHOOK
from parcours.ports import Posted, Settlement, Store
from parcours.testing.snapshot import EVERYTHING

HOUR = 3_600_000
_DELAYS = (HOUR, 2 * HOUR, 6 * HOUR, 7 * HOUR, 26 * HOUR, 49 * HOUR)


class Told(msgspec.Struct, frozen=True):
    """Something that becomes of a message: a try to send it, or a reaction."""

    message: str
    attempts: int = 0
    state: str = ""
    """Of the try: `pending`, `sent` or `failed`; empty for a reaction."""
    due: int = 0
    reaction: str = ""
    call: bool = False
    """Whether a webhook is called, which answers at once."""


class Channels:
    """What providers and people make of messages: decided by the seed and each message's id, so alike in both worlds.

    Args:
        seed: Decides.
        slow: Whether nothing is answered within the first hour.
    """

    def __init__(self, seed: int, *, slow: bool) -> None:
        self._seed = seed
        self._delays = _DELAYS if slow else (1_000, 60_000, *_DELAYS)
        self._coming: list[tuple[int, str, int, Told]] = []
        self._known: set[str] = set()
        self._sent: set[str] = set()

    def look(self, store: Store) -> None:
        """Take up the messages that are new in a store."""
        for posted in store.outbox(0, EVERYTHING):
            if posted.message.id not in self._known:
                self._known.add(posted.message.id)
                for index, (at, told) in enumerate(self._fate(posted.message)):
                    heapq.heappush(self._coming, (at, told.message, index, told))

    def next(self) -> int | None:
        """Return when something is told next."""
        return self._coming[0][0] if self._coming else None

    def due(self, now: int) -> list[tuple[str, Told]]:
        """Return what is told by an instant, in order, each with an id of its own."""
        found = []
        while self._coming and self._coming[0][0] <= now:
            _, message, index, told = heapq.heappop(self._coming)
            found.append((f"{message}:{index}", told))
        return found

    def heard(self, told: Told, posted: Posted | None) -> bool:
        """Return whether it happens: a message that is gone or cancelled is not sent, and so nobody reacts to it."""
        if told.reaction:
            return told.message in self._sent
        there = posted is not None and posted.state == "pending"
        if there and told.state == "sent":
            self._sent.add(told.message)
        return there

    def _fate(self, message: Message) -> Iterator[tuple[int, Told]]:
        chance = random.Random(f"{self._seed} {message.id}")  # noqa: S311 (chance that can be repeated)
        call = message.channel == WEBHOOK
        at, attempts = message.decided_at, 0
        if chance.random() < 0.2:  # noqa: PLR2004 (a provider that takes nothing for now)
            return
        while chance.random() < 0.3:  # noqa: PLR2004 (tries that fail)
            at += chance.choice(self._delays)
            attempts += 1
            yield at, Told(message.id, attempts, "pending", at, call=call)
        at += chance.choice(self._delays)
        if chance.random() < 0.2:  # noqa: PLR2004 (given up)
            yield at, Told(message.id, attempts + 1, "failed", call=call)
            return
        yield at, Told(message.id, attempts + 1, "sent", call=call)
        if call:
            return
        for reaction in ("delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"):
            # In no order: somebody may open what was not yet said to be delivered.
            for _ in range(chance.choice(_TIMES.get(reaction, _SELDOM))):
                yield at + chance.choice([0, *self._delays]), Told(message.id, reaction=reaction)


_TIMES = {"delivered": [0, 1, 1, 2], "opened": [0, 1, 1, 2], "clicked": [0, 0, 1]}
_SELDOM = [0] * 9 + [1]
"""How often a reaction comes."""


def answer_of(id_: str, told: Told, posted: Posted | None) -> tuple[list[Arrival], list[Settlement]]:
    """Return what the engine is told of something that becomes of a message: arrivals and settlements."""
    arrivals = []
    if told.call and told.state != "pending":
        came = Reacted("failed", told.message, {"error": "gone"}, ours=True)
        if told.state == "sent":
            answer = {"status": 200, "body": {"age": told.attempts}}
            came = Reacted("answered", told.message, answer, ours=True)
        arrivals.append(Arrival("parcours", id_, (), came))
    elif told.reaction or told.state == "failed":
        reaction = Reacted(told.reaction or "bounced", told.message, {"channel": "email"})
        arrivals.append(Arrival("provider", id_, (), reaction))
    if told.reaction or posted is None:
        return arrivals, []
    return arrivals, [Settlement(posted.sequence, told.state, told.attempts, told.due)]


def posted_of(store: Store, message: str) -> Posted | None:
    """Return a message as it stands in the outbox; None when it is not there."""
    return next((item for item in store.outbox(0, EVERYTHING) if item.message.id == message), None)
