"""What a seed stands for: the scenario that is played."""

from __future__ import annotations

import random

import msgspec
from hypothesis import HealthCheck, given, settings

from parcours.testing.strategies import RING, Scenario, scenarios

_BYTES = 16_384


def scenario_of(seed: int) -> Scenario:
    """Return the scenario of a seed: the same for ever, as long as the strategies and Hypothesis are the same."""
    found: list[Scenario] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(scenarios(loyalty=True))
    def take(scenario: Scenario) -> None:
        found.append(scenario)

    chance = random.Random(f"scenario {seed}")  # noqa: S311 (chance that can be repeated)
    while not found:
        take.hypothesis.fuzz_one_input(chance.randbytes(_BYTES))  # type: ignore[attr-defined]
    scenario = found[0]
    if chance.random() < 0.5:  # noqa: PLR2004 (drawn journeys seldom send much)
        scenario = msgspec.structs.replace(scenario, definitions=[*scenario.definitions, BUSY])
    if RING[0] not in scenario.definitions and chance.random() < 0.2:  # noqa: PLR2004 (these hardly ever are endless)
        scenario = msgspec.structs.replace(scenario, definitions=[*scenario.definitions, *RING])
    return scenario


BUSY = {
    "kind": "journey",
    "name": "busy",
    "entry": {"type": "interaction", "interaction": ["Go", "Paid", "Seen"]},
    "re_entry": "always",
    "max_duration": "5d",
    "start": "first",
    "steps": {
        "first": {"type": "send", "messages": ["news", "receipt", "card"], "next": "answer"},
        "answer": {
            "type": "wait_for",
            "events": [
                {"type": "reaction", "reaction": "opened", "message": "news", "next": "second"},
                {"type": "reaction", "reaction": "delivered", "message": "receipt", "next": "pause"},
            ],
            "timeout": {"after": "1d", "next": "second"},
        },
        "pause": {"type": "wait", "for": "6h", "next": "second"},
        "second": {"type": "send", "messages": ["ping", "offer"], "next": "thanks"},
        "thanks": {
            "type": "wait_for",
            "events": [{"type": "reaction", "reaction": "clicked"}, {"type": "interaction", "interaction": "Paid"}],
            "timeout": {"after": "2d"},
            "next": "last",
        },
        "last": {"type": "send", "messages": ["nudge", "text"]},
    },
}
"""A journey that sends much and waits for answers: beside the drawn ones in every other scenario."""
