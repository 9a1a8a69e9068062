"""A host with the contacts of a scenario, called by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from parcours.core.contact import Contact
from parcours.core.effects import Trace
from parcours.core.gate import Arrival, Asked, Called, Happened, Learned, Reacted
from parcours.core.merge import parts_of
from parcours.definitions.load import Located
from parcours.definitions.message import CHANNELS
from parcours.errors import InvalidDefinitionError, ParcoursError, Problem
from parcours.ports import Identity
from parcours.runtimes.engine import Engine, Outcome
from parcours.sources.plain import identities_in, learned_from
from parcours.sources.segment import MalformedError, read_consent
from parcours.testing.scenarios.format import Known, Step
from parcours.testing.scenarios.hosts import Host
from parcours.testing.scenarios.looking import Look
from parcours.testing.scenarios.reading import Scenario
from parcours.testing.scenarios.times import instant_in, length_in, shown


class UnexpectedError(ParcoursError):
    """A step did not go as it must."""

    code = "unexpected"


class World:
    """A host with the contacts of a scenario, called by their names."""

    def __init__(self, scenario: Scenario, host: Host) -> None:
        self.scenario = scenario
        self.host = host
        self._inputs = 0
        self._seen: dict[str, int] = {}
        """Contact to how much of the trace was looked at."""

    @property
    def engine(self) -> Engine:
        """The engine of the host, which may be another one at the next step."""
        return self.host.run.engine

    @property
    def now(self) -> int:
        """The instant at which the clock stands."""
        return self.host.now

    def instant(self, text: str) -> int:
        """Return an instant that the scenario names."""
        return instant_in(text, self.now, self.scenario.zone)

    def past(self, text: str) -> int:
        """Return an instant at which something was decided; a time of day is the latest one."""
        return instant_in(text, self.now, self.scenario.zone, past=True)

    def shown(self, instant: int) -> str:
        """Return an instant as the scenario writes it."""
        return shown(instant, self.scenario.zone)

    # --- what happens -------------------------------------------------------------------------------------------------

    def send(
        self,
        identities: tuple[Identity, ...],
        what: Happened | Learned | Reacted | Asked | Called,
        step: Step | None = None,
    ) -> Outcome:
        """Let something of a contact come in, when and as a step says."""
        self._inputs += 1
        step = step or Step()
        occurred_at = None
        if step.ago is not None:
            occurred_at = self.now - length_in(step.ago)
        elif step.occurred_at is not None:
            occurred_at = self.instant(step.occurred_at)
        id_ = step.id or f"step-{self._inputs}"
        return self.host.send(Arrival(step.source, id_, identities, what, occurred_at, step.backfill))

    def stock(self, catalogue: str, items: Mapping[str, dict[str, Any] | None]) -> None:
        """Put items into a catalogue, or take them out.

        Raises:
            InvalidDefinitionError: One is refused.
        """
        problems = [problem for problem in self.engine.stock(catalogue, items) if problem is not None]
        if problems:
            raise InvalidDefinitionError(problems)

    def publish(self, definitions: Iterable[Located]) -> None:
        """Put definitions in force.

        Raises:
            InvalidDefinitionError: They are refused, each problem with its file and line.
        """
        placed = list(definitions)
        if not placed:
            return
        try:
            self.host.publish([item.definition for item in placed])  # type: ignore[misc]  # what it is not, it refuses
        except InvalidDefinitionError as error:
            raise InvalidDefinitionError([_placed(problem, placed) for problem in error.problems]) from None

    # --- who is who ---------------------------------------------------------------------------------------------------

    def identities(self, who: str) -> tuple[Identity, ...]:
        """Return what a contact of the scenario is known by.

        Raises:
            MalformedError: It is not what a door would take.
        """
        known = self.scenario.contacts.get(who)
        given = known.identities if known is not None else {}
        return identities_in(given, f"/contacts/{who}/identities") if given else (("user_id", who),)

    def known(self, name: str, known: Known) -> Learned:
        """Return what is known of a contact at first.

        Raises:
            UnexpectedError: It cannot be.
        """
        channels = [known.reachable] if isinstance(known.reachable, str) else known.reachable
        channels = list(CHANNELS) if channels == ["all"] else channels
        attributes, consent = dict(known.attributes), dict(known.consent)
        for channel in channels:
            if channel not in CHANNELS:
                raise UnexpectedError(f"there is no channel {channel!r}: channels are {', '.join(CHANNELS)}")
            if CHANNELS[channel].address:
                attributes.setdefault(CHANNELS[channel].address, made_up(CHANNELS[channel].address, name))
            consent.setdefault(channel, "opted_in")
        try:
            learned = learned_from(attributes)
            learned.consent = read_consent(consent, "/consent")
        except MalformedError as error:
            raise UnexpectedError(f"contact {name!r}: {error.problem}") from None
        learned.lists = dict.fromkeys([known.lists] if isinstance(known.lists, str) else known.lists, True)
        return learned

    def id_of(self, who: str) -> str:
        """Return the id of a contact, empty when nothing is known of it."""
        store = self.host.store
        found = store.resolve(self.identities(who))
        for identity in self.identities(who):
            if identity in found:
                return found[identity]
        return ""

    def ids_of(self, who: str) -> list[str]:
        """Return the ids of a contact and of all that became part of it."""
        known = self.id_of(who)
        return parts_of(known, lambda id_: self.contact(id_).merged) if known else []

    def contact(self, id_: str) -> Contact:
        """Return the state of a contact; an empty one when there is none."""
        found = self.host.store.contacts([id_]) if id_ else {}
        return found.get(id_) or Contact(id_)

    def trace(self, who: str) -> list[Trace]:
        """Return everything that was decided for a contact, oldest first."""
        found = [entry for id_ in self.ids_of(who) for entry in self.host.run.trace(id_)]
        return sorted(found, key=lambda entry: entry.at)

    def look(self, who: str) -> Look:
        """Return what there is to see of a contact; what was decided until now is looked at with it."""
        fresh: list[Trace] = []
        for id_ in self.ids_of(who):
            entries = self.host.run.trace(id_)
            seen = self._seen.get(id_, 0)
            fresh += entries[seen if seen <= len(entries) else 0 :]
            self._seen[id_] = len(entries)
        id_ = self.id_of(who)
        return Look(
            who=who,
            ids=self.ids_of(who),
            contact=self.contact(id_),
            now=self.now,
            instant=self.instant,
            past=self.past,
            shown=self.shown,
            trace=self.trace(who),
            fresh=sorted(fresh, key=lambda entry: entry.at),
            engine=self.engine,
        )


def made_up(attribute: str, name: str) -> Any:
    """Return an address for a contact that nobody has: of an attribute that holds the addresses of a channel."""
    if attribute == "email":
        return f"{name}@example.com"
    if attribute == "phone":
        number = sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 100
        return f"+120255501{number:02}"
    if attribute == "web_push":
        return {"endpoint": f"https://push.example.com/{name}", "keys": {"p256dh": "key", "auth": "secret"}}
    return f"{attribute}-{name}"


def _placed(problem: Problem, placed: list[Located]) -> Problem:
    """Say where a problem of a publication is written."""
    parts = problem.pointer.split("/", 3)
    if len(parts) < 3 or parts[1] != "definitions" or not parts[2].isdigit():  # noqa: PLR2004 (of the pointer)
        return problem
    located, below = placed[int(parts[2])], f"/{parts[3]}" if len(parts) > 3 else ""  # noqa: PLR2004
    return msgspec.structs.replace(problem, file=located.file, line=located.line_of(below), pointer=below)
