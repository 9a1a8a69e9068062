"""Catalogues and pools of codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from parcours.core import ids
from parcours.core.codec import UNENCODABLE, encode
from parcours.core.gate import admit_item
from parcours.core.inputs import (
    Stock,
)
from parcours.errors import Problem
from parcours.ports import Record
from parcours.runtimes.engine import rewards
from parcours.runtimes.engine.batch import Batch
from parcours.runtimes.engine.publishing import Publishing


class Stocking(Publishing):
    """Puts items into catalogues, and codes into pools."""

    def stock(
        self,
        catalogue: str,
        items: Mapping[str, dict[str, Any] | None],
        marking: Callable[[Sequence[Problem | None]], Mapping[str, str]] | None = None,
    ) -> list[Problem | None]:
        """Put items into a catalogue, replacing those of the same id, or with None take them out.

        Returns for each item what is wrong with it, or None: then it is kept, durably. The marks that `marking` returns
        are kept with them.

        Raises:
            StoreError: None was kept.
        """
        problems = [admit_item(self.plan, catalogue, id_, attributes) for id_, attributes in items.items()]
        chosen = {id_: items[id_] for id_, problem in zip(items, problems, strict=True) if problem is None}
        for place, (id_, attributes) in enumerate(items.items()):
            try:
                encode(attributes)
            except UNENCODABLE as error:
                chosen.pop(id_, None)
                problems[place] = Problem(code="unstorable_value", message=f"a value cannot be kept: {error}")
        self._turn_until(self.clock.now())
        self.catch_up()
        batch = Batch(self.store.last_position())
        if chosen:
            position, now = batch.position + 1, self.clock.now()
            item = Stock(position=position, received_at=now, occurred_at=now, catalogue=catalogue, items=chosen)
            batch.changes.records.append(Record(position, "", ids.message_key("", f"stock:{position}"), encode(item)))
            batch.changes.items = {(catalogue, id_): attributes for id_, attributes in chosen.items()}
        if marking is not None:
            batch.changes.marks.update(marking(problems))
        self._commit(batch)
        return problems

    def fill(self, reward: str, codes: Iterable[str]) -> int:
        """Put codes into the pool of a reward; return how many of them are new.

        Raises:
            StoreError: None was kept.
        """
        self._turn_until(self.clock.now())
        self.catch_up()
        chosen: dict[str, dict[str, Any] | None] = {
            code: {} for code in rewards.new_codes(self.store, reward, codes) if not self._buried_code(code)
        }
        if not chosen:
            return 0
        batch = Batch(self.store.last_position())
        position, now, pool = batch.position + 1, self.clock.now(), rewards.pool_of(reward)
        item = Stock(position=position, received_at=now, occurred_at=now, catalogue=pool, items=chosen)
        batch.changes.records.append(Record(position, "", ids.message_key("", f"stock:{position}"), encode(item)))
        batch.changes.items = {(pool, code): attributes for code, attributes in chosen.items()}
        batch.changes.marks[f"pool:{reward}"] = str(rewards.in_pool(self.store, reward) + len(chosen))
        self._commit(batch)
        return len(chosen)
