"""Definitions checked together, with those that are known already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from parcours.conditions.parse import escape, shown
from parcours.definitions.findings import Finding
from parcours.definitions.load.text import ENDS_READING, Located, Source, read_all
from parcours.definitions.references import check, check_one
from parcours.definitions.salvage import Salvaged, salvage
from parcours.definitions.validate import convert
from parcours.definitions.workspace import KINDS, AnyDefinition, Key, Workspace, key_name, key_of
from parcours.errors import InvalidDefinitionError, Problem, did_you_mean


class _Place(msgspec.Struct, frozen=True):
    """Where the problems of a definition are: in a file, below a pointer, or in what was known before."""

    located: Located | None = None
    prefix: str = ""
    label: str = ""

    def put(self, problem: Problem) -> Problem:
        if self.located is not None:
            line = problem.line or self.located.line_of(problem.pointer)
            return msgspec.structs.replace(problem, file=self.located.file, line=line)
        message = f"{self.label}: {problem.message}" if self.label else problem.message
        return msgspec.structs.replace(problem, message=message, pointer=self.prefix + problem.pointer)


def load(sources: Iterable[Source], known: Workspace | None = None) -> tuple[Workspace, list[Problem], list[Problem]]:
    """Read sources and check them, together with the definitions that are known already.

    Args:
        sources: YAML or JSON; a definition here replaces the known one of its kind and name.
        known: What is there before.

    Returns:
        The workspace, made of what is known and of what could be read; every error; every warning. With an error
        nothing of it should be published.
    """
    errors: list[Problem] = []
    items: list[tuple[object, _Place]] = []
    unread: set[Key] = set()
    whole = True
    for source in sources:
        good, bad, problems = read_all(source)
        whole = whole and not any(problem.code in ENDS_READING for problem in problems)
        errors.extend(problems)
        items.extend((located.definition, _Place(located)) for located in good)
        unread.update(key for located in bad if (key := _key_of_data(located.definition)) is not None)
    workspace, found, warnings = _assemble(items, known or Workspace(), unread)
    if not whole:  # what seems to be missing may stand in the part that could not be read
        found = [problem for problem in found if problem.code != "unknown_reference"]
        warnings = [problem for problem in warnings if problem.code != "unknown_interaction"]
    return workspace, errors + found, warnings


def load_data(
    items: Iterable[object], known: Workspace | None = None
) -> tuple[Workspace, list[Problem], list[Problem]]:
    """Check definitions that came as JSON values; the pointers of their problems begin with `/definitions/<index>`.

    Args:
        items: One value a definition.
        known: What is there before.

    Returns:
        What `load` returns.
    """
    placed = [(item, _Place(prefix=f"/definitions/{index}")) for index, item in enumerate(items)]
    return _assemble(placed, known or Workspace(), set())


def definitions_in(items: Iterable[object]) -> list[AnyDefinition]:
    """Return definitions that were checked before, as those in a log were; nothing is looked at but their form.

    Raises:
        InvalidDefinitionError: One has not the form of a definition.
    """
    found: list[AnyDefinition] = []
    for item in items:
        definition, problems = _definition(item)
        if definition is None:
            raise InvalidDefinitionError(problems)
        found.append(definition)
    return found


def with_known_good(workspace: Workspace, items: Iterable[object]) -> Workspace:
    """Return a workspace in which definitions replace others that were checked when they were published, as those in a log.

    They are not checked again: what was right then is kept, also where more is refused today.

    Raises:
        InvalidDefinitionError: One has not the form of a definition.
    """
    return workspace.with_definitions(*definitions_in(items))


def _assemble(
    items: list[tuple[object, _Place]], known: Workspace, unread: set[Key]
) -> tuple[Workspace, list[Problem], list[Problem]]:
    errors: list[Problem] = []
    places: dict[Key, _Place] = {}
    definitions: list[AnyDefinition] = []
    halves: list[tuple[_Place, Salvaged]] = []
    for data, place in items:
        definition, problems = _definition(data)
        errors.extend(place.put(problem) for problem in problems)
        if definition is None:
            if (key := _key_of_data(data)) is not None:
                unread.add(key)
            if isinstance(data, Mapping) and data.get("kind") == "journey":
                half = salvage(data, problems)
                halves.extend([(place, half)] if half is not None else [])
            continue
        key = key_of(definition)
        if key in places:
            first = places[key]
            where = f"{first.located.file}:{first.located.line_of('/name')}" if first.located else first.prefix
            problem = Problem(
                code="defined_twice",
                message=f"the {key[0]} {shown(definition.name)} is defined twice",
                pointer="/name",
                hint=f"first in {where}",
            )
            errors.append(place.put(problem))
            continue
        places[key] = place
        definitions.append(definition)
    workspace = known.with_definitions(*definitions)
    warnings: list[Problem] = []
    others: list[Finding] = []
    for finding in check(workspace, unread):
        if finding.key in places:
            (warnings if finding.warning else errors).append(places[finding.key].put(finding.problem))
        elif not finding.warning:
            others.append(finding)
    if others:
        # What was wrong before, such as what an earlier version of this program let pass, is not for these to mend.
        before = check(known)
        errors.extend(_of_known(finding) for finding in others if finding not in before)
    for place, half in halves:
        errors.extend(place.put(problem) for problem in half.arrows)
        for finding in check_one(workspace.with_definitions(half.definition), half.definition, unread):
            if half.holds(finding.problem):
                (warnings if finding.warning else errors).append(place.put(finding.problem))
    return workspace, errors, warnings


def _of_known(finding: Finding) -> Problem:
    """A definition that was fine before is broken by what these do: it has no line here, so the message names it."""
    kind, name = finding.key
    return _Place(prefix=f"/{kind}s/{escape(name)}", label=f"{kind} {shown(name)}").put(finding.problem)


def _definition(data: object) -> tuple[AnyDefinition | None, list[Problem]]:
    if not isinstance(data, Mapping):
        message = "a definition is an object with a 'kind'"
        return None, [Problem(code="wrong_type", message=message, hint=f"kinds are {', '.join(KINDS)}")]
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        kinds = f"kinds are {', '.join(KINDS)}"
        if "kind" not in data:
            return None, [Problem(code="missing_key", message="missing key 'kind'", hint=kinds)]
        hint = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
        message = f"unknown kind {shown(kind)}"
        return None, [Problem(code="unknown_value", message=message, pointer="/kind", hint=hint or kinds)]
    return convert(data, KINDS[kind])


def _key_of_data(data: object) -> Key | None:
    """Return what a definition that cannot be read would be kept under, when that much of it can be told."""
    if not isinstance(data, Mapping):
        return None
    kind = data.get("kind")
    name = data.get("name", "workspace" if kind == "workspace" else None)
    if not isinstance(kind, str) or not isinstance(name, str):
        return None
    return kind, key_name(kind, name)
