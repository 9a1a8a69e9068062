"""What conditions cost: a decision, and an input while 1, 10, 100 or 1,000 conditions are live.

    python -m benchmarks.conditions

A live condition is a segment that is kept exact in the fold. An input should only pay for those it can touch: half of
the conditions here ask for interactions of names that are as many as the conditions, half compare attributes of the
contact that no interaction changes. The last columns are the hostile cases: every condition asks for the one interaction
that comes in, for counts or for sums, in 90 windows. Once a second, answers hardly turn; every 8 hours they turn all the
time, by what comes in and by what leaves the windows, and the timers that fire are part of the cost.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from parcours.conditions.parse import parse_condition
from parcours.conditions.to_python import compile_condition
from parcours.core.contact import Contact
from parcours.core.fold import fold
from parcours.core.inputs import Interaction, Update
from parcours.core.plan import Plan
from parcours.definitions.load import load_data

NOW = 1_764_000_000_000
DAY = 86_400_000
ROUNDS = 9
INPUTS = 2_000

TREES: dict[str, Any] = {
    "an attribute": {"contact": "city", "in": ["Atlanta", "Seattle"]},
    "3 times in 90 days": {"did": "Order Completed", "times": {"at_least": 3}, "within": "90d"},
    "spent 100 in 30 days": {"did": "Order Completed", "sum": {"of": "total", "at_least": 100}, "within": "30d"},
    "viewed and did not buy": {
        "sequence": [{"did": "Product Viewed"}, {"did_not": "Order Completed", "within": "7d"}],
        "within": "30d",
    },
    "birthday this week": {"contact": "born", "anniversary_within": "7d"},
    "five of these": {
        "all": [
            {"contact": "city", "in": ["Atlanta", "Seattle"]},
            {"did": "Order Completed", "times": {"at_least": 3}, "within": "90d"},
            {"not": {"did": "Order Refunded", "within": "30d"}},
            {"consent": "email", "is": "opted_in"},
            {"contact": "age", "between": [18, 60]},
        ]
    },
}


def plan_of(*segments: dict[str, Any]) -> Plan:
    """Return the plan of some segments."""
    workspace, errors, _ = load_data(list(segments))
    assert not errors, errors[:3]
    return Plan.empty().publish(workspace.all(), at=1, position=1)


def segment(name: str, condition: Any) -> dict[str, Any]:
    return {"kind": "segment", "name": name, "condition": condition, "live": True}


def best(run: Callable[[], int]) -> float:
    """Return the median of rounds, in microseconds a piece."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        pieces = run()
        times.append((time.perf_counter() - start) / pieces * 1e6)
    return statistics.median(times)


def somebody(plan: Plan) -> Contact:
    """Return a contact with a year of shopping."""
    contact = Contact("0" * 15)
    learned = {"city": "Atlanta", "born": "1990-03-05", "age": 36}
    consent = {"email": {"": "opted_in"}}
    known = Update(
        position=1, received_at=NOW - 400 * DAY, occurred_at=1, attributes=learned, addresses={}, consent=consent,
        identities=[],
    )  # fmt: skip
    fold(plan, contact, known)
    for number in range(300):
        at = NOW - (300 - number) * DAY
        name = ("product viewed", "product viewed", "order completed")[number % 3]
        fold(plan, contact, happened(name, at, number + 2))
    return contact


def happened(name: str, at: int, position: int) -> Interaction:
    attributes = {"total": 12.5, "category": "shoes"}
    return Interaction(position=position, received_at=at, occurred_at=at, name=name, attributes=attributes)


def decisions() -> None:
    print(f"{'decision':28} {'µs, median':>10}")
    for title, tree in TREES.items():
        node, problems = parse_condition(tree)
        assert node is not None, problems
        test, contact = compile_condition(node), somebody(plan_of(segment("s", tree)))

        def run(test: Any = test, contact: Contact = contact) -> int:
            for _ in range(INPUTS):
                test(contact, {}, NOW)
            return INPUTS

        print(f"{title:28} {best(run):10.2f}")


def spread(count: int) -> list[dict[str, Any]]:
    """Return live conditions of which one input touches few."""
    found = []
    for number in range(count):
        if number % 2:
            condition: Any = {"contact": f"a{number}", "at_least": number}
        else:
            condition = {"did": f"name {number}", "times": 3, "within": f"{number % 90 + 1}d"}
        found.append(segment(f"s{number}", condition))
    return found


def crowded(count: int) -> list[dict[str, Any]]:
    """Return live conditions that all ask for one interaction."""
    return [
        segment(f"s{number}", {"did": "name 0", "times": number % 20 + 1, "within": f"{number % 90 + 1}d"})
        for number in range(count)
    ]


def summing(count: int) -> list[dict[str, Any]]:
    """Return live conditions that all add up one interaction."""
    return [
        segment(
            f"s{number}",
            {"did": "name 0", "sum": {"of": "total", "at_least": number % 20 * 50}, "within": f"{number % 90 + 1}d"},
        )
        for number in range(count)
    ]


def inputs(segments: list[dict[str, Any]], apart: int = 1_000) -> float:
    plan = plan_of(*segments)
    contact = Contact("0" * 15)
    fold(plan, contact, happened("something", NOW - DAY, 1))
    position = 1

    def run() -> int:
        nonlocal position
        for _ in range(INPUTS // 10):
            position += 1
            fold(plan, contact, happened("name 0", NOW + position * apart, position))
        return INPUTS // 10

    return best(run)


def main() -> None:
    decisions()
    print()
    heads = ("live conditions", "µs an input", "all count it", "every 8 h", "all add it up", "every 8 h")
    print(" ".join(f"{head:>15}" for head in heads))
    for count in (0, 1, 10, 100, 1_000):
        hostile = (inputs(of(count), apart) for of in (crowded, summing) for apart in (1_000, DAY // 3))
        costs = [inputs(spread(count)), *hostile]
        print(" ".join([f"{count:15}", *(f"{cost:15.2f}" for cost in costs)]), flush=True)


if __name__ == "__main__":
    main()
