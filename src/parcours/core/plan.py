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
| which segments are kept exact?               | `watch`, a `Watch`                            |
| must a contact be brought up to this plan?   | `revision`                                    |

A plan never changes. Publishing makes another, from the one before and the definitions published, so the log of
publications makes the same plans again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from parcours.conditions import ast
from parcours.conditions.durations import parse_duration
from parcours.conditions.names import match_name
from parcours.conditions.needs import (
    Need,
    asks_for_messages,
    asks_since_entry,
    merge_need,
    needs,
    trigger_attributes,
    walk,
)
from parcours.conditions.parse import parse_condition
from parcours.conditions.text import describe
from parcours.conditions.to_python import Test, compile_condition
from parcours.core.checks import Checks
from parcours.core.memory import Memory, memories_of
from parcours.core.watch import Watch, watch
from parcours.definitions.common import Condition
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.journey import (
    Decision,
    InteractionBranch,
    InteractionEntry,
    JourneyDefinition,
    ReactionBranch,
    SegmentEntry,
    Step,
    Wait,
    WaitFor,
)
from parcours.definitions.message import MessageDefinition
from parcours.definitions.segment import SegmentDefinition
from parcours.definitions.workspace import AnyDefinition, Workspace, key_of
from parcours.errors import InvalidDefinitionError

DEFAULT_MAX_AGE = parse_duration("6h")
"""How late an interaction may arrive and still move the runs of a journey that sets no age of its own."""


MESSAGES = "messages"
"""What stands among the needs for the messages sent to a contact; ids of needs are hexadecimal."""


class Question(msgspec.Struct, frozen=True):
    """A condition, ready to be asked and ready to be shown."""

    ask: Test
    node: ast.Node
    text: str
    of_run: bool = False
    """Whether it looks at what happened since the start of the run."""


class Announced(msgspec.Struct, frozen=True):
    """When those who were members already were let into a journey: revision of the plan, instant, place in the log."""

    revision: int
    at: int
    position: int


class CompiledBranch(msgspec.Struct, frozen=True):
    """One event a step waits for."""

    name: str
    """Folded name of an interaction, or a kind of reaction."""
    label: str
    """What the trace calls this way out."""
    next: str | None
    where: Question | None = None
    key: str = ""
    message: str | None = None


class CompiledStep(msgspec.Struct, frozen=True):
    """A step with its durations in milliseconds and its conditions compiled."""

    definition: Step
    duration: int = 0
    """Of a wait; of the timeout of a wait for events, 0 for none."""
    interactions: dict[str, tuple[CompiledBranch, ...]] = msgspec.field(default_factory=dict)
    reactions: dict[str, tuple[CompiledBranch, ...]] = msgspec.field(default_factory=dict)
    after_timeout: str | None = None
    question: Question | None = None


class CompiledJourney(msgspec.Struct, frozen=True):
    """One version of a journey."""

    name: str
    version: int
    definition: JourneyDefinition
    steps: dict[str, CompiledStep]
    max_duration: int
    max_age: int
    where: Question | None
    """What an entering interaction must satisfy."""
    key: str
    segment: Question | None
    """What a contact read from the segment must satisfy."""
    watches: str
    """The segment that is entered by entering or leaving it; empty for none."""
    on_leaving: bool
    facts: tuple[str, ...]
    """The attributes of the trigger that later conditions look at; a run remembers these."""
    reacts: bool
    """Whether some step waits for reactions, so that a run must remember what it sent."""
    start: str
    once: bool
    """Whether a contact enters once a key and never again."""
    parallel: bool
    """Whether a contact may have several runs of one key at the same time."""


class CompiledMessage(msgspec.Struct, frozen=True):
    """One version of a message."""

    version: int
    definition: MessageDefinition


