"""What must be so at any time, each by name. `check_invariants` looks at everything a store holds."""

from __future__ import annotations

from collections import Counter
from zoneinfo import ZoneInfo

import msgspec

from parcours.conditions.durations import parse_duration
from parcours.core.contact import DATE, DELAYED, OF_PROGRAMME, Contact, Run
from parcours.core.effects import TEST, Message, What
from parcours.core.ids import contact_of_message
from parcours.core.inputs import Absorb, Erase, Erased, Interaction, Publish, Update
from parcours.core.loyalty import budget
from parcours.core.memory import KEPT_MESSAGES
from parcours.core.plan import Plan
from parcours.core.quiet import compile_quiet, midnight
from parcours.core.tally import MOST_KEYS
from parcours.core.walk import CLOCK, ask_in_run
from parcours.definitions.message import WEBHOOK, MessageDefinition
from parcours.definitions.policy import HIGHEST_CAP, Cap, Policy
from parcours.definitions.steps import Join, Wait, WaitFor, Webhook
from parcours.definitions.zones import zone_of
from parcours.ports import LedgerDay, Statistic, Total
from parcours.testing import strategies
from parcours.testing.snapshot import Snapshot


def a_run_has_at_least_one_token(contact: Contact, _plan: Plan) -> None:
    for runs in contact.runs.values():
        assert runs, "a journey without runs is not kept"
        assert all(run.tokens for run in runs.values())


def a_token_stands_where_one_can_wait(contact: Contact, plan: Plan) -> None:
    for name, runs in contact.runs.items():
        for run in runs.values():
            for token in run.tokens:
                step = plan.journeys[name][run.version].steps[token.step].definition
                assert isinstance(step, Wait | WaitFor | Join | Webhook)


def a_join_waits_for_somebody_who_may_still_come(contact: Contact, plan: Plan) -> None:
    for name, runs in contact.runs.items():
        for run in runs.values():
            steps = plan.journeys[name][run.version].steps
            ids = [token.id for token in run.tokens]
            assert len(set(ids)) == len(ids)
            for fork in {token.forks[-1] for token in run.tokens if token.forks}:
                alive = [token for token in run.tokens if fork in token.forks]
                assert not all(
                    token.forks[-1] == fork and isinstance(steps[token.step].definition, Join) for token in alive
                )
            for token in run.tokens:
                assert not isinstance(steps[token.step].definition, Join) or token.forks


def only_answers_are_awaited_and_by_tokens_that_stand_there(contact: Contact, plan: Plan) -> None:
    for journey, id_, number in contact.awaits.values():
        run = contact.runs[journey][id_]
        token = next(token for token in run.tokens if token.id == number)
        assert isinstance(plan.journeys[journey][run.version].steps[token.step].definition, Webhook)


def what_follows_has_happened(contact: Contact, _plan: Plan) -> None:
    assert contact.chain is None


def a_watched_segment_has_the_timer_it_says(contact: Contact, plan: Plan) -> None:
    timers = sorted(
        (timer.run, timer.due) for timer in contact.timers if not timer.journey and timer.token != OF_PROGRAMME
    )
    said = sorted((name, known.due) for name, known in contact.segments.items() if known.due is not None)
    assert timers == said
    if contact.revision == plan.revision and contact.time and not contact.merged_into and not contact.erased_at:
        assert contact.segments.keys() <= plan.watch.segments.keys()


def a_member_has_the_timer_it_says(contact: Contact, _plan: Plan) -> None:
    timers = sorted((timer.run, timer.due) for timer in contact.timers if timer.token == OF_PROGRAMME)
    assert timers == sorted((name, member.due) for name, member in contact.loyalty.items() if member.due)


