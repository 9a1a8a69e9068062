"""What conditions refer to: attributes, interactions, segments, lists, programmes, runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from parcours.conditions import ast
from parcours.conditions.names import match_name
from parcours.conditions.parse import parse_condition, shown
from parcours.definitions.findings import Reporter
from parcours.definitions.interaction import AttributeDefinition
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.message import CHANNELS
from parcours.definitions.steps import Webhook
from parcours.errors import did_you_mean


class Declares(Protocol):
    """What declares attributes: a kind of interaction, the settings for contacts."""

    @property
    def attributes(self) -> Mapping[str, AttributeDefinition]:
        """The declared attributes, by name."""
        ...


class ConditionChecks(Reporter):
    """Looks at what a condition names."""

    def condition(
        self, data: Mapping[str, Any], pointer: str, at_hand: Collection[str], *, trigger: bool, run: bool
    ) -> None:
        """Look at a condition; `at_hand` names the interaction whose attributes it may look at."""
        node, problems = parse_condition(data, pointer)
        for problem in problems:
            self.error(problem.code, problem.message, problem.pointer, problem.hint)
        for place, written, leaf in _leaves(data, node, pointer) if node is not None else ():
            match leaf:
                case ast.InSegment():
                    self.segment(leaf.name, f"{place}/segment")
                case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
                    self.of_member(leaf, place)
                case ast.InList():
                    self.named("list", leaf.name, self.workspace.lists, f"{place}/list")
                case ast.Consent() if leaf.channel not in CHANNELS:
                    hint = did_you_mean(leaf.channel, CHANNELS) or f"channels are {', '.join(CHANNELS)}"
                    self.warn("unknown_channel", f"there is no channel {shown(leaf.channel)}", f"{place}/consent", hint)
                case ast.Attribute(subject=ast.Subject.TRIGGER) if not trigger:
                    self.error(
                        "no_interaction",
                        "there is no interaction here to look at",
                        f"{place}/interaction",
                        "ask for an attribute of the contact, or for its history with 'did'",
                    )
                case ast.Attribute(subject=ast.Subject.RUN):
                    self.of_run(leaf.name, f"{place}/run", run=run)
                case ast.Attribute(subject=ast.Subject.TRIGGER):
                    self.attribute(leaf.name, at_hand, f"{place}/interaction")
                case ast.Attribute():
                    self.attribute_of(leaf.name, [self.workspace.settings.contacts], "contacts", f"{place}/contact")
                case ast.History() | ast.Sequence() | ast.MessageHistory():
                    self.past(written, leaf, place, run=run)

    def of_run(self, path: str, pointer: str, *, run: bool) -> None:
        """Require that there is a run, and that one of its steps saves what is asked for."""
        if not run:
            hint = "ask for an attribute of the contact, or for its history with 'did'"
            self.error("no_run", "there is no run here to look at", pointer, hint)
            return
        definition = self.workspace.get(*self.key)
        steps = definition.steps.values() if isinstance(definition, JourneyDefinition) else ()
        known = ["key", *(step.save for step in steps if isinstance(step, Webhook) and step.save)]
        if path.partition(".")[0] not in known:
            hint = self.guess(path.partition(".")[0], known) or f"there is {', '.join(known)}"
            self.error("unknown_reference", f"no step of the journey saves {shown(path)}", pointer, hint)

    def past(
        self,
        written: Mapping[str, Any],
        leaf: ast.History | ast.Sequence | ast.MessageHistory,
        pointer: str,
        *,
        run: bool,
    ) -> None:
        """Look at what a question about the past names."""
        if leaf.window.since and not run:
            self.error(
                "no_run",
                "there is no run here whose entry could be meant",
                f"{pointer}/since",
                "say with 'within' or 'from' which past is meant",
            )
        match leaf:
            case ast.MessageHistory():
                for place, name in _names(written, "of", pointer):
                    self.named("message", name, self.workspace.messages, place)
                if leaf.channel and leaf.channel not in CHANNELS:
                    hint = did_you_mean(leaf.channel, CHANNELS) or f"channels are {', '.join(CHANNELS)}"
                    self.warn(
                        "unknown_channel", f"there is no channel {shown(leaf.channel)}", f"{pointer}/channel", hint
                    )
            case ast.Sequence():
                for index, (step, read) in enumerate(zip(written["sequence"], leaf.steps, strict=True)):
                    self.interactions(step, f"{pointer}/sequence/{index}")
                    self.where(step, read.interactions, read.where, f"{pointer}/sequence/{index}")
            case ast.History():
                self.interactions(written, pointer)
                self.where(written, leaf.interactions, leaf.where, pointer)
                if leaf.attribute:
                    self.attribute(leaf.attribute, leaf.interactions, f"{pointer}/{leaf.measure.value}/of")

    def where(
        self, written: Mapping[str, Any], interactions: Collection[str], where: ast.Node | None, pointer: str
    ) -> None:
        """Look at the attributes that a condition about past interactions compares."""
        for place, _, leaf in _leaves(written["where"], where, f"{pointer}/where") if where is not None else ():
            if isinstance(leaf, ast.Attribute):
                self.attribute(leaf.name, interactions, f"{place}/interaction")

    def attribute(self, name: str, interactions: Collection[str], pointer: str) -> None:
        """Warn of an attribute of an interaction that is likely a mistake."""
        known = self.workspace.interactions
        declared = [known[folded] for folded in map(match_name, interactions) if folded in known]
        if declared and len(declared) == len(interactions):
            self.attribute_of(name, declared, " and ".join(repr(one.name) for one in declared), pointer)

    def attribute_of(self, name: str, declare: Sequence[Declares], label: str, pointer: str) -> None:
        """Warn of an attribute that is not declared where one much like it is."""
        names = {attribute for one in declare for attribute in one.attributes}
        hint = self.guess(name, names) if names and name not in names else ""
        if hint:
            verb = "declare" if len(declare) > 1 or label == "contacts" else "declares"
            self.warn("unknown_attribute", f"{label} {verb} no attribute {shown(name)}", pointer, hint)

    def interactions(self, written: Mapping[str, Any], pointer: str) -> None:
        """Look at the interactions that a question about the past names."""
        for head in ("did", "did_not"):
            for place, name in _names(written, head, pointer):
                self.interaction(name, place)

    def of_member(self, leaf: ast.OfMember, pointer: str) -> None:
        """Look at what a condition about members names."""
        if isinstance(leaf, ast.HasReward):
            self.named("reward", leaf.reward, self.workspace.rewards, f"{pointer}/reward")
            return
        head = {ast.Points: "points", ast.Tier: "tier", ast.IsMember: "member"}[type(leaf)]
        known = self.workspace.programmes
        self.named("programme", leaf.programme, known, f"{pointer}/{head}")
        programme = known.get(leaf.programme)
        if not isinstance(leaf, ast.Tier) or programme is None:
            return
        names = [level.name for level in programme.tiers.levels] if programme.tiers is not None else []
        for index, name in enumerate(leaf.names):
            if name not in names:
                place = f"{pointer}/{leaf.operator}" + (f"/{index}" if leaf.operator == "in" else "")
                message = f"the programme {shown(leaf.programme)} has no tier {shown(name)}"
                hint = self.guess(name, names) or f"its tiers are {', '.join(names) or 'none'}"
                self.error("unknown_reference", message, place, hint)


def _names(written: Mapping[str, Any], key: str, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield the names below a key, which takes one or a list of them, each with its place."""
    value = written.get(key, [])
    if isinstance(value, list):
        yield from ((f"{pointer}/{key}/{index}", name) for index, name in enumerate(value))
    else:
        yield f"{pointer}/{key}", value


def _leaves(data: Any, node: ast.Node, pointer: str) -> Iterator[tuple[str, Any, ast.Node]]:
    """Yield each leaf of a tree with its place and how it is written: a tree does not know places."""
    match node:
        case ast.All() | ast.Any():
            head = "all" if isinstance(node, ast.All) else "any"
            for index, part in enumerate(node.parts):
                yield from _leaves(data[head][index], part, f"{pointer}/{head}/{index}")
        case ast.Not() if "not" in data:
            yield from _leaves(data["not"], node.part, f"{pointer}/not")
        case ast.Not():
            yield pointer, data, node.part  # `did_not`
        case _:
            yield pointer, data, node
