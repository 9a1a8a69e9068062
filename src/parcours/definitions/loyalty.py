"""What members get: programmes of points and tiers, rewards, and the rules that say what earns them.

Points are whole numbers. Numbers in a formula may have decimals: they are taken as they are written, not as doubles.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Condition, Duration, Name
from parcours.definitions.settings import Namespace

_INSTANT = "a date, such as 2026-12-31, or a date and time with an offset"

Instant = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2}))?$",
        description=_INSTANT,
        extra={"written": _INSTANT},
    ),
]
_HOLDING = "elapsed time, such as 14d, or none"

Holding = Annotated[
    str,
    msgspec.Meta(pattern=r"^(none|([0-9]{1,9}(ms|s|m|h|d|w))+)$", description=_HOLDING, extra={"written": _HOLDING}),
]
Points = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Number = int | float

MOST_LEVELS = 20
MOST_LIMITS = 5
LARGEST_BUDGET = 1_000_000_000_000


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a definition."""


# --- when points expire -----------------------------------------------------------------------------------------------


class _Expiry(_Part, frozen=True, kw_only=True, tag_field="type"):
    pass


class RollingExpiry(_Expiry, frozen=True, kw_only=True, tag="rolling"):
    """Each point expires so long after it was earned: at the same time of day, in the zone of the programme.

    A month from 31 January ends with 28 February.
    """

    months: Annotated[int, msgspec.Meta(ge=0, le=1_200, description="Calendar months.")] = 0
    days: Annotated[int, msgspec.Meta(ge=0, le=36_500, description="Calendar days, after the months.")] = 0
    until_end_of: Annotated[
        Literal["day", "month", "year"] | None, msgspec.Meta(description="Not before this has ended.")
    ] = None


class YearlyExpiry(_Expiry, frozen=True, kw_only=True, tag="yearly"):
    """Points expire at the end of the same day of every year."""

    month: Annotated[int, msgspec.Meta(ge=1, le=12, description="The month of that day.")] = 12
    day: Annotated[int, msgspec.Meta(ge=1, le=31, description="The day; in a shorter month its last.")] = 31
    years: Annotated[
        int, msgspec.Meta(ge=0, le=20, description="How many such days points outlive: 0 for none, the next is theirs.")
    ] = 0


class FixedExpiry(_Expiry, frozen=True, kw_only=True, tag="fixed"):
    """All points expire at one instant; what is earned later does not expire."""

    at: Annotated[Instant, msgspec.Meta(description="A date is its midnight in the zone of the programme.")]


class InactivityExpiry(_Expiry, frozen=True, kw_only=True, tag="inactivity"):
    """All that can be spent expires when a member has neither earned nor spent for so long."""

    months: Annotated[int, msgspec.Meta(ge=0, le=1_200, description="Calendar months.")] = 0
    days: Annotated[int, msgspec.Meta(ge=0, le=36_500, description="Calendar days, after the months.")] = 0


Expiry = RollingExpiry | YearlyExpiry | FixedExpiry | InactivityExpiry
LotExpiry = RollingExpiry | YearlyExpiry | FixedExpiry


# --- tiers ------------------------------------------------------------------------------------------------------------


class _Period(_Part, frozen=True, kw_only=True, tag_field="type"):
    pass


class RollingPeriod(_Period, frozen=True, kw_only=True, tag="rolling"):
    """The last so many days, up to now."""

    days: Annotated[int, msgspec.Meta(ge=1, le=36_500, description="How many, of 24 hours each.")] = 365


class CalendarPeriod(_Period, frozen=True, kw_only=True, tag="calendar"):
    """The month, quarter or year that is under way, in the zone of the programme."""

    unit: Annotated[Literal["month", "quarter", "year"], msgspec.Meta(description="Which one.")] = "year"


Period = RollingPeriod | CalendarPeriod


class Level(_Part, frozen=True, kw_only=True):
    """One tier."""

    name: Name
    title: Annotated[str, msgspec.Meta(description="What people see; the name when there is none.")] = ""
    at: Annotated[
        int, msgspec.Meta(ge=0, le=1_000_000_000, description="From how much on, in the period, members have it.")
    ]
    multiplier: Annotated[
        Number, msgspec.Meta(description="What members of it earn by a formula is multiplied by this.")
    ] = 1
    benefits: Annotated[list[str], msgspec.Meta(description="What members of it get, in words.")] = msgspec.field(
        default_factory=list
    )