def lots_hold_what_the_balance_says(contact: Contact, _plan: Plan) -> None:
    for member in contact.loyalty.values():
        assert sum(lot.left for lot in member.lots if not lot.due) == max(0, member.balance)
        assert sum(lot.left for lot in member.lots if lot.due) == member.held
        assert [lot.at for lot in member.lots] == sorted(lot.at for lot in member.lots)
        for lot in member.lots:
            assert 0 <= lot.left <= lot.points - lot.expired - min(lot.reversed, lot.points)
            assert 0 <= lot.expired + lot.reversed <= lot.points
            # Of a lot that was taken back, nothing is left that could be released.
            assert not lot.due or lot.due > contact.time or (not lot.left and lot.reversed == lot.points)
            assert not lot.left or lot.due or not lot.expires or lot.expires > contact.time
        assert [at for at, _ in member.qualified] == sorted({at for at, _ in member.qualified})


def nothing_of_a_paused_journey_comes_due(contact: Contact, plan: Plan) -> None:
    if contact.revision == plan.revision:
        assert not any(timer.journey in plan.paused and timer.token != DATE for timer in contact.timers)
        assert all(timer.journey in plan.paused for timer in contact.shelf)
        assert all(held.journey in plan.paused for held in contact.held)
        assert not any(plan.states[name] == "stopped" for name in contact.runs)
    assert contact.shelf == sorted(contact.shelf)


def only_a_test_is_under_way_of_a_journey_that_was_never_live(contact: Contact, plan: Plan) -> None:
    for name, runs in contact.runs.items():
        assert all(run.test == run.id.startswith(TEST) for run in runs.values())
        if contact.revision == plan.revision and plan.states[name] not in {"test", "paused"}:
            assert not any(run.test for run in runs.values())


def no_timer_outlives_its_run_or_token(contact: Contact, _plan: Plan) -> None:
    for timer in contact.timers + contact.shelf:
        if not timer.journey or timer.token in {DATE, DELAYED}:
            continue
        if timer.token == CLOCK:
            kept = {**contact.runs.get(timer.journey, {}), **contact.over.get(timer.journey, {})}
            assert timer.run in kept
            continue
        run = contact.runs[timer.journey][timer.run]
        assert timer.token == 0 or any(token.id == timer.token for token in run.tokens)


def a_date_has_the_timer_it_says(contact: Contact, plan: Plan) -> None:
    assert {timer.journey: timer.due for timer in contact.timers if timer.token == DATE} == contact.dates
    if contact.revision == plan.revision:
        assert contact.dates.keys() <= plan.dated.keys()


def every_run_has_one_timer_that_ends_it(contact: Contact, plan: Plan) -> None:
    others = {DATE, DELAYED}
    of_runs = [timer for timer in contact.timers + contact.shelf if timer.journey and timer.token not in others]
    ends = {timer.run: timer.due for timer in of_runs if timer.token == 0}
    assert len(ends) == sum(timer.token == 0 for timer in of_runs)
    runs = {run.id: run for runs in contact.runs.values() for run in runs.values()}
    assert set(ends) == set(runs)
    for id_, run in runs.items():
        planned = run.started_at + plan.journeys[run.journey][run.version].max_duration
        # What came due during a pause comes due when it is over.
        assert ends[id_] == planned or planned < ends[id_] <= plan.revised_at


def a_waiting_token_has_at_most_one_timer(contact: Contact, _plan: Plan) -> None:
    waiting = Counter((timer.journey, timer.run, timer.token) for timer in contact.timers + contact.shelf)
    assert all(count == 1 for count in waiting.values())


def timers_are_sorted_and_ahead(contact: Contact, _plan: Plan) -> None:
    assert contact.timers == sorted(contact.timers)
    assert len({timer.created for timer in contact.timers}) == len(contact.timers)
    assert all(timer.due > contact.time for timer in contact.timers)


def one_run_a_key_unless_it_may_always_be_entered(contact: Contact, plan: Plan) -> None:
    for name, runs in contact.runs.items():
        keys = Counter(run.key for run in runs.values() if not run.test)
        if all(plan.journeys[name][run.version].definition.re_entry != "always" for run in runs.values()):
            assert all(count == 1 for count in keys.values())


