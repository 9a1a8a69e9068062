"""What `sources.segment` makes of bodies, without HTTP around it."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from parcours.core import ids
from parcours.core.gate import Happened, Learned, Reacted
from parcours.sources.segment import MalformedError, Read, SegmentReader

NOW = 1_772_442_000_000
"""2026-03-02T09:00:00Z."""


def reader() -> SegmentReader:
    counter = itertools.count(1)
    return SegmentReader("test", lambda: NOW, lambda: f"made-up-{next(counter)}")


def read(*messages: object, **around: object) -> Read:
    return reader().batch(msgspec.json.encode({"batch": messages, **around}))


def refused(*messages: object, **around: object) -> list[tuple[int, str, str]]:
    return [(index, problem.code, problem.pointer) for index, _, problem in read(*messages, **around).problems]


def track(**given: object) -> dict[str, object]:
    return {"type": "track", "event": "Seen", "userId": "1", **given}


def identify(context: object = None, **traits: object) -> dict[str, object]:
    return {"type": "identify", "userId": "1", "traits": traits, "context": context}


def test_a_message_with_the_context_every_sdk_sends_is_read():
    context = {"library": {"name": "analytics-python", "version": "2.3"}, "locale": None, "ip": "10.0.0.1"}
    found = read(track(context=context), {"type": "identify", "userId": "1", "traits": {"a": 1}, "context": context})
    assert found.problems == []
    assert [arrival.what for arrival in found.arrivals] == [Happened("Seen", {}), Learned({"a": 1})]


def test_the_device_token_in_the_context_becomes_the_push_address():
    context = {"device": {"token": "t-1"}}
    (arrival,) = read({"type": "identify", "userId": "1", "context": context}).arrivals
    assert arrival.what == Learned({"push_token": "t-1"}, {"push": "t-1"})
    given = {"type": "identify", "userId": "1", "traits": {"push_token": "mine"}, "context": context}
    (arrival,) = read(given).arrivals
    assert arrival.what == Learned({"push_token": "mine"}, {"push": "mine"})


@pytest.mark.parametrize("context", ["text", 5, [], {"device": "x"}, {"device": {"token": 5}}, None])
def test_an_odd_context_costs_no_track_message(context: object):
    assert refused(track(context=context)) == []


@pytest.mark.parametrize(
    "message, code, pointer",
    [
        (identify(context={"device": {"token": 5}}), "wrong_type", "/context/device/token"),
        (track(event=None), "wrong_type", "/event"),
        (track(event="  "), "missing_event", "/event"),
        (track(event="x" * 201), "invalid_message", "/event"),
        (track(userId=["1"]), "wrong_type", "/userId"),
        (track(userId=""), "no_identity", "/userId"),
        (track(userId=" \t\u2003"), "no_identity", "/userId"),
        (track(userId=" ", anonymousId="\n"), "no_identity", "/userId"),
        ({"type": "alias", "userId": " ", "previousId": "x"}, "no_identity", "/userId"),
        ({"type": "alias", "userId": "x", "previousId": " "}, "no_identity", "/previousId"),
        (track(userId="x" * 513), "invalid_message", "/userId"),
        (track(userId=None, anonymousId="x" * 513), "invalid_message", "/anonymousId"),
        (track(messageId="x" * 513), "invalid_message", "/messageId"),
        (track(properties="x"), "wrong_type", "/properties"),
        (track(properties={"a": [{"b/c": "x\0y"}]}), "nul_character", "/properties/a/0/b~1c"),
        (track(properties={"a\0": 1}), "nul_character", "/properties"),
        (track(type="telegram"), "unknown_type", "/type"),
        (track(type=""), "unknown_type", "/type"),
        (track(timestamp="2026-02-30T00:00:00Z"), "wrong_type", "/timestamp"),
        (track(timestamp="2026-02-20T00:00:00"), "naive_time", "/timestamp"),
        (track(timestamp="0001-01-01T00:00:00Z"), "absurd_time", "/timestamp"),
        (track(timestamp="0001-01-01T00:00:00+23:59"), "absurd_time", "/timestamp"),
        (track(timestamp="1969-12-31T23:59:59.999Z"), "absurd_time", "/timestamp"),
        (track(timestamp="2026-02-20T00:00:00Z", sentAt="9999-12-31T23:59:59Z"), "absurd_time", "/timestamp"),
        (track(timestamp="2026-02-20T00:00:00Z", sentAt="2026-02-20T00:00:00"), "naive_time", "/sentAt"),
        (identify(consent=5), "invalid_message", "/traits/consent"),
        (identify(consent={"email": {"news": "yes"}}), "invalid_message", "/traits/consent/email/news"),
        (identify(consent={"fax": True}), "invalid_message", "/traits/consent/fax"),
    ],
)
def test_a_bad_message_is_named_and_its_neighbours_are_kept(message: dict[str, object], code: str, pointer: str):
    found = read(track(messageId="before"), message, track(messageId="after"))
    assert [(index, problem.code, problem.pointer) for index, _, problem in found.problems] == [
        (1, code, f"/batch/1{pointer}")
    ]
    assert found.message_ids == ["before", "after"]
    assert found.places == [0, 2]


@pytest.mark.parametrize("item", [b"null", b"1", b'"x"', b"[]"])
def test_an_item_that_is_no_object_is_named_and_its_neighbours_are_kept(item: bytes):
    good = msgspec.json.encode(track(messageId="good"))
    found = reader().batch(b'{"batch": [' + item + b"," + good + b"]}")
    assert [(index, problem.pointer) for index, _, problem in found.problems] == [(0, "/batch/0")]
    assert found.message_ids == ["good"]


@pytest.mark.parametrize(
    "value",
    [b'"\\ud800"', b'"x\\udfffy"', b'{"\\ud800": 1}', b'[1, {"a": "\\uDBFF"}]'],
)
def test_a_lone_surrogate_is_named_and_its_neighbours_are_kept(value: bytes):
    good = msgspec.json.encode(track(messageId="good", properties={"smile": "\U0001f600", "n": 1.5}))
    bad = b'{"type":"track","event":"Seen","userId":"1","messageId":"bad","properties":{"a":' + value + b"}}"
    found = reader().batch(b'{"sentAt":"2026-03-02T09:00:00Z","batch":[' + bad + b"," + good + b"]}")
    assert [(index, id_, problem.code) for index, id_, problem in found.problems] == [(0, "bad", "lone_surrogate")]
    assert found.problems[0][2].pointer == "/batch/0"
    (arrival,) = found.arrivals
    assert arrival.what == Happened("Seen", {"smile": "\U0001f600", "n": 1.5})


def test_text_that_is_not_utf8_is_named_and_its_neighbours_are_kept():
    good = msgspec.json.encode(track(messageId="good"))
    found = reader().batch(b'{"batch":[{"type":"track","event":"a\xff","userId":"1"},' + good + b"]}")
    assert [(index, problem.code, problem.pointer) for index, _, problem in found.problems] == [
        (0, "invalid_json", "/batch/0")
    ]
    assert found.message_ids == ["good"]


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 5_000])
def test_a_number_beyond_all_bounds_is_named_and_its_neighbours_are_kept(number: bytes):
    good = msgspec.json.encode(track(messageId="good"))
    bad = b'{"type":"track","event":"Seen","userId":"1","properties":{"a":' + number + b"}}"
    found = reader().batch(b'{"batch":[' + bad + b"," + good + b"]}")
    ((index, _, problem),) = found.problems
    assert index == 0
    assert problem.pointer.startswith("/batch/0/properties")
    assert found.message_ids == ["good"]


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", "invalid_json"),
        (b"null", "wrong_type"),
        (b"[]", "wrong_type"),
        (b"{}", "missing_field"),
        (b'{"batch": {}}', "wrong_type"),
        (b'{"batch": null}', "wrong_type"),
        (b'{"batch": [', "invalid_json"),
        (b'{"batch": []} x', "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"batch": [{"type": "track", "event": "a\x00b", "userId": "1"}]}', "invalid_json"),
        (b'{"batch": [{"type": "track", "event": "a\nb", "userId": "1"}]}', "invalid_json"),
        (b'{"batch": [], "sentAt": "yesterday"}', "wrong_type"),
        (b'{"batch": [{"a": NaN}]}', "invalid_json"),
        (b'{"batch": [{"properties": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}", "too_deep"),
        (b'{"batch": ' + b"[" * 100_000, "too_deep"),
    ],
)
def test_a_body_in_which_no_batch_can_be_found_is_refused_as_a_whole(body: bytes, code: str):
    with pytest.raises(MalformedError) as caught:
        reader().batch(body)
    assert caught.value.problem.code == code


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"\\ud800"', b"\xff", b"[" * 100_000, b'{"event": "\\udfff"}'])
def test_a_single_body_that_is_no_message_is_refused(body: bytes):
    with pytest.raises(MalformedError):
        reader().single(body, "track")


def test_a_batch_with_too_many_messages_is_refused_as_a_whole():
    message = msgspec.json.encode(track())
    with pytest.raises(MalformedError) as caught:
        reader().batch(b'{"batch":[' + b",".join([message] * 10_001) + b"]}")
    assert caught.value.problem.code == "batch_too_large"


def test_the_senders_clock_is_corrected_by_what_passed_between_the_two_times():
    (arrival,) = read(track(timestamp="2020-01-01T00:00:00Z"), sentAt="2020-01-01T00:00:02.5Z").arrivals
    assert arrival.occurred_at == NOW - 2_500
    (arrival,) = read(track(timestamp="2026-03-02T08:00:00Z")).arrivals
    assert arrival.occurred_at == NOW - 3_600_000
    (arrival,) = read(track(timestamp="2026-03-02T10:00:00+01:00")).arrivals
    assert arrival.occurred_at == NOW
    (arrival,) = read(track()).arrivals
    assert arrival.occurred_at is None


def test_pages_and_screens_are_interactions_with_their_name():
    found = read(
        {"type": "page", "userId": "1", "name": "Home", "properties": {"url": "/"}},
        {"type": "screen", "anonymousId": 7, "name": "Home", "properties": {"name": "Mine"}},
    )
    assert [arrival.what for arrival in found.arrivals] == [
        Happened("Page Viewed", {"url": "/", "name": "Home"}),
        Happened("Screen Viewed", {"name": "Mine"}),
    ]
    assert [arrival.identities for arrival in found.arrivals] == [(("user_id", "1"),), (("anonymous_id", "7"),)]


def test_a_reaction_is_known_by_the_id_of_one_of_our_messages():
    ours = ids.message_id("0" * ids.CONTACT_LENGTH, "run", "step", 0, "message")
    found = read(
        track(event="Email Opened", userId=None, properties={"message_id": ours}),
        track(event="Email Opened", properties={"message_id": "somebody-elses"}),
        track(event="Unsubscribed", properties={"message_id": ours, "topic": "news"}),
    )
    assert [arrival.what for arrival in found.arrivals] == [
        Reacted("opened", ours, {"message_id": ours, "channel": "email"}),
        Happened("Email Opened", {"message_id": "somebody-elses"}),
        Reacted("unsubscribed", ours, {"message_id": ours, "topic": "news", "channel": "email"}),
    ]


def test_consent_is_read_by_channel_and_by_topic():
    consent = {"email": {"news": True, "offers": "opted_out"}, "push": False}
    (arrival,) = read({"type": "identify", "userId": "1", "traits": {"consent": consent, "x": 1}}).arrivals
    assert isinstance(arrival.what, Learned)
    assert arrival.what.attributes == {"x": 1}
    assert arrival.what.consent == {"email": {"news": "opted_in", "offers": "opted_out"}, "push": {"": "opted_out"}}


def test_an_address_that_is_none_is_told_from_a_valid_one():
    traits = {"email": "Ann@Example.DEV", "push_token": "  "}
    (arrival,) = read({"type": "identify", "userId": "1", "traits": traits}).arrivals
    assert isinstance(arrival.what, Learned)
    assert arrival.what.addresses == {"email": "Ann@example.dev", "push": None}
