"""Random workspaces and what happens in them, for Hypothesis: whatever it draws here is valid, and often close to a rule.

    @given(scenarios())
    def test_something(scenario: Scenario) -> None:
        script = play(Simulation(MemoryStore(), START), scenario)
        ...

A `Scenario` is what was drawn: definitions, and moves among which are reactions to messages that will have been sent by
then. Played once, it becomes a script of plain `Step`s, which can be played again in another way (`perform`).

Names, times and values are few and round, so that interactions meet waits, timers fall due together and at the very
instant of an input, and histories end exactly at the edge of a window.
"""

from __future__ import annotations

from parcours.testing.strategies.moves import Comes, Erases, Lives, Move, Moves, Passes, Publishes, Reacts, Repeats
from parcours.testing.strategies.names import MESSAGES, PAUSES, START, STARTED, ZONES
from parcours.testing.strategies.playing import Step, copy_of, perform, perform_late, play
from parcours.testing.strategies.scenarios import Scenario, loyal_scenarios, scenarios
from parcours.testing.strategies.workspace import RING, definitions, messages, policies

__all__ = [
    "MESSAGES",
    "PAUSES",
    "RING",
    "START",
    "STARTED",
    "ZONES",
    "Comes",
    "Erases",
    "Lives",
    "Move",
    "Moves",
    "Passes",
    "Publishes",
    "Reacts",
    "Repeats",
    "Scenario",
    "Step",
    "copy_of",
    "definitions",
    "loyal_scenarios",
    "messages",
    "perform",
    "perform_late",
    "play",
    "policies",
    "scenarios",
]
