"""What several contacts share: the same device, the same payment, the same address. Counted over what is recorded.

Conditions look at one contact; this looks at all of them. Who shares something can be put on a list, and a list is a
condition: so a rule holds what they earn (`hold_if: {list: shared}`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from parcours.conditions.names import match_name
from parcours.core.inputs import Input, Interaction, Update

LONGEST = 200
"""Characters of a value that are compared."""


class Sharing:
    """Who has which value of an attribute. Whoever goes through the log gives it one input after the other.

    Args:
        attribute: Of interactions, and of contacts where no interactions are named.
        names: Interactions that count; all when there is none.
    """

    def __init__(self, attribute: str, names: Collection[str] = ()) -> None:
        self.attribute = attribute
        self.names = {match_name(name) for name in names}
        self.found: dict[str, set[str]] = {}

    def see(self, contact: str, item: Input) -> None:
        """Look at an input of a contact."""
        if isinstance(item, Interaction):
            if self.names and item.name not in self.names:
                return
        elif self.names or not isinstance(item, Update):
            return
        value = _comparable(item.attributes.get(self.attribute))
        if value:
            self.found.setdefault(value, set()).add(contact)

    def shared(self, at_least: int, becomes: dict[str, str]) -> list[Shared]:
        """Return the values that so many contacts have, those of the most first.

        Args:
            at_least: How many contacts.
            becomes: Contact to whom it became part of, or to nothing when it was erased.
        """
        rows = (
            (value, sorted({whole for one in contacts if (whole := becomes.get(one, one))}))
            for value, contacts in self.found.items()
            if len(contacts) >= at_least
        )
        found = [Shared(value, contacts) for value, contacts in rows if len(contacts) >= at_least]
        return sorted(found, key=lambda row: (-len(row.contacts), row.value))


class Shared(msgspec.Struct):
    """A value, and the contacts that have it."""

    value: str
    contacts: list[str]


def everybody_in(rows: Iterable[Shared]) -> list[str]:
    """Return everybody who shares something."""
    return sorted({contact for row in rows for contact in row.contacts})


def _comparable(value: Any) -> str:
    """Return a value as it is compared: without regard to case and blanks; empty for none."""
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return " ".join(str(value).casefold().split())[:LONGEST]
