"""What may come in: an arrival from any door becomes an input, or is refused with what is wrong and where.

| question                                              | refused with              |
|-------------------------------------------------------|---------------------------|
| did it occur before 1970?                             | `absurd_time`             |
| did it occur more than 24 h in the future?            | `occurred_in_future`      |
| are its attributes nested deeper than `DEEPEST`?      | `too_deep`                |
| strict: has somebody defined the interaction?         | `unknown_interaction`     |
| is there the programme something is asked of?         | `unknown_programme`       |
| is there the list somebody is put on?                 | `unknown_list`            |
| does a reaction name a message and a kind we know?    | `unknown_message`, `unknown_reaction` |
| do declared attributes have their types?              | `wrong_type`              |
| may somebody be told to enter the journey?            | `unknown_journey`, `no_api_entry`, `not_live` |
| are required attributes there?                        | `missing_attribute`       |
| strict: are all attributes declared?                  | `undeclared_attribute`    |
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec

from parcours.conditions.names import match_name
from parcours.conditions.parse import escape
from parcours.core.calls import ANSWERS, FAILED
from parcours.core.checks import Checks, nesting_problem
from parcours.core.compiled import CompiledJourney
from parcours.core.inputs import (
    Adjust,
    Award,
    Enrol,
    Enter,
    Failure,
    Grant,
    Input,
    Interaction,
    Leave,
    Reaction,
    Refund,
    Review,
    Spend,
    Transfer,
    Update,
    UseCoupon,
)
from parcours.core.loyalty.coupons import USES
from parcours.core.member import Lot
from parcours.core.plan import OPEN, Plan
from parcours.definitions.entries import ApiEntry
from parcours.errors import Problem, did_you_mean

DAY = 86_400_000

LONGEST_ITEM_ID = 200

MOST_POINTS = 1_000_000_000
"""The most points that are spent or adjusted at once."""

REACTIONS = frozenset({"delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"})


class Happened(msgspec.Struct):
    """Somebody did something."""

    name: str
    attributes: dict[str, Any]


class Learned(msgspec.Struct):
    """Something became known of somebody."""

    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    addresses: dict[str, str | None] = msgspec.field(default_factory=dict)
    consent: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    lists: dict[str, bool] = msgspec.field(default_factory=dict)
    """List to whether the contact is put on it (true) or taken off."""
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    """Who recorded the consent (`by`) and in what way (`how`)."""
    same: bool = False
    """The sender says that all the identities are one person's, also where each was somebody known."""


class Reacted(msgspec.Struct):
    """Something became of a message."""

    reaction: str
    message: str
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    ours: bool = False
    """The outbox tells what became of a message or call; doors never say this."""
    why: str = ""
    """With `ours`: why it failed, as `inputs.Failure` has it."""


class Called(msgspec.Struct):
    """Somebody is to enter a journey."""

    journey: str
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)


class Asked(msgspec.Struct, kw_only=True):
    """Something is asked of a member of a programme."""

    action: str
    """`enrol`, `leave`, `spend`, `transfer`, `adjust`, `refund`, `review` or `award`; `issue` a reward; `reserve`, `redeem`,
    `release`, `cancel` or `reopen` a coupon."""
    programme: str = ""
    points: int = 0
    """To spend, to give, or to adjust by."""
    to: tuple[str, str] | None = None
    """With `transfer`: an identity of who is to have the points."""
    reference: str = ""
    """The order they are spent for, or that is taken back; the award that is reviewed, empty for all."""
    whole: bool = True
    """The whole order is taken back; otherwise what `attributes` say."""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    card: str = ""
    qualifying: bool = False
    reason: str = ""
    author: str = ""
    approved: bool = False
    """With `review`: whether they are approved, rather than refused."""
    lot: Lot | None = None
    """With `award`: what a rule would have given."""
    counted: int = 0
    """With `award`: how often a rule was met in the past, in place of an award."""
    rule: str = ""
    """With `adjust`: the rule that earned the points, after all."""
    reward: str = ""
    pay: bool = False
    """With `issue`: the contact pays with points."""
    code: str = ""
    """Of the coupon. Its identity is then the arrival's only one."""
    presented: str = ""
    """The contact that presents the coupon."""
    basket: float | None = None


