"""What is meant to happen: a journey is a graph of steps with one entry."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Duration, Name
from parcours.definitions.entries import Entry
from parcours.definitions.steps import Step, StepName


class JourneyDefinition(Archivable, frozen=True, kw_only=True, tag="journey"):
    """A journey: who enters, and the graph of steps they walk."""

    name: Name
    state: Annotated[Literal["draft", "live"], msgspec.Meta(description="A draft is kept and starts nothing.")] = "live"
    entry: Annotated[Entry, msgspec.Meta(description="Who enters.")]
    re_entry: Annotated[
        Literal["never", "after_end", "always"], msgspec.Meta(description="Whether a contact may enter again.")
    ] = "never"
    max_duration: Annotated[
        Duration, msgspec.Meta(description="A run ends at the latest this long after it began.")
    ] = "90d"
    start: Annotated[StepName, msgspec.Meta(description="The first step.")]
    steps: Annotated[dict[StepName, Step], msgspec.Meta(min_length=1, description="The steps, by name.")]
