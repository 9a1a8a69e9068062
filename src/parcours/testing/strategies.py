"""Random workspaces and what happens in them, for Hypothesis: whatever it draws here is valid, and often close to a rule.

    @given(scenarios())
    def test_something(scenario: Scenario) -> None:
        script = play(Simulation(MemoryStore(), START), scenario)
        ...

A `Scenario` is what was drawn: definitions, and moves among which are reactions to messages that will have been sent by
then. Played once, it becomes a script of plain `Step`s, which can be played again in another way (`perform`).

Names, times and values are few and round, so that interactions meet waits, timers fall due together and at the very
instant of an input, and histories end exactly at the edge of a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st

from parcours.conditions.durations import parse_duration
from parcours.core import inputs
from parcours.core.gate import Arrival, Asked, Called, Happened, Learned, Reacted
from parcours.core.member import Lot
from parcours.definitions.load import dump
from parcours.definitions.message import LINES, WEBHOOK
from parcours.runtimes.simulation import Simulation

Data = dict[str, Any]
Identities = tuple[tuple[str, str], ...]

START = 1_772_442_000_000
"""2026-03-02T09:00:00Z: the instant at which scenarios begin."""

PEOPLE = ("ann", "bob", "cyd")
STARTED = "started"
"""The journey that others start."""

ATTRIBUTES = ("city", "age", "birthday")
DEVICES = ("x", "y")
INTERACTIONS = ("Go", "Paid", "Seen")
MESSAGES = ("news", "offer", "receipt", "ping", "nudge", "text", "card")
SEGMENTS = ("locals", "regulars")
LISTS = ("vip", "friends")
CITIES = ("Atlanta", "Boston")
ORDERS = ("a", "b")
WAITS = ("6h", "12h", "1d", "36h")
DURATIONS = ("2d", "3d", "5d")
ZONES = ("Asia/Tokyo", "America/New_York")
DATES = ("2026-03-03", "2026-03-04T09:00:00Z", "once")
PAUSES = ("1s", "1h", "6h", "12h", "1d", "2d")
REACTIONS = ("delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")


# --- conditions -------------------------------------------------------------------------------------------------------

_of_contact = st.one_of(
    st.sampled_from(CITIES).map(lambda city: {"contact": "city", "is": city}),
    st.integers(0, 3).map(lambda age: {"contact": "age", "at_least": age}),
    st.just({"contact": "city", "is_missing": True}),
)
_of_interaction = st.one_of(
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
    optional={"within": st.sampled_from(["6h", "1d", "48h"]), "where": _of_interaction},
)
_some_interactions = st.lists(st.sampled_from(INTERACTIONS), min_size=1, max_size=2, unique=True)
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
    st.fixed_dictionaries({"did": _some_interactions}, optional={"where": _of_interaction}),
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
    leaves: st.SearchStrategy[Data] = _of_contact | _pasts | _consents | _samples
    if run:
        leaves |= st.sampled_from(ORDERS).map(lambda order: {"run": "key", "is": order})
        if saved:
            leaves |= st.integers(0, 2).map(lambda age: {"run": f"{_SAVED}.body.age", "at_least": age})
        leaves |= _pasts.map(_since_entry)
    if trigger:
        leaves |= _of_interaction
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


# --- definitions ------------------------------------------------------------------------------------------------------

_SAVED = "said"
_ACTS = ("update", "list", "record", "start")
_KINDS = (
    "send",
    "send",
    "wait",
    "pause",
    "wait_for",
    "wait_for",
    "prior",
    "decision",
    "split",
    "experiment",
    "fork",
    "join",
    "webhook",
    *_ACTS,
    "end",
)
_ARROWS = {
    "send": ("next", "suppressed"),
    "wait": ("next",),
    "pause": ("next",),
    "decision": ("then", "else"),
    "split": ("else",),
    "experiment": (),
    "fork": (),
    "join": ("next",),
    "webhook": ("next", "failed"),
    **dict.fromkeys(_ACTS, ("next",)),
    "end": (),
}
_SEVERAL = {"wait_for": "events", "prior": "events", "split": "branches", "experiment": "branches"}
"""Types of step that have any number of ways out, with what these are called."""

_later = st.one_of(
    st.fixed_dictionaries(
        {"time": st.sampled_from(["09:00", "21:00"])},
        optional={"weekdays": st.sampled_from([["tue"], ["mon", "wed"]]), "zone": st.sampled_from(ZONES)},
    ),
    st.sampled_from([["tue"], ["wed", "sun"]]).map(lambda days: {"weekdays": days}),
)
"""Moments that are never over."""
_dates: st.SearchStrategy[Data] = st.sampled_from(
    [
        {},
        {"before": "6h"},
        {"before": "1d", "weekdays": ["wed"]},
        {"after": "1d", "hours": {"from": "10:00", "to": "16:00", "days": ["tue", "wed", "thu"]}},
    ]
)
_hours = st.sampled_from(["08:00", "12:00"]).map(lambda start: {"hours": {"from": start, "to": "18:00"}})


@st.composite
def journeys(draw: st.DrawFn, name: str, *, segments: Sequence[str] = SEGMENTS) -> Data:
    """Return a journey, a random graph of all types of step; it is valid beside `messages` and the segments.

    Arrows lead forward, and from waits also back, so that there are loops and none is without a wait. What the start
    does not reach is left out.
    """
    kind = draw(st.sampled_from(["interaction"] * 5 + ["segment"] * bool(segments) + ["other"]))
    entry = {"segment": _segment_entry, "interaction": _interaction_entry, "other": _other_entry}[kind](draw, segments)
    trigger = entry["type"] in {"interaction", "api", "journey"}
    if name == STARTED:
        entry = draw(st.sampled_from([{"type": "journey"}, {"type": "journey", "key": "order"}]))
        trigger = True
    length = draw(st.integers(1, 7))
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=length, max_size=length))
    if "fork" in kinds:
        kinds += ["join", "wait"]
    names = [f"{kind}{index}" for index, kind in enumerate(kinds)]

    def target(index: int) -> str | None:
        """A step ahead, or none; from a wait, any step."""
        ahead = names if kinds[index].startswith("wait") else names[index + 1 :]
        # A bias to the next one, so that long paths are common.
        usual = names[index + 1 : index + 2] * 3
        return draw(st.sampled_from([*usual, *ahead, None])) if ahead else None

    plans: dict[str, Data] = {}
    for index, kind in enumerate(kinds):
        arrows: Data = {}
        if kind in _SEVERAL:
            arrows[_SEVERAL[kind]] = [target(index) for _ in range(draw(st.integers(1, 3)))]
        if kind in {"wait_for", "prior"}:
            arrows["next"] = target(index)
            arrows["timeout"] = target(index) if draw(st.integers(0, 3)) else False
        elif kind == "fork":
            ahead = names[index + 1 :]
            arrows["branches"] = draw(st.lists(st.sampled_from(ahead[:4]), min_size=2, max_size=3, unique=True))
        elif kind == "experiment":
            arrows["holdout"] = target(index) if draw(st.booleans()) else False
        else:
            arrows |= {arrow: target(index) for arrow in _ARROWS[kind]}
        plans[names[index]] = {"type": kind, "arrows": arrows, "saves": kind == "webhook" and draw(st.booleans())}
    for name_ in _unforked(plans, names[0]):
        plans[name_]["type"] = "list"
    reached = _reached(plans, names[0])
    sends = {name: draw(_some_messages) for name in reached if plans[name]["type"] == "send"}
    sent = sorted({message for messages in sends.values() for message in messages})
    saved = any(plans[name]["saves"] for name in reached)
    conditional = conditions(trigger=trigger, run=True, saved=saved, segments=segments)
    steps = {name: _step(draw, plans[name], sends.get(name, []), sent, entry, conditional) for name in reached}
    return {
        "kind": "journey",
        "name": name,
        **draw(_lives),
        "entry": entry,
        "re_entry": draw(st.sampled_from(["never", "after_end", "always", {"after": "1d"}])),
        **draw(_limits),
        **_aims(draw, keyed="key" in entry, conditional=conditional),
        "max_duration": draw(st.sampled_from(DURATIONS)),
        "priority": draw(st.sampled_from([0, 0, 1, -1])),
        "zone": draw(st.sampled_from(["", "", *ZONES])),
        "start": names[0],
        "steps": steps,
    }


def _aims(draw: st.DrawFn, *, keyed: bool, conditional: st.SearchStrategy[Data]) -> Data:
    """Exits and goals: none in most journeys, for an exit keeps others from being reached."""
    found: Data = {}
    if draw(st.integers(0, 2)) == 0:
        found["exit"] = [draw(_aim(keyed=keyed, conditional=conditional)) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.integers(0, 2)) == 0:
        found["goals"] = [
            {"name": f"goal{index}", **draw(_aim(keyed=keyed, conditional=conditional)), **draw(_windows_of_goals)}
            for index in range(draw(st.integers(1, 2)))
        ]
    return found


@st.composite
def _aim(draw: st.DrawFn, *, keyed: bool, conditional: st.SearchStrategy[Data]) -> Data:
    if draw(st.booleans()):
        return {"if": draw(conditional)}
    aim: Data = {"interaction": draw(st.sampled_from(INTERACTIONS) | _some_interactions)}
    if draw(st.integers(0, 2)) == 0:
        aim["where"] = draw(conditions(trigger=True, run=True))
    if keyed and draw(st.booleans()):
        aim["key"] = "order"
    return aim


_windows_of_goals = st.fixed_dictionaries(
    {}, optional={"within": st.sampled_from(["12h", "2d", "9d"]), "ends": st.booleans()}
)
_limits = st.fixed_dictionaries(
    {},
    optional={
        "max_entries": st.fixed_dictionaries(
            {"times": st.integers(1, 2)}, optional={"within": st.sampled_from(["6h", "1d"])}
        ),
        "max_runs": st.integers(1, 2),
    },
)


def _from_start(duration: str) -> str:
    return datetime.fromtimestamp((START + parse_duration(duration)) / 1000, UTC).isoformat()


_starts = st.sampled_from(["1s", "6h", "1d"]).map(_from_start)
_ends = st.sampled_from(["30h", "3d"]).map(_from_start)
_tests = st.fixed_dictionaries(
    {"contacts": st.lists(st.sampled_from(PEOPLE).map(lambda name: {"user_id": name}), min_size=1, max_size=2)},
    optional={"waits": st.sampled_from(["1s", "1h"]), "recipients": st.just({"email": "qa@parcours.dev"})},
)
_lives: st.SearchStrategy[Data] = st.one_of(
    st.just({"state": "live"}),
    st.just({"state": "live"}),
    st.fixed_dictionaries(
        {"state": st.sampled_from(["live", "live", "paused", "draft", "test", "closed", "stopped"]), "test": _tests},
        optional={"starts": _starts, "ends": _ends, "on_pause": st.sampled_from(["hold", "discard"])},
    ),
)
"""Where a journey is in its life."""


def _segment_entry(draw: st.DrawFn, segments: Sequence[str]) -> Data:
    on = draw(st.sampled_from(["read", "entered", "entered", "left"]))
    entry: Data = {"type": "segment", "segment": draw(st.sampled_from(segments)), "on": on}
    if on == "entered" and draw(st.booleans()):
        entry["existing"] = True
    return entry


_dated = st.fixed_dictionaries(
    {"attribute": st.just("born"), "yearly": st.booleans()},
    optional={"at": st.sampled_from(["00:00", "18:00"]), "before": st.just("1d")},
)


def _other_entry(draw: st.DrawFn, _segments: Sequence[str]) -> Data:
    kind = draw(st.sampled_from(["api", "contact_created", "journey", "date"]))
    entry: Data = {"type": kind}
    if kind == "date":
        entry |= draw(_dated)
    if kind != "journey" and draw(st.integers(0, 3)) == 0:
        entry["where"] = draw(conditions(trigger=kind == "api"))
    if kind in {"api", "journey"} and draw(st.integers(0, 2)) == 0:
        entry["key"] = "order"
    return entry


def _interaction_entry(draw: st.DrawFn, _segments: Sequence[str]) -> Data:
    names = st.sampled_from(INTERACTIONS) | _some_interactions
    entry: Data = {"type": "interaction", "interaction": draw(names)}
    if draw(st.integers(0, 4)) == 0:
        entry["times"] = draw(st.integers(2, 3))
        if draw(st.booleans()):
            entry["within"] = draw(st.sampled_from(["6h", "1d"]))
        entry["with_history"] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        entry["where"] = draw(_of_interaction if entry.get("with_history") else conditions(trigger=True))
    if draw(st.integers(0, 2)) == 0:
        entry["key"] = "order"
    if draw(st.integers(0, 3)) == 0:
        entry["max_age"] = draw(st.sampled_from(["1h", "2d"]))
    return entry


_some_messages = st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=2, unique=True)


def _reached(plans: dict[str, Data], start: str) -> list[str]:
    reached = [start]
    for name in reached:
        arrows = plans[name]["arrows"]
        targets = [one for to in arrows.values() for one in (to if isinstance(to, list) else [to])]
        reached += [name for name in dict.fromkeys(targets) if name and name not in reached]
    return reached


def _unforked(plans: dict[str, Data], start: str) -> list[str]:
    """Return the joins to which no way leads that is still in a fork."""
    joins = {name for name, plan in plans.items() if plan["type"] == "join"}
    todo = [(start, 0)]
    seen = set(todo)
    for name, depth in todo:
        kind = plans[name]["type"]
        inside = depth
        if kind == "fork":
            inside = min(depth + 1, len(plans))
        elif kind == "join":
            inside = max(depth - 1, 0)
            if depth:
                joins.discard(name)
        for to in plans[name]["arrows"].values():
            new = {(one, inside) for one in (to if isinstance(to, list) else [to]) if one} - seen
            seen |= new
            todo += sorted(new)
    return sorted(joins)


def _step(
    draw: st.DrawFn, plan: Data, messages: list[str], sent: list[str], entry: Data, conditional: st.SearchStrategy[Data]
) -> Data:
    arrows = {name: to for name, to in plan["arrows"].items() if isinstance(to, str)}
    if plan["type"] in {*_ACTS, "webhook"}:
        return {"type": plan["type"], **draw(_act(plan, entry)), **arrows}
    match plan["type"]:
        case "send":
            return {"type": "send", "messages": messages, **arrows}
        case "wait":
            return {"type": "wait", **draw(_length("for")), **arrows}
        case "pause":
            return {"type": "wait", "until": draw(_moment(entry)), **arrows}
        case "decision":
            return {"type": "decision", "if": draw(conditional), **arrows}
        case "split":
            return {"type": "split", "branches": _choices(draw, plan, conditional), **arrows}
        case "experiment":
            to = plan["arrows"]["holdout"]
            held: Data = {} if to is False else {"holdout": {"next": to} if to else {}}
            return {"type": "experiment", "branches": _variants(draw, plan), **held}
        case "fork":
            return {"type": "fork", "branches": plan["arrows"]["branches"]}
        case "join" | "end":
            return {"type": plan["type"], **arrows}
    arrows.pop("timeout", None)
    step: Data = {"type": "wait_for", "events": [], **arrows}
    if plan["type"] == "prior":
        # At least one branch is an interaction's.
        step["accept_prior"], sent = True, []
    for to in plan["arrows"]["events"]:
        branch = draw(_branch(sent, keyed="key" in entry))
        step["events"].append(branch | {"next": to} if to else branch)
    to = plan["arrows"]["timeout"]
    if to is not False:
        step["timeout"] = draw(_length("after")) | ({"next": to} if to else {})
    return step


@st.composite
def _act(draw: st.DrawFn, plan: Data, entry: Data) -> Data:
    """Return what a step does that makes something happen."""
    handed: st.SearchStrategy[Data] = st.just({}) | _sets(entry, ("total", "order"))
    match plan["type"]:
        case "webhook":
            return {"url": "https://a.example/{{ contact.id }}", **({"save": _SAVED} if plan["saves"] else {})}
        case "update":
            return {"set": draw(_sets(entry, ATTRIBUTES))}
        case "list":
            return {"add": [LISTS[0]], "remove": draw(st.sampled_from([[], [LISTS[1]]]))}
        case "record":
            return {"interaction": draw(_recorded), "attributes": draw(handed)}
        case _:
            return {"journey": STARTED, "attributes": draw(handed)}


_recorded = st.sampled_from(INTERACTIONS) | st.just("Noted")


@st.composite
def _sets(draw: st.DrawFn, entry: Data, names: Sequence[str]) -> Data:
    """Return values for some attributes."""
    copied = [{"from": "contact", "attribute": "age"}, {"from": "run", "attribute": "key"}]
    if entry["type"] in {"interaction", "api", "journey"}:
        copied += [{"from": "interaction", "attribute": "total"}, {"from": "interaction", "attribute": "order"}]
    plain = st.sampled_from([1, 2.5, "Atlanta", "a", ["a"]])
    value = st.one_of(
        plain,
        st.sampled_from(copied),
        st.sampled_from([1, ["b"], *copied]).flatmap(lambda part: st.sampled_from([{"add": part}, {"subtract": part}])),
        st.sampled_from([{"now": True}, {"remove": True}]),
    )
    return draw(st.dictionaries(st.sampled_from(names), value, min_size=1, max_size=2))


def _length(name: str) -> st.SearchStrategy[Data]:
    """Return how long to wait: a length of time of this name, or a moment that is never over."""
    lengths = st.sampled_from(WAITS).map(lambda length: {name: length})
    return lengths | lengths | _later.map(lambda moment: {"until": moment})


@st.composite
def _moment(draw: st.DrawFn, entry: Data) -> Data:
    """Return a moment that may be over: a date, or hours that may be open."""
    anchors: list[Data] = [{"date": "2026-03-04"}, {"contact": "birthday"}]
    if entry["type"] == "interaction":
        anchors.append({"interaction": "due"})
    return draw(_hours | st.builds(lambda anchor, more: anchor | more, st.sampled_from(anchors), _dates))


def _choices(draw: st.DrawFn, plan: Data, conditional: st.SearchStrategy[Data]) -> list[Data]:
    ways = enumerate(plan["arrows"]["branches"])
    return [{"name": f"way{index}", "if": draw(conditional)} | ({"next": to} if to else {}) for index, to in ways]


def _variants(draw: st.DrawFn, plan: Data) -> list[Data]:
    ways = enumerate(plan["arrows"]["branches"])
    weights = st.sampled_from([1, 1, 3, 0.5])
    return [{"name": f"way{index}", "weight": draw(weights)} | ({"next": to} if to else {}) for index, to in ways]


@st.composite
def _branch(draw: st.DrawFn, sent: list[str], *, keyed: bool) -> Data:
    branch: Data
    by_reaction = draw(st.booleans())
    if sent and by_reaction:
        branch = {"type": "reaction", "reaction": draw(st.sampled_from(REACTIONS[:4]))}
        if draw(st.booleans()):
            branch["message"] = draw(st.sampled_from(sent))
        return branch
    name = st.sampled_from(INTERACTIONS)
    branch = {"type": "interaction", "interaction": draw(name | name | _some_interactions)}
    if draw(st.integers(0, 2)) == 0:
        branch["where"] = draw(conditions(trigger=True, run=True))
    if keyed and draw(st.booleans()):
        branch["key"] = "order"
    return branch


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
    condition, live = draw(_of_contact), draw(st.booleans())
    return {"kind": "segment", "name": SEGMENTS[0], "condition": condition, "live": live, "control": control}


# --- what happens -----------------------------------------------------------------------------------------------------


class Comes(msgspec.Struct, frozen=True):
    """Somebody does something, or tells of themselves."""

    what: Happened | Learned | Asked | Called
    identities: Identities
    age: int
    """How long ago it occurred, in milliseconds; less than 0 is in the future."""
    backfill: bool = False
    """Whether it is history, which triggers nothing."""


class Reacts(msgspec.Struct, frozen=True):
    """Somebody reacts to a message that was sent by then: to the `choice`-th, counted round and round.

    It may be one of somebody who was erased since.
    """

    choice: int
    reaction: str
    attributes: dict[str, Any]


class Repeats(msgspec.Struct, frozen=True):
    """The `choice`-th arrival so far comes again."""

    choice: int


class Erases(msgspec.Struct, frozen=True):
    """The `choice`-th contact there is, counted round and round, is erased."""

    choice: int
    suppress: bool


class Passes(msgspec.Struct, frozen=True):
    """Time goes on, by so many milliseconds."""

    milliseconds: int


class Publishes(msgspec.Struct, frozen=True):
    """Definitions are published."""

    definitions: list[Data]


class Lives(msgspec.Struct, frozen=True):
    """The `choice`-th journey there is comes into another state."""

    choice: int
    changes: Data


class Moves(msgspec.Struct, frozen=True):
    """The runs of a version of the `choice`-th journey are moved to another, steps that wait to any others."""

    choice: int
    before: int
    after: int
    steps: list[int]


Move = Comes | Lives | Moves | Reacts | Repeats | Erases | Passes | Publishes


class Scenario(msgspec.Struct, frozen=True):
    """A workspace, and what happens."""

    definitions: list[Data]
    known: list[Comes]
    """What is known of people before the definitions are published."""
    moves: list[Move]


_attributes = st.fixed_dictionaries(
    {},
    optional={
        "total": st.integers(0, 4) | st.just(1.5),
        "order": st.sampled_from([*ORDERS, 1, None]),
        "due": st.sampled_from(DATES),
    },
)
_known: st.SearchStrategy[Identities] = st.sampled_from(PEOPLE).map(lambda name: (("user_id", name),))
_anonymous: st.SearchStrategy[Identities] = st.sampled_from(DEVICES).map(lambda device: (("anonymous_id", device),))
_both = st.tuples(_known, _anonymous).map(lambda pair: pair[0] + pair[1])
_identities = _known | _known | _anonymous | _both
_HOUR = 3_600_000
_ages = st.sampled_from(
    [0] * 5 + [1_000, _HOUR, 6 * _HOUR, 6 * _HOUR + 1, 48 * _HOUR, -_HOUR, -23 * _HOUR, -25 * _HOUR]
)
_topics = st.dictionaries(st.sampled_from(["", "news"]), st.sampled_from(["opted_in", "opted_out"]), max_size=2)


@st.composite
def _learned(draw: st.DrawFn) -> Learned:
    attributes: Data = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "city": st.sampled_from([*CITIES, None]),
                "age": st.integers(0, 4),
                "born": st.sampled_from(["1990-03-04", "2026-03-05", "2026-03-03T12:00:00Z", "nonsense", None]),
                "timezone": st.sampled_from([*ZONES, "Nowhere"]),
                "birthday": st.sampled_from(DATES),
                "email": st.sampled_from(["a@parcours.dev", "nonsense", None]),
                "push_token": st.sampled_from(["token", None]),
                "other": st.just({"nested": ["é", 1.5, None]}),
            },
        )
    )
    addresses: dict[str, str | None] = {}
    if "email" in attributes:
        addresses["email"] = attributes["email"] if attributes["email"] == "a@parcours.dev" else None
    if "push_token" in attributes:
        addresses["push"] = attributes["push_token"]
    consent = draw(st.dictionaries(st.sampled_from(["email", "push"]), _topics, max_size=2))
    lists = draw(st.dictionaries(st.sampled_from(LISTS), st.booleans(), max_size=2))
    evidence = draw(st.sampled_from([{}, {"by": "till 3", "how": "asked"}])) if consent else {}
    return Learned(attributes, addresses, consent, lists, evidence, same=draw(st.integers(0, 4)) == 0)


_comes: st.SearchStrategy[Comes] = st.builds(
    Comes,
    st.builds(Happened, st.sampled_from([*INTERACTIONS, " go "]), _attributes)
    | _learned()
    | st.builds(Called, st.sampled_from(["j0", "j1", "j2"]), _attributes),
    _identities,
    _ages,
    st.sampled_from([False, False, True]),
)
_reachable = Learned(
    {"email": "a@parcours.dev", "push_token": "token", "phone": "+12025550123", "city": "Atlanta"},
    {"email": "a@parcours.dev", "push": "token", "sms": "+12025550123"},
    {"email": {"": "opted_in"}, "push": {"": "opted_in"}, "sms": {"": "opted_in"}},
)
"""Somebody to whom everything may be sent."""

_does = st.builds(
    Comes,
    st.builds(Happened, st.sampled_from(INTERACTIONS), _attributes),
    _identities,
    st.sampled_from([0, 0, 0, 0, 1_000, 7 * _HOUR]),
)
_identifies = st.builds(Comes, st.just(_reachable), _both, st.just(0))
"""Somebody anonymous turns out to be somebody known."""

_moves: st.SearchStrategy[Move] = st.one_of(
    _identifies,
    _does,
    _does,
    _does,
    _comes,
    st.builds(Passes, st.sampled_from(PAUSES).map(parse_duration)),
    st.builds(Passes, st.sampled_from(PAUSES).map(parse_duration)),
    st.builds(Reacts, st.integers(0, 20), st.sampled_from(REACTIONS), st.sampled_from([{}, {"channel": "email"}])),
    st.builds(Repeats, st.integers(0, 20)),
)
_decided = st.booleans().map(
    lambda approved: Asked(action="review", programme="club", approved=approved, reason="seen", author="eve")
)
_asked = st.one_of(
    st.just(Asked(action="enrol", programme="club")),
    st.just(Asked(action="enrol", programme="club", card="c1")),
    st.integers(1, 4).map(lambda points: Asked(action="spend", programme="club", points=points)),
    st.integers(1, 4).map(lambda points: Asked(action="spend", programme="club", points=points)),
    st.sampled_from([-2, 3]).map(
        lambda points: Asked(
            action="adjust", programme="club", points=points, qualifying=points > 0, reason="sorry", author="eve"
        )
    ),
    st.sampled_from(ORDERS).map(lambda order: Asked(action="refund", programme="club", reference=order)),
    st.just(Asked(action="leave", programme="club")),
    st.just(Asked(action="leave", programme="club")),
    st.sampled_from(["r0", "r1"]).map(
        lambda rule: Asked(action="award", programme="club", lot=Lot("", rule, 0, 2, 2, reference="o1"), author="eve")
    ),
    st.sampled_from(["r0", "r1"]).map(
        lambda rule: Asked(action="award", programme="club", lot=Lot("", rule, 0, 0, 0), author="eve", counted=3)
    ),
    _decided,
)
_asks: st.SearchStrategy[Move] = st.builds(Comes, _asked, _identities, st.just(0))
_gives: st.SearchStrategy[Move] = st.builds(
    Comes,
    st.builds(
        Asked,
        action=st.just("transfer"),
        programme=st.just("club"),
        points=st.integers(1, 5),
        to=_identities.map(lambda identities: identities[0]),
    ),
    _identities,
    st.just(0),
)
_turns: st.SearchStrategy[Move] = st.builds(
    Lives,
    st.integers(0, 2),
    st.fixed_dictionaries({"state": st.sampled_from(["live", "live", "paused", "paused", "closed", "stopped"])})
    | _lives,
)
_migrations: st.SearchStrategy[Move] = st.builds(
    Moves, st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.lists(st.integers(0, 9), min_size=1, max_size=4)
)
_erases: st.SearchStrategy[Move] = st.builds(Erases, st.integers(0, 5), st.booleans())


@st.composite
def scenarios(
    draw: st.DrawFn, *, longest: int = 30, publishing: bool = True, erasing: bool = True, loyalty: bool = False
) -> Scenario:
    """Return a workspace and what happens in it.

    Args:
        draw: Given by Hypothesis.
        longest: How many moves there may be.
        publishing: Whether definitions may be published later, too.
        erasing: Whether contacts may be erased.
        loyalty: Whether there may be a programme with its rules, and members of it.
    """
    known = [Comes(_reachable, (("user_id", name),), 0) for name in PEOPLE if draw(st.integers(0, 3))]
    moves = _moves | st.builds(Publishes, changes()) if publishing and draw(st.booleans()) else _moves
    if publishing and draw(st.booleans()):
        others = moves | _does
        # Alternatives that are given twice are one, so that is no way to draw more of them.
        often = [_turns, _does, st.builds(Publishes, changes()) | _migrations]
        moves = st.integers(0, 4).flatmap(lambda die: [*often, others, others][die])
    if erasing and draw(st.booleans()):
        moves |= _erases
    found = draw(definitions())
    if draw(st.integers(0, 9)) == 0:
        found += RING
    if loyalty and draw(st.integers(0, 3)):
        found += draw(programmes())
        moves = moves | _asks | _asks | _gives
        if publishing and draw(st.booleans()):
            moves |= st.builds(Publishes, programmes())
    # A length that is drawn by itself is often large; that of a plain list hardly ever is.
    length = draw(st.integers(3, longest))
    begun = draw(st.lists(_does, min_size=min(4, length), max_size=4))  # journeys are entered in most scenarios
    return Scenario(found, known, [*begun, *draw(st.lists(moves, min_size=length, max_size=length))])


_of_members = st.one_of(
    st.tuples(
        st.sampled_from(["spendable", "held", "qualifying", "lifetime"]),
        st.sampled_from(["at_least", "less_than", "exactly"]),
        st.integers(0, 6),
    ).map(lambda drawn: {"points": "club", "kind": drawn[0], drawn[1]: drawn[2]}),
    st.just({"member": "club"}),
)
_of_tiers = st.sampled_from([{"tier": "club", "is": "blue"}, {"tier": "club", "at_least": "gold"}])
_buys: st.SearchStrategy[Move] = st.builds(
    Comes,
    st.builds(
        Happened,
        st.sampled_from(["Go", "Paid", "Paid", "Seen"]),
        st.fixed_dictionaries({}, optional={"total": st.integers(1, 4), "order": st.sampled_from(ORDERS)}),
    ),
    _identities,
    st.sampled_from([0, 0, 0, _HOUR, 48 * _HOUR]),
)


@st.composite
def loyal_scenarios(draw: st.DrawFn, *, longest: int = 40) -> Scenario:
    """Return a programme with its rules, and what its members do: hardly anything else happens."""
    everybody = [("user_id", name) for name in PEOPLE] + [("anonymous_id", name) for name in DEVICES]
    known = [Comes(Asked(action="enrol", programme="club"), (identity,), 0) for identity in everybody]
    passes = st.builds(Passes, st.sampled_from(PAUSES).map(parse_duration))
    moves: st.SearchStrategy[Move] = _buys | _buys | _buys | _asks | _asks | passes | passes
    moves |= _identifies | st.builds(Repeats, st.integers(0, 20))
    if draw(st.booleans()):
        moves |= _erases
    club = draw(programmes(budgets=True))
    if draw(st.integers(0, 2)) == 0:
        # Awards that wait for somebody, and somebody who decides: both are seldom by themselves.
        club = [item | {"hold_if": {"all": []}} if "points" in item else item for item in club]
        moves |= st.builds(Comes, _decided, _identities, st.just(0))
    if "transfer" in club[0]:
        moves |= _gives
    length = draw(st.integers(3, longest))
    drawn = draw(st.lists(moves, min_size=length, max_size=length))
    asked = _of_members | _of_tiers if "tiers" in club[0] else _of_members
    watched = [
        {"kind": "segment", "name": f"w{index}", "condition": draw(asked | asked.map(lambda part: {"not": part}))}
        for index in range(draw(st.integers(0, 2)))
    ]
    live = [segment | {"live": True} for segment in watched]
    return Scenario([*messages(), *club, *live], [], [*known, *drawn])


_MANY = 1_000_000

# --- playing ----------------------------------------------------------------------------------------------------------


class Step(msgspec.Struct):
    """One thing that happened, with nothing left to be chosen: at an instant, arrivals, a publication or an erasure."""

    at: int
    arrivals: list[Arrival]
    definitions: list[Data] = msgspec.field(default_factory=list)
    erased: str = ""
    """A contact."""
    suppress: bool = False
    move: inputs.Move | None = None


def _reaction(move: Reacts, message: str, *, call: bool) -> Reacted:
    """Return a reaction to a message, or what became of a call."""
    if not call:
        return Reacted(move.reaction, message, move.attributes)
    came = "answered" if move.choice % 3 else "failed"
    return Reacted(came, message, {"status": 200, "body": {"age": move.choice % 3}}, ours=True)


def play(simulation: Simulation, scenario: Scenario) -> list[Step]:  # noqa: C901 (one case for each kind of move)
    """Let a scenario happen in a new simulation that stands at `START`, and return the script of what happened."""
    script: list[Step] = []
    so_far: list[Arrival] = []
    messages: set[str] = set()
    calls: set[str] = set()

    def happen(step: Step) -> None:
        script.append(step)
        perform(simulation, [step])

    def come(move: Comes) -> None:
        now = simulation.clock.now()
        age = move.age or None
        occurred_at = age and now - age
        arrival = Arrival("test", f"m{len(so_far)}", move.identities, _copy(move.what), occurred_at, move.backfill)
        so_far.append(arrival)
        happen(Step(now, [arrival]))

    def erase(move: Erases) -> None:
        there = [contact.id for contact in simulation.store.scan(limit=_MANY) if not contact.erased_at]
        if there:
            messages.update(message.id for message in simulation.messages(LINES))
            happen(Step(simulation.clock.now(), [], [], there[move.choice % len(there)], move.suppress))

    for known in scenario.known:
        come(known)
    happen(Step(simulation.clock.now(), [], scenario.definitions))
    for move in scenario.moves:
        match move:
            case Comes():
                come(move)
            case Passes():
                happen(Step(simulation.clock.now() + move.milliseconds, []))
            case Publishes():
                happen(Step(simulation.clock.now(), [], move.definitions))
            case Lives():
                of_journey = list(simulation.engine.plan.workspace.journeys.values())
                definition = of_journey[move.choice % len(of_journey)]
                happen(Step(simulation.clock.now(), [], [dump(definition) | move.changes]))
            case Moves():
                happen(Step(simulation.clock.now(), [], move=_chosen(simulation, move)))
            case Repeats() if so_far:
                happen(Step(simulation.clock.now(), [so_far[move.choice % len(so_far)]]))
            case Erases():
                erase(move)
            case Reacts() if sent := messages.union(message.id for message in simulation.messages(LINES)):
                calls.update(message.id for message in simulation.messages((WEBHOOK,)))
                # Messages of different contacts are in no order that matters.
                message = sorted(sent)[move.choice % len(sent)]
                reaction = _reaction(move, message, call=message in calls)
                so_far.append(Arrival("test", f"m{len(so_far)}", (), reaction))
                happen(Step(simulation.clock.now(), [so_far[-1]]))
            case _:
                pass
    return script


def _chosen(simulation: Simulation, move: Moves) -> inputs.Move:
    names = sorted(simulation.engine.plan.journeys)
    name = names[move.choice % len(names)]
    versions = simulation.engine.plan.journeys[name]
    before, after = 1 + move.before % len(versions), 1 + move.after % len(versions)
    to = sorted(versions[after].steps)
    steps = {
        step: to[move.steps[index % len(move.steps)] % len(to)]
        for index, step in enumerate(sorted(versions[before].steps))
    }
    return inputs.Move(name, before, after, steps)


def perform(simulation: Simulation, script: Iterable[Step]) -> None:
    """Let a script happen, one step after the other."""
    for step in script:
        simulation.advance(step.at)
        if step.definitions:
            simulation.publish(step.definitions)
        if step.move is not None:
            simulation.move(step.move)
        if step.erased:
            simulation.engine.erase(step.erased, suppress=step.suppress)
        if step.arrivals:
            simulation.send(*[copy_of(arrival) for arrival in step.arrivals])


def perform_late(simulation: Simulation, script: Iterable[Step], *, never: bool) -> None:
    """Let a script without moves happen, with a look at timers once a step; with `never` only where an input asks for it."""
    engine = simulation.engine
    for step in script:
        simulation.clock.set(step.at)
        if step.definitions:
            simulation.publish(step.definitions)
        if step.erased:
            engine.erase(step.erased, suppress=step.suppress)
        if step.arrivals:
            engine.accept([copy_of(arrival) for arrival in step.arrivals])
        if not never:
            engine.tick()
    simulation.advance(simulation.clock.now())


def copy_of(arrival: Arrival) -> Arrival:
    """Return an arrival that shares nothing with the given one, for an engine may keep what it is handed."""
    return msgspec.structs.replace(arrival, what=_copy(arrival.what))


def _copy(what: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(what), type=type(what))
