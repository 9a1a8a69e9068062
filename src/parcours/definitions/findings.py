"""What is found wrong with definitions looked at together, and who says it: what all checks of references share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from parcours.conditions.durations import parse_duration
from parcours.conditions.names import match_name
from parcours.conditions.parse import shown
from parcours.definitions.message import CHANNELS
from parcours.definitions.segment import base_of
from parcours.definitions.workspace import Key, Workspace, is_archived, key_name
from parcours.definitions.zones import zone_hint, zone_of
from parcours.errors import Problem, did_you_mean

_MOST_GUESSES = 100


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with one definition of a workspace; the problem's pointer is within the definition."""

    key: Key
    problem: Problem
    warning: bool = False


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One definition refers to another; the pointer is within the one that does."""

    user: Key
    used: Key
    pointer: str
    active: bool
    """Whether the user is in use itself: no draft, and not archived. What it refers to must stay, then."""


class Reporter:
    """Looks at the definitions of a workspace, one after the other, and keeps what is found."""

    def __init__(self, workspace: Workspace, unread: Collection[Key]) -> None:
        self.workspace = workspace
        self.unread = frozenset(unread)
        self.findings: list[Finding] = []
        self.uses: list[Use] = []
        self.key: Key = ("", "")
        self.active = self.archived = False
        self.guesses = _MOST_GUESSES

    def error(self, code: str, message: str, pointer: str, hint: str = "") -> None:
        """Keep a mistake of the definition that is looked at."""
        problem = Problem(code=code, message=message, pointer=pointer, hint=hint)
        self.findings.append(Finding(key=self.key, problem=problem))

    def warn(self, code: str, message: str, pointer: str, hint: str = "") -> None:
        """Keep what is likely a mistake, and keeps nothing from being published."""
        problem = Problem(code=code, message=message, pointer=pointer, hint=hint)
        self.findings.append(Finding(key=self.key, problem=problem, warning=True))

    def guess(self, name: str, known: Collection[str]) -> str:
        """Return which name may have been meant: for the first mistakes only, since every name is compared."""
        self.guesses -= 1
        return did_you_mean(name, known) if self.guesses >= 0 else ""

    def named(self, kind: str, name: str, known: Collection[str], pointer: str) -> None:
        """Require that a definition of this kind is there, and in use if the one that refers to it is."""
        self.use(kind, name, pointer)
        if name not in known and (kind, name) not in self.unread:
            hint = self.guess(name, known) or f"define a {kind} of this name"
            self.error("unknown_reference", f"there is no {kind} {shown(name)}", pointer, hint)

    def segment(self, name: str, pointer: str) -> None:
        """Require that a segment is there; if its control group is meant, that it has one."""
        base = base_of(name)
        self.named("segment", base, self.workspace.segments, pointer)
        definition = self.workspace.segments.get(base)
        if base != name and definition is not None and definition.control is None:
            hint = "give the segment one: 'control: {percent: 10}'"
            self.error("unknown_reference", f"the segment {shown(base)} has no control group", pointer, hint)

    def interaction(self, name: str, pointer: str) -> None:
        """Warn of an interaction that nobody defined: it is learned when it first arrives."""
        known = self.workspace.interactions
        folded = match_name(name)
        if not self.filled(folded, pointer, "interaction"):
            return
        self.use("interaction", name, pointer)
        if folded not in known and ("interaction", folded) not in self.unread:
            self.warn(
                "unknown_interaction",
                f"the interaction {shown(name)} is not defined; it will be learned when it first arrives",
                pointer,
                self.guess(folded, known),
            )

    def filled(self, name: str, pointer: str, what: str) -> bool:
        """Require that a name is not empty, and return whether it is not."""
        if not name.strip():
            self.error("empty_name", f"the name of the {what} is empty", pointer, "name one")
        return bool(name.strip())

    def several(self, names: str | list[str], pointer: str) -> None:
        """Look at one kind of interaction, or at each of several."""
        for place, name in [(pointer, names)] if isinstance(names, str) else enumerate(names):
            self.interaction(name, place if isinstance(place, str) else f"{pointer}/{place}")

    def use(self, kind: str, name: str, pointer: str) -> None:
        """Note a reference, and refuse one to what was put away."""
        used = (kind, key_name(kind, name))
        self.uses.append(Use(user=self.key, used=used, pointer=pointer, active=self.active))
        definition = self.workspace.get(*used)
        if definition is None or self.archived or not is_archived(definition):
            return
        say = self.error if self.active else self.warn
        say("archived_reference", f"the {kind} {shown(name)} is archived", pointer, "restore it, or name another")

    def word(self, what: str, name: str, known: Mapping[str, str], pointer: str) -> None:
        """Require that a channel or source type is a usual one or the workspace's own."""
        if name not in known and ("workspace", "workspace") not in self.unread:
            own = f"{what.replace(' ', '_')}s"
            hint = self.guess(name, known) or f"{what}s are {', '.join(known)}; a workspace adds its own in '{own}'"
            self.error("unknown_reference", f"there is no {what} {shown(name)}", pointer, hint)

    def channel(self, name: str, pointer: str) -> None:
        """Require that messages can be written for a channel."""
        if name not in CHANNELS:
            hint = self.guess(name, CHANNELS) or f"channels are {', '.join(CHANNELS)}"
            self.error("unknown_channel", f"there is no channel {shown(name)}", pointer, hint)

    def zone(self, name: str, pointer: str) -> None:
        """Require that a time zone is there, if one is named."""
        if name and zone_of(name) is None:
            self.error("unknown_zone", f"there is no time zone {shown(name)}", pointer, zone_hint(name))

    def duration(self, text: str, pointer: str) -> int | None:
        """Return the milliseconds of a length of time, which has to be one."""
        try:
            return parse_duration(text)
        except ValueError as error:
            self.error("invalid_value", str(error), pointer)
            return None
