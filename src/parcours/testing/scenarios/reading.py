"""From files to scenarios. Everything that is wrong with them is told at once, with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from parcours.conditions.parse import escape
from parcours.definitions.load import DEFINITION_SUFFIXES, Located, Source, is_scenario_file, read
from parcours.definitions.validate import convert
from parcours.definitions.workspace import KINDS, key_name
from parcours.errors import InvalidDefinitionError, ParcoursError, Problem, did_you_mean
from parcours.testing.scenarios.format import NEVER, Body, Expect, Known, ScenarioFile, Sending, Step
from parcours.testing.scenarios.times import instant_in, is_length, length_in, zone_of

Key = tuple[str, str]


class Scenario(msgspec.Struct, frozen=True):
    """One scenario, with all that holds for it."""

    name: str
    file: Path
    pointer: str
    """Where it stands in its file."""
    lines: dict[str, int]
    """The line of each value of the file, by its JSON pointer."""
    definitions: list[Located]
    contacts: dict[str, Known | None]
    items: dict[str, dict[str, dict[str, Any]]]
    zone: ZoneInfo
    start: int
    steps: list[Step]
    steps_pointer: str
    reader: Reader

    @property
    def line(self) -> int:
        """The line of the file in which it begins."""
        return self.line_of(self.pointer)

    def line_of(self, pointer: str) -> int:
        """Return the line of a value of its file, or of the closest thing around it that has one."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 0)


