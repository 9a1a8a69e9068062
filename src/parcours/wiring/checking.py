"""Definition files, checked as the service would: their templates, names, secrets and schedules."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from parcours.channels.render import Renderer
from parcours.definitions.load import Source, read
from parcours.definitions.templates import KnownNames, signing_secrets, template_findings, templates_in
from parcours.definitions.workspace import Workspace
from parcours.errors import Problem
from parcours.runtimes.schedules import problems_of_journey
from parcours.wiring.settings import secrets_here


def template_problems(sources: Iterable[Source], workspace: Workspace) -> tuple[list[Problem], list[Problem]]:
    """Return what is wrong with the templates of messages and webhooks in some sources, and what may be, with file and line.

    `workspace` is what the names in them are held against. Secrets are looked for among the settings in the environment;
    there may be others where the service runs.
    """
    renderer = Renderer()
    secrets = secrets_here()
    known = KnownNames(secrets={name: secrets.hosts(name) for name in secrets.names()}, sure=False)
    errors: list[Problem] = []
    warnings: list[Problem] = []
    for source in sources:
        for located in read(source)[0]:
            texts = templates_in(located.definition)
            names = [*renderer.names(texts), *signing_secrets(located.definition)]
            if not texts and not names:
                continue
            wrong, doubtful = template_findings(_key_in(located.definition), names, workspace, known)
            for told, problems in ((errors, renderer.check(texts) + wrong), (warnings, doubtful)):
                for problem in problems:
                    line = located.line_of(problem.pointer)
                    told.append(msgspec.structs.replace(problem, file=located.file, line=line))
    return errors, warnings


def schedule_problems(sources: Iterable[Source], workspace: Workspace) -> list[Problem]:
    """Return what is wrong with the schedules of the journeys in some sources, with file and line."""
    found: list[Problem] = []
    for located in (located for source in sources for located in read(source)[0]):
        kind, name = _key_in(located.definition)
        journey = workspace.journeys.get(name)
        if journey is None or kind != "journey":
            continue
        for problem in problems_of_journey(journey, workspace.settings.zone):
            line = located.line_of(problem.pointer)
            found.append(msgspec.structs.replace(problem, file=located.file, line=line))
    return found


def _key_in(definition: object) -> tuple[str, str]:
    found = definition if isinstance(definition, dict) else {}
    return str(found.get("kind", "")), str(found.get("name", ""))
