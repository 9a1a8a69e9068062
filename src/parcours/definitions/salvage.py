"""What else is wrong with a journey of which a part cannot be read.

People mend a file in one go when they are told everything at once. So the parts that cannot be read are replaced by
stand-ins, and what holds whatever was meant by them is told as well:

| cannot be read       | stands in for it                                          | and nothing is said of                    |
|----------------------|-----------------------------------------------------------|-------------------------------------------|
| a step               | a wait for something, with all arrows that it may have had | the step but arrows that lead nowhere     |
| the entry            | one over the API                                          | who enters                                |
| `max_duration`       | what is usual                                             | lengths of time                           |
| `start`, a step's name, all arrows of a step | the first step, none                  | steps that nothing leads to               |
| anything else        | what is usual                                             | that                                      |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parcours.conditions.parse import escape, shown
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.validate import convert
from parcours.errors import Problem, did_you_mean

_ARROWS = frozenset({"next", "then", "else", "suppressed", "failed", "unavailable"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_STAND_IN = "stand-in"

_CERTAIN = frozenset(
    {
        "archived_live",
        "address",
        "archived_reference",
        "branch_twice",
        "dead_end",
        "empty_name",
        "endless_cycle",
        "invalid_key",
        "invalid_value",
        "longer_than_run",
        "missing_key",
        "name_taken",
        "name_twice",
        "no_testers",
        "no_weight",
        "sent_twice",
        "unknown_channel",
        "unknown_reference",
        "unknown_step",
        "unknown_zone",
        "unreachable_step",
    }
)
"""What holds whatever the parts mean that could not be read."""


class Salvaged:
    """A journey with stand-ins, and what of its findings is to be told."""

    def __init__(self, definition: JourneyDefinition, broken: Sequence[str], arrows: Sequence[Problem]) -> None:
        self.definition = definition
        self.arrows = arrows
        """Arrows of steps that cannot be read, which lead nowhere."""
        self._broken = broken

    def holds(self, problem: Problem) -> bool:
        """Return whether something found of it is so whatever the parts mean that could not be read."""
        if problem.code not in _CERTAIN or problem.pointer.endswith("/run"):
            return False
        if problem.code == "longer_than_run" and "/max_duration" in self._broken:
            return False
        if problem.code == "unreachable_step" and _NOWHERE in self._broken:
            return False
        return not any(_within(problem.pointer, pointer) for pointer in self._broken)


_NOWHERE = "/start"
"""Among what is broken, this says that it is not known what leads where."""


def salvage(data: Mapping[Any, Any], problems: Sequence[Problem]) -> Salvaged | None:
    """Return a journey with stand-ins for what could not be read; None when too little is left.

    Args:
        data: The journey as it was written.
        problems: Why it is none.
    """
    written = data.get("steps")
    hopeless = any(problem.pointer == "/steps" or problem.code == "too_deep" for problem in problems)
    if not isinstance(written, Mapping) or hopeless:
        return None
    steps = {name: step for name, step in written.items() if isinstance(name, str) and _NAME.fullmatch(name)}
    if not steps:
        return None
    whole: dict[str, Any] = {key: value for key, value in data.items() if isinstance(key, str) and key != "steps"}
    broken: dict[str, None] = {}
    arrows: list[Problem] = []
    if len(steps) < len(written):
        broken[_NOWHERE] = None
    for problem in problems:
        field, *below = problem.pointer.split("/")[1:] or [""]
        name = below[0].replace("~1", "/").replace("~0", "~") if below else ""
        if field == "steps" and name in steps:
            broken[f"/steps/{escape(name)}"] = None
        elif field and field != "steps":
            broken[f"/{field}"] = None
            whole.pop(field, None)
    for name in list(steps):
        pointer = f"/steps/{escape(name)}"
        if pointer in broken:
            arrows += _lost(steps[name], pointer, written, problems)
            ways = [text for text in _texts(steps[name]) if text in steps and text != name]
            if not ways:
                broken[_NOWHERE] = None
            steps[name] = _stand_in(ways)
    if whole.get("start") not in steps:
        broken[_NOWHERE] = None
        arrows += _lost({"next": data.get("start")}, "", written, problems, "/start")
        whole["start"] = next(iter(steps))
    usual = {"kind": "journey", "name": _STAND_IN, "entry": {"type": "api", "key": "key"}}
    definition, _ = convert(usual | whole | {"steps": steps}, JourneyDefinition)
    return Salvaged(definition, list(broken), arrows) if definition is not None else None


def _stand_in(arrows: Sequence[str]) -> dict[str, Any]:
    ways = [{"type": "interaction", "interaction": _STAND_IN, "next": name} for name in dict.fromkeys(arrows)]
    return {"type": "wait_for", "events": ways or [{"type": "interaction", "interaction": _STAND_IN}]}


def _texts(item: object) -> Iterator[str]:
    match item:
        case str():
            yield item
        case Mapping():
            for part in item.values():
                yield from _texts(part)
        case list() | tuple():
            for part in item:
                yield from _texts(part)
        case _:
            pass


def _lost(
    item: object, pointer: str, steps: Mapping[Any, Any], problems: Sequence[Problem], place: str = ""
) -> Iterator[Problem]:
    """Yield the arrows of something that cannot be read, which lead to no step."""
    parts: Iterator[tuple[object, object]] = iter(())
    if isinstance(item, Mapping):
        parts = iter(item.items())
    elif isinstance(item, list | tuple):
        parts = iter(enumerate(item))
    for key, part in parts:
        below = place or f"{pointer}/{escape(str(key))}"
        if key in _ARROWS and isinstance(part, str):
            if part not in steps and all(problem.pointer != below for problem in problems):
                message = f"there is no step {shown(part)}"
                hint = did_you_mean(part, [name for name in steps if isinstance(name, str)])
                yield Problem(code="unknown_step", message=message, pointer=below, hint=hint)
        else:
            yield from _lost(part, below, steps, problems)


def _within(pointer: str, outer: str) -> bool:
    return pointer == outer or pointer.startswith(f"{outer}/")
