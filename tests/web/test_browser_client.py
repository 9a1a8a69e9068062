"""Segment's browser library `@segment/analytics-next`, as its package ships it, in a real browser.

Pages come from another origin than the service, so the browser's rules for that are in force.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.clients.proxy import Proxy
from tests.service import WRITE_KEY, Service

pytest_plugins = ["tests.browser"]

BATCHING = {"strategy": "batching", "config": {"size": 5, "timeout": 60_000}}
"""Nothing is sent before there are five, or the page is left."""


class Shop:
    """A page with the library on it, at a service."""

    def __init__(self, page: Page, address: str, service_url: str) -> None:
        self.page = page
        self.address = address
        self.service_url = service_url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)

    def open(self, delivery: Any = None, key: str = WRITE_KEY, path: str = "") -> None:
        """Go there and load the library, which asks the service for its settings."""
        self.page.goto(self.address + path)
        options = {"integrations": {"Segment.io": {"deliveryStrategy": delivery}}} if delivery else {}
        self.page.evaluate(
            """async ([settings, options]) => {
                window.analytics = AnalyticsNext.AnalyticsBrowser.load(settings, options);
                await window.analytics;
            }""",
            [{"writeKey": key, "cdnURL": self.service_url}, options],
        )

    def call(self, name: str, *given: Any) -> Any:
        """Make a call of the library; return the message as it sent it, once it is done with it."""
        return self.page.evaluate(
            """async ([name, given]) => {
                const context = await window.analytics[name](...given);
                return {...context.event, failed: context.failedDelivery() ? String(context.failedDelivery().reason) : ""};
            }""",
            [name, given],
        )

    def call_without_waiting(self, name: str, *given: Any) -> None:
        self.page.evaluate("([name, given]) => { window.analytics[name](...given); }", [name, given])

    def anonymous_id(self) -> str:
        return str(self.page.evaluate("async () => (await window.analytics)[0].user().anonymousId()"))


@pytest.fixture(scope="module")
def address(site: Any, installed: Callable[[str], bytes]) -> str:
    site.add("/analytics.js", installed("@segment/analytics-next/dist/umd/index.js"), "text/javascript")
    site.add("/left", "<title>Left</title>")
    return str(site.add("/shop", '<title>Shop</title><script src="/analytics.js"></script><h1>Shop</h1>'))


@pytest.fixture
def shop(page: Page, service: Service, address: str) -> Shop:
    return Shop(page, address, service.url)


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    with Proxy(service) as running:
        yield running


@pytest.fixture
def tunnel(page: Page, proxy: Proxy, address: str) -> Shop:
    """A shop whose way to the service is the proxy."""
    return Shop(page, address, proxy.url)


def inputs(service: Service, who: str) -> list[Any]:
    """Return the inputs of a contact, oldest first."""
    answer = service.api("GET", f"/v1/contacts/{who}?limit=1000")
    return [row["input"] for row in reversed(answer.json["inputs"])] if answer.status == 200 else []


def names(service: Service, who: str) -> list[str]:
    return [row.get("name", row["type"]) for row in inputs(service, who)]


def wait(condition: Callable[[], Any], page: Page, seconds: float = 15) -> None:
    """Wait until something is so, with the browser going on meanwhile."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def test_every_call_arrives(service: Service, shop: Shop):
    shop.open(path="?q=shoes")
    traits = {"email": "Ann@Parcours.dev", "city": "Zürich \U0001f600", "consent": {"email": True}}
    sent = [
        shop.call("page", "Docs", "Start"),
        shop.call("identify", "web-ann", traits),
        shop.call("track", "Order Completed", {"total": 12.5, "lines": [{"sku": "a", "n": 2}]}),
        shop.call("screen", "Home"),
        shop.call("group", "acme", {"plan": "gold"}),
    ]
    assert [message["failed"] for message in sent] == [""] * 5
    assert shop.complaints == []
    rows = inputs(service, "user_id:web-ann")
    assert [row.get("name", row["type"]) for row in rows] == [
        "page viewed", "update", "order completed", "screen viewed", "update"
    ]  # fmt: skip
    assert rows[0]["attributes"]["url"] == shop.address + "?q=shoes"
    assert (rows[0]["attributes"]["title"], rows[0]["attributes"]["search"]) == ("Shop", "?q=shoes")
    assert (rows[0]["attributes"]["category"], rows[0]["attributes"]["name"]) == ("Docs", "Start")
    assert rows[2]["attributes"] == {"total": 12.5, "lines": [{"sku": "a", "n": 2}]}
    assert all(abs(row["received_at"] - row["occurred_at"]) < 60_000 for row in rows)
    contact = service.contact("web-ann")["contact"]
    assert contact["attributes"] == {
        "email": "Ann@Parcours.dev",
        "city": "Zürich \U0001f600",
        "group_id": "acme",
        "group": {"plan": "gold"},
    }
    assert contact["addresses"] == {"email": "Ann@parcours.dev"}
    assert contact["consent"] == {"email": {"": "opted_in"}}


