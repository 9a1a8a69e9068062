"""Secrets over the API: which are set, and who uses them. What they say is told nowhere."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import Controller, Request, get

from parcours.definitions.load import dump
from parcours.definitions.templates import SECRETS
from parcours.definitions.workspace import Workspace, is_archived
from parcours.ports import KnownSecret
from parcours.runtimes.embedded import Embedded
from parcours.web.api.common import guard, host_of


class SecretUse(msgspec.Struct, frozen=True, order=True):
    """A step that sends a secret, or is signed with it."""

    journey: str
    pointer: str


class SecretView(msgspec.Struct):
    """A secret, but for its text."""

    name: str
    source: Literal["file", "variable"] | None
    """Null where it is not set, and a journey asks for it."""
    problem: str
    """Why it cannot be used; empty when it can."""
    hosts: list[str]
    """The only hosts it may be sent to: none, if there are none; `*` is any."""
    used_by: list[SecretUse]


class SecretList(msgspec.Struct):
    """Every secret that is set or asked for, by name."""

    secrets: list[SecretView]


class SecretsApi(Controller):
    """Secrets that calls of webhooks carry."""

    path = "/v1/secrets"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="The names of all secrets", opt={"scope": "definitions:read"})
    async def list_secrets(self, request: Request[Any, Any, Any]) -> SecretList:
        """Return which secrets are set, where, and which steps of journeys ask for them; never what they say."""
        host = host_of(request)
        uses = _uses(host, host.engine.plan.workspace)
        known = {one.name: one for one in host.secrets.known()}
        found = [
            SecretView(
                name,
                known[name].source if name in known else None,
                _problem(known.get(name)),
                list(host.secrets.hosts(name)),
                sorted(uses.get(name, set())),
            )
            for name in sorted({*known, *uses})
        ]
        return SecretList(found)


def _problem(secret: KnownSecret | None) -> str:
    if secret is None:
        return "it is not set"
    return secret.problem or ("" if secret.hosts else "it may be sent to no host")


def _uses(host: Embedded, workspace: Workspace) -> dict[str, set[SecretUse]]:
    found: dict[str, set[SecretUse]] = {}
    for journey in workspace.journeys.values():
        if is_archived(journey):
            continue
        for name in host.names_in(dump(journey)):
            match name.parts:
                case (str(top), str(secret), *_) if top == SECRETS:
                    found.setdefault(secret, set()).add(SecretUse(journey.name, name.pointer))
                case _:
                    pass
    return found
