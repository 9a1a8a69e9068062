"""May this message be sent to this contact at all? The first refusal, in the order the semantics give, is the reason.

| order | question                                       | refusal                          |
|-------|------------------------------------------------|----------------------------------|
| 1     | marketing: consent for the channel and topic?  | `no_consent`, `opted_out`        |
| 2     | a valid address for the channel?               | `no_address`, `invalid_address`  |

What a test sends goes to the recipients of tests: instead of 2 it is asked whether there is one (`no_test_recipient`).
"""

from __future__ import annotations

from collections.abc import Mapping

from parcours.conditions.to_python import consent_state
from parcours.core.contact import Contact
from parcours.definitions.message import CHANNELS, MessageDefinition


def address(contact: Contact, channel: str) -> str | None:
    """Return where messages of a channel go, or None: to the contact's id where a channel has no addresses."""
    return contact.addresses.get(channel) if CHANNELS[channel].address else contact.id


def refusal(contact: Contact, message: MessageDefinition, tested: Mapping[str, str] | None = None) -> str | None:
    """Return why a message may not be sent, or None when it may; `tested` are the recipients of a test."""
    if message.purpose == "marketing":
        consent = consent_state(contact.consent, message.channel, message.topic)
        if consent != "opted_in":
            return "opted_out" if consent == "opted_out" else "no_consent"
    if tested is not None:
        return None if message.channel in tested else "no_test_recipient"
    if address(contact, message.channel) is None:
        given = contact.attributes.get(CHANNELS[message.channel].address) is not None
        return "invalid_address" if given else "no_address"
    return None
