"""What is wrong with a workspace as a whole: names that name nothing, graphs that lead nowhere or never end.

Each definition has been checked for itself before (`validate`); here they are looked at together, and everything is
reported at once. Errors keep a workspace from being published, warnings do not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from parcours.conditions import ast
from parcours.conditions.names import match_name
from parcours.conditions.parse import escape, looks_only_at_trigger, parse_condition, shown
from parcours.definitions import settings as words
from parcours.definitions.chains import endless_chains
from parcours.definitions.entries import ApiEntry, ContactEntry, DateEntry, Entry, InteractionEntry, JourneyEntry
from parcours.definitions.findings import Finding, Use
from parcours.definitions.goals import Exit, Goal
from parcours.definitions.graph import as_path, cycles, peel
from parcours.definitions.interaction import InteractionDefinition
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.journey_checks import JourneyChecks
from parcours.definitions.loyalty import Formula, ProgrammeDefinition, RewardDefinition, RuleDefinition
from parcours.definitions.loyalty_checks import programme_mistakes, reward_mistakes, rule_mistakes
from parcours.definitions.message import CHANNELS, MessageDefinition
from parcours.definitions.policy import policy_problems
from parcours.definitions.segment import SegmentDefinition, base_of
from parcours.definitions.steps import InteractionBranch
from parcours.definitions.validate import conditions_in
from parcours.definitions.workspace import AnyDefinition, Key, Workspace, in_use, is_archived, key_of
from parcours.errors import did_you_mean

LARGEST_SEGMENT = 10_000
"""How many conditions a segment may come to when the segments it names are put in their place."""

DEEPEST_SEGMENT = 128
"""How deep it may be nested then: enough for a chain of segments, too little to exhaust a stack."""


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
    checker.chains()
    return checker.findings


def check_one(workspace: Workspace, definition: AnyDefinition, unread: Collection[Key] = ()) -> list[Finding]:
    """Return what is wrong with one definition of a workspace, but for circles of several."""
    checker = _Checker(workspace, unread)
    checker.look_at(definition)
    return checker.findings


def uses(workspace: Workspace) -> list[Use]:
    """Return who refers to whom in a workspace, also to what is not defined."""
    checker = _Checker(workspace, ())
    for definition in workspace.all():
        checker.look_at(definition)
    return checker.uses


class _Checker(JourneyChecks):
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

    # --- journeys among themselves ------------------------------------------------------------------------------------

    def chains(self) -> None:
        """Warn of journeys that may set each other off for ever, in each of them."""
        for circle in endless_chains(self.workspace):
            for journey in dict.fromkeys(journey for journey, _ in circle):
                at = next(place for place, act in enumerate(circle) if act[0] == journey)
                path = as_path([f"{name}/{step}" for name, step in (*circle[at:], *circle[:at])])
                self.key = ("journey", journey)
                self.warn(
                    "endless_chain",
                    f"these steps may set each other off for ever, without a wait: {path}",
                    f"/steps/{escape(circle[at][1])}",
                    "put a wait between them, or let nobody enter again: such a run ends after 100 times",
                )

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