def test_nobody_is_asked_but_the_service(service: Service, shop: Shop, address: str):
    shop.open()
    shop.call("track", "Seen")
    ours = [url for url in shop.requests if url.startswith(service.url)]
    assert ours == [f"{service.url}/v1/projects/{WRITE_KEY}/settings", f"{service.url}/v1/t"]
    rest = [url.rpartition("/")[0] for url in shop.requests if url not in ours]
    assert set(rest) == {address.rpartition("/")[0]}


def test_the_browser_asks_before_it_sends_to_another_origin(proxy: Proxy, tunnel: Shop, address: str):
    tunnel.open()
    assert tunnel.call("track", "Seen")["failed"] == ""
    (asked,) = [seen for seen in proxy.seen if seen.method == "OPTIONS"]
    (posted,) = proxy.posted()
    assert (asked.path, asked.status, posted.path, posted.status) == ("/v1/t", 204, "/v1/t", 200)
    assert asked.headers["Access-Control-Request-Headers"] == "authorization"
    assert posted.headers["Origin"] == address.rpartition("/")[0]
    assert posted.headers["Content-Type"].startswith("text/plain")
    assert json.loads(posted.body)["writeKey"] == WRITE_KEY


def test_a_visitor_who_is_identified_is_one_contact_with_what_she_did_before(service: Service, shop: Shop):
    shop.open()
    shop.call("page")
    shop.call("track", "Product Viewed", {"sku": "a"})
    visitor = shop.anonymous_id()
    assert names(service, f"anonymous_id:{visitor}") == ["page viewed", "product viewed"]
    shop.call("identify", "web-eve", {"city": "Bern"})
    shop.open(path="?next")  # another page, which knows her from the browser's storage
    shop.call("track", "Order Completed")
    assert names(service, "user_id:web-eve") == ["page viewed", "product viewed", "update", "order completed"]
    assert service.api("GET", f"/v1/contacts/anonymous_id:{visitor}").json == service.contact("web-eve")


def test_what_a_visitor_says_of_herself_is_kept_before_anybody_knows_who_she_is(service: Service, shop: Shop):
    shop.open()
    assert shop.call("identify", {"email": "kim@parcours.dev", "consent": {"email": True}})["failed"] == ""
    view = service.api("GET", f"/v1/contacts/anonymous_id:{shop.anonymous_id()}").json
    assert view["contact"]["addresses"] == {"email": "kim@parcours.dev"}
    shop.call("identify", "web-kim")
    assert service.contact("web-kim")["contact"]["addresses"] == {"email": "kim@parcours.dev"}


def test_after_a_reset_she_is_somebody_else(service: Service, shop: Shop):
    shop.open()
    shop.call("identify", "web-first")
    first = shop.anonymous_id()
    shop.page.evaluate("async () => (await window.analytics)[0].reset()")
    second = shop.anonymous_id()
    assert first != second
    shop.call("track", "Seen")
    assert names(service, f"anonymous_id:{second}") == ["seen"]
    shop.call("identify", "web-second")
    assert names(service, "user_id:web-second") == ["seen", "update"]
    assert names(service, "user_id:web-first") == ["update"]


