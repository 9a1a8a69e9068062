"""What can go wrong, said so that somebody can mend it.

Every error has a stable `code` (for programs), a `message` (what is wrong), an optional place (`file`, `line`,
`pointer`: an RFC 6901 JSON pointer) and an optional `hint` (what to do).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong, and where."""

    code: str
    message: str
    pointer: str = ""
    file: str = ""
    line: int = 0
    hint: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
        if self.pointer:
            place += f" {self.pointer}" if place else self.pointer
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} ({self.hint})" if self.hint else text


class ParcoursError(Exception):
    """The root of every error parcours raises on purpose."""

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidDefinitionError(ParcoursError):
    """Definitions were refused; `problems` holds every reason, not just the first."""

    code = "invalid_definition"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def below(self, pointer: str) -> InvalidDefinitionError:
        """Return the same, of definitions that stand below a pointer."""
        return InvalidDefinitionError(
            msgspec.structs.replace(problem, pointer=pointer + problem.pointer) for problem in self.problems
        )


class StoreError(ParcoursError):
    """The store could not do what was asked: nothing of the batch was kept."""

    code = "store_failed"


class UnstorableError(StoreError):
    """A value in a batch has no form in which it can be kept: nothing of the batch was, and trying again is of no use."""

    code = "unstorable_value"


class TemporaryFailureError(ParcoursError):
    """A provider could not take a message now; trying again may work.

    `retry_after` is the provider's own wish in seconds, 0 when it named none.
    """

    code = "temporary_failure"

    def __init__(self, message: str, *, retry_after: float = 0.0, answer: object = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.answer = answer
        """What was answered (a `ports.Answer`), where somebody wants to know."""


class PermanentFailureError(ParcoursError):
    """A provider will never take this message; trying again is of no use."""

    code = "permanent_failure"

    def __init__(self, message: str, *, answer: object = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.answer = answer
        """What was answered (a `ports.Answer`), where somebody wants to know."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest known word, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
