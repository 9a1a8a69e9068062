"""Random programmes of loyalty, with their rules."""

from __future__ import annotations

from hypothesis import strategies as st

from parcours.testing.strategies.conditions import conditions
from parcours.testing.strategies.names import INTERACTIONS, Data

_expiries: st.SearchStrategy[Data] = st.sampled_from(
    [
        {"type": "rolling", "days": 2},
        {"type": "rolling", "days": 1, "until_end_of": "day"},
        {"type": "yearly", "month": 3, "day": 3},
        {"type": "fixed", "at": "2026-03-04"},
        {"type": "inactivity", "days": 2},
    ]
)


_periods: st.SearchStrategy[Data] = st.sampled_from(
    [{"type": "rolling", "days": 1}, {"type": "rolling", "days": 3}, {"type": "calendar", "unit": "month"}]
)


_tiers: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {
        "levels": st.just([{"name": "blue", "at": 0}, {"name": "gold", "at": 4, "multiplier": 1.5}]),
        "period": _periods,
    },
    optional={
        "grace": st.sampled_from(["6h", "1d"]),
        "downgrade": st.just("one"),
        "counts": st.just("spend"),
    },
)


_formulas: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {"points": st.sampled_from([1, 2, 1.5]), "per": st.sampled_from([1, 0.5]), "of": st.just("total")},
    optional={"rounding": st.sampled_from(["up", "half_up", "half_even"]), "at_most": st.just(3)},
)


_budgets: st.SearchStrategy[list[Data]] = st.lists(
    st.fixed_dictionaries(
        {"per": st.sampled_from(["ever", "day", "month"]), "partial": st.just(True), "points": st.integers(2, 12)},
        optional={"times": st.integers(1, 4)},
    )
    | st.fixed_dictionaries({"points": st.integers(3, 12), "times": st.integers(1, 6)})
    | st.fixed_dictionaries({"per": st.sampled_from(["ever", "day"]), "times": st.integers(1, 4)}),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one.get("per", "ever"),
)


@st.composite
def programmes(draw: st.DrawFn, *, budgets: bool = False) -> list[Data]:
    """Return a programme named `club` and up to three of its rules, some with budgets if these are wanted."""
    programme: Data = draw(
        st.fixed_dictionaries(
            {
                "kind": st.just("programme"),
                "name": st.just("club"),
                "enrol": st.sampled_from([[], [{"interaction": "Go"}], [{"interaction": "Go"}]]),
                "refunds": st.just([{"interaction": "Seen", "reference": "order"}]),
                "on_leaving": st.sampled_from(["keep", "forfeit"]),
            },
            optional={
                "holding": st.sampled_from(["6h", "1d"]),
                "expiry": _expiries,
                "tiers": _tiers,
                "timezone": st.just("America/New_York"),
                "refundable": st.just("1d"),
                "transfer": st.sampled_from(
                    [
                        {},
                        {},
                        {"minimum": 2, "receiving": [{"per": "day", "points": 6}]},
                        {"limits": [{"per": "day", "times": 1}, {"per": "ever", "points": 6}]},
                    ]
                ),
            },
        )
    )
    rules: list[Data] = []
    for index in range(draw(st.integers(1, 3))):
        rule: Data = draw(
            st.fixed_dictionaries(
                {
                    "on": st.lists(st.sampled_from(INTERACTIONS), min_size=1, max_size=2, unique=True),
                    "limits": st.sampled_from([[], [{"per": "day", "times": 1}], [{"per": "ever", "points": 5}]]),
                },
                optional={
                    "where": st.sampled_from([{"all": []}, {"not": {"interaction": "total", "is": 1}}])
                    | conditions(trigger=True),
                    "every": st.integers(1, 2),
                    "priority": st.integers(0, 1),
                    "reference": st.just("order"),
                    "holding": st.just("none"),
                    "qualifying": st.booleans(),
                },
            )
        )
        kind = draw(st.integers(0, 6))
        if kind == 0:
            rule["multiply"] = draw(st.sampled_from([2, 0.5]))
        elif kind == 6:  # noqa: PLR2004 (the last of them)
            rule["record"] = {"interaction": "Told"}
            rule["hold_if"] = {"all": []}
        else:
            rule["points"] = draw(_formulas if kind < 4 else st.integers(1, 3))  # noqa: PLR2004 (most are formulas)
            rule["exclusive"] = draw(st.integers(0, 4)) == 0
            if draw(st.integers(0, 2)) == 0:
                often = {"did": "Go", "times": {"at_least": 2}, "within": "1d"}
                rule["hold_if"] = draw(st.sampled_from([{"all": []}, {"all": []}, often]) | conditions(trigger=True))
            if budgets and draw(st.integers(0, 2)) == 0:
                rule["budget"] = draw(_budgets)
        rules.append({"kind": "rule", "name": f"r{index}", "programme": "club", **rule})
    return [programme, *rules]
