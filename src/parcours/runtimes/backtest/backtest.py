"""Backtests: a draft run over what was recorded, on a virtual clock, with nothing sent.

One person after the other: everything that is known of somebody is folded with a plan in which only the drafts are
live (`backtest_person`). Where people depend on each other only by rewards of which there are only so many
(`backtest_stock`), shares of them can be run in processes of their own, beside a service that runs, and give the same.

| when                         | what                                                                                     |
|------------------------------|------------------------------------------------------------------------------------------|
| before the start             | inputs are known and counted, and trigger nothing; then the drafts go live                |
| from the start to the end    | inputs come when they came; what was imported as history comes when it occurred           |
| a segment is to be read      | it is, at that instant, of those who are in it then                                       |
| a message would be sent      | it is counted, and reacted to at the rates that were assumed, drawn by its id              |
| a webhook would be called    | it is not; the answer is that which is recorded of this very call, else an assumed one     |
| the end                      | who is under way stays where they are, and is counted there                               |

Rules of loyalty are drafts as journeys are. What programmes and rules that are live gave before the start is worked out
anew, with rules live since when they really were; what they tell as interactions is made anew, too.

Reactions in what was recorded are to messages of others, so drafts never wait for them; what they say of consent holds.
What rules with a budget give depends on who came first, so with these everybody is walked at once, in order of time
(`runtimes.in_order`): all that is known of all people is in memory then, and there are no shares.

What steps of the drafts made happen when they were live happens anew. Tests are left out.
Who became part of somebody else is one person with them from the beginning. An erased person begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec

from parcours.core.compiled import CompiledJourney
from parcours.core.inputs import Publish
from parcours.core.plan import Plan
from parcours.definitions.entries import SegmentEntry
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.load import load_data, with_known_good
from parcours.definitions.loyalty import ProgrammeDefinition, RuleDefinition
from parcours.definitions.steps import Webhook
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError
from parcours.runtimes.backtest.assumed import Assumed, is_api
from parcours.runtimes.backtest.in_order import Purse
from parcours.runtimes.backtest.job import Asking, BacktestError, Job, Shortage
from parcours.runtimes.readings import rounds_of

MOST_ROUNDS = 10_000
"""How often a segment may be read into a journey."""


class Round(msgspec.Struct, frozen=True):
    """A segment is read into a journey."""

    at: int
    journey: CompiledJourney
    once: bool
    """Whether each member is read once in all rounds."""


class Backtest:
    """A job made ready: plans compiled, to be given people.

    Raises:
        InvalidDefinitionError: The drafts are not valid together with what is published.
        BacktestError: There is no journey among them, no time between start and end, or something wrong with what is
            assumed.
    """

    def __init__(self, job: Job, publications: Iterable[Publish], shortages: Sequence[Shortage] = ()) -> None:
        self.job = job
        workspace, before, lives, drafts = _workspace(job, publications)
        since = {name: found[-1][0] for name, found in lives.items() if found[-1][1] is None}
        self.live = since.get(job.retroactive, job.end)
        """Since when the rule has been live that is to be applied to the past."""
        self.lived = [(at, until) for at, until in lives.get(job.retroactive, ()) if until is not None]
        """From when until when it was live before."""
        self.drafts = [draft.name for draft in drafts if isinstance(draft, JourneyDefinition)]
        self.rules = [draft.name for draft in drafts if isinstance(draft, RuleDefinition)]
        self.programmes = sorted({draft.programme for draft in drafts if isinstance(draft, RuleDefinition)})
        """Those that are reported; without drafts all."""
        if not drafts:
            self.programmes = sorted(workspace.programmes)
        live = [
            item
            for item in workspace.all()
            if isinstance(item, JourneyDefinition) and job.with_live and item.state == "live" and not item.archived
        ]
        known = [
            *(item for item in workspace.all() if not isinstance(item, JourneyDefinition | OfLoyalty)),
            *(item for item in before.all() if isinstance(item, OfLoyalty)),
        ]

        def published(since: dict[str, int]) -> Plan:
            nothing = Plan.empty()
            nothing.loyalty.live = since
            return nothing.publish(known)

        self.base = published(dict(since))
        self.base_live = published({**since, job.retroactive: self.lived[0][0]}) if self.lived else self.base
        """The same while the rule was live before that is to be applied to the past: it goes on from what it counted."""
        for name in self.rules:
            self.base.loyalty.live.pop(name, None)
        new = [item for item in workspace.all() if isinstance(item, OfLoyalty)]
        journeys = [draft for draft in drafts if isinstance(draft, JourneyDefinition)]
        self.plan = self.base.publish([*new, *live, *journeys], at=job.start)
        self.plan.loyalty.tells = bool(self.programmes)
        self.running = frozenset(self.plan.newest)
        """The drafts, and what is live beside them."""
        self.assumed = Assumed(job, self.plan)
        self.entered_over_api = frozenset(name for name, journey in self.plan.newest.items() if is_api(journey))
        """Journeys of which recorded entries over the API are played."""
        self.entered_over_api -= self.assumed.asked_for
        reads = self.plan.read_on_activation()
        self.reads = [journey for journey in reads if not _is_timed(journey)]
        """Journeys into which a segment is read as they go live."""
        self.rounds = _rounds([journey for journey in reads if _is_timed(journey)], self.plan, job)
        """When others are, in order."""
        self.instants = [one.at for one in self.rounds]
        self.purse = Purse(job.start, self.rules) if self._has_budgets() else None
        """What budgets come to; None where no rule has one. With one, people are run at once, not in shares."""
        steps = [step.definition for name in self.running for step in self.plan.newest[name].steps.values()]
        self.calls = any(isinstance(step, Webhook) for step in steps)
        listens = self.plan.remembers_messages or any(compiled.reacts for compiled in self.plan.newest.values())
        self.reacts = bool(self.assumed.rates) and (listens or "bounced" in self.assumed.rates)
        """Whether it makes a difference how people react."""
        rewards = self.plan.loyalty.rewards.values()
        self.limited = frozenset(
            reward.name for reward in rewards if reward.stock or reward.pool or reward.name in job.assume.stock
        )
        """Rewards of which there are only so many."""
        self.shortages: dict[str, list[Shortage]] = {}
        for shortage in shortages:
            self.shortages.setdefault(shortage.since.reward, []).append(shortage)

    def _has_budgets(self) -> bool:
        return any(rule.budget for plan in (self.base, self.plan) for rule in plan.loyalty.rules.values())

    def shortage(self, asking: Asking) -> str:
        """Return why a reward that is asked for is not issued, empty when there is one left."""
        for one in self.shortages.get(asking.reward, ()):
            if one.covers(asking):
                return one.reason
        return ""


def _is_timed(journey: CompiledJourney) -> bool:
    entry = journey.definition.entry
    return isinstance(entry, SegmentEntry) and (entry.at is not None or entry.schedule is not None)


def _rounds(journeys: Iterable[CompiledJourney], plan: Plan, job: Job) -> list[Round]:
    found: list[Round] = []
    for journey in journeys:
        entry = journey.definition.entry
        once = isinstance(entry, SegmentEntry) and entry.schedule is not None and entry.members == "new"
        instants = rounds_of(journey, plan.workspace.settings.zone, job.start, job.end)
        of_journey = [Round(at, journey, once) for at in islice(instants, MOST_ROUNDS + 1)]
        if len(of_journey) > MOST_ROUNDS:
            message = f"the journey {journey.name!r} reads its segment more than {MOST_ROUNDS:,} times in this time"
            raise BacktestError(message, hint="try a shorter time, or a schedule that comes round less often")
        found += of_journey
    # At one instant, those of the journey that was published first come first.
    return sorted(found, key=attrgetter("at"))


OfLoyalty = ProgrammeDefinition | RuleDefinition

_FIRST, _LAST = -86_400_000, 253_370_764_800_000
"""Nothing occurs before 1970; and in the year 9999 every zone's calendar ends."""


