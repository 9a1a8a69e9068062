"""JSON Lines: objects in the shapes of our plain API, or flat ones whose keys are columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from parcours.core.gate import Arrival, Happened, Learned
from parcours.errors import Problem, did_you_mean
from parcours.sources.files.blocks import SHOWN, Block, bad_row, unfit_text
from parcours.sources.files.ids import STATED, RowIds
from parcours.sources.files.rows import CatalogueItem, CellError, Row
from parcours.sources.files.spec import ImportSpec, Known
from parcours.sources.files.text import LONGEST_LINE, Pieces, decode
from parcours.sources.plain import (
    ContactItem,
    InteractionItem,
    bad,
    checked_id,
    checked_name,
    identities_in,
    instant_of,
    learned_from,
    refuse_unstorable,
)
from parcours.sources.plain import decode as decode_json
from parcours.sources.segment import MalformedError, read_consent

_REJECTED = "rejected"
"""The key that a file of rejects puts into its objects; reading passes it over."""


class _Interaction(InteractionItem, forbid_unknown_fields=True):
    rejected: Any = None


class _Contact(ContactItem, forbid_unknown_fields=True):
    rejected: Any = None


class _Member(ContactItem, forbid_unknown_fields=True):
    list: str = ""
    action: str = "add"
    rejected: Any = None


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int | None = None
    attributes: dict[str, Any] | None = None
    rejected: Any = None


_SHAPES: dict[str, type[Any]] = {
    "interactions": _Interaction,
    "contacts": _Contact,
    "lists": _Member,
    "items": _Item,
}
_encode = msgspec.msgpack.encode
_flat = msgspec.json.Decoder(dict[str, Any])


def lines_of(pieces: Pieces, encoding: str, line: int, file: str) -> Iterator[Block]:
    """Yield the lines of each piece, as bytes of UTF-8; those that cannot be decoded are refused."""
    while (piece := pieces.take()) is not None:
        block = Block()
        if piece.too_long:
            error = CellError("line_too_long", f"the line is longer than {LONGEST_LINE} bytes")
            block.bad.append(bad_row(line, error, decode(piece.data, encoding)[0], file))
            line += 1
        else:
            text, doubtful = decode(piece.data, encoding)
            lines = text.split("\n")
            if not lines[-1]:
                lines.pop()
            for number, part in enumerate(lines, line):
                if not part or part.isspace():
                    continue
                refused = unfit_text(part) if doubtful else None
                if refused is not None:
                    block.bad.append(bad_row(number, refused, part[:SHOWN], file))
                else:
                    block.lines.append(number)
                    block.cells.append(part)
            line += len(lines)
        block.line, block.offset = line, pieces.offset
        yield block


def is_shaped(text: str, spec: ImportSpec) -> bool:
    """Return whether an object has the shape of our plain API, rather than columns for keys."""
    if spec.identities or spec.name_column or spec.attributes is not None or spec.rename:
        return False
    try:
        found = _flat.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return any(isinstance(found.get(key), dict) for key in ("contact", "attributes"))


def flat_row(text: str, names: list[str], *, growing: bool = False) -> list[Any]:
    """Return the values of a flat object in the order of columns; `growing` adds the columns that are new.

    Raises:
        CellError: It is no object, or has a key that is no column.
    """
    try:
        found = _flat.decode(text)
        _encode(found)
    except RecursionError:
        raise CellError("too_deep", "it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise CellError("invalid_json", f"not a JSON object: {error}") from None
    except OverflowError:
        raise CellError("too_large", "a number has more than 64 bits") from None
    if "\\u0000" in text:
        try:
            refuse_unstorable(found)
        except MalformedError as error:
            raise CellError(error.problem.code, f"{error.problem.message} at {error.problem.pointer}") from None
    found.pop(_REJECTED, None)
    if growing:
        names += [name for name in found if name not in names]
    elif not found.keys() <= set(names):
        unknown = next(name for name in found if name not in names)
        raise CellError(
            "unknown_column", f"the key {unknown[:80]!r} did not occur in the sample", did_you_mean(unknown, names)
        )
    return [found.get(name) for name in names]


class ShapedBuilder:
    """Makes rows of objects in the shapes of our plain API.

    Args:
        spec: What was declared.
        file: The file's name, for problems.
        known: What the workspace declares, and what tells the file from others.
    """

    def __init__(self, spec: ImportSpec, file: str, known: Known) -> None:
        self._spec = spec
        self._file = file
        self._decoder = msgspec.json.Decoder(_SHAPES[spec.kind])
        self._fields = [name for name in _SHAPES[spec.kind].__struct_fields__ if name != _REJECTED]
        constants = [known.file] if known.file and spec.kind in STATED else []
        self._ids = RowIds([*constants, spec.source, spec.kind, spec.name, spec.list, "", spec.catalogue])
        self.derived = False
        builders: dict[str, Callable[[Any], tuple[Arrival | None, CatalogueItem | None]]] = {
            "interactions": self._interaction,
            "contacts": self._contact,
            "lists": self._contact,
            "items": self._item,
        }
        self._build = builders[spec.kind]

    def rows(self, lines: list[int], texts: list[str]) -> list[Row]:
        """Return a row for each object."""
        return [self._row(line, text) for line, text in zip(lines, texts, strict=True)]

    def pass_over(self, texts: list[str]) -> None:
        """Take note of objects that are not read, for the ids of equal ones behind them."""
        self.rows([0] * len(texts), texts)

    def _row(self, line: int, text: str) -> Row:
        try:
            found = decode_json(self._decoder, text.encode())
            fields = {name: getattr(found, name) for name in self._fields}
            if "\\u0000" in text:
                refuse_unstorable(fields)
            try:
                said = _encode([fields[name] for name in self._fields], order="deterministic")
            except OverflowError:
                raise bad("a number has more than 64 bits", "", code="too_large") from None
            if self._spec.kind != "items" and not found.id:
                self.derived = True
                found.id = self._ids.of([said])[0]
            arrival, item = self._build(found)
        except MalformedError as error:
            problem = error.problem
            hint = problem.hint
            if problem.code == "unknown_field":
                hint = did_you_mean(problem.pointer.rpartition("/")[2], self._fields)
            placed = msgspec.structs.replace(problem, line=line, file=self._file, hint=hint)
            return Row(line, problem=placed, raw=text)
        return Row(line, arrival, item, None, text)

    def _interaction(self, found: _Interaction) -> tuple[Arrival, None]:
        spec = self._spec
        return Arrival(
            spec.source,
            checked_id(found.id or ""),
            identities_in(found.contact),
            Happened(checked_name(found.name or spec.name, "name"), found.attributes or {}),
            instant_of(found.occurred_at, "/occurred_at"),
            found.backfill or spec.backfill,
        ), None

    def _contact(self, found: _Contact | _Member) -> tuple[Arrival, None]:
        spec = self._spec
        learned: Learned = learned_from(found.attributes or {})
        if found.consent is not None:
            learned.consent = read_consent(found.consent, "/consent")
            learned.evidence = {str(key): value for key, value in spec.evidence.items()}
        if isinstance(found, _Member):
            name = found.list or spec.list
            if not name.strip():
                raise bad("the list is missing", "/list", code="missing_list")
            if found.action not in {"add", "remove"}:
                raise bad(f"{found.action[:80]!r} is no action", "/action", "add or remove")
            learned.lists = {name: found.action == "add"}
        return Arrival(
            spec.source,
            checked_id(found.id or ""),
            identities_in(found.contact),
            learned,
            instant_of(found.occurred_at, "/occurred_at"),
            found.backfill or spec.backfill,
        ), None

    def _item(self, found: _Item) -> tuple[None, CatalogueItem]:
        id_ = "" if found.id is None else str(found.id).strip()
        if not id_:
            raise MalformedError(Problem(code="missing_id", message="the id is missing", pointer="/id"))
        return None, CatalogueItem(self._spec.catalogue, checked_id(id_), found.attributes or {})
