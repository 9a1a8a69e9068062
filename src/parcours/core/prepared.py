"""Interactions that were made ready somewhere else: checked and encoded, so that the engine need not do either again.

A file is read by a process of its own, which holds its interactions against their definition and encodes what the log
keeps of them. What only the engine knows stands in front of that: the place in the log and when it was received. So
taking such an interaction in is a few steps, if nothing in the plan listens to it; else it is an arrival as any other.

| made ready            | is taken in at once                                                                |
|-----------------------|------------------------------------------------------------------------------------|
| against a definition  | while that is the one in force                                                     |
| against none          | while nobody defined it, the workspace is not strict, and the name arrived before  |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, final

import msgspec

from parcours.conditions.names import match_name
from parcours.core.checks import Checks, all_flat, checks_of, nesting_problem
from parcours.core.codec import encode
from parcours.core.gate import Arrival, Happened
from parcours.core.inputs import Interaction
from parcours.definitions.interaction import InteractionDefinition

_EMPTY = Interaction(position=0, received_at=0, occurred_at=0, name="", attributes={})
_FIELDS = len(Interaction.__struct_fields__)
HEAD = encode(_EMPTY)[:-_FIELDS]
"""How the encoded form of every interaction begins, up to its position."""

_tails = msgspec.msgpack.Decoder(tuple[int, str, dict[str, Any], str, str, list[Any], bool, str, None])
_ARRAY = b"\x99"
"""How msgpack writes that a list of nine follows."""

_attributes = attrgetter("what.attributes")


class Kind(msgspec.Struct, array_like=True, eq=False):
    """What interactions that were made ready together have in common."""

    name: str
    """Folded."""
    written: str
    """The name as it was written."""
    source: str
    backfill: bool
    attributes: tuple[str, ...]
    """The names of theirs."""
    definition: bytes = b""
    """The encoded definition they were held against; empty when nobody defined them."""
    known_only: bool = False
    """As in an arrival."""


@final
class Prepared(msgspec.Struct, eq=False):
    """One interaction that was made ready. No attribute of it is None."""

    kind: Kind
    key: bytes
    """Of its source and message id."""
    identities: tuple[tuple[str, str], ...]
    occurred_at: int
    tail: bytes
    """What the log keeps of it behind `received_at`, encoded, if none of its identities is new."""

    def attributes(self) -> dict[str, Any]:
        """Return its attributes."""
        return _tails.decode(_ARRAY + self.tail)[2]

    @property
    def message_id(self) -> str:
        """Its message id."""
        return _tails.decode(_ARRAY + self.tail)[4]

    def arrival(self) -> Arrival:
        """Return it as it was before."""
        occurred_at, _, attributes, source, message_id, _, backfill, *_ = _tails.decode(_ARRAY + self.tail)
        happened = Happened(self.kind.written, attributes)
        known_only = self.kind.known_only
        return Arrival(source, message_id, self.identities, happened, occurred_at, backfill, known_only, self.key)

    def interaction(self, position: int, received_at: int) -> Interaction:
        """Return what it becomes when it is taken in at once."""
        occurred_at, name, attributes, source, message_id, _, backfill, *_ = _tails.decode(_ARRAY + self.tail)
        return Interaction(
            position=position, received_at=received_at, occurred_at=occurred_at, name=name, attributes=attributes,
            source=source, message_id=message_id, backfill=backfill,
        )  # fmt: skip


AnyArrival = Arrival | Prepared


class Preparer:
    """Makes interactions ready, many at a time.

    Args:
        definitions: Those in force, by the folded name.
    """

    def __init__(self, definitions: Mapping[str, InteractionDefinition]) -> None:
        self._definitions = definitions
        self._checks: dict[str, tuple[str, bytes, Checks | None]] = {}
        self._kinds: dict[tuple[Any, ...], Kind] = {}

    def prepare(self, arrivals: Sequence[Arrival]) -> list[tuple[Kind, bytes] | None]:
        """Return of each arrival its kind and its `tail`; None of one that is for the engine to look at.

        Text that is a declared datetime becomes one in place, as in the engine.

        Raises:
            UNENCODABLE: A value of one of them cannot be kept.
        """
        made: list[tuple[Kind, bytes] | None] = []
        for (name, source, backfill), group in groupby(arrivals, _common):
            made += self._alike(name, source, list(group), backfill=backfill)
        return made

    def _alike(
        self, name: str, source: str, arrivals: Sequence[Arrival], *, backfill: bool
    ) -> Iterable[tuple[Kind, bytes] | None]:
        folded, definition, checks = self._defined(name)
        given: list[dict[str, Any]] = list(map(_attributes, arrivals))
        fit = all_flat(given) and (checks is None or checks.all_fit(given))
        kinds = {
            names: self._kinds.setdefault(
                (name, source, backfill, names), Kind(folded, name, source, backfill, names, definition)
            )
            for names in set(map(tuple, given))
        }
        (kind,) = kinds.values() if len(kinds) == 1 else (None,)
        made: list[tuple[Kind, bytes] | None] = []
        for arrival, attributes in zip(arrivals, given, strict=True):
            at = arrival.occurred_at
            if at is None or not (fit or _is_ready(attributes, checks)):
                made.append(None)
            else:
                tail = encode((at, folded, attributes, source, arrival.message_id, (), backfill, "", None))[1:]
                made.append((kind or kinds[tuple(attributes)], tail))
        return made

    def _defined(self, name: str) -> tuple[str, bytes, Checks | None]:
        found = self._checks.get(name)
        if found is None:
            folded = match_name(name)
            definition = self._definitions.get(folded)
            found = (folded, b"", None) if definition is None else (folded, encode(definition), checks_of(definition))
            self._checks[name] = found
        return found


def _common(arrival: Arrival) -> tuple[str, str, bool]:
    return arrival.what.name, arrival.source, arrival.backfill  # type: ignore[union-attr]  # they are interactions


def _is_ready(attributes: dict[str, Any], checks: Checks | None) -> bool:
    return (
        None not in attributes.values()
        and nesting_problem(attributes) is None
        and (checks is None or checks.problem(attributes) is None)
    )
