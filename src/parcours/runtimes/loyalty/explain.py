"""Why did she get these points, and why did she not? What was recorded of a contact, folded anew, and what rules saw.

As with journeys (`runtimes.explain`): the fold is pure, so folding again gives what was decided. Here rules also tell why
they were not met, which no trace keeps.

| asked about a programme, or one rule of it, and a contact | answered with                                              |
|-----------------------------------------------------------|------------------------------------------------------------|
| why did she get this?                                     | the interaction, the rule, and how many points              |
| why did she get nothing?                                  | the reason, and which part of the rule's condition was false |
| what was there to get?                                    | what was left of the rule's budgets, and until when          |
| where is her reward?                                      | why it was not issued, though the rule gave it               |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from parcours.conditions.instants import brief
from parcours.core.effects import Effects, Trace, What
from parcours.core.inputs import Award, Grant, Input, Interaction
from parcours.core.loyalty.compiled import CompiledRule
from parcours.core.loyalty.earn import TO_REVIEW
from parcours.core.plan import Plan
from parcours.runtimes.budgets_left import BudgetLeft, budgets_left, counted, said_of
from parcours.runtimes.explain import Past
from parcours.runtimes.listening import listening_to_rules
from parcours.runtimes.retelling import MOST_MOMENTS, Asked, Retelling, Retold, described

_MOST_SAID = 50
_LATE = 60_000
"""Milliseconds after which it is told when something occurred beside when it came."""

_BY_RULE = "rule:"


class Look(msgspec.Struct):
    """A rule that looked at an interaction, or was applied to the past; or a reward of it that was not issued."""

    at: int
    """When it came."""
    occurred_at: int
    what: str
    """The name of the interaction; `award` where the rule was applied to the past, `grant` for a reward."""
    values: dict[str, Any]
    rule: str
    given: bool
    points: int
    """Which were given; or would have been, as far as that is known."""
    reason: str = ""
    """Why nothing was given; `review` when the points wait for one."""
    asked: list[Asked] = msgspec.field(default_factory=list)
    """The conditions of the rule that were asked."""
    budgets: list[BudgetLeft] = msgspec.field(default_factory=list)
    """What was left of its budgets before."""
    reward: str = ""
    """Which was not issued, though the rule gave it."""


class RulesExplanation(msgspec.Struct):
    """What the rules of a programme gave a contact, and why not."""

    contact: str
    programme: str
    rule: str
    """Empty for all of them."""
    at: int
    because: list[str]
    """The answer, in sentences: the latest."""
    looks: list[Look]
    """The latest."""


def explain_rules(past: Past, programme: str, rule: str, at: int) -> RulesExplanation:
    """Return what the rules of a programme gave a contact up to an instant, and why not.

    Args:
        past: What is recorded of the contact.
        programme: Its name.
        rule: The name of one of its rules, empty for all.
        at: The instant.
    """
    life = _Rules(past, programme, rule)
    life.until(at)
    one = life.people.get(past.contact) or Retold(past.contact)
    member = one.contact.loyalty.get(programme)
    because = []
    if member is None:
        because.append(f"The contact is no member of {programme!r}.")
    elif member.left:
        because.append(f"The contact left {programme!r} at {brief(member.left)}.")
    known = life.plan.loyalty.rules
    if rule and rule not in known:
        because.append(f"The rule {rule!r} is not live.")
    because += [_said(look, programme) for look in life.looks[-_MOST_SAID:]]
    if not life.looks:
        because.append(f"Nothing that {'it' if rule else 'a rule'} looks at was recorded.")
    return RulesExplanation(past.contact, programme, rule, at, because, life.looks)


class _Rules(Retelling):
    """Folds what was recorded of a contact, and listens to the rules of a programme."""

    def __init__(self, past: Past, programme: str, rule: str) -> None:
        super().__init__(past.publications, past.records)
        self.looks: list[Look] = []
        self._programme = programme
        self._rule = rule

    def _listener(self, plan: Plan) -> Plan:
        return listening_to_rules(plan, self._programme, self._hear)

    def _note(self, one: Retold, at: int, effects: Effects, item: Input | None, what: str = "") -> None:
        asked = list(self._heard)
        super()._note(one, at, effects, item, what)
        if isinstance(item, Interaction | Award | Grant):
            self.looks += self._looks(at, item, effects.trace, asked)
            del self.looks[:-MOST_MOMENTS]

    def _looks(
        self, at: int, item: Interaction | Award | Grant, trace: list[Trace], asked: list[Asked]
    ) -> Iterator[Look]:
        what, values = described(item, self.plan)
        for entry in trace:
            detail = entry.detail or {}
            name = entry.reason if entry.what == What.AWARDED else detail.get("rule", "")
            if isinstance(item, Grant):
                name = item.by.removeprefix(_BY_RULE) if item.by.startswith(_BY_RULE) else ""
            rule = self.plan.loyalty.rules.get(name)
            if rule is None or entry.what not in _TELLING or not self._wanted(rule):
                continue
            look = Look(
                at,
                item.occurred_at,
                what,
                values,
                name,
                given=entry.what == What.AWARDED,
                points=detail.get("points", 0),
                reason="" if entry.what == What.AWARDED else entry.reason,
                asked=[one for one in asked if one.place.partition("/")[0] == name],
                reward=detail.get("reward", ""),
            )
            if not isinstance(item, Grant) and item.budgets is not None:
                look.budgets = budgets_left(rule, look.points, item.budgets, item.occurred_at)
            yield look

    def _wanted(self, rule: CompiledRule) -> bool:
        return rule.programme.name == self._programme and self._rule in {"", rule.name}


_TELLING = frozenset({What.AWARDED, What.WITHHELD, What.DECLINED})


def _said(look: Look, programme: str) -> str:
    at = brief(look.at)
    if look.reward:
        return f"At {at} the reward {look.reward!r} of the rule {look.rule!r} was not issued: {look.reason}."
    late = f" (which occurred at {brief(look.occurred_at)})" if look.at - look.occurred_at >= _LATE else ""
    whom = f"for {look.what!r}{late}"
    points = counted(look.points, "point")
    if look.given:
        return f"At {at} the rule {look.rule!r} gave {points if look.points else 'what it gives beside points'} {whom}."
    if look.reason == TO_REVIEW:
        return f"At {at} the rule {look.rule!r} gave {points} {whom}, which wait until somebody approves them."
    of = f", of {points}" if look.points else ""
    return f"At {at} the rule {look.rule!r} gave nothing {whom}{of}: {_why(look, programme)}."


def _why(look: Look, programme: str) -> str:
    if look.reason == "budget":
        return said_of(look.budgets)
    if look.reason == "not_matching":
        false = [one for one in look.asked if one.place == look.rule and not one.answer.answer]
        return f"its condition was false: {'; '.join(false[-1].answer.reasons())}" if false else look.reason
    return _REASONS.get(look.reason, look.reason).format(programme=programme)


_REASONS = {
    "no_member": "the contact was no member",
    "no_member_yet": "the contact was no member yet when it occurred",
    "left": "the contact had left {programme!r}",
    "exclusive": "another rule gave, and one of them gives alone",
    "not_live": "it occurred before the rule began, or after it ended",
    "tier": "it is for other tiers",
    "every": "it does not give every time",
    "limit": "what it gives one member in a period is used up",
    "no_points": "it came to no points",
}
