"""Run a scenario: each step moves the clock, lets something happen, and looks.

What is written is in force in this order, all at the first instant: definitions that are no journeys, the items of
catalogues, the contacts, the journeys. So a contact that is known at first is a member of a segment when a journey
reads it, and is not "new".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from parcours.errors import InvalidDefinitionError
from parcours.runtimes.engine import Duplicate, Outcome, Refused
from parcours.sources.segment import MalformedError
from parcours.testing.scenarios.doing import DOES
from parcours.testing.scenarios.expecting import unmet
from parcours.testing.scenarios.format import Step
from parcours.testing.scenarios.hosts import Host
from parcours.testing.scenarios.looking import Look
from parcours.testing.scenarios.reading import Scenario, happens, key_of_data, shown_path
from parcours.testing.scenarios.timeline import Line, timeline
from parcours.testing.scenarios.times import length_in
from parcours.testing.scenarios.world import UnexpectedError, World


class Failure(msgspec.Struct):
    """Why a scenario is not as it says."""

    file: str
    line: int
    messages: list[str]
    """What was expected and what was found instead, one each."""
    when: str
    """The instant, as people read it."""
    who: str = ""
    happened: list[Line] = msgspec.field(default_factory=list)
    """The whole timeline of the contact it is about, with the looks at it."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: {self.when}"
        lines = [f"{place}: {message}" for message in self.messages]
        if self.who:
            lines.append(f"what happened to {self.who}:")
            lines += [f"  {line}" for line in self.happened] or ["  nothing"]
        return "\n".join(lines)


class Result(msgspec.Struct):
    """What became of a scenario on a host."""

    scenario: str
    file: str
    line: int
    host: str
    seconds: float
    failure: Failure | None = None


def run(scenario: Scenario, host: Callable[[int], Host], name: str = "") -> Result:
    """Run a scenario on a host that is made for it."""
    began = time.perf_counter()
    world = World(scenario, host(scenario.start))
    try:
        failure = play(world)
    finally:
        world.host.close()
    return Result(scenario.name, shown_path(scenario.file), scenario.line, name, time.perf_counter() - began, failure)


def play(world: World) -> Failure | None:
    """Run every step; return the first failure."""
    scenario = world.scenario
    looked: dict[str, list[tuple[int, Line]]] = {}
    try:
        _begin(world)
    except (UnexpectedError, InvalidDefinitionError, MalformedError) as error:
        return _failure(world, scenario.pointer, [str(error)], "")
    for index, step in enumerate(scenario.steps):
        pointer = f"{scenario.steps_pointer}/{index}"
        who = step.who or next(iter(scenario.contacts), "")
        try:
            _do(world, step, who, pointer)
        except UnexpectedError as error:
            return _failure(world, pointer, [_noted(step, str(error))], who, looked.get(who, ()))
        looks = step.expect if isinstance(step.expect, list) else [step.expect] if step.expect else []
        if looks:
            world.host.settle()
        views: dict[str, Look] = {}  # several expectations of one contact, such as one for each key, look at the same
        for place, expect in enumerate(looks):
            of = expect.who or who
            at = f"{pointer}/expect/{place}" if isinstance(step.expect, list) else f"{pointer}/expect"
            if of not in views:
                views[of] = world.look(of)
            problems = unmet(expect, views[of])
            line = Line("", "looked" if not problems else "✗ not so", why=f"line {scenario.line_of(at)}")
            looked.setdefault(of, []).append((world.now, line))
            if problems:
                below, messages = problems[0][0], [_noted(step, message) for _, message in problems]
                return _failure(world, f"{at}/{below}", messages, of, looked[of])
    return None


def _failure(
    world: World, pointer: str, messages: list[str], who: str, looks: Iterable[tuple[int, Line]] = ()
) -> Failure:
    scenario = world.scenario
    world.host.settle()
    happened = timeline(world.host.store, world.ids_of(who), scenario.zone, looks) if who else []
    line = scenario.line_of(pointer)
    return Failure(shown_path(scenario.file), line, messages, world.shown(world.now), who, happened)


def _begin(world: World) -> None:
    scenario = world.scenario
    journeys = [item for item in scenario.definitions if key_of_data(item.definition)[0] == "journey"]
    others = [item for item in scenario.definitions if key_of_data(item.definition)[0] != "journey"]
    world.publish(others)
    for catalogue, items in scenario.items.items():
        world.stock(catalogue, items)
    for name, known in scenario.contacts.items():
        if known is not None:
            _accepted(world.send(world.identities(name), world.known(name, known)), "")
    world.publish(journeys)


def _do(world: World, step: Step, who: str, pointer: str) -> None:
    world.host.begin_step()
    try:
        if step.at is not None:
            to = world.instant(step.at)
            if to < world.now:
                raise UnexpectedError(f"the clock stands at {world.shown(world.now)}, and does not go back")
            world.host.advance(to)
        elif step.after is not None:
            world.host.advance(world.now + length_in(step.after))
    except ValueError as error:
        raise UnexpectedError(str(error)) from None
    inputs = happens(step)
    if not inputs:
        return
    try:
        found = DOES[inputs[0]](world, step, who, pointer)
    except InvalidDefinitionError as error:
        if step.outcome and step.outcome in {problem.code for problem in error.problems}:
            return
        codes = ", ".join(dict.fromkeys(problem.code for problem in error.problems))
        raise UnexpectedError(f"this was refused with {codes}: {error}") from None
    except MalformedError as error:
        found = Refused(error.problem)
    _accepted(found, step.outcome)


def _accepted(outcome: Outcome | None, wanted: str) -> None:
    found, said = "", "was accepted"
    if isinstance(outcome, Duplicate):
        found, said = "duplicate", "was a duplicate"
    elif isinstance(outcome, Refused):
        found, said = outcome.problem.code, f"was refused with {outcome.problem.code!r}: {outcome.problem}"
    if found != wanted:
        raise UnexpectedError(f"this {said}" + (f", not {wanted!r}" if wanted else ""))


def _noted(step: Step, message: str) -> str:
    return f"{message} [{step.note}]" if step.note else message
