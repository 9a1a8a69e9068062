"""The templates of messages and of webhooks, and what is wrong with the names in them.

What nobody ever sent is likely misspelt.
`channels.render` finds the names; here they are held against what is defined, and against what was learned where there
is a service to ask. A catalogue that is not defined is an error; any other name may still come, so that is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from parcours.conditions.names import match_name
from parcours.conditions.parse import escape, shown
from parcours.definitions.common import names_of
from parcours.definitions.entries import ContactEntry, DateEntry, InteractionEntry, SegmentEntry
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.message import ADDRESSES
from parcours.definitions.steps import PORTS, RUN, Send, Webhook
from parcours.definitions.workspace import Key, Workspace
from parcours.errors import Problem, did_you_mean

TOP = ("contact", "interaction", "run", "catalogue", "journey", "message_id", "timezone", "now", "today")
"""What templates see."""

OF_CONTACT = (
    "id",
    "identities",
    "interactions",
    "lists",
    "loyalty",
    "points",
    "rewards",
    "tier",
    "timezone",
    *ADDRESSES,
)
"""What a contact may have that nobody declared."""

OF_HISTORY = ("count", "size", "first", "last", "items")

_LOCAL = frozenset({"forloop", "tablerowloop"})

ANY_HOST = "*"
"""Stands for any host, where a secret says to which it may be sent."""

SECRETS = "secrets"
"""Under which name what webhooks send sees secrets."""

Learned = Callable[[str], Collection[str]]
"""Returns the attributes that were learned of an interaction's folded name, or of contacts (an empty name)."""


class Name(msgspec.Struct, frozen=True):
    """A name in a template: where that stands, and its parts, None for one that is only known when the text is made."""

    pointer: str
    line: int
    parts: tuple[str | int | None, ...]


def nothing_learned(_name: str) -> Collection[str]:
    """Return that nothing was learned: there is no service to ask."""
    return ()


class KnownNames(msgspec.Struct, frozen=True):
    """What is known of names beside what is defined."""

    learned: Learned = nothing_learned
    secrets: Mapping[str, Collection[str]] = {}
    """The names of secrets that are set, each with the only hosts it may be sent to."""
    sure: bool = True
    """Whether these are all there are: without a service to ask, there may be others."""


NOTHING_KNOWN = KnownNames(sure=False)


def templates_in(definition: object) -> dict[str, str]:
    """Return the templates of plain data that may be a message or a journey, by pointer; nothing of anything else.

    Those of a journey are the texts that its webhooks send.
    """
    if not isinstance(definition, Mapping):
        return {}
    if definition.get("kind") == "message":
        return of_content(definition.get("content"))
    steps = definition.get("steps") if definition.get("kind") == "journey" else None
    found: dict[str, str] = {}
    for name, step in steps.items() if isinstance(steps, Mapping) else ():
        if isinstance(step, Mapping) and step.get("type") == "webhook":
            for field in ("url", "headers", "body"):
                found |= dict(texts_in(step.get(field), f"/steps/{escape(str(name))}/{field}"))
    return found


def signing_secrets(definition: object) -> list[Name]:
    """Return the secrets that the webhooks of a journey (plain data) are signed with, as names on line 0."""
    steps = definition.get("steps") if isinstance(definition, Mapping) and definition.get("kind") == "journey" else None
    return [
        Name(f"/steps/{escape(str(name))}/sign", 0, (SECRETS, secret))
        for name, step in (steps.items() if isinstance(steps, Mapping) else ())
        if isinstance(step, Mapping) and isinstance(secret := step.get("sign"), str) and secret
    ]


def may_go_to(url: str, hosts: Collection[str]) -> bool:
    """Return whether a URL, which may be a template behind its host, leads to one of some hosts; `ANY_HOST` is any."""
    scheme, place = _place_of(url)
    host, _, port = place.rpartition(":") if re.search(r":[0-9]*$", place) else (place, "", "")
    host = host.removeprefix("[").removesuffix("]")
    return ANY_HOST in hosts or host in hosts or f"{host}:{port or PORTS.get(scheme, '')}" in hosts


def kept_from(secret: str, url: str, hosts: Collection[str]) -> tuple[str, str, str] | None:
    """Return why a secret may not be sent to a URL, when these are all the hosts that it may: a code, a text and a hint."""
    if may_go_to(url, hosts):
        return None
    if hosts:
        said, hint = "may not be sent to this host", f"the operator of the service lets it go to {', '.join(hosts)}"
        return "secret_elsewhere", f"the secret {shown(secret)} {said}", hint
    hint = (
        f"the operator of the service says to which it may be: --secrets-hosts {secret}={_place_of(url)[1] or 'HOST'}"
    )
    return "unbound_secret", f"the secret {shown(secret)} may be sent to no host", hint


