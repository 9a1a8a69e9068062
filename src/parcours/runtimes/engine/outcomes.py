"""What became of an arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from parcours.errors import Problem


class Accepted(msgspec.Struct, frozen=True):
    """The arrival is in the log at this position, durably."""

    position: int
    contact: str


class Duplicate(msgspec.Struct, frozen=True):
    """The same `(source, message id)` was accepted before; nothing changed."""


class Refused(msgspec.Struct, frozen=True):
    """The arrival is not in the log."""

    problem: Problem


Outcome = Accepted | Duplicate | Refused

Marking = Callable[[Sequence[Outcome]], Mapping[str, str]]
"""Returns the marks to be kept with a batch, once its outcomes are known; may be asked again, with others, when the
batch has to be folded anew."""
