"""YAML, read as JSON's types and nothing else, with the line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from parcours.conditions.parse import escape, shown
from parcours.definitions.load.document import NUMBER, Document, StopReadingError
from parcours.definitions.validate import DEEPEST

MOST_VALUES = 200_000
"""How many values a source may hold once its aliases are replaced by what they stand for."""

_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, object] = {"": None, "~": None, "null": None, "true": True, "false": False}

# libyaml is ten times as fast; both give the same events.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def yaml_documents(text: str) -> Iterator[Document]:
    """Yield the documents of a text, as far as it can be read."""
    reader = _Yaml(text)
    while True:
        document = Document()
        try:
            if not reader.next_document(document):
                return
        except StopReadingError:
            document.value = None
            yield document
            return
        yield document


class _Yaml:
    """Builds values from YAML's events, so that nothing is made which was not looked at."""

    def __init__(self, text: str) -> None:
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
        self.document = Document()
        self.anchors: dict[str, tuple[object, int]] = {}
        self.values = 0

    def next_document(self, document: Document) -> bool:
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
        raise StopReadingError

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
        if NUMBER.fullmatch(text):
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
        if plain and (event.value in _WORDS or NUMBER.fullmatch(event.value)):
            message = f"keys are text, and {event.value or 'nothing'} is not"
            self.document.refuse("invalid_key", message, pointer, line, "quote it")
            return None
        return str(event.value)


def _copy(value: object) -> object:
    """Return plain data anew: what an alias stands for is not shared between definitions."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