def _place_of(url: str) -> tuple[str, str]:
    """Return the scheme of a URL, and the host with the port as they are written, in lower case."""
    scheme, _, rest = url.partition("://")
    return scheme, re.split(r"[/?#]", rest, maxsplit=1)[0].lower()


def of_content(content: object) -> dict[str, str]:
    """Return the templates of the content of a message, by pointer within the message."""
    if not isinstance(content, Mapping):
        return {}
    return {f"/content/{escape(str(field))}": text for field, text in content.items() if isinstance(text, str)}


def texts_in(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text within a value, with its place: a pointer that begins with `place`."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from texts_in(part, f"{place}/{escape(str(name))}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from texts_in(part, f"{place}/{index}")


def filled_in(value: Any, texts: Mapping[str, str], place: str) -> Any:
    """Return a value with other texts in the places of its own."""
    if isinstance(value, str):
        return texts[place]
    if isinstance(value, Mapping):
        return {name: filled_in(part, texts, f"{place}/{escape(str(name))}") for name, part in value.items()}
    if isinstance(value, list):
        return [filled_in(part, texts, f"{place}/{index}") for index, part in enumerate(value)]
    return value


def template_findings(
    key: Key, names: Iterable[Name], workspace: Workspace, known: KnownNames = NOTHING_KNOWN
) -> tuple[list[Problem], list[Problem]]:
    """Return the errors and the warnings about the names in the templates of a definition; pointers are within it."""
    kind, name = key
    if kind == "journey":
        journey = workspace.journeys.get(name)
        triggers, saved = (_triggers_of(journey), _saved_by(journey)) if journey is not None else (set(), None)
        checker = _Checker(workspace, known, triggers, saved)
        checker.without = [name] if journey is not None and isinstance(journey.entry, _WITHOUT) else []
        checker.calls = True
        checker.urls = _urls(journey) if journey is not None else {}
        checker.running = journey is not None and not journey.archived and journey.state == "live"
    else:
        checker = _Checker(workspace, known, _triggers(workspace, name))
        sending = [one for one in workspace.journeys.values() if _sends_message(one, name)]
        checker.without = (
            [one.name for one in sending] if all(isinstance(one.entry, _WITHOUT) for one in sending) else []
        )
    for one in names:
        checker.look_at(one)
    return checker.errors, checker.warnings


class _Checker:
    def __init__(
        self,
        workspace: Workspace,
        known: KnownNames,
        triggers: Collection[str],
        saved: Collection[str] | None = None,
    ) -> None:
        self.workspace = workspace
        self.learned = known.learned
        self.known = known
        self.calls = False
        """Whether these are the templates of webhooks, which see secrets."""
        self.urls: Mapping[str, str] = {}
        """What these call, by the pointers of their steps."""
        self.running = False
        """Whether the journey makes calls from now on."""
        self.triggers = triggers
        self.without: Sequence[str] = []
        """The journeys, when no interaction, and nothing else with attributes, starts any of them."""
        self.saved = saved
        """What the run has that a template sees, None where that depends on the journey."""
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def look_at(self, name: Name) -> None:
        match name.parts:
            case ("contact", "interactions", str(interaction), *rest):
                self._history(name, interaction, rest)
            case ("contact", str(attribute), *_):
                settings = self.workspace.settings.contacts
                known = {*settings.attributes, *self.learned(""), *OF_CONTACT}
                sure = settings.strict or bool(self.learned(""))
                self._attribute(name, attribute, known, f"contacts have no attribute {shown(attribute)} yet", sure=sure)
            case ("interaction", str(attribute), *_) if self.triggers:
                self._of_interactions(name, attribute, self.triggers)
            case ("interaction", _, *_) if self.without:
                said = f"no interaction starts {' or '.join(map(shown, self.without))}, so this is always empty"
                hint = 'ask for what the contact did: contact.interactions["NAME"].last'
                self._say(self.warnings, name, "never_seen", said, hint)
            case ("catalogue", str(catalogue), *_) if catalogue not in self.workspace.catalogues:
                hint = did_you_mean(catalogue, self.workspace.catalogues) or "define a catalogue of this name"
                self._say(self.errors, name, "unknown_reference", f"there is no catalogue {shown(catalogue)}", hint)
            case (str(top), *rest) if top == SECRETS:
                self._secret(name, rest)
            case ("run", str(part), *_) if self.saved is not None and part not in self.saved:
                hint = did_you_mean(part, self.saved) or f"there is {', '.join(self.saved)}"
                said = f"no step of the journey saves {shown(part)}"
                self._say(self.warnings, name, "unknown_variable", said, hint)
            case (str(top), *_) if top not in TOP and top not in _LOCAL:
                hint = did_you_mean(top, TOP) or f"templates see {', '.join(TOP)}"
                self._say(self.warnings, name, "unknown_variable", f"templates see no {shown(top)}", hint)
            case _:
                pass

    def _secret(self, name: Name, rest: Sequence[object]) -> None:
        if not self.calls:
            hint = "only what a webhook sends does"
            self._say(self.errors, name, "no_secrets", "messages see no secrets", hint)
        elif len(rest) != 1 or not isinstance(rest[0], str):
            hint = f"write {{{{ {SECRETS}.NAME }}}}"
            self._say(self.errors, name, "invalid_reference", "a secret is named as it is called", hint)
        elif rest[0] not in self.known.secrets:
            hint = did_you_mean(rest[0], self.known.secrets) or (
                f"the operator sets it: as the variable PARCOURS_SECRET_{rest[0]}, or as a file of this name"
            )
            said = f"there is no secret {shown(rest[0])}" + ("" if self.known.sure else " here; the service needs it")
            where = self.errors if self.known.sure and self.running else self.warnings
            self._say(where, name, "unknown_secret", said, hint)
        else:
            url = self.urls.get("/".join(name.pointer.split("/")[:3]), "")
            found = kept_from(rest[0], url, self.known.secrets[rest[0]])
            if found is not None:
                code, said, hint = found
                said += "" if self.known.sure else " here; the service needs to let it"
                where = self.errors if self.known.sure and self.running else self.warnings
                self._say(where, name, code, said, hint)

    def _history(self, name: Name, interaction: str, rest: Sequence[object]) -> None:
        folded = match_name(interaction)
        if folded not in self.workspace.interactions and not self.learned(folded):
            said = f"the interaction {shown(interaction)} is not defined, and none has arrived"
            self._say(
                self.warnings, name, "unknown_interaction", said, did_you_mean(folded, self.workspace.interactions)
            )
            return
        if rest and isinstance(rest[0], str) and rest[0] not in OF_HISTORY:
            hint = did_you_mean(rest[0], OF_HISTORY) or f"it has {', '.join(OF_HISTORY)}"
            self._say(self.warnings, name, "unknown_variable", f"a history has no {shown(rest[0])}", hint)
        elif len(rest) > 1 and rest[0] in {"first", "last"} and isinstance(rest[1], str):
            self._of_interactions(name, rest[1], [folded], {"occurred_at"})

    def _of_interactions(
        self, name: Name, attribute: str, interactions: Collection[str], more: Collection[str] = ()
    ) -> None:
        known, sure = set(more), True
        for interaction in interactions:
            definition = self.workspace.interactions.get(interaction)
            seen = self.learned(interaction)
            known.update(seen)
            if definition is not None:
                known.update(definition.attributes)
            sure = sure and (bool(seen) or (definition is not None and definition.strict))
        of = " or ".join(shown(one) for one in sorted(interactions)[:3])
        self._attribute(name, attribute, known, f"{of} has no attribute {shown(attribute)} yet", sure=sure)

    def _attribute(self, name: Name, attribute: str, known: Collection[str], said: str, *, sure: bool) -> None:
        """Warn of an attribute that is not known: when all that are should be, or when one is likely meant."""
        if attribute in known:
            return
        hint = did_you_mean(attribute, known)
        if sure or hint:
            self._say(self.warnings, name, "unknown_attribute", said, hint)

    def _say(self, where: list[Problem], name: Name, code: str, said: str, hint: str) -> None:
        at = f"line {name.line}: " if name.line else ""
        problem = Problem(code=code, message=f"{at}{said}", pointer=name.pointer, hint=hint)
        if problem not in where:
            where.append(problem)


def _triggers(workspace: Workspace, message: str) -> set[str]:
    """Return the interactions that start the runs that send a message; none when something else does, too."""
    found: set[str] = set()
    for journey in workspace.journeys.values():
        if not _sends_message(journey, message):
            continue
        of_journey = _triggers_of(journey)
        if not of_journey:
            return set()
        found |= of_journey
    return found


def _triggers_of(journey: JourneyDefinition) -> set[str]:
    """Return the interactions that start the runs of a journey; none when something else does."""
    return set(names_of(journey.entry.interaction)) if isinstance(journey.entry, InteractionEntry) else set()


def _urls(journey: JourneyDefinition) -> dict[str, str]:
    return {f"/steps/{escape(name)}": step.url for name, step in journey.steps.items() if isinstance(step, Webhook)}


def _saved_by(journey: JourneyDefinition) -> list[str]:
    return [*RUN, *(step.save for step in journey.steps.values() if isinstance(step, Webhook) and step.save)]


_WITHOUT = (SegmentEntry, ContactEntry, DateEntry)
"""Entries that give a run no attributes."""


def _sends_message(journey: JourneyDefinition, message: str) -> bool:
    return any(message in step.messages for step in _sends(journey.steps.values()))


def _sends(steps: Iterable[object]) -> Iterator[Send]:
    return (step for step in steps if isinstance(step, Send))
