"""Random trees about the contacts of `crowd`."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from parcours.conditions import ast
from parcours.conditions.loyalty import POINTS, REWARD_STATES, TIER_OPERATORS
from parcours.conditions.operators import COUNTS, LARGEST_SUMMAND, OPERATORS, Takes, end_of, to_instant
from tests.analytics.crowd import (
    ATTRIBUTES,
    CHANNELS,
    DAY,
    DRAWS,
    GAPS,
    HOUR,
    INSTANTS,
    KINDS,
    LISTS,
    MESSAGES,
    NAMES,
    NOW,
    NUMBERS,
    PROGRAMMES,
    REWARDS,
    STATES,
    TEXTS,
    TIERS,
    TOPICS,
    UNSEEN,
)

attributes = st.sampled_from(ATTRIBUTES)
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
numbers = st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(texts, st.sampled_from(INSTANTS), numbers, st.booleans())
ordered = texts | numbers | st.sampled_from(INSTANTS)
instants = st.sampled_from([text for text in INSTANTS if to_instant(text) is not None and end_of(text) is not None])
spans = st.sampled_from([1, HOUR, DAY, 2 * DAY, 30 * DAY, 366 * DAY, 1, 3650 * DAY, *[gap for gap in GAPS if gap]])

OPERANDS: dict[Takes, st.SearchStrategy[Any]] = {
    Takes.SCALAR: scalars,
    Takes.SCALARS: st.lists(scalars, max_size=4).map(tuple),
    Takes.ORDERED: ordered,
    Takes.RANGE: st.tuples(ordered, ordered) | st.tuples(numbers, numbers),
    Takes.TEXT: texts,
    Takes.TEXTS: st.lists(texts, max_size=3).map(tuple),
    Takes.INSTANT: instants,
    Takes.DURATION: spans,
    Takes.DAYS: st.sampled_from([1, 2, 3, 7, 31, 365, 366, 400]).map(lambda days: days * DAY),
    Takes.NOTHING: st.none(),
}
CASED = {Takes.SCALAR, Takes.SCALARS, Takes.ORDERED, Takes.RANGE, Takes.TEXT, Takes.TEXTS}


@st.composite
def comparisons(draw, subject: ast.Subject) -> ast.Attribute:
    operator = OPERATORS[draw(st.sampled_from(sorted(OPERATORS)))]
    value = draw(OPERANDS[operator.takes])
    return ast.Attribute(
        subject, draw(attributes), operator.name, value, operator.takes in CASED and draw(st.booleans())
    )


def nested(leaves: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: ast.All(tuple(parts))),
            st.lists(inner, max_size=3).map(lambda parts: ast.Any(tuple(parts))),
            inner.map(ast.Not),
        ),
        max_leaves=most,
    )


lasting = comparisons(ast.Subject.TRIGGER).filter(lambda leaf: not OPERATORS[leaf.operator].clocked)
wheres = st.none() | nested(lasting, 3)
names = st.lists(st.sampled_from((*NAMES, *NAMES, UNSEEN)), min_size=1, max_size=3).map(tuple)


@st.composite
def windows(draw) -> ast.Window:
    edge = st.sampled_from(GAPS).map(lambda gap: NOW - gap)
    return ast.Window(draw(st.none() | spans), draw(st.none() | st.none() | edge), draw(st.none() | st.none() | edge))


@st.composite
def histories(draw) -> ast.History:
    measure = draw(st.sampled_from(ast.Measure))
    common = {"interactions": draw(names), "where": draw(wheres), "window": draw(windows()), "measure": measure}
    if measure is ast.Measure.COUNT:
        return ast.History(operator=draw(st.sampled_from(sorted(COUNTS))), value=draw(st.integers(0, 4)), **common)
    attribute = draw(st.sampled_from([*ATTRIBUTES, "Total", "Total"]))
    if measure is ast.Measure.SUM:
        number = numbers.filter(lambda number: abs(number) <= LARGEST_SUMMAND)
        operator = draw(st.sampled_from(["at_least", "at_most", "more_than", "less_than", "between"]))
        value = (draw(number), draw(number)) if operator == "between" else draw(number)
        return ast.History(operator=operator, value=value, attribute=attribute, **common)
    leaf = draw(comparisons(ast.Subject.TRIGGER))
    return ast.History(
        operator=leaf.operator, value=leaf.value, ignore_case=leaf.ignore_case, attribute=attribute, **common
    )


@st.composite
def sequences(draw) -> ast.Sequence:
    steps = [ast.SequenceStep(draw(names), draw(wheres))]
    for _ in range(draw(st.integers(0, 3))):
        within = draw(st.none() | st.sampled_from([gap for gap in GAPS if gap]))
        steps.append(ast.SequenceStep(draw(names), draw(wheres), within))
    if len(steps) == 1 or draw(st.booleans()):
        steps.append(
            ast.SequenceStep(
                draw(names), draw(wheres), draw(st.sampled_from([gap for gap in GAPS if gap])), absent=True
            )
        )
    return ast.Sequence(tuple(steps), draw(windows()))


@st.composite
def messages(draw) -> ast.MessageHistory:
    return ast.MessageHistory(
        draw(st.sampled_from(KINDS)),
        draw(st.sampled_from(sorted(COUNTS))),
        draw(st.integers(0, 3)),
        draw(st.lists(st.sampled_from((*MESSAGES, "unknown")), max_size=2).map(tuple)),
        draw(st.sampled_from(("", *CHANNELS))),
        draw(windows()),
    )


@st.composite
def samples(draw) -> ast.Sample:
    start = draw(st.integers(0, 100) | st.floats(0, 100))
    return ast.Sample(draw(st.sampled_from(DRAWS)), draw(st.just(100 - start) | st.floats(0, 100 - start)), start)


programmes = st.sampled_from((*PROGRAMMES, *PROGRAMMES, "unknown"))
tiers = st.sampled_from((*TIERS, "unknown"))


@st.composite
def of_members(draw) -> ast.OfMember:
    kind = draw(st.integers(0, 5))
    if kind < 2:
        value = draw(st.integers(-4, 6) | st.sampled_from([2**53, -(2**53)]))
        return ast.Points(
            draw(programmes), draw(st.sampled_from(sorted(COUNTS))), value, draw(st.sampled_from(sorted(POINTS)))
        )
    if kind == 2:
        operator = draw(st.sampled_from(TIER_OPERATORS))
        names = draw(st.lists(tiers, min_size=1, max_size=3 if operator == "in" else 1).map(tuple))
        return ast.Tier(draw(programmes), operator, names)
    if kind == 3:
        return ast.IsMember(draw(programmes))
    within = draw(st.sampled_from([0, *GAPS]))
    return ast.HasReward(
        draw(st.sampled_from((*REWARDS, "unknown"))), draw(st.sampled_from(sorted(REWARD_STATES))), within
    )


SEGMENTS: dict[str, ast.Node] = {
    "buyers": ast.History(("ordered",), "at_least", 1),
    "strangers": ast.Not(ast.Any((ast.InSegment("buyers"), ast.Attribute(ast.Subject.CONTACT, "city", "is_present")))),
    "loyal": ast.Any((ast.Tier("club", "at_least", ("it's gold",)), ast.Points("club", "at_least", 3, "qualifying"))),
    "café's": ast.Attribute(ast.Subject.CONTACT, "Total", "more_than", 1),
}

leaves = st.one_of(
    comparisons(ast.Subject.CONTACT),
    histories(),
    histories(),
    sequences(),
    messages(),
    st.sampled_from(sorted(SEGMENTS)).map(ast.InSegment),
    st.sampled_from((*LISTS, "unknown")).map(ast.InList),
    samples(),
    of_members(),
    of_members(),
    st.builds(ast.Consent, st.sampled_from(CHANNELS), st.sampled_from(STATES), st.sampled_from((*TOPICS, "other"))),
)
trees = nested(leaves, 5)
