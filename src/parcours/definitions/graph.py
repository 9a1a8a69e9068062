"""What is wrong with the graph of a journey: arrows that lead nowhere, steps that nothing leads to, walks without end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush

import msgspec

from parcours.conditions.durations import UNITS, format_duration, parse_duration
from parcours.conditions.parse import escape, shown
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.steps import Decision, Experiment, Fork, Join, Split, Step, Timeout, Wait, WaitFor, following
from parcours.errors import Problem, did_you_mean

_MOST_STATES = 20_000
"""Steps with the forks a token may be in there, that are walked: enough for anything that can be drawn."""


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
    at_once = {name: to for name, to in arrows.items() if not always_waits(steps[name])}
    for cycle in cycles(at_once):
        message = f"these steps lead to each other for ever, without a wait: {as_path(cycle)}"
        pointer = f"/steps/{escape(cycle[0])}"
        yield _flaw("endless_cycle", message, pointer, "put a wait between them")
    if journey.start in steps:
        yield from _flaws_of_forks(journey)
    for name, step in steps.items():
        if isinstance(step, Wait | WaitFor | Decision | Split | Experiment) and not any(following(step)):
            message = f"nothing follows the step {name!r}, so it changes nothing"
            hint = "lead an arrow from it, or delete it"
            yield _flaw("dead_end", message, f"/steps/{escape(name)}", hint, warning=True)
    yield from _busy(steps)
    if journey.start in steps:
        yield from _too_far(journey)


def _busy(steps: Mapping[str, Step]) -> Iterator[Flaw]:
    """Yield circles that tokens go round again and again within a minute, which is likely a wait that was meant longer."""
    quick = {name: list(_at_once(step)) for name, step in steps.items()}
    for cycle in cycles({name: [to for to in targets if to in steps] for name, targets in quick.items()}):
        if any(always_waits(steps[name]) for name in cycle):
            message = f"whoever comes here goes round within a minute, again and again: {as_path(cycle)}"
            yield _flaw("busy_cycle", message, f"/steps/{escape(cycle[0])}", "wait longer", warning=True)


def _at_once(step: Step) -> Iterator[str]:
    """Yield the steps that a token comes to within a minute, whatever happens."""
    match step:
        case Wait(duration=str(length), next=str(target)):
            quick, targets = _length(length) < UNITS["m"], [target]
        case WaitFor(timeout=Timeout(after=str(length)) as timeout) if (late := timeout.next or step.next) is not None:
            quick, targets = _length(length) < UNITS["m"], [late]
        case _:
            quick, targets = not always_waits(step), [target for _, target in following(step)]
    yield from targets if quick else ()


def _too_far(journey: JourneyDefinition) -> Iterator[Flaw]:
    """Yield the first steps on each way that no run comes to, for its time is up before."""
    longest = _length(journey.max_duration)
    soonest = _soonest(journey, longest)
    for name, (at, waits) in soonest.items():
        if at >= longest and not waits:
            message = (
                f"nobody comes to the step {name!r}: the waits before it come to {format_duration(at)}, "
                f"and a run is over after {journey.max_duration}"
            )
            hint = "shorten them, or raise the journey's 'max_duration'"
            yield _flaw("beyond_run", message, f"/steps/{escape(name)}", hint, warning=True)


def _soonest(journey: JourneyDefinition, longest: int) -> dict[str, tuple[int, bool]]:
    """Return how long after its beginning a run comes to each step at the soonest; beyond its end, only the first such step.

    Moments to wait for, and what may happen, count as if they came at once. The second value is whether something on the way
    was waited for longer than a run may last, which is told already.
    """
    found: dict[str, tuple[int, bool]] = {}
    todo = [(0, journey.start, False)]
    while todo:
        at, name, told = heappop(todo)
        if name in found:
            continue
        found[name] = at, told
        if at >= longest:
            continue
        for target, length in _lengths(journey.steps[name]):
            if target in journey.steps:
                heappush(todo, (at + length, target, told or length > longest))
    return found


def _lengths(step: Step) -> Iterator[tuple[str, int]]:
    """Yield each step that one leads to, and how long that takes at least."""
    match step:
        case Wait(duration=str(length)):
            yield from ((target, _length(length)) for _, target in following(step))
        case WaitFor(timeout=Timeout(after=str(length))):
            for pointer, target in following(step):
                late = pointer == "/timeout/next" or all(branch.next is not None for branch in step.events)
                yield target, _length(length) if late and not pointer.startswith("/events/") else 0
        case _:
            yield from ((target, 0) for _, target in following(step))


def _length(written: str) -> int:
    try:
        return parse_duration(written)
    except ValueError:
        return 0  # told where it stands


def _flaws_of_forks(journey: JourneyDefinition) -> Iterator[Flaw]:
    """Yield what is wrong with forks and joins."""
    steps = journey.steps
    joined, endless = _walk_forks(journey)
    for name, step in steps.items():
        pointer = f"/steps/{escape(name)}"
        if isinstance(step, Fork):
            yield from _twice(step, pointer)
        if name in endless:
            message = f"a way out of the fork {name!r} leads back to it, so that each round makes more tokens"
            yield _flaw("endless_fork", message, pointer, "join its ways first", warning=True)
        forks_of = joined.get(name, set())
        if forks_of == {""}:
            # Of a fork that leads into itself, not every way was walked.
            hint = "lead the ways of a fork to it"
            yield _flaw("join_without_fork", "no fork leads to this join", pointer, hint, warning=bool(endless))
        elif "" in forks_of:
            message = "some ways to this join lead through no fork: who comes so does not wait"
            yield _flaw("join_without_fork", message, pointer, "lead them past it", warning=True)
        elif len(forks_of) > 1:
            named = " and ".join(sorted(map(repr, forks_of)))
            message = f"ways of the forks {named} meet here, and each waits for its own fork only"
            yield _flaw("mixed_join", message, pointer, "give each fork a join of its own", warning=True)


def _walk_forks(journey: JourneyDefinition) -> tuple[dict[str, set[str]], dict[str, None]]:
    """Return the forks whose tokens may come to each join (empty for none), and the forks that lead into themselves."""
    steps = journey.steps
    joined: dict[str, set[str]] = {name: set() for name, step in steps.items() if isinstance(step, Join)}
    endless: dict[str, None] = {}
    todo: list[tuple[str, tuple[str, ...]]] = [(journey.start, ())]
    seen = set(todo)
    while todo:
        name, forks = todo.pop()
        step = steps[name]
        if isinstance(step, Fork):
            if name in forks:
                endless[name] = None
                continue
            forks = (*forks, name)
        elif isinstance(step, Join):
            joined[name].add(forks[-1] if forks else "")
            forks = forks[:-1]
        for _, target in following(step):
            state = target, forks
            if target in steps and state not in seen and len(seen) < _MOST_STATES:
                seen.add(state)
                todo.append(state)
    return joined, endless


def _twice(step: Fork, pointer: str) -> Iterator[Flaw]:
    for index, branch in enumerate(step.branches):
        if branch in step.branches[:index]:
            message = f"the step {shown(branch)} is listed twice"
            yield _flaw("branch_twice", message, f"{pointer}/branches/{index}", "leave one of them out")


def always_waits(step: Step) -> bool:
    """Return whether a token that comes to a step again and again lets time pass there."""
    match step:
        case Wait():
            return step.duration is not None or (step.until is not None and not step.until.passes_at_once)
        case WaitFor() if step.accept_prior:
            return False
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
