"""Awards of a rule for the past: tried on copies of members as they are now, or told from what is kept once given.

Trying folds each award and everything that follows from it: what the rule records, coupons, what other rules give for that.
What they would take of budgets, of stock and of pools is counted, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from parcours.core.codec import decode_contact, encode
from parcours.core.contact import Contact
from parcours.core.effects import Effects, Entry, Trace, What
from parcours.core.fold import fold
from parcours.core.ids import message_key
from parcours.core.inputs import Award, Grant, Input, Interaction, Receive
from parcours.core.loyalty.announce import SOURCE as OF_LOYALTY
from parcours.core.loyalty.compiled import CompiledReward, CompiledRule
from parcours.core.loyalty.coupons import why_not
from parcours.core.plan import Plan
from parcours.ports import Store
from parcours.runtimes.backtest.job import PastAward
from parcours.runtimes.backtest.past_awards import gave
from parcours.runtimes.engine.budgets import Overlay, bring
from parcours.runtimes.engine.rewards import in_pool, issued

SOURCE = "retroactive"
"""The source of what is given for the past; message ids are told apart by it."""

MOST_FOLLOWING = 100
"""Inputs that may follow from one award."""


class Came(msgspec.Struct):
    """What came of an award."""

    declined: str = ""
    """Why it came to nothing."""
    carried: int | None = None
    """Of a rule that gives every so-manieth time: from how many it goes on counting, when that was all."""
    points: int = 0
    """What the rule gave; what expires at once is told by the entries."""
    entries: list[Entry] = msgspec.field(default_factory=list)
    rewards: dict[str, int] = msgspec.field(default_factory=dict)
    """Reward to how many coupons were issued."""
    refused: dict[str, int] = msgspec.field(default_factory=dict)
    """Reason to how many coupons were not."""
    tiers: list[str] = msgspec.field(default_factory=list)
    """Tiers that the member came to."""
    recorded: dict[str, int] = msgspec.field(default_factory=dict)
    """Interaction that the rule recorded to how often."""

    def add(self, rule: CompiledRule, item: Input, trace: Iterable[Trace], entries: Iterable[Entry]) -> None:
        """Add what was decided at the award, or at an input that followed."""
        for entry in trace:
            if entry.what == What.ISSUED:
                self.rewards[entry.reason] = self.rewards.get(entry.reason, 0) + 1
            elif entry.what == What.TIER:
                self.tiers.append(entry.reason)
            elif entry.what == What.CARRIED and entry.detail is not None:
                self.carried = entry.detail["goes_on_from"]
            elif entry.what == What.DECLINED and type(item) is Award:
                self.declined = entry.reason
            elif entry.what == What.DECLINED and type(item) is Grant:
                self.refused[entry.reason] = self.refused.get(entry.reason, 0) + 1
        for posted in entries:
            self.entries.append(posted)
            if posted.rule == rule.name and not posted.lot:
                self.points += posted.amount + posted.held
        if type(item) is Interaction and item.attributes.get("retroactive") and item.source == OF_LOYALTY:
            name = rule.record[0] if rule.record is not None else item.name
            self.recorded[name] = self.recorded.get(name, 0) + 1


def in_turn(awards: Sequence[PastAward], plan: Plan, rule: CompiledRule) -> list[PastAward]:
    """Return awards in the order in which they are given, what a rule counted before what it gives.

    It is one member after the other. Where there is only so much for all, what occurred first comes first.
    """
    reward = plan.loyalty.rewards.get(rule.reward)
    if rule.budget or (reward is not None and (reward.stock or reward.pool)):
        return sorted(awards, key=lambda award: (not award.counted, award.at, award.contact, award.key))
    return sorted(awards, key=lambda award: (award.contact, not award.counted, award.at, award.key))


def was_given(store: Store, award: PastAward) -> bool:
    """Return whether it was given already: for the past, or as the interaction came, for the rule was live before."""
    if store.seen([message_key(SOURCE, award.key)]):
        return True
    decided = store.decided(award.position) if award.position else []
    return any(gave(entry, award.lot.rule) for entry in decided)


class Trial:
    """Tries awards on copies of members.

    Args:
        store: What is as it is now. It is only read.
        plan: The plan in force.
        now: The instant, in milliseconds.
    """

    def __init__(self, store: Store, plan: Plan, now: int) -> None:
        self.store = store
        self._plan = plan
        self._now = now
        self._purse = Overlay(store)
        self._issued: dict[str, int] = {}
        self._copies: dict[str, Contact] = {}

    def give(self, contact: Contact, award: PastAward, rule: CompiledRule) -> Came:
        """Return what would come of an award, after those that were tried before it."""
        copy = self._copies.get(contact.id)
        if copy is None:
            copy = self._copies[contact.id] = decode_contact(encode(contact))
        now = max(self._now, copy.time)
        item = Award(
            position=0,
            received_at=now,
            occurred_at=award.at,
            programme=rule.programme.name,
            lot=award.lot,
            author="",
            source=SOURCE,
            message_id=award.key,
            counted=award.counted,
        )
        came = Came()
        waiting: list[Input] = [item]
        for _ in range(MOST_FOLLOWING):
            if not waiting:
                break
            following = waiting.pop(0)
            effects = self._fold(copy, following)
            came.add(rule, following, effects.trace, effects.ledger)
            # What follows comes before whatever was to come after it.
            waiting[:0] = [one for one in effects.follows if not isinstance(one, Receive)]
        return came

    def forget(self, contact: str) -> None:
        """Let go of a copy."""
        self._copies.pop(contact, None)

    def _fold(self, copy: Contact, item: Input) -> Effects:
        loyalty = self._plan.loyalty
        if isinstance(item, Grant):
            item.refused = why_not(loyalty, copy, item) or self._shortage(loyalty.rewards[item.reward])
        bring(loyalty, item, self._purse.read)
        effects = fold(self._plan, copy, item)
        self._purse.count(effects.draws)
        return effects

    def _shortage(self, reward: CompiledReward) -> str:
        """Return why a reward is not issued, empty when one is left; then it is taken."""
        taken = self._issued.get(reward.name, 0)
        if reward.stock and issued(self.store, reward.name) + taken >= reward.stock:
            return "out_of_stock"
        if reward.pool and in_pool(self.store, reward.name) <= taken:
            return "pool_empty"
        self._issued[reward.name] = taken + 1
        return ""


def told(store: Store, contact: str, position: int, rule: CompiledRule) -> Came:
    """Return what came of an award that is in the log, with what followed from it."""
    came = Came()
    for record in store.log(position - 1, MOST_FOLLOWING + 1):
        item = record.input()
        follows = getattr(item, "source", "") in {"", OF_LOYALTY} and not isinstance(item, Receive)
        if record.contact != contact or (record.position != position and not follows):
            break
        came.add(rule, item, store.decided(record.position), store.booked(record.position))  # type: ignore[arg-type]  # it concerns a contact
    return came
