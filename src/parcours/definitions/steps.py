"""The steps of a journey, and the arrows between them.

A step names the steps that follow it; a token whose step names none has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from parcours.definitions.common import Condition, Duration, Interactions, Name, Part
from parcours.definitions.values import Value
from parcours.definitions.waits import Until

_STEP_NAME = "1 to 64 of letters, digits, - and _, beginning with a letter or digit"
StepName = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description=_STEP_NAME, extra={"written": _STEP_NAME}),
]


class Send(Part, frozen=True, kw_only=True, tag="send"):
    """Send messages. A message that is not sent leaves its reason; when none is, the token takes `suppressed`."""

    messages: Annotated[list[Name], msgspec.Meta(min_length=1, description="The messages to send, by name.")]
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None
    suppressed: Annotated[
        StepName | None, msgspec.Meta(description="The step that follows when no message was sent; else `next`.")
    ] = None


class Wait(Part, frozen=True, kw_only=True, tag="wait"):
    """Wait for a length of elapsed time, or until a moment; one that is over goes on at once."""

    exactly_one: ClassVar[tuple[str, ...]] = ("for", "until")

    duration: Annotated[Duration | None, msgspec.Meta(description="How long, in elapsed time: 24h, 7d, 1d12h.")] = (
        msgspec.field(name="for", default=None)
    )
    until: Annotated[Until | None, msgspec.Meta(description="Until when, in the contact's time zone.")] = None
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class InteractionBranch(Part, frozen=True, kw_only=True, tag="interaction"):
    """Taken when a matching interaction arrives while the token waits."""

    interaction: Interactions
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


class ReactionBranch(Part, frozen=True, kw_only=True, tag="reaction"):
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


class Timeout(Part, frozen=True, kw_only=True):
    """What ends a wait for events when none of them came; without `next` the token goes on at the step's `next`."""

    exactly_one: ClassVar[tuple[str, ...]] = ("after", "until")

    after: Annotated[Duration | None, msgspec.Meta(description="How long to wait at most, in elapsed time.")] = None
    until: Annotated[Until | None, msgspec.Meta(description="Until when to wait at most.")] = None
    next: Annotated[
        StepName | None, msgspec.Meta(description="The step that follows; else the `next` of the wait.")
    ] = None


class WaitFor(Part, frozen=True, kw_only=True, tag="wait_for"):
    """Wait for the first of several events, or for the one timeout of the step."""

    events: Annotated[list[Branch], msgspec.Meta(min_length=1, description="What to wait for; the first one wins.")]
    timeout: Annotated[Timeout | None, msgspec.Meta(description="What ends the wait when none came.")] = None
    accept_prior: Annotated[
        bool, msgspec.Meta(description="Interactions that came since the run began count, too, not only those to come.")
    ] = False
    next: Annotated[
        StepName | None,
        msgspec.Meta(description="Where a branch or a timeout goes on that names no step of its own."),
    ] = None


class Decision(Part, frozen=True, kw_only=True, tag="decision"):
    """Go one way when the condition is true, the other when it is not."""

    condition: Annotated[Condition, msgspec.Meta(description="What is asked.")] = msgspec.field(name="if")
    then: Annotated[StepName | None, msgspec.Meta(description="The step that follows when it is true.")] = None
    otherwise: Annotated[StepName | None, msgspec.Meta(description="The step that follows when it is not.")] = (
        msgspec.field(name="else", default=None)
    )


class SplitBranch(Part, frozen=True, kw_only=True):
    """One way out of a split."""

    name: Annotated[StepName, msgspec.Meta(description="What reports call it.")]
    condition: Annotated[Condition, msgspec.Meta(description="What is asked.")] = msgspec.field(name="if")
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Split(Part, frozen=True, kw_only=True, tag="split"):
    """Go the way of the first branch whose condition is true."""

    branches: Annotated[list[SplitBranch], msgspec.Meta(min_length=1, description="They are asked in this order.")]
    otherwise: Annotated[StepName | None, msgspec.Meta(description="The step that follows when none is true.")] = (
        msgspec.field(name="else", default=None)
    )