class Tiers(_Part, frozen=True, kw_only=True):
    """The tiers of a programme. Who reaches one has it at once; whether it is kept is seen at the end of a period."""

    counts: Annotated[
        Literal["points", "spend"],
        msgspec.Meta(description="Qualifying points, or the money that formulas of qualifying rules look at."),
    ] = "points"
    period: Annotated[Period, msgspec.Meta(description="Over which time it is counted.")] = RollingPeriod()
    grace: Annotated[
        Duration | None,
        msgspec.Meta(description="Who would lose a tier keeps it so much longer, and may reach it in that time."),
    ] = None
    downgrade: Annotated[
        Literal["fit", "one"],
        msgspec.Meta(description="Whoever loses a tier falls to the one that fits, or by one."),
    ] = "fit"
    levels: Annotated[
        list[Level], msgspec.Meta(min_length=1, max_length=MOST_LEVELS, description="The tiers, lowest first.")
    ]


# --- a programme ------------------------------------------------------------------------------------------------------


class EnrolOn(_Part, frozen=True, kw_only=True):
    """An interaction with which people become members."""

    interaction: Annotated[str, msgspec.Meta(min_length=1, description="The interaction.")]
    where: Annotated[Condition | None, msgspec.Meta(description="What must be true as well.")] = None
    card: Annotated[str, msgspec.Meta(description="The attribute that holds the code of their card.")] = ""


class RefundOn(_Part, frozen=True, kw_only=True):
    """An interaction that takes an order back, as a whole or in part."""

    interaction: Annotated[str, msgspec.Meta(min_length=1, description="The interaction.")]
    reference: Annotated[str, msgspec.Meta(min_length=1, description="Its attribute that names the order.")]
    where: Annotated[Condition | None, msgspec.Meta(description="What must be true as well.")] = None
    whole: Annotated[
        bool,
        msgspec.Meta(
            description="It takes back the whole order. Otherwise what its attributes come to by the formula that "
            "earned the points: the same total, the same lines."
        ),
    ] = False


class TransferLimit(_Part, frozen=True, kw_only=True):
    """How much one member gives others, or receives of them, in a period of the calendar."""

    per: Annotated[
        Literal["day", "week", "month", "quarter", "year", "ever"], msgspec.Meta(description="In which period.")
    ]
    times: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None, msgspec.Meta(description="How often at most.")
    ] = None
    points: Annotated[
        Points | None, msgspec.Meta(description="How many points at most; a transfer of more is declined.")
    ] = None


class Transfer(_Part, frozen=True, kw_only=True):
    """Members may give points to each other."""

    minimum: Annotated[Points, msgspec.Meta(description="How many at least, at once.")] = 1
    limits: Annotated[
        list[TransferLimit], msgspec.Meta(max_length=MOST_LIMITS, description="What one member gives at most.")
    ] = msgspec.field(default_factory=list)
    receiving: Annotated[
        list[TransferLimit], msgspec.Meta(max_length=MOST_LIMITS, description="What one member receives at most.")
    ] = msgspec.field(default_factory=list)


class Worth(_Part, frozen=True, kw_only=True):
    """What a point is worth, for the statement."""

    amount: Annotated[float, msgspec.Meta(gt=0, description="In money: 0.01 is a cent a point.")]
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$", description="Such as EUR.")]


class ProgrammeDefinition(Archivable, frozen=True, kw_only=True, tag="programme"):
    """A programme of points and tiers that contacts are members of."""

    name: Name
    timezone: Annotated[str, msgspec.Meta(description="The zone of its days, months and years.")] = "UTC"
    card: Annotated[
        Namespace, msgspec.Meta(description="The namespace of identities in which members have their card.")
    ] = "card"
    enrol: Annotated[
        list[EnrolOn], msgspec.Meta(description="Interactions with which people become members, beside the API.")
    ] = msgspec.field(default_factory=list)
    holding: Annotated[
        Duration | None, msgspec.Meta(description="How long points are held before they can be spent.")
    ] = None
    expiry: Annotated[Expiry | None, msgspec.Meta(description="When points expire; never when there is none.")] = None
    tiers: Annotated[Tiers | None, msgspec.Meta(description="Its tiers.")] = None
    refunds: Annotated[list[RefundOn], msgspec.Meta(description="Interactions that take orders back.")] = msgspec.field(
        default_factory=list
    )
    refundable: Annotated[
        Duration,
        msgspec.Meta(description="How long it is remembered what an order earned, so that it can be reversed."),
    ] = "400d"
    transfer: Annotated[
        Transfer | None,
        msgspec.Meta(description="How members may give points to each other; they may not when there is none."),
    ] = None
    worth: Annotated[
        Worth | None, msgspec.Meta(description="What a point is worth: the statement tells what is owed in money.")
    ] = None
    on_leaving: Annotated[
        Literal["keep", "forfeit"],
        msgspec.Meta(description="What becomes of the points of those who leave: kept for their return, or lost."),
    ] = "keep"


