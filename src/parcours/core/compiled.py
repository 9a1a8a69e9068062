"""What a plan is made of: definitions with their conditions as closures and their durations in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from parcours.conditions import ast
from parcours.conditions.changes import Turns
from parcours.conditions.to_python import Test
from parcours.core.checks import Checks
from parcours.core.memory import Memory
from parcours.core.waits import Moment
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.journey import MOST_RUNS, JourneyDefinition
from parcours.definitions.message import MessageDefinition
from parcours.definitions.steps import Step


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
    prior: str = ""
    """Under what a run remembers that the event came, when the step accepts that; alike for branches that are alike."""


class Choice(msgspec.Struct, frozen=True):
    """One way out of a split."""

    name: str
    question: Question
    next: str | None


class Share(msgspec.Struct, frozen=True):
    """One way out of an experiment."""

    name: str
    upto: int
    """The first place of the draw (`conditions.samples.PLACES`) that is no longer its own."""
    next: str | None


class CompiledStep(msgspec.Struct, frozen=True):
    """A step with its durations in milliseconds and its conditions compiled."""

    definition: Step
    duration: int = 0
    """Of a wait; of the timeout of a wait for events, 0 for none."""
    interactions: dict[str, tuple[CompiledBranch, ...]] = msgspec.field(default_factory=dict)
    reactions: dict[str, tuple[CompiledBranch, ...]] = msgspec.field(default_factory=dict)
    after_timeout: str | None = None
    question: Question | None = None
    until: Moment | None = None
    """When a wait, or the timeout of a wait for events, is over."""
    choices: tuple[Choice, ...] = ()
    """Of a split: its branches, in order."""
    shares: tuple[Share, ...] = ()
    """Of an experiment: its variants, in order."""


class Tally(msgspec.Struct, frozen=True):
    """What an entry counts that asks for something several times."""

    id: str
    """Derived from what is counted: it stays the same when only `times` and `within` change."""
    times: int
    within: int | None
    history: bool
    """Whether what came before the journey went live counts."""


class Dated(msgspec.Struct, frozen=True):
    """An entry by a date of the contact."""

    attribute: str
    yearly: bool
    days: int
    """How many days after the date; before it, less than 0."""
    time: int
    """Milliseconds since midnight."""
    zones: tuple[str, str]
    """The journey's and the workspace's, for contacts of whom none is known."""
    revision: int
    """The revision of the plan from which it has been so."""
    since: int
    """The instant of that."""


class CompiledAim(msgspec.Struct, frozen=True):
    """An exit or a goal: an interaction, or a condition."""

    name: str
    """Of a goal."""
    label: str
    """What the trace calls it."""
    names: tuple[str, ...] = ()
    """Folded names of the interactions, any of which will do."""
    where: Question | None = None
    key: str = ""
    question: Question | None = None
    """The condition, in place of the above."""
    change: Turns | None = None
    within: int = 0
    """How long after the start of the run a goal can be reached, 0 for as long as the run is under way."""
    ends: bool = False


class Aims(msgspec.Struct, frozen=True):
    """The exits and goals of a journey."""

    exits: tuple[CompiledAim, ...]
    goals: tuple[CompiledAim, ...]
    clocked: bool
    """Whether time alone may turn one of their conditions."""


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
    prior: dict[str, tuple[CompiledBranch, ...]]
    """Interaction to the branches for which a run remembers that it came."""
    reacts: bool
    """Whether some step waits for reactions, so that a run must remember what it sent."""
    start: str
    once: bool
    """Whether a contact enters once a key and never again."""
    parallel: bool
    """Whether a contact may have several runs of one key at the same time."""
    names: tuple[str, ...] = ()
    """Folded names of the interactions that enter."""
    tally: Tally | None = None
    """What an entry counts that asks for an interaction several times."""
    pause: int = 0
    """How long after the end of a run its contact may enter again, 0 for at once."""
    most_runs: int = MOST_RUNS
    """Runs that one contact may have at the same time."""
    most_entries: int = 0
    """How often a contact may enter within `entries_within` (None for ever), 0 for as often as it likes."""
    entries_within: int | None = None
    aims: Aims | None = None
    since: int = 0
    """When this version was published."""


class CompiledTest(msgspec.Struct, frozen=True):
    """How a journey is tested."""

    contacts: frozenset[tuple[str, str]] = frozenset()
    """Identities of those who enter."""
    waits: int | None = None
    recipients: Mapping[str, str] = msgspec.field(default_factory=dict)


NO_TEST = CompiledTest()
"""How a journey is tested that does not say."""


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
    aims: dict[str, None] = msgspec.field(default_factory=dict)
    """Journeys of which some version has an exit or a goal that it can touch."""
    tallies: list[CompiledJourney] = msgspec.field(default_factory=list)
    """Newest versions, also drafts, that count it with its history."""
