"""A small world for tests of the core: a simulation with a virtual clock, and short words for what happens in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from parcours.conditions.durations import parse_duration
from parcours.core.contact import Contact, Run
from parcours.core.effects import Entry, Message, Trace, What
from parcours.core.gate import Arrival, Asked, Happened, Learned, Reacted
from parcours.core.member import Member
from parcours.ports import Store
from parcours.runtimes.engine import Accepted, Outcome
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore

START = int(datetime.fromisoformat("2026-03-02T09:00:00Z").timestamp() * 1000)

Definition = dict[str, Any]


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def ms(duration: str) -> int:
    return parse_duration(duration)


# --- definitions ------------------------------------------------------------------------------------------------------


def journey(steps: dict[str, Any], *, on: str = "Go", name: str = "j", **more: Any) -> Definition:
    """A live journey that an interaction starts and that may be entered again, unless told otherwise."""
    entry = more.pop("entry", {})
    return {
        "kind": "journey",
        "name": name,
        "entry": {"type": "interaction", "interaction": on, **entry},
        "re_entry": "always",
        "start": next(iter(steps)),
        "steps": steps,
        **more,
    }


def email(name: str, **more: Any) -> Definition:
    content = {"subject": "s", "text": "t"}
    return {"kind": "message", "name": name, "channel": "email", "content": content, **more}


def push(name: str, **more: Any) -> Definition:
    content = {"title": "t", "body": "b"}
    return {"kind": "message", "name": name, "channel": "push", "content": content, **more}


def send(*messages: str, **more: Any) -> dict[str, Any]:
    return {"type": "send", "messages": list(messages), **more}


def wait(duration: str, **more: Any) -> dict[str, Any]:
    return {"type": "wait", "for": duration, **more}


def wait_for(*events: dict[str, Any] | str, after: str = "", **more: Any) -> dict[str, Any]:
    """A wait for events; text stands for an interaction, `after` for the time after which it goes to `late`."""
    branches = [{"type": "interaction", "interaction": event} if isinstance(event, str) else event for event in events]
    timeout = {"timeout": {"after": after, "next": more.pop("late", None)}} if after else {}
    return {"type": "wait_for", "events": branches, **timeout, **more}


def to_reaction(reaction: str, **more: Any) -> dict[str, Any]:
    return {"type": "reaction", "reaction": reaction, **more}


END = {"type": "end"}


# --- what happens -----------------------------------------------------------------------------------------------------


class World:
    """A simulation in which people are called by their `user_id`."""

    def __init__(self, *definitions: Definition, store: Store | None = None, start: int = START) -> None:
        self.run = Simulation(store or MemoryStore(), start)
        self._ids = itertools.count(1)
        if definitions:
            self.publish(*definitions)

    @property
    def store(self) -> Store:
        return self.run.store

    @property
    def now(self) -> int:
        return self.run.clock.now()

    def publish(self, *definitions: Definition) -> None:
        self.run.publish(list(definitions))

    def after(self, duration: str) -> None:
        """Let so much time pass; `1d-1s` is a second less than a day."""
        longer, _, less = duration.partition("-")
        self.run.advance(self.now + ms(longer) - (ms(less) if less else 0))

    def at(self, text: str) -> None:
        self.run.advance(instant(text))

    def arrival(self, who: str, what: Happened | Learned | Reacted | Asked, *, ago: str = "", id_: str = "") -> Arrival:
        occurred_at = self.now - ms(ago) if ago else None
        return Arrival("test", id_ or f"m{next(self._ids)}", (("user_id", who),) if who else (), what, occurred_at)

    def send(self, *arrivals: Arrival) -> list[Outcome]:
        return self.run.send(*arrivals)

    def knows(self, who: str, *, consent: Any = True, **attributes: Any) -> None:
        """Somebody with addresses and consent for both channels, as far as nothing else is said."""
        attributes = {"email": f"{who}@parcours.dev", "push_token": f"token-{who}"} | attributes
        addresses = {"email": attributes["email"], "push": attributes["push_token"]}
        given = {"email": {"": "opted_in"}, "push": {"": "opted_in"}} if consent is True else consent or {}
        self.accept(self.arrival(who, Learned(attributes, addresses, given)))

    def did(self, who: str, name: str, *, ago: str = "", id_: str = "", **attributes: Any) -> None:
        self.accept(self.arrival(who, Happened(name, attributes), ago=ago, id_=id_))

    def asks(self, who: str, action: str, programme: str = "club", *, ago: str = "", id_: str = "", **more: Any) -> str:
        """Ask something of a member; return the reason why it was declined, empty when it was done."""
        asked = Asked(action=action, programme=programme, **more)
        outcome = self.send(self.arrival(who, asked, ago=ago, id_=id_))[0]
        assert isinstance(outcome, Accepted), outcome
        declined = [
            entry.reason
            for position, entries in self.store.trace(self.id_of(who))
            for entry in entries
            if position == outcome.position and entry.what == What.DECLINED
        ]
        return declined[0] if declined else ""

    def reacts(self, message: Message | str, reaction: str, **attributes: Any) -> None:
        id_ = message if isinstance(message, str) else message.id
        self.accept(self.arrival("", Reacted(reaction, id_, attributes)))

    def accept(self, *arrivals: Arrival) -> None:
        for outcome in self.send(*arrivals):
            assert isinstance(outcome, Accepted), outcome

    # --- what became of it --------------------------------------------------------------------------------------------

    def id_of(self, who: str) -> str:
        return self.store.resolve([("user_id", who)])["user_id", who]

    def contact(self, who: str) -> Contact:
        id_ = self.id_of(who)
        return self.store.contacts([id_])[id_]

    def member(self, who: str, programme: str = "club") -> Member:
        return self.contact(who).loyalty[programme]

    def ledger(self, who: str) -> list[Entry]:
        """The entries of somebody's ledger, oldest first."""
        return [posting.entry for posting in reversed(self.store.ledger(self.id_of(who)))]

    def booked(self, who: str) -> list[tuple[str, int, int]]:
        """Kind, amount and what is held of each of these."""
        return [(entry.kind, entry.amount, entry.held) for entry in self.ledger(who)]

    def runs(self, who: str, name: str = "j") -> list[Run]:
        return list(self.contact(who).runs.get(name, {}).values())

    def messages(self, who: str) -> list[Message]:
        id_ = self.id_of(who)
        return [message for message in self.run.messages() if message.contact == id_]

    def sent(self, who: str) -> list[str]:
        return [message.message for message in self.messages(who)]

    def trace(self, who: str, *what: str) -> list[Trace]:
        return [entry for entry in self.run.trace(self.id_of(who)) if not what or entry.what in what]

    def path(self, who: str) -> list[str]:
        """The steps in the order in which tokens came to them."""
        return [entry.step for entry in self.trace(who, What.ARRIVED)]

    def reasons(self, who: str, what: str) -> list[str]:
        return [entry.reason for entry in self.trace(who, what)]


def names(messages: Sequence[Message]) -> list[str]:
    return [message.message for message in messages]
