"""The fold alone: microseconds an input, with 20 live journeys, no store and no door."""

from __future__ import annotations

import statistics
import time

from benchmarks.workload import batches, definitions, identities, interactions
from parcours.core.contact import Contact
from parcours.core.fold import fold
from parcours.core.gate import admit
from parcours.core.inputs import Interaction
from parcours.core.plan import Plan
from parcours.definitions.load import load_data
from parcours.errors import Problem
from parcours.sources.segment import SegmentReader

INPUTS = 50_000
CONTACTS = 2_000


def main() -> None:
    """Print the distribution of the fold's time by kind of input."""
    workspace, problems, _ = load_data(definitions())
    assert not problems, problems
    plan = Plan.empty().publish(workspace.all())
    reader = SegmentReader("bench", lambda: 0, lambda: "")
    contacts: dict[str, Contact] = {}
    times: dict[str, list[float]] = {}
    position = 0
    clock = time.perf_counter
    for body in batches(identities(CONTACTS), 100) + batches(interactions(INPUTS, CONTACTS), 100):
        for arrival in reader.batch(body).arrivals:
            user = arrival.identities[0][1]
            contact = contacts.get(user) or contacts.setdefault(user, Contact(f"{len(contacts):012d}"))
            position += 1
            at = arrival.occurred_at or 0
            item = admit(plan, arrival, [], received_at=at, horizon=at, position=position)
            assert not isinstance(item, Problem), item
            start = clock()
            fold(plan, contact, item)
            spent = clock() - start
            name = item.name if isinstance(item, Interaction) else "identify"
            times.setdefault(name, []).append(spent * 1e6)
    everything = [spent for name, spents in times.items() for spent in spents if name != "identify"]
    live = sum(version.definition.state == "live" for version in plan.newest.values())
    print(f"fold: {len(everything):,} inputs, {CONTACTS:,} contacts, {live} live journeys; microseconds an input")
    print(f"  {'kind':<20} {'inputs':>8} {'p50':>7} {'p95':>7} {'mean':>7}")
    for name, spents in [*sorted(times.items()), ("all interactions", everything)]:
        spents.sort()
        p95 = spents[int(len(spents) * 0.95)]
        print(
            f"  {name:<20} {len(spents):>8,} {statistics.median(spents):>7.1f} {p95:>7.1f}"
            f" {statistics.fmean(spents):>7.1f}"
        )


if __name__ == "__main__":
    main()
