"""What is meant to happen: a journey is a graph of steps with one entry.

A step names the steps that follow it; a token whose step names none has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Condition, Duration, Name

_STEP_NAME = "1 to 64 of letters, digits, - and _, beginning with a letter or digit"
StepName = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description=_STEP_NAME, extra={"written": _STEP_NAME}),
]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


# --- entries ----------------------------------------------------------------------------------------------------------


class InteractionEntry(_Part, frozen=True, kw_only=True, tag="interaction"):
    """A contact enters when a matching interaction arrives."""

    interaction: Annotated[
        str, msgspec.Meta(description="The name of the interaction; matches without regard to case.")
    ]
    where: Annotated[Condition | None, msgspec.Meta(description="What must also be true.")] = None
    max_age: Annotated[
        Duration,
        msgspec.Meta(
            description="An interaction that arrives later than this after it occurred starts and moves nothing."
        ),
    ] = "6h"
    key: Annotated[
        str,
        msgspec.Meta(
            description="An attribute of the interaction whose value tells runs of one contact apart, such as an order "
            "number."
        ),
    ] = ""


class SegmentEntry(_Part, frozen=True, kw_only=True, tag="segment"):
    """The members of a segment enter: all at once when the journey goes live, or each on entering or leaving it."""

    segment: Annotated[Name, msgspec.Meta(description="The segment.")]
    on: Annotated[
        Literal["read", "entered", "left"],
        msgspec.Meta(
            description="`read`: its members enter once, when the journey goes live. `entered`, `left`: whoever enters "
            "or leaves the segment from then on, also because time passes."
        ),
    ] = "read"
    existing: Annotated[
        bool, msgspec.Meta(description="With `entered`: those who are members when the journey goes live enter, too.")
    ] = False


Entry = InteractionEntry | SegmentEntry


# --- steps ------------------------------------------------------------------------------------------------------------


class Send(_Part, frozen=True, kw_only=True, tag="send"):
    """Send messages. A message that is not sent leaves its reason; when none is, the token takes `suppressed`."""

    messages: Annotated[list[Name], msgspec.Meta(min_length=1, description="The messages to send, by name.")]
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None
    suppressed: Annotated[
        StepName | None, msgspec.Meta(description="The step that follows when no message was sent; else `next`.")
    ] = None


class Wait(_Part, frozen=True, kw_only=True, tag="wait"):
    """Wait for a length of elapsed time."""

    duration: Annotated[Duration, msgspec.Meta(description="How long, in elapsed time: 24h, 7d, 1d12h.")] = (
        msgspec.field(name="for")
    )
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class InteractionBranch(_Part, frozen=True, kw_only=True, tag="interaction"):
    """Taken when a matching interaction arrives while the token waits."""

    interaction: Annotated[
        str, msgspec.Meta(description="The name of the interaction; matches without regard to case.")
    ]
    where: Annotated[Condition | None, msgspec.Meta(description="What must also be true.")] = None
    key: Annotated[
        str,
        msgspec.Meta(
            description="An attribute of the interaction that must equal the key of the run, such as its order number."
        ),
    ] = ""
    next: Annotated[
        StepName | None, msgspec.Meta(description="The step that follows; else the `next` of the wait.")
    ] = None


class ReactionBranch(_Part, frozen=True, kw_only=True, tag="reaction"):
    """Taken when the contact reacts to a message of this run: to any of them, or to `message`."""

    reaction: Annotated[
        Literal["delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"],
        msgspec.Meta(description="What the contact did with the message."),
    ]
    message: Annotated[Name | None, msgspec.Meta(description="The message; any of this run when there is none.")] = None
    next: Annotated[
        StepName | None, msgspec.Meta(description="The step that follows; else the `next` of the wait.")
    ] = None


Branch = InteractionBranch | ReactionBranch


class Timeout(_Part, frozen=True, kw_only=True):
    """What ends a wait for events when none of them came; without `next` the token goes on at the step's `next`."""

    after: Annotated[Duration, msgspec.Meta(description="How long to wait at most, in elapsed time.")]
    next: Annotated[
        StepName | None, msgspec.Meta(description="The step that follows; else the `next` of the wait.")
    ] = None


class WaitFor(_Part, frozen=True, kw_only=True, tag="wait_for"):
    """Wait for the first of several events, or for the one timeout of the step."""

    events: Annotated[list[Branch], msgspec.Meta(min_length=1, description="What to wait for; the first one wins.")]
    timeout: Annotated[Timeout | None, msgspec.Meta(description="What ends the wait when none came.")] = None
    next: Annotated[
        StepName | None,
        msgspec.Meta(description="Where a branch or a timeout goes on that names no step of its own."),
    ] = None


class Decision(_Part, frozen=True, kw_only=True, tag="decision"):
    """Go one way when the condition is true, the other when it is not."""

    condition: Annotated[Condition, msgspec.Meta(description="What is asked.")] = msgspec.field(name="if")
    then: Annotated[StepName | None, msgspec.Meta(description="The step that follows when it is true.")] = None
    otherwise: Annotated[StepName | None, msgspec.Meta(description="The step that follows when it is not.")] = (
        msgspec.field(name="else", default=None)
    )


class End(_Part, frozen=True, kw_only=True, tag="end"):
    """The token ends here."""


Step = Send | Wait | WaitFor | Decision | End


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


def following(step: Step) -> Iterator[tuple[str, str]]:
    """Yield `(JSON pointer within the step, name of the step it leads to)` for every arrow out of a step."""
    arrows: list[tuple[str, str | None]] = []
    match step:
        case Send():
            arrows = [("/next", step.next), ("/suppressed", step.suppressed)]
        case Wait():
            arrows = [("/next", step.next)]
        case WaitFor():
            arrows = [(f"/events/{index}/next", branch.next) for index, branch in enumerate(step.events)]
            if step.timeout is not None:
                arrows.append(("/timeout/next", step.timeout.next))
            arrows.append(("/next", step.next))
        case Decision():
            arrows = [("/then", step.then), ("/else", step.otherwise)]
        case End():
            pass
    yield from ((pointer, name) for pointer, name in arrows if name is not None)
