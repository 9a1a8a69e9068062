"""The engine: prefetch, fold, commit, one micro-batch at a time. The same for every host that calls it.

| step     | what                                                                                     |
|----------|------------------------------------------------------------------------------------------|
| prefetch | drop repeats, find or make the contacts, load their states: a few reads for a whole batch |
| fold     | admit each arrival and fold it; pure                                                     |
| commit   | log, states, outbox, trace, statistics together; only then is anything acknowledged      |

Time: every input is stamped with the engine's clock when its batch is put together, and timers fire up to that same
clock, so no timer fires ahead of an input that was received before it.

| module     | what of it                                                                  |
|------------|-----------------------------------------------------------------------------|
| folding    | the state; one input into the log and into its contact, and what follows    |
| firing     | timers                                                                      |
| slices     | everybody brought up to a new plan; messages of stopped journeys cancelled  |
| publishing | the plan in force                                                           |
| arriving   | micro-batches of arrivals (with people, direct, batch, outcomes)            |
| reading    | segments read into journeys                                                 |
| erasing    | erasure and retention                                                       |
| stocking   | catalogues and pools                                                        |
| rewards    | stock and codes of rewards; budgets: what rules may still give              |
"""

from __future__ import annotations

from parcours.runtimes.engine.arriving import Arriving
from parcours.runtimes.engine.erasing import Erasing
from parcours.runtimes.engine.outcomes import Accepted, Duplicate, Marking, Outcome, Refused
from parcours.runtimes.engine.reading import ReadingSegments
from parcours.runtimes.engine.stocking import Stocking

__all__ = ["Accepted", "Duplicate", "Engine", "Marking", "Outcome", "Refused"]


class Engine(Arriving, ReadingSegments, Erasing, Stocking):
    """Folds arrivals, timers and publications into a store. Used from one thread."""
