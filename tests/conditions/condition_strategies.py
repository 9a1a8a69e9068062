"""Random conditions, as plain data and as trees that may be asked."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from parcours.conditions.loyalty import POINTS
from parcours.conditions.operators import CASELESS, COUNTS, LARGEST_SUMMAND, OPERATORS, SUMS, Takes
from parcours.conditions.parse import CONSENT_STATES, MESSAGE_EVENTS, MOST_MESSAGES, MOST_TIMES

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
        Takes.TEXTS: st.lists(small.filter(lambda value: isinstance(value, str)), max_size=3),
        Takes.INSTANT: instants,
        Takes.DURATION: durations,
        Takes.DAYS: st.sampled_from(["1d", "24h", "7d", "2w", "365d", "366d", "1000d"]),
        Takes.NOTHING: st.just(True),
    }[takes]


@st.composite
def comparisons(draw, heads=("contact", "interaction")):
    operator = OPERATORS[draw(st.sampled_from(sorted(OPERATORS)))]
    data = {draw(st.sampled_from(heads)): draw(few), operator.name: draw(operands(operator.takes))}
    if operator.takes not in CASELESS:
        data["ignore_case"] = draw(st.booleans())
    return data


def timeless(data):
    """Whether a comparison gives the same answer at any time."""
    return not any(name in OPERATORS and OPERATORS[name].clocked for name in data)


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


trigger_conditions = _nested(comparisons(heads=("interaction",)).filter(timeless))


def times(most=MOST_TIMES):
    counts = st.integers(0, most)
    return counts | st.tuples(st.sampled_from(sorted(COUNTS)), counts).map(lambda pair: dict([pair]))


def one_or_several(names):
    return names | st.lists(names, min_size=1, max_size=3)


windows = st.fixed_dictionaries(
    {},
    optional={
        "within": durations,
        "from": st.sampled_from(["2025-12-31", "2026-01-31T07:59:59.999+00:00"]),
        "until": st.sampled_from(["2026-01-31", "2026-02-01T00:00:00Z", "9999-12-30"]),
        "since": st.just("entry"),
    },
)


@st.composite
def sums(draw, limits=None):
    operator = draw(st.sampled_from(SUMS))
    if limits is None:
        limits = st.floats(-LARGEST_SUMMAND, LARGEST_SUMMAND) | st.integers(-1_000, 1_000)
    several = OPERATORS[operator].takes is Takes.RANGE
    return {"of": draw(few), operator: draw(st.lists(limits, min_size=2, max_size=2) if several else limits)}


@st.composite
def histories(draw, names=labels, where=trigger_conditions, windows=windows, measures=None, counts=None):
    """A question about past interactions: `did` with a count or a figure, or `did_not`."""
    head = draw(st.sampled_from(["did", "did", "did", "did_not"]))
    data = {head: draw(one_or_several(names))} | draw(windows)
    if draw(st.booleans()):
        data["where"] = draw(where)
    if head == "did":
        figure = draw(st.sampled_from(["", "times", "sum", "min", "max", "first", "last"]))
        if figure == "times":
            data["times"] = draw(times() if counts is None else counts)
        elif figure:
            measures = measures or (lambda name: sums() if name == "sum" else comparisons(heads=("of",)))
            data[figure] = draw(measures(figure))
    return data


@st.composite
def sequences(draw, names=labels, where=trigger_conditions, windows=windows, lengths=durations):
    steps = []
    for index in range(draw(st.integers(2, 4))):
        step = {"did": draw(one_or_several(names))}
        if index and draw(st.booleans()):
            step["within"] = draw(lengths)
        if draw(st.booleans()):
            step["where"] = draw(where)
        steps.append(step)
    if draw(st.booleans()):
        steps[-1] = {"did_not": steps[-1].pop("did"), "within": draw(lengths)} | steps[-1]
    return {"sequence": steps} | draw(windows)


@st.composite
def message_histories(draw, names=labels, windows=windows, counts=None):
    data = {"messages": draw(st.sampled_from(MESSAGE_EVENTS))} | draw(windows)
    optional = {
        "of": one_or_several(names),
        "channel": st.sampled_from(["email", "push"]),
        "times": times(MOST_MESSAGES) if counts is None else counts,
    }
    return data | draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def samples(draw, names=labels):
    percent = draw(st.integers(0, 100) | st.floats(0, 100))
    data = {"sample": draw(names), "percent": percent}
    if draw(st.booleans()):
        data["from"] = draw(st.floats(0, 100 - percent))
    return data if percent + data.get("from", 0) <= 100 else data | {"from": 0}


loyalties = st.one_of(
    st.tuples(labels, st.sampled_from(sorted(COUNTS)), st.integers(-5, 500), st.sampled_from([None, *POINTS])).map(
        lambda drawn: {"points": drawn[0], drawn[1]: drawn[2]} | ({"kind": drawn[3]} if drawn[3] else {})
    ),
    st.tuples(labels, st.sampled_from(["is", "at_least"]), labels).map(lambda d: {"tier": d[0], d[1]: d[2]}),
    st.tuples(labels, st.lists(labels, min_size=1, max_size=3)).map(lambda d: {"tier": d[0], "in": d[1]}),
    labels.map(lambda name: {"member": name}),
    st.tuples(labels, st.sampled_from(["issued", "redeemed", "open"]), st.sampled_from([{}, {"within": "30d"}])).map(
        lambda drawn: {"reward": drawn[0], "is": drawn[1], **drawn[2]}
    ),
)

leaves = st.one_of(
    comparisons(),
    histories(),
    sequences(),
    message_histories(),
    labels.map(lambda name: {"segment": name}),
    labels.map(lambda name: {"list": name}),
    st.fixed_dictionaries(
        {"consent": st.sampled_from(["email", "push"])},
        optional={"topic": labels, "is": st.sampled_from(CONSENT_STATES)},
    ),
    samples(),
    loyalties,
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
                    *("did_not", "sequence", "messages", "list", "sum", "min", "first", "of", "channel", "from"),
                    *("until", "since", "sample", "percent", "within_last", "anniversary_within", "contains_any"),
                    *("points", "tier", "member", "reward", "kind", "exactly"),
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