def _workspace(
    job: Job, publications: Iterable[Publish]
) -> tuple[Workspace, Workspace, dict[str, list[tuple[int, int | None]]], list[JourneyDefinition | RuleDefinition]]:
    """Return what is defined with the drafts and without them, from when until when rules were live, and the drafts."""
    if job.start >= job.end:
        raise BacktestError("there is no time between the start and the end")
    if job.start < _FIRST or job.end > _LAST:
        raise BacktestError("the start or the end is beyond the calendar: they are milliseconds since 1970")
    before = Workspace()
    lives: dict[str, list[tuple[int, int | None]]] = {}
    for publication in publications:
        before = with_known_good(before, publication.definitions)
        for rule in before.rules.values():
            live = rule.state == "live" and not rule.archived and not before.programmes[rule.programme].archived
            known = lives.setdefault(rule.name, [])
            if live and (not known or known[-1][1] is not None):
                known.append((publication.received_at, None))
            elif not live and known and known[-1][1] is None:
                known[-1] = (known[-1][0], publication.received_at)
    lives = {name: known for name, known in lives.items() if known}
    workspace, errors, _ = load_data([_live(item, job) for item in job.definitions], before)
    if errors:
        raise InvalidDefinitionError(errors)
    names = [(item.get("kind"), str(item.get("name"))) for item in job.definitions]
    drafts: list[JourneyDefinition | RuleDefinition] = [
        *(workspace.journeys[name] for name in sorted({name for kind, name in names if kind == "journey"})),
        *(workspace.rules[name] for name in sorted({name for kind, name in names if kind == "rule"})),
    ]
    if not drafts and not job.baseline:
        names_known = sorted([*before.journeys, *before.rules])
        hint = f"name one of those published: {', '.join(names_known)}" if names_known else ""
        raise BacktestError("there is no journey or rule among the definitions", hint=hint)
    return workspace, before, lives, drafts


def _live(item: dict[str, Any], job: Job) -> dict[str, Any]:
    if job.retroactive:
        return item
    return (
        {**item, "state": "live", "starts": None, "ends": None, "archived": False}
        if item.get("kind") in {"journey", "rule"}
        else item
    )
