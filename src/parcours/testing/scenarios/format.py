"""What can be written in a scenario file. docs/scenarios.md says it with examples; its tables are made from here.

A file:

| field         | what                                                                              |
|---------------|-----------------------------------------------------------------------------------|
| `definitions` | what is in force: files and folders relative to this file, or definitions in place |
| `contacts`    | who is known when it begins                                                        |
| `scenarios`   | name to steps, or to an object of steps with definitions and contacts of its own   |

A step moves the clock (`at`, `after`), lets at most one thing happen, and looks at what became of it (`expect`), in
this order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from parcours.definitions.common import Part

Meta = msgspec.Meta

Time = Annotated[
    str,
    Meta(
        description="An instant: with an offset (2026-03-04T09:00:00Z), in the zone of the scenario (2026-03-04 09:00, "
        "2026-03-04), or the next such time of day or weekday (09:00, wed 09:00)."
    ),
]
Length = Annotated[str, Meta(description="A length of time: 24h, 1d12h; 1d-1s is a second less than a day.")]
Names = str | list[str]
NEVER = "never"
Reasons = bool | str | list[str] | dict[str, str]

START = "2026-03-02T09:00:00Z"
"""Where the clock stands at first unless a scenario says otherwise: a Monday."""


class Known(Part, frozen=True, kw_only=True):
    """A contact that is known when a scenario begins."""

    identities: Annotated[
        dict[str, str], Meta(description="Namespace to value; `{user_id: NAME}` when there is none.")
    ] = msgspec.field(default_factory=dict)
    attributes: Annotated[dict[str, Any], Meta(description="What is known of the contact.")] = msgspec.field(
        default_factory=dict
    )
    consent: Annotated[
        dict[str, Any],
        Meta(description="Channel to `opted_in` or `opted_out`, or to an object of topics with these."),
    ] = msgspec.field(default_factory=dict)
    lists: Annotated[Names, Meta(description="The lists the contact is on.")] = msgspec.field(default_factory=list)
    reachable: Annotated[
        Names,
        Meta(description="Channels for which the contact has a made-up address and has opted in; `all` for every one."),
    ] = msgspec.field(default_factory=list)


class Sending(Part, frozen=True, kw_only=True):
    """A message that was sent."""

    message: Annotated[str, Meta(description="Its name.")]
    at: Annotated[
        str | None, Meta(description="When it was sent: a time, or `any` since the last look; else this very instant.")
    ] = None
    channel: Annotated[str | None, Meta(description="Through which channel.")] = None
    to: Annotated[str | None, Meta(description="To which address.")] = None
    text: Annotated[
        str | list[str] | dict[str, str],
        Meta(description="What is in its text: anywhere, or by field of its content."),
    ] = msgspec.field(default_factory=list)
    no_text: Annotated[Names, Meta(description="What is nowhere in its text.")] = msgspec.field(default_factory=list)
    times: Annotated[int, Meta(ge=1, description="How often.")] = 1


class Entry(Part, frozen=True, kw_only=True):
    """An entry of the trace, by as much of it as is written."""

    what: Annotated[str, Meta(description="What it tells: entered, branched, late, not_counted …")]
    journey: Annotated[str | None, Meta(description="The journey.")] = None
    step: Annotated[str | None, Meta(description="The step.")] = None
    reason: Annotated[str | None, Meta(description="The reason, or the way that was taken.")] = None
    version: Annotated[int | None, Meta(description="The version of the journey.")] = None
    detail: Annotated[dict[str, Any], Meta(description="Values seen; those written must be there.")] = msgspec.field(
        default_factory=dict
    )
    times: Annotated[int, Meta(ge=0, description="How often; 0 for never.")] = 1


class Recorded(Part, frozen=True, kw_only=True):
    """An interaction that a step recorded."""

    interaction: Annotated[str, Meta(description="Its name.")]
    attributes: Annotated[dict[str, Any], Meta(description="Its attributes; those written must be there.")] = (
        msgspec.field(default_factory=dict)
    )


class Posted(Part, frozen=True, kw_only=True):
    """An entry of the ledger of points."""

    kind: Annotated[str, Meta(description="earned, pending, spent, expired, reversed, adjusted …")]
    amount: Annotated[int | None, Meta(description="What it adds to what can be spent.")] = None
    held: Annotated[int | None, Meta(description="What it adds to what is held.")] = None
    rule: Annotated[str | None, Meta(description="The rule that gave them.")] = None
    reference: Annotated[str | None, Meta(description="The order it is about.")] = None


class Member(Part, frozen=True, kw_only=True):
    """Something that is asked of a member of a loyalty programme."""

    action: Annotated[
        Literal[
            "enrol",
            "leave",
            "spend",
            "transfer",
            "adjust",
            "refund",
            "review",
            "issue",
            "reserve",
            "redeem",
            "release",
            "cancel",
            "reopen",
        ],
        Meta(description="What is asked. `reserve` and what comes after it is asked of the latest coupon of `reward`."),
    ]
    programme: Annotated[str, Meta(description="The programme; the only one when there is none.")] = ""
    points: Annotated[int, Meta(description="To spend, to give, or to adjust by.")] = 0
    to: Annotated[str, Meta(description="With `transfer`: the contact of the file that is to have them.")] = ""
    reference: Annotated[str, Meta(description="The order they are spent for, or that is taken back.")] = ""
    whole: Annotated[bool, Meta(description="With `refund`: the whole order, not what `attributes` say.")] = True
    card: Annotated[str, Meta(description="With `enrol`: the code of the card.")] = ""
    qualifying: Annotated[bool, Meta(description="With `adjust`: they count towards tiers.")] = False
    approved: Annotated[bool, Meta(description="With `review`: approved, rather than refused; all in review.")] = False
    reason: Annotated[str, Meta(description="With `adjust` and `review`: why.")] = "a scenario"
    author: Annotated[str, Meta(description="With `adjust` and `review`: who.")] = "a scenario"
    reward: Annotated[str, Meta(description="The reward that is issued, or whose coupon it is.")] = ""
    pay: Annotated[bool, Meta(description="With `issue`: the contact pays with points.")] = False
    basket: Annotated[float | None, Meta(description="What the basket comes to.")] = None
    presented: Annotated[
        str | None, Meta(description="Who presents the coupon, empty for nobody; the contact when it is not said.")
    ] = None


class Calling(Part, frozen=True, kw_only=True):
    """A call of a webhook."""

    step: Annotated[str, Meta(description="The step that calls.")]
    url: Annotated[str | None, Meta(description="Where to.")] = None
    method: Annotated[str | None, Meta(description="How.")] = None
    body: Annotated[Any, Meta(description="What is sent: a text, or what its JSON says.")] = None
    headers: Annotated[dict[str, str], Meta(description="Headers; those written must be there.")] = msgspec.field(
        default_factory=dict
    )


class Moving(Part, frozen=True, kw_only=True):
    """Runs of one version of a journey are moved to another."""

    journey: Annotated[str, Meta(description="The journey.")]
    before: Annotated[int, Meta(description="The version they are on.")] = msgspec.field(name="from")
    after: Annotated[int, Meta(description="The version they come to.")] = msgspec.field(name="to")
    steps: Annotated[
        dict[str, str], Meta(description="Step of the one to step of the other; others keep their name.")
    ] = msgspec.field(default_factory=dict)


class Expect(Part, frozen=True, kw_only=True):
    """What must be true now of one contact. Of what was decided, that of this very instant counts, unless `at` is set."""

    who: Annotated[str, Meta(description="The contact; that of the step when there is none.")] = ""
    journey: Annotated[str, Meta(description="Look at runs and decisions of this journey only.")] = ""
    key: Annotated[str, Meta(description="Look at the run of this key only.")] = ""
    at: Annotated[
        str, Meta(description="When it was decided: a time, or `any` since the last look; else this very instant.")
    ] = ""
    sent: Annotated[
        str | list[str | Sending] | Sending | None, Meta(description="Messages that were sent: names, or objects.")
    ] = None
    not_sent: Annotated[
        bool | Names, Meta(description="Messages that were never sent so far; `true` for any message.")
    ] = False
    suppressed: Annotated[
        Reasons | None, Meta(description="A message was not sent: the reason, or message to reason.")
    ] = None
    held: Annotated[
        Reasons | None,
        Meta(description="Messages that quiet hours hold: names, or message to when it leaves; `false` for none."),
    ] = None
    called: Annotated[
        str | list[str | Calling] | Calling | None, Meta(description="Webhooks that were called: steps, or objects.")
    ] = None
    nothing_else: Annotated[
        bool, Meta(description="Since the last look no message was sent, suppressed or held but those written here.")
    ] = False
    nothing: Annotated[bool, Meta(description="Since the last look nothing at all was decided for the contact.")] = (
        False
    )
    entered: Annotated[
        bool | int | Names | None,
        Meta(description="A journey was entered: `true`, its name, or how often; `false` for not since the last look."),
    ] = None
    refused: Annotated[
        Reasons | None,
        Meta(
            description="An entry was refused: the reason, or journey to reason; `false` for not since the last look."
        ),
    ] = None
    ended: Annotated[
        Reasons | None,
        Meta(description="A run ended: `true`, the reason, or journey to reason; `false` for not since the last look."),
    ] = None
    goal: Annotated[Names | None, Meta(description="Goals that were reached, by name.")] = None
    way: Annotated[
        Names | None, Meta(description="The ways by which tokens left steps, in order: waited, timeout, then …")
    ] = None
    path: Annotated[
        list[str] | None, Meta(description="The steps tokens came to since the last look, in order, all of them.")
    ] = None
    step: Annotated[Names | None, Meta(description="The steps at which tokens stand now, all of them.")] = None
    waiting_until: Annotated[
        str | None,
        Meta(
            description="When a token that stands now goes on by itself: a time, or a length from now; `never` when only "
            "something that happens lets it."
        ),
    ] = None
    runs: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="How many runs are under way.")] = None
    attributes: Annotated[
        dict[str, Any], Meta(description="Attributes of the contact; null for one that is not there.")
    ] = msgspec.field(default_factory=dict)
    consent: Annotated[
        dict[str, Any], Meta(description="Channel, or channel and topic, to `opted_in`, `opted_out` or `unknown`.")
    ] = msgspec.field(default_factory=dict)
    in_segment: Annotated[Names, Meta(description="Segments the contact is a member of.")] = msgspec.field(
        default_factory=list
    )
    not_in_segment: Annotated[Names, Meta(description="Segments the contact is no member of.")] = msgspec.field(
        default_factory=list
    )
    on_list: Annotated[Names, Meta(description="Lists the contact is on.")] = msgspec.field(default_factory=list)
    not_on_list: Annotated[Names, Meta(description="Lists the contact is not on.")] = msgspec.field(
        default_factory=list
    )
    points: Annotated[
        int | dict[str, int] | None, Meta(description="Points that can be spent; by programme when there are several.")
    ] = None
    held_points: Annotated[
        int | dict[str, int] | None, Meta(description="Points that are held; by programme when there are several.")
    ] = None
    tier: Annotated[
        str | dict[str, str] | None, Meta(description="The tier, empty for none; by programme when there are several.")
    ] = None
    coupons: Annotated[
        dict[str, str] | None, Meta(description="Reward to the state of its latest coupon, empty for none.")
    ] = None
    declined: Annotated[Names | None, Meta(description="What was asked of a member was declined: the reason.")] = None
    ledger: Annotated[
        list[Posted] | None, Meta(description="The entries of the ledger of this instant, in order, all of them.")
    ] = None
    recorded: Annotated[
        str | list[str | Recorded] | Recorded | None,
        Meta(description="Interactions that steps recorded at this instant."),
    ] = None
    trace: Annotated[Entry | list[Entry] | None, Meta(description="Entries of the trace of this instant.")] = None


class Step(Part, frozen=True, kw_only=True):
    """One step: the clock moves, something happens, and what became of it is looked at."""

    note: Annotated[str, Meta(description="What this step is for; shown when it fails.")] = ""
    at: Annotated[Time | None, Meta(description="Move the clock to this instant.")] = None
    after: Annotated[Length | None, Meta(description="Move the clock on by this length of time.")] = None
    who: Annotated[str, Meta(description="Whose it is; needed when there are several contacts.")] = ""
    track: Annotated[str | None, Meta(description="The contact does something: the name of an interaction.")] = None
    attributes: Annotated[
        dict[str, Any], Meta(description="Attributes of the interaction, the reaction or the entry.")
    ] = msgspec.field(default_factory=dict)
    identify: Annotated[
        dict[str, Any] | None, Meta(description="Something becomes known of the contact: attributes; null removes one.")
    ] = None
    consent: Annotated[dict[str, Any] | None, Meta(description="The contact gives or withdraws consent.")] = None
    lists: Annotated[
        dict[str, bool] | None, Meta(description="The contact is put on lists (true) or taken off (false).")
    ] = None
    merge: Annotated[
        str | None,
        Meta(description="Another contact is found to be this one, as `identify` with both identities does."),
    ] = None
    react: Annotated[
        Literal["delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"] | None,
        Meta(description="The contact reacts to a message."),
    ] = None
    to: Annotated[
        str, Meta(description="Which message: its name; which call: its step. The last one when there is none.")
    ] = ""
    nth: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Which of that name, from 1; the last one else.")
    ] = None
    answer: Annotated[
        dict[str, Any] | None,
        Meta(
            description="A webhook answers the call of the step `to`: `status` and `body`, or an `error` when no try "
            "succeeded."
        ),
    ] = None
    enter: Annotated[
        str | None, Meta(description="The contact is to enter a journey, as over the API; with `attributes`.")
    ] = None
    loyalty: Annotated[Member | None, Meta(description="Something is asked of the contact as a member.")] = None
    erase: Annotated[bool, Meta(description="Everything about the contact is erased.")] = False
    items: Annotated[
        dict[str, dict[str, dict[str, Any] | None]] | None,
        Meta(description="Catalogue to item id to attributes; null takes the item out."),
    ] = None
    publish: Annotated[
        list[str | dict[str, Any]] | None,
        Meta(description="Definitions are published: files and folders, or definitions in place."),
    ] = None
    change: Annotated[
        dict[str, dict[str, Any]] | None,
        Meta(
            description="Definitions in force are changed: the name of a journey, or KIND/NAME, to the fields that change; null removes one."
        ),
    ] = None
    move: Annotated[Moving | None, Meta(description="Runs are moved to another version of their journey.")] = None
    id: Annotated[str, Meta(description="The message id; the same one is accepted once.")] = ""
    source: Annotated[str, Meta(description="Which sender it comes from.")] = "scenario"
    ago: Annotated[Length | None, Meta(description="It occurred so long ago, and arrives only now.")] = None
    occurred_at: Annotated[Time | None, Meta(description="When it occurred, if not now.")] = None
    backfill: Annotated[bool, Meta(description="It is history: it counts, and triggers nothing.")] = False
    outcome: Annotated[
        str,
        Meta(description="What becomes of the input if it is not accepted: `duplicate`, or the code of the problem."),
    ] = ""
    expect: Annotated[
        Expect | list[Expect] | None, Meta(description="What must be true now; a list for several contacts.")
    ] = None


class Body(Part, frozen=True, kw_only=True):
    """A scenario with definitions or contacts of its own."""

    description: Annotated[str, Meta(description="What it shows.")] = ""
    definitions: Annotated[
        list[str | dict[str, Any]], Meta(description="Further definitions; they replace those of the same name.")
    ] = msgspec.field(default_factory=list)
    change: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="The name of a journey, or KIND/NAME, to fields that are different here; null removes one."),
    ] = msgspec.field(default_factory=dict)
    contacts: Annotated[
        dict[str, Known | None], Meta(description="Further contacts; null for one that is not known at first.")
    ] = msgspec.field(default_factory=dict)
    items: Annotated[dict[str, dict[str, dict[str, Any]]], Meta(description="Catalogue to item id to attributes.")] = (
        msgspec.field(default_factory=dict)
    )
    zone: Annotated[str, Meta(description="The zone of times without an offset; that of the file else.")] = ""
    start: Annotated[Time | None, Meta(description="Where the clock stands at first; as in the file else.")] = None
    steps: Annotated[list[Step], Meta(min_length=1, description="What happens, in order.")]


class ScenarioFile(Part, frozen=True, kw_only=True):
    """A file of scenarios."""

    title: Annotated[str, Meta(description="What people see.")] = ""
    description: Annotated[str, Meta(description="What the scenarios are about.")] = ""
    definitions: Annotated[
        list[str | dict[str, Any]],
        Meta(description="What is in force: files and folders relative to this file, or definitions in place."),
    ] = msgspec.field(default_factory=list)
    contacts: Annotated[dict[str, Known | None], Meta(description="Who is known when a scenario begins, by name.")] = (
        msgspec.field(default_factory=dict)
    )
    items: Annotated[dict[str, dict[str, dict[str, Any]]], Meta(description="Catalogue to item id to attributes.")] = (
        msgspec.field(default_factory=dict)
    )
    zone: Annotated[str, Meta(description="The zone of times without an offset: an IANA name.")] = "UTC"
    start: Annotated[Time, Meta(description="Where the clock stands at first; a Monday morning else.")] = START
    scenarios: Annotated[
        dict[str, Annotated[list[Step], Meta(min_length=1)] | Body],
        Meta(min_length=1, description="Name to steps, or to an object of steps with what is its own."),
    ]
