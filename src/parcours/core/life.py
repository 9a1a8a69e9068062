"""What a journey's coming into another state means for the runs and entries of a contact.

| state before → now  | runs                                        | entries that were held  |
|---------------------|---------------------------------------------|-------------------------|
| any → `paused`      | stay where they are; timers go on the shelf, those of messages in quiet hours, too |  |
| `paused` → `live`   | timers come back                            | enter                   |
| `paused` → other    | timers come back                            | are refused             |
| any → `stopped`     | end                                         | are refused             |
| `test` → other      | those of tests end                          |                         |

What came due during the pause comes due at the instant in which it ends, in the order in which it would have; entries
come after, in the order in which they were held. A contact is brought through all of this before anything else happens
to it, and everybody is before a journey comes into yet another state.
"""

from __future__ import annotations

from bisect import insort

from parcours.core.aims import look_at_aims
from parcours.core.codec import decode_message
from parcours.core.contact import DATE, DELAYED, Contact, Timer
from parcours.core.effects import Effects, Trace, What
from parcours.core.ending import end_run
from parcours.core.moves import move_runs
from parcours.core.plan import Plan
from parcours.core.policy import may_leave
from parcours.core.runs import enter
from parcours.core.walk import Walk, drop_timers

HELD = -4
"""The token of the timer that lets a held entry in."""


def live_on(plan: Plan, contact: Contact, effects: Effects) -> None:
    """Let a contact's runs follow the states of their journeys. The contact is changed."""
    if not (contact.runs or contact.shelf or contact.held or contact.delayed):
        return
    _end(plan, contact, effects)
    move_runs(plan, contact, effects)
    _pause(plan, contact, effects)
    _go_on(plan, contact, effects)


def let_in(plan: Plan, contact: Contact, timer: Timer, effects: Effects) -> None:
    """The timer of a held entry came due. The contact is changed."""
    for index, held in enumerate(contact.held):
        if held.journey == timer.journey:
            del contact.held[index]
            journey = plan.newest[held.journey]
            enter(plan, contact, journey, held.attributes, held.position, timer.due, effects, held.cause)
            return


def _end(plan: Plan, contact: Contact, effects: Effects) -> None:
    for name in sorted(plan.stopping | plan.tested):
        reason = "stopped" if name in plan.stopping else "test_over"
        for run in list(contact.runs.get(name, {}).values()):
            if run.test or name in plan.stopping:
                walk = Walk(plan, contact, plan.journeys[name][run.version], run, plan.revised_at, effects)
                end_run(walk, reason)
    for delayed in list(contact.delayed) if plan.stopping else ():
        message = decode_message(delayed.body)
        if message.journey in plan.stopping:
            contact.delayed.remove(delayed)
            drop_timers(contact, delayed.id, DELAYED)
            detail = {"message_id": delayed.id}
            place = message.journey, delayed.version, message.run, delayed.step
            effects.trace.append(Trace(plan.revised_at, What.CANCELLED, *place, "stopped", detail))


def _pause(plan: Plan, contact: Contact, effects: Effects) -> None:
    """Put the timers of paused journeys on the shelf."""
    if not plan.paused:
        return
    # Dates come all the same: their entries are held, or not let in.
    pausing = [timer for timer in contact.timers if timer.journey in plan.paused and timer.token != DATE]
    if pausing:
        contact.timers = [timer for timer in contact.timers if timer not in pausing]
        contact.shelf = sorted(contact.shelf + pausing)
        _tell(contact, {timer.run for timer in pausing}, What.PAUSED, plan, effects)


def _go_on(plan: Plan, contact: Contact, effects: Effects) -> None:
    """Take the timers of journeys that are no longer paused from the shelf, and let in whom they kept waiting."""
    at, paused = plan.revised_at, plan.paused
    back = [timer for timer in contact.shelf if timer.journey not in paused]
    if back:
        contact.shelf = [timer for timer in contact.shelf if timer.journey in paused]
        for timer in back:
            if timer.due <= at:
                # A new place in the order of creation: at one instant they fire as they would have, one after another.
                contact.created += 1
                due = may_leave(plan, contact, timer.run, at) if timer.token == DELAYED else at
                timer = Timer(due, contact.created, timer.journey, timer.run, timer.token)  # noqa: PLW2901 (as it is now)
            insort(contact.timers, timer)
        _tell(contact, {timer.run for timer in back}, What.RESUMED, plan, effects)
        look_at_aims(plan, contact, sorted({timer.journey for timer in back}), at, effects)
    for held in list(contact.held):
        state = plan.states[held.journey]
        if state == "live":
            contact.created += 1
            insort(contact.timers, Timer(at, contact.created, held.journey, "", HELD))
        elif state != "paused":
            contact.held.remove(held)
            version = plan.newest[held.journey].version
            effects.trace.append(Trace(at, What.REFUSED, held.journey, version, "", "", state))


def _tell(contact: Contact, runs: set[str], what: str, plan: Plan, effects: Effects) -> None:
    found = [run for of_journey in contact.runs.values() for run in of_journey.values() if run.id in runs]
    effects.trace += [Trace(plan.revised_at, what, run.journey, run.version, run.id) for run in found]
