"""The JSON Schema of scenario files, for editors: made from `format`, as the one of definitions is made from theirs."""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.conditions.schema import Schema
from parcours.definitions.schema import DIALECT
from parcours.testing.scenarios.format import ScenarioFile


def scenario_schema() -> Schema:
    """Return the schema (2020-12) of a scenario file."""
    schema: dict[str, Any] = msgspec.json.schema(ScenarioFile, ref_template="#/$defs/{name}")
    return {"$schema": DIALECT, "title": "Scenarios of parcours", **schema}