class Route(msgspec.Struct):
    """Everything one kind of interaction can touch."""

    definition: InteractionDefinition | None = None
    checks: Checks | None = None
    """What its attributes must be, where anything is declared of them."""
    counts_when: Question | None = None
    memories: list[Memory] = msgspec.field(default_factory=list)
    """What remembers it."""
    listeners: list[str] = msgspec.field(default_factory=list)
    """Journeys in which some step of some version waits for it."""
    entries: list[CompiledJourney] = msgspec.field(default_factory=list)
    """Newest versions that it can start, oldest journey first."""


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
    ) -> None:
        self.workspace = workspace
        self.journeys = journeys
        self.messages = messages
        self.texts = texts
        self.newest = {name: versions[max(versions)] for name, versions in journeys.items()}
        self.segments = {name: _segment(definition) for name, definition in workspace.segments.items()}
        self.reactions: dict[str, list[str]] = {}
        self.routes: dict[str, Route] = {}
        self.needs: dict[str, Need] = {}
        """What a contact remembers, by id."""
        self.remembers_messages = False
        """Whether some condition asks for the messages sent to a contact."""
        self.contact_checks = Checks(workspace.settings.contacts, "the workspace", "/traits")
        self.revision = self.revised_at = self.revised_position = 0
        self.needed: dict[str, int] = {}
        """Need to the revision from which it is kept as it is now."""
        self.watch = Watch()
        self.announced: dict[tuple[str, str], Announced] = {}
        """Journeys that those who are members of a segment already enter, with the segment."""
        self._index()
        self._revise(before, at, position)

    def lacks_history(self, revision: int) -> bool:
        """Return whether a contact that was brought up to a revision lacks memories that its history would give."""
        return revision < self._remembering

    def _revise(self, before: Plan | None, at: int, position: int) -> None:
        """Say from when on what is remembered and watched is, and whether contacts have to be brought up."""
        known = before if before is not None else _Nothing
        revision = known.revision + 1
        self.needed = {
            id_: known.needed[id_] if _covers(known.needs.get(id_), need) else revision
            for id_, need in self.needs.items()
        }
        if self.remembers_messages:
            self.needed[MESSAGES] = known.needed.get(MESSAGES, revision)
        wanted: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
            name: ((), ()) for name, definition in self.workspace.segments.items() if definition.live
        }
        for journey in self.newest.values():
            if journey.watches and journey.definition.state == "live":
                entered, left = wanted.get(journey.watches, ((), ()))
                if journey.on_leaving:
                    wanted[journey.watches] = entered, (*left, journey.name)
                else:
                    wanted[journey.watches] = (*entered, journey.name), left
        whole = {name: _with_segments(self.segments[name], self.segments) for name in wanted}
        self.watch = watch(wanted, whole, known.watch, revision, at)
        # A journey that is a draft for a while does not announce itself again.
        self.announced = dict(known.announced)
        for name in sorted(name for entered, _ in wanted.values() for name in entered):
            entry = self.newest[name].definition.entry
            if isinstance(entry, SegmentEntry) and entry.existing:
                self.announced.setdefault((name, entry.segment), Announced(revision, at, position))
        changed = (
            revision in self.needed.values()
            or self.announced.keys() != known.announced.keys()
            or any(watched.revision == revision for watched in self.watch.segments.values())
            or not known.watch.segments.keys() <= self.watch.segments.keys()
        )
        self._remembering = max(self.needed.values(), default=0)
        if changed:
            self.revision, self.revised_at, self.revised_position = revision, at, position
        else:
            self.revision, self.revised_at, self.revised_position = (
                known.revision, known.revised_at, known.revised_position,
            )  # fmt: skip

    @classmethod
    def empty(cls) -> Plan:
        """Return the plan of a workspace in which nothing is defined."""
        return cls(Workspace(), {}, {}, {})

    def publish(self, definitions: Iterable[AnyDefinition], *, at: int = 0, position: int = 0) -> Plan:
        """Return the plan after a publication at an instant, with its place in the log.

        A journey or message that changed gets the next version. All versions of a journey stay, for the runs on them.

        Raises:
            InvalidDefinitionError: A condition cannot be read. Other mistakes are `definitions.references`' to find,
                before.
        """
        changed = [definition for definition in definitions if not self._has(definition)]
        workspace = self.workspace.with_definitions(*changed)
        journeys = {name: dict(versions) for name, versions in self.journeys.items()}
        messages, texts = dict(self.messages), dict(self.texts)
        segments = {name: _segment(definition) for name, definition in workspace.segments.items()}
        if any(isinstance(definition, SegmentDefinition) for definition in changed):
            # A segment is looked up by name: versions that ask for it ask for what it means now.
            journeys = {
                name: {
                    version: compile_journey(compiled.definition, version, segments)
                    for version, compiled in versions.items()
                }
                for name, versions in journeys.items()
            }
        for definition in changed:
            if isinstance(definition, JourneyDefinition):
                versions = journeys.setdefault(definition.name, {})
                version = max(versions, default=0) + 1
                versions[version] = compile_journey(definition, version, segments)
            elif isinstance(definition, MessageDefinition):
                before = messages.get(definition.name)
                version = before.version + 1 if before else 1
                messages[definition.name] = CompiledMessage(version, definition)
                texts[definition.name, version] = definition
        return Plan(workspace, journeys, messages, texts, before=self, at=at, position=position)

    def _has(self, definition: AnyDefinition) -> bool:
        return self.workspace.get(*key_of(definition)) == definition

    def route(self, name: str) -> Route:
        """Return what an interaction of this folded name can touch, making an empty row for a new name."""
        return self.routes.setdefault(name, Route())

    def _index(self) -> None:
        for name, definition in self.workspace.interactions.items():
            route = self.route(name)
            route.definition = definition
            if (definition.attributes or definition.strict) and not definition.archived:
                route.checks = Checks(definition, repr(definition.name), "/properties")
            if definition.counts_when is not None:
                route.counts_when = _question(definition.counts_when, self.segments)
        for node in self.segments.values():
            self._index_condition(node)
        for versions in self.journeys.values():
            for compiled in versions.values():
                self._index_journey(compiled)
        for compiled in self.newest.values():
            entry = compiled.definition.entry
            if compiled.definition.state == "live" and isinstance(entry, InteractionEntry):
                self.route(match_name(entry.interaction)).entries.append(compiled)
        for need in self.needs.values():
            for name, memory in memories_of(need).items():
                self.route(name).memories.append(memory)

    def _index_condition(self, node: ast.Node) -> None:
        for need in needs(node).values():
            merge_need(self.needs, need)
        self.remembers_messages = self.remembers_messages or asks_for_messages(node)

    def _index_journey(self, compiled: CompiledJourney) -> None:
        for question in _questions(compiled):
            self._index_condition(question.node)
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
            if compiled.definition.state == "live" and compiled.segment is not None and not compiled.watches
        ]