Weight = Annotated[float, msgspec.Meta(ge=0, le=1_000_000, description="Its share of the sum of all weights.")]


class ExperimentBranch(Part, frozen=True, kw_only=True):
    """One variant of an experiment."""

    name: Annotated[StepName, msgspec.Meta(description="What reports call it.")]
    weight: Weight = 1
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Holdout(Part, frozen=True, kw_only=True):
    """Those with whom the others are compared."""

    weight: Weight = 1
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Experiment(Part, frozen=True, kw_only=True, tag="experiment"):
    """Draw one of several variants, by weight; a contact draws the same at this step each time."""

    branches: Annotated[list[ExperimentBranch], msgspec.Meta(min_length=1, description="The variants.")]
    holdout: Annotated[Holdout | None, msgspec.Meta(description="Those who get none of them.")] = None


class Fork(Part, frozen=True, kw_only=True, tag="fork"):
    """Go several ways at the same time."""

    branches: Annotated[
        list[StepName], msgspec.Meta(min_length=2, max_length=20, description="The steps that follow, all of them.")
    ]


class Join(Part, frozen=True, kw_only=True, tag="join"):
    """Wait for the other ways of the fork; those that end elsewhere are not waited for."""

    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


SECRET_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"  # noqa: S105 (how one is called)
"""How a secret may be called."""

PORTS = {"http": 80, "https": 443}
"""The port that a URL means that names none."""

SIGNING_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
"""What a call that is signed carries, as Standard Webhooks names it: its id, when it was made, the signatures."""

RUN = ("key", "started_at", "id")
"""What a run has for templates, beside what its steps save."""


class Webhook(Part, frozen=True, kw_only=True, tag="webhook"):
    """Call another service over HTTP."""

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^https?://[^\s/?#{}@\\]+([/?#].*)?$",
            description="Where to, beginning with http:// or https://; a Liquid template behind the host.",
            extra={"written": "a URL that begins with http:// or https:// and names its host as it is"},
        ),
    ]
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], msgspec.Meta(description="How.")] = "POST"
    headers: Annotated[
        dict[str, str], msgspec.Meta(description="Headers by name; their values are Liquid templates.")
    ] = msgspec.field(default_factory=dict)
    body: Annotated[
        str | dict[str, Any] | None,
        msgspec.Meta(
            description="What is sent: a Liquid template, or an object that is sent as JSON, with one in each text."
        ),
    ] = None
    sign: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^({SECRET_NAME})?$",
            description="The name of the secret that the call is signed with, as Standard Webhooks has it.",
            extra={"written": "the name of a secret: letters, digits, _ and -, beginning with a letter"},
        ),
    ] = ""
    timeout: Annotated[Duration, msgspec.Meta(description="How long one try may take; at most 1m.")] = "10s"
    retries: Annotated[int, msgspec.Meta(ge=0, le=20, description="How often it is tried again.")] = 3
    save: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([a-z][a-z0-9_]{0,63})?$",
            description="Under which name the run keeps the answer: `status` and `body`, or `error`.",
            extra={"written": "1 to 64 of lower case letters, digits and _, beginning with a letter"},
        ),
    ] = ""
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None
    failed: Annotated[
        StepName | None, msgspec.Meta(description="The step that follows when no try succeeded; else `next`.")
    ] = None


