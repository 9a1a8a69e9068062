"""Random workspaces: journeys and all that they need, and what may be published later."""

from __future__ import annotations

from hypothesis import strategies as st

from parcours.testing.strategies.conditions import conditions, of_contact
from parcours.testing.strategies.journeys import journeys
from parcours.testing.strategies.names import INTERACTIONS, LISTS, SEGMENTS, STARTED, ZONES, Data

RING: list[Data] = [
    {
        "kind": "journey",
        "name": "ring",
        "entry": {"type": "interaction", "interaction": ["Go", "Seen"]},
        "re_entry": "always",
        "max_runs": 3,
        "max_duration": "3d",
        "start": "ways",
        "steps": {
            "ways": {"type": "fork", "branches": ["count", "listen"]},
            "count": {"type": "update", "set": {"age": {"add": 1}}, "next": "note"},
            "note": {"type": "record", "interaction": "Noted", "attributes": {"total": 1}},
            "listen": {
                "type": "wait_for",
                "events": [{"type": "interaction", "interaction": "Noted", "next": "again"}],
                "timeout": {"after": "12h", "next": "note"},
            },
            "again": {"type": "update", "set": {"age": {"subtract": 1}}},
        },
    },
    {
        "kind": "journey",
        "name": "back",
        "entry": {"type": "interaction", "interaction": "Noted"},
        "re_entry": "after_end",
        "start": "note",
        "steps": {"note": {"type": "record", "interaction": "Seen"}},
    },
]
"""Journeys that set each other off for ever, also when time has passed: those that are drawn hardly ever do."""


def messages(revision: int = 1) -> list[Data]:
    """Return the messages journeys send: of four channels and both purposes, with and without a topic."""
    title = f"revision {revision}"
    mail = {"kind": "message", "channel": "email", "content": {"subject": title, "text": "t"}}
    push = {"kind": "message", "channel": "push", "content": {"title": title, "body": "b"}}
    return [
        mail | {"name": "news", "topic": "news", "priority": 1},
        mail | {"name": "offer"},
        mail | {"name": "receipt", "purpose": "transactional"},
        push | {"name": "ping", "purpose": "transactional"},
        push | {"name": "nudge"},
        {"kind": "message", "name": "text", "channel": "sms", "exempt": True, "content": {"text": title}},
        {
            "kind": "message",
            "name": "card",
            "channel": "in_app",
            "purpose": "transactional",
            "content": {"body": title},
        },
    ]


_rules: st.SearchStrategy[Data] = st.sampled_from(
    [
        {},
        {"counts_when": {"interaction": "total", "more_than": 1}},
        {"attributes": {"total": {"type": "number"}}},
        {"attributes": {"total": {"type": "number", "required": True}, "order": {"type": "string"}}, "strict": True},
        {"attributes": {"total": {"type": "number"}, "order": {"type": "string", "required": True}}},
    ]
)


_caps = st.builds(
    lambda window, limit, more: window | {"limit": limit} | more,
    st.sampled_from([{"per": "6h"}, {"per": "48h"}, {"per": "48h"}, {"per_day": True}]),
    st.sampled_from([1, 1, 2]),
    st.sampled_from(
        [
            {},
            {"transactional": True},
            {"transactional": True},
            {"channel": "email"},
            {"channel": "push", "transactional": True},
            {"topic": "news"},
        ]
    ),
)


_quiet_hours = st.fixed_dictionaries(
    {
        "from": st.sampled_from(["08:30", "08:30", "18:00"]),
        "to": st.sampled_from(["08:00", "08:00", "21:30"]),
        "mode": st.sampled_from(["hold", "hold", "drop"]),
        "transactional": st.sampled_from([True, True, False]),
    },
    optional={"days": st.sampled_from([["mon", "thu"], ["tue", "wed", "sat"]]), "channels": st.just(["email"])},
)


@st.composite
def policies(draw: st.DrawFn) -> list[Data]:
    """Return the settings of the workspace with caps and quiet hours; often none."""
    if draw(st.integers(0, 2)) == 0:
        return []
    policy: Data = {"caps": draw(st.lists(_caps, max_size=2))}
    if draw(st.integers(0, 2)):
        policy["quiet_hours"] = draw(_quiet_hours)
    return [{"kind": "workspace", "zone": draw(st.sampled_from(["", *ZONES])), "policy": policy}]


@st.composite
def definitions(draw: st.DrawFn) -> list[Data]:
    """Return a whole workspace: interactions (some with rules), lists, segments, messages and up to three journeys."""
    return [
        *(
            {"kind": "interaction", "name": name, **draw(_rules)}
            for name in INTERACTIONS
            if draw(st.integers(0, 2)) == 0
        ),
        *({"kind": "list", "name": name} for name in LISTS),
        *draw(policies()),
        _first_segment(draw),
        {
            "kind": "segment",
            "name": SEGMENTS[1],
            "condition": draw(conditions(segments=(SEGMENTS[0], f"{SEGMENTS[0]}:control"))),
            "live": draw(st.booleans()),
        },
        *messages(),
        draw(journeys(STARTED)),
        *(draw(journeys(f"j{index}")) for index in range(draw(st.sampled_from([1, 2, 2, 3])))),
    ]


@st.composite
def changes(draw: st.DrawFn) -> list[Data]:
    """Return what may be published later: new versions of some journeys, of the messages, of a segment."""
    found: list[Data] = [draw(journeys(f"j{index}")) for index in range(3) if draw(st.booleans())]
    if draw(st.booleans()):
        found += messages(draw(st.integers(1, 2)))
    if draw(st.booleans()):
        found.append(_first_segment(draw))
    if draw(st.booleans()):
        found += draw(policies())
    return found


def _first_segment(draw: st.DrawFn) -> Data:
    # Others may name its control group, so it always has one.
    control = {"percent": draw(st.sampled_from([0, 50]))}
    condition, live = draw(of_contact), draw(st.booleans())
    return {"kind": "segment", "name": SEGMENTS[0], "condition": condition, "live": live, "control": control}
