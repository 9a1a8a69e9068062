"""What is meant to happen: a journey is a graph of steps with one entry."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Duration, Name, Priority, Zone
from parcours.definitions.entries import AfterPause, Entry, MostEntries
from parcours.definitions.goals import Exit, Goal
from parcours.definitions.steps import Step, StepName

MOST_RUNS = 100
"""Runs of one journey that one contact may have at the same time."""

MOST_AIMS = 20
"""Exits, and goals, of one journey."""


class JourneyDefinition(Archivable, frozen=True, kw_only=True, tag="journey"):
    """A journey: who enters, and the graph of steps they walk."""

    name: Name
    state: Annotated[Literal["draft", "live"], msgspec.Meta(description="A draft is kept and starts nothing.")] = "live"
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