def scenario_files(paths: Iterable[Path]) -> list[Path]:
    """Return the scenario files among paths, and in the folders among them: `scenarios.yaml`, `NAME.scenarios.yaml`.

    Raises:
        ParcoursError: A path is not there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = (item for item in path.rglob("*") if is_scenario_file(item.name) and item.is_file())
            found.update(dict.fromkeys(sorted(inside)))
        elif path.exists():
            found[path] = None
        else:
            raise ParcoursError(f"there is no {path}")
    return list(found)


def read_scenarios(paths: Iterable[Path]) -> list[Scenario]:
    """Return the scenarios of files, in their order.

    Raises:
        InvalidDefinitionError: Something is wrong with the files; every reason is in it.
        ParcoursError: A file cannot be read.
    """
    reader = Reader()
    scenarios = [scenario for path in paths for scenario in reader.scenarios(path)]
    if reader.problems:
        raise InvalidDefinitionError(reader.problems)
    return scenarios


class Reader:
    """Reads scenario files, and each file of definitions that they name once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._read: dict[Path, list[Located]] = {}

    def scenarios(self, path: Path) -> Iterator[Scenario]:
        """Yield the scenarios of a file; what is wrong with it is kept in `problems`."""
        for located in self._documents(path):
            file, problems = convert(located.definition, ScenarioFile)
            self._refuse(located, problems)
            if file is not None:
                yield from self._of_file(path, located, file)

    def _of_file(self, path: Path, located: Located, file: ScenarioFile) -> Iterator[Scenario]:
        shared = self._definitions(path.parent, file.definitions, located, "/definitions")
        for name, written in file.scenarios.items():
            pointer = f"/scenarios/{escape(name)}"
            body = written if isinstance(written, Body) else Body(steps=written)
            steps_pointer = f"{pointer}/steps" if isinstance(written, Body) else pointer
            before = len(self.problems)
            own = self._definitions(path.parent, body.definitions, located, f"{pointer}/definitions")
            definitions = {key_of_data(item.definition): item for item in (*shared, *own)}
            for target, patch in body.change.items():
                place = f"{pointer}/change/{escape(target)}"
                try:
                    key = find_key(target, definitions)
                except LookupError as error:
                    self._refuse(located, [Problem(code="unknown_reference", message=error.args[0], pointer=place)])
                else:
                    old = definitions[key]
                    changed = merge_patch(old.definition, patch)
                    definitions[key] = msgspec.structs.replace(old, definition=changed)
            try:
                zone = zone_of(body.zone or file.zone)
                start = instant_in(body.start or file.start, 0, zone)
            except ValueError as error:
                self._refuse(located, [Problem(code="invalid_value", message=str(error), pointer=pointer)])
                continue
            contacts = file.contacts | body.contacts
            self._refuse(located, list(_wrong_steps(body.steps, contacts, steps_pointer, start, zone)))
            if len(self.problems) == before:
                yield Scenario(
                    name=name,
                    file=path,
                    pointer=pointer,
                    lines=located.lines,
                    definitions=list(definitions.values()),
                    contacts=contacts,
                    items={**file.items, **body.items},
                    zone=zone,
                    start=start,
                    steps=body.steps,
                    steps_pointer=steps_pointer,
                    reader=self,
                )

    def definitions(self, scenario: Scenario, written: Iterable[str | dict[str, Any]], pointer: str) -> list[Located]:
        """Return definitions that a step publishes.

        Raises:
            InvalidDefinitionError: They cannot be read.
        """
        before = len(self.problems)
        located = Located({}, str(scenario.file), scenario.lines)
        found = self._definitions(scenario.file.parent, written, located, pointer)
        problems, self.problems = self.problems[before:], self.problems[:before]
        if problems:
            raise InvalidDefinitionError(problems)
        return found

    def _definitions(
        self, folder: Path, written: Iterable[str | dict[str, Any]], located: Located, pointer: str
    ) -> list[Located]:
        """Return definitions that are named or stand in place, as plain data with where they stand."""
        found: list[Located] = []
        for index, item in enumerate(written):
            place = f"{pointer}/{index}"
            if isinstance(item, str):
                target = folder / item
                if not target.exists():
                    message = f"there is no {item!r} beside this file"
                    self._refuse(located, [Problem(code="unknown_reference", message=message, pointer=place)])
                for file in _definition_files(target):
                    found += self._documents(file)
            else:
                below = {key[len(place) :]: line for key, line in located.lines.items() if key.startswith(place)}
                found.append(Located(item, located.file, below))
        return found

    def _documents(self, path: Path) -> list[Located]:
        path = path.absolute()
        if path not in self._read:
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ParcoursError(f"cannot read {path}: {error}") from None
            self._read[path], problems = read(Source(shown_path(path), text))
            self.problems += problems
        return self._read[path]

    def _refuse(self, located: Located, problems: list[Problem]) -> None:
        for problem in problems:
            line = problem.line or located.line_of(problem.pointer)
            self.problems.append(msgspec.structs.replace(problem, file=located.file, line=line))


def shown_path(path: Path) -> str:
    """Return a path as a person would write it from where they are."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _definition_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.exists() else []
    files = (item for item in path.rglob("*") if item.suffix in DEFINITION_SUFFIXES)
    return sorted(item for item in files if not is_scenario_file(item.name))


def key_of_data(data: object) -> Key:
    """Return kind and name of a definition as plain data, as far as it has them."""
    if not isinstance(data, Mapping):
        return "", ""
    kind = str(data.get("kind", ""))
    return kind, key_name(kind, str(data.get("name", "workspace" if kind == "workspace" else "")))


def find_key(target: str, known: Iterable[Key]) -> Key:
    """Return what `change` names: a journey by its name, or anything by KIND/NAME.

    Raises:
        LookupError: There is no such definition.
    """
    kind, slash, name = target.partition("/")
    if target == "workspace":
        key = ("workspace", "workspace")
    else:
        key = (kind, key_name(kind, name)) if slash and kind in KINDS else ("journey", target)
    keys = list(known)
    if key not in keys:
        hint = did_you_mean("/".join(key), ["/".join(one) for one in keys])
        raise LookupError(f"there is no {key[0]} {key[1]!r} to change{f' ({hint})' if hint else ''}")
    return key


def merge_patch(value: object, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with fields replaced, objects within objects likewise; null removes one (RFC 7396)."""
    merged: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
    for name, item in patch.items():
        if item is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), item) if isinstance(item, Mapping) else item
    return merged


