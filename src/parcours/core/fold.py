"""The fold: one input, one contact, and what follows.

`fold` is pure in what it reads: the plan, the contact and the input, nothing else. It changes the contact it is given,
so a caller who needs the state before keeps a copy.

The rules this file keeps, in the order they are applied to an input received at `t`:

| order | rule                                                                                                         |
|-------|--------------------------------------------------------------------------------------------------------------|
| 1     | every timer due at or before `t` fires first, at its own instant, by due time, then creation                 |
| 2     | the input becomes part of the contact: attributes, consent, addresses; counters of the conditions in force   |
| 3     | goals and exits of runs that the input can touch are looked at                                               |
| 4     | rules of loyalty are looked at, also when the interaction came late; points, tiers and the ledger follow     |
| 5     | runs under way are offered the input; each token that waits for it takes the first branch that fits          |
| 6     | journeys are entered, so that a run never sees the input that started it                                     |
| 7     | a token whose step made the input happen goes on                                                             |
| 8     | watched segments that the input can touch are looked at: who enters or leaves starts journeys                |

What follows from an input or a timer (`core.chains`) happens before any timer fires.

An interaction that its definition does not count goes no further than the trace. One that is late (older than the
journey's `max_age`) is counted and neither moves nor starts a run. An input that concerns nothing leaves no trace but
its record in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from parcours.core.aims import come_due as come_due_for_aims
from parcours.core.aims import look_at_aims
from parcours.core.calls import ANSWERS
from parcours.core.chains import go_on as chain_on
from parcours.core.chains import is_ahead
from parcours.core.compiled import CompiledBranch, CompiledJourney, Route
from parcours.core.contact import DATE, DELAYED, OF_COUPONS, OF_PROGRAMME, Contact, Run, Token
from parcours.core.dated import come_due as date_came
from parcours.core.dated import set_dates
from parcours.core.effects import Effects, Trace, What
from parcours.core.ending import end_run
from parcours.core.inputs import (
    CANCELLED,
    Absorb,
    Adjust,
    Award,
    Dissolve,
    Enrol,
    Enter,
    Erase,
    Erased,
    Grant,
    Input,
    Interaction,
    Leave,
    Reaction,
    Receive,
    Refund,
    Review,
    Spend,
    Transfer,
    Update,
    UseCoupon,
    cause_of,
)
from parcours.core.keys import key_of
from parcours.core.life import let_in
from parcours.core.loyalty import clock as loyalty_clock
from parcours.core.loyalty import coupons
from parcours.core.loyalty.join import leave_empty
from parcours.core.loyalty.members import act, happen
from parcours.core.loyalty.transfer import receive
from parcours.core.membership import come_due, look
from parcours.core.memory import remember_reaction
from parcours.core.merge import absorb, consent, dissolve, enlist, erase, learn
from parcours.core.plan import OPEN, Plan
from parcours.core.policy import leave
from parcours.core.runs import answered, enter, go_on, resume, time_is_up
from parcours.core.tally import count, count_history, enough, start_again
from parcours.core.walk import CLOCK, Walk, ask_in_run
from parcours.core.watch import Taken, Watched
from parcours.definitions.entries import JourneyEntry
from parcours.definitions.message import ADDRESSES

LONGEST_ERROR = 200
"""Characters of what a provider says that are kept of a failure."""


def fold(plan: Plan, contact: Contact, item: Input) -> Effects:
    """Fold one input into its contact and return what follows. The contact is changed."""
    effects = Effects()
    now = item.received_at
    while due_before(contact, item):
        wake(plan, contact, now, effects)
    if contact.chain is not None and not is_ahead(contact, item):
        contact.chain = None  # whoever folds has left out what was ahead
    effects.position = item.position
    fresh = not contact.time
    contact.time = now
    if fresh:
        contact.revision = plan.revision
    taken = _take(plan, contact, item, effects)
    if contact.awaits and not item.source:
        refused = item.refused if type(item) is Grant else ""
        go_on(plan, contact, item.message_id, now, effects, refused=refused)
    if fresh and plan.created:
        _created(plan, contact, item, effects)
    if effects.messages and plan.aims.by_message:
        look_at_aims(plan, contact, plan.aims.by_message, now, effects)
    if plan.watch.segments and not isinstance(item, Erased):
        _watch(plan, contact, item, effects, taken, fresh=fresh)
    if contact.chain is not None:
        chain_on(contact, item)
    return effects


def due_before(contact: Contact, item: Input) -> bool:
    """Return whether a timer fires before an input is folded; none does before one that follows from another."""
    timers = contact.timers
    return bool(timers) and timers[0].due <= item.received_at and not is_ahead(contact, item)


def _take(plan: Plan, contact: Contact, item: Input, effects: Effects) -> list[Taken]:
    """Let an input become part of its contact, and move and start runs; return the memories that took something."""
    taken: list[Taken] = []
    match item:
        case Interaction():
            taken = _interaction(plan, contact, item, effects)
        case Update():
            _update(contact, item)
            _aim(plan, contact, item, effects)
            if plan.dated:
                touched = {name: None for told in item.attributes for name in plan.dated_by.get(told, ())}
                set_dates(plan, contact, touched, item.received_at)
        case Reaction():
            _reaction(plan, contact, item, effects)
        case Enter():
            _enter(plan, contact, item, effects)
        case Absorb():
            absorb(plan, contact, item, effects)
            _aim(plan, contact, item, effects)
            set_dates(plan, contact, plan.dated, item.received_at)
        case Dissolve():
            dissolve(plan, contact, item, effects)
        case Erase():
            _erase(plan, contact, item, effects)
        case Erased():
            contact.identities += item.identities
        case Enrol() | Leave() | Spend() | Adjust() | Refund() | Review() | Award() | Transfer():
            contact.identities += item.identities
            act(plan.loyalty, contact, item, effects)
            _aim(plan, contact, item, effects)
        case Receive():
            receive(plan.loyalty, contact, item, effects)
            _aim(plan, contact, item, effects)
        case Grant():
            contact.identities += item.identities
            coupons.grant(plan.loyalty, contact, item, effects)
            _aim(plan, contact, item, effects)
        case UseCoupon():
            coupons.use(contact, item, effects)
            _aim(plan, contact, item, effects)
    return taken


_OfMember = Enrol | Leave | Spend | Adjust | Refund | Review | Award | Transfer | Receive | Grant | UseCoupon
_OF_MEMBERS = get_args(_OfMember)


def _aim(plan: Plan, contact: Contact, item: Update | Reaction | Absorb | _OfMember, effects: Effects) -> None:
    """Look at the exits and goals that an input may have touched."""
    if not contact.runs and not contact.over:
        return
    aims = plan.aims
    touched: dict[str, None] = {}
    match item:
        case Update():
            for name in item.attributes:
                touched.update(aims.by_attribute.get(name, _NO_JOURNEYS))
            for name in item.lists:
                touched.update(aims.by_list.get(name, _NO_JOURNEYS))
            if item.consent:
                touched.update(aims.by_consent)
        case Reaction():
            touched = aims.by_consent | aims.by_message
        case Absorb():
            touched = dict.fromkeys([*contact.runs, *contact.over])
        case _:
            touched = aims.by_loyalty
    if touched:
        silent = isinstance(item, Update | Absorb) and item.backfill
        look_at_aims(plan, contact, touched, item.received_at, effects, silent=silent)


_NO_JOURNEYS: dict[str, None] = {}


def _watch(plan: Plan, contact: Contact, item: Input, effects: Effects, taken: list[Taken], *, fresh: bool) -> None:
    """Look at the watched segments that an input may have touched. A new contact is held against all of them.

    `taken` are the memories that took something of an interaction.
    """
    watch = plan.watch
    touched: dict[str, Watched] = {}
    if fresh or isinstance(item, Absorb):
        touched = watch.segments
    elif isinstance(item, Interaction):
        if taken:
            touched = watch.by_memories(contact, taken, item.occurred_at, item.received_at)
    elif isinstance(item, Update):
        for name in item.attributes:
            touched.update(watch.by_attribute.get(name, _NONE))
        for name in item.lists:
            touched.update(watch.by_list.get(name, _NONE))
        if item.consent:
            touched.update(watch.by_consent)
    elif isinstance(item, Reaction):
        touched = watch.by_consent | watch.by_message
    if effects.messages and watch.by_message:
        touched = touched | watch.by_message
    if watch.by_loyalty and (effects.ledger or effects.follows or isinstance(item, _OF_MEMBERS)):
        # A change of a balance, or of what is told of a member: joining, leaving, a tier.
        touched = touched | watch.by_loyalty
    if touched and not contact.merged_into and not contact.erased_at:
        silent = isinstance(item, Interaction | Update | Absorb) and item.backfill
        look(plan, contact, touched.values(), item.received_at, item.position, effects, cause_of(item), silent=silent)


_NONE: dict[str, Watched] = {}


def wake(plan: Plan, contact: Contact, now: int, effects: Effects) -> None:
    """Fire every timer of the contact that is due at or before `now`, each at its own instant. The contact is changed.

    The result is the same whether timers are fired one by one as they come due or all at once later. Inputs that follow
    from a timer come before the next one, even if that is due at the same instant: this returns early then, and is
    called again when they have been folded.
    """
    contact.chain = None
    timers = contact.timers
    before = len(effects.follows)
    while timers and timers[0].due <= now and len(effects.follows) == before:
        timer = timers.pop(0)
        contact.time = timer.due
        sent = len(effects.messages)
        if timer.token == DELAYED:
            leave(plan, contact, timer, effects)
            _look_at_messages(plan, contact, timer.due, effects, sent)
            continue
        if timer.token == DATE:
            date_came(plan, contact, timer, effects)
            _look_at_messages(plan, contact, timer.due, effects, sent)
            continue
        if timer.token in {OF_PROGRAMME, OF_COUPONS}:
            if timer.token == OF_COUPONS:
                coupons.come_due(contact, timer, effects)
            else:
                loyalty_clock.come_due(plan.loyalty.programmes.get(timer.run), contact, timer, effects)
            if plan.aims.by_loyalty and (contact.runs or contact.over):
                look_at_aims(plan, contact, plan.aims.by_loyalty, timer.due, effects)
            if plan.watch.by_loyalty:
                look(plan, contact, plan.watch.by_loyalty.values(), timer.due, 0, effects, "")
            continue
        if not timer.journey:
            come_due(plan, contact, timer, effects)
            continue
        if not timer.run:
            let_in(plan, contact, timer, effects)
            continue
        run = contact.runs.get(timer.journey, _NO_RUNS).get(timer.run) or contact.over[timer.journey][timer.run]
        walk = _walk(plan, contact, run, timer.due, effects)
        if timer.token == CLOCK:
            come_due_for_aims(walk)
            continue
        if timer.token == 0:
            end_run(walk, "max_duration")
            continue
        for token in run.tokens:
            if token.id == timer.token:
                time_is_up(walk, token)
                break
        _look_at_messages(plan, contact, timer.due, effects, sent)


def _look_at_messages(plan: Plan, contact: Contact, now: int, effects: Effects, sent: int) -> None:
    """Look at what asks for messages, if a timer made more than were sent before."""
    if len(effects.messages) > sent:
        if plan.aims.by_message:
            look_at_aims(plan, contact, plan.aims.by_message, now, effects)
        if plan.watch.by_message:
            look(plan, contact, plan.watch.by_message.values(), now, 0, effects, "")


_NO_RUNS: dict[str, Run] = {}


def _walk(plan: Plan, contact: Contact, run: Run, now: int, effects: Effects) -> Walk:
    return Walk(plan, contact, plan.journeys[run.journey][run.version], run, now, effects)


def unheard(plan: Plan, name: str, *, backfill: bool) -> bool:
    """Return whether an interaction of this folded name changes nothing of its contact but the time.

    That is so while no timer is due, the contact is up to the plan, and no identity is new. It asks for everything that
    `_interaction` and `_watch` ask for.
    """
    route = plan.routes.get(name)
    if route is None:
        return True
    if route.counts_when is not None or route.memories or route.tallies or route.aims:
        return False
    return backfill or not (route.entries or route.listeners or name in plan.loyalty.routes)


def _interaction(plan: Plan, contact: Contact, item: Interaction, effects: Effects) -> list[Taken]:
    """Fold an interaction, and return the memories that took something of it."""
    if item.identities:
        contact.identities += item.identities
    route = plan.routes.get(item.name)
    if route is None:
        return []
    now, attributes = item.received_at, item.attributes
    rule = route.counts_when
    if rule is not None and not rule.ask(contact, attributes, now):
        effects.trace.append(Trace(now, What.NOT_COUNTED, reason=item.name, detail={"rule": rule.text}))
        return []
    taken: list[Taken] = []
    for memory in route.memories:
        note = memory.take(contact, item)
        if note is not None:
            taken.append((memory.need.id, note))
    if route.tallies:
        count_history(contact, route, item)
    if route.aims and (contact.runs or contact.over):
        look_at_aims(plan, contact, route.aims, now, effects, item, silent=item.backfill)
    if item.backfill:
        return taken
    touches = plan.loyalty.routes.get(item.name)
    if touches is not None:
        happen(plan.loyalty, contact, item, touches, effects)
        if plan.aims.by_loyalty and (contact.runs or contact.over):
            look_at_aims(plan, contact, plan.aims.by_loyalty, now, effects)
    if contact.runs:
        _offer_interaction(plan, contact, item, route, effects)
    if route.entries:
        _start_journeys(plan, contact, item, route, effects)
    return taken


def _start_journeys(plan: Plan, contact: Contact, item: Interaction, route: Route, effects: Effects) -> None:
    now, attributes = item.received_at, item.attributes
    age = now - item.occurred_at
    for journey in route.entries:
        if journey.where is not None and not journey.where.ask(contact, attributes, now):
            continue
        tally = journey.tally
        if tally is not None:
            if not tally.history:
                count(contact, journey, item, plan.activated[tally.id])
            if not enough(contact, journey, item):
                continue
        if age > journey.max_age:
            effects.trace.append(_late(journey, now, age))
            continue
        if tally is not None:
            start_again(contact, journey, item)
        enter(plan, contact, journey, attributes, item.position, now, effects, cause_of(item))


def _offer_interaction(plan: Plan, contact: Contact, item: Interaction, route: Route, effects: Effects) -> None:
    now, attributes = item.received_at, item.attributes

    def fits(branch: CompiledBranch, run: Run) -> bool:
        if branch.key and (not run.key or key_of(attributes, branch.key) != run.key):
            return False
        return branch.where is None or ask_in_run(branch.where, contact, attributes, run, now)

    for name in route.listeners:
        runs = contact.runs.get(name)
        if not runs:
            continue
        versions = plan.journeys[name]
        for run in list(runs.values()):
            journey = versions[run.version]
            if journey.prior and now - item.occurred_at <= journey.max_age:
                for branch in journey.prior.get(item.name, ()):
                    if branch.prior not in run.seen and fits(branch, run):
                        run.seen[branch.prior] = now
            waiting = _waiting(run, journey, item.name)
            if not waiting:
                continue
            if now - item.occurred_at > journey.max_age:
                if any(fits(branch, run) for _, branches in waiting for branch in branches):
                    effects.trace.append(_late(journey, now, now - item.occurred_at, run.id))
                continue
            _offer(Walk(plan, contact, journey, run, now, effects), waiting, fits)


Waiting = list[tuple[Token, tuple[CompiledBranch, ...]]]


def _waiting(run: Run, journey: CompiledJourney, interaction: str) -> Waiting:
    """Return the tokens that stand where an interaction is waited for, with the branches that wait for it."""
    steps = journey.steps
    return [
        (token, branches)
        for token in run.tokens
        if (branches := steps[token.step].interactions.get(interaction)) is not None
    ]


def _offer(walk: Walk, waiting: Waiting, fits: Callable[[CompiledBranch, Run], bool]) -> None:
    """Offer an event to the tokens that wait for it; each takes the first of its branches that fits."""
    for token, branches in waiting:
        if not walk.run.tokens:
            return  # it has failed
        for branch in branches:
            if fits(branch, walk.run):
                resume(walk, token, branch.label, branch.next)
                break


def _late(journey: CompiledJourney, now: int, age: int, run: str = "") -> Trace:
    return Trace(now, What.LATE, journey.name, journey.version, run, detail={"age": age, "max_age": journey.max_age})


def _update(contact: Contact, item: Update) -> None:
    at = item.occurred_at
    for name, value in item.attributes.items():
        learned = learn(contact, name, value, at)
        if learned and (channel := ADDRESSES.get(name)) is not None and channel in item.addresses:
            contact.addresses[channel] = item.addresses[channel]
    for channel, topics in item.consent.items():
        # The channel as a whole first, so that a topic given with it may be the exception.
        for topic in sorted(topics):
            consent(contact, channel, topic, topics[topic], at)
    for name, member in item.lists.items():
        enlist(contact, name, at, member=member)
    contact.identities += item.identities


def _reaction(plan: Plan, contact: Contact, item: Reaction, effects: Effects) -> None:
    if item.reaction in {"unsubscribed", "complained"}:
        channel, topic = str(item.attributes.get("channel", "")), str(item.attributes.get("topic", ""))
        if channel:
            consent(contact, channel, topic, "opted_out", item.occurred_at)

    failure = item.failure
    if failure is not None and failure.journey:
        detail = {"message_id": item.message, "error": str(item.attributes.get("error", ""))[:LONGEST_ERROR]}
        place = failure.journey, failure.version, failure.run, failure.step
        effects.trace.append(Trace(item.received_at, What.UNDELIVERED, *place, failure.reason, detail))
    if item.reaction in ANSWERS:
        answered(plan, contact, item, effects)
        return
    if item.reaction == CANCELLED:
        said, detail = item.attributes, {"message_id": item.message}
        effects.trace.append(
            Trace(
                item.received_at,
                What.CANCELLED,
                said["journey"],
                said["version"],
                said["run"],
                said["step"],
                said["reason"],
                detail,
            )
        )
        return
    if plan.remembers_messages:
        remember_reaction(contact, item.message, item.reaction, item.occurred_at)
    _aim(plan, contact, item, effects)

    def fits(branch: CompiledBranch, run: Run) -> bool:
        if branch.message is not None:
            return item.message in run.messages.get(branch.message, ())
        return any(item.message in sent for sent in run.messages.values())

    for journey in plan.reactions.get(item.reaction, ()):
        for run in list(contact.runs.get(journey, {}).values()):
            walk = _walk(plan, contact, run, item.received_at, effects)
            steps = walk.journey.steps
            waiting = [
                (token, branches)
                for token in run.tokens
                if (branches := steps[token.step].reactions.get(item.reaction)) is not None
            ]
            _offer(walk, waiting, fits)


def _erase(plan: Plan, contact: Contact, item: Erase, effects: Effects) -> None:
    """Leave nothing of a contact but that it was erased."""
    for run in [run for runs in contact.runs.values() for run in runs.values()]:
        end_run(_walk(plan, contact, run, item.received_at, effects), "erased")
    leave_empty(plan.loyalty, contact, "erased", item, effects)
    erase(contact, item.received_at)


def _enter(plan: Plan, contact: Contact, item: Enter, effects: Effects) -> None:
    """Let a contact in that a segment was read for, or somebody asked for."""
    contact.identities += item.identities
    now, attributes = item.received_at, item.attributes
    journey = plan.journeys.get(item.journey, {}).get(item.version)
    reason, detail = "", None
    if item.test and journey is not None:
        for run in [run for run in contact.runs.get(journey.name, {}).values() if run.test]:
            end_run(_walk(plan, contact, run, now, effects), "tested_again")
        enter(plan, contact, journey, attributes, item.position, now, effects, cause_of(item), test=True)
        return
    if journey is None:
        reason = "unknown_version"
    elif journey.segment is not None:
        reason = "" if journey.segment.ask(contact, {}, now) else "not_in_segment"
    elif isinstance(journey.definition.entry, JourneyEntry):
        reason = "" if plan.states[journey.name] in OPEN else "not_live"
    elif journey.where is not None and not journey.where.ask(contact, attributes, now):
        reason, detail = "not_matching", {"where": journey.where.text}
    if journey is None or reason:
        effects.trace.append(Trace(now, What.REFUSED, item.journey, item.version, reason=reason, detail=detail))
        return
    enter(plan, contact, journey, attributes, item.position, now, effects, cause_of(item))


def _created(plan: Plan, contact: Contact, item: Input, effects: Effects) -> None:
    """Let somebody in who was never met before. History triggers nothing."""
    told = not getattr(item, "backfill", False) and not isinstance(item, Absorb | Dissolve | Erase | Erased)
    for journey in plan.created if told else ():
        if journey.where is None or journey.where.ask(contact, {}, item.received_at):
            enter(plan, contact, journey, {}, item.position, item.received_at, effects, cause_of(item))
