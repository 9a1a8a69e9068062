"""A plan: published definitions, compiled so that an input pays only for what it can touch.

| question of the fold                         | answered by                                   |
|----------------------------------------------|-----------------------------------------------|
| what can this interaction touch?             | `routes[folded name]`, one `Route`            |
| which journeys can a reaction move?          | `reactions[kind]`                             |
| how does a run of version v go on?           | `journeys[name][v]`, a `CompiledJourney`      |
| which version do new entries take?           | `newest[name]`                                |
| what is sent?                                | `messages[name]`, with its version            |
| what did that version say?                   | `texts[name, version]`                        |
| what does a contact remember?                | `needs[id]`, a `Need`                         |
| are messages remembered?                     | `remembers_messages`                          |
| which caps is a message held to?             | `caps_of[name]`                               |
| when is nobody disturbed?                    | `quiet`                                       |
| which segments are kept exact?               | `watch`, a `Watch`                            |
| what do members of programmes get?           | `loyalty`, a `Loyalty`                        |
| must a contact be brought up to this plan?   | `revision`                                    |
| in what state is a journey?                  | `states[name]`                                |
| when does one come into another by itself?   | `next_turn`                                   |

A plan never changes. Publishing makes another, from the one before and the definitions published, so the log of
publications makes the same plans again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from parcours.conditions import ast
from parcours.conditions.needs import Need, asks_for_messages, merge_need, needs, walk
from parcours.core.caps import CAPS, Counted, caps_for, compile_caps, counted_by
from parcours.core.checks import Checks, checks_of
from parcours.core.compile import (
    compile_journey,
    compile_test,
    dated_of,
    question,
    questions_of,
    segment_nodes,
    with_segments,
)
from parcours.core.compiled import Announced, CompiledJourney, CompiledMessage, Dated, Route, Tally
from parcours.core.inputs import Move
from parcours.core.loyalty.compile import compile_loyalty
from parcours.core.loyalty.compiled import Loyalty
from parcours.core.memory import memories_of
from parcours.core.quiet import compile_quiet
from parcours.core.watch import Watch, watch
from parcours.definitions.entries import ContactEntry, DateEntry, SegmentEntry
from parcours.definitions.journey import JourneyDefinition, changes_after, content_of, state_at
from parcours.definitions.message import MessageDefinition
from parcours.definitions.segment import SegmentDefinition, base_of
from parcours.definitions.workspace import AnyDefinition, Workspace, key_of
from parcours.definitions.zones import TIMEZONE

MESSAGES = "messages"
"""What stands among the needs for the messages sent to a contact; ids of needs are hexadecimal."""


OPEN = frozenset({"live", "test", "paused"})
"""States of a journey in which what happens may be an entry."""


class Plan:
    """What is in force. Made by `Plan.empty` and `publish`."""

    def __init__(
        self,
        workspace: Workspace,
        journeys: dict[str, dict[int, CompiledJourney]],
        messages: dict[str, CompiledMessage],
        texts: dict[tuple[str, int], MessageDefinition],
        *,
        before: Plan | None = None,
        at: int = 0,
        position: int = 0,
        moves: Sequence[Move] = (),
    ) -> None:
        self.moves = tuple(moves)
        """What moves runs to another version with this revision."""
        self.workspace = workspace
        self.journeys = journeys
        self.messages = messages
        self.texts = texts
        self.newest = {name: versions[max(versions)] for name, versions in journeys.items()}
        self.states = {name: state_at(journey.definition, at) for name, journey in self.newest.items()}
        """The state each journey is in since the publication."""
        turns = {name: changes_after(journey.definition, at) for name, journey in self.newest.items()}
        self.turns = {name: turn for name, turn in turns.items() if turn is not None}
        """When each journey comes into another state by itself next, if it does."""
        self.next_turn = min(self.turns.values(), default=None)
        """The next instant at which a journey comes into another state by itself."""
        self.paused = frozenset(name for name, state in self.states.items() if state == "paused")
        self.tests = {name: compile_test(journey.definition) for name, journey in self.newest.items()}
        self.stopped_at: dict[str, int] = {}
        """Journey to when it was stopped last: what was decided until then and is not sent yet is not sent."""
        self.stopping: frozenset[str] = frozenset()
        """Journeys whose runs end with this revision."""
        self.tested: frozenset[str] = frozenset()
        """Journeys whose tests end with this revision."""
        self.segments = segment_nodes(workspace.segments.values())
        live = before.loyalty.live if before is not None else {}
        self.loyalty: Loyalty = compile_loyalty(workspace, self.segments, live, at)
        self.reactions: dict[str, list[str]] = {}
        self.routes: dict[str, Route] = {}
        self.needs: dict[str, Need] = {}
        """What a contact remembers, by id."""
        self.remembers_messages = False
        """Whether some condition asks for the messages sent to a contact."""
        policy = workspace.settings.policy
        self.caps = compile_caps(policy.caps)
        self.counted = counted_by(self.caps)
        """What caps count, to what has to be kept of it."""
        self.caps_of = {
            name: held_to for name, known in messages.items() if (held_to := caps_for(self.caps, known.definition))
        }
        """Message to the caps it is held to, where there are any."""
        self._ranked_messages = any(known.definition.priority is not None for known in messages.values())
        self.quiet = compile_quiet(policy.quiet_hours) if policy.quiet_hours is not None else None
        self.contact_checks = Checks(workspace.settings.contacts, "the workspace", "/traits")
        self.revision = self.revised_at = self.revised_position = 0
        self.needed: dict[str, int] = {}
        """Need to the revision from which it is kept as it is now."""
        self.activated: dict[str, int] = {}
        """Tally of a live entry to the instant from which it counts."""
        self.created: list[CompiledJourney] = []
        """Newest live versions that whoever is met for the first time enters."""
        self.dated: dict[str, Dated] = {}
        """Live journeys that are entered by a date of the contact."""
        self.dated_by: dict[str, tuple[str, ...]] = {}
        """Attribute of the contact to those journeys that it may concern."""
        self.aims = AimIndex()
        self.turned: dict[str, Announced] = {}
        """Journeys with exits or goals whose conditions mean something else than before, for they name a segment."""
        self.watch = Watch()
        self.announced: dict[tuple[str, str], Announced] = {}
        """Journeys that those who are members of a segment already enter, with the segment."""
        self._index()
        self._revise(before, at, position)

    def lacks_history(self, revision: int) -> bool:
        """Return whether a contact that was brought up to a revision lacks memories that its history would give."""
        return revision < self._remembering

    def lacks_sent(self, revision: int) -> bool:
        """Return whether a contact that was brought up to a revision lacks what the messages sent to it would give."""
        return revision < self._counting

    def _revise(self, before: Plan | None, at: int, position: int) -> None:
        """Say from when on what is remembered and watched is, and whether contacts have to be brought up."""
        known = before if before is not None else _Nothing
        revision = known.revision + 1
        self.needed = {
            id_: known.needed[id_] if _covers(known.needs.get(id_), need) else revision
            for id_, need in self.needs.items()
        }
        for tally in self._tallies():
            if tally.history:
                self.needed[tally.id] = known.needed.get(tally.id, revision)
            else:
                self.activated[tally.id] = known.activated.get(tally.id, at)
        if self.remembers_messages:
            self.needed[MESSAGES] = known.needed.get(MESSAGES, revision)
        self._remembering = max(self.needed.values(), default=0)
        for of, counted in self.counted.items():
            counted_before = known.counted.get(of)
            kept = (
                counted_before is not None
                and counted_before.keep >= counted.keep
                and counted_before.span >= counted.span
            )
            self.needed[CAPS + of] = known.needed[CAPS + of] if kept else revision
        sent = [at for id_, at in self.needed.items() if id_ == MESSAGES or id_.startswith(CAPS)]
        self._counting = max(sent, default=0)
        wanted: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
            name: ((), ()) for name in self.segments if self.workspace.segments[base_of(name)].live
        }
        for journey in sorted(self.newest.values(), key=lambda journey: -journey.definition.priority):
            if journey.watches and self.states[journey.name] in OPEN:
                entered, left = wanted.get(journey.watches, ((), ()))
                if journey.on_leaving:
                    wanted[journey.watches] = entered, (*left, journey.name)
                else:
                    wanted[journey.watches] = (*entered, journey.name), left
        whole = {name: with_segments(self.segments[name], self.segments) for name in wanted}
        self.watch = watch(wanted, whole, known.watch, revision, at)
        # A journey that is a draft for a while does not announce itself again.
        self.announced = dict(known.announced)
        for name in sorted(name for entered, _ in wanted.values() for name in entered):
            entry = self.newest[name].definition.entry
            if isinstance(entry, SegmentEntry) and entry.existing and self.states[name] == "live":
                self.announced.setdefault((name, entry.segment), Announced(revision, at, position))
        self._revise_aims(before, revision, at, position)
        self.loyalty.revision = revision
        if before is not None and before.workspace.programmes == self.workspace.programmes:
            self.loyalty.revision, self.loyalty.revised_at = before.loyalty.revision, before.loyalty.revised_at
        lived = self._live_on(known, at)
        self._revise_dates(known.dated, revision, at)
        changed = (
            lived
            or revision in self.needed.values()
            or (bool(self.loyalty.programmes) and self.loyalty.revision == revision)
            or any(turned.revision == revision for turned in self.turned.values())
            or any(dated.revision == revision for dated in self.dated.values())
            or not known.dated.keys() <= self.dated.keys()
            or self.announced.keys() != known.announced.keys()
            or any(watched.revision == revision for watched in self.watch.segments.values())
            or (known.remembers_messages and not self.remembers_messages)
            or any(need.keep < known.needs[id_].keep for id_, need in self.needs.items() if id_ in known.needs)
            or not known.watch.segments.keys() <= self.watch.segments.keys()
        )
        if changed:
            self.revision, self.revised_at, self.revised_position = revision, at, position
        else:
            self.revision, self.revised_at, self.revised_position = (
                known.revision, known.revised_at, known.revised_position,
            )  # fmt: skip

    def _revise_aims(self, before: Plan | None, revision: int, at: int, position: int) -> None:
        """Say of which journeys the conditions of exits and goals mean something else than before."""
        self.turned = dict(before.turned) if before is not None else {}
        for name, versions in (before.journeys if before is not None else {}).items():
            if any(_asked(self.journeys[name][version]) != _asked(known) for version, known in versions.items()):
                self.turned[name] = Announced(revision, at, position)

    def _revise_dates(self, before: dict[str, Dated], revision: int, at: int) -> None:
        """Say which journeys are entered by a date, and from when on."""
        by: dict[str, list[str]] = {}
        for name, journey in self.newest.items():
            entry = journey.definition.entry
            if not isinstance(entry, DateEntry) or self.states[name] not in OPEN:
                continue
            zones = journey.definition.zone, self.workspace.settings.zone
            dated, known = dated_of(entry, zones, revision, at), before.get(name)
            same = known is not None and replace(known, revision=revision, since=at) == dated
            self.dated[name] = known if known is not None and same else dated
            for attribute in {entry.attribute, TIMEZONE}:
                by.setdefault(attribute, []).append(name)
        self.dated_by = {attribute: tuple(names) for attribute, names in by.items()}

    def _tallies(self) -> Iterator[Tally]:
        """Yield what entries count: those of open journeys, and with their history those of all."""
        for journey in self.newest.values():
            tally = journey.tally
            if tally is not None and (tally.history or self.states[journey.name] in OPEN):
                yield tally

    def _live_on(self, known: Plan | type[_Nothing], at: int) -> bool:
        """Say what the new states mean for runs under way; return whether they mean anything."""
        before, after = known.states, self.states
        self.stopping = frozenset(
            name for name, state in after.items() if state == "stopped" != before.get(name, "stopped")
        )
        self.stopped_at = known.stopped_at | dict.fromkeys(self.stopping, at)
        self.tested = frozenset(name for name, state in before.items() if state == "test" != after[name])
        return bool(self.stopping or self.tested or self.moves) or self.paused != known.paused

    @classmethod
    def empty(cls) -> Plan:
        """Return the plan of a workspace in which nothing is defined."""
        return cls(Workspace(), {}, {}, {})

    def publish(
        self, definitions: Iterable[AnyDefinition], *, at: int = 0, position: int = 0, moves: Sequence[Move] = ()
    ) -> Plan:
        """Return the plan after a publication at an instant, with its place in the log.

        A message that changed gets the next version, and so does a journey of which more changed than its words, state
        and tests. All versions of a journey stay, for the runs on them.

        Raises:
            InvalidDefinitionError: A condition cannot be read. Other mistakes are `definitions.references`' to find,
                before.
        """
        changed = [definition for definition in definitions if not self._has(definition)]
        workspace = self.workspace.with_definitions(*changed)
        journeys = {name: dict(versions) for name, versions in self.journeys.items()}
        messages, texts = dict(self.messages), dict(self.texts)
        segments = segment_nodes(workspace.segments.values())
        if any(isinstance(definition, SegmentDefinition) for definition in changed):
            # A segment is looked up by name: versions that ask for it ask for what it means now.
            journeys = {
                name: {
                    version: compile_journey(compiled.definition, version, segments, compiled.since)
                    for version, compiled in versions.items()
                }
                for name, versions in journeys.items()
            }
        for definition in changed:
            if isinstance(definition, JourneyDefinition):
                versions = journeys.setdefault(definition.name, {})
                version = max(versions, default=0)
                if version and content_of(versions[version].definition) == content_of(definition):
                    versions[version] = replace(versions[version], definition=definition)
                else:
                    versions[version + 1] = compile_journey(definition, version + 1, segments, at)
            elif isinstance(definition, MessageDefinition):
                before = messages.get(definition.name)
                version = before.version + 1 if before else 1
                messages[definition.name] = CompiledMessage(version, definition)
                texts[definition.name, version] = definition
        return Plan(workspace, journeys, messages, texts, before=self, at=at, position=position, moves=moves)

    def _has(self, definition: AnyDefinition) -> bool:
        return self.workspace.get(*key_of(definition)) == definition

    def route(self, name: str) -> Route:
        """Return what an interaction of this folded name can touch, making an empty row for a new name."""
        return self.routes.setdefault(name, Route())

    def _index(self) -> None:
        for name, definition in self.workspace.interactions.items():
            route = self.route(name)
            route.definition = definition
            route.checks = checks_of(definition)
            if definition.counts_when is not None:
                route.counts_when = question(definition.counts_when, self.segments)
        for name in self.loyalty.routes:
            self.route(name)
        for asked in self.loyalty.questions:
            self._index_condition(asked.node)
        for node in self.segments.values():
            self._index_condition(node)
        for versions in self.journeys.values():
            for compiled in versions.values():
                self._index_journey(compiled)
        self._index_entries()
        for need in self.needs.values():
            for name, memory in memories_of(need).items():
                self.route(name).memories.append(memory)

    def _index_entries(self) -> None:
        for compiled in self.newest.values():
            if isinstance(compiled.definition.entry, ContactEntry) and self.states[compiled.name] in OPEN:
                self.created.append(compiled)
            for name in compiled.names:
                if self.states[compiled.name] in OPEN:
                    self.route(name).entries.append(compiled)
                if compiled.tally is not None and compiled.tally.history:
                    self.route(name).tallies.append(compiled)
        self._rank()

    def in_order(self, messages: Sequence[str], journey: CompiledJourney) -> Sequence[str]:
        """Return the messages of one step, those of a higher priority first."""
        if len(messages) == 1 or not self._ranked_messages:
            return messages
        return sorted(messages, key=lambda name: -self.priority(self.messages[name].definition, journey))

    @staticmethod
    def priority(message: MessageDefinition, journey: CompiledJourney) -> int:
        """Return the priority of a message that a journey sends: its own, else the journey's."""
        return journey.definition.priority if message.priority is None else message.priority

    def _rank(self) -> None:
        """Let journeys of a higher priority come first at one input; of the same, the oldest does."""
        ranks = {name: -compiled.definition.priority for name, compiled in self.newest.items()}
        if not any(ranks.values()):
            return
        for route in self.routes.values():
            route.entries.sort(key=lambda compiled: ranks[compiled.name])
            route.listeners.sort(key=ranks.__getitem__)
        for journeys in self.reactions.values():
            journeys.sort(key=ranks.__getitem__)

    def _index_condition(self, node: ast.Node) -> None:
        for need in needs(node).values():
            merge_need(self.needs, need)
        self.remembers_messages = self.remembers_messages or asks_for_messages(node)

    def _index_aims(self, compiled: CompiledJourney) -> None:
        aims, name = compiled.aims, compiled.name
        for aim in (*aims.exits, *aims.goals) if aims is not None else ():
            for interaction in aim.names:
                self.route(interaction).aims[name] = None
            if aim.question is None:
                continue
            for need in needs(aim.question.node).values():
                for interaction in {interaction for feed in need.feeds for interaction in feed.interactions}:
                    self.route(interaction).aims[name] = None
            self.aims.add(name, aim.question.node)

    def _index_journey(self, compiled: CompiledJourney) -> None:
        self._index_aims(compiled)
        for asked in questions_of(compiled):
            self._index_condition(asked.node)
        if compiled.name in self.paused:
            return  # nothing that happens moves its runs
        for step in compiled.steps.values():
            for name in step.interactions:
                listeners = self.route(name).listeners
                if compiled.name not in listeners:
                    listeners.append(compiled.name)
            for kind in step.reactions:
                journeys = self.reactions.setdefault(kind, [])
                if compiled.name not in journeys:
                    journeys.append(compiled.name)

    def read_on_activation(self) -> list[CompiledJourney]:
        """Return the newest live versions whose entry reads a segment."""
        return [
            compiled
            for compiled in self.newest.values()
            if self.states[compiled.name] == "live" and compiled.segment is not None and not compiled.watches
        ]


