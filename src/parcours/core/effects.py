"""What the fold says should follow: messages to send, inputs of our own, and the trace of what was decided."""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.core.inputs import Input


class What:
    """What a trace entry tells. Statistics count entries by journey, version, step, this and reason.

    Plain text rather than an enumeration: these are hashed and written for every decision.
    """

    ENTERED = "entered"
    REFUSED = "refused"
    """An entry that was not allowed; the reason says why."""
    NOT_COUNTED = "not_counted"
    """An interaction that its definition's rule does not count."""
    LATE = "late"
    """An interaction too old to start or move a journey."""
    ARRIVED = "arrived"
    BRANCHED = "branched"
    """A step was left; the reason names the way that was taken."""
    SENT = "sent"
    SUPPRESSED = "suppressed"
    ENDED = "ended"
    GOAL = "goal"
    """A goal was reached; the reason names it."""
    JOINED = "joined"
    """A watched segment was entered; the reason names it."""
    LEFT = "left"
    """A watched segment was left; the reason names it."""
    MERGED = "merged"
    """Two contacts became one; the detail names the other."""


class Trace(msgspec.Struct, array_like=True, gc=False):
    """One decision."""

    at: int
    what: str
    """One of `What`."""
    journey: str = ""
    version: int = 0
    run: str = ""
    step: str = ""
    reason: str = ""
    detail: dict[str, Any] | None = None
    """Values seen, when they say more than the reason."""


class Message(msgspec.Struct, array_like=True, kw_only=True):
    """A message that was decided and is to be sent, once."""

    id: str
    contact: str
    channel: str
    address: str
    message: str
    version: int
    """Which publication of the message's definition: the number of versions of it up to that one."""
    journey: str
    run: str
    decided_at: int
    trigger: int
    """The log position of what started the run: its attributes are fetched when the text is made."""
    attributes: dict[str, Any]
    """The contact's attributes at the moment of the decision."""


class Effects(msgspec.Struct):
    """What follows from one input, in the order of decision."""

    messages: list[Message] = msgspec.field(default_factory=list)
    trace: list[Trace] = msgspec.field(default_factory=list)
    follows: list[Input] = msgspec.field(default_factory=list)
    """Inputs of the same contact that happen at once: what a step records, a journey that a step starts.

    They have an instant and a message id of their own, and no place in the log yet: whoever calls the fold gives them
    one, writes them down and folds them, in this order, before anything else happens to the contact. A log that is
    folded anew has them already."""