class Arrival(msgspec.Struct):
    """One item as a door hands it over: who sent it, of whom it tells, and what."""

    source: str
    message_id: str
    identities: tuple[tuple[str, str], ...]
    """The strongest first. Empty only for a reaction, whose message tells the contact."""
    what: Happened | Learned | Reacted | Asked | Called
    occurred_at: int | None = None
    """The sender's time, corrected for the sender's clock; None means now."""
    backfill: bool = False
    """It is history: it is kept and counts, and triggers nothing at all."""
    known_only: bool = False
    """An interaction whose name is neither defined nor learned is refused, as in a file with a typing mistake."""
    key: bytes = b""
    """`core.ids.message_key` of source and message id, from who worked it out before; empty when nobody did."""


def admit(
    plan: Plan,
    arrival: Arrival,
    identities: list[tuple[str, str]],
    *,
    received_at: int,
    horizon: int,
    position: int,
    learned: Container[str] = (),
) -> Input | Problem:
    """Return the input an arrival becomes, or what is wrong with it.

    `identities` are those of the arrival's that are nobody's yet. `horizon` is the instant against which `occurred_at`
    is held to be in the future; both are milliseconds. `learned` are the folded names of interactions that nobody
    defined and that arrived before.
    """
    occurred_at = received_at if arrival.occurred_at is None else arrival.occurred_at
    if occurred_at > received_at:
        if occurred_at > max(horizon, received_at) + DAY:
            return Problem(
                code="occurred_in_future",
                message="the time is more than 24 hours in the future",
                pointer=_pointer_to_time(arrival),
                hint="check the sender's clock",
            )
        occurred_at = received_at
    if occurred_at < 0:
        return Problem(code="absurd_time", message="the time is before 1970", pointer=_pointer_to_time(arrival))
    what = arrival.what
    if (problem := nesting_problem(what.attributes)) is not None:
        return problem
    if isinstance(what, Asked):
        return _admit_asked(plan, arrival, what, identities, received_at, occurred_at, position)
    if isinstance(what, Happened):
        name = match_name(what.name)
        route = plan.routes.get(name)
        spelling = ""
        if route is not None and route.definition is not None:
            if route.checks is not None:
                problem = route.checks.problem(what.attributes)
                if problem is not None:
                    return problem
        else:
            strict = plan.workspace.settings.strict
            if strict or name not in learned:
                if strict or arrival.known_only:
                    return _unknown_interaction(plan, what.name)
                spelling = what.name.strip()
        return Interaction(
            position=position,
            received_at=received_at,
            occurred_at=occurred_at,
            name=name,
            attributes=what.attributes,
            source=arrival.source,
            message_id=arrival.message_id,
            identities=identities,
            backfill=arrival.backfill,
            spelling=spelling,
        )
    if isinstance(what, Learned):
        problem = _check_learned(plan, what)
        if problem is not None:
            return problem
        return Update(
            position=position,
            received_at=received_at,
            occurred_at=occurred_at,
            attributes=what.attributes,
            addresses=what.addresses,
            consent=what.consent,
            identities=identities,
            source=arrival.source,
            message_id=arrival.message_id,
            lists=what.lists,
            evidence=what.evidence,
            backfill=arrival.backfill,
        )
    tell = _call if isinstance(what, Called) else _react
    return tell(plan, arrival, identities, received_at, occurred_at, position)


def _pointer_to_time(arrival: Arrival) -> str:
    return "/occurred_at" if isinstance(arrival.what, Asked) else "/timestamp"


def _call(
    plan: Plan, arrival: Arrival, identities: list[tuple[str, str]], received_at: int, occurred_at: int, position: int
) -> Input | Problem:
    what = arrival.what
    assert isinstance(what, Called)  # noqa: S101 (told to the type checker)
    journey = _called(plan, what)
    if isinstance(journey, Problem):
        return journey
    return Enter(
        position=position,
        received_at=received_at,
        occurred_at=occurred_at,
        journey=journey.name,
        version=journey.version,
        source=arrival.source,
        message_id=arrival.message_id,
        attributes=what.attributes,
        identities=identities,
    )