def memory_of_history_is_bounded_and_sorted(contact: Contact, plan: Plan) -> None:
    keep = {need.id: need.keep for need in plan.needs.values()}
    for id_, times in contact.counters.items():
        assert times == sorted(times)
        assert len(times) <= keep.get(id_, len(times))
    for id_, entries in contact.figures.items():
        assert [entry[:2] for entry in entries] == sorted(entry[:2] for entry in entries)
        assert len(entries) <= keep.get(id_, len(entries))
    assert len(contact.messages) <= KEPT_MESSAGES
    assert plan.remembers_messages or not contact.messages


def no_more_runs_than_a_journey_allows(contact: Contact, plan: Plan) -> None:
    if contact.merged:
        return  # runs of others came to it
    for name, runs in contact.runs.items():
        assert len(runs) <= max(version.most_runs for version in plan.journeys[name].values())


def what_entries_count_is_bounded_and_sorted(contact: Contact, plan: Plan) -> None:
    known = {version.tally.id: version for version in plan.newest.values() if version.tally is not None}
    for id_, keys in contact.tallies.items():
        assert keys, "a tally of nothing is not kept"
        assert len(keys) <= MOST_KEYS
        for times in keys.values():
            assert times, "a key of which nothing is counted is not kept"
            assert times == sorted(times)
        if id_ in known and not known[id_].key:
            assert keys.keys() == {""}


def a_run_that_is_kept_after_its_end_has_a_goal_to_reach(contact: Contact, plan: Plan) -> None:
    for name, runs in contact.over.items():
        assert runs, "a journey without runs is not kept"
        for run in runs.values():
            assert not run.tokens
            assert run.id not in contact.runs.get(name, {})
            goals = plan.journeys[name][run.version].definition.goals
            assert any(goal.within and not run.reached.get(goal.name) for goal in goals)


def a_message_that_is_held_has_one_timer(contact: Contact, _plan: Plan) -> None:
    timers = sorted(timer.run for timer in contact.timers + contact.shelf if timer.token == DELAYED)
    assert timers == sorted(one.id for one in contact.delayed)
    assert len(set(timers)) == len(timers)


def what_caps_count_is_bounded_and_sorted(contact: Contact, _plan: Plan) -> None:
    for times in contact.capped.values():
        assert times == sorted(times)
        assert not times or times[-1] <= contact.time
        # A cap that was lowered is followed by the next message, so it may be what a higher one asked for.
        assert len(times) <= HIGHEST_CAP


OF_A_CONTACT = (
    a_date_has_the_timer_it_says,
    a_run_that_is_kept_after_its_end_has_a_goal_to_reach,
    no_more_runs_than_a_journey_allows,
    what_entries_count_is_bounded_and_sorted,
    a_run_has_at_least_one_token,
    a_token_stands_where_one_can_wait,
    a_join_waits_for_somebody_who_may_still_come,
    only_answers_are_awaited_and_by_tokens_that_stand_there,
    what_follows_has_happened,
    a_watched_segment_has_the_timer_it_says,
    a_member_has_the_timer_it_says,
    lots_hold_what_the_balance_says,
    no_timer_outlives_its_run_or_token,
    every_run_has_one_timer_that_ends_it,
    nothing_of_a_paused_journey_comes_due,
    only_a_test_is_under_way_of_a_journey_that_was_never_live,
    a_waiting_token_has_at_most_one_timer,
    timers_are_sorted_and_ahead,
    one_run_a_key_unless_it_may_always_be_entered,
    memory_of_history_is_bounded_and_sorted,
    a_message_that_is_held_has_one_timer,
    what_caps_count_is_bounded_and_sorted,
)


