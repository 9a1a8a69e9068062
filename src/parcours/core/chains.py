"""Chains: inputs that follow from one another at one instant, in which order, and where one without end is cut off.

| rule                                                                                                              |
|-------------------------------------------------------------------------------------------------------------------|
| a chain begins with an input from elsewhere, with one timer, or with a new plan                                    |
| what follows happens before anything else does to the contact, also before a timer that is due at the same instant |
| what follows from that comes first, then the next of what follows                                                  |
| in one chain, a step of a journey (a rule, an announcement of loyalty) makes at most `MOST_MADE` inputs             |
| a step that would make more fails: its run ends; a rule or an announcement that would is left out                  |
| what a sum of an `update` adds to is what is there when its turn has come                                          |

All of it is kept in the contact while the chain lasts, so that a log that is folded anew comes to the same. Between
inputs from elsewhere there is no chain.
"""

from __future__ import annotations

from parcours.core.contact import Chain, Contact
from parcours.core.effects import Effects, Trace, What
from parcours.core.inputs import Input, Receive, Update, cause_of
from parcours.core.sums import Sum, summed

MOST_MADE = 100
"""Inputs that one step makes in one chain: as many as a contact may have runs of a journey, which one input may move."""

ENDLESS = "endless_chain"
"""Why a run has failed, or something is left out."""


def follow(contact: Contact, effects: Effects, item: Input, maker: str, sums: dict[str, Sum] | None = None) -> bool:
    """Let an input follow, unless its maker has made too many in this chain; return whether it does.

    `sums` are those of an update, by attribute. The contact is changed.
    """
    if contact.chain is None:
        contact.chain = Chain()
    chain = contact.chain
    made = chain.made.get(maker, 0)
    if made >= MOST_MADE:
        effects.cut += 1
        return False
    chain.made[maker] = made + 1
    chain.ahead[cause_of(item)] = sums or {}
    effects.follows.append(item)
    return True


def announce(contact: Contact, effects: Effects, item: Input, maker: str) -> None:
    """Let an input follow for which nobody waits; one too many is told in the trace. The contact is changed."""
    if not follow(contact, effects, item, maker):
        effects.trace.append(Trace(item.received_at, What.FAILED, reason=ENDLESS, detail={"maker": maker}))


def is_ahead(contact: Contact, item: Input) -> bool:
    """Return whether an input is one of the chain that goes on: then no timer fires before it.

    So are points that come back from somebody who could not have them.
    """
    return contact.chain is not None and (type(item) is Receive or cause_of(item) in contact.chain.ahead)


def work_out(contact: Contact, item: Update) -> None:
    """Let the sums of an update that follows be those of now, when it is about to be written down. It is changed."""
    sums = contact.chain.ahead.get(cause_of(item)) if contact.chain is not None else None
    for name, of in (sums or {}).items():
        value = summed(contact.attributes.get(name), of)
        if value is None:
            item.attributes.pop(name, None)
        else:
            item.attributes[name] = value


def go_on(contact: Contact, item: Input) -> None:
    """Note that an input has happened; with the last that was ahead, the chain is over. The contact is changed."""
    chain = contact.chain
    if chain is not None:
        chain.ahead.pop(cause_of(item), None)
        if not chain.ahead:
            contact.chain = None
