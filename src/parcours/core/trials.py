"""What an experiment says: rates with their intervals, and whether one variant is better than another.

| figure                        | how                                                                                     |
|-------------------------------|-----------------------------------------------------------------------------------------|
| the interval of a rate        | Wilson's score interval, 95 %                                                            |
| the interval of a difference  | Newcombe's hybrid score interval (his method 10), 95 %                                   |
| one is better than another    | the interval of the difference does not hold zero                                        |
| too early to tell             | one of the two has fewer than `FEWEST` runs                                               |

With several variants each is compared with the same one, and at 95 % one of twenty that are alike looks different: the
verdict says how many were compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from parcours.core.effects import What
from parcours.definitions.steps import Experiment

Z = 1.959963984540054
"""The quantile of the normal distribution for two sides of 95 %."""

FEWEST = 30
"""Runs below which a rate says little."""

HOLDOUT = "holdout"


class Rate(msgspec.Struct, frozen=True):
    """A share of some, with the interval in which the true one lies 19 times of 20."""

    value: float | None
    """None of nobody."""
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """How much larger one rate is than another."""

    value: float
    low: float
    high: float


class Variant(msgspec.Struct):
    """What became of those who drew a variant."""

    name: str
    runs: int
    reached: int
    rate: Rate
    difference: Difference | None = None
    """To the variant that it is compared with; None for that one, and where somebody is nobody."""
    verdict: str = ""


class GoalResult(msgspec.Struct):
    """What an experiment says about a goal."""

    goal: str
    baseline: str
    """What the others are compared with: the holdout, else the first variant."""
    variants: list[Variant]
    verdict: str


def rate(reached: int, of: int) -> Rate:
    """Return a share with its interval."""
    if of <= 0:
        return Rate(None, 0.0, 1.0)
    share = reached / of
    centre, spread = share + Z * Z / (2 * of), Z * math.sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    scale = 1 + Z * Z / of
    low = 0.0 if reached == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if reached == of else min(1.0, (centre + spread) / scale)
    return Rate(share, low, high)


def difference(one: Rate, other: Rate) -> Difference | None:
    """Return how much larger one rate is than another, with the interval of that."""
    if one.value is None or other.value is None:
        return None
    a, b = one.value, other.value
    below = math.hypot(a - one.low, other.high - b)
    above = math.hypot(one.high - a, b - other.low)
    return Difference(a - b, max(-1.0, a - b - below), min(1.0, a - b + above))


def results(
    step: str, experiment: Experiment, goals: list[str], counts: Mapping[tuple[str, str, str], int]
) -> list[GoalResult]:
    """Return what an experiment says about each goal; `counts` are by step, what happened, and reason."""
    names = [branch.name for branch in experiment.branches]
    if experiment.holdout is not None:
        names.insert(0, HOLDOUT)
    return [_result(step, names, goal, counts) for goal in goals]


def _result(step: str, names: list[str], goal: str, counts: Mapping[tuple[str, str, str], int]) -> GoalResult:
    variants = []
    for name in names:
        runs = counts.get((step, What.DREW, name), 0)
        reached = counts.get((step, What.CONVERTED, f"{name}/{goal}"), 0)
        variants.append(Variant(name, runs, reached, rate(reached, runs)))
    baseline = variants[0]
    for variant in variants[1:]:
        variant.difference = difference(variant.rate, baseline.rate)
        variant.verdict = _verdict(variant, baseline)
    return GoalResult(goal, baseline.name, variants, _summary(variants))


def _verdict(variant: Variant, baseline: Variant) -> str:
    found = variant.difference
    if found is None or min(variant.runs, baseline.runs) < FEWEST:
        return f"too early to tell: at least {FEWEST} runs of each are needed"
    between = f"by {_points(found.low)} to {_points(found.high)}"
    if found.low > 0:
        return f"better than {baseline.name}, {between}"
    if found.high < 0:
        return f"worse than {baseline.name}, {between}"
    return (
        f"no difference to {baseline.name} can be told: it lies between {_points(found.low)} and {_points(found.high)}"
    )


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points"


def _summary(variants: list[Variant]) -> str:
    baseline, others = variants[0], variants[1:]
    if not others:
        return "there is nothing to compare with"
    if all(min(one.runs, baseline.runs) < FEWEST for one in others):
        return f"too early to tell: at least {FEWEST} runs of each are needed"
    told = [one for one in others if one.difference is not None and min(one.runs, baseline.runs) >= FEWEST]
    better = [one for one in told if one.difference is not None and one.difference.low > 0]
    worse = [one for one in told if one.difference is not None and one.difference.high < 0]
    among = f" (of {len(told)} compared with {baseline.name})" if len(told) > 1 else f" than {baseline.name}"
    if better:
        best = max(better, key=lambda one: one.rate.value or 0)
        return f"{best.name} is better{among}"
    if told and len(worse) == len(told):
        names = " and ".join(one.name for one in worse)
        return f"{names} {'is' if len(worse) == 1 else 'are'} worse{among}"
    return f"no difference to {baseline.name} can be told yet"
