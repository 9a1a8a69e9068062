"""What a backtest assumes of what is not recorded: reactions to its messages, answers to its calls, entries over the API.

Each thing is drawn by a share that its own id stands for, so that the same is drawn again in another process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from parcours.conditions.durations import parse_duration
from parcours.conditions.names import match_name
from parcours.core.calls import ANSWERED, FAILED
from parcours.core.compiled import CompiledJourney
from parcours.core.effects import Message
from parcours.core.gate import REACTIONS
from parcours.core.inputs import Enter, Failure, Interaction, Reaction, cause_of
from parcours.core.plan import Plan
from parcours.definitions.entries import ApiEntry
from parcours.definitions.steps import Webhook
from parcours.errors import did_you_mean
from parcours.runtimes.backtest.job import USUAL_ANSWER, USUAL_DELAYS, AssumedAnswer, AssumedEntries, BacktestError, Job

Place = tuple[str, str]
"""A journey, and a step of it."""

_WHOLE = 1.000_001
"""Shares that come to one, but for how numbers are rounded."""


class Assumed:
    """The assumptions of a job, held against the plan in which its drafts are live.

    Raises:
        BacktestError: They name what is not there, or shares come to more than one.
    """

    def __init__(self, job: Job, plan: Plan) -> None:
        self._plan = plan
        stated = job.assume.reactions
        self.rates = {kind: one.share for kind, one in stated.items()} | job.rates
        self.delays = (
            USUAL_DELAYS
            | {kind: _length(one.after, f"reactions/{kind}/after") for kind, one in stated.items() if one.after}
            | job.delays
        )
        """Milliseconds between a message and a reaction to it."""
        for kind in [*self.rates, *job.delays]:
            if kind not in REACTIONS:
                raise _unknown(f"there is no reaction {kind!r}", kind, REACTIONS)
        self.answers = self._answers(job)
        self.entries: dict[str, list[tuple[str, AssumedEntries, int]]] = {}
        """Folded name of an interaction to the journeys that somebody would ask for after it."""
        self.asked_for = self._entries(job)
        """Journeys of which entries over the API are assumed."""
        for reward in job.assume.stock:
            if reward not in plan.loyalty.rewards and not job.baseline:
                raise _unknown(f"assume/stock: there is no reward {reward!r}", reward, plan.loyalty.rewards)

    def _answers(self, job: Job) -> dict[Place, tuple[tuple[AssumedAnswer, int], ...]]:
        calls = [
            (journey.name, name)
            for journey in self._plan.newest.values()
            for name, step in journey.steps.items()
            if isinstance(step.definition, Webhook)
        ]
        found: dict[Place, tuple[tuple[AssumedAnswer, int], ...]] = {}
        # What is stated of a step of one journey goes before what is stated of steps of its name, in any order.
        for key, stated in sorted(job.assume.webhooks.items(), key=lambda one: "/" in one[0]):
            meant = [place for place in calls if key in {place[1], "/".join(place)}]
            if not meant and not job.baseline:
                known = [name for _, name in calls]
                raise _unknown(f"assume/webhooks: no draft has a step {key!r} that calls a webhook", key, known)
            answers = stated if isinstance(stated, list) else [stated]
            if (whole := sum(answer.share for answer in answers)) > _WHOLE:
                message = f"assume/webhooks/{key}: the shares come to {whole:g}, which is more than 1"
                raise BacktestError(message, hint="say how many of the calls are answered so: share: 0.5")
            ready = tuple((answer, _length(answer.after, f"webhooks/{key}/after")) for answer in answers)
            found.update(dict.fromkeys(meant, ready))
        return found

    def _entries(self, job: Job) -> frozenset[str]:
        of_api = [name for name, journey in self._plan.newest.items() if is_api(journey)]
        for name, stated in job.assume.entries.items():
            if name not in of_api:
                if job.baseline:
                    continue
                raise _unknown(f"assume/entries: no draft {name!r} is entered over the API", name, of_api)
            after = _length(stated.after, f"entries/{name}/after") if stated.after else 0
            names = [stated.interaction] if isinstance(stated.interaction, str) else stated.interaction
            for interaction in names:
                self.entries.setdefault(match_name(interaction), []).append((name, stated, after))
        return frozenset(name for name in job.assume.entries if name in of_api)

    def reactions_to(self, message: Message) -> Iterator[tuple[int, Reaction]]:
        """Yield how somebody reacts to a message, each with its instant."""
        for kind, rate in self.rates.items():
            if share_of(message.id) < rate:
                at = message.decided_at + self.delays.get(kind, 0)
                yield at, _reaction(kind, message, at, {})

    def answer_to(self, call: Message) -> tuple[int, Reaction]:
        """Return what becomes of a call, with its instant."""
        stated = self.answers.get((call.journey, call.step), _USUAL)
        drawn, answer, after = share_of(call.id), None, 0
        for answer, after in stated:  # noqa: B007 (the last one says when the rest fails)
            drawn -= answer.share
            if drawn < 0:
                break
        at = call.decided_at + after
        if drawn >= 0 or answer is None:
            return at, _reaction(FAILED, call, at, {"error": "no answer is assumed"})
        said = {"status": answer.status, "body": answer.body}
        if answer.status < 300:  # noqa: PLR2004 (as HTTP has it)
            return at, _reaction(ANSWERED, call, at, said)
        return at, _reaction(FAILED, call, at, {"error": f"the service answered {answer.status}", **said})

    def entries_after(self, item: Interaction) -> Iterator[tuple[int, Enter]]:
        """Yield the entries that somebody would ask for after an interaction, each with its instant."""
        for name, stated, after in self.entries.get(item.name, ()):
            message_id = f"assumed:{name}:{cause_of(item)}"
            if share_of(message_id) < stated.share:
                at = item.received_at + after
                yield (
                    at,
                    Enter(
                        position=0,
                        received_at=at,
                        occurred_at=at,
                        journey=name,
                        version=self._plan.newest[name].version,
                        message_id=message_id,
                        attributes=item.attributes,
                    ),
                )


def is_api(journey: CompiledJourney) -> bool:
    """Return whether a journey is entered over the API."""
    return isinstance(journey.definition.entry, ApiEntry)


def share_of(id_: str) -> float:
    """Return a number in [0, 1) that stands for a message: whoever clicks is among those who open."""
    digest = hashlib.blake2b(id_.encode(), digest_size=7, person=b"backtest").digest()
    return int.from_bytes(digest, "big") / 2.0**56


_USUAL = ((USUAL_ANSWER, parse_duration(USUAL_ANSWER.after)),)


def _reaction(kind: str, message: Message, at: int, said: dict[str, object]) -> Reaction:
    return Reaction(
        position=0,
        received_at=at,
        occurred_at=at,
        reaction=kind,
        message=message.id,
        attributes=said,
        message_id=f"{kind}:{message.id}",
        failure=Failure(_FAILURES[kind], message.journey, message.journey_version, message.run, message.step)
        if kind in _FAILURES
        else None,
    )


_FAILURES = {"bounced": "bounced", FAILED: "refused"}


def _length(text: str, place: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BacktestError(f"assume/{place}: {error}") from None


def _unknown(message: str, name: str, known: Iterable[str]) -> BacktestError:
    names = sorted(set(known))
    hint = did_you_mean(name, names) or (f"there are: {', '.join(names)}" if names else "")
    return BacktestError(message, hint=hint)
