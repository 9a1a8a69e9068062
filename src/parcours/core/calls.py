"""Webhooks: a step calls another service, and what that answers comes back as an input.

| when                                      | what                                                                      |
|-------------------------------------------|---------------------------------------------------------------------------|
| a token comes to the step                 | the call goes to the outbox, with an id derived from run, step and visit  |
| nothing is saved and `failed` leads nowhere | the token goes on at once, whatever becomes of the call                 |
| else                                      | it waits for the answer                                                   |
| the service answered                      | `answered`: what it said is saved in the run; the token goes on at `next` |
| it refused, or did not answer in all tries | `failed`: so is what went wrong; at `failed`, else at `next`             |

A call is made at least once: its id (`Idempotency-Key`) is the same each time. Runs of tests call nobody.
"""

from __future__ import annotations

from parcours.core import ids
from parcours.core.compiled import CompiledStep
from parcours.core.contact import Contact, Timer, Token
from parcours.core.deciding import decided
from parcours.core.effects import Effects, What
from parcours.core.inputs import Reaction
from parcours.core.plan import Plan
from parcours.core.walk import PARK, Outcome, Walk, put_on_shelf
from parcours.definitions.message import WEBHOOK
from parcours.definitions.steps import Webhook

ANSWERED, FAILED = "answered", "failed"

ANSWERS = frozenset({ANSWERED, FAILED})
"""Reactions by which the outbox tells what became of a call; nobody else may."""


def call(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Decide a call, and wait for its answer if somebody wants to know."""
    step = compiled.definition
    assert isinstance(step, Webhook)  # noqa: S101 (the table of steps pairs types and functions)
    contact, run, name = walk.contact, walk.run, token.step
    visit = run.visits.get(name, 0)
    run.visits[name] = visit + 1
    if run.test:
        walk.note(What.SKIPPED, name, "test")
        return step.next
    identity = ids.message_id(contact.id, run.id, name, visit, WEBHOOK)
    walk.note(What.CALLED, name, "", {"message_id": identity})
    walk.effects.messages.append(decided(walk, name, identity, WEBHOOK, step.url, name, run.version))
    if not step.save and step.failed is None:
        return step.next
    contact.awaits[identity] = (run.journey, run.id, token.id)
    return PARK


def take_answer(plan: Plan, contact: Contact, item: Reaction, effects: Effects) -> tuple[Walk, Token] | None:
    """Keep what became of a call; return the token that goes on, if one waits and its journey is not paused."""
    awaited = contact.awaits.pop(item.message, None)
    run = contact.runs.get(awaited[0], {}).get(awaited[1]) if awaited is not None else None
    if awaited is None or run is None:
        return None
    token = next((token for token in run.tokens if token.id == awaited[2]), None)
    journey = plan.journeys[run.journey][run.version]
    step = journey.steps[token.step].definition if token is not None else None
    if token is None or not isinstance(step, Webhook):
        return None
    if step.save:
        run.data[step.save] = dict(item.attributes)
    run.seen[came_of(token)] = int(item.reaction == ANSWERED)
    if run.journey in plan.paused:
        # Nothing moves now; it comes due when the pause is over.
        put_on_shelf(contact, Timer(item.received_at, 0, run.journey, run.id, token.id))
        return None
    return Walk(plan, contact, journey, run, item.received_at, effects), token


def came_of(token: Token) -> str:
    """Return under what a run remembers whether the call that a token waits for was answered."""
    return f"call:{token.id}"