class Update(Part, frozen=True, kw_only=True, tag="update"):
    """Set attributes of the contact."""

    set: Annotated[
        dict[str, Value], msgspec.Meta(min_length=1, description="Attributes, each with the value it is given.")
    ]
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Enlist(Part, frozen=True, kw_only=True, tag="list"):
    """Put the contact on lists, or take it off."""

    add: Annotated[list[Name], msgspec.Meta(description="The lists it is put on.")] = msgspec.field(
        default_factory=list
    )
    remove: Annotated[list[Name], msgspec.Meta(description="The lists it is taken off.")] = msgspec.field(
        default_factory=list
    )
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Record(Part, frozen=True, kw_only=True, tag="record"):
    """Record an interaction of the contact: it counts, and moves and starts journeys, like one that arrives."""

    interaction: Annotated[
        str, msgspec.Meta(min_length=1, description="The name of the interaction; matches without regard to case.")
    ]
    attributes: Annotated[dict[str, Value], msgspec.Meta(description="Its attributes, each with its value.")] = (
        msgspec.field(default_factory=dict)
    )
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Start(Part, frozen=True, kw_only=True, tag="start"):
    """Let the contact enter another journey, one whose entry is of the type `journey`."""

    journey: Annotated[Name, msgspec.Meta(description="The journey.")]
    attributes: Annotated[
        dict[str, Value],
        msgspec.Meta(description="What the journey finds where others have the interaction that started them."),
    ] = msgspec.field(default_factory=dict)
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Award(Part, frozen=True, kw_only=True, tag="award"):
    """Give points to the contact, as a rule of the programme does. Who is no member gets none."""

    programme: Annotated[Name, msgspec.Meta(description="The programme.")]
    points: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000, description="How many points.")]
    qualifying: Annotated[bool, msgspec.Meta(description="Whether they count towards tiers.")] = True
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Enrol(Part, frozen=True, kw_only=True, tag="enrol"):
    """Make the contact a member of a programme, or let them return to it."""

    programme: Annotated[Name, msgspec.Meta(description="The programme.")]
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None


class Give(Part, frozen=True, kw_only=True, tag="give"):
    """Issue a reward to the contact."""

    reward: Annotated[Name, msgspec.Meta(description="The reward.")]
    next: Annotated[StepName | None, msgspec.Meta(description="The step that follows; none ends the token.")] = None
    unavailable: Annotated[
        StepName | None,
        msgspec.Meta(description="The step that follows when it is not issued, for one out of stock; else `next`."),
    ] = None


class End(Part, frozen=True, kw_only=True, tag="end"):
    """The token ends here."""


Step = (
    Send
    | Wait
    | WaitFor
    | Decision
    | Split
    | Experiment
    | Fork
    | Join
    | Webhook
    | Update
    | Enlist
    | Record
    | Start
    | Award
    | Enrol
    | Give
    | End
)


def following(step: Step) -> Iterator[tuple[str, str]]:
    """Yield `(JSON pointer within the step, name of the step it leads to)` for every arrow out of a step."""
    arrows: list[tuple[str, str | None]] = []
    match step:
        case Send():
            arrows = [("/next", step.next), ("/suppressed", step.suppressed)]
        case Wait() | Join() | Update() | Enlist() | Record() | Start() | Award() | Enrol():
            arrows = [("/next", step.next)]
        case WaitFor():
            arrows = [(f"/events/{index}/next", branch.next) for index, branch in enumerate(step.events)]
            if step.timeout is not None:
                arrows.append(("/timeout/next", step.timeout.next))
            arrows.append(("/next", step.next))
        case Decision():
            arrows = [("/then", step.then), ("/else", step.otherwise)]
        case Split():
            arrows = [(f"/branches/{index}/next", branch.next) for index, branch in enumerate(step.branches)]
            arrows.append(("/else", step.otherwise))
        case Experiment():
            arrows = [(f"/branches/{index}/next", branch.next) for index, branch in enumerate(step.branches)]
            if step.holdout is not None:
                arrows.append(("/holdout/next", step.holdout.next))
        case Give():
            arrows = [("/next", step.next), ("/unavailable", step.unavailable)]
        case Webhook():
            arrows = [("/next", step.next), ("/failed", step.failed)]
        case Fork():
            arrows = [(f"/branches/{index}", name) for index, name in enumerate(step.branches)]
        case End():
            pass
    yield from ((pointer, name) for pointer, name in arrows if name is not None)
