"""What is wrong with steps that act, decide or call: looked at with the workspace around them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from parcours.conditions.parse import escape, shown
from parcours.definitions.condition_checks import ConditionChecks
from parcours.definitions.entries import ContactEntry, DateEntry, JourneyEntry, SegmentEntry
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.message import ADDRESSES
from parcours.definitions.steps import (
    RUN,
    SIGNING_HEADERS,
    Award,
    Enlist,
    Enrol,
    Experiment,
    Give,
    Record,
    Split,
    Start,
    Step,
    Update,
    Webhook,
)
from parcours.definitions.values import Computed, Value, copies

_TELLING = frozenset(
    {"authorization", "proxy-authorization", "cookie", "api-key", "apikey", "x-api-key", "x-auth-token"}
)
"""Headers by which somebody is let in."""

_MADE = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that say how a call is sent; others than the true ones keep it from being understood."""

LONGEST_CALL = 60_000
"""Milliseconds that one try to call a webhook may take."""


class StepChecks(ConditionChecks):
    """Looks at one step."""

    def step(self, step: Step, journey: JourneyDefinition, pointer: str) -> None:
        """Look at a step, whatever it does."""
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

    def webhook(self, step: Webhook, pointer: str) -> None:
        """Look at how another service is called."""
        length = self.duration(step.timeout, f"{pointer}/timeout")
        if length is not None and length > LONGEST_CALL:
            self.error("invalid_value", f"{step.timeout} is too long", f"{pointer}/timeout", "at most 1m")
        if step.save in RUN:
            message = f"a run has a {step.save!r} of its own"
            self.error("name_taken", message, f"{pointer}/save", "call it something else")
        if step.method == "GET" and step.body is not None:
            self.error("invalid_value", "a GET has no body", f"{pointer}/body", "leave it out, or POST it")
        for name, text in step.headers.items():
            if name.lower() in _TELLING and "{" not in text:
                hint = "write {{ secrets.NAME }}, and let the operator set it"
                said = "whoever may read definitions reads this"
                self.warn("secret_in_definition", said, f"{pointer}/headers/{escape(name)}", hint)
            if step.sign and name.lower() in SIGNING_HEADERS:
                hint = "leave it out, or leave 'sign' out"
                self.error("invalid_value", "'sign' makes this header", f"{pointer}/headers/{escape(name)}", hint)
            if name.lower() in _MADE:
                said = "this header is made when the call is"
                self.error("invalid_value", said, f"{pointer}/headers/{escape(name)}", "leave it out")
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                self.error("invalid_key", f"{shown(name)} is no name of a header", f"{pointer}/headers/{escape(name)}")

    def update(self, step: Update, journey: JourneyDefinition, pointer: str) -> None:
        """Look at which attributes of the contact are set."""
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
        """Look at which lists are changed."""
        if not step.add and not step.remove:
            self.error("missing_key", "names no list", pointer, "write 'add: [NAME]' or 'remove: [NAME]'")
        for field in ("add", "remove"):
            for index, name in enumerate(getattr(step, field)):
                place = f"{pointer}/{field}/{index}"
                self.named("list", name, self.workspace.lists, place)
                if field == "remove" and name in step.add:
                    self.error("invalid_value", f"{shown(name)} is in 'add', too", place, "leave one of them out")

    def start(self, step: Start, pointer: str) -> None:
        """Look at which journey is started."""
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
            self.filled(name, f"{pointer}/{escape(name)}", "attribute")
            if isinstance(value, Computed) and value.source is not None and not value.attribute:
                self.error("missing_key", "missing key 'attribute'", f"{pointer}/{escape(name)}", "what is copied")
        for place, copied in copies(values):
            if copied.source == "run":
                self.of_run(copied.attribute, pointer + place, run=True)
            if copied.source == "interaction" and isinstance(journey.entry, SegmentEntry | ContactEntry | DateEntry):
                hint = "copy from the contact, or from the run"
                self.error("no_interaction", "no interaction starts this journey", pointer + place, hint)

    def branches(self, step: Split | Experiment, pointer: str) -> None:
        """Look at the ways out that a step draws for itself."""
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
