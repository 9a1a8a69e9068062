"""Random definitions, each valid by itself, as plain data."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.conditions.condition_strategies import conditions, durations, labels, texts, trigger_conditions

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True)
step_names = st.sampled_from(["first", "Second", "3rd", "on", "a-b", "null", "1e3"])
maybe = st.none() | step_names
about = {"title": texts, "description": texts | st.just("several\nlines\n \ttabs: \u2028 # no comment\n")}

interactions = st.fixed_dictionaries(
    {"kind": st.just("interaction"), "name": labels},
    optional={
        **about,
        "channel": texts,
        "source_type": texts,
        "attributes": st.dictionaries(
            texts,
            st.fixed_dictionaries(
                {"type": st.sampled_from(["string", "number", "boolean", "datetime", "strings", "object"])},
                optional={"title": texts, "required": st.booleans()},
            ),
            max_size=3,
        ),
        "strict": st.booleans(),
        "counts_when": trigger_conditions | st.none(),
    },
)
segments = st.fixed_dictionaries(
    {"kind": st.just("segment"), "name": names, "condition": conditions}, optional={**about}
)
messages = st.fixed_dictionaries(
    {
        "kind": st.just("message"),
        "name": names,
        "channel": texts,
        "content": st.dictionaries(texts, texts, max_size=3),
    },
    optional={**about, "purpose": st.sampled_from(["marketing", "transactional"]), "topic": texts},
)
entries = st.fixed_dictionaries(
    {"type": st.just("interaction"), "interaction": texts},
    optional={"where": conditions | st.none(), "max_age": durations, "key": texts},
) | st.fixed_dictionaries({"type": st.just("segment"), "segment": names}, optional={"on": st.just("read")})
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
journeys = st.fixed_dictionaries(
    {
        "kind": st.just("journey"),
        "name": names,
        "entry": entries,
        "start": step_names,
        "steps": st.dictionaries(step_names, steps, min_size=1, max_size=4),
    },
    optional={
        **about,
        "state": st.sampled_from(["draft", "live"]),
        "re_entry": st.sampled_from(["never", "after_end", "always"]),
        "max_duration": durations,
    },
)
definitions = st.one_of(interactions, segments, messages, journeys)