def entries_are_as_often_as_allowed(found: Snapshot, plan: Plan) -> None:
    """Of a contact that nobody became part of, and under the versions that were in force all along. Runs of tests are no entries."""
    for id_, contact in found.contacts.items():
        if contact.merged:
            continue
        entered: dict[str, list[int]] = {}
        for _, entry in found.traces.get(id_, []):
            if entry.what == What.ENTERED and not entry.run.startswith(TEST):
                entered.setdefault(entry.journey, []).append(entry.at)
        for name, times in entered.items():
            versions = plan.journeys[name]
            if len(versions) > 1 or not versions[1].most_entries:
                continue
            most, within = versions[1].most_entries, versions[1].entries_within
            for at in times:
                assert sum(within is None or at - within < other <= at for other in times if other <= at) <= most


def no_run_stays_whose_exit_is_met_nor_a_goal_that_is_true(found: Snapshot, plan: Plan) -> None:
    """As of what happened to the contact last. History triggers nothing, so who has any is left out."""
    history = {
        record.contact
        for record in found.records
        if isinstance(item := record.input(), Interaction | Update | Absorb) and item.backfill
    }
    for id_, contact in found.contacts.items():
        if id_ in history or contact.revision != plan.revision:
            continue
        for runs in (contact.runs, contact.over):
            for run in [run for of_journey in runs.values() for run in of_journey.values()]:
                _no_aim_is_met(contact, run, plan)


def _no_aim_is_met(contact: Contact, run: Run, plan: Plan) -> None:
    now, aims = contact.time, plan.journeys[run.journey][run.version].aims
    for aim in (*aims.exits, *aims.goals) if aims is not None else ():
        met = aim.question is not None and ask_in_run(aim.question, contact, run.facts, run, now)
        if not aim.name:
            assert not met or not run.tokens, "an exit that is met ends the run"
        elif (aim.within and now < run.started_at + aim.within) or (run.tokens and not aim.within):
            assert not met or aim.name in run.reached, "a goal that is true is reached"


def goals_are_reached_once_and_after_the_entry(found: Snapshot, _plan: Plan) -> None:
    for entries in found.traces.values():
        reached = [(entry.run, entry.reason) for _, entry in entries if entry.what == What.GOAL]
        assert len(set(reached)) == len(reached)


def message_ids_are_unique(found: Snapshot) -> None:
    ids = [message.id for message in all_messages(found)]
    assert len(ids) == len(set(ids))


def every_message_has_its_entry_in_the_trace_and_the_other_way_round(found: Snapshot) -> None:
    cancelled = {
        entry.detail["message_id"]
        for entries in found.traces.values()
        for _, entry in entries
        if entry.what == What.CANCELLED and entry.detail
    }
    traced = sorted(
        (id_, entry.reason or entry.step, entry.detail["message_id"])
        for id_, entries in found.traces.items()
        for _, entry in entries
        if entry.what in {What.SENT, What.CALLED} and entry.detail and entry.detail["message_id"] not in cancelled
    )
    assert traced == sorted((message.contact, message.message, message.id) for message in all_messages(found))


def caps_are_never_exceeded(found: Snapshot) -> None:
    """Of a person, counted anew from what was sent, under the caps that were in force when each was decided."""
    publications = policies(found)
    definitions = {data["name"]: msgspec.convert(data, MessageDefinition) for data in strategies.messages()}
    # Tests are held to no caps and count for none.
    everything = [
        message for message in all_messages(found) if message.channel != WEBHOOK and not message.run.startswith(TEST)
    ]
    for message in everything:
        at = decided_at(message)
        policy, workspace_zone = in_force(publications, message)
        people = together(found, decided_for(message), at, message.position)
        # What time alone decided came before what was published at the same instant, and before all that came after that.
        later = (position for position, published, _, _ in publications if published >= at)
        last = message.position or next(later, None)
        for cap in policy.caps:
            if not held_to(cap, definitions[message.message]):
                continue
            if cap.per is not None:
                start = at - parse_duration(cap.per)
            else:
                own = zone_of(str(message.attributes.get("timezone", "")))
                start = midnight(own or zone_of(workspace_zone or "UTC") or ZoneInfo("UTC"), at) - 1
            taken = [
                other.id
                for other in everything
                if start < decided_at(other) <= at
                and decided_for(other) in people
                and held_to(cap, definitions[other.message])
                and (last is None or other.position <= last)
            ]
            assert len(taken) <= cap.limit, (cap, taken)


