"""What each type of step does when a token arrives: one row of `STEPS` for each.

The rules this file keeps:

| step       | on arrival                                            | later                                              |
|------------|-------------------------------------------------------|----------------------------------------------------|
| send       | each message: permitted → SENT or HELD, else          | quiet hours are over → SENT, or SUPPRESSED         |
|            | SUPPRESSED;                                           |                                                    |
|            | none sent → `suppressed` if drawn, else `next`        |                                                    |
| wait       | parks with a timer; `until` what is over → `next`     | timer → `next`                                     |
| wait_for   | parks, with a timer if it has a timeout; one `until`  | first matching event → its branch; timer → timeout |
|            | what is over → timeout; what came since the run began |                                                    |
|            | → its branch, with `accept_prior`                     |                                                    |
| decision   | condition true → `then`, else → `else`                |                                                    |
| split      | first branch whose condition is true, else → `else`   |                                                    |
| experiment | the branch that the contact drew                      |                                                    |
| fork       | one token for each branch                             |                                                    |
| join       | waits for the tokens of its fork that are alive       | the last one comes or ends → one token at `next`   |
| webhook    | the call goes to the outbox; parks if `save` or       | answered → `next`; failed → `failed`, else `next`  |
|            | `failed` is there, else → `next`                      |                                                    |
| update,    | an input of the contact follows at once; parks until  | → `next`, at the same instant                      |
| list,      | it has happened; what is not as declared is SKIPPED   |                                                    |
| record,    |                                                       |                                                    |
| start,     |                                                       |                                                    |
| award,     |                                                       |                                                    |
| enrol      |                                                       |                                                    |
| give       | the same                                              | issued → `next`, else → `unavailable`, or `next`   |
| end        | the token ends                                        |                                                    |

A token that is led nowhere ends; a run whose last token ended has ended, and so has one whose time is up. A token that
leaves a step takes the step's timer with it; a run that ends takes all of its timers. A message's id is derived from
run, step and visit, so the same decision is the same message.
"""

from __future__ import annotations

from collections.abc import Callable

from parcours.core import ids
from parcours.core.acting import award, enlist, enrol, give, record, start, update
from parcours.core.calls import call
from parcours.core.choices import decide, draw, split
from parcours.core.compiled import CompiledStep
from parcours.core.contact import Sent, Token
from parcours.core.deciding import decided
from parcours.core.effects import What
from parcours.core.forks import fork, join
from parcours.core.memory import remember_message
from parcours.core.permission import address
from parcours.core.policy import hold, rule
from parcours.core.waiting import wait, wait_for
from parcours.core.walk import Outcome, Walk
from parcours.definitions.steps import (
    Award,
    Decision,
    End,
    Enlist,
    Enrol,
    Experiment,
    Fork,
    Give,
    Join,
    Record,
    Send,
    Split,
    Start,
    Step,
    Update,
    Wait,
    WaitFor,
    Webhook,
)


def _send(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    step = compiled.definition
    assert isinstance(step, Send)  # noqa: S101 (the table below pairs types and functions)
    contact, run, name = walk.contact, walk.run, token.step
    visit = run.visits.get(name, 0)
    run.visits[name] = visit + 1
    sent = 0
    for message in walk.plan.in_order(step.messages, walk.journey):
        known = walk.plan.messages[message]
        definition = known.definition
        ruling = rule(walk, known)
        if ruling.refused:
            detail = {"message": message, "cap": ruling.cap} if ruling.cap else {"message": message}
            walk.note(What.SUPPRESSED, name, ruling.refused, detail)
            continue
        sent += 1
        identity = ids.message_id(contact.id, run.id, name, visit, message)
        if walk.journey.reacts:
            run.messages.setdefault(message, []).append(identity)
        channel = definition.channel
        # A test without a recipient for the channel is refused by the ruling.
        to = walk.plan.tests[run.journey].recipients[channel] if run.test else address(contact, channel) or ""
        priority = walk.plan.priority(definition, walk.journey)
        item = decided(walk, name, identity, channel, to, message, known.version, priority)
        if ruling.until:
            hold(walk, item, name, ruling.until)
            continue
        if walk.plan.remembers_messages:
            remember_message(contact, identity, Sent(message, channel, walk.now))
        walk.note(What.SENT, name, message, {"message_id": identity})
        walk.effects.messages.append(item)
    return step.suppressed if not sent and step.suppressed is not None else step.next


def _end(_walk: Walk, _token: Token, _compiled: CompiledStep) -> Outcome:
    return None


STEPS: dict[type[Step], Callable[[Walk, Token, CompiledStep], Outcome]] = {
    Send: _send,
    Wait: wait,
    WaitFor: wait_for,
    Decision: decide,
    Split: split,
    Experiment: draw,
    Fork: fork,
    Join: join,
    Webhook: call,
    Update: update,
    Enlist: enlist,
    Record: record,
    Start: start,
    Award: award,
    Enrol: enrol,
    Give: give,
    End: _end,
}
"""What each type of step does when a token arrives."""
