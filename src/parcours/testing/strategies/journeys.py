"""Random journeys: graphs of all types of step, that are valid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import strategies as st

from parcours.conditions.durations import parse_duration
from parcours.testing.strategies.conditions import conditions, of_interaction, some_interactions
from parcours.testing.strategies.names import (
    ATTRIBUTES,
    DURATIONS,
    INTERACTIONS,
    LISTS,
    MESSAGES,
    PEOPLE,
    REACTIONS,
    SAVED,
    SEGMENTS,
    START,
    STARTED,
    WAITS,
    ZONES,
    Data,
)

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
        **draw(lives),
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
    aim: Data = {"interaction": draw(st.sampled_from(INTERACTIONS) | some_interactions)}
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


lives: st.SearchStrategy[Data] = st.one_of(
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
    names = st.sampled_from(INTERACTIONS) | some_interactions
    entry: Data = {"type": "interaction", "interaction": draw(names)}
    if draw(st.integers(0, 4)) == 0:
        entry["times"] = draw(st.integers(2, 3))
        if draw(st.booleans()):
            entry["within"] = draw(st.sampled_from(["6h", "1d"]))
        entry["with_history"] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        entry["where"] = draw(of_interaction if entry.get("with_history") else conditions(trigger=True))
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
            return {"url": "https://a.example/{{ contact.id }}", **({"save": SAVED} if plan["saves"] else {})}
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
    branch = {"type": "interaction", "interaction": draw(name | name | some_interactions)}
    if draw(st.integers(0, 2)) == 0:
        branch["where"] = draw(conditions(trigger=True, run=True))
    if keyed and draw(st.booleans()):
        branch["key"] = "order"
    return branch