class _Nothing:
    """What a plan goes on from when there was none before."""

    revision = revised_at = revised_position = 0
    needs: dict[str, Need] = {}  # noqa: RUF012 (it is never changed)
    needed: dict[str, int] = {}  # noqa: RUF012
    announced: dict[tuple[str, str], Announced] = {}  # noqa: RUF012
    watch = Watch()


def _covers(known: Need | None, need: Need) -> bool:
    """Return whether what was remembered for one need is all that another asks for."""
    if known is None or known.keep < need.keep:
        return False
    return known.span is None or (need.span is not None and known.span >= need.span)


def compile_journey(definition: JourneyDefinition, version: int, segments: Mapping[str, ast.Node]) -> CompiledJourney:
    """Return one version of a journey, compiled.

    Raises:
        InvalidDefinitionError: A condition cannot be read.
    """
    entry = definition.entry
    steps = {name: _compile_step(step, segments) for name, step in definition.steps.items()}
    where = segment = None
    max_age, key = DEFAULT_MAX_AGE, ""
    if isinstance(entry, InteractionEntry):
        where = _question(entry.where, segments) if entry.where is not None else None
        max_age, key = parse_duration(entry.max_age), entry.key
    elif isinstance(entry, SegmentEntry):
        node = ast.InSegment(entry.segment)
        segment = Question(compile_condition(node, segments), _with_segments(node, segments), describe(node))
    facts: set[str] = set()
    for step in steps.values():
        if step.question is not None:
            facts |= trigger_attributes(step.question.node)
    return CompiledJourney(
        name=definition.name,
        version=version,
        definition=definition,
        steps=steps,
        max_duration=parse_duration(definition.max_duration),
        max_age=max_age,
        where=where,
        key=key,
        segment=segment,
        watches=entry.segment if isinstance(entry, SegmentEntry) and entry.on != "read" else "",
        on_leaving=isinstance(entry, SegmentEntry) and entry.on == "left",
        facts=tuple(sorted(facts)),
        reacts=any(step.reactions for step in steps.values()),
        start=definition.start,
        once=definition.re_entry == "never",
        parallel=definition.re_entry == "always",
    )


