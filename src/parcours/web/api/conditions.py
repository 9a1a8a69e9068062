"""Conditions over the API, for whoever makes a form or a query builder: their schema, and what is wrong with one."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import JSONBody

from parcours.analytics import questions
from parcours.conditions.parse import parse_condition
from parcours.conditions.text import describe
from parcours.definitions.load import load_data
from parcours.definitions.schema import json_schema
from parcours.errors import Problem
from parcours.web.api.common import guard, host_of
from parcours.web.api.definitions import READ, workspace_of

_PLACE = "/definitions/0"
_NAME = "asked"


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A condition that is looked at."""

    condition: dict[str, Any]


class Looked(msgspec.Struct):
    """What a condition says, and everything that is wrong with it; pointers begin with `/condition`."""

    text: str | None
    """In one line, for people; null when it cannot be read."""
    errors: list[Problem]
    warnings: list[Problem]
    """What is likely a mistake, such as an attribute that is spelt almost like one that is declared."""
    countable: bool
    """Whether it can be asked of all contacts at once, as `/v1/segments` does."""


class ConditionsApi(Controller):
    """The language of conditions."""

    path = "/v1"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/schema", summary="The schema of definitions and conditions", opt=READ)
    async def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of all definitions, with titles; that of a condition is `#/$defs/Condition`."""
        return json_schema()

    @post("/conditions/check", summary="Look at a condition", status_code=200, opt=READ)
    async def check(self, request: Request[Any, Any, Any], data: JSONBody[Asked]) -> Looked:
        """Return a condition as text, and every problem at once, as if it were that of a segment."""
        asked = {"kind": "segment", "name": _free(workspace_of(request).segments), "condition": data.condition}
        _, errors, warnings = load_data([asked], workspace_of(request))
        node, _ = parse_condition(data.condition)
        segments = host_of(request).engine.plan.segments
        countable = node is not None and not errors and not questions.problems(node, segments)
        text = describe(node) if node is not None else None
        return Looked(text, _own(errors), _own(warnings), countable)


def _free(known: Any) -> str:
    """Return a name that no segment has."""
    name = _NAME
    while name in known:
        name += "_"
    return name


def _own(problems: list[Problem]) -> list[Problem]:
    """Return those problems that the condition has, with pointers into it."""
    return [
        msgspec.structs.replace(problem, pointer=problem.pointer.removeprefix(_PLACE))
        for problem in problems
        if problem.pointer.startswith(f"{_PLACE}/condition")
    ]
