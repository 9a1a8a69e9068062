"""Random definitions, each valid by itself, as plain data."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.conditions.condition_strategies import conditions, durations, labels, texts, trigger_conditions

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True)
step_names = st.sampled_from(["first", "Second", "3rd", "on", "a-b", "null", "1e3"])
maybe = st.none() | step_names
about = {"title": texts, "description": texts | st.just("several\nlines\n \ttabs: \u2028 # no comment\n")}
kept = {**about, "archived": st.booleans()}
attributes = st.dictionaries(
    texts,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "number", "boolean", "datetime", "strings", "object"])},
        optional={"title": texts, "required": st.booleans()},
    ),
    max_size=3,
)
words = st.dictionaries(names, texts, max_size=3)
namespaces = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True), texts, max_size=2)

workspaces = st.fixed_dictionaries(
    {"kind": st.just("workspace")},
    optional={
        **about,
        "name": st.just("workspace"),
        "strict": st.booleans(),
        "channels": words,
        "source_types": words,
        "contacts": st.fixed_dictionaries(
            {}, optional={"attributes": attributes, "strict": st.booleans(), "namespaces": namespaces}
        ),
    },
)
lists = st.fixed_dictionaries({"kind": st.just("list"), "name": names}, optional=kept)
catalogues = st.fixed_dictionaries(
    {"kind": st.just("catalogue"), "name": names},
    optional={**kept, "attributes": attributes, "strict": st.booleans()},
)

interactions = st.fixed_dictionaries(
    {"kind": st.just("interaction"), "name": labels},
    optional={
        **kept,
        "channel": texts,
        "source_type": texts,
        "attributes": attributes,
        "strict": st.booleans(),
        "retention": durations | st.none(),
        "counts_when": trigger_conditions | st.none(),
    },
)
controls = st.none() | st.fixed_dictionaries(
    {"percent": st.integers(0, 50) | st.floats(0, 50)}, optional={"from": st.floats(0, 50), "sample": texts}
)
segments = st.fixed_dictionaries(
    {"kind": st.just("segment"), "name": names, "condition": conditions}, optional={**kept, "control": controls}
)
messages = st.fixed_dictionaries(
    {
        "kind": st.just("message"),
        "name": names,
        "channel": texts,
        "content": st.dictionaries(texts, texts, max_size=3),
    },
    optional={**kept, "purpose": st.sampled_from(["marketing", "transactional"]), "topic": texts},
)
entries = st.fixed_dictionaries(
    {"type": st.just("interaction"), "interaction": texts | st.lists(texts, min_size=1, max_size=2)},
    optional={
        "where": conditions | st.none(),
        "max_age": durations,
        "key": texts,
        "times": st.integers(1, 1000),
        "within": durations | st.none(),
        "with_history": st.booleans(),
    },
) | st.fixed_dictionaries(
    {"type": st.just("segment"), "segment": names},
    optional={
        "on": st.just("read"),
        "at": texts | st.none(),
        "members": st.sampled_from(["all", "new"]),
        "schedule": st.none()
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["cron", "rrule", "start"], texts | st.none()) | {"zone": texts}
        ),
    },
)
entries |= st.one_of(
    st.fixed_dictionaries({"type": st.just("contact_created")}, optional={"where": conditions | st.none()}),
    st.fixed_dictionaries(
        {"type": st.just("date"), "attribute": texts},
        optional={
            "yearly": st.booleans(),
            "before": durations | st.none(),
            "after": durations | st.none(),
            "at": st.just("18:30"),
            "where": conditions | st.none(),
        },
    ),
    st.fixed_dictionaries({"type": st.just("api")}, optional={"where": conditions | st.none(), "key": texts}),
    st.fixed_dictionaries({"type": st.just("journey")}, optional={"key": texts}),
)
branches = st.fixed_dictionaries(
    {"type": st.just("interaction"), "interaction": texts},
    optional={"where": conditions | st.none(), "key": texts, "next": maybe},
) | st.fixed_dictionaries(
    {"type": st.just("reaction"), "reaction": st.sampled_from(["delivered", "opened", "clicked"])},
    optional={"message": names | st.none(), "next": maybe},
)
steps = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("send"), "messages": st.lists(names, min_size=1, max_size=2)},
        optional={"next": maybe, "suppressed": maybe},
    ),
    st.fixed_dictionaries({"type": st.just("wait"), "for": durations}, optional={"next": maybe}),
    st.fixed_dictionaries(
        {"type": st.just("wait_for"), "events": st.lists(branches, min_size=1, max_size=2)},
        optional={
            "timeout": st.none() | st.fixed_dictionaries({"after": durations}, optional={"next": maybe}),
            "next": maybe,
        },
    ),
    st.fixed_dictionaries({"type": st.just("decision"), "if": conditions}, optional={"then": maybe, "else": maybe}),
    st.just({"type": "end"}),
)
aims = st.fixed_dictionaries(
    {"interaction": texts | st.lists(texts, min_size=1, max_size=2)},
    optional={"where": conditions | st.none(), "key": texts},
) | st.fixed_dictionaries({"if": conditions})
goals = st.tuples(
    aims,
    st.fixed_dictionaries({"name": names}, optional={"within": durations | st.none(), "ends": st.booleans()}),
).map(lambda parts: parts[0] | parts[1])
journeys = st.fixed_dictionaries(
    {
        "kind": st.just("journey"),
        "name": names,
        "entry": entries,
        "start": step_names,
        "steps": st.dictionaries(step_names, steps, min_size=1, max_size=4),
    },
    optional={
        **kept,
        "state": st.sampled_from(["draft", "live"]),
        "re_entry": st.sampled_from(["never", "after_end", "always"]) | st.fixed_dictionaries({"after": durations}),
        "max_entries": st.none()
        | st.fixed_dictionaries({"times": st.integers(1, 1000)}, optional={"within": durations | st.none()}),
        "exit": st.lists(aims, max_size=2),
        "goals": st.lists(goals, max_size=2),
        "max_runs": st.integers(1, 100),
        "max_duration": durations,
    },
)
days = st.sampled_from(["2026-12-31", "2026-12-31T09:00:00Z", "2026-12-31T09:00+01:00"])
lot_expiries = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("rolling")},
        optional={
            "months": st.integers(0, 1_200),
            "days": st.integers(0, 36_500),
            "until_end_of": st.sampled_from(["day", "month", "year", None]),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("yearly")},
        optional={"month": st.integers(1, 12), "day": st.integers(1, 31), "years": st.integers(0, 20)},
    ),
    st.fixed_dictionaries({"type": st.just("fixed"), "at": days}),
)
expiries = lot_expiries | st.fixed_dictionaries({"type": st.just("inactivity"), "months": st.integers(0, 1_200)})
some_numbers = st.integers(0, 1_000) | st.floats(0, 1_000)
tiers = st.fixed_dictionaries(
    {
        "levels": st.lists(
            st.fixed_dictionaries(
                {"name": names, "at": st.integers(0, 10**9)},
                optional={"title": texts, "multiplier": some_numbers, "benefits": st.lists(texts, max_size=2)},
            ),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "counts": st.sampled_from(["points", "spend"]),
        "period": st.sampled_from([{"type": "rolling", "days": 30}, {"type": "calendar", "unit": "quarter"}]),
        "grace": durations | st.none(),
        "downgrade": st.sampled_from(["fit", "one"]),
    },
)
programmes = st.fixed_dictionaries(
    {"kind": st.just("programme"), "name": names},
    optional={
        **kept,
        "timezone": texts,
        "card": st.just("card"),
        "enrol": st.lists(
            st.fixed_dictionaries({"interaction": labels}, optional={"where": conditions, "card": texts}), max_size=2
        ),
        "holding": durations | st.none(),
        "expiry": expiries | st.none(),
        "tiers": tiers | st.none(),
        "refunds": st.lists(
            st.fixed_dictionaries(
                {"interaction": labels, "reference": labels}, optional={"where": conditions, "whole": st.booleans()}
            ),
            max_size=2,
        ),
        "refundable": durations,
        "on_leaving": st.sampled_from(["keep", "forfeit"]),
    },
)
formulas = st.fixed_dictionaries(
    {"points": some_numbers, "of": labels},
    optional={
        "per": some_numbers,
        "lines": texts,
        "times": texts,
        "where": conditions | st.none(),
        "rounding": st.sampled_from(["down", "up", "half_up", "half_even"]),
        "round_each": st.sampled_from(["order", "line"]),
        "by_tier": st.dictionaries(names, some_numbers, max_size=2),
        "at_most": st.integers(1, 10**9) | st.none(),
    },
)
rules = st.fixed_dictionaries(
    {
        "kind": st.just("rule"),
        "name": names,
        "programme": names,
        "on": st.lists(labels, min_size=1, max_size=3),
    },
    optional={
        **kept,
        "state": st.sampled_from(["draft", "live"]),
        "where": conditions | st.none(),
        "every": st.integers(1, 100),
        "points": st.integers(1, 10**9) | formulas | st.none(),
        "multiply": some_numbers | st.none(),
        "tier": names | st.none(),
        "record": st.none() | st.fixed_dictionaries({"interaction": labels}),
        "starts": days | st.none(),
        "ends": days | st.none(),
        "tiers": st.lists(names, max_size=2),
        "limits": st.lists(
            st.fixed_dictionaries(
                {"per": st.sampled_from(["day", "week", "month", "quarter", "year", "ever"])},
                optional={"times": st.integers(1, 10**6) | st.none(), "points": st.integers(1, 10**9) | st.none()},
            ),
            max_size=2,
        ),
        "budget": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "per": st.sampled_from(["day", "week", "month", "quarter", "year", "ever"]),
                    "times": st.integers(1, 10**12) | st.none(),
                    "points": st.integers(1, 10**12) | st.none(),
                    "partial": st.booleans(),
                },
            ),
            max_size=2,
        ),
        "hold_if": conditions | st.none(),
        "priority": st.integers(-(10**6), 10**6),
        "exclusive": st.booleans(),
        "qualifying": st.booleans(),
        "holding": durations | st.just("none") | st.none(),
        "expiry": lot_expiries | st.none(),
        "reference": texts,
        "reward": names | st.none(),
    },
)
rewards = st.fixed_dictionaries(
    {"kind": st.just("reward"), "name": names},
    optional={
        **kept,
        "programme": names | st.none(),
        "percent": some_numbers | st.none(),
        "value": some_numbers | st.none(),
        "currency": st.sampled_from(["", "EUR"]),
        "gift": texts,
        "minimum": some_numbers,
        "valid_for": durations | st.none(),
        "until": days | st.none(),
        "stock": st.integers(1, 10**9) | st.none(),
        "codes": st.sampled_from([{"type": "pool"}, {"type": "generated", "prefix": "X-", "length": 12}]),
        "personal": st.booleans(),
        "points": st.integers(1, 10**9) | st.none(),
        "limit": st.integers(1, 10**6) | st.none(),
        "reserved_for": durations,
        "reopen_at_refund": st.booleans(),
    },
)
definitions = st.one_of(
    workspaces, interactions, lists, catalogues, segments, messages, journeys, programmes, rules, rewards
)
