"""Random conditions."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from parcours.testing.strategies.names import CITIES, INTERACTIONS, MESSAGES, ORDERS, REACTIONS, SAVED, WAITS, Data

of_contact = st.one_of(
    st.sampled_from(CITIES).map(lambda city: {"contact": "city", "is": city}),
    st.integers(0, 3).map(lambda age: {"contact": "age", "at_least": age}),
    st.just({"contact": "city", "is_missing": True}),
)


of_interaction = st.one_of(
    st.integers(0, 3).map(lambda total: {"interaction": "total", "more_than": total}),
    st.sampled_from(ORDERS).map(lambda order: {"interaction": "order", "is": order}),
    st.just({"interaction": "total", "is_present": True}),
)


_consents = st.fixed_dictionaries(
    {"consent": st.sampled_from(["email", "push"]), "is": st.sampled_from(["opted_in", "opted_out", "unknown"])},
    optional={"topic": st.just("news")},
)


_samples = st.builds(
    lambda percent, start: {"sample": "a draw", "percent": percent, "from": start},
    st.sampled_from([0, 25, 50]),
    st.sampled_from([0, 0.5, 50]),
)


_histories = st.fixed_dictionaries(
    {
        "did": st.sampled_from(INTERACTIONS),
        "times": st.tuples(
            st.sampled_from(["at_least", "at_most", "exactly", "more_than", "less_than"]), st.integers(0, 3)
        ).map(lambda pair: dict([pair])),
    },
    optional={"within": st.sampled_from(["6h", "1d", "48h"]), "where": of_interaction},
)


some_interactions = st.lists(st.sampled_from(INTERACTIONS), min_size=1, max_size=2, unique=True)


_windows = st.fixed_dictionaries(
    {},
    optional={
        "within": st.sampled_from(["6h", "1d", "48h"]),
        "from": st.sampled_from(["2026-03-01", "2026-03-02T15:00:00Z"]),
        "until": st.sampled_from(["2026-03-03", "2026-03-03T09:00:00Z"]),
    },
)


_totals = st.integers(0, 3).map(lambda total: {"of": "total", "at_least": total})


_figures = st.tuples(
    st.fixed_dictionaries({"did": some_interactions}, optional={"where": of_interaction}),
    st.tuples(st.sampled_from(["sum", "min", "max", "first", "last"]), _totals).map(lambda pair: dict([pair])),
    _windows,
).map(lambda parts: parts[0] | parts[1] | parts[2])


_sequences = st.tuples(
    st.sampled_from(INTERACTIONS),
    st.sampled_from(["did", "did_not"]),
    st.sampled_from(INTERACTIONS),
    st.sampled_from(WAITS),
    _windows,
).map(lambda parts: {"sequence": [{"did": parts[0]}, {parts[1]: parts[2], "within": parts[3]}]} | parts[4])


_message_histories = st.tuples(
    st.fixed_dictionaries(
        {"messages": st.sampled_from(["sent", *REACTIONS])},
        optional={
            "of": st.sampled_from(MESSAGES),
            "channel": st.sampled_from(["email", "push"]),
            "times": st.integers(0, 3),
        },
    ),
    _windows,
).map(lambda parts: parts[0] | parts[1])


_pasts = _histories | _figures | _sequences | _message_histories


def _since_entry(condition: Data) -> Data:
    return condition | {"since": "entry"}


def conditions(
    *, trigger: bool = False, run: bool = False, saved: bool = False, segments: Sequence[str] = ()
) -> st.SearchStrategy[Data]:
    """Return conditions, as they are written.

    Args:
        trigger: Whether there is an interaction to look at.
        run: Whether there is a run, so that its entry can be meant.
        saved: Whether a step of it may have saved an answer.
        segments: The segments that may be named.
    """
    leaves: st.SearchStrategy[Data] = of_contact | _pasts | _consents | _samples
    if run:
        leaves |= st.sampled_from(ORDERS).map(lambda order: {"run": "key", "is": order})
        if saved:
            leaves |= st.integers(0, 2).map(lambda age: {"run": f"{SAVED}.body.age", "at_least": age})
        leaves |= _pasts.map(_since_entry)
    if trigger:
        leaves |= of_interaction
    if segments:
        leaves |= st.sampled_from(segments).map(lambda name: {"segment": name})
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=2).map(lambda parts: {"all": parts})
            | st.lists(inner, max_size=2).map(lambda parts: {"any": parts})
            | inner.map(lambda part: {"not": part})
        ),
        max_leaves=3,
    )