# --- rules ------------------------------------------------------------------------------------------------------------


class Formula(_Part, frozen=True, kw_only=True):
    """So many points for each so much of an attribute: `{points: 2, per: 1, of: total}` is 2 per euro."""

    points: Annotated[Number, msgspec.Meta(description="How many points.")]
    per: Annotated[Number, msgspec.Meta(description="For each so much.")] = 1
    of: Annotated[str, msgspec.Meta(min_length=1, description="The attribute: of the interaction, or of each line.")]
    lines: Annotated[
        str, msgspec.Meta(description="The attribute with the lines of an order: a list of objects such as `products`.")
    ] = ""
    times: Annotated[
        str, msgspec.Meta(description="An attribute of a line that its amount is multiplied by, such as `quantity`.")
    ] = ""
    where: Annotated[
        Condition | None,
        msgspec.Meta(description="Which lines count. `interaction` looks at the attributes of a line here."),
    ] = None
    rounding: Annotated[
        Literal["down", "up", "half_up", "half_even"], msgspec.Meta(description="How points are made whole.")
    ] = "down"
    round_each: Annotated[
        Literal["order", "line"], msgspec.Meta(description="Whether the sum is rounded, or every line.")
    ] = "order"
    by_tier: Annotated[
        dict[Name, Number],
        msgspec.Meta(description="Multipliers by tier, in place of those that the tiers have themselves."),
    ] = msgspec.field(default_factory=dict)
    at_most: Annotated[Points | None, msgspec.Meta(description="The most that one interaction earns.")] = None


class Limit(_Part, frozen=True, kw_only=True):
    """How much a rule gives one member in a period of the calendar, by when the interactions occurred."""

    per: Annotated[
        Literal["day", "week", "month", "quarter", "year", "ever"], msgspec.Meta(description="In which period.")
    ]
    times: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None, msgspec.Meta(description="How often at most.")
    ] = None
    points: Annotated[
        Points | None, msgspec.Meta(description="How many points at most; of more, what is left is given.")
    ] = None


class Budget(_Part, frozen=True, kw_only=True):
    """How much a rule gives all members together in a period of the calendar, by when the interactions occurred."""

    per: Annotated[
        Literal["day", "week", "month", "quarter", "year", "ever"],
        msgspec.Meta(description="In which period, in the zone of the programme."),
    ] = "ever"
    times: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=LARGEST_BUDGET)] | None,
        msgspec.Meta(description="How often at most."),
    ] = None
    points: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=LARGEST_BUDGET)] | None,
        msgspec.Meta(description="How many points at most."),
    ] = None
    partial: Annotated[
        bool,
        msgspec.Meta(
            description="Of more points than are left, what is left is given. Otherwise nothing of them is, and who "
            "earns less may still get it."
        ),
    ] = False


class RuleRecord(_Part, frozen=True, kw_only=True):
    """An interaction that is recorded, for journeys and other rules to see."""

    interaction: Annotated[str, msgspec.Meta(min_length=1, description="Its name.")]
    attributes: Annotated[dict[str, str | int | float | bool], msgspec.Meta(description="Its attributes.")] = (
        msgspec.field(default_factory=dict)
    )


