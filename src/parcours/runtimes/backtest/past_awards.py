"""What a rule would have given a person before it was live, found in a backtest in which it has been live since then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from parcours.core.contact import Contact
from parcours.core.effects import Effects, Trace, What
from parcours.core.ids import derive
from parcours.core.inputs import Absorb, Award, Input, Interaction, cause_of
from parcours.core.loyalty.compiled import CompiledRule
from parcours.core.loyalty.earn import TO_REVIEW
from parcours.core.member import IN_REVIEW, Lot
from parcours.runtimes.backtest.job import PastAward

MOST_LATER = 2
"""Awards since the rule has been live that may be due by what it would have counted before. One is; it may be given."""

Lived = tuple[int, int]
"""From when until when a rule was live before, in milliseconds."""


class PastAwards:
    """Collects what a rule gives a person.

    Args:
        rule: The rule, as the backtest has it.
        since: What occurred then or later is looked at.
        before: What occurred before this is given.
        live: Since when the rule has been live in truth.
        lived: When it was live before that; what it counted then is not counted again.
        contact: The person.
        inputs: What is recorded of the person, in the order of the log.
    """

    def __init__(
        self,
        rule: CompiledRule,
        since: int,
        before: int,
        live: int,
        lived: Sequence[Lived],
        contact: str,
        inputs: Sequence[Input],
    ) -> None:
        self._rule = rule
        self._contact = contact
        self._since = since
        self._before = before
        self._live = live
        self._given: list[PastAward] = []
        self._later: list[PastAward] = []
        self._met = self._counted = 0
        carried = [item for item in inputs if type(item) is Award and item.counted and item.lot.rule == rule.name]
        self._carried = _carried(rule, contact, inputs) if carried else 0
        self._covered = [(item.lot.at, item.occurred_at) for item in carried]
        """What time the rule was applied to before: what it would have counted then was added."""
        self._known = {
            item.position
            for item in inputs
            if lived
            and type(item) is Interaction
            and not item.backfill
            and any(since <= item.received_at < until and item.occurred_at >= since for since, until in lived)
        }

    def forget(self) -> None:
        """Forget all of it: the person was erased."""
        self._given, self._later, self._counted = [], [], 0
        self._carried, self._covered = 0, []

    def knows(self, item: Input) -> bool:
        """Return whether the rule was live before as something came, and looked at it."""
        return item.position in self._known

    def begin(self, contact: Contact) -> None:
        """Note how often the rule was met before an interaction is folded."""
        self._met = self._count(contact)

    def note(self, contact: Contact, item: Interaction, effects: Effects) -> None:
        """Remember what the rule gave for an interaction that was folded; lots go on changing."""
        rule = self._rule
        at = item.occurred_at
        covered = any(since <= at <= until for since, until in self._covered)
        if at < self._before and item.position not in self._known and not covered:
            self._counted += max(0, self._count(contact) - self._met)
        if not any(gave(entry, rule.name) for entry in effects.trace):
            return
        later = item.occurred_at >= self._before
        if later and (rule.every <= 1 or item.occurred_at < self._live or len(self._later) >= MOST_LATER):
            return
        member = contact.loyalty[rule.programme.name]
        made = next((entry.id for entry in effects.ledger if entry.rule == rule.name and not entry.lot), None)
        lot = next((lot for lot in member.lots if made is not None and lot.id == made), None)
        if made is not None and lot is None:
            return  # nothing is left of it already
        key = derive("retroactive", rule.programme.name, rule.name, cause_of(item))
        award = PastAward(contact.id, item.occurred_at, item.position, key, lot or Lot("", rule.name, 0, 0, 0))
        (self._later if later else self._given).append(award)

    def left(self) -> Iterator[PastAward]:
        """Yield what is to be given: first what is to be added to what the rule has counted, then each award."""
        name, contact = self._rule.name, self._contact
        if self._counted:
            # In all, so that what two runs found that did not know of each other is not added twice.
            counted = self._carried + self._counted
            key = _key(self._rule, contact, counted)
            yield PastAward(contact, self._before - 1, 0, key, Lot("", name, self._since, 0, 0), counted=counted)
        for award in (*self._given, *self._later):
            lot = award.lot
            points = lot.points - lot.reversed
            if points > 0 or lot.in_review or not lot.points:
                due = lot.due if lot.due == IN_REVIEW else 0
                award.lot = replace(lot, id="", points=points, left=points, due=due, expires=0, expired=0, reversed=0)
                award.lot = replace(award.lot, basis=lot.basis - lot.returned, returned=0, free=0, drew="")
                yield award

    def _count(self, contact: Contact) -> int:
        member = contact.loyalty.get(self._rule.programme.name)
        return member.counts.get(self._rule.name, 0) if member is not None and self._rule.every > 1 else 0


def _carried(rule: CompiledRule, contact: str, inputs: Iterable[Input]) -> int:
    """Return how much was added before to what the rule has counted: to the person, and to who became part of it."""
    absorbed = [item for item in inputs if type(item) is Absorb]
    of_others = {part for item in absorbed for part in item.other.merged}
    total = 0
    for item in inputs:
        if type(item) is Award and item.counted and item.message_id == _key(rule, contact, item.counted):
            total = max(total, item.counted)
        elif type(item) is Absorb and item.other.id not in of_others:
            member = item.other.loyalty.get(rule.programme.name)
            total += member.past.get(rule.name, (0, 0))[0] if member is not None else 0
    return total


def _key(rule: CompiledRule, contact: str, counted: int) -> str:
    return derive("retroactive-count", rule.programme.name, rule.name, contact, str(counted))


def gave(entry: Trace, rule: str) -> bool:
    """Return whether a decision says that a rule gave something, or put it aside."""
    if entry.what == What.AWARDED:
        return entry.reason == rule
    return (
        entry.what == What.WITHHELD
        and entry.reason == TO_REVIEW
        and entry.detail is not None
        and entry.detail.get("rule") == rule
    )