def test_an_alias_joins_the_visitor_and_the_user(service: Service, shop: Shop):
    shop.open()
    shop.call("track", "Seen")
    shop.call("alias", "web-alias")
    assert "seen" in names(service, "user_id:web-alias")
    shop.call("alias", "web-alias-new", "web-alias")
    assert "seen" in names(service, "user_id:web-alias-new")
    assert service.contact("web-alias-new") == service.contact("web-alias")


def test_an_id_and_a_time_that_are_given_are_kept(service: Service, shop: Shop):
    shop.open()
    given = "2020-01-02T03:04:05.678Z"
    for _ in range(3):
        shop.call("track", "Old", {"n": 1}, {"messageId": "web-old-1", "timestamp": given, "userId": "web-old"})
    (row,) = inputs(service, "user_id:web-old")
    assert abs(row["occurred_at"] - datetime.fromisoformat(given).timestamp() * 1_000) < 5_000


def test_batches(service: Service, proxy: Proxy, tunnel: Shop):
    tunnel.open(BATCHING)
    tunnel.call("identify", "web-batch", {"city": "Chur"})
    for n in range(9):
        tunnel.call("track", "Counted", {"n": n})
    wait(lambda: len(proxy.posted()) == 2, tunnel.page)
    assert [(seen.path, seen.status, len(json.loads(seen.body)["batch"])) for seen in proxy.posted()] == [
        ("/v1/b", 200, 5),
        ("/v1/b", 200, 5),
    ]
    rows = inputs(service, "user_id:web-batch")
    assert sorted(row["attributes"]["n"] for row in rows if row.get("name") == "counted") == list(range(9))


@pytest.mark.parametrize("how", ["goes on", "closes the page"])
def test_what_waits_for_its_batch_is_sent_when_the_page_is_left(
    service: Service, context: BrowserContext, shop: Shop, address: str, how: str
):
    who = f"web-left-{how[:4]}"
    shop.open(BATCHING)
    shop.call("identify", who)
    shop.call("track", "Seen")
    assert names(service, f"user_id:{who}") == []
    other = context.new_page()  # so that the browser has one left
    if how == "goes on":
        shop.page.goto(address.replace("/shop", "/left"))
    else:
        shop.page.close(run_before_unload=True)
    wait(lambda: names(service, f"user_id:{who}") == ["update", "seen"], other)


def test_what_was_under_way_when_the_page_was_left_is_sent_by_the_next(service: Service, proxy: Proxy, tunnel: Shop):
    tunnel.open()
    tunnel.call("identify", "web-next")
    proxy.refuse = 1
    tunnel.call_without_waiting("track", "Seen")
    wait(lambda: proxy.refuse == 0, tunnel.page)
    tunnel.open(path="?next")
    wait(lambda: names(service, "user_id:web-next") == ["update", "seen"], tunnel.page)


def test_what_she_does_without_a_network_is_sent_when_it_is_back(service: Service, context: BrowserContext, shop: Shop):
    shop.open()
    shop.call("identify", "web-offline")
    context.set_offline(True)
    for n in range(3):
        shop.call_without_waiting("track", "Counted", {"n": n})
    shop.page.wait_for_timeout(300)
    assert names(service, "user_id:web-offline") == ["update"]
    context.set_offline(False)
    wait(lambda: len(names(service, "user_id:web-offline")) == 4, shop.page)
    rows = inputs(service, "user_id:web-offline")[1:]
    assert sorted(row["attributes"]["n"] for row in rows) == [0, 1, 2]
    assert all(row["received_at"] - row["occurred_at"] > 200 for row in rows), "each has the time at which it happened"


ONE_BY_ONE = pytest.mark.parametrize(
    "delivery", [None, {"strategy": "batching", "config": {"size": 1}}], ids=["single", "batch"]
)


