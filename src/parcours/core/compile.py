"""From definitions to what a plan is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from parcours.conditions import ast
from parcours.conditions.changes import compile_turns
from parcours.conditions.durations import UNITS, parse_duration
from parcours.conditions.names import match_name
from parcours.conditions.needs import asks_of_run, trigger_attributes, walk
from parcours.conditions.parse import parse_condition
from parcours.conditions.samples import PLACES
from parcours.conditions.text import describe
from parcours.conditions.to_python import compile_condition
from parcours.core import ids
from parcours.core.compiled import (
    NO_TEST,
    Aims,
    Choice,
    CompiledAim,
    CompiledBranch,
    CompiledJourney,
    CompiledStep,
    CompiledTest,
    Dated,
    Question,
    Share,
    Tally,
)
from parcours.core.waits import clock, moment
from parcours.definitions.common import Condition, names_of
from parcours.definitions.entries import AfterPause, DateEntry, InteractionEntry, JourneyEntry, SegmentEntry
from parcours.definitions.goals import Exit, Goal
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.segment import CONTROL, SegmentDefinition
from parcours.definitions.steps import (
    Decision,
    Experiment,
    InteractionBranch,
    ReactionBranch,
    Split,
    Step,
    Wait,
    WaitFor,
)
from parcours.definitions.values import copies
from parcours.errors import InvalidDefinitionError

DEFAULT_MAX_AGE = parse_duration("6h")
"""How late an interaction may arrive and still move the runs of a journey that sets no age of its own."""


def compile_journey(
    definition: JourneyDefinition, version: int, segments: Mapping[str, ast.Node], since: int = 0
) -> CompiledJourney:
    """Return one version of a journey, published at an instant, compiled.

    Raises:
        InvalidDefinitionError: A condition cannot be read.
    """
    entry = definition.entry
    steps = {name: _compile_step(step, segments) for name, step in definition.steps.items()}
    segment = tally = None
    written = getattr(entry, "where", None)
    where = question(written, segments) if written is not None else None
    max_age, key = DEFAULT_MAX_AGE, getattr(entry, "key", "")
    names: tuple[str, ...] = ()
    if isinstance(entry, InteractionEntry):
        max_age, names = parse_duration(entry.max_age), names_of(entry.interaction)
        tally = _tally(definition.name, entry) if entry.times > 1 else None
    elif isinstance(entry, JourneyEntry):
        key = entry.key
    elif isinstance(entry, SegmentEntry):
        node = ast.InSegment(entry.segment)
        segment = Question(compile_condition(node, segments), with_segments(node, segments), describe(node))
    most = definition.max_entries
    aims = _compile_aims(definition, segments)
    facts: set[str] = set()
    for step in steps.values():
        for asked in _asked_of_run(step):
            facts |= trigger_attributes(asked.node)
        facts |= _facts_of(step)
    for aim in (*aims.exits, *aims.goals):
        if aim.question is not None:
            facts |= trigger_attributes(aim.question.node)
    return CompiledJourney(
        name=definition.name,
        version=version,
        definition=definition,
        steps=steps,
        max_duration=parse_duration(definition.max_duration),
        max_age=max_age,
        where=where,
        key=key,
        segment=segment,
        watches=entry.segment if isinstance(entry, SegmentEntry) and entry.on != "read" else "",
        on_leaving=isinstance(entry, SegmentEntry) and entry.on == "left",
        facts=tuple(sorted(facts)),
        prior=_prior(steps.values()),
        reacts=any(step.reactions for step in steps.values()),
        start=definition.start,
        once=definition.re_entry == "never",
        parallel=definition.re_entry == "always",
        names=names,
        tally=tally,
        aims=aims if aims.exits or aims.goals else None,
        pause=parse_duration(definition.re_entry.after) if isinstance(definition.re_entry, AfterPause) else 0,
        most_runs=definition.max_runs,
        most_entries=most.times if most is not None else 0,
        entries_within=parse_duration(most.within) if most is not None and most.within is not None else None,
        since=since,
    )


def compile_test(definition: JourneyDefinition) -> CompiledTest:
    """Return how a journey is tested."""
    test = definition.test
    if test is None:
        return NO_TEST
    return CompiledTest(
        frozenset(pair for identity in test.contacts for pair in identity.items()),
        parse_duration(test.waits) if test.waits is not None else None,
        test.recipients,
    )


def _tally(journey: str, entry: InteractionEntry) -> Tally:
    within = parse_duration(entry.within) if entry.within is not None else None
    counted = msgspec.json.encode([sorted(names_of(entry.interaction)), entry.where, entry.key, entry.with_history])
    return Tally(ids.derive("tally", journey, counted.decode()), entry.times, within, entry.with_history)


def dated_of(entry: DateEntry, zones: tuple[str, str], revision: int, since: int) -> Dated:
    """Return an entry by a date, compiled."""
    days = parse_duration(entry.after) if entry.after is not None else 0
    if entry.before is not None:
        days = -parse_duration(entry.before)
    return Dated(entry.attribute, entry.yearly, days // UNITS["d"], clock(entry.at), zones, revision, since)


def _compile_aims(definition: JourneyDefinition, segments: Mapping[str, ast.Node]) -> Aims:
    exits = tuple(_compile_aim(aim, segments) for aim in definition.exits)
    goals = tuple(_compile_aim(aim, segments) for aim in definition.goals)
    return Aims(exits, goals, any(aim.change is not None for aim in (*exits, *goals)))


def _compile_aim(aim: Exit | Goal, segments: Mapping[str, ast.Node]) -> CompiledAim:
    asked = question(aim.condition, segments) if aim.condition is not None else None
    names = names_of(aim.interaction) if aim.interaction is not None else ()
    label = asked.text if asked is not None else " or ".join(names)
    goal = aim if isinstance(aim, Goal) else None
    return CompiledAim(
        goal.name if goal is not None else "",
        label,
        names,
        question(aim.where, segments) if aim.where is not None else None,
        aim.key,
        asked,
        compile_turns(asked.node) if asked is not None else None,
        parse_duration(goal.within) if goal is not None and goal.within is not None else 0,
        goal is not None and goal.ends,
    )


def _compile_step(step: Step, segments: Mapping[str, ast.Node]) -> CompiledStep:
    match step:
        case Wait():
            duration = parse_duration(step.duration) if step.duration is not None else 0
            return CompiledStep(step, duration, until=moment(step.until) if step.until is not None else None)
        case Decision():
            return CompiledStep(step, question=question(step.condition, segments))
        case WaitFor():
            return _compile_wait_for(step, segments)
        case Split():
            choices = (Choice(one.name, question(one.condition, segments), one.next) for one in step.branches)
            return CompiledStep(step, choices=tuple(choices))
        case Experiment():
            return CompiledStep(step, shares=_shares(step))
        case _:
            return CompiledStep(step)


HOLDOUT = "holdout"
"""What the trace calls the way of those who get no variant of an experiment."""


def _shares(step: Experiment) -> tuple[Share, ...]:
    """Return the ways out of an experiment, each with its part of all places of a draw."""
    ways = [(one.name, one.weight, one.next) for one in step.branches]
    if step.holdout is not None:
        ways.append((HOLDOUT, step.holdout.weight, step.holdout.next))
    total = sum(weight for _, weight, _ in ways)
    shares, so_far = [], 0.0
    for name, weight, follows in ways:
        so_far += weight
        shares.append(Share(name, round(PLACES * so_far / total), follows))
    return tuple(shares)


def _compile_wait_for(step: WaitFor, segments: Mapping[str, ast.Node]) -> CompiledStep:
    interactions: dict[str, tuple[CompiledBranch, ...]] = {}
    reactions: dict[str, tuple[CompiledBranch, ...]] = {}
    for branch in step.events:
        follows = branch.next if branch.next is not None else step.next
        if isinstance(branch, InteractionBranch):
            where = question(branch.where, segments) if branch.where is not None else None
            for name in dict.fromkeys(map(match_name, names_of(branch.interaction))):
                prior = ""
                if step.accept_prior:
                    prior = ids.derive(name, where.text if where is not None else "", branch.key)
                compiled = CompiledBranch(name, name, follows, where=where, key=branch.key, prior=prior)
                interactions[name] = (*interactions.get(name, ()), compiled)
        elif isinstance(branch, ReactionBranch):
            label = f"{branch.reaction} {branch.message}" if branch.message else branch.reaction
            compiled = CompiledBranch(branch.reaction, label, follows, message=branch.message)
            reactions[branch.reaction] = (*reactions.get(branch.reaction, ()), compiled)
    timeout = step.timeout
    return CompiledStep(
        step,
        parse_duration(timeout.after) if timeout is not None and timeout.after is not None else 0,
        interactions,
        reactions,
        timeout.next if timeout is not None and timeout.next is not None else step.next,
        until=moment(timeout.until) if timeout is not None and timeout.until is not None else None,
    )


def _prior(steps: Iterable[CompiledStep]) -> dict[str, tuple[CompiledBranch, ...]]:
    found: dict[str, dict[str, CompiledBranch]] = {}
    for step in steps:
        for name, branches in step.interactions.items():
            for branch in branches:
                if branch.prior:
                    found.setdefault(name, {}).setdefault(branch.prior, branch)
    return {name: tuple(branches.values()) for name, branches in found.items()}


def _facts_of(step: CompiledStep) -> set[str]:
    """Return the attributes of what started a run that a step copies or waits for."""
    found = _outermost(step.until.interaction) if step.until is not None and step.until.interaction else set()
    values = getattr(step.definition, "set", None) or getattr(step.definition, "attributes", None) or {}
    for _, copied in copies(values):
        if copied.source == "interaction":
            found |= _outermost(copied.attribute)
    return found


def _outermost(path: str) -> set[str]:
    """Return which attributes a path may lead into: what is nested may be meant, or a name with a dot in it."""
    return {path, path.partition(".")[0]}


def _asked_of_run(step: CompiledStep) -> list[Question]:
    """Return the conditions that a step asks of the run itself, rather than of what arrives."""
    found = [choice.question for choice in step.choices]
    return [step.question, *found] if step.question is not None else found


def questions_of(compiled: CompiledJourney) -> list[Question]:
    """Return every condition of a journey."""
    found = [question for question in (compiled.where, compiled.segment) if question is not None]
    for aim in (*compiled.aims.exits, *compiled.aims.goals) if compiled.aims is not None else ():
        found += [asked for asked in (aim.where, aim.question) if asked is not None]
    for step in compiled.steps.values():
        found.extend(_asked_of_run(step))
        for branches in step.interactions.values():
            found.extend(branch.where for branch in branches if branch.where is not None)
    return found


def _parse(condition: Condition) -> ast.Node:
    node, problems = parse_condition(condition)
    if node is None:
        raise InvalidDefinitionError(problems)
    return node


def segment_nodes(definitions: Iterable[SegmentDefinition]) -> dict[str, ast.Node]:
    """Return the whole condition of each segment and of each control group, by name."""
    found: dict[str, ast.Node] = {}
    for definition in definitions:
        name, control = definition.name, definition.control
        found[name] = node = _segment_node(definition)
        if control is not None:
            held = ast.Sample(control.sample or f"{name}{CONTROL}", control.percent, control.start)
            found[name], found[f"{name}{CONTROL}"] = ast.All((ast.Not(held), node)), ast.All((held, node))
    return found


def _segment_node(definition: SegmentDefinition) -> ast.Node:
    """Return who would belong to a segment: its condition with the lists that override it."""
    node = _parse(definition.condition)
    if definition.include:
        node = ast.Any((node, *map(ast.InList, definition.include)))
    if definition.exclude:
        node = ast.All((*(ast.Not(ast.InList(name)) for name in definition.exclude), node))
    return node


def question(condition: Condition, segments: Mapping[str, ast.Node]) -> Question:
    """Return a condition, compiled. The segments that it names are those given, by name."""
    node = _parse(condition)
    whole = with_segments(node, segments)
    return Question(compile_condition(node, segments), whole, describe(node), asks_of_run(whole))


def with_segments(node: ast.Node, segments: Mapping[str, ast.Node]) -> ast.Node:
    """Return a tree in which the segments it names stand as their conditions, so that `needs` sees into them."""
    named = [leaf for leaf in walk(node) if isinstance(leaf, ast.InSegment)]
    if not named:
        return node
    match node:
        case ast.InSegment():
            return with_segments(segments[node.name], segments)
        case ast.Not():
            return ast.Not(with_segments(node.part, segments))
        case ast.All():
            return ast.All(tuple(with_segments(part, segments) for part in node.parts))
        case ast.Any():
            return ast.Any(tuple(with_segments(part, segments) for part in node.parts))
        case _:
            return node
