"""What is wrong with a workspace as a whole: names that name nothing, graphs that lead nowhere or never end.

Each definition has been checked for itself before (`validate`); here they are looked at together, and everything is
reported at once. Errors keep a workspace from being published, warnings do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from parcours.conditions import ast
from parcours.conditions.durations import UNITS, parse_duration
from parcours.conditions.names import match_name
from parcours.conditions.needs import walk
from parcours.conditions.operators import is_date
from parcours.conditions.parse import escape, looks_only_at_trigger, parse_condition, shown
from parcours.definitions import settings as words
from parcours.definitions.common import milliseconds_of
from parcours.definitions.entries import (
    ApiEntry,
    ContactEntry,
    DateEntry,
    Entry,
    InteractionEntry,
    JourneyEntry,
    SegmentEntry,
)
from parcours.definitions.goals import Exit, Goal
from parcours.definitions.graph import as_path, cycles, flaws_of_graph, peel
from parcours.definitions.interaction import AttributeDefinition, InteractionDefinition
from parcours.definitions.journey import JourneyDefinition, JourneyTest
from parcours.definitions.loyalty import Formula, ProgrammeDefinition, RewardDefinition, RuleDefinition
from parcours.definitions.loyalty_checks import programme_mistakes, reward_mistakes, rule_mistakes
from parcours.definitions.message import ADDRESSES, CHANNELS, MessageDefinition
from parcours.definitions.policy import policy_problems
from parcours.definitions.segment import SegmentDefinition, base_of
from parcours.definitions.steps import (
    Award,
    Enlist,
    Enrol,
    Experiment,
    Give,
    InteractionBranch,
    ReactionBranch,
    Record,
    Send,
    Split,
    Start,
    Step,
    Update,
    Wait,
    WaitFor,
    Webhook,
)
from parcours.definitions.validate import conditions_in
from parcours.definitions.values import Computed, Value, copies
from parcours.definitions.waits import Until, problems_of_until
from parcours.definitions.workspace import AnyDefinition, Key, Workspace, in_use, is_archived, key_name, key_of
from parcours.definitions.zones import zone_hint, zone_of
from parcours.errors import Problem, did_you_mean

LONGEST_CALL = 60_000
"""Milliseconds that one try to call a webhook may take."""

RESERVED_RUN_DATA = ("key", "started_at", "id")
"""What a run has, beside what its steps save."""

LARGEST_SEGMENT = 10_000
"""How many conditions a segment may come to when the segments it names are put in their place."""

DEEPEST_SEGMENT = 128
"""How deep it may be nested then: enough for a chain of segments, too little to exhaust a stack."""

MOST_DAYS = 366
"""How many days before or after a date a journey may be entered."""

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


def check(workspace: Workspace, unread: Collection[Key] = ()) -> list[Finding]:
    """Return everything that is wrong with a workspace as a whole.

    Args:
        workspace: Definitions that are valid each for itself.
        unread: Definitions that are meant to be there, but could not be read. Nobody is told that these are missing,
            since they were told what is wrong with them.
    """
    checker = _Checker(workspace, unread)
    for definition in workspace.all():
        checker.look_at(definition)
    checker.segments()
    checker.rules()
    return checker.findings


def uses(workspace: Workspace) -> list[Use]:
    """Return who refers to whom in a workspace, also to what is not defined."""
    checker = _Checker(workspace, ())
    for definition in workspace.all():
        checker.look_at(definition)
    return checker.uses


class Declares(Protocol):
    """What declares attributes: a kind of interaction, the settings for contacts."""

    @property
    def attributes(self) -> Mapping[str, AttributeDefinition]:
        """The declared attributes, by name."""
        ...


class _Checker:
    def __init__(self, workspace: Workspace, unread: Collection[Key]) -> None:
        self.workspace = workspace
        self.unread = frozenset(unread)
        self.findings: list[Finding] = []
        self.uses: list[Use] = []
        self.key: Key = ("", "")
        self.active = self.archived = False
        self.guesses = _MOST_GUESSES

    # --- reporting ----------------------------------------------------------------------------------------------------

    def error(self, code: str, message: str, pointer: str, hint: str = "") -> None:
        problem = Problem(code=code, message=message, pointer=pointer, hint=hint)
        self.findings.append(Finding(key=self.key, problem=problem))

    def warn(self, code: str, message: str, pointer: str, hint: str = "") -> None:
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
        self.use("interaction", name, pointer)
        known = self.workspace.interactions
        folded = match_name(name)
        if folded not in known and ("interaction", folded) not in self.unread:
            self.warn(
                "unknown_interaction",
                f"the interaction {shown(name)} is not defined; it will be learned when it first arrives",
                pointer,
                self.guess(folded, known),
            )

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

    # --- one definition -----------------------------------------------------------------------------------------------

    def look_at(self, definition: AnyDefinition) -> None:
        self.key = key_of(definition)
        self.active, self.archived = in_use(definition), is_archived(definition)
        match definition:
            case words.WorkspaceDefinition():
                self.settings(definition)
            case InteractionDefinition() if not self.archived:
                settings = self.workspace.settings
                self.word("channel", definition.channel, words.channels_of(settings), "/channel")
                self.word("source type", definition.source_type, words.source_types_of(settings), "/source_type")
            case MessageDefinition():
                self.message(definition)
            case JourneyDefinition():
                self.journey(definition)
            case ProgrammeDefinition():
                self.programme(definition)
            case RuleDefinition():
                self.rule(definition)
            case RewardDefinition():
                self.reward(definition)
            case SegmentDefinition():
                for field in ("include", "exclude"):
                    for index, name in enumerate(getattr(definition, field)):
                        self.named("list", name, self.workspace.lists, f"/{field}/{index}")
                control = definition.control
                if control is not None and control.start + control.percent > 100:  # noqa: PLR2004 (of a hundred)
                    message = "'from' and 'percent' come to more than 100"
                    self.error("invalid_value", message, "/control/percent", f"{100 - control.start:g} are left")
            case _:
                pass
        for place in conditions_in(definition):
            trigger = _sees_an_interaction(definition, place.owner, place.pointer)
            at_hand = _interactions_at_hand(definition, place.owner) if trigger else ()
            self.condition(
                place.condition, place.pointer, at_hand, trigger=trigger, run=_sees_a_run(definition, place.owner)
            )
            if isinstance(definition, InteractionDefinition):
                self.counts_when(place.condition, place.pointer)

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
        for head in ("did", "did_not"):
            for place, name in _names(written, head, pointer):
                self.interaction(name, place)

    def counts_when(self, data: object, pointer: str) -> None:
        node, _ = parse_condition(data, pointer)
        if node is not None and not looks_only_at_trigger(node):
            self.error(
                "invalid_condition",
                "'counts_when' may only look at attributes of the interaction",
                pointer,
                "for example {interaction: total, more_than: 0}",
            )

    def settings(self, settings: words.WorkspaceDefinition) -> None:
        self.zone(settings.zone, "/zone")
        for field, own, usual in (
            ("channel", settings.channels, words.CHANNELS),
            ("source_type", settings.source_types, words.SOURCE_TYPES),
        ):
            for name in own:
                if name in usual:
                    message = f"{shown(name)} is one of the usual {field.replace('_', ' ')}s"
                    self.error("already_there", message, f"/{field}s/{escape(name)}", "leave it out")
        policy = settings.policy
        for problem in policy_problems(policy):
            self.error(problem.code, problem.message, f"/policy{problem.pointer}", problem.hint)
        for index, cap in enumerate(policy.caps):
            if cap.channel:
                self.channel(cap.channel, f"/policy/caps/{index}/channel")
        quiet = policy.quiet_hours
        for index, channel in enumerate(quiet.channels if quiet is not None else ()):
            self.channel(channel, f"/policy/quiet_hours/channels/{index}")

    def channel(self, name: str, pointer: str) -> None:
        """Require that messages can be written for a channel."""
        if name not in CHANNELS:
            hint = self.guess(name, CHANNELS) or f"channels are {', '.join(CHANNELS)}"
            self.error("unknown_channel", f"there is no channel {shown(name)}", pointer, hint)

    def message(self, message: MessageDefinition) -> None:
        self.channel(message.channel, "/channel")
        fields = CHANNELS.get(message.channel)
        if fields is None:
            return
        filled = {field for field, text in message.content.items() if text.strip()}
        for field in fields.required:
            if field not in filled:
                self.error("missing_content", f"{fields.title} needs {field!r}", "/content")
        if fields.one_of and not filled.intersection(fields.one_of):
            self.error("missing_content", f"{fields.title} needs {' or '.join(map(repr, fields.one_of))}", "/content")
        known = (*fields.required, *fields.one_of, *fields.optional)
        for field in message.content:
            if field not in known:
                hint = did_you_mean(field, known) or f"fields are {', '.join(known)}"
                self.error(
                    "unknown_content", f"{fields.title} has no {shown(field)}", f"/content/{escape(field)}", hint
                )

    # --- loyalty ------------------------------------------------------------------------------------------------------

    def programme(self, programme: ProgrammeDefinition) -> None:
        for index, enrol in enumerate(programme.enrol):
            self.interaction(enrol.interaction, f"/enrol/{index}/interaction")
        for index, refund in enumerate(programme.refunds):
            self.interaction(refund.interaction, f"/refunds/{index}/interaction")
        for mistake in programme_mistakes(programme):
            self.error(mistake.code, mistake.message, mistake.pointer, mistake.hint)

    def rule(self, rule: RuleDefinition) -> None:
        self.named("programme", rule.programme, self.workspace.programmes, "/programme")
        if rule.reward is not None:
            self.named("reward", rule.reward, self.workspace.rewards, "/reward")
            reward = self.workspace.rewards.get(rule.reward)
            if reward is not None and reward.programme not in {None, rule.programme}:
                message = f"the reward {shown(rule.reward)} is for members of {shown(str(reward.programme))}"
                self.error("invalid_value", message, "/reward", f"name one of {shown(rule.programme)}, or of none")
        for index, name in enumerate(rule.on):
            self.interaction(name, f"/on/{index}")
        for mistake in rule_mistakes(rule, self.workspace.programmes.get(rule.programme)):
            self.error(mistake.code, mistake.message, mistake.pointer, mistake.hint)
        if isinstance(rule.points, Formula) and rule.points.where is not None:
            node, _ = parse_condition(rule.points.where)
            if node is not None and not looks_only_at_trigger(node):
                hint = "for example {interaction: category, is: shoes}"
                message = "a condition of lines may only look at their attributes"
                self.error("invalid_condition", message, "/points/where", hint)

    def reward(self, reward: RewardDefinition) -> None:
        if reward.programme is not None:
            self.named("programme", reward.programme, self.workspace.programmes, "/programme")
        for mistake in reward_mistakes(reward):
            self.error(mistake.code, mistake.message, mistake.pointer, mistake.hint)

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

    def rules(self) -> None:
        """Refuse rules that set each other off in a circle by what they record."""
        of: dict[str, list[str]] = {}
        for name, rule in self.workspace.rules.items():
            for on in rule.on:
                of.setdefault(match_name(on), []).append(name)
        leads = {
            name: of.get(match_name(rule.record.interaction), []) if rule.record is not None else []
            for name, rule in self.workspace.rules.items()
        }
        for cycle in cycles(leads):
            self.key = ("rule", cycle[0])
            self.error(
                "endless_cycle",
                f"these rules set each other off for ever: {as_path(cycle)}",
                "/record/interaction",
                "record an interaction that none of them looks at",
            )

    # --- a journey ----------------------------------------------------------------------------------------------------

    def journey(self, journey: JourneyDefinition) -> None:
        if journey.archived and journey.state in {"live", "test", "paused"}:
            hint = "close it first: write 'state: closed', or 'stopped' to end its runs"
            self.error("archived_live", f"a {journey.state} journey cannot be archived", "/archived", hint)
        self.life(journey)
        match journey.entry:
            case InteractionEntry():
                self.several(journey.entry.interaction, "/entry/interaction")
                self.counted(journey.entry)
            case DateEntry():
                self.dated(journey.entry, journey)
            case SegmentEntry():
                self.segment(journey.entry.segment, "/entry/segment")
                self.read(journey.entry)
        self.aims(journey)
        sent = {name for step in journey.steps.values() if isinstance(step, Send) for name in step.messages}
        consents = self.consents(journey)
        longest = self.duration(journey.max_duration, "/max_duration")
        self.zone(journey.zone, "/zone")
        for name, step in journey.steps.items():
            pointer = f"/steps/{escape(name)}"
            match step:
                case Send():
                    self.send(step, consents, pointer)
                case Wait():
                    self.span(step.duration, step.until, journey, longest, pointer, "for")
                case WaitFor():
                    if step.timeout is not None:
                        timeout = step.timeout
                        self.span(timeout.after, timeout.until, journey, longest, f"{pointer}/timeout", "after")
                    for index, branch in enumerate(step.events):
                        self.branch(branch, journey, sent, f"{pointer}/events/{index}")
                    if step.accept_prior and not any(isinstance(branch, InteractionBranch) for branch in step.events):
                        message = "only interactions can have come before, and none is waited for"
                        self.error("invalid_value", message, f"{pointer}/accept_prior", "leave it out")
                case _:
                    self.step(step, journey, pointer)
        for flaw in flaws_of_graph(journey):
            self.findings.append(Finding(key=self.key, problem=flaw.problem, warning=flaw.warning))

    def step(self, step: Step, journey: JourneyDefinition, pointer: str) -> None:
        match step:
            case Split() | Experiment():
                self.branches(step, pointer)
            case Webhook():
                self.webhook(step, pointer)
            case Update():
                self.update(step, journey, pointer)
            case Enlist():
                self.enlist(step, pointer)
            case Record():
                self.interaction(step.interaction, f"{pointer}/interaction")
                self.values(step.attributes, journey, f"{pointer}/attributes")
            case Award() | Enrol():
                self.named("programme", step.programme, self.workspace.programmes, f"{pointer}/programme")
            case Give():
                self.named("reward", step.reward, self.workspace.rewards, f"{pointer}/reward")
            case Start():
                self.start(step, pointer)
                self.values(step.attributes, journey, f"{pointer}/attributes")
            case _:
                pass

    def several(self, names: str | list[str], pointer: str) -> None:
        """Look at one kind of interaction, or at each of several."""
        for place, name in [(pointer, names)] if isinstance(names, str) else enumerate(names):
            self.interaction(name, place if isinstance(place, str) else f"{pointer}/{place}")

    def counted(self, entry: InteractionEntry) -> None:
        """Look at an entry that asks for an interaction several times."""
        if entry.within is not None:
            self.duration(entry.within, "/entry/within")
        if entry.times == 1 and (entry.within is not None or entry.with_history):
            field = "within" if entry.within is not None else "with_history"
            self.error("invalid_value", f"'{field}' says nothing without 'times'", f"/entry/{field}", "add 'times: 3'")
        if entry.with_history and entry.where is not None:
            node, _ = parse_condition(entry.where)
            if node is not None and not looks_only_at_trigger(node):
                message = "with 'with_history', 'where' may only look at attributes of the interaction"
                hint = "what the contact was like then is not known; ask for it in a decision at the start"
                self.error("invalid_condition", message, "/entry/where", hint)

    def read(self, entry: SegmentEntry) -> None:
        """Look at when a segment is read."""
        schedule = entry.schedule
        asked = [field for field, value in (("at", entry.at), ("schedule", schedule)) if value is not None]
        for field in asked:
            if entry.on != "read":
                self.error("invalid_value", f"'{field}' says nothing with 'on: {entry.on}'", f"/entry/{field}")
        if len(asked) > 1:
            self.error("invalid_value", "it is read 'at' an instant or on a 'schedule', one of them", "/entry/at")
        if entry.at is not None and (is_date(entry.at) or milliseconds_of(entry.at) is None):
            hint = "write it with its offset, such as 2026-12-01T09:00:00+01:00"
            self.error("invalid_value", f"{shown(entry.at)} is no date and time with an offset", "/entry/at", hint)
        if entry.members == "new" and schedule is None:
            self.error("invalid_value", "'members' says nothing without 'schedule'", "/entry/members")
        if schedule is not None:
            if (schedule.cron is None) == (schedule.rrule is None):
                self.error("invalid_value", "it is a 'cron' expression or an 'rrule', one of them", "/entry/schedule")
            if schedule.start is not None and schedule.rrule is None:
                self.error("invalid_value", "'start' says nothing without 'rrule'", "/entry/schedule/start")
            self.zone(schedule.zone, "/entry/schedule/zone")

    def dated(self, entry: DateEntry, journey: JourneyDefinition) -> None:
        """Look at an entry by a date."""
        if entry.before is not None and entry.after is not None:
            self.error("invalid_value", "it is 'before' or 'after', one of them", "/entry/after")
        for field, written in (("before", entry.before), ("after", entry.after)):
            length = self.duration(written, f"/entry/{field}") if written is not None else None
            if length is not None and length % UNITS["d"]:
                hint = "write for example 3d; the time of day is 'at'"
                self.error("invalid_value", f"{written} is not a number of whole days", f"/entry/{field}", hint)
            elif length is not None and length > MOST_DAYS * UNITS["d"]:
                self.error("invalid_value", f"{written} is more than {MOST_DAYS} days", f"/entry/{field}")
        if entry.yearly and journey.re_entry == "never":
            hint = "write 're_entry: after_end'"
            self.warn("enters_once", "it is yearly, and a contact enters once and never again", "/re_entry", hint)

    def aims(self, journey: JourneyDefinition) -> None:
        """Look at exits and goals."""
        placed: list[tuple[str, Exit | Goal]] = [(f"/exit/{index}", aim) for index, aim in enumerate(journey.exits)]
        placed += [(f"/goals/{index}", aim) for index, aim in enumerate(journey.goals)]
        names: set[str] = set()
        for pointer, aim in placed:
            if (aim.interaction is None) == (aim.condition is None):
                self.error("invalid_value", "it asks for an 'interaction' or for an 'if', one of them", pointer)
            if aim.interaction is not None:
                self.several(aim.interaction, f"{pointer}/interaction")
            else:
                for field, written in (("where", aim.where), ("key", aim.key)):
                    if written:
                        self.error(
                            "invalid_value", f"'{field}' says nothing without 'interaction'", f"{pointer}/{field}"
                        )
            self.key_of_runs(aim.key, journey, f"{pointer}/key")
            if isinstance(aim, Goal):
                if aim.name in names:
                    self.error("name_twice", f"there are two goals {shown(aim.name)}", f"{pointer}/name", "rename one")
                names.add(aim.name)
                if aim.within is not None:
                    self.duration(aim.within, f"{pointer}/within")

    def key_of_runs(self, key: str, journey: JourneyDefinition, pointer: str) -> None:
        """Require that runs have a key, if something is to be compared with it."""
        if key and not getattr(journey.entry, "key", ""):
            hint = "give the entry a 'key', or leave this one out"
            self.error("no_key", "runs of this journey have no key to compare with", pointer, hint)

    def life(self, journey: JourneyDefinition) -> None:
        """Look at when a journey is live, and how it is tested."""
        times: dict[str, int] = {}
        for name in ("starts", "ends"):
            if (text := getattr(journey, name)) is not None and (at := milliseconds_of(text)) is not None:
                times[name] = at
            elif text is not None:
                self.error("invalid_value", f"there is no such time as {shown(text)}", f"/{name}")
        if len(times) == 2 and times["ends"] <= times["starts"]:  # noqa: PLR2004 (both)
            self.error("invalid_value", "'ends' is not after 'starts'", "/ends", "a journey ends after it started")
        test = journey.test or JourneyTest()
        if journey.state == "test" and not test.contacts:
            self.error(
                "no_testers", "nobody is named to test it", "/test", "write 'test: {contacts: [{user_id: ann}]}'"
            )
        for index, identity in enumerate(test.contacts):
            if len(identity) != 1:
                hint = "write for example 'user_id: ann'"
                self.error("invalid_value", "a contact is named by one identity", f"/test/contacts/{index}", hint)
        for channel in test.recipients:
            if channel not in CHANNELS:
                hint = did_you_mean(channel, CHANNELS) or f"channels are {', '.join(CHANNELS)}"
                place = f"/test/recipients/{escape(channel)}"
                self.error("unknown_channel", f"there is no channel {shown(channel)}", place, hint)

    def send(self, step: Send, asked: Collection[str], pointer: str) -> None:
        """Look at what a step sends. `asked` are the channels of which the journey asks for consent."""
        for index, name in enumerate(step.messages):
            place = f"{pointer}/messages/{index}"
            self.named("message", name, self.workspace.messages, place)
            if name in step.messages[:index]:
                self.error("sent_twice", f"the message {shown(name)} is listed twice", place)
        known = [self.workspace.messages[name] for name in step.messages if name in self.workspace.messages]
        unasked = [one for one in known if one.purpose == "marketing" and one.channel not in asked]
        if step.next is not None and step.suppressed is None and unasked and len(unasked) == len(step.messages):
            self.warn(
                "no_consent_check",
                "this is marketing: who has not consented gets nothing, and goes on as if they had got it",
                f"{pointer}/messages",
                "draw 'suppressed' (it may lead where 'next' does), or ask for consent before",
            )

    def branch(
        self,
        branch: InteractionBranch | ReactionBranch,
        journey: JourneyDefinition,
        sent: Collection[str],
        pointer: str,
    ) -> None:
        match branch:
            case InteractionBranch():
                self.several(branch.interaction, f"{pointer}/interaction")
                self.key_of_runs(branch.key, journey, f"{pointer}/key")
            case ReactionBranch():
                if branch.message is not None and branch.message not in sent:
                    message = f"the journey never sends {shown(branch.message)}"
                    hint = did_you_mean(branch.message, sent)
                    self.error("never_sent", message, f"{pointer}/message", hint)
                elif not sent:
                    self.warn("never_sent", "the journey sends no message to react to", f"{pointer}/reaction")

    def duration(self, text: str, pointer: str) -> int | None:
        try:
            return parse_duration(text)
        except ValueError as error:
            self.error("invalid_value", str(error), pointer)
            return None

    def webhook(self, step: Webhook, pointer: str) -> None:
        length = self.duration(step.timeout, f"{pointer}/timeout")
        if length is not None and length > LONGEST_CALL:
            self.error("invalid_value", f"{step.timeout} is too long", f"{pointer}/timeout", "at most 1m")
        if step.save in RESERVED_RUN_DATA:
            message = f"a run has a {step.save!r} of its own"
            self.error("name_taken", message, f"{pointer}/save", "call it something else")
        if step.method == "GET" and step.body is not None:
            self.error("invalid_value", "a GET has no body", f"{pointer}/body", "leave it out, or POST it")
        for name in step.headers:
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                self.error("invalid_key", f"{shown(name)} is no name of a header", f"{pointer}/headers/{escape(name)}")

    def update(self, step: Update, journey: JourneyDefinition, pointer: str) -> None:
        place = f"{pointer}/set"
        declared = self.workspace.settings.contacts
        for name, value in step.set.items():
            of_value = f"{place}/{escape(name)}"
            removed = isinstance(value, Computed) and value.remove
            if name in ADDRESSES and not removed:
                hint = "send it over the API, where it is checked; a step may only remove it"
                self.error("address", f"{name!r} is where messages are sent to", of_value, hint)
            if declared.strict and name not in declared.attributes:
                hint = self.guess(name, declared.attributes) or "declare it in the workspace"
                self.error("undeclared_attribute", f"the workspace does not declare {shown(name)}", of_value, hint)
        self.values(step.set, journey, place)

    def enlist(self, step: Enlist, pointer: str) -> None:
        if not step.add and not step.remove:
            self.error("missing_key", "names no list", pointer, "write 'add: [NAME]' or 'remove: [NAME]'")
        for field in ("add", "remove"):
            for index, name in enumerate(getattr(step, field)):
                place = f"{pointer}/{field}/{index}"
                self.named("list", name, self.workspace.lists, place)
                if field == "remove" and name in step.add:
                    self.error("invalid_value", f"{shown(name)} is in 'add', too", place, "leave one of them out")

    def start(self, step: Start, pointer: str) -> None:
        place = f"{pointer}/journey"
        self.named("journey", step.journey, self.workspace.journeys, place)
        known = self.workspace.journeys.get(step.journey)
        if known is None:
            return
        if not isinstance(known.entry, JourneyEntry):
            hint = "write 'entry: {type: journey}' there"
            self.error("not_started_so", f"the journey {shown(step.journey)} has another entry", place, hint)
        elif known.state != "live" and self.active:
            self.warn("not_live", f"the journey {shown(step.journey)} is not live, so nobody enters it", place)

    def values(self, values: Mapping[str, Value], journey: JourneyDefinition, pointer: str) -> None:
        """Look at what is copied by the values of a step."""
        for name, value in values.items():
            if isinstance(value, Computed) and value.source is not None and not value.attribute:
                self.error("missing_key", "missing key 'attribute'", f"{pointer}/{escape(name)}", "what is copied")
        for place, copied in copies(values):
            if copied.source == "run":
                self.of_run(copied.attribute, pointer + place, run=True)
            if copied.source == "interaction" and isinstance(journey.entry, SegmentEntry):
                hint = "copy from the contact, or from the run"
                self.error("no_interaction", "no interaction starts this journey", pointer + place, hint)

    def zone(self, name: str, pointer: str) -> None:
        if name and zone_of(name) is None:
            self.error("unknown_zone", f"there is no time zone {shown(name)}", pointer, zone_hint(name))

    def span(
        self,
        length: str | None,
        until: Until | None,
        journey: JourneyDefinition,
        longest: int | None,
        pointer: str,
        field: str,
    ) -> None:
        """Require that a length of time, or a moment, fits."""
        if length is not None:
            self.within(length, longest, f"{pointer}/{field}")
        if until is None:
            return
        place = f"{pointer}/until"
        self.zone(until.zone, f"{place}/zone")
        for problem in problems_of_until(until, place):
            self.error(problem.code, problem.message, problem.pointer, problem.hint)
        if until.interaction is not None and isinstance(journey.entry, SegmentEntry):
            hint = "use an attribute of the contact"
            self.error("no_interaction", "no interaction starts this journey", f"{place}/interaction", hint)

    def branches(self, step: Split | Experiment, pointer: str) -> None:
        reserved = "else" if isinstance(step, Split) else "holdout"
        seen = {reserved}
        for index, name in enumerate([branch.name for branch in step.branches]):
            if name in seen:
                message = f"there is another way out called {shown(name)}"
                self.error("name_taken", message, f"{pointer}/branches/{index}/name", "call it something else")
            seen.add(name)
        if isinstance(step, Split):
            return
        weights = [(branch.weight, f"/branches/{index}/weight") for index, branch in enumerate(step.branches)]
        if step.holdout is not None:
            weights.append((step.holdout.weight, "/holdout/weight"))
        if not any(weight for weight, _ in weights):
            self.error("no_weight", "all weights are 0, so there is no way to go", pointer, "give one of them a weight")
            return
        for weight, place in weights:
            if not weight:
                self.warn("no_weight", "with a weight of 0 nobody goes this way", pointer + place)

    def within(self, text: str, longest: int | None, pointer: str) -> None:
        length = self.duration(text, pointer)
        if length is not None and longest is not None and length > longest:
            self.error(
                "longer_than_run",
                f"{text} is longer than a run of this journey may last",
                pointer,
                "shorten it, or raise the journey's 'max_duration'",
            )

    def consents(self, journey: JourneyDefinition) -> set[str]:
        """Return the channels of which a journey asks for consent, itself or by the segments it names."""
        written: list[object] = [place.condition for place in conditions_in(journey)]
        if isinstance(journey.entry, SegmentEntry):
            written.append({"segment": journey.entry.segment})
        found: set[str] = set()
        seen: set[str] = set()
        while written:
            node, _ = parse_condition(written.pop())
            for leaf in walk(node) if node is not None else ():
                if isinstance(leaf, ast.Consent):
                    found.add(leaf.channel)
                elif isinstance(leaf, ast.InSegment) and base_of(leaf.name) not in seen:
                    seen.add(base_of(leaf.name))
                    segment = self.workspace.segments.get(base_of(leaf.name))
                    if segment is not None:
                        written.append(segment.condition)
        return found

    # --- segments among themselves ------------------------------------------------------------------------------------

    def segments(self) -> None:
        """Refuse segments that refer to each other in a circle, or that come to too much when put together."""
        names: dict[str, list[str]] = {}
        own: dict[str, tuple[int, int]] = {}
        for name, segment in self.workspace.segments.items():
            node, _ = parse_condition(segment.condition)
            nodes = list(_with_depth(node)) if node is not None else []
            names[name] = [base_of(part.name) for part, _ in nodes if isinstance(part, ast.InSegment)]
            own[name] = len(nodes), max((depth for _, depth in nodes), default=0)
        order, _ = peel(names)
        for cycle in cycles(names):
            self.key = ("segment", cycle[0])
            self.error(
                "segment_cycle",
                f"these segments refer to each other in a circle: {as_path(cycle)}",
                "/condition",
                "let one of them ask for what it means itself",
            )
        total: dict[str, tuple[int, int]] = {}
        for name in order:
            inner = [total[other] for other in names[name] if other in total]
            size = own[name][0] + sum(size for size, _ in inner)
            depth = own[name][1] + max((depth for _, depth in inner), default=0)
            total[name] = size, depth
            if size > LARGEST_SEGMENT or depth > DEEPEST_SEGMENT:
                self.key = ("segment", name)
                self.error(
                    "too_large",
                    f"with the segments it names, this comes to {size:,} conditions, nested {depth} deep; "
                    f"{LARGEST_SEGMENT:,} and {DEEPEST_SEGMENT} are the most",
                    "/condition",
                )


def _sees_an_interaction(definition: AnyDefinition, owner: msgspec.Struct, pointer: str) -> bool:
    match definition:
        case InteractionDefinition() | ProgrammeDefinition() | RuleDefinition():
            return True
        case JourneyDefinition():
            # A filter looks at the interaction it filters; any other condition at the one that started the run.
            if isinstance(owner, ContactEntry | DateEntry):
                return False
            filters = isinstance(owner, InteractionEntry | InteractionBranch) or pointer.endswith("/where")
            return filters or isinstance(definition.entry, InteractionEntry | ApiEntry | JourneyEntry)
        case _:
            return False


def _interactions_at_hand(definition: AnyDefinition, owner: msgspec.Struct) -> tuple[str, ...]:
    """Return the names of interactions whose attributes a condition may look at, as far as it is known."""
    if isinstance(definition, InteractionDefinition):
        return (definition.name,)
    if isinstance(owner, InteractionEntry | InteractionBranch):
        return _several(owner.interaction)
    if isinstance(owner, Exit | Goal) and owner.interaction is not None:
        return _several(owner.interaction)
    entry = getattr(definition, "entry", None)
    return _several(entry.interaction) if isinstance(entry, InteractionEntry) else ()


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _sees_a_run(definition: AnyDefinition, owner: msgspec.Struct) -> bool:
    return isinstance(definition, JourneyDefinition) and not isinstance(owner, Entry)


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


def _with_depth(node: ast.Node) -> Iterator[tuple[ast.Node, int]]:
    todo = [(node, 1)]
    while todo:
        item, depth = todo.pop()
        yield item, depth
        match item:
            case ast.All() | ast.Any():
                todo.extend((part, depth + 1) for part in item.parts)
            case ast.Not():
                todo.append((item.part, depth + 1))
            case _:
                pass