def _react(
    _plan: Plan, arrival: Arrival, _identities: list[tuple[str, str]], received_at: int, occurred_at: int, position: int
) -> Input | Problem:
    what = arrival.what
    assert isinstance(what, Reacted)  # noqa: S101 (told to the type checker)
    if what.reaction not in REACTIONS and not (what.ours and what.reaction in ANSWERS):
        return Problem(code="unknown_reaction", message=f"unknown reaction {what.reaction!r}")
    return Reaction(
        position=position,
        received_at=received_at,
        occurred_at=occurred_at,
        reaction=what.reaction,
        message=what.message,
        attributes=what.attributes,
        source=arrival.source,
        message_id=arrival.message_id,
        failure=_failure(what),
    )


def _failure(what: Reacted) -> Failure | None:
    usual = _FAILURES.get(what.reaction)
    return Failure((what.ours and what.why) or usual) if usual is not None else None


_FAILURES = {"bounced": "bounced", FAILED: "refused"}
"""Reactions that tell of a failure, with why if nobody says more."""


def _admit_asked(
    plan: Plan,
    arrival: Arrival,
    what: Asked,
    identities: list[tuple[str, str]],
    received_at: int,
    occurred_at: int,
    position: int,
) -> Input | Problem:
    problem = _check_asked(plan, what)
    if problem is not None:
        return problem
    common: dict[str, Any] = {
        "position": position,
        "received_at": received_at,
        "occurred_at": occurred_at,
        "source": arrival.source,
        "message_id": arrival.message_id,
    }
    if what.action not in USES:
        common["identities"] = identities
    return input_of(what, common)


def input_of(what: Asked, common: dict[str, Any]) -> Input:
    """Return the input that something asked becomes, unchecked. `common` is what all inputs have; it may be changed."""
    if what.action in USES:
        common |= {"code": what.code, "presented": what.presented, "basket": what.basket, "order": what.reference}
        return UseCoupon(action=what.action, reason=what.reason, author=what.author, **common)
    if what.action == "issue":
        return Grant(reward=what.reward, pay=what.pay, by=what.author, reason=what.reason, **common)
    return _of_member(what, common | {"programme": what.programme})


def _of_member(what: Asked, common: dict[str, Any]) -> Input:
    match what.action:
        case "enrol":
            return Enrol(card=what.card, **common)
        case "leave":
            return Leave(reason=what.reason, **common)
        case "spend":
            common |= {"reference": what.reference, "reason": what.reason, "author": what.author}
            return Spend(points=what.points, **common)
        case "transfer":
            return Transfer(points=what.points, reason=what.reason, author=what.author, **common)
        case "adjust":
            common |= {"points": what.points, "qualifying": what.qualifying, "rule": what.rule}
            return Adjust(reason=what.reason, author=what.author, **common)
        case "award" if what.lot is not None:
            return Award(lot=what.lot, author=what.author, counted=what.counted, **common)
        case "review":
            common |= {"lot": what.reference, "approved": what.approved}
            return Review(reason=what.reason, author=what.author, **common)
        case _:
            return Refund(reference=what.reference, whole=what.whole, attributes=what.attributes, **common)


ACTIONS = ("enrol", "leave", "spend", "transfer", "adjust", "refund", "review", "award")


_NOUNS = {"review": "review", "award": "retroactive award"}


