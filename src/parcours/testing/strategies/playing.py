"""Playing scenarios: what was drawn becomes a script, which can be played again in another way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from parcours.core import inputs
from parcours.core.gate import Arrival, Reacted
from parcours.definitions.load import dump
from parcours.definitions.message import LINES, WEBHOOK
from parcours.runtimes.simulation import Simulation
from parcours.testing.strategies.moves import Comes, Erases, Lives, Moves, Passes, Publishes, Reacts, Repeats
from parcours.testing.strategies.names import Data
from parcours.testing.strategies.scenarios import Scenario

_MANY = 1_000_000


class Step(msgspec.Struct):
    """One thing that happened, with nothing left to be chosen: at an instant, arrivals, a publication or an erasure."""

    at: int
    arrivals: list[Arrival]
    definitions: list[Data] = msgspec.field(default_factory=list)
    erased: str = ""
    """A contact."""
    suppress: bool = False
    move: inputs.Move | None = None


def _reaction(move: Reacts, message: str, *, call: bool) -> Reacted:
    """Return a reaction to a message, or what became of a call."""
    if not call:
        return Reacted(move.reaction, message, move.attributes)
    came = "answered" if move.choice % 3 else "failed"
    return Reacted(came, message, {"status": 200, "body": {"age": move.choice % 3}}, ours=True)


def play(simulation: Simulation, scenario: Scenario) -> list[Step]:  # noqa: C901 (one case for each kind of move)
    """Let a scenario happen in a new simulation that stands at `START`, and return the script of what happened."""
    script: list[Step] = []
    so_far: list[Arrival] = []
    messages: set[str] = set()
    calls: set[str] = set()

    def happen(step: Step) -> None:
        script.append(step)
        perform(simulation, [step])

    def come(move: Comes) -> None:
        now = simulation.clock.now()
        age = move.age or None
        occurred_at = age and now - age
        arrival = Arrival("test", f"m{len(so_far)}", move.identities, _copy(move.what), occurred_at, move.backfill)
        so_far.append(arrival)
        happen(Step(now, [arrival]))

    def erase(move: Erases) -> None:
        there = [contact.id for contact in simulation.store.scan(limit=_MANY) if not contact.erased_at]
        if there:
            messages.update(message.id for message in simulation.messages(LINES))
            happen(Step(simulation.clock.now(), [], [], there[move.choice % len(there)], move.suppress))

    for known in scenario.known:
        come(known)
    happen(Step(simulation.clock.now(), [], scenario.definitions))
    for move in scenario.moves:
        match move:
            case Comes():
                come(move)
            case Passes():
                happen(Step(simulation.clock.now() + move.milliseconds, []))
            case Publishes():
                happen(Step(simulation.clock.now(), [], move.definitions))
            case Lives():
                of_journey = list(simulation.engine.plan.workspace.journeys.values())
                definition = of_journey[move.choice % len(of_journey)]
                happen(Step(simulation.clock.now(), [], [dump(definition) | move.changes]))
            case Moves():
                happen(Step(simulation.clock.now(), [], move=_chosen(simulation, move)))
            case Repeats() if so_far:
                happen(Step(simulation.clock.now(), [so_far[move.choice % len(so_far)]]))
            case Erases():
                erase(move)
            case Reacts() if sent := messages.union(message.id for message in simulation.messages(LINES)):
                calls.update(message.id for message in simulation.messages((WEBHOOK,)))
                # Messages of different contacts are in no order that matters.
                message = sorted(sent)[move.choice % len(sent)]
                reaction = _reaction(move, message, call=message in calls)
                so_far.append(Arrival("test", f"m{len(so_far)}", (), reaction))
                happen(Step(simulation.clock.now(), [so_far[-1]]))
            case _:
                pass
    return script


def _chosen(simulation: Simulation, move: Moves) -> inputs.Move:
    names = sorted(simulation.engine.plan.journeys)
    name = names[move.choice % len(names)]
    versions = simulation.engine.plan.journeys[name]
    before, after = 1 + move.before % len(versions), 1 + move.after % len(versions)
    to = sorted(versions[after].steps)
    steps = {
        step: to[move.steps[index % len(move.steps)] % len(to)]
        for index, step in enumerate(sorted(versions[before].steps))
    }
    return inputs.Move(name, before, after, steps)


def perform(simulation: Simulation, script: Iterable[Step]) -> None:
    """Let a script happen, one step after the other."""
    for step in script:
        simulation.advance(step.at)
        if step.definitions:
            simulation.publish(step.definitions)
        if step.move is not None:
            simulation.move(step.move)
        if step.erased:
            simulation.engine.erase(step.erased, suppress=step.suppress)
        if step.arrivals:
            simulation.send(*[copy_of(arrival) for arrival in step.arrivals])


def perform_late(simulation: Simulation, script: Iterable[Step], *, never: bool) -> None:
    """Let a script without moves happen, with a look at timers once a step; with `never` only where an input asks for it."""
    engine = simulation.engine
    for step in script:
        simulation.clock.set(step.at)
        if step.definitions:
            simulation.publish(step.definitions)
        if step.erased:
            engine.erase(step.erased, suppress=step.suppress)
        if step.arrivals:
            engine.accept([copy_of(arrival) for arrival in step.arrivals])
        if not never:
            engine.tick()
    simulation.advance(simulation.clock.now())


def copy_of(arrival: Arrival) -> Arrival:
    """Return an arrival that shares nothing with the given one, for an engine may keep what it is handed."""
    return msgspec.structs.replace(arrival, what=_copy(arrival.what))


def _copy(what: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(what), type=type(what))
