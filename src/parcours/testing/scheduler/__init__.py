"""A world in which everything goes wrong that may, decided by one seed: journeys must come to the same all the same.

    scenario = scenario_of(seed)
    report = simulate(seed, scenario, folder)

A scenario is played twice. First in order, in a memory store: that is what has to come of it. Then on a store of the
kind under test, by a scheduler that draws from `random.Random(seed)` and from nothing else:

| it draws                                       | and what must hold                                                 |
|------------------------------------------------|--------------------------------------------------------------------|
| a kill before a batch, in the middle, after it | it is kept whole or not at all; what was acknowledged is kept       |
| a kill between slices of what is done by itself, or in one | it goes on where it was                                |
| what was not acknowledged, sent again          | it is new exactly when nothing of it was kept                      |
| anything accepted, sent again at any time      | a duplicate, which changes nothing                                 |
| arrivals of an instant in another order, in batches of any size | contacts do not concern each other; one contact's stay in order |
| ticks up to an hour late                       | a timer is as if it fired at its own instant                       |
| a disk that is full for a while                | what could not be written changes nothing                          |
| small slices, states written late, little memory | nobody can tell                                                  |

In both worlds channels are slow: `Channels` decides by the seed and the message's id how often a provider fails, when it
takes a message at last or gives it up, and when the contact reacts, late and in any order.

| module       | what of it                                          |
|--------------|-----------------------------------------------------|
| `seeds`      | what a seed stands for: the scenario                |
| `simulating` | both worlds, one after the other, and compared      |
| `ordered`    | the world in which nothing goes wrong               |
| `disordered` | the world in which things go wrong as chance has it |
| `channels`   | what providers and people make of messages, in both |
| `comparing`  | whether the same came of it, and where not          |
"""

from __future__ import annotations

from parcours.testing.scheduler.channels import Channels
from parcours.testing.scheduler.disordered import Check, Report
from parcours.testing.scheduler.ordered import Ordered
from parcours.testing.scheduler.seeds import scenario_of
from parcours.testing.scheduler.simulating import simulate

__all__ = ["Channels", "Check", "Ordered", "Report", "scenario_of", "simulate"]