class AimIndex:
    """Which journeys have exits or goals that something other than an interaction can touch."""

    def __init__(self) -> None:
        self.by_attribute: dict[str, dict[str, None]] = {}
        self.by_list: dict[str, dict[str, None]] = {}
        self.by_consent: dict[str, None] = {}
        self.by_message: dict[str, None] = {}
        self.by_loyalty: dict[str, None] = {}

    def add(self, journey: str, node: ast.Node) -> None:
        """Take up a condition of a journey."""
        for leaf in walk(node):
            match leaf:
                case ast.Attribute(subject=ast.Subject.CONTACT):
                    self.by_attribute.setdefault(leaf.name, {})[journey] = None
                case ast.InList():
                    self.by_list.setdefault(leaf.name, {})[journey] = None
                case ast.Consent():
                    self.by_consent[journey] = None
                case ast.MessageHistory():
                    self.by_message[journey] = None
                case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
                    self.by_loyalty[journey] = None
                case _:
                    pass


def _asked(compiled: CompiledJourney) -> list[ast.Node]:
    """Return the conditions of exits and goals."""
    aims = compiled.aims
    found = (*aims.exits, *aims.goals) if aims is not None else ()
    return [aim.question.node for aim in found if aim.question is not None]


class _Nothing:
    """What a plan goes on from when there was none before."""

    revision = revised_at = revised_position = 0
    remembers_messages = False
    needs: dict[str, Need] = {}  # noqa: RUF012 (it is never changed)
    needed: dict[str, int] = {}  # noqa: RUF012
    dated: dict[str, Dated] = {}  # noqa: RUF012
    activated: dict[str, int] = {}  # noqa: RUF012
    counted: dict[str, Counted] = {}  # noqa: RUF012
    states: dict[str, str] = {}  # noqa: RUF012
    stopped_at: dict[str, int] = {}  # noqa: RUF012
    paused: frozenset[str] = frozenset()
    announced: dict[tuple[str, str], Announced] = {}  # noqa: RUF012
    watch = Watch()


def _covers(known: Need | None, need: Need) -> bool:
    """Return whether what was remembered for one need is all that another asks for."""
    if known is None or known.keep < need.keep:
        return False
    return known.span is None or (need.span is not None and known.span >= need.span)