class RuleDefinition(Archivable, frozen=True, kw_only=True, tag="rule"):
    """What earns points, a tier or an event. Rules look at when an interaction occurred, however late it came.

    A rule is not retroactive: what occurred before it was live earns nothing by it.
    """

    name: Name
    programme: Annotated[Name, msgspec.Meta(description="The programme whose members it is for.")]
    state: Annotated[Literal["draft", "live"], msgspec.Meta(description="A draft is kept and gives nothing.")] = "live"
    on: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1)]],
        msgspec.Meta(min_length=1, description="The interactions it looks at; any of them."),
    ]
    where: Annotated[
        Condition | None,
        msgspec.Meta(description="What must be true as well: of the interaction, of the contact, of its history."),
    ] = None
    every: Annotated[
        int, msgspec.Meta(ge=1, le=1_000_000, description="Only every so-manieth time, counted from when it is live.")
    ] = 1
    points: Annotated[Points | Formula | None, msgspec.Meta(description="What it earns: a number, or a formula.")] = (
        None
    )
    multiply: Annotated[
        Number | None,
        msgspec.Meta(description="What other rules of the programme earn by a formula with it, so many times."),
    ] = None
    tier: Annotated[Name | None, msgspec.Meta(description="The tier it lifts members to, who are not higher.")] = None
    record: Annotated[RuleRecord | None, msgspec.Meta(description="An interaction it records.")] = None
    reward: Annotated[Name | None, msgspec.Meta(description="The reward it issues.")] = None
    starts: Annotated[Instant | None, msgspec.Meta(description="Not for what occurred before.")] = None
    ends: Annotated[Instant | None, msgspec.Meta(description="Not for what occurred then or later.")] = None
    tiers: Annotated[list[Name], msgspec.Meta(description="Only for members of these tiers.")] = msgspec.field(
        default_factory=list
    )
    limits: Annotated[
        list[Limit], msgspec.Meta(max_length=MOST_LIMITS, description="What one member gets at most.")
    ] = msgspec.field(default_factory=list)
    budget: Annotated[
        list[Budget], msgspec.Meta(max_length=MOST_LIMITS, description="What all members together get at most.")
    ] = msgspec.field(default_factory=list)
    priority: Annotated[
        int, msgspec.Meta(ge=-1_000_000, le=1_000_000, description="Rules of a higher priority are looked at first.")
    ] = 0
    exclusive: Annotated[
        bool, msgspec.Meta(description="It only gives when no rule before it did, and none after it does.")
    ] = False
    qualifying: Annotated[bool, msgspec.Meta(description="Whether what it earns counts towards tiers.")] = True
    holding: Annotated[
        Holding | None,
        msgspec.Meta(description="How long its points are held, in place of what the programme says."),
    ] = None
    expiry: Annotated[
        LotExpiry | None, msgspec.Meta(description="When its points expire, in place of what the programme says.")
    ] = None
    hold_if: Annotated[
        Condition | None,
        msgspec.Meta(description="When what it gives is put aside until somebody approves or refuses it."),
    ] = None
    reference: Annotated[
        str, msgspec.Meta(description="The attribute that names the order, so that a refund reverses what it earned.")
    ] = ""


# --- rewards ----------------------------------------------------------------------------------------------------------


class _Codes(_Part, frozen=True, kw_only=True, tag_field="type"):
    pass


class GeneratedCodes(_Codes, frozen=True, kw_only=True, tag="generated"):
    """Codes nobody can guess are made as they are needed, of letters and digits that are not mistaken for others."""

    prefix: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Z0-9-]{0,16}$", description="How they begin: upper case letters, digits, -.")
    ] = ""
    length: Annotated[int, msgspec.Meta(ge=8, le=32, description="How many letters and digits follow.")] = 10


class PoolCodes(_Codes, frozen=True, kw_only=True, tag="pool"):
    """Codes that somebody else made and that are imported."""


Codes = GeneratedCodes | PoolCodes


class RewardDefinition(Archivable, frozen=True, kw_only=True, tag="reward"):
    """Something members get as a coupon: so many percent off, so much money off, or a gift.

    A coupon keeps the terms that it was issued with.
    """

    name: Name
    programme: Annotated[
        Name | None, msgspec.Meta(description="The programme whose members it is for; without one, it is for anybody.")
    ] = None
    percent: Annotated[Number | None, msgspec.Meta(description="So many percent off, of more than 0 to 100.")] = None
    value: Annotated[Number | None, msgspec.Meta(description="So much money off, in `currency`.")] = None
    currency: Annotated[str, msgspec.Meta(pattern="^([A-Z]{3})?$", description="Such as EUR.")] = ""
    gift: Annotated[str, msgspec.Meta(description="What is given, in words.")] = ""
    minimum: Annotated[Number, msgspec.Meta(description="The least that a basket comes to.")] = 0
    valid_for: Annotated[Duration | None, msgspec.Meta(description="How long a coupon is valid from its issue.")] = None
    until: Annotated[
        Instant | None,
        msgspec.Meta(description="Nothing is valid from then on; a date is its midnight in the zone of the programme."),
    ] = None
    stock: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None,
        msgspec.Meta(description="How many are issued in all; any number without."),
    ] = None
    codes: Annotated[Codes, msgspec.Meta(description="Where its codes come from.")] = GeneratedCodes()
    personal: Annotated[bool, msgspec.Meta(description="Only whoever it was issued to can use a coupon.")] = True
    points: Annotated[Points | None, msgspec.Meta(description="What it costs who claims it with points.")] = None
    limit: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None,
        msgspec.Meta(description="How many one contact gets at most, ever."),
    ] = None
    reopen_at_refund: Annotated[
        bool,
        msgspec.Meta(
            description="When the whole order comes back with which a coupon was redeemed, it can be redeemed again, "
            "if it is still valid then."
        ),
    ] = False
    reserved_for: Annotated[
        Duration, msgspec.Meta(description="How long a till that reserves a coupon keeps it from others.")
    ] = "30m"