def nothing_leaves_in_quiet_hours(found: Snapshot, plan: Plan) -> None:
    """Those that were in force when a message was decided: held until they are over, it leaves just then."""
    publications = policies(found)
    definitions = {data["name"]: msgspec.convert(data, MessageDefinition) for data in strategies.messages()}
    turns = {published for _, published, _, _ in publications}
    for message in all_messages(found):
        if message.channel == WEBHOOK:
            continue
        at = decided_at(message)
        policy, workspace_zone = in_force(publications, message)
        if message.run.startswith(TEST) or (at in turns and not message.position):
            continue  # what comes due at that very instant may be a journey's that goes on by the publication
        until = None
        if policy.quiet_hours is not None:
            quiet = compile_quiet(policy.quiet_hours)
            journey = plan.journeys[message.journey][message.journey_version].definition
            names = (str(message.attributes.get("timezone", "")), journey.zone, workspace_zone, "UTC")
            zone = next(zone for name in names if name and (zone := zone_of(name)))
            until = quiet.over(zone, at) if quiet.is_for(definitions[message.message]) else None
            assert until is None or not quiet.drop
        assert (message.decided_at if message.held_since else None) == until


Publications = list[tuple[int, int, Policy, str]]
"""Positions and instants, with the policy and the zone of the workspace from then on."""


def policies(found: Snapshot) -> Publications:
    publications = [(0, 0, Policy(), "")]
    for record in found.records:
        item = record.input()
        if isinstance(item, Publish):
            for data in item.definitions:
                if data["kind"] == "workspace":
                    policy = msgspec.convert(data.get("policy", {}), Policy)
                    publications.append((record.position, item.received_at, policy, data.get("zone", "")))
    return publications


def in_force(publications: Publications, message: Message) -> tuple[Policy, str]:
    """The policy, and the zone of the workspace, when a message was decided."""
    return next(
        (policy, zone)
        for position, published, policy, zone in reversed(publications)
        if (position < message.position if message.position else published < decided_at(message))
    )


def decided_at(message: Message) -> int:
    return message.held_since or message.decided_at


def held_to(cap: Cap, message: MessageDefinition) -> bool:
    purpose = cap.transactional or message.purpose == "marketing"
    fits = cap.channel in {"", message.channel} and cap.topic in {"", message.topic}
    return purpose and fits and not message.exempt


def decided_for(message: Message) -> str:
    """The contact that a message took its places of, as its id says.

    It may leave from another: quiet hours may hold it over a merge, and what was taken of two who were not yet one
    stays taken of each.
    """
    contact = contact_of_message(message.id)
    assert contact is not None
    return contact


def together(found: Snapshot, contact: str, at: int, position: int = 0) -> set[str]:
    """A contact and all that had become part of it before an instant, or at that instant by a place in the log."""
    people = {contact}
    for merged, entry in found.traces.get(contact, []):
        before = entry.at < at or (entry.at == at and merged <= position)
        if entry.what == What.MERGED and entry.reason == "with" and entry.detail and before:
            people |= together(found, entry.detail["contact"], entry.at + 1)
    return people


def nothing_is_sent_without_an_address(found: Snapshot) -> None:
    assert all(message.address for message in all_messages(found))


