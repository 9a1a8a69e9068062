"""The stock npm package `@segment/analytics-node` is a client as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.clients.proxy import Proxy
from tests.service import WRITE_KEY, Service

NODE = Path(sys.executable).parent / "node"
SCRIPT = Path(__file__).parents[1] / "clients" / "send.js"
YEAR = 365 * 86_400_000


def send(url: str, *calls: Any, **options: Any) -> Any:
    """Make the calls with a client of its own, close it, and return what it said."""
    given = {"options": {"host": url, "writeKey": WRITE_KEY, "maxRetries": 0, **options}, "calls": calls}
    done = subprocess.run(
        [NODE, SCRIPT], input=json.dumps(given).encode(), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def inputs(service: Service, who: str) -> list[Any]:
    """Return the inputs of a contact, oldest first."""
    return [row["input"] for row in reversed(service.contact(who)["inputs"])]


def test_every_call_is_in_the_log_once(service: Service):
    who = "node"
    before = service.report()["records"]
    traits = {"email": "Ann@Parcours.dev", "city": "Zürich \U0001f600", "consent": {"email": True}}
    found = send(
        service.url,
        ["identify", {"userId": who, "traits": traits}],
        ["track", {"userId": who, "event": "Order Completed", "properties": {"total": 12.5, "lines": [{"n": 2}]}}],
        ["page", {"userId": who, "category": "Docs", "name": "Start", "properties": {"url": "/start"}}],
        ["screen", {"userId": who, "name": "Home"}],
        ["group", {"userId": who, "groupId": "acme", "traits": {"plan": "gold"}}],
        ["track", {"userId": who, "event": "Old", "timestamp": "2020-01-02T03:04:05.678Z"}],
    )
    assert (found["errors"], found["statuses"], len(found["sent"])) == ([], [200], 6)
    assert service.report()["records"] == before + 6
    rows = inputs(service, who)
    assert [row.get("name", row["type"]) for row in rows] == [
        "update", "order completed", "page viewed", "screen viewed", "update", "old"
    ]  # fmt: skip
    assert rows[1]["attributes"] == {"total": 12.5, "lines": [{"n": 2}]}
    assert rows[2]["attributes"] == {"url": "/start", "category": "Docs", "name": "Start"}
    assert rows[3]["attributes"] == {"name": "Home"}
    assert all(abs(row["received_at"] - row["occurred_at"]) < 60_000 for row in rows[:5])
    contact = service.contact(who)["contact"]
    assert contact["attributes"] == {
        "email": "Ann@Parcours.dev",
        "city": "Zürich \U0001f600",
        "group_id": "acme",
        "group": {"plan": "gold"},
    }
    assert contact["addresses"] == {"email": "Ann@parcours.dev"}
    assert contact["consent"] == {"email": {"": "opted_in"}}


def test_a_time_that_is_given_is_kept_but_for_the_clocks(service: Service):
    given = "2020-01-02T03:04:05.678Z"
    send(service.url, ["track", {"userId": "node-time", "event": "Old", "timestamp": given}])
    (row,) = inputs(service, "node-time")
    assert abs(row["occurred_at"] - datetime.fromisoformat(given).timestamp() * 1_000) < 5_000


def test_an_anonymous_visitor_who_is_identified_later_is_one_contact(service: Service):
    visitor = {"anonymousId": "node-visitor"}
    send(
        service.url,
        ["track", {**visitor, "event": "Product Viewed"}],
        ["page", {**visitor, "name": "Basket"}],
        ["flush"],
        ["identify", {**visitor, "userId": "node-ann", "traits": {"city": "Bern"}}],
        ["track", {"userId": "node-ann", "event": "Order Completed"}],
    )
    assert [row.get("name", row["type"]) for row in inputs(service, "node-ann")] == [
        "product viewed", "page viewed", "update", "order completed"
    ]  # fmt: skip
    assert service.api("GET", "/v1/contacts/anonymous_id:node-visitor").json == service.contact("node-ann")


def test_an_alias_joins_two_who_were_known(service: Service):
    send(
        service.url,
        ["track", {"userId": "node-old", "event": "Seen"}],
        ["identify", {"userId": "node-new", "traits": {"city": "Basel"}}],
        ["flush"],
        ["alias", {"userId": "node-new", "previousId": "node-old"}],
    )
    view = service.contact("node-new")
    assert "seen" in [row["input"].get("name") for row in view["inputs"]]
    assert service.contact("node-old") == view


def test_a_repeat_by_the_same_id_changes_nothing(service: Service):
    call = ["track", {"userId": "node-again", "event": "Seen", "messageId": "node-again-1", "properties": {"n": 1}}]
    for _ in range(3):
        found = send(service.url, call, call, ["flush"], call)
        assert (found["errors"], found["statuses"]) == ([], [200, 200])
        assert found["sent"] == ["node-again-1"] * 3
    (row,) = inputs(service, "node-again")
    assert row["attributes"] == {"n": 1}


def test_what_is_sent_again_because_the_answer_was_lost_is_in_the_log_once(service: Service):
    with Proxy(service) as proxy:
        proxy.lose = 1
        calls = [["track", {"userId": "node-lost", "event": "Counted", "properties": {"n": n}}] for n in range(3)]
        found = send(proxy.url, *calls, maxRetries=3)
    assert (found["errors"], found["statuses"]) == ([], [200])
    first, second = proxy.posted()
    assert [message["messageId"] for message in json.loads(first.body)["batch"]] == found["sent"]
    assert [message["messageId"] for message in json.loads(second.body)["batch"]] == found["sent"]
    assert [row["attributes"]["n"] for row in inputs(service, "node-lost")] == [0, 1, 2]


def test_a_service_that_can_keep_nothing_is_tried_again(service: Service):
    with Proxy(service) as proxy:
        proxy.refuse = 1
        found = send(proxy.url, ["track", {"userId": "node-refused", "event": "Seen"}], maxRetries=3)
    assert (found["errors"], found["statuses"]) == ([], [503, 200])
    assert len(inputs(service, "node-refused")) == 1


def test_the_client_waits_as_long_as_it_is_told_to(service: Service):
    with Proxy(service) as proxy:
        proxy.refuse, proxy.refusal = 1, (429, 2)
        found = send(proxy.url, ["track", {"userId": "node-waits", "event": "Seen"}])
    assert (found["errors"], found["statuses"]) == ([], [429, 200])
    first, second = proxy.posted()
    assert second.at - first.at > 1.5
    assert len(inputs(service, "node-waits")) == 1


def test_hundreds_of_messages_in_the_clients_own_batches(service: Service):
    calls = [["track", {"userId": "node-many", "event": "Counted", "properties": {"n": n}}] for n in range(300)]
    found = send(service.url, *calls)
    assert found["errors"] == []
    assert set(found["statuses"]) == {200}
    assert len(found["statuses"]) > 10
    rows = service.api("GET", "/v1/contacts/user_id:node-many?limit=1000").json["inputs"]
    # The client sends its batches side by side, so their order is open.
    assert sorted(row["input"]["attributes"]["n"] for row in rows) == list(range(300))


def test_the_client_is_told_of_a_wrong_key(service: Service):
    found = send(service.url, ["track", {"userId": "node-nobody", "event": "Seen"}], writeKey="wrong")
    assert (found["statuses"], found["sent"]) == ([401], [])
    assert [error["code"] for error in found["errors"]] == ["delivery_failure"]
    assert "401" in found["errors"][0]["reason"]
    assert service.api("GET", "/v1/contacts/user_id:node-nobody").status == 404


def test_the_client_is_told_of_a_message_that_was_refused_and_its_neighbours_are_kept(service: Service):
    names = ["Before", "With NUL", "After"]
    calls = [["track", {"userId": "node-neighbour", "event": name, "properties": {}}] for name in names]
    calls[1][1]["properties"]["text"] = "a\0b"
    found = send(service.url, *calls)
    assert found["statuses"] == [400]
    assert "400" in found["errors"][0]["reason"]
    assert [row["name"] for row in inputs(service, "node-neighbour")] == ["before", "after"]
