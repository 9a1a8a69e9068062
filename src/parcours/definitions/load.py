"""Read definitions from text or from JSON values, and check them together.

Pure over text: whoever calls reads the files. YAML is read as JSON's types and nothing else: `on`, `yes`, `12:30` and
`1980-12-31` are text, a key given twice is a mistake, and no tag makes anything. JSON is read by a reader of its own,
because YAML's stumbles over tabs, surrogate pairs and long keys. Both remember the line of every value.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from parcours.conditions.parse import LARGEST, escape, shown
from parcours.definitions.findings import Finding
from parcours.definitions.references import check, check_one
from parcours.definitions.salvage import Salvaged, salvage
from parcours.definitions.validate import DEEPEST, convert
from parcours.definitions.workspace import KINDS, AnyDefinition, Key, Workspace, key_name, key_of
from parcours.errors import InvalidDefinitionError, Problem, did_you_mean

LARGEST_SOURCE = 2**20
"""How many bytes a source may have."""

MOST_VALUES = 200_000
"""How many values a source may hold once its aliases are replaced by what they stand for."""

DEFINITION_SUFFIXES = (".yaml", ".yml", ".json")
"""What the names of files end with that may hold definitions."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ODD_BREAK = re.compile("[\r\x85\u2028\u2029\ufeff]")  # YAML reads these as an end of line, or drops them
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_INTEGER = len(str(LARGEST)) + 1
_WORDS: dict[str, object] = {"": None, "~": None, "null": None, "true": True, "false": False}

# libyaml is ten times as fast; both give the same events.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


# --- from text to definitions -----------------------------------------------------------------------------------------


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
        good, bad, problems = _read(source)
        whole = whole and not any(problem.code in _ENDS_READING for problem in problems)
        errors.extend(problems)
        items.extend((located.definition, _Place(located)) for located in good)
        unread.update(key for located in bad if (key := _key_of_data(located.definition)) is not None)
    workspace, found, warnings = _assemble(items, known or Workspace(), unread)
    if not whole:  # what seems to be missing may stand in the part that could not be read
        found = [problem for problem in found if problem.code != "unknown_reference"]
        warnings = [problem for problem in warnings if problem.code != "unknown_interaction"]
    return workspace, errors + found, warnings


def is_scenario_file(name: str) -> bool:
    """Return whether a file, by its name, holds scenarios (docs/scenarios.md), and so no definitions."""
    return name.startswith("scenarios.") or ".scenarios." in name


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


def read(source: Source) -> tuple[list[Located], list[Problem]]:
    """Return the definitions of a source as plain data, and what is wrong with the text.

    YAML may have several documents; a document (and a JSON text) is one definition or a list of them. A definition in
    whose text something is wrong is left out.
    """
    good, _, problems = _read(source)
    return good, problems


def dump(definition: AnyDefinition) -> dict[str, Any]:
    """Return a definition as plain data that `load_data` reads back to an equal one; what is as usual is left out."""
    plain = _plain(definition)
    return plain if isinstance(plain, dict) else {}


def dump_yaml(definitions: Iterable[AnyDefinition]) -> str:
    """Return definitions as YAML, one document each, that `load` reads back to equal ones."""
    text: str = yaml.dump_all(
        [dump(definition) for definition in definitions],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        explicit_start=True,
    )
    return text


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


_fields = lru_cache(maxsize=256)(msgspec.structs.fields)


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        config = type(value).__struct_config__
        plain: dict[str, object] = {} if config.tag_field is None else {config.tag_field: config.tag}
        for field in _fields(type(value)):
            item = getattr(value, field.name)
            usual = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            if usual is msgspec.NODEFAULT or item != usual:
                plain[field.encode_name] = _plain(item)
        return plain
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Writes what this module's reader reads, so it quotes text that would be read as a number or a word."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (every value is written where it stands)
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _ODD_BREAK.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^({_NUMBER.pattern})$"), list("-0123456789"))


# --- reading text -----------------------------------------------------------------------------------------------------


_ENDS_READING = frozenset({"syntax", "too_deep", "too_large", "invalid_text"})


class _StopReading(Exception):  # noqa: N818 (never leaves this module: the rest of a source cannot be read)
    pass


class _Document:
    """One document while it is read: its value, the line of each part, and what is wrong with it."""

    def __init__(self) -> None:
        self.value: object = None
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []

    def refuse(self, code: str, message: str, pointer: str, line: int, hint: str = "") -> None:
        self.problems.append(Problem(code=code, message=message, pointer=pointer, line=line, hint=hint))

    def number(self, text: str, pointer: str, line: int) -> int | float:
        """Return a number as JSON writes it, refused when it is too large to be kept."""
        if _INTEGER.fullmatch(text):
            if len(text) <= _LONGEST_INTEGER and abs(int(text)) <= LARGEST:
                return int(text)
            hint = "quote it: an order number is better written as text"
            self.refuse("invalid_value", f"whole numbers go up to {LARGEST}", pointer, line, hint)
            return 0
        number = float(text)
        if not math.isfinite(number):
            self.refuse("invalid_value", "numbers are finite", pointer, line)
        return number


