"""Secrets of the workspace: texts that calls of other services carry, named in definitions and kept nowhere.

They are the operator's, who sets them as variables or as files in a folder, as container platforms mount them. They are
looked up when a call is made, and forgotten with it; a file that changed counts from the next call on. What is said of
a call afterwards (an answer that repeats it, an error) has them blanked.

| asked for          | is                                                                        |
|--------------------|---------------------------------------------------------------------------|
| a file of the name | its text, without the line break at its end                               |
| else a variable    | its text                                                                  |
| none, or empty     | a call that needs it fails for good                                       |
| a file that cannot be read | a call that needs it is tried again                               |
| for a host it is not bound to | a call that needs it fails for good                            |
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from html import escape as escape_html
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import msgspec

from parcours.definitions.steps import SECRET_NAME
from parcours.errors import PermanentFailureError, TemporaryFailureError, did_you_mean
from parcours.ports import Answer, KnownSecret

LARGEST_SECRET: Final = 65_536
"""Bytes a file may have that is a secret."""

LEAST_BLANKED: Final = 4
"""Characters a text must have to be blanked: shorter ones are in everything."""

BLANK: Final = "(a secret)"
"""What stands in the place of a secret."""

ANY_NAME: Final = "*"
"""Stands for all secrets that are not named, where hosts are given."""

_UNQUOTED: Final = ("", "/", "/:?@!$'()*,;")
"""What is left as it is where others write texts into URLs."""

_NAME = re.compile(SECRET_NAME)


class OperatorSecrets:
    """Secrets from variables and from a folder of files; a `ports.Secrets`.

    Args:
        given: Texts of variables by name.
        folder: Its files are secrets by their names, and go before variables. What is hidden, or is called as no
            secret can be, is passed over.
        hosts: The only hosts that a secret may be sent to, by its name; by `*` those of all that have no others. `*` as a
            host is any.
    """

    def __init__(
        self,
        given: Mapping[str, str] | None = None,
        folder: Path | None = None,
        hosts: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._given = dict(given or {})
        self._folder = folder
        self._hosts = {name: tuple(sorted(of)) for name, of in (hosts or {}).items()}

    def names(self) -> set[str]:
        """Return the names of those that can be used."""
        return {one.name for one in self.known() if not one.problem}

    def known(self) -> list[KnownSecret]:
        """Return what is set, by name."""
        found = {name: KnownSecret(name, "variable", hosts=self.hosts(name)) for name in self._given}
        for name in self._files():
            try:
                problem = "" if self._in_folder(name) else "it is empty"
            except (PermanentFailureError, TemporaryFailureError) as error:
                problem = error.message
            found[name] = KnownSecret(name, "file", problem, self.hosts(name))
        return [found[name] for name in sorted(found)]

    def hosts(self, name: str) -> tuple[str, ...]:
        """Return the only hosts that a secret may be sent to. See `ports.Secrets`."""
        return self._hosts.get(name) or self._hosts.get(ANY_NAME, ())

    def value(self, name: str) -> str:
        """Return the text of a secret. See `ports.Secrets`."""
        found = self._in_folder(name) if _NAME.fullmatch(name) else None
        if found is None:
            found = self._given.get(name)
        if not found:
            hint = did_you_mean(name, self.names()) or "the operator of the service sets it"
            raise PermanentFailureError(f"there is no secret {name[:64]!r}: {hint}")
        return found

    def _files(self) -> list[str]:
        if self._folder is None:
            return []
        try:
            return [file.name for file in self._folder.iterdir() if _NAME.fullmatch(file.name) and file.is_file()]
        except OSError:
            return []

    def _in_folder(self, name: str) -> str | None:
        """Return the text of a file, None when there is none."""
        if self._folder is None:
            return None
        try:
            with (self._folder / name).open("rb") as file:
                text = file.read(LARGEST_SECRET + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TemporaryFailureError(f"the secret {name!r} cannot be read: {error.strerror}") from None
        if len(text) > LARGEST_SECRET:
            raise PermanentFailureError(f"the secret {name!r} is larger than {LARGEST_SECRET} bytes")
        try:
            return text.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise PermanentFailureError(f"the secret {name!r} is no text in UTF-8") from None


def private_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return what must not be told where some texts must not: these, and how they are written elsewhere.

    The longest come first, so that none is blanked in a part of another.
    """
    found: set[str] = set()
    for text in set().union(*map(_as_headers_have, texts)):
        found |= {text, escape_html(text)}
        for safe in _UNQUOTED:
            found |= {quote(text, safe=safe), quote_plus(text, safe=safe)}
        quoted = msgspec.json.encode(text).decode()[1:-1]
        found |= {quoted, quoted.replace("/", "\\/"), json.dumps(text)[1:-1]}
        found.add(base64.b64encode(text.encode()).decode())
    return tuple(sorted((text for text in found if len(text) >= LEAST_BLANKED), key=lambda text: (-len(text), text)))


def _as_headers_have(text: str) -> set[str]:
    """Return a text as it is, and what a header leaves of it: without white space at its ends, and without line breaks."""
    return {text, text.strip(), re.sub(r"[\r\n]+", " ", text), *map(str.strip, text.splitlines())}


def blanked(value: Any, private: Iterable[str]) -> Any:
    """Return a JSON value, or a text, without what must not be told."""
    if isinstance(value, str):
        for text in private:
            value = value.replace(text, BLANK)
        return value
    if isinstance(value, Mapping):
        return {blanked(name, private): blanked(part, private) for name, part in value.items()}
    if isinstance(value, list):
        return [blanked(part, private) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and str(value) in private:
        return BLANK
    return value


def blanked_answer(answer: object, private: Iterable[str]) -> Any:
    """Return what a service answered, without what must not be told."""
    return Answer(answer.status, blanked(answer.body, private)) if isinstance(answer, Answer) else answer
