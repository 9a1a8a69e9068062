"""Fork and join: a run in several places at once.

| when                               | what                                                                              |
|------------------------------------|-----------------------------------------------------------------------------------|
| a token comes to a fork            | it becomes one token for each branch; all of them belong to this fork             |
| a token comes to a join            | it waits there for the tokens of its innermost fork that are still alive          |
| all of them wait at joins          | those at the same join become one token, which goes on and belongs to the fork no |
|                                    | more                                                                              |
| one of them ends somewhere else    | nobody waits for it any longer                                                    |
| a token comes to a join alone, or  | it goes on at once                                                                |
| belongs to no fork                 |                                                                                   |

So a join never waits for ever: whoever it waits for moves, ends, or waits at a join itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from parcours.core.compiled import CompiledStep
from parcours.core.contact import Token
from parcours.core.effects import What
from parcours.core.walk import Outcome, Spread, Walk
from parcours.definitions.steps import Fork, Join

MOST_TOKENS = 100
"""Tokens that one run may have: branches beyond that are skipped."""

DEEPEST_FORKS = 32
"""Forks within one another that a token remembers: of more, the outermost is forgotten."""

UNDER_WAY = ""
"""The step of a token that stands nowhere, since it is about to go on."""


def fork(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Make one token for each branch, the one that came among them."""
    step, run = compiled.definition, walk.run
    assert isinstance(step, Fork)  # noqa: S101 (the table of steps pairs types and functions)
    name, place = token.step, run.tokens.index(token)
    room = max(1, MOST_TOKENS - len(run.tokens) + 1)
    for skipped in step.branches[room:]:
        walk.note(What.SKIPPED, name, "too_many_tokens", {"branch": skipped})
    run.made += 1
    forks = [*token.forks, run.made][-DEEPEST_FORKS:]
    ways = []
    for branch in step.branches[:room]:
        walk.note(What.BRANCHED, name, branch)
        run.made += 1
        ways.append((Token(run.made, UNDER_WAY, walk.now, list(forks)), branch))
    run.tokens[place : place + 1] = [made for made, _ in ways]
    return Spread(tuple(ways))


def join(walk: Walk, token: Token, compiled: CompiledStep) -> Outcome:
    """Wait for the other tokens of the fork, unless there are none that could still come."""
    step = compiled.definition
    assert isinstance(step, Join)  # noqa: S101 (the table of steps pairs types and functions)
    if not token.forks:
        walk.note(What.PASSED, token.step, "next")
        return step.next
    return Spread(freed(walk, (token.forks[-1],)))


def freed(walk: Walk, forks: Iterable[int]) -> tuple[tuple[Token, str | None], ...]:
    """Return the tokens that go on because nobody of their fork is waited for any longer, with where they go."""
    run, steps = walk.run, walk.journey.steps
    ways: list[tuple[Token, str | None]] = []
    for number in forks:
        alive = [token for token in run.tokens if number in token.forks]
        if any(
            token.forks[-1] != number or token.step == UNDER_WAY or not isinstance(steps[token.step].definition, Join)
            for token in alive
        ):
            continue
        first: dict[str, Token] = {}
        for token in alive:
            if first.setdefault(token.step, token) is not token:
                walk.note(What.PASSED, token.step, "merged")
                run.tokens.remove(token)
        for name, token in first.items():
            definition = steps[name].definition
            assert isinstance(definition, Join)  # noqa: S101 (looked at above)
            walk.note(What.PASSED, name, "next")
            token.forks.pop()
            token.step = UNDER_WAY
            ways.append((token, definition.next))
    return tuple(ways)
