"""What each column of a file is for: as declared, or by its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from parcours.conditions.names import match_name
from parcours.conditions.parse import escape
from parcours.definitions.interaction import AttributeDefinition, AttributeType
from parcours.definitions.message import ADDRESSES, CHANNELS
from parcours.errors import Problem, did_you_mean
from parcours.sources.files import cells
from parcours.sources.files.cells import Converter
from parcours.sources.files.rows import REJECTED_COLUMNS, CellError, FileError, FoundColumn
from parcours.sources.files.spec import AttributeColumn, ImportSpec, Known
from parcours.sources.files.times import Times
from parcours.sources.plain import MOST_IDENTITIES, NAMESPACE
from parcours.sources.segment import LONGEST_NAME

_EXAMPLES = 3
_TIMES = ("occurred_at", "timestamp")
_IDENTITIES = ("user_id", "anonymous_id", "email")
_STRENGTH = {"user_id": 0, "anonymous_id": 2}
_CONSENT = {
    "opted_in": "opted_in", "opted_out": "opted_out", "unknown": "unknown",
    "true": "opted_in", "false": "opted_out", "yes": "opted_in", "no": "opted_out", "1": "opted_in", "0": "opted_out",
}  # fmt: skip
_ACTIONS = {
    "add": True, "remove": False, "true": True, "false": False, "yes": True, "no": False, "on": True, "off": False,
    "1": True, "0": False,
}  # fmt: skip


class Column(msgspec.Struct):
    """One column that is read."""

    index: int
    target: str
    converter: Converter


class Consent(msgspec.Struct):
    """A column of consent."""

    column: Column
    channel: str
    topic: str


class Plan(msgspec.Struct, kw_only=True):
    """What is done with the cells of a row, by their index."""

    spec: ImportSpec
    names: list[str]
    typed: bool
    empty: frozenset[str]
    found: list[FoundColumn]
    notes: list[str]
    told: list[int]
    """The columns that say something: all but those that a file of rejects has in front."""
    id: Column | None = None
    identities: list[Column] = []
    name: Column | None = None
    occurred_at: Column | None = None
    attributes: list[Column] = []
    by_name: dict[int, dict[str, Converter]] = {}
    """Converters of an attribute that definitions give different types, by its index and the folded name."""
    consent: list[Consent] = []
    on_list: Column | None = None
    action: Column | None = None


def wanted_columns(spec: ImportSpec) -> set[str]:
    """Return the columns that an import names."""
    named = {spec.id, spec.name_column, spec.occurred_at, spec.list_column, spec.action_column}
    named |= set(spec.identities.values()) | set(spec.rename) | set(spec.ignore)
    named |= {column.column for column in spec.consent}
    for name, column in (spec.attributes or {}).items():
        named.add((column if isinstance(column, str) else column.column) or name)
    return named - {""}


def plan_columns(
    spec: ImportSpec, names: Sequence[str], sample: Sequence[Sequence[Any]], known: Known, *, typed: bool
) -> Plan:
    """Return what is done with each column.

    Args:
        spec: What was declared.
        names: The columns of the file.
        sample: The first rows, each as long as `names`.
        known: What the workspace declares.
        typed: Whether cells have types, or are text.

    Raises:
        FileError: A column that was declared is not there, or one that is needed cannot be told.
    """
    return _Planner(spec, names, sample, known, typed=typed).plan()


class _Planner:
    def __init__(
        self, spec: ImportSpec, names: Sequence[str], sample: Sequence[Sequence[Any]], known: Known, *, typed: bool
    ) -> None:
        self.spec = spec
        self.names = [name.strip() for name in names]
        self.sample = sample
        self.known = known
        self.typed = typed
        self.empty = frozenset(spec.empty)
        self.taken: dict[int, FoundColumn] = {}
        self.notes: list[str] = []
        self.by_name: dict[int, dict[str, Converter]] = {}
        self.folded: dict[str, int] = {}
        for index, name in enumerate(self.names):
            self.folded.setdefault(name.casefold(), index)

    def plan(self) -> Plan:
        spec = self.spec
        self._refuse_twice()
        for index, name in enumerate(self.names):
            if not name or name in REJECTED_COLUMNS:
                self._take(index, "ignored")
        for name in spec.ignore:
            self._take(self._index(name, "/ignore"), "ignored")
        plan = Plan(
            spec=spec,
            names=self.names,
            typed=self.typed,
            empty=self.empty,
            found=[],
            notes=self.notes,
            told=[index for index, name in enumerate(self.names) if name not in REJECTED_COLUMNS],
        )
        plan.id = self._single("id", spec.id, "/id", ("id",), cells.short_text("id"))
        if plan.id is not None and not spec.id and spec.kind != "items":
            name = self.names[plan.id.index]
            self.notes.append(f"{name!r} is taken for the message id: a row whose id came before changes nothing")
        if spec.kind == "interactions" and not spec.name:
            plan.name = self._single(
                "name", spec.name_column, "/name_column", ("name",), cells.short_text("name", LONGEST_NAME)
            )
            if plan.name is None:
                raise self._missing("nothing says what happened", "/name", "declare 'name', or 'name_column'")
        if spec.kind == "lists":
            self._lists(plan)
        if spec.kind == "items":
            if plan.id is None:
                raise self._missing("nothing says which column holds the items' ids", "/id", "declare 'id'")
        else:
            times = Times(spec.dates, spec.zone, calendar=False)
            reads = Converter(times.milliseconds, times.of, times.column)
            plan.occurred_at = self._single("occurred_at", spec.occurred_at, "/occurred_at", _TIMES, reads)
            plan.identities = self._identities()
        if spec.kind in {"contacts", "lists"}:
            plan.consent = self._consents()
        if spec.kind != "lists":
            plan.attributes = self._attributes()
        plan.by_name = self.by_name
        for index in range(len(self.names)):
            self._take(index, "ignored", unless_taken=True)
        plan.found = [self.taken[index] for index in range(len(self.names))]
        return plan

    def _refuse_twice(self) -> None:
        seen: set[str] = set()
        for name in self.names:
            if name and name in seen:
                raise self._missing(
                    f"two columns are called {name[:80]!r}", "/names", "declare 'names'", "double_column"
                )
            seen.add(name)

    def _missing(self, message: str, pointer: str, hint: str, code: str = "unknown_column") -> FileError:
        return FileError(Problem(code=code, message=message, pointer=pointer, hint=hint))

    def _index(self, name: str, pointer: str) -> int:
        """Return where a column that was declared is."""
        try:
            return self.names.index(name.strip())
        except ValueError:
            hint = did_you_mean(name, self.names) or f"columns are {', '.join(self.names)[:300]}"
            raise self._missing(f"there is no column {name!r}", pointer, hint) from None

    def _examples(self, index: int) -> list[str]:
        found: list[str] = []
        for row in self.sample:
            cell = row[index]
            if cell is not None and not (isinstance(cell, str) and cell in self.empty):
                found.append(str(cell)[:80])
                if len(found) == _EXAMPLES:
                    break
        return found

    def _take(self, index: int, role: str, target: str = "", *, unless_taken: bool = False) -> FoundColumn:
        if unless_taken and index in self.taken:
            return self.taken[index]
        found = FoundColumn(name=self.names[index], role=role, target=target, examples=self._examples(index))
        self.taken[index] = found
        return found

    def _free(self, name: str) -> int | None:
        """Return where a column is that has a usual name, in any case, and no other use."""
        index = self.folded.get(name)
        return None if index is None or index in self.taken else index

    def _single(
        self, role: str, declared: str, pointer: str, usual: Collection[str], converter: Converter
    ) -> Column | None:
        index: int | None = None
        if declared:
            index = self._index(declared, pointer)
        else:
            listed = self._listed()
            for name in usual:
                index = self._free(name)
                if index in listed:
                    index = None
                if index is not None:
                    break
        if index is None:
            return None
        self._take(index, role)
        return Column(index, self.names[index], converter)

    def _listed(self) -> set[int]:
        """Return the columns that were declared as something: a usual name makes nothing else of them."""
        named = wanted_columns(self.spec)
        return {index for index, name in enumerate(self.names) if name in named}

    def _identities(self) -> list[Column]:
        columns: list[tuple[str, int]] = [
            (namespace, self._index(name, f"/identities/{namespace}"))
            for namespace, name in self.spec.identities.items()
        ]
        if not columns:
            for index, name in enumerate(self.names):
                namespace = name.removeprefix("contact.") if name.startswith("contact.") else ""
                if namespace and NAMESPACE.fullmatch(namespace) and index not in self.taken:
                    columns.append((namespace, index))
            chosen = {namespace for namespace, _ in columns}
            for namespace in (*_IDENTITIES, *sorted(self.known.namespaces - set(_IDENTITIES))):
                free = self._free(namespace)
                # An address is whose it is only where nothing stronger says so: two people may share one.
                if free is None or namespace in chosen or (namespace == "email" and columns):
                    continue
                columns.append((namespace, free))
        if not columns:
            hint = "declare 'identities', such as user_id: customer"
            raise self._missing("nothing says whose the rows are", "/identities", hint, "no_identity")
        if len(columns) > MOST_IDENTITIES:
            raise self._missing(f"there are more than {MOST_IDENTITIES} identities", "/identities", "declare less")
        columns.sort(key=lambda column: _STRENGTH.get(column[0], 1))
        for namespace, index in columns:
            found = self._take(index, "identity", namespace)
            found.type = "string"
        return [
            Column(index, namespace, cells.short_text("identity", lower=namespace == "email"))
            for namespace, index in columns
        ]

    def _lists(self, plan: Plan) -> None:
        spec = self.spec
        if not spec.list:
            plan.on_list = self._single(
                "list", spec.list_column, "/list_column", ("list",), cells.short_text("list", 64)
            )
            if plan.on_list is None:
                raise self._missing("nothing says which list", "/list", "declare 'list', or 'list_column'")
        reads = cells.words(_ACTIONS, "action")
        plan.action = self._single("action", spec.action_column, "/action_column", ("action",), reads)

    def _consents(self) -> list[Consent]:
        found: list[Consent] = []
        declared = [
            (self._index(column.column, f"/consent/{position}/column"), column.channel, column.topic, column.words)
            for position, column in enumerate(self.spec.consent)
        ]
        if not declared:
            for index, name in enumerate(self.names):
                first, _, rest = name.partition(".")
                channel, _, topic = rest.partition(".")
                if first == "consent" and channel in CHANNELS and index not in self.taken:
                    declared.append((index, channel, topic, {}))
        for index, channel, topic, own in declared:
            self._take(index, "consent", f"{channel}.{topic}" if topic else channel)
            reads = cells.words({**_CONSENT, **own}, "state of consent")
            found.append(Consent(Column(index, self.names[index], reads), channel, topic))
        return found

    def _attributes(self) -> list[Column]:
        spec = self.spec
        wanted: list[tuple[str, int, AttributeColumn]] = []
        if spec.attributes is not None:
            for name, given in spec.attributes.items():
                column = AttributeColumn(column=given) if isinstance(given, str) else given
                index = self._index(column.column or name, f"/attributes/{escape(name)}")
                wanted.append((name, index, column))
        else:
            for source in spec.rename:
                self._index(source, f"/rename/{escape(source)}")
            for index, name in enumerate(self.names):
                taken = self.taken.get(index)
                # The address of a contact is an attribute, too, also where it says whose the row is.
                address = spec.kind == "contacts" and taken is not None and taken.role == "identity"
                if taken is None or (address and taken.target in ADDRESSES):
                    own = taken.target if taken is not None else name.removeprefix("attributes.") or name
                    wanted.append((spec.rename.get(name, own), index, AttributeColumn()))
        targets = [name for name, _, _ in wanted]
        for name in targets:
            if targets.count(name) > 1:
                raise self._missing(f"two columns are the attribute {name!r}", "/rename", "rename one", "double_column")
        for name in spec.types:
            if name not in targets:
                raise self._missing(
                    f"there is no attribute {name!r}", f"/types/{escape(name)}", did_you_mean(name, targets)
                )
        return [self._attribute(name, index, column) for name, index, column in wanted]

    def _attribute(self, name: str, index: int, column: AttributeColumn) -> Column:
        times = Times(column.dates or self.spec.dates, self.spec.zone, calendar=True)
        separator = column.separator or self.spec.separator
        declared = column.type or self.spec.types.get(name)
        type_: AttributeType | None
        if declared is not None:
            type_, decided = declared, "declared"
        else:
            defined = self._defined(name)
            kinds = set(defined.values())
            if len(kinds) == 1:
                type_, decided = kinds.pop(), "definition"
            else:
                type_, decided = self._inferred(index, times)
            if len(set(defined.values())) > 1:
                decided = "definition"
                self.by_name[index] = {
                    interaction: cells.attribute(kind, times, separator, decimal_comma=self.spec.decimal_comma)
                    for interaction, kind in defined.items()
                }
        taken = self.taken.get(index)
        if taken is None:
            taken = self._take(index, "attribute", name)
        taken.type = taken.type or type_ or ""
        taken.decided = decided
        converter = (
            cells.attribute(type_, times, separator, decimal_comma=self.spec.decimal_comma)
            if type_ is not None
            else cells.as_it_is(times)
        )
        return Column(index, name, converter)

    def _defined(self, name: str) -> dict[str, AttributeType]:
        """Return the type that definitions give an attribute, by the folded name of the interaction."""
        spec, known = self.spec, self.known
        groups: Mapping[str, Mapping[str, AttributeDefinition]]
        if spec.kind == "interactions":
            groups = known.interactions
            if spec.name:
                groups = {match_name(spec.name): groups.get(match_name(spec.name), {})}
        elif spec.kind == "contacts":
            groups = {"": known.contact}
        else:
            groups = {"": known.catalogues.get(spec.catalogue, {})}
        return {group: declared[name].type for group, declared in groups.items() if name in declared}

    def _inferred(self, index: int, times: Times) -> tuple[AttributeType | None, str]:
        if self.typed:
            values = [row[index] for row in self.sample]
            type_ = cells.infer_typed(values)
            if type_ == "datetime":
                try:
                    for value in values:
                        if value is not None:
                            times.of(value)
                except CellError:
                    self.notes.append(f"the times in {self.names[index]!r} have no offset: they stay text")
                    type_ = "string"
            return type_, "file"
        texts = [row[index] for row in self.sample if row[index] not in self.empty]
        return cells.infer(texts, times, decimal_comma=self.spec.decimal_comma), "inferred"