def what_was_entered_has_ended_or_is_under_way(found: Snapshot) -> None:
    """Of a person, that is: a run goes on in the contact that its own became part of."""
    entered: dict[str, list[str]] = {}
    over: dict[str, list[str]] = {}
    for id_, contact in found.contacts.items():
        person = who_is(found, id_)
        entries = [entry for _, entry in found.traces.get(id_, [])]
        entered.setdefault(person, []).extend(entry.run for entry in entries if entry.what == What.ENTERED)
        over.setdefault(person, []).extend(entry.run for entry in entries if entry.what == What.ENDED)
        over[person].extend(run for runs in contact.runs.values() for run in runs)
    for person, runs in entered.items():
        assert len(set(runs)) == len(runs)
        assert sorted(runs) == sorted(over[person])


def who_became_part_of_another_is_empty(found: Snapshot) -> None:
    for contact in found.contacts.values():
        if contact.merged_into:
            assert contact.id in found.contacts[contact.merged_into].merged
            kept = {"id", "time", "created", "merged", "merged_into"}
            rest = [getattr(contact, field) for field in contact.__struct_fields__ if field not in kept]
            assert not any(rest)


def who_was_erased_is_empty(found: Snapshot) -> None:
    for contact in erased(found):
        assert contact == Contact(contact.id, contact.time, erased_at=contact.erased_at)
        assert contact.id not in found.traces
        assert contact.id not in found.messages
        assert contact.id not in found.ledger
        records = [record.input() for record in found.records if record.contact == contact.id]
        assert [type(item) for item in records] == [Erased] * (len(records) - 1) + [Erase]
        assert not any(item.identities for item in records if isinstance(item, Erased))


def who_stays_has_what_they_did(found: Snapshot) -> None:
    gone = {contact.id for contact in erased(found)}
    for record in found.records:
        assert record.contact in gone or not isinstance(record.input(), Erased | Erase)


def traces_go_forward_in_time(found: Snapshot) -> None:
    for entries in found.traces.values():
        times = [entry.at for _, entry in entries]
        assert times == sorted(times)


def an_entry_is_laid_at_the_door_of_an_input_of_its_contact_and_instant(found: Snapshot) -> None:
    records = {record.position: record for record in found.records}
    for id_, entries in found.traces.items():
        for position, entry in entries:
            if position:
                assert records[position].contact == id_
                assert records[position].input().received_at == entry.at


def statistics_are_the_trace_counted(found: Snapshot) -> None:
    """And count what happened to contacts that were erased, whose trace is gone."""
    counted = traces_counted(found)
    if erased(found):
        assert all(count <= found.statistics[place] for place, count in counted.items())
    else:
        assert counted == found.statistics


def the_outbox_is_counted_right(found: Snapshot) -> None:
    """Sent messages of contacts that were erased are counted, and gone."""
    counted = Counter((message.channel, message.message, found.states[message.id]) for message in all_messages(found))
    gone = {"sent", "failed"} if erased(found) else set()
    assert all(count <= found.outbox[place] for place, count in counted.items())
    assert {place: count for place, count in counted.items() if place[2] not in gone} == {
        place: count for place, count in found.outbox.items() if place[2] not in {"cancelled", *gone}
    }


def an_identity_belongs_to_one_contact(found: Snapshot) -> None:
    claimed = [(identity, id_) for id_, contact in found.contacts.items() for identity in contact.identities]
    assert dict(claimed) == found.identities
    assert len(claimed) == len(found.identities)


def the_log_has_no_gap_and_no_key_twice_and_goes_forward(found: Snapshot) -> None:
    assert [record.position for record in found.records] == list(range(1, len(found.records) + 1))
    assert len({record.key for record in found.records}) == len(found.records)
    latest: dict[str, int] = {}
    for record in found.records:
        # Of each contact: what follows from a timer that fires late is as old as the timer.
        item = record.input()
        assert latest.get(record.contact, 0) <= item.received_at
        assert item.occurred_at <= item.received_at
        latest[record.contact] = item.received_at


def the_first_timer_is_the_one_the_store_tells_of(found: Snapshot) -> None:
    assert found.due == {id_: contact.next_due for id_, contact in found.contacts.items() if contact.timers}