@ONE_BY_ONE
def test_a_service_that_can_keep_nothing_is_tried_again(service: Service, proxy: Proxy, tunnel: Shop, delivery: Any):
    who = f"web-refused-{delivery is None}"
    tunnel.open(delivery)
    proxy.refuse = 2
    tunnel.call_without_waiting("track", "Seen", {}, {"userId": who})
    wait(lambda: len(proxy.posted()) == 3, tunnel.page)
    assert [seen.status for seen in proxy.posted()] == [0, 0, 200]
    assert [seen.headers.get("X-Retry-Count") for seen in proxy.posted()] == [None, "1", "2"]
    assert names(service, f"user_id:{who}") == ["seen"]


@ONE_BY_ONE
def test_the_library_waits_as_long_as_it_is_told_to(service: Service, proxy: Proxy, tunnel: Shop, delivery: Any):
    who = f"web-waits-{delivery is None}"
    tunnel.open(delivery)
    proxy.refuse, proxy.refusal = 1, (429, 3)
    tunnel.call_without_waiting("track", "Seen", {}, {"userId": who})
    wait(lambda: len(proxy.posted()) == 2, tunnel.page)
    first, second = proxy.posted()
    assert second.at - first.at > 2.5, "its own first wait is half a second"
    assert names(service, f"user_id:{who}") == ["seen"]


@ONE_BY_ONE
def test_what_is_sent_again_because_the_answer_was_lost_is_in_the_log_once(
    service: Service, proxy: Proxy, tunnel: Shop, delivery: Any
):
    who = f"web-lost-{delivery is None}"
    tunnel.open(delivery)
    proxy.lose = 2  # the browser itself repeats what went over a connection that it had used before; then the library
    tunnel.call_without_waiting("track", "Seen", {}, {"userId": who})
    wait(lambda: len(proxy.posted()) == 3, tunnel.page)
    assert [seen.status for seen in proxy.posted()] == [200, 200, 200]
    assert proxy.posted()[-1].headers["X-Retry-Count"] == "1"
    assert names(service, f"user_id:{who}") == ["seen"]


def test_a_page_may_have_the_library_send_headers_of_its_own(service: Service, shop: Shop):
    shop.open({"config": {"headers": {"X-Shop": "Bern"}}})
    assert shop.call("track", "Seen", {}, {"userId": "web-header"})["failed"] == ""
    assert names(service, "user_id:web-header") == ["seen"]


def test_the_page_is_told_of_a_wrong_key(service: Service, shop: Shop):
    with pytest.raises(Exception, match="wrong_key"):
        shop.open(key="wrong")
    assert any("401" in line for line in shop.complaints)


def test_the_page_is_told_of_a_message_that_was_refused(service: Service, shop: Shop):
    shop.open()
    assert shop.call("track", "Before", {}, {"userId": "web-nul"})["failed"] == ""
    assert "400" in shop.call("track", "With NUL", {"text": "a\0b"}, {"userId": "web-nul"})["failed"]
    assert shop.call("track", "After", {}, {"userId": "web-nul"})["failed"] == ""
    assert names(service, "user_id:web-nul") == ["before", "after"]


def test_the_script_for_a_snippet(service: Service, page: Page, site: Any, installed: Callable[[str], bytes]):
    """`standalone.js` is what the snippet in the head of a page loads; calls made before are waiting for it."""
    site.add("/standalone.js", installed("@segment/analytics-next/dist/umd/standalone.js"), "text/javascript")
    snippet = f"""<script>
        var analytics = window.analytics = [];
        analytics._writeKey = {json.dumps(WRITE_KEY)};
        analytics._cdn = {json.dumps(service.url)};
        for (const name of ["page", "identify", "track", "ready", "reset"]) {{
            analytics[name] = (...given) => {{ analytics.push([name, ...given]); return analytics; }};
        }}
        analytics.page();
        analytics.identify("web-snippet", {{city: "Genf"}});
        analytics.track("Order Completed", {{total: 5}});
    </script><script async src="/standalone.js"></script>"""
    page.goto(site.add("/snippet", snippet))
    wait(lambda: len(inputs(service, "user_id:web-snippet")) == 3, page)
    # They are sent side by side, so their order is open.
    assert sorted(names(service, "user_id:web-snippet")) == ["order completed", "page viewed", "update"]
