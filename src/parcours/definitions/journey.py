"""What is meant to happen: a journey is a graph of steps with one entry, and has a life.

| state       | new entries             | runs under way                            | said by                           |
|-------------|-------------------------|-------------------------------------------|-----------------------------------|
| `draft`     | none                    | go on to their end                        | `state`                           |
| `test`      | only of `test.contacts` | go on; those of tests end with it         | `state`                           |
| `scheduled` | none                    | go on to their end                        | `state: live`, `starts` lies ahead |
| `live`      | yes                     | go on                                     | `state`                           |
| `paused`    | held or discarded       | nothing moves; what comes due waits       | `state`                           |
| `closed`    | none                    | go on to their end                        | `state`; live or paused, and `ends` is over |
| `stopped`   | none                    | ended, and nothing more is sent           | `state`                           |
| `archived`  | none                    | go on to their end                        | `archived`                        |
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Duration, Instant, Name, Part, Priority, Zone, milliseconds_of
from parcours.definitions.entries import AfterPause, Entry, MostEntries
from parcours.definitions.goals import Exit, Goal
from parcours.definitions.steps import Step, StepName

MOST_RUNS = 100
"""Runs of one journey that one contact may have at the same time."""

MOST_AIMS = 20
"""Exits, and goals, of one journey."""
STATES = ("draft", "test", "live", "paused", "closed", "stopped")
"""What a definition may say of its state."""

MOST_TESTERS = 100
"""Contacts a journey may be tested with at a time."""


class JourneyTest(Part, frozen=True, kw_only=True):
    """How a journey is tested: who enters, how long waits are, and where messages go instead."""

    contacts: Annotated[
        list[dict[str, str]],
        msgspec.Meta(
            max_length=MOST_TESTERS,
            description="Who enters while the state is `test`: one identity each, such as `user_id: ann`.",
        ),
    ] = msgspec.field(default_factory=list)
    waits: Annotated[
        Duration | None, msgspec.Meta(description="Waits and timeouts of a test last no longer than this.")
    ] = None
    recipients: Annotated[
        dict[str, str],
        msgspec.Meta(description="Channel to the address that messages of a test go to; without one nothing is sent."),
    ] = msgspec.field(default_factory=dict)


class JourneyDefinition(Archivable, frozen=True, kw_only=True, tag="journey"):
    """A journey: who enters, and the graph of steps they walk."""

    name: Name
    state: Annotated[
        Literal["draft", "test", "live", "paused", "closed", "stopped"],
        msgspec.Meta(
            description="Where it is in its life. `draft`: nobody enters. `test`: only `test.contacts` do. `paused`: "
            "nothing moves until it is live again. `closed`: nobody enters, runs finish. `stopped`: runs are ended."
        ),
    ] = "live"
    starts: Annotated[Instant | None, msgspec.Meta(description="When it is live, it is so from then on.")] = None
    ends: Annotated[
        Instant | None, msgspec.Meta(description="From then on it is closed, when it is live or paused.")
    ] = None
    on_pause: Annotated[
        Literal["hold", "discard"],
        msgspec.Meta(description="Whether who would enter during a pause enters when it is over, or never."),
    ] = "hold"
    test: Annotated[JourneyTest | None, msgspec.Meta(description="How it is tested.")] = None
    entry: Annotated[Entry, msgspec.Meta(description="Who enters.")]
    re_entry: Annotated[
        Literal["never", "after_end", "always"] | AfterPause,
        msgspec.Meta(
            description="Whether a contact may enter again; `{after: 30d}`: so long after the last run ended."
        ),
    ] = "never"
    max_entries: Annotated[MostEntries | None, msgspec.Meta(description="How often a contact may enter in a time.")] = (
        None
    )
    max_runs: Annotated[
        int,
        msgspec.Meta(ge=1, le=MOST_RUNS, description="How many runs of it a contact may have at the same time."),
    ] = MOST_RUNS
    max_duration: Annotated[
        Duration, msgspec.Meta(description="A run ends at the latest this long after it began.")
    ] = "90d"
    zone: Annotated[
        Zone, msgspec.Meta(description="The time zone of contacts of whom none is known, else the workspace's.")
    ] = ""
    exits: Annotated[
        list[Exit],
        msgspec.Meta(max_length=MOST_AIMS, description="What ends a run, wherever it stands: the first that is met."),
    ] = msgspec.field(name="exit", default_factory=list)
    goals: Annotated[
        list[Goal],
        msgspec.Meta(max_length=MOST_AIMS, description="What contacts are to do or to become after they entered."),
    ] = msgspec.field(default_factory=list)
    priority: Annotated[
        Priority,
        msgspec.Meta(description="Its messages leave before, and take places in caps before, those of a lower one."),
    ] = 0
    start: Annotated[StepName, msgspec.Meta(description="The first step.")]
    steps: Annotated[dict[StepName, Step], msgspec.Meta(min_length=1, description="The steps, by name.")]


def content_of(definition: JourneyDefinition) -> JourneyDefinition:
    """Return what makes a version of a journey: all but its words, its state and times, and how it is tested."""
    return msgspec.structs.replace(
        definition,
        title="",
        description="",
        archived=False,
        state="live",
        starts=None,
        ends=None,
        on_pause="hold",
        test=None,
    )


def state_at(definition: JourneyDefinition, now: int) -> str:
    """Return the state a journey is in at an instant: the first column of the table above."""
    if definition.archived:
        return "archived"
    state = definition.state
    if state in {"live", "paused"} and definition.ends is not None and now >= (milliseconds_of(definition.ends) or 0):
        return "closed"
    if state == "live" and definition.starts is not None and now < (milliseconds_of(definition.starts) or 0):
        return "scheduled"
    return state


def changes_after(definition: JourneyDefinition, now: int) -> int | None:
    """Return the first instant after now at which a journey comes into another state by itself."""
    if definition.archived or definition.state not in {"live", "paused"}:
        return None
    said = [definition.ends] if definition.state == "paused" else [definition.starts, definition.ends]
    ahead = [at for text in said if text is not None and (at := milliseconds_of(text)) is not None and at > now]
    return min(ahead, default=None)
