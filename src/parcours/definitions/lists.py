"""Lists that people are put on by hand or by import, and catalogues of the things a shop has."""

from __future__ import annotations

from typing import Annotated

import msgspec

from parcours.definitions.common import Archivable, Name
from parcours.definitions.interaction import AttributeDefinition


class ListDefinition(Archivable, frozen=True, kw_only=True, tag="list"):
    """A list of contacts: whoever was put on it and not taken off again."""

    name: Name


class CatalogueDefinition(Archivable, frozen=True, kw_only=True, tag="catalogue"):
    """A catalogue of items: products, shops, courses. Each item has an `id` and attributes."""

    name: Name
    attributes: Annotated[
        dict[str, AttributeDefinition],
        msgspec.Meta(description="Declared attributes of its items, by name; a value of another type is refused."),
    ] = msgspec.field(default_factory=dict)
    strict: Annotated[bool, msgspec.Meta(description="Refuse attributes that are not declared.")] = False
