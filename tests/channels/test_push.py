from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcours.channels.push import HttpPushChannel
from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Delivery
from parcours.testing.receivers import HANG, HANG_UP, PushReceiver


def delivery(number=1, **content):
    return Delivery(
        id=f"0123456789ab-{number:013}",
        channel="push",
        address=f"device-{number}",
        content={"title": "Hello", "body": "Ann", **content},
    )


@pytest.fixture
async def receiver():
    async with PushReceiver(token="s3cret", keep=True) as receiver:
        yield receiver


@pytest.fixture
async def channel(receiver):
    channel = HttpPushChannel(receiver.url, "s3cret")
    yield channel
    await channel.close()


async def test_a_notification_arrives(receiver, channel):
    await channel.send(delivery())
    await channel.send(delivery(2, url="https://shop.example/1", image="https://shop.example/1.png"))
    (headers, first), (_, second) = receiver.requests
    assert first == {"message_id": "0123456789ab-0000000000001", "to": "device-1", "title": "Hello", "body": "Ann"}
    assert (second["url"], second["image"]) == ("https://shop.example/1", "https://shop.example/1.png")
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Idempotency-Key"] == "0123456789ab-0000000000001"
    assert headers["Content-Type"] == "application/json"


async def test_many_at_a_time_arrive_once(receiver, channel):
    await asyncio.gather(*(channel.send(delivery(number)) for number in range(300)))
    counts = receiver.counts()
    assert (counts.total, counts.duplicates, counts.by_subject) == (300, 0, {"Hello": 300})


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_any_2xx_is_accepted(receiver, channel, status):
    receiver.script(status)
    await channel.send(delivery())


@pytest.mark.parametrize("status", [302, 401, 408, 425, 429, 500, 502, 503])
async def test_failures_that_pass(receiver, channel, status):
    receiver.script(status, body="busy\nnow", headers={"Location": "http://127.0.0.1:9/"})
    with pytest.raises(TemporaryFailureError, match=f"{status} busy now") as failure:
        await channel.send(delivery())
    assert failure.value.retry_after == 0.0
    await channel.send(delivery())


@pytest.mark.parametrize("status", [400, 403, 404, 410, 413, 422])
async def test_failures_that_stay(receiver, channel, status):
    receiver.script(status, body='{"error": "unregistered"}' + "x" * 5_000)
    with pytest.raises(PermanentFailureError, match=f'{status} {{"error": "unregistered"}}') as failure:
        await channel.send(delivery())
    assert len(str(failure.value)) < 300
    await channel.send(delivery())


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds(receiver, channel, status):
    receiver.script(status, headers={"Retry-After": "120"})
    with pytest.raises(TemporaryFailureError) as failure:
        await channel.send(delivery())
    assert failure.value.retry_after == 120.0


@pytest.mark.parametrize("value", ["86401", "999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_retry_after_ends_at_a_day(receiver, channel, value):
    receiver.script(429, headers={"Retry-After": value})
    with pytest.raises(TemporaryFailureError) as failure:
        await channel.send(delivery())
    assert failure.value.retry_after == 86_400.0


async def test_retry_after_as_a_date(receiver, channel):
    receiver.script(429, headers={"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)})
    with pytest.raises(TemporaryFailureError) as failure:
        await channel.send(delivery())
    assert 3_500 < failure.value.retry_after <= 3_600


@pytest.mark.parametrize("value", ["soon", "-5", "Sat, 21 Nov 2020 00:00:00 GMT", "²"])
async def test_retry_after_that_says_nothing(receiver, channel, value):
    receiver.script(429, headers={"Retry-After": value})
    with pytest.raises(TemporaryFailureError) as failure:
        await channel.send(delivery())
    assert failure.value.retry_after == 0.0


async def test_a_provider_that_hangs(receiver):
    channel = HttpPushChannel(receiver.url, "s3cret", timeout=0.1)
    receiver.script(HANG)
    with pytest.raises(TemporaryFailureError, match="in time"):
        await channel.send(delivery())
    await channel.send(delivery())
    await channel.close()


async def test_a_provider_that_hangs_up(receiver, channel):
    receiver.script(HANG_UP, times=0)
    with pytest.raises(TemporaryFailureError, match="cannot be reached"):
        await channel.send(delivery())
    receiver.accept()
    await channel.send(delivery())


async def test_nobody_listens(receiver, channel):
    await receiver.stop()
    with pytest.raises(TemporaryFailureError, match="cannot be reached"):
        await channel.send(delivery())


async def test_a_wrong_token(receiver):
    channel = HttpPushChannel(receiver.url, "guess")
    with pytest.raises(TemporaryFailureError, match="401"):
        await channel.send(delivery())
    await channel.close()


async def test_an_id_that_no_header_can_hold(channel):
    with pytest.raises(PermanentFailureError, match="id"):
        await channel.send(Delivery(id="a\r\nb", channel="push", address="x", content={}))


async def test_text_that_is_none(channel):
    with pytest.raises(PermanentFailureError, match="text"):
        await channel.send(delivery(title="\ud800"))


@pytest.mark.parametrize("url, token", [("ftp://x", "t"), ("push.example", "t"), ("http://x", "a\nb")])
def test_settings_of_no_use_are_refused(url, token):
    with pytest.raises(ValueError, match=r"url|token"):
        HttpPushChannel(url, token)


async def test_no_error_tells_the_url():
    with pytest.raises(ValueError, match="url") as caught:
        HttpPushChannel("me:s3cret@push.example", "t")
    assert "s3cret" not in str(caught.value)
    channel = HttpPushChannel("http://me:s3cret@push.example:port/s3cret", "t")
    with pytest.raises(TemporaryFailureError) as failure:
        await channel.send(delivery())
    assert "s3cret" not in str(failure.value)
    await channel.close()


async def test_close_without_a_send():
    await HttpPushChannel("http://127.0.0.1:9/", "t").close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=8))
def test_any_text_arrives_intact(contents):
    async def send_all():
        async with PushReceiver(keep=True) as receiver:
            channel = HttpPushChannel(receiver.url, "")
            for number, (title, body) in enumerate(contents):
                await channel.send(delivery(number, title=title, body=body))
            await channel.close()
            return [(body["title"], body["body"]) for _, body in receiver.requests]

    assert asyncio.run(send_all()) == contents
