"""Programmes and rules as a plan keeps them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from fractions import Fraction
from typing import Any

import msgspec

from parcours.core.compiled import Question
from parcours.core.loyalty.formula import CompiledFormula

Moment = Callable[[int], int]
"""An instant to another: from when points were earned to when they expire, 0 for never."""


class CompiledLevel(msgspec.Struct, frozen=True):
    """One tier."""

    name: str
    at: int
    """From how much on: points, or millionths of money."""
    multiplier: Fraction


class CompiledTiers(msgspec.Struct, frozen=True):
    """The tiers of a programme, lowest first."""

    levels: tuple[CompiledLevel, ...]
    ranks: dict[str, int]
    """Name to place; no tier is -1."""
    by_spend: bool
    span: int
    """The length of a rolling period, 0 for one of the calendar."""
    unit: str
    """The unit of the calendar, empty for a rolling period."""
    grace: int
    by_one: bool


class CompiledLimit(msgspec.Struct, frozen=True):
    """What a rule gives one member in a period at most, or one member gives others."""

    key: str
    """What it is counted under."""
    unit: str
    times: int
    """0 for any number."""
    points: int


class CompiledTransfer(msgspec.Struct, frozen=True):
    """That members may give points to each other, and how many."""

    minimum: int
    limits: tuple[CompiledLimit, ...]
    receiving: tuple[CompiledLimit, ...]


class CompiledProgramme(msgspec.Struct, frozen=True):
    """A programme."""

    name: str
    zone: tzinfo
    card: str
    holding: int
    expires: Moment | None
    inactive: Moment | None
    """From when a member was last active to when all expires."""
    refundable: int
    forfeit: bool
    tiers: CompiledTiers | None
    transfer: CompiledTransfer | None = None


class CompiledBudget(msgspec.Struct, frozen=True):
    """What a rule gives all members together in a period at most."""

    key: str
    """What it is counted under."""
    unit: str
    times: int
    """0 for any number."""
    points: int
    partial: bool
    """Whether what is left is given of more points than that."""


class CompiledRule(msgspec.Struct, frozen=True):
    """A rule that is live."""

    name: str
    programme: CompiledProgramme
    where: Question | None
    start: int
    end: int
    every: int
    fixed: int
    formula: CompiledFormula | None
    multiply: Fraction | None
    tier: str
    record: tuple[str, dict[str, Any]] | None
    tiers: frozenset[str]
    limits: tuple[CompiledLimit, ...]
    exclusive: bool
    qualifying: bool
    holding: int
    expires: Moment | None
    reference: str
    hold_if: Question | None = None
    """When its points must be approved first."""
    reward: str = ""
    budget: tuple[CompiledBudget, ...] = ()
    draws: str = ""
    """The keys of these, parted by blanks."""


class CompiledReward(msgspec.Struct, frozen=True):
    """A reward that can be issued."""

    name: str
    programme: str | None
    percent: float
    value: float
    currency: str
    gift: str
    minimum: float
    valid_for: int
    """0 for ever."""
    until: int
    """0 for ever."""
    stock: int
    """0 for any number."""
    pool: bool
    prefix: str
    length: int
    personal: bool
    points: int
    limit: int
    reserved_for: int
    reopens: bool = False
    """Whether a coupon can be redeemed again when its order comes back."""


class Enrolment(msgspec.Struct, frozen=True):
    """An interaction with which people become members."""

    programme: CompiledProgramme
    where: Question | None
    card: str


class TakesBack(msgspec.Struct, frozen=True):
    """An interaction that takes an order back."""

    programme: CompiledProgramme
    where: Question | None
    reference: str
    whole: bool


class LoyaltyRoute(msgspec.Struct):
    """What one kind of interaction can touch."""

    enrolments: list[Enrolment] = msgspec.field(default_factory=list)
    refunds: list[TakesBack] = msgspec.field(default_factory=list)
    rules: list[CompiledRule] = msgspec.field(default_factory=list)
    """In the order in which they are looked at."""
    budgeted: list[CompiledRule] = msgspec.field(default_factory=list)
    """Those of them that have a budget."""


class Loyalty(msgspec.Struct):
    """Everything of a plan that is about loyalty."""

    programmes: dict[str, CompiledProgramme] = msgspec.field(default_factory=dict)
    rules: dict[str, CompiledRule] = msgspec.field(default_factory=dict)
    """Those that are live, by name."""
    rewards: dict[str, CompiledReward] = msgspec.field(default_factory=dict)
    """Those that can be issued, by name."""
    formulas: dict[str, dict[str, CompiledFormula]] = msgspec.field(default_factory=dict)
    """Programme to its rules that name an order, live or not, with the formula by which a refund is read."""
    routes: dict[str, LoyaltyRoute] = msgspec.field(default_factory=dict)
    """By the folded name of the interaction."""
    live: dict[str, int] = msgspec.field(default_factory=dict)
    """Rule to the instant from which it has been live."""
    revision: int = 0
    """The revision of the plan from which the programmes are as they are."""
    revised_at: int = 0
    """The instant of that."""
    tells: bool = False
    """Whether the trace also says why rules were not met: for simulations, since it is much."""
    questions: list[Question] = msgspec.field(default_factory=list)
    """Every condition, for what it needs to remember."""