# --- what only a whole scenario shows ---------------------------------------------------------------------------------

INPUTS = (
    "track",
    "identify",
    "consent",
    "lists",
    "merge",
    "react",
    "answer",
    "enter",
    "loyalty",
    "erase",
    "items",
    "publish",
    "change",
    "move",
)
"""The fields of a step that let something happen."""

_TOGETHER = {"identify", "consent", "lists"}
"""What may be learned in one."""

_WITH_INPUTS = ("attributes", "to", "nth", "id", "ago", "occurred_at", "backfill", "outcome")
"""The fields of a step that say more of what happens."""

OF_NOBODY = {"items", "publish", "change", "move"}
"""What concerns no contact."""


def happens(step: Step) -> list[str]:
    """Return the fields of a step that let something happen."""
    return [name for name in INPUTS if getattr(step, name) not in (None, False)]


def _wrong_steps(
    steps: list[Step], contacts: Mapping[str, Any], pointer: str, start: int, zone: ZoneInfo
) -> Iterator[Problem]:
    for index, step in enumerate(steps):
        place = f"{pointer}/{index}"
        inputs = happens(step)
        if len(inputs) > 1 and not _TOGETHER.issuperset(inputs):
            yield Problem(
                code="ambiguous",
                message=f"a step lets one thing happen, and this one has {', '.join(inputs)}",
                pointer=place,
                hint="make a step of each",
            )
        if not inputs and (stray := [name for name in _WITH_INPUTS if getattr(step, name)]):
            message = f"nothing happens in this step, so {', '.join(stray)} says nothing"
            yield Problem(code="ambiguous", message=message, pointer=place, hint="say what happens")
        looks = step.expect if isinstance(step.expect, list) else [step.expect] if step.expect else []
        if not inputs and not looks and step.at is None and step.after is None:
            message = "nothing happens in this step, and nothing is looked at"
            yield Problem(code="ambiguous", message=message, pointer=place, hint="say what happens, or leave it out")
        of_contacts = [name for name in inputs if name not in OF_NOBODY]
        nameless = bool(of_contacts) or any(not look.who for look in looks)
        if nameless and not step.who and len(contacts) != 1:
            yield Problem(
                code="missing_key",
                message="this does not say whose it is",
                pointer=place,
                hint=f"write `who:` with one of {', '.join(contacts) or 'the contacts'}",
            )
        for named in (step.who, step.merge or "", *(look.who for look in looks)):
            if named and named not in contacts:
                hint = (
                    did_you_mean(named, contacts)
                    or f"write it under `contacts`, as `{named}: null` if nothing is known"
                )
                yield Problem(
                    code="unknown_reference", message=f"there is no contact {named!r}", pointer=place, hint=hint
                )
        yield from _wrong_times(step, looks, place, start, zone)


def _wrong_times(step: Step, looks: list[Expect], place: str, start: int, zone: ZoneInfo) -> Iterator[Problem]:
    if step.at is not None and step.after is not None:
        yield Problem(code="ambiguous", message="`at` and `after` both say when", pointer=place, hint="leave one out")
    times = [step.at, step.occurred_at, *(look.at for look in looks if look.at != "any")]
    for look in looks:
        times += look.held.values() if isinstance(look.held, dict) else ()
        if look.waiting_until is not None and look.waiting_until != NEVER and not is_length(look.waiting_until):
            times.append(look.waiting_until)
        sent = look.sent if isinstance(look.sent, list) else [look.sent]
        times += [item.at for item in sent if isinstance(item, Sending) and item.at != "any"]
    for text in times:
        if text:
            try:
                instant_in(text, start, zone)
            except ValueError as error:
                yield Problem(code="invalid_value", message=str(error), pointer=place)
    for text in (step.after, step.ago):
        if text:
            try:
                length_in(text)
            except ValueError as error:
                yield Problem(code="invalid_value", message=str(error), pointer=place)
