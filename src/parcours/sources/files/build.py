"""Cells to arrivals and items, many rows at a time and column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from parcours.conditions.names import match_name
from parcours.conditions.parse import escape
from parcours.core.gate import Arrival, Happened, Learned
from parcours.definitions.message import ADDRESSES
from parcours.errors import Problem
from parcours.sources.addresses import address_of, normalize_email
from parcours.sources.files.cells import convert_column
from parcours.sources.files.ids import STATED, RowIds
from parcours.sources.files.plan import Column, Plan
from parcours.sources.files.rows import REJECTED_COLUMNS, CatalogueItem, CellError, Row
from parcours.sources.files.spec import Known

Cells = Sequence[Any]
_Values = Sequence[Any]

_NOTHING = Known()
_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_LONGEST_LOCAL = 64
_LONGEST_PLAIN = 120


def email_address(text: str) -> str | None:
    """Return what `normalize_email` does, but quickly for the usual: its checks of a domain are made once for each."""
    text = text.strip()
    local, _, domain = text.rpartition("@")
    if len(local) > _LONGEST_LOCAL or len(text) > _LONGEST_PLAIN or not _LOCAL.fullmatch(local):
        return normalize_email(text)
    checked = normalize_email(f"x@{domain}")
    return local + checked[1:] if checked is not None else None


class Builder:
    """Makes rows of cells, as a plan says.

    Args:
        plan: What each column is for.
        file: The file's name, for problems.
        known: What the workspace declares, and what tells the file from others.
    """

    def __init__(self, plan: Plan, file: str = "", known: Known = _NOTHING) -> None:
        self._plan = plan
        self._file = file
        spec = plan.spec
        constants = [known.file] if known.file and spec.kind in STATED else []
        constants += [spec.source, spec.kind, spec.name, spec.list, spec.action if spec.list else "", spec.catalogue]
        self.ids = RowIds(constants) if spec.kind != "items" else None
        self.derived = False
        """Whether an id was derived."""
        self._unsplit = plan.names.index(REJECTED_COLUMNS[-1]) if REJECTED_COLUMNS[-1] in plan.names else None
        self._names = tuple(column.target for column in plan.attributes)
        self._addresses = [(channel, attribute) for attribute, channel in ADDRESSES.items() if attribute in self._names]
        all_told = len(plan.told) == len(plan.names)
        self._told: Callable[[Cells], Cells] | None = None
        if not all_told:
            self._told = lambda row: [row[index] for index in plan.told]

    def pass_over(self, rows: Sequence[Cells]) -> None:
        """Take note of rows that are not read, for the ids of equal ones behind them."""
        if self.ids is None or not rows:
            return
        column = self._plan.id
        if column is not None:
            cells = [row[column.index] for row in rows]
            values = convert_column(column.converter, cells, self._plan.empty, typed=self._plan.typed)[0]
            rows = [row for row, value in zip(rows, values, strict=True) if value is None]
        self._derive(rows)

    def _derive(self, rows: Sequence[Cells]) -> list[str]:
        assert self.ids is not None  # noqa: S101 (items have ids of their own)
        self.derived = self.derived or bool(rows)
        return self.ids.of(self._said(rows))

    def rows(self, lines: Sequence[int], cells: Sequence[Cells]) -> list[Row]:
        """Return a row for each row of cells, all of the right width."""
        if not cells:
            return []
        columns = list(zip(*cells, strict=True))
        failures: dict[int, Problem] = {}
        if self._unsplit is not None:
            for index, text in enumerate(columns[self._unsplit]):
                if text:
                    hint = f"put its cells where they belong, and empty {REJECTED_COLUMNS[-1]!r}"
                    self._fail(failures, index, CellError("not_mended", "the row was not mended", hint), self._unsplit)
        make: dict[str, Callable[[Sequence[Cells], Sequence[_Values], dict[int, Problem]], list[Any]]] = {
            "interactions": self._interactions,
            "contacts": self._contacts,
            "lists": self._contacts,
            "items": self._items,
        }
        made: list[Any] = make[self._plan.spec.kind](cells, columns, failures)
        nothing: repeat[Any] = repeat(None)
        if self._plan.spec.kind == "items":
            rows = list(map(Row, lines, nothing, made, nothing, cells))
        else:
            rows = list(map(Row, lines, made, nothing, nothing, cells))
        for index, problem in failures.items():
            row = rows[index]
            row.arrival = row.item = None
            row.problem = Problem(
                code=problem.code,
                message=problem.message,
                pointer=problem.pointer,
                hint=problem.hint,
                line=row.line,
                file=self._file,
            )
        return rows

    def _read(self, column: Column, columns: Sequence[_Values], failures: dict[int, Problem]) -> _Values:
        values, wrong = convert_column(
            column.converter, columns[column.index], self._plan.empty, typed=self._plan.typed
        )
        for index, error in wrong.items():
            self._fail(failures, index, error, column.index)
        return values

    def _fail(self, failures: dict[int, Problem], index: int, error: CellError, column: int | None = None) -> None:
        pointer = f"/{escape(self._plan.names[column])}" if column is not None else ""
        failures.setdefault(index, Problem(code=error.code, message=error.message, pointer=pointer, hint=error.hint))

    def _said(self, rows: Sequence[Cells]) -> Sequence[Cells]:
        return rows if self._told is None else list(map(self._told, rows))

    def _message_ids(self, cells: Sequence[Cells], columns: Sequence[_Values], failures: dict[int, Problem]) -> _Values:
        column = self._plan.id
        if column is None:
            return self._derive(cells)
        given = self._read(column, columns, failures)
        missing = [index for index, value in enumerate(given) if value is None]
        if not missing:
            return given
        ids = list(given)
        for index, id_ in zip(missing, self._derive([cells[at] for at in missing]), strict=True):
            ids[index] = id_
        return ids

    def _identities(self, columns: Sequence[_Values], failures: dict[int, Problem]) -> _Values:
        plan = self._plan
        read = [self._read(column, columns, failures) for column in plan.identities]
        found: list[Any]
        if len(read) == 1:
            namespace = plan.identities[0].target
            found = [((namespace, value),) for value in read[0]]
            missing: Iterable[int] = (index for index, value in enumerate(read[0]) if value is None)
            if None not in read[0]:
                return found
        else:
            spaces = [column.target for column in plan.identities]
            found = [
                tuple([pair for pair in zip(spaces, values, strict=True) if pair[1] is not None])
                for values in zip(*read, strict=True)
            ]
            missing = (index for index, identities in enumerate(found) if not identities)
        for index in missing:
            first = plan.identities[0].index
            self._fail(failures, index, CellError("no_identity", "nothing says whose this is"), first)
        return found

    def _times(self, columns: Sequence[_Values], failures: dict[int, Problem], count: int) -> _Values:
        column = self._plan.occurred_at
        if column is None:
            return [None] * count
        times = self._read(column, columns, failures)
        if min((time for time in times if time is not None), default=0) < 0 if None in times else min(times) < 0:
            for index, time in enumerate(times):
                if time is not None and time < 0:
                    self._fail(failures, index, CellError("absurd_time", "the time is before 1970"), column.index)
        return times

    def _attributes(
        self, columns: Sequence[_Values], failures: dict[int, Problem], names: _Values | None
    ) -> list[dict[str, Any]]:
        plan = self._plan
        read: list[_Values] = []
        absent = False
        for column in plan.attributes:
            own = plan.by_name.get(column.index)
            values = (
                self._read(column, columns, failures)
                if own is None or names is None
                else self._read_by_name(column, columns, failures, own, names)
            )
            absent = absent or None in values
            read.append(values)
        keys = self._names
        if not keys:
            return [{} for _ in columns[0]]
        if absent and not plan.spec.clear_empty:
            return [
                {key: value for key, value in pairs if value is not None}
                for pairs in map(zip, repeat(keys), zip(*read, strict=True))
            ]
        return list(map(dict, map(zip, repeat(keys), zip(*read, strict=True))))

    def _read_by_name(
        self,
        column: Column,
        columns: Sequence[_Values],
        failures: dict[int, Problem],
        own: dict[str, Any],
        names: _Values,
    ) -> _Values:
        """Return values whose type depends on what happened."""
        values: list[Any] = []
        for index, (name, cell) in enumerate(zip(names, columns[column.index], strict=True)):
            converter = own.get(match_name(name), column.converter) if name is not None else column.converter
            read, wrong = convert_column(converter, [cell], self._plan.empty, typed=self._plan.typed)
            values.append(read[0])
            for error in wrong.values():
                self._fail(failures, index, error, column.index)
        return values

    def _interactions(
        self, cells: Sequence[Cells], columns: Sequence[_Values], failures: dict[int, Problem]
    ) -> list[Arrival]:
        plan, spec = self._plan, self._plan.spec
        identities = self._identities(columns, failures)
        names: _Values | None = None
        if plan.name is not None:
            names = self._read(plan.name, columns, failures)
            if None in names:
                for index, name in enumerate(names):
                    if name is None:
                        error = CellError("missing_name", "the name is missing", "it says what happened")
                        self._fail(failures, index, error, plan.name.index)
        times = self._times(columns, failures, len(cells))
        attributes = self._attributes(columns, failures, names)
        ids = self._message_ids(cells, columns, failures)
        happened = map(Happened, repeat(spec.name) if names is None else names, attributes)
        return list(map(Arrival, repeat(spec.source), ids, identities, happened, times, repeat(spec.backfill)))

    def _contacts(
        self, cells: Sequence[Cells], columns: Sequence[_Values], failures: dict[int, Problem]
    ) -> list[Arrival]:
        plan, spec = self._plan, self._plan.spec
        identities = self._identities(columns, failures)
        times = self._times(columns, failures, len(cells))
        attributes = self._attributes(columns, failures, None)
        learned = [Learned(known) for known in attributes]
        for channel, address in self._addresses:
            quick = email_address if channel == "email" else None
            for what in learned:
                if address in what.attributes:
                    value = what.attributes[address]
                    text = quick is not None and isinstance(value, str)
                    what.addresses[channel] = quick(value) if quick and text else address_of(channel, value)
        for consent in plan.consent:
            for what, state in zip(learned, self._read(consent.column, columns, failures), strict=True):
                if state is not None:
                    what.consent.setdefault(consent.channel, {})[consent.topic] = state
                    what.evidence = {str(key): value for key, value in spec.evidence.items()}
        if spec.kind == "lists":
            self._put_on_lists(learned, columns, failures)
        ids = self._message_ids(cells, columns, failures)
        return list(map(Arrival, repeat(spec.source), ids, identities, learned, times, repeat(spec.backfill)))

    def _put_on_lists(self, learned: list[Learned], columns: Sequence[_Values], failures: dict[int, Problem]) -> None:
        plan, spec = self._plan, self._plan.spec
        lists: _Values = [spec.list] * len(learned)
        if plan.on_list is not None:
            lists = self._read(plan.on_list, columns, failures)
        actions: _Values = [None] * len(learned)
        if plan.action is not None:
            actions = self._read(plan.action, columns, failures)
        for index, (what, name, action) in enumerate(zip(learned, lists, actions, strict=True)):
            if name is None:
                error = CellError("missing_list", "the list is missing")
                self._fail(failures, index, error, plan.on_list.index if plan.on_list is not None else None)
            else:
                what.lists = {name: spec.action == "add" if action is None else action}

    def _items(
        self, _: Sequence[Cells], columns: Sequence[_Values], failures: dict[int, Problem]
    ) -> list[CatalogueItem]:
        plan = self._plan
        assert plan.id is not None  # noqa: S101 (the planner sees to it)
        ids = self._read(plan.id, columns, failures)
        for index, id_ in enumerate(ids):
            if id_ is None:
                self._fail(failures, index, CellError("missing_id", "the id is missing"), plan.id.index)
        attributes = self._attributes(columns, failures, None)
        catalogue = plan.spec.catalogue
        return [CatalogueItem(catalogue, id_, what) for id_, what in zip(ids, attributes, strict=True)]
