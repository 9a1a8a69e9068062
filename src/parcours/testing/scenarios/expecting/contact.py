"""The contact: attributes, consent, segments and lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parcours.conditions import ast
from parcours.conditions.examine import examine
from parcours.conditions.to_python import compile_condition, consent_state
from parcours.testing.scenarios.expecting.common import Check, Problems, listed, meant
from parcours.testing.scenarios.format import Names
from parcours.testing.scenarios.looking import View


def _attributes(view: View, wanted: dict[str, Any]) -> Problems:
    known = view.look.contact.attributes
    for name, value in wanted.items():
        if known.get(name) != value or isinstance(known.get(name), bool) != isinstance(value, bool):
            yield f"the attribute {name!r} of {view.who} was to be {value!r}, and is {known.get(name)!r}"


def _consent(view: View, wanted: dict[str, Any]) -> Problems:
    for channel, given in wanted.items():
        for topic, state in (given if isinstance(given, Mapping) else {"": given}).items():
            found = consent_state(view.look.contact.consent, channel, topic) or "unknown"
            if found != state:
                yield f"consent of {view.who} for {channel} {topic}".rstrip() + f" was to be {state}, and is {found}"


def _member(view: View, name: str) -> bool:
    test = compile_condition(ast.InSegment(name), view.look.engine.plan.segments)
    return test(view.look.contact, {}, view.look.now)


def _in_segment(view: View, wanted: Names) -> Problems:
    yield from _of_segments(view, wanted, member=True)


def _not_in_segment(view: View, wanted: Names) -> Problems:
    yield from _of_segments(view, wanted, member=False)


def _of_segments(view: View, wanted: Names, *, member: bool) -> Problems:
    for name in listed(wanted):
        if name not in view.look.engine.plan.segments:
            yield f"there is no segment {name!r}{meant(name, view.look.engine.plan.segments)}"
        elif _member(view, name) != member:
            why = examine(view.look.engine.plan.segments[name], view.look.contact, {}, view.look.now).reasons()
            said = f": {'; '.join(why)}" if why else ""
            yield f"{view.who} was {'' if member else 'not '}to be in the segment {name!r}{said}"


def _on_list(view: View, wanted: Names) -> Problems:
    yield from _of_lists(view, wanted, member=True)


def _not_on_list(view: View, wanted: Names) -> Problems:
    yield from _of_lists(view, wanted, member=False)


def _of_lists(view: View, wanted: Names, *, member: bool) -> Problems:
    for name in listed(wanted):
        if name not in view.look.engine.plan.workspace.lists:
            yield f"there is no list {name!r}{meant(name, view.look.engine.plan.workspace.lists)}"
            continue
        known = view.look.contact.lists.get(name)
        if (known is not None and known.member) != member:
            yield f"{view.who} was {'' if member else 'not '}to be on the list {name!r}"


CHECKS: dict[str, Check] = {
    "attributes": _attributes,
    "consent": _consent,
    "in_segment": _in_segment,
    "not_in_segment": _not_in_segment,
    "on_list": _on_list,
    "not_on_list": _not_on_list,
}
