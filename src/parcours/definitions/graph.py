"""What is wrong with the graph of a journey: arrows that lead nowhere, steps that nothing leads to, walks without end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from parcours.conditions.parse import escape, shown
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.steps import Decision, Split, Step, Wait, WaitFor, following
from parcours.errors import Problem, did_you_mean


class Flaw(msgspec.Struct, frozen=True):
    """Something wrong with a journey; the problem's pointer is within it."""

    problem: Problem
    warning: bool = False


def flaws_of_graph(journey: JourneyDefinition) -> Iterator[Flaw]:
    """Yield what is wrong with the graph of a journey."""
    steps = journey.steps
    arrows: dict[str, list[str]] = {}
    for name, step in steps.items():
        pointer = f"/steps/{escape(name)}"
        arrows[name] = []
        for place, target in following(step):
            if target in steps:
                arrows[name].append(target)
            else:
                yield _error("unknown_step", f"there is no step {shown(target)}", pointer + place, target, steps)
    if journey.start in steps:
        for name in _unreached(arrows, journey.start):
            hint = "lead an arrow to it, or delete it"
            message = f"nothing leads to the step {name!r}"
            yield _flaw("unreachable_step", message, f"/steps/{escape(name)}", hint)
    else:
        yield _error("unknown_step", f"there is no step {shown(journey.start)}", "/start", journey.start, steps)
    at_once = {name: to for name, to in arrows.items() if not _always_waits(steps[name])}
    for cycle in cycles(at_once):
        message = f"these steps lead to each other for ever, without a wait: {as_path(cycle)}"
        pointer = f"/steps/{escape(cycle[0])}"
        yield _flaw("endless_cycle", message, pointer, "put a wait between them")
    for name, step in steps.items():
        if isinstance(step, Wait | WaitFor | Decision | Split) and not any(following(step)):
            message = f"nothing follows the step {name!r}, so it changes nothing"
            hint = "lead an arrow from it, or delete it"
            yield _flaw("dead_end", message, f"/steps/{escape(name)}", hint, warning=True)


def _always_waits(step: Step) -> bool:
    """Return whether a token that comes to a step again and again lets time pass there."""
    match step:
        case Wait():
            return step.duration is not None or (step.until is not None and not step.until.passes_at_once)
        case WaitFor():
            return step.timeout is None or step.timeout.until is None or not step.timeout.until.passes_at_once
        case _:
            return False


def _error(code: str, message: str, pointer: str, name: str, known: Mapping[str, object]) -> Flaw:
    return _flaw(code, message, pointer, did_you_mean(name, known))


def _flaw(code: str, message: str, pointer: str, hint: str, *, warning: bool = False) -> Flaw:
    return Flaw(Problem(code=code, message=message, pointer=pointer, hint=hint), warning)


def cycles(graph: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return circles of a graph (names that each leads to), enough of them that no circle is left without one."""
    _, rest = peel(graph)
    found = []
    while rest:
        # Everything that is left leads on to something that is left, so a walk must come round.
        path = [next(iter(rest))]
        seen = {path[0]: 0}
        while (ahead := rest[path[-1]][0]) not in seen:
            seen[ahead] = len(path)
            path.append(ahead)
        circle = path[seen[ahead] :]
        found.append(circle)
        _, rest = peel({name: to for name, to in rest.items() if name not in circle})
    return found


def peel(graph: Mapping[str, Sequence[str]]) -> tuple[list[str], dict[str, list[str]]]:
    """Return names from which no circle is reached, each after all it leads to; and the graph of the others."""
    ahead = {name: {other for other in to if other in graph} for name, to in graph.items()}
    behind: dict[str, list[str]] = {name: [] for name in graph}
    for name, to in ahead.items():
        for other in to:
            behind[other].append(name)
    ready = deque(name for name, to in ahead.items() if not to)
    order = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for other in behind[name]:
            ahead[other].discard(name)
            if not ahead[other]:
                ready.append(other)
    done = set(order)
    rest = {name: [o for o in to if o in graph and o not in done] for name, to in graph.items() if name not in done}
    return order, rest


def _unreached(arrows: Mapping[str, Sequence[str]], start: str) -> list[str]:
    reached = {start}
    todo = [start]
    while todo:
        for name in arrows[todo.pop()]:
            if name not in reached:
                reached.add(name)
                todo.append(name)
    return [name for name in arrows if name not in reached]


def as_path(cycle: Sequence[str]) -> str:
    """Return a circle as it is shown."""
    return " → ".join([*cycle, cycle[0]])
