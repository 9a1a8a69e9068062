"""What there is to see of a contact at one instant, and what of it an expectation asks about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from parcours.channels.render import Renderer
from parcours.core.contact import Contact, Run
from parcours.core.effects import Message, Trace, What
from parcours.core.gate import Arrival
from parcours.definitions.templates import ANY_HOST
from parcours.ports import Delivery, KnownSecret
from parcours.runtimes.engine import Engine, Outcome
from parcours.runtimes.outbox import Outbox
from parcours.testing.scenarios.format import Expect

_EVERYTHING = 1_000_000
_RENDERER = Renderer()


class Look(msgspec.Struct):
    """What there is to see of a contact at one instant."""

    who: str
    ids: list[str]
    """Of the contact, and of all that became part of it."""
    contact: Contact
    now: int
    instant: Callable[[str], int]
    """Returns what a time means that lies ahead."""
    past: Callable[[str], int]
    """Returns what a time means that is over."""
    shown: Callable[[int], str]
    trace: list[Trace]
    """Everything ever decided, oldest first."""
    fresh: list[Trace]
    """What was decided since the last look."""
    engine: Engine

    def message(self, id_: str) -> Message | None:
        """Return a message that was decided."""
        for contact in self.ids:
            for posted in self.engine.store.posted(contact, _EVERYTHING):
                if posted.message.id == id_:
                    return posted.message
        return None

    def deliver(self, message: Message) -> Delivery:
        """Return a message as its channel would get it."""
        outbox = Outbox(
            self.engine.store,
            {},
            _RENDERER.render,
            plan=lambda: self.engine.plan,
            settled=_settled,
            bounce=_bounce,
            secrets=_ShownSecrets(),
        )
        return outbox.deliver(message)


class _ShownSecrets:
    """Stands for the secrets of a service: nobody is called, so each is shown by its name."""

    def names(self) -> Collection[str]:
        return ()

    def known(self) -> Sequence[KnownSecret]:
        return ()

    def hosts(self, name: str) -> Collection[str]:  # noqa: ARG002 (as `ports.Secrets` has it)
        return (ANY_HOST,)

    def value(self, name: str) -> str:
        return f"(the secret {name})"


def _settled(_: object) -> None:
    pass


async def _bounce(_: Arrival) -> Sequence[Outcome]:
    return ()


class View:
    """A look through the eyes of one expectation: the decisions and runs that it asks about."""

    def __init__(self, expect: Expect, look: Look) -> None:
        self.expect = expect
        self.look = look
        self.who = look.who

        def asked(entry: Trace) -> bool:
            if expect.journey and entry.journey != expect.journey:
                return False
            return not expect.key or self._key(entry) == expect.key

        self.fresh = [entry for entry in look.fresh if asked(entry)]
        self.ever = [entry for entry in look.trace if asked(entry)]
        self.at = at = self.instant(expect.at) if expect.at else look.now
        self.current = [entry for entry in self.fresh if at is None or entry.at == at]

    def instant(self, text: str) -> int | None:
        """Return the instant at which something was decided, None for any."""
        return None if text == "any" else self.look.past(text)

    def _key(self, entry: Trace) -> str:
        keys = {one.run: str((one.detail or {}).get("key", "")) for one in self.look.trace if one.what == What.ENTERED}
        return keys.get(entry.run, str((entry.detail or {}).get("key", "")))

    def decided(self, *what: str) -> list[Trace]:
        """Return what was decided when the expectation says."""
        return [entry for entry in self.current if entry.what in what]

    def since(self, *what: str) -> list[Trace]:
        """Return what was decided since the last look."""
        return [entry for entry in self.fresh if entry.what in what]

    @property
    def runs(self) -> list[Run]:
        """The runs under way that are asked about."""
        expect = self.expect
        return [
            run
            for journey, runs in self.look.contact.runs.items()
            if expect.journey in {"", journey}
            for run in runs.values()
            if expect.key in {"", run.key}
        ]

    def when(self, entries: Iterable[Trace], name: Callable[[Trace], str]) -> str:
        """Return decisions as a person reads them, with their instants when that is not this one."""
        said = [
            name(entry) + ("" if entry.at == self.look.now else f" at {self.look.shown(entry.at)}") for entry in entries
        ]
        return ", ".join(said) or "nothing"