def a_balance_is_the_sum_of_its_entries(found: Snapshot) -> None:
    for id_, contact in found.contacts.items():
        sums: dict[str, list[int]] = {}
        for entry in found.ledger.get(id_, []):
            known = sums.setdefault(entry.programme, [0, 0, 0])
            known[0] += entry.amount
            known[1] += entry.held
            known[2] += 1
            assert known == [entry.balance, entry.pending, entry.sequence]
        expected = {name: [m.balance, m.held, m.sequence] for name, m in contact.loyalty.items() if m.sequence}
        if contact.merged_into:
            assert all(known[:2] == [0, 0] for known in sums.values())
        else:
            assert sums == expected


def entries_have_ids_of_their_own_and_go_forward_in_time(found: Snapshot) -> None:
    everything = [entry for entries in found.ledger.values() for entry in entries]
    assert len({entry.id for entry in everything}) == len(everything)
    for entries in found.ledger.values():
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    records = {record.position: record for record in found.records}
    for entry in everything:
        if entry.position:
            assert records[entry.position].contact == entry.contact
            assert records[entry.position].input().received_at == entry.at


def nothing_goes_below_zero_but_by_a_refund(found: Snapshot) -> None:
    for entries in found.ledger.values():
        for entry in entries:
            assert entry.pending >= 0
            if entry.kind in {"spent", "expired", "adjusted", "transferred"} and entry.amount < 0:
                assert entry.balance >= 0


def expiry_and_reversal_create_no_points(found: Snapshot) -> None:
    """Of what a lot gave, no more is gone than it gave; of a lot that moved with its contact, both ledgers tell."""
    given: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    empty = {
        entry.id: (entry.kind, entry.held, entry.reason) == ("pending", 0, "review")
        for entries in found.ledger.values()
        for entry in entries
    }
    for entries in found.ledger.values():
        for entry in entries:
            if entry.kind in {"expired", "reversed"}:
                # Only what a rule without points gave is of none.
                assert entry.amount + entry.held < 0 or (entry.kind, empty.get(entry.lot)) == ("reversed", True)
                gone[entry.lot] -= entry.amount + entry.held
            elif not entry.lot:
                given[entry.id] += entry.amount + entry.held
            else:
                assert (entry.kind, entry.amount) == ("earned", -entry.held)
    # What was erased gave points that may have moved before.
    if not erased(found):
        assert all(points <= given[lot] for lot, points in gone.items())


def a_transfer_comes_to_nothing_and_its_entries_name_each_other(found: Snapshot) -> None:
    """Of a contact that was erased, the entries are gone; what others gave it stays given."""
    sums: Counter[str] = Counter()
    sides: dict[str, set[tuple[str, str]]] = {}
    for entries in found.ledger.values():
        for entry in entries:
            if entry.kind == "transferred":
                sums[entry.reference] += entry.amount
                sides.setdefault(entry.reference, set()).add((entry.contact, entry.other))
    for transfer, pairs in sides.items():
        giver, receiver = min(pairs)
        assert giver != receiver
        if not any(found.contacts[id_].erased_at for id_ in (giver, receiver)):
            assert sums[transfer] == 0
            assert pairs == {(giver, receiver), (receiver, giver)}


def days_are_the_entries_counted(found: Snapshot) -> None:
    """And those of contacts that were erased, whose entries are gone and whose points are."""
    counted = entries_counted(found)
    if not erased(found):
        assert counted == found.days
    assert sum(total.amount for total in found.days.values()) == sum(
        member.balance for contact in found.contacts.values() for member in contact.loyalty.values()
    )
    assert sum(total.held for total in found.days.values()) == sum(
        member.held for contact in found.contacts.values() for member in contact.loyalty.values()
    )