def _read(source: Source) -> tuple[list[Located], list[Located], list[Problem]]:
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


def _documents(name: str, text: str) -> Iterable[_Document]:
    if not text.lstrip().startswith(("{", "[")) and not name.lower().endswith(".json"):
        return _yaml_documents(text)
    document = _json_document(text)
    # What looks like JSON may be YAML in its flow style, unless its name says what it is.
    is_json = name.lower().endswith(".json") or not any(one.code == "syntax" for one in document.problems)
    return [document] if is_json else _yaml_documents(text)


def _split(document: _Document, file: str) -> Iterator[tuple[Located | None, list[Problem]]]:
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


# --- YAML -------------------------------------------------------------------------------------------------------------


def _yaml_documents(text: str) -> Iterator[_Document]:
    reader = _Yaml(text)
    while True:
        document = _Document()
        try:
            if not reader.next_document(document):
                return
        except _StopReading:
            document.value = None
            yield document
            return
        yield document


class _Yaml:
    """Builds values from YAML's events, so that nothing is made which was not looked at."""

    def __init__(self, text: str) -> None:
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
        self.document = _Document()
        self.anchors: dict[str, tuple[object, int]] = {}
        self.values = 0

    def next_document(self, document: _Document) -> bool:
        """Read one document; return whether there was one."""
        self.document = document
        self.anchors = {}
        event = self.event("")
        while not isinstance(event, yaml.DocumentStartEvent):
            if isinstance(event, yaml.StreamEndEvent):
                return False
            event = self.event("")
        document.value = self.node(self.event(""), "", 0)
        return True

    def event(self, pointer: str) -> Any:
        try:
            return next(self.events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
            what = " ".join(part for part in (error.context, error.problem) if part)
            hint = "put quotes around text that holds a colon" if "mapping values" in str(what) else ""
            self.stop("syntax", f"this is not YAML, at column {column}: {what}", pointer, line, hint)
        except yaml.YAMLError as error:
            self.stop("syntax", f"this is not YAML: {error}", pointer, 0)
        except StopIteration:
            self.stop("syntax", "this is not YAML: it ends too early", pointer, 0)

    def stop(self, code: str, message: str, pointer: str, line: int, hint: str = "") -> None:
        self.document.refuse(code, message, pointer, line, hint)
        raise _StopReading

    def node(self, event: Any, pointer: str, depth: int, line: int = 0) -> object:
        """Return the value that an event begins. `line` is where its key stands, when it has one."""
        here = event.start_mark.line + 1
        self.document.lines[pointer] = line or here
        before = self.values
        self.count(1, pointer, here)
        if depth > DEEPEST:
            self.stop("too_deep", f"nested deeper than {DEEPEST}", pointer, here)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(str(event.anchor), pointer, here)
        if event.tag is not None:
            hint = "quote text to keep it text" if isinstance(event, yaml.ScalarEvent) else ""
            self.document.refuse("invalid_yaml", f"tags such as {shown(event.tag)} are not read", pointer, here, hint)
        value: object
        match event:
            case yaml.ScalarEvent():
                value = self.scalar(event, pointer, here)
            case yaml.SequenceStartEvent():
                value = self.sequence(pointer, depth)
            case _:
                value = self.mapping(pointer, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = value, self.values - before
        return value

    def count(self, values: int, pointer: str, line: int) -> None:
        self.values += values
        if self.values > MOST_VALUES:
            hint = "divide it into several files, or use fewer aliases"
            self.stop("too_large", f"a source holds at most {MOST_VALUES:,} values", pointer, line, hint)

    def alias(self, anchor: str, pointer: str, line: int) -> object:
        if anchor not in self.anchors:
            message = f"the alias *{anchor[:40]} stands for nothing that was finished before it"
            self.document.refuse("invalid_yaml", message, pointer, line)
            return None
        value, size = self.anchors[anchor]
        self.count(size - 1, pointer, line)
        return _copy(value)

    def scalar(self, event: yaml.ScalarEvent, pointer: str, line: int) -> object:
        text: str = event.value
        if not event.implicit[0]:  # quoted or in a block: text, whatever it looks like
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER.fullmatch(text):
            return self.document.number(text, pointer, line)
        if _NOT_FINITE.fullmatch(text):
            self.document.refuse("invalid_value", "numbers are finite", pointer, line, "quote it to keep it text")
        return text

    def sequence(self, pointer: str, depth: int) -> list[object]:
        items: list[object] = []
        while not isinstance(event := self.event(pointer), yaml.SequenceEndEvent):
            items.append(self.node(event, f"{pointer}/{len(items)}", depth + 1))
        return items

    def mapping(self, pointer: str, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}
        while not isinstance(event := self.event(pointer), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            key = self.key(event, pointer, line, depth)
            below = f"{pointer}/{escape(key)}" if key is not None else pointer
            is_new = key is not None and key not in items
            if key is not None and not is_new:
                first = self.document.lines[below]
                message = f"the key {shown(key)} is given twice"
                self.document.refuse("duplicate_key", message, below, line, f"first in line {first}")
            value = self.node(self.event(pointer), below, depth + 1, line)
            if key is not None and is_new:
                items[key] = value
        return items

    def key(self, event: Any, pointer: str, line: int, depth: int) -> str | None:
        """Return a key, or None when it is none: its value is then read and left."""
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            self.node(event, pointer, depth + 1)
            self.document.refuse("invalid_key", "a key is plain text", pointer, line)
            return None
        self.count(1, pointer, line)
        plain = bool(event.implicit[0])
        if plain and event.value == "<<":
            hint = "write the keys out, or give the whole value an anchor"
            self.document.refuse("invalid_key", "merge keys are not read", pointer, line, hint)
            return None
        if plain and (event.value in _WORDS or _NUMBER.fullmatch(event.value)):
            message = f"keys are text, and {event.value or 'nothing'} is not"
            self.document.refuse("invalid_key", message, pointer, line, "quote it")
            return None
        return str(event.value)


def _copy(value: object) -> object:
    """Return plain data anew: what an alias stands for is not shared between definitions."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json_document(text: str) -> _Document:
    reader = _Json(text)
    try:
        reader.document.value = reader.value("", 0)
        if reader.take() != "":
            reader.syntax("something follows the value")
    except _StopReading:
        reader.document.value = None
    return reader.document


class _Json:
    """Reads one JSON text as RFC 8259 has it, with the line of every value."""

    PIECE = re.compile(
        r'[ \t\r\n]*([{}\[\]:,]|"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"|[-+.0-9a-zA-Z]+|[^ \t\r\n]|\Z)'
    )
    WORDS: Mapping[str, object] = {"null": None, "true": True, "false": False}

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends = [found.start() for found in re.finditer("\n", text)]
        self.document = _Document()
        self.position = 0
        self.start = 0

    @property
    def line(self) -> int:
        """The line of the piece read last."""
        return bisect_right(self.ends, self.start - 1) + 1

    def take(self) -> str:
        """Return the next piece, or nothing at the end."""
        found = self.PIECE.match(self.text, self.position)
        if found is None:
            return ""
        self.start, self.position = found.span(1)
        return found[1]

    def syntax(self, message: str) -> None:
        column = self.start - (self.ends[self.line - 2] if self.line > 1 else -1)
        self.document.refuse("syntax", f"this is not JSON, at column {column}: {message}", "", self.line)
        raise _StopReading

    def value(self, pointer: str, depth: int, line: int = 0) -> object:
        piece = self.take()
        self.document.lines[pointer] = line or self.line
        if depth > DEEPEST:
            self.document.refuse("too_deep", f"nested deeper than {DEEPEST}", pointer, self.line)
            raise _StopReading
        if piece == "{":
            return self.mapping(pointer, depth)
        if piece == "[":
            return self.sequence(pointer, depth)
        if piece.startswith('"'):
            return self.string(piece)
        if piece in self.WORDS:
            return self.WORDS[piece]
        if not _NUMBER.fullmatch(piece):
            self.syntax(f"{shown(piece)} is not a value" if piece else "it ends too early")
        return self.document.number(piece, pointer, self.line)

    def string(self, piece: str) -> str:
        try:
            return str(json.loads(piece))
        except ValueError:
            self.syntax("the text is not closed, or what follows a backslash is unknown")
            return ""

    def sequence(self, pointer: str, depth: int) -> list[object]:
        items: list[object] = []

        def read() -> None:
            items.append(self.value(f"{pointer}/{len(items)}", depth + 1))

        self.separated("]", read)
        return items

    def mapping(self, pointer: str, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}

        def read() -> None:
            piece = self.take()
            if not piece.startswith('"'):
                self.syntax("a key is text in double quotes")
            key, line = self.string(piece), self.line
            below = f"{pointer}/{escape(key)}"
            if key in items:
                first = self.document.lines[below]
                message = f"the key {shown(key)} is given twice"
                self.document.refuse("duplicate_key", message, below, line, f"first in line {first}")
            if self.take() != ":":
                self.syntax("':' is missing after a key")
            value = self.value(below, depth + 1, line)
            items.setdefault(key, value)

        self.separated("}", read)
        return items

    def separated(self, end: str, read: Callable[[], None]) -> None:
        """Read what stands between commas until the end."""
        back = self.position
        if self.take() == end:
            return
        self.position = back
        while True:
            read()
            piece = self.take()
            if piece == end:
                return
            if piece != ",":
                self.syntax(f"',' or {end!r} is missing")