def _check_asked(plan: Plan, what: Asked) -> Problem | None:
    if what.action in USES:
        return None
    if what.action == "issue":
        return _check_issue(plan, what)
    known = plan.loyalty.programmes
    if what.programme not in known:
        hint = did_you_mean(what.programme, known) or "define a programme of this name"
        message = f"there is no programme {what.programme!r}"
        return Problem(code="unknown_programme", message=message, pointer="/programme", hint=hint)
    code, message, pointer = "", "", ""
    if what.action not in ACTIONS:
        code, message, pointer = "unknown_value", f"unknown action {what.action!r}", "/action"
    elif what.action in {"spend", "transfer"} and not 0 < what.points <= MOST_POINTS:
        code, message, pointer = "invalid_value", f"points are 1 to {MOST_POINTS:,}", "/points"
    elif what.action == "adjust" and (not what.points or abs(what.points) > MOST_POINTS):
        code, message, pointer = "invalid_value", f"points are 1 to {MOST_POINTS:,}, or as many below zero", "/points"
    elif what.action == "adjust" and not (what.reason.strip() and what.author.strip()):
        missing = "author" if what.reason.strip() else "reason"
        code, message, pointer = "missing_key", f"an adjustment has a {missing}", f"/{missing}"
    elif what.action in {"review", "award"} and not what.author.strip():
        code, message, pointer = "missing_key", f"a {_NOUNS[what.action]} has an author", "/author"
    elif what.action == "transfer" and what.to is None:
        code, message, pointer = "missing_key", "a transfer says who is to have the points", "/to"
    elif what.action == "refund" and not what.reference:
        code, message, pointer = "missing_key", "a refund names the order", "/reference"
    return Problem(code=code, message=message, pointer=pointer) if code else None


def _check_issue(plan: Plan, what: Asked) -> Problem | None:
    reward = plan.loyalty.rewards.get(what.reward)
    if reward is None:
        hint = did_you_mean(what.reward, plan.loyalty.rewards) or "define a reward of this name"
        message = f"there is no reward {what.reward!r}"
        return Problem(code="unknown_reward", message=message, pointer="/reward", hint=hint)
    if what.pay and not reward.points:
        message = f"the reward {what.reward!r} does not say what it costs in points"
        return Problem(code="invalid_value", message=message, pointer="/pay")
    return None


def _check_learned(plan: Plan, what: Learned) -> Problem | None:
    problem = plan.contact_checks.problem(what.attributes)
    if problem is not None:
        return problem
    for name in what.lists:
        if name not in plan.workspace.lists:
            return Problem(
                code="unknown_list",
                message=f"there is no list {name!r}",
                pointer=f"/lists/{escape(name)}",
                hint=did_you_mean(name, plan.workspace.lists) or "define a list of this name",
            )
    return None


def _called(plan: Plan, what: Called) -> CompiledJourney | Problem:
    """Return the journey that somebody is to enter, or why nobody can be told to."""
    journey = plan.newest.get(what.journey)
    if journey is None:
        hint = did_you_mean(what.journey, plan.newest)
        return Problem(code="unknown_journey", message=f"there is no journey {what.journey!r}", hint=hint)
    if not isinstance(journey.definition.entry, ApiEntry):
        message = f"the journey {what.journey!r} is not entered over the API"
        return Problem(code="no_api_entry", message=message, hint="give it the entry '{type: api}'")
    if plan.states[journey.name] not in OPEN:
        return Problem(code="not_live", message=f"the journey {what.journey!r} is not live")
    return journey


def _unknown_interaction(plan: Plan, name: str) -> Problem:
    known = [definition.name for definition in plan.workspace.interactions.values()]
    return Problem(
        code="unknown_interaction",
        message=f"nobody defined the interaction {name!r}",
        pointer="/event",
        hint=did_you_mean(name, known) or "define it first",
    )


def admit_item(plan: Plan, catalogue: str, id_: str, attributes: dict[str, Any] | None) -> Problem | None:
    """Return what keeps an item from being put into a catalogue (or, with None, taken out), or None."""
    definition = plan.workspace.catalogues.get(catalogue)
    if definition is None:
        hint = did_you_mean(catalogue, plan.workspace.catalogues) or "define a catalogue of this name"
        return Problem(code="unknown_catalogue", message=f"there is no catalogue {catalogue!r}", hint=hint)
    if not 0 < len(id_) <= LONGEST_ITEM_ID:
        message = f"an item has an id of 1 to {LONGEST_ITEM_ID} characters"
        return Problem(code="invalid_value", message=message, pointer="/id")
    if attributes is None:
        return None
    checks = Checks(definition, repr(catalogue), "/attributes")
    return nesting_problem(attributes) or checks.problem(attributes)