def _compile_step(step: Step, segments: Mapping[str, ast.Node]) -> CompiledStep:
    match step:
        case Wait():
            return CompiledStep(step, parse_duration(step.duration))
        case Decision():
            return CompiledStep(step, question=_question(step.condition, segments))
        case WaitFor():
            return _compile_wait_for(step, segments)
        case _:
            return CompiledStep(step)


def _compile_wait_for(step: WaitFor, segments: Mapping[str, ast.Node]) -> CompiledStep:
    interactions: dict[str, tuple[CompiledBranch, ...]] = {}
    reactions: dict[str, tuple[CompiledBranch, ...]] = {}
    for branch in step.events:
        follows = branch.next if branch.next is not None else step.next
        if isinstance(branch, InteractionBranch):
            name = match_name(branch.interaction)
            where = _question(branch.where, segments) if branch.where is not None else None
            compiled = CompiledBranch(name, name, follows, where=where, key=branch.key)
            interactions[name] = (*interactions.get(name, ()), compiled)
        elif isinstance(branch, ReactionBranch):
            label = f"{branch.reaction} {branch.message}" if branch.message else branch.reaction
            compiled = CompiledBranch(branch.reaction, label, follows, message=branch.message)
            reactions[branch.reaction] = (*reactions.get(branch.reaction, ()), compiled)
    timeout = step.timeout
    return CompiledStep(
        step,
        parse_duration(timeout.after) if timeout is not None else 0,
        interactions,
        reactions,
        timeout.next if timeout is not None and timeout.next is not None else step.next,
    )


def _questions(compiled: CompiledJourney) -> list[Question]:
    found = [question for question in (compiled.where, compiled.segment) if question is not None]
    for step in compiled.steps.values():
        if step.question is not None:
            found.append(step.question)
        for branches in step.interactions.values():
            found.extend(branch.where for branch in branches if branch.where is not None)
    return found


def _parse(condition: Condition) -> ast.Node:
    node, problems = parse_condition(condition)
    if node is None:
        raise InvalidDefinitionError(problems)
    return node


def _segment(definition: SegmentDefinition) -> ast.Node:
    """Return the whole condition of a segment: with the lists that override what it says."""
    node = _parse(definition.condition)
    if definition.include:
        node = ast.Any((node, *map(ast.InList, definition.include)))
    if definition.exclude:
        node = ast.All((*(ast.Not(ast.InList(name)) for name in definition.exclude), node))
    return node


def _question(condition: Condition, segments: Mapping[str, ast.Node]) -> Question:
    node = _parse(condition)
    whole = _with_segments(node, segments)
    return Question(compile_condition(node, segments), whole, describe(node), asks_since_entry(whole))


def _with_segments(node: ast.Node, segments: Mapping[str, ast.Node]) -> ast.Node:
    """Return a tree in which the segments it names stand as their conditions, so that `needs` sees into them."""
    named = [leaf for leaf in walk(node) if isinstance(leaf, ast.InSegment)]
    if not named:
        return node
    match node:
        case ast.InSegment():
            return _with_segments(segments[node.name], segments)
        case ast.Not():
            return ast.Not(_with_segments(node.part, segments))
        case ast.All():
            return ast.All(tuple(_with_segments(part, segments) for part in node.parts))
        case ast.Any():
            return ast.Any(tuple(_with_segments(part, segments) for part in node.parts))
        case _:
            return node
