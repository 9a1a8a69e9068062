"""Random conditions, as plain data and as trees that may be asked."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from parcours.conditions.operators import COUNTS, OPERATORS, Takes
from parcours.conditions.parse import CONSENT_STATES

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
labels = texts.filter(lambda text: bool(text.strip()))
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = texts | numbers | st.booleans()
instants = st.sampled_from(
    [
        "1980-12-31",
        "2026-01-31",
        "2026-01-31T09:00:00+01:00",
        "2026-01-31T08:00:00Z",
        "2026-01-31T07:59:59.999+00:00",
        "2026-02-01T00:00:00Z",
        "0001-01-01",
        "9999-12-30",
    ]
)
durations = st.lists(
    st.tuples(st.integers(1, 9_999), st.sampled_from(["ms", "s", "m", "h", "d"])), min_size=1, max_size=3
).map(lambda parts: "".join(f"{number}{unit}" for number, unit in parts))

few = st.sampled_from(["city", "Total", "a/b~c", "ünï"])
values = st.sampled_from(
    [
        *("", "Atlanta", "atlanta", "ATLANTA", "Straße", "STRASSE", "1", "1980-12-31", "2026-01-31T08:00:00Z"),
        *(0, 1, -1, 1.0, 1.5, 2**60, True, False, None),
        *("Atlanta > North", "Atlanta>north", " atlanta >North > A", ">"),
        *([], ["Atlanta"], ["atlanta", "x"], ["x", "Atlanta > North"], {"nested": 1}),
    ]
)
"""What an attribute may hold: few enough that comparisons often meet something equal."""


def operands(takes: Takes) -> st.SearchStrategy[Any]:
    small = values.filter(lambda value: isinstance(value, str | int | float))
    ordered = small.filter(lambda value: not isinstance(value, bool))
    return {
        Takes.SCALAR: small | scalars,
        Takes.SCALARS: st.lists(small, max_size=4),
        Takes.ORDERED: ordered | numbers | texts,
        Takes.RANGE: st.lists(ordered, min_size=2, max_size=2),
        Takes.TEXT: small.filter(lambda value: isinstance(value, str)) | texts,
        Takes.INSTANT: instants,
        Takes.NOTHING: st.just(True),
    }[takes]


@st.composite
def comparisons(draw, heads=("contact", "interaction")):
    operator = OPERATORS[draw(st.sampled_from(sorted(OPERATORS)))]
    data = {draw(st.sampled_from(heads)): draw(few), operator.name: draw(operands(operator.takes))}
    if operator.takes not in {Takes.INSTANT, Takes.NOTHING}:
        data["ignore_case"] = draw(st.booleans())
    return data


def _nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(inner, max_size=3).map(lambda parts: {"any": parts}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=6,
    )


trigger_conditions = _nested(comparisons(heads=("interaction",)))

times = st.integers(0, 1_000) | st.tuples(st.sampled_from(sorted(COUNTS)), st.integers(0, 1_000)).map(
    lambda pair: dict([pair])
)

histories = st.fixed_dictionaries(
    {"did": labels}, optional={"times": times, "within": durations, "where": trigger_conditions}
)
leaves = st.one_of(
    comparisons(),
    histories,
    labels.map(lambda name: {"segment": name}),
    st.fixed_dictionaries(
        {"consent": st.sampled_from(["email", "push"])},
        optional={"topic": labels, "is": st.sampled_from(CONSENT_STATES)},
    ),
)
conditions = _nested(leaves)
"""Any condition as it is written, valid by itself."""

garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                (
                    *("all", "any", "not", "contact", "interaction", "did", "times", "within", "where", "segment"),
                    *("consent", "is", "in", "between", "before", "ignore_case", "at_least", "topic", "al", ""),
                )
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
"""JSON values, often nearly conditions."""
