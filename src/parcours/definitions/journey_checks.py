"""What is wrong with a journey: its life, its entry, its aims, what it sends and what it waits for."""

from __future__ import annotations

import re
from collections.abc import Collection

from parcours.conditions import ast
from parcours.conditions.durations import UNITS
from parcours.conditions.needs import walk
from parcours.conditions.operators import is_date
from parcours.conditions.parse import escape, looks_only_at_trigger, parse_condition, shown
from parcours.definitions.common import milliseconds_of
from parcours.definitions.doubts import never_true
from parcours.definitions.entries import ContactEntry, DateEntry, InteractionEntry, SegmentEntry
from parcours.definitions.findings import Finding
from parcours.definitions.goals import Exit, Goal
from parcours.definitions.graph import flaws_of_graph
from parcours.definitions.journey import JourneyDefinition, JourneyTest
from parcours.definitions.message import CHANNELS
from parcours.definitions.segment import base_of
from parcours.definitions.step_checks import StepChecks
from parcours.definitions.steps import Experiment, InteractionBranch, ReactionBranch, Send, Wait, WaitFor
from parcours.definitions.validate import conditions_in
from parcours.definitions.waits import Until, problems_of_until
from parcours.errors import did_you_mean

_RECIPIENTS = {
    "email": (r"[^@\s]+@[^@\s]+", "qa@example.com"),
    "sms": (r"\+[1-9][0-9]{7,14}", "+31612345678"),
}
"""How addresses of test recipients are written, where that can be told, with an example."""

MOST_DAYS = 366
"""How many days before or after a date a journey may be entered."""


class JourneyChecks(StepChecks):
    """Looks at one journey."""

    def journey(self, journey: JourneyDefinition) -> None:
        """Look at a journey as a whole."""
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
                self.read(journey.entry, journey)
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
        for problem in never_true(journey):
            self.findings.append(Finding(key=self.key, problem=problem, warning=True))

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

    def read(self, entry: SegmentEntry, journey: JourneyDefinition) -> None:
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
        if entry.existing and entry.on != "entered":
            self.error("invalid_value", f"'existing' says nothing with 'on: {entry.on}'", "/entry/existing")
        if schedule is not None and entry.members == "all" and journey.re_entry == "never":
            hint = "write 're_entry: after_end', or 'members: new' if that is meant"
            said = "it is read again and again, and a contact enters once and never again"
            self.warn("enters_once", said, "/re_entry", hint)
        if schedule is not None:
            if (schedule.cron is None) == (schedule.rrule is None):
                self.error("invalid_value", "it is a 'cron' expression or an 'rrule', one of them", "/entry/schedule")
            if schedule.start is not None and schedule.rrule is None:
                self.error("invalid_value", "'start' says nothing without 'rrule'", "/entry/schedule/start")
            self.zone(schedule.zone, "/entry/schedule/zone")

    def dated(self, entry: DateEntry, journey: JourneyDefinition) -> None:
        """Look at an entry by a date."""
        self.filled(entry.attribute, "/entry/attribute", "attribute")
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
        drawing = [name for name, step in journey.steps.items() if isinstance(step, Experiment)]
        if drawing and not journey.goals:
            said = "the journey has no goal, so its variants cannot be compared"
            hint = "write for example 'goals: [{name: bought, interaction: Order Completed, within: 14d}]'"
            self.warn("no_goal", said, f"/steps/{escape(drawing[0])}", hint)
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
            for namespace, value in identity.items():
                self.filled(value, f"/test/contacts/{index}/{escape(namespace)}", "contact")
            if len(identity) != 1:
                hint = "write for example 'user_id: ann'"
                self.error("invalid_value", "a contact is named by one identity", f"/test/contacts/{index}", hint)
        for channel, address in test.recipients.items():
            pattern, example = _RECIPIENTS.get(channel, (r".*\S.*", "what the channel calls an address"))
            if channel in CHANNELS and not re.fullmatch(pattern, address):
                said = f"{shown(address)} is no address of this channel"
                self.error("invalid_value", said, f"/test/recipients/{channel}", f"write for example {example}")
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
            known = self.workspace.messages.get(name)
            if known is None or known.purpose != "marketing" or known.channel in asked or step.suppressed is not None:
                continue
            self.warn(
                "no_consent_check",
                f"the marketing message {shown(name)} is not sent to whoever has not opted in, and nothing asks for that",
                place,
                f"ask for {{consent: {known.channel}, is: opted_in}} before, or draw 'suppressed'",
            )

    def branch(
        self,
        branch: InteractionBranch | ReactionBranch,
        journey: JourneyDefinition,
        sent: Collection[str],
        pointer: str,
    ) -> None:
        """Look at what a step waits for."""
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
        for source in ("contact", "interaction"):
            if getattr(until, source) is not None:
                self.filled(getattr(until, source), f"{place}/{source}", "attribute")
        for problem in problems_of_until(until, place):
            self.error(problem.code, problem.message, problem.pointer, problem.hint)
        if until.interaction is not None and isinstance(journey.entry, SegmentEntry | ContactEntry | DateEntry):
            hint = "use an attribute of the contact"
            self.error("no_interaction", "no interaction starts this journey", f"{place}/interaction", hint)

    def within(self, text: str, longest: int | None, pointer: str) -> None:
        """Require that a length of time fits into a run."""
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
