"""The stock `segment-analytics-python` package is a client as it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from segment.analytics.client import Client

from tests.service import WRITE_KEY, Service


class Sdk:
    """A client of the stock package, and what it complained of."""

    def __init__(self, service: Service, *, gzip: bool, sync: bool = False, key: str = WRITE_KEY) -> None:
        self.failures: list[Any] = []
        self.client = Client(
            key,
            host=service.url,
            gzip=gzip,
            sync_mode=sync,
            max_retries=0,
            on_error=lambda error, items: self.failures.append((error, items)),
        )


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def sdk(request: pytest.FixtureRequest, service: Service) -> Iterator[Sdk]:
    sdk = Sdk(service, gzip=request.param)
    yield sdk
    sdk.client.join()


def test_every_call_of_the_sdk_is_in_the_log_once(service: Service, sdk: Sdk, request: pytest.FixtureRequest):
    who = f"sdk-{request.node.callspec.id}"
    before = service.report()["records"]
    client = sdk.client
    client.identify(who, {"email": "Ann@Parcours.dev", "city": "Zürich \U0001f600", "consent": {"email": True}})
    client.track(who, "Order Completed", {"total": 12.5, "lines": [{"sku": "a", "n": 2}]})
    client.page(who, "Docs", "Start", {"url": "/start"})
    client.screen(who, "App", "Home")
    client.track(user_id=None, anonymous_id=f"anon-{who}", event="Seen")
    client.track(who, "Old", timestamp=datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    client.flush()
    assert sdk.failures == []
    assert service.report()["records"] == before + 6
    view = service.contact(who)
    inputs = [row["input"] for row in reversed(view["inputs"])]
    assert [item.get("name", item["type"]) for item in inputs] == [
        "update", "order completed", "page viewed", "screen viewed", "old"
    ]  # fmt: skip
    assert inputs[1]["attributes"] == {"total": 12.5, "lines": [{"sku": "a", "n": 2}]}
    assert inputs[2]["attributes"] == {"url": "/start", "name": "Start"}
    assert all(abs(item["received_at"] - item["occurred_at"]) < 60_000 for item in inputs[:4])
    year = 365 * 86_400_000
    assert inputs[4]["received_at"] - inputs[4]["occurred_at"] > year
    assert view["contact"]["attributes"] == {"email": "Ann@Parcours.dev", "city": "Zürich \U0001f600"}
    assert view["contact"]["addresses"] == {"email": "Ann@parcours.dev"}
    assert view["contact"]["consent"] == {"email": {"": "opted_in"}}
    anonymous = service.api("GET", f"/v1/contacts/anonymous_id:anon-{who}").json
    assert [row["input"]["name"] for row in anonymous["inputs"]] == ["seen"]


def test_what_the_sdk_sends_again_is_known_by_its_id(service: Service, sdk: Sdk, request: pytest.FixtureRequest):
    who = f"again-{request.node.callspec.id}"
    for _ in range(3):
        sdk.client.track(who, "Seen", message_id=f"{who}-1")
        sdk.client.track(who, "Seen", message_id=f"{who}-2")
        sdk.client.flush()
    assert sdk.failures == []
    assert len(service.contact(who)["inputs"]) == 2


def test_a_thousand_messages_in_the_sdks_own_batches(service: Service, sdk: Sdk, request: pytest.FixtureRequest):
    who = f"many-{request.node.callspec.id}"
    for number in range(1_000):
        sdk.client.track(who, "Counted", {"n": number})
    sdk.client.flush()
    assert sdk.failures == []
    view = service.api("GET", f"/v1/contacts/user_id:{who}?limit=1000").json
    assert [row["input"]["attributes"]["n"] for row in view["inputs"]] == list(reversed(range(1_000)))


def test_the_sdk_is_told_of_a_wrong_key(service: Service):
    sdk = Sdk(service, gzip=False, key="wrong")
    sdk.client.track("nobody", "Seen")
    sdk.client.flush()
    ((error, items),) = sdk.failures
    assert error.status == 401
    assert len(items) == 1
    sdk.client.join()
    assert service.api("GET", "/v1/contacts/user_id:nobody").status == 404


def test_the_sdk_is_told_of_a_message_that_was_refused_and_its_neighbours_are_kept(service: Service):
    sdk = Sdk(service, gzip=True)
    sdk.client.track("neighbour", "Before")
    sdk.client.track("neighbour", "With NUL", {"text": "a\0b"})
    sdk.client.track("neighbour", "After")
    sdk.client.flush()
    ((error, _),) = sdk.failures
    assert error.status == 400
    assert "nul_character" in error.message
    sdk.client.join()
    assert [row["input"]["name"] for row in service.contact("neighbour")["inputs"]] == ["after", "before"]


def test_the_sdk_in_sync_mode(service: Service):
    sdk = Sdk(service, gzip=True, sync=True)
    sdk.client.track("sync", "Seen")
    assert [row["input"]["name"] for row in service.contact("sync")["inputs"]] == ["seen"]
