"""Steps at which a token goes one of several ways: decision, split, experiment."""

from __future__ import annotations

from parcours.conditions.samples import place
from parcours.core.compiled import CompiledStep
from parcours.core.contact import Token
from parcours.core.effects import What
from parcours.core.walk import Outcome, Walk, ask_in_run
from parcours.definitions.steps import Decision, Split


def decide(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Go one way when the condition is true, the other when it is not."""
    step, question = compiled.definition, compiled.question
    assert isinstance(step, Decision)  # noqa: S101 (the table of steps pairs types and functions)
    assert question is not None  # noqa: S101 (compiled with every decision)
    answer = ask_in_run(question, walk.contact, walk.run.facts, walk.run, walk.now)
    walk.note(What.BRANCHED, token.step, "then" if answer else "else", {"if": question.text})
    return step.then if answer else step.otherwise


def split(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Go the way of the first branch whose condition is true."""
    step, run = compiled.definition, walk.run
    assert isinstance(step, Split)  # noqa: S101 (the table of steps pairs types and functions)
    for choice in compiled.choices:
        if ask_in_run(choice.question, walk.contact, run.facts, run, walk.now):
            walk.note(What.BRANCHED, token.step, choice.name, {"if": choice.question.text})
            return choice.next
    walk.note(What.BRANCHED, token.step, "else")
    return step.otherwise


def draw(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Go the way that the contact drew: the same at each visit, whatever else is drawn."""
    drawn = place(f"experiment:{walk.journey.name}:{token.step}", walk.contact.id)
    share = next(share for share in compiled.shares if drawn < share.upto)
    walk.note(What.BRANCHED, token.step, share.name)
    if token.step not in walk.run.drawn:
        walk.run.drawn[token.step] = share.name
        walk.note(What.DREW, token.step, share.name)
    return share.next