def budgets_are_kept(found: Snapshot, plan: Plan) -> None:
    """Of every budget no more was given than there is, by what was counted and by the ledgers."""
    rules = [rule for rule in plan.loyalty.rules.values() if rule.budget]
    awards = {entry.id: entry for entries in found.ledger.values() for entry in entries if not entry.lot}
    for rule in rules:
        for one in rule.budget:
            counted = budget.decoded(found.budgets.get(budget.name_of(one.key), ""))
            assert all(not one.times or times <= one.times for times, _ in counted.values())
            assert all(not one.points or points <= one.points for _, points in counted.values())
            if erased(found):
                continue  # with what was given
            points: Counter[int] = Counter()
            for entries in found.ledger.values():
                for entry in entries:
                    award = awards.get(entry.lot or entry.id)
                    if award is None or award.rule != rule.name or (entry.lot and entry.kind != "reversed"):
                        continue
                    period = budget.period_of(one.unit, award.occurred_at, rule.programme.zone)
                    points[period] += entry.amount + entry.held
            assert +points == +Counter({period: given for period, (_, given) in counted.items()})


OF_A_STORE = (
    message_ids_are_unique,
    every_message_has_its_entry_in_the_trace_and_the_other_way_round,
    caps_are_never_exceeded,
    nothing_is_sent_without_an_address,
    what_was_entered_has_ended_or_is_under_way,
    who_became_part_of_another_is_empty,
    who_was_erased_is_empty,
    who_stays_has_what_they_did,
    traces_go_forward_in_time,
    an_entry_is_laid_at_the_door_of_an_input_of_its_contact_and_instant,
    statistics_are_the_trace_counted,
    the_outbox_is_counted_right,
    an_identity_belongs_to_one_contact,
    the_log_has_no_gap_and_no_key_twice_and_goes_forward,
    the_first_timer_is_the_one_the_store_tells_of,
    a_balance_is_the_sum_of_its_entries,
    entries_have_ids_of_their_own_and_go_forward_in_time,
    nothing_goes_below_zero_but_by_a_refund,
    expiry_and_reversal_create_no_points,
    a_transfer_comes_to_nothing_and_its_entries_name_each_other,
    days_are_the_entries_counted,
)


def check_invariants(found: Snapshot, plan: Plan) -> None:
    """Fail with the name of the rule that is broken, as the function that fails."""
    for contact in found.contacts.values():
        for rule in OF_A_CONTACT:
            rule(contact, plan)
    for whole in OF_A_STORE:
        whole(found)
    for of_both in (
        entries_are_as_often_as_allowed,
        no_run_stays_whose_exit_is_met_nor_a_goal_that_is_true,
        goals_are_reached_once_and_after_the_entry,
        nothing_leaves_in_quiet_hours,
        budgets_are_kept,
    ):
        of_both(found, plan)


def all_messages(found: Snapshot) -> list[Message]:
    return [message for messages in found.messages.values() for message in messages]


def erased(found: Snapshot) -> list[Contact]:
    return [contact for contact in found.contacts.values() if contact.erased_at]


def traces_counted(found: Snapshot) -> dict[Statistic, int]:
    return dict(
        Counter(
            (entry.journey, entry.version, entry.step, entry.what, entry.reason)
            for entries in found.traces.values()
            for _, entry in entries
            if not entry.run.startswith(TEST)
        )
    )


def entries_counted(found: Snapshot) -> dict[LedgerDay, Total]:
    days: dict[LedgerDay, list[int]] = {}
    for entries in found.ledger.values():
        for entry in entries:
            total = days.setdefault((entry.programme, entry.day, entry.kind), [0, 0, 0])
            total[:] = total[0] + 1, total[1] + entry.amount, total[2] + entry.held
    return {day: Total(*total) for day, total in days.items()}


def who_is(found: Snapshot, id_: str) -> str:
    """The contact that stands for a person: the one that others became part of."""
    while into := found.contacts[id_].merged_into:
        id_ = into
    return id_
