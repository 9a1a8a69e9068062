"""A message of any channel is decided, whether or not somebody can send it."""

from __future__ import annotations

import pytest

from parcours.core.effects import What
from parcours.core.gate import Learned
from parcours.definitions.message import CHANNELS
from tests.core.world import Definition, World, journey, send


def message(channel: str, **more: object) -> Definition:
    fields = CHANNELS[channel]
    needed = (*fields.required, *fields.one_of[:1])
    content = dict.fromkeys(needed, "x")
    return {"kind": "message", "name": "m", "channel": channel, "content": content, **more}


def sending(channel: str, **more: object) -> World:
    return World(message(channel, **more), journey({"s": send("m")}))


def told(channel: str, consent: dict[str, dict[str, str]] | None = None) -> Learned:
    attribute = CHANNELS[channel].address
    return (
        Learned({attribute: "there"}, {channel: "there"}, consent or {})
        if attribute
        else Learned({}, {}, consent or {})
    )


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_message_of_every_channel_is_decided_and_kept(channel: str):
    world = sending(channel, purpose="transactional")
    attribute = CHANNELS[channel].address
    world.accept(world.arrival("ann", told(channel)))
    world.did("ann", "Go")
    (sent,) = world.messages("ann")
    assert (sent.channel, sent.message) == (channel, "m")
    if not attribute:
        assert sent.address == world.id_of("ann")
    assert [item.message.id for item in world.store.pending(channel)] == [sent.id]


@pytest.mark.parametrize("channel", [name for name, fields in CHANNELS.items() if fields.address])
def test_without_an_address_nothing_is_sent(channel: str):
    world = sending(channel, purpose="transactional")
    world.knows("ann", email=None, push_token=None)
    world.did("ann", "Go")
    assert world.sent("ann") == []
    assert world.reasons("ann", What.SUPPRESSED) == ["no_address"]


@pytest.mark.parametrize("channel", ["sms", "in_app", "inbox", "web", "web_push"])
def test_marketing_needs_consent_for_its_channel_and_topic(channel: str):
    world = sending(channel, topic="sale")
    for who, consent in {
        "ann": {},
        "bob": {channel: {"": "opted_in"}},
        "cyd": {channel: {"": "opted_in", "sale": "opted_out"}},
        "dan": {"email": {"": "opted_in"}},
        "eve": {channel: {"sale": "opted_in"}},
    }.items():
        world.accept(world.arrival(who, told(channel, consent)))
        world.did(who, "Go")
    assert {who: bool(world.sent(who)) for who in ("ann", "bob", "cyd", "dan", "eve")} == {
        "ann": False, "bob": True, "cyd": False, "dan": False, "eve": True
    }  # fmt: skip
    assert world.reasons("cyd", What.SUPPRESSED) == ["opted_out"]
    assert world.reasons("dan", What.SUPPRESSED) == ["no_consent"]
