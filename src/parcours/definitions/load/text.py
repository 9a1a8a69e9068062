"""From text to definitions as plain data, each with the line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from parcours.definitions.load.document import Document
from parcours.definitions.load.json_text import json_document
from parcours.definitions.load.yaml_text import yaml_documents
from parcours.errors import Problem

LARGEST_SOURCE = 2**20
"""How many bytes a source may have."""

DEFINITION_SUFFIXES = (".yaml", ".yml", ".json")
"""What the names of files end with that may hold definitions."""

ENDS_READING = frozenset({"syntax", "too_deep", "too_large", "invalid_text"})
"""The codes of problems behind which the rest of a source is not read."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Source(msgspec.Struct, frozen=True):
    """A text that holds definitions, and what to call it in a message: a file's name."""

    name: str
    text: str


class Located(msgspec.Struct, frozen=True):
    """A definition as it was written, and where each part of it stands."""

    definition: object
    file: str
    lines: dict[str, int]
    """The line of each value, by its JSON pointer within the definition."""

    def line_of(self, pointer: str) -> int:
        """Return the line of a value, or of the closest thing around it that has one."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 0)


def is_scenario_file(name: str) -> bool:
    """Return whether a file, by its name, holds scenarios (docs/scenarios.md), and so no definitions."""
    return name.startswith("scenarios.") or ".scenarios." in name


def read(source: Source) -> tuple[list[Located], list[Problem]]:
    """Return the definitions of a source as plain data, and what is wrong with the text.

    YAML may have several documents; a document (and a JSON text) is one definition or a list of them. A definition in
    whose text something is wrong is left out.
    """
    good, _, problems = read_all(source)
    return good, problems


def read_all(source: Source) -> tuple[list[Located], list[Located], list[Problem]]:
    """Return definitions that can be looked at, those in whose text something is wrong, and what that is."""
    text = source.text.removeprefix("\ufeff")
    problems = [msgspec.structs.replace(problem, file=source.name) for problem in _refused_text(text)]
    good: list[Located] = []
    bad: list[Located] = []
    if problems:
        return good, bad, problems
    for document in _documents(source.name, text):
        for located, found in _split(document, source.name):
            problems.extend(msgspec.structs.replace(problem, file=source.name) for problem in found)
            if located is not None:
                (bad if found else good).append(located)
    return good, bad, problems


def _refused_text(text: str) -> Iterator[Problem]:
    if len(text) > LARGEST_SOURCE or len(text.encode("utf-8", "surrogatepass")) > LARGEST_SOURCE:
        hint = "divide it into several files"
        yield Problem(code="too_large", message="a source has at most 1 MiB", line=1, hint=hint)
    elif found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Problem(code="invalid_text", message=f"the character {found[0]!a} may not stand in a file", line=line)


def _documents(name: str, text: str) -> Iterable[Document]:
    if not text.lstrip().startswith(("{", "[")) and not name.lower().endswith(".json"):
        return yaml_documents(text)
    document = json_document(text)
    # What looks like JSON may be YAML in its flow style, unless its name says what it is.
    is_json = name.lower().endswith(".json") or not any(one.code == "syntax" for one in document.problems)
    return [document] if is_json else yaml_documents(text)


def _split(document: Document, file: str) -> Iterator[tuple[Located | None, list[Problem]]]:
    """Yield the definitions of a document, each with what is wrong in its text; pointers become theirs."""
    if not isinstance(document.value, list):
        written = document.value is not None
        yield (Located(document.value, file, document.lines) if written else None), document.problems
        return
    lines: list[dict[str, int]] = [{} for _ in document.value]
    for pointer, line in document.lines.items():
        if pointer:
            index, slash, rest = pointer[1:].partition("/")
            lines[int(index)][slash + rest] = line
    problems: list[list[Problem]] = [[] for _ in document.value]
    for problem in document.problems:
        index, slash, rest = problem.pointer[1:].partition("/")
        if index.isdigit() and int(index) < len(problems):
            problems[int(index)].append(msgspec.structs.replace(problem, pointer=slash + rest))
        else:
            yield None, [problem]
    for item, below, found in zip(document.value, lines, problems, strict=True):
        yield Located(item, file, below), found
