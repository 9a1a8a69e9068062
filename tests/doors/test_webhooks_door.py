"""Webhooks over real HTTP to a real service: signatures, what deliveries become, trying one out."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from parcours.errors import InvalidDefinitionError
from parcours.sources.segment import MalformedError
from parcours.sources.webhooks import BUILT_IN, load_webhooks, public_keys, read_mapping, verify_rsa
from parcours.wiring import SettingsError, build, settings_from
from tests.doors import payloads
from tests.doors.payloads import raw
from tests.service import Answer, Service

_numbers = itertools.count(1)


def deliver(service: Service, name: str, body: bytes, headers: Mapping[str, str], trial: bool = False) -> Answer:
    path = f"/v1/webhooks/{name}" + ("/try" if trial else "")
    return service.post(path, body, key="sk_test" if trial else None, headers=headers)


def shopify(service: Service, topic: str, payload: Any) -> list[str]:
    body = raw(payload)
    answer = deliver(service, "shopify", body, payloads.shopify(topic, body, f"delivery-{next(_numbers)}"))
    assert answer.status == 200, answer
    return [result["status"] for result in answer.json["results"]]


def newest(service: Service, who: str) -> dict[str, Any]:
    answer = service.api("GET", f"/v1/contacts/{who}")
    assert answer.status == 200, answer
    return answer.json["inputs"][0]["input"]


def contact(service: Service, who: str) -> dict[str, Any]:
    return service.api("GET", f"/v1/contacts/{who}").json["contact"]


# --- Shopify ----------------------------------------------------------------------------------------------------------


def test_shopify_orders(service: Service):
    assert shopify(service, "orders/create", payloads.ORDER) == ["accepted"]
    found = newest(service, "email:jon@example.com")
    assert found["name"] == "order completed"
    attributes = found["attributes"]
    assert (attributes["order_id"], attributes["total"], attributes["discount"]) == ("820982911946154508", 398.0, 20.0)
    assert attributes["products"][1] == {
        "product_id": 632910392, "variant_id": 808950810, "sku": "IPOD2008PINK", "name": "IPod Nano - 8GB",
        "price": 199.0, "quantity": 2,
    }  # fmt: skip
    assert "fulfillment_status" not in attributes
    assert datetime.fromtimestamp(found["occurred_at"] / 1000, UTC) == datetime(2022, 1, 1, tzinfo=UTC)
    assert newest(service, "shopify_customer_id:115310627314723954") == found

    assert shopify(service, "orders/paid", payloads.ORDER) == ["accepted"]
    assert newest(service, "email:jon@example.com")["name"] == "order paid"
    assert shopify(service, "orders/cancelled", payloads.CANCELLED) == ["accepted"]
    found = newest(service, "email:jon@example.com")
    assert (found["name"], found["attributes"]["reason"]) == ("order cancelled", "customer")


def test_shopify_checkouts(service: Service):
    assert shopify(service, "checkouts/create", payloads.CHECKOUT) == ["accepted"]
    found = newest(service, "email:example@email.com")
    assert (found["name"], found["attributes"]["value"]) == ("checkout started", 409.94)


@pytest.mark.parametrize("topic", ["customers/create", "customers/update"])
def test_shopify_customers(service: Service, topic: str):
    assert shopify(service, topic, payloads.CUSTOMER_2024) == ["accepted"]
    found = contact(service, "shopify_customer_id:706405506930370084")
    assert found["attributes"]["city"] == "Ottawa"
    assert found["addresses"]["email"] == "bob@biller.com"
    assert "opted_in" in str(found["consent"]["email"])
    unsure = {**payloads.CUSTOMER_2024, "email_marketing_consent": {"state": "pending"}}
    for payload in (unsure, payloads.CUSTOMER):
        assert shopify(service, topic, payload) == ["accepted"]
        assert contact(service, "shopify_customer_id:706405506930370084")["consent"] == found["consent"]


def test_consent_at_shopify_has_a_topic_of_its_own(service: Service):
    topic = "customers/email_marketing_consent_update"
    assert shopify(service, topic, payloads.CONSENT) == ["accepted"]
    assert "opted_in" in str(contact(service, "shopify_customer_id:706405506930370085")["consent"]["email"])
    gone = {"state": "unsubscribed", "consent_updated_at": "2022-12-31T19:00:00-05:00"}
    other = {"id": 706405506930370085, "email": "sue@biller.com", "email_marketing_consent": gone}
    assert shopify(service, topic, other) == ["accepted"]
    assert "opted_out" in str(contact(service, "email:sue@biller.com")["consent"]["email"])


@pytest.mark.parametrize(
    "topic, state, name",
    [
        ("fulfillments/create", None, "order shipped"),
        ("fulfillments/update", "out_for_delivery", "order out for delivery"),
        ("fulfillments/update", "delivered", "order delivered"),
        ("fulfillments/update", "failure", "delivery failed"),
        ("fulfillments/update", "attempted_delivery", "delivery failed"),
        ("fulfillments/update", "in_transit", "delivery updated"),
        ("fulfillments/update", None, "delivery updated"),
    ],
)
def test_shopify_deliveries(service: Service, topic: str, state: str | None, name: str):
    assert shopify(service, topic, {**payloads.FULFILLMENT, "shipment_status": state}) == ["accepted"]
    found = newest(service, "email:jon@example.com")
    assert (found["name"], found["attributes"]["tracking_number"]) == (name, "1z827wk74630")


def test_a_delivery_counts_once(service: Service):
    body = raw(payloads.ORDER)
    headers = payloads.shopify("orders/create", body, "the-same-delivery")
    found = [deliver(service, "shopify", body, headers).json["results"][0]["status"] for _ in range(3)]
    assert found == ["accepted", "duplicate", "duplicate"]


def test_other_topics_and_orders_of_nobody_are_answered_with_200(service: Service):
    """Shopify takes a subscription away after too many answers that are not 2xx."""
    assert shopify(service, "products/update", {"id": 1}) == []
    anonymous = {**payloads.ORDER, "email": "", "contact_email": None, "customer": None}
    assert shopify(service, "orders/create", anonymous) == ["rejected"]


# --- signatures -------------------------------------------------------------------------------------------------------


def changes(headers: dict[str, str], name: str) -> list[dict[str, str]]:
    without = {key: value for key, value in headers.items() if key != name}
    return [
        without,
        *({**headers, name: value} for value in ("", "x", "AAAA", headers[name][:-2], "é", headers[name] * 2)),
    ]


def test_a_wrong_signature_or_none_is_refused(service: Service):
    body = raw(payloads.ORDER)
    right = payloads.shopify("orders/create", body, "never")
    wrong = changes(right, "X-Shopify-Hmac-Sha256")
    wrong.append(payloads.shopify("orders/create", body, "never", secret="another"))
    wrong.append(payloads.shopify("orders/create", body + b" ", "never"))
    before = service.report()["records"]
    for headers in wrong:
        answer = deliver(service, "shopify", body, headers)
        assert (answer.status, answer.json["error"]["code"]) == (401, "wrong_signature")
    assert service.report()["records"] == before


def test_a_signature_goes_over_the_body_as_it_was_sent(service: Service):
    packed = gzip.compress(raw(payloads.ORDER))
    headers = {**payloads.shopify("orders/create", packed, "packed"), "Content-Encoding": "gzip"}
    assert deliver(service, "shopify", packed, headers).json["accepted"] == 1


def test_webhooks_without_a_secret_or_a_mapping_are_closed(tmp_path: Path):
    body = raw(payloads.ORDER)
    with Service(tmp_path / "data") as closed:
        for name in ("shopify", "nothing", "", "shopify/else", "../etc", "shopify/try/x"):
            answer = deliver(closed, name, body, payloads.shopify("orders/create", body, "x", secret=""))
            assert answer.status in {401, 404}, (name, answer)
        assert deliver(closed, "shopify", body, {}).json["error"]["hint"] == "set PARCOURS_WEBHOOK_SHOPIFY_SECRET"


def test_only_post(service: Service):
    assert service.request("GET", "/v1/webhooks/shopify").status == 405
    assert service.request("PUT", "/v1/webhooks/shopify", b"{}").status == 405


def test_what_is_no_json(service: Service):
    for body in (b"", b"{", b"\xff", b'"\\ud83d"', b'{"a":' * 100_000):
        answer = deliver(service, "shopify", body, payloads.shopify("orders/create", body, "no-json"))
        assert (answer.status, answer.json["rejected"]) == (200, 1), "a vendor would send it again, or leave"
        assert answer.json["results"][0]["error"]["code"]
    kept = service.api("GET", "/v1/webhooks/shopify/rejected").json["deliveries"]
    assert [one["body"] for one in kept[1:5]] == ['"\\ud83d"', "\ufffd", "{", ""]
    assert kept[3]["results"][0]["error"]["code"] == "invalid_json"
    assert len(kept[0]["body"]) <= 64 * 1024
    for body in (b"null", b"[]", b"5", b'{"line_items": 5, "customer": [], "email": {"a": 1}}'):
        answer = deliver(service, "shopify", body, payloads.shopify("orders/create", body, "no-json"))
        assert (answer.status, answer.json["rejected"]) == (200, 1)


# --- Zendesk ----------------------------------------------------------------------------------------------------------


def test_zendesk(service: Service):
    for payload, name in ((payloads.TICKET_CREATED, "ticket created"), (payloads.TICKET_SOLVED, "ticket solved")):
        body = raw(payload)
        answer = deliver(service, "zendesk", body, payloads.zendesk(body))
        assert answer.json["results"] == [{"index": 0, "id": payload["id"], "status": "accepted"}]
        found = newest(service, "zendesk_requester_id:8447388090494")
        assert (found["name"], found["attributes"]["ticket_id"], found["attributes"]["channel"]) == (
            name, "5158", "web_service",
        )  # fmt: skip
    assert found["attributes"]["previous_status"] == "OPEN"
    pending = raw({**payloads.TICKET_SOLVED, "event": {"current": "PENDING", "previous": "OPEN"}, "id": "other"})
    assert deliver(service, "zendesk", pending, payloads.zendesk(pending)).json["results"] == []


def test_a_delivery_of_zendesk_cannot_be_replayed(service: Service):
    body = raw(payloads.TICKET_CREATED)
    now = datetime.now(UTC)
    for sent in (now - timedelta(minutes=6), now + timedelta(minutes=6), "", "soon", "0", "9" * 40, "2021-03-25"):
        answer = deliver(service, "zendesk", body, payloads.zendesk(body, sent))
        assert (answer.status, answer.json["error"]["code"]) == (401, "wrong_signature"), sent
    later = {**payloads.zendesk(body), "X-Zendesk-Webhook-Signature-Timestamp": f"{now + timedelta(seconds=9):%FT%TZ}"}
    assert deliver(service, "zendesk", body, later).json["error"]["message"] == "the signature is not right"
    assert deliver(service, "zendesk", body, payloads.zendesk(body, now - timedelta(minutes=4))).status == 200


# --- Adobe Commerce ---------------------------------------------------------------------------------------------------


def adobe(service: Service, change: Mapping[str, Any], event: str) -> Answer:
    data = {**payloads.ADOBE_ORDER["data"], "value": {**payloads.ADOBE_ORDER["data"]["value"], **change}}
    body = raw({**payloads.ADOBE_ORDER, "event_id": event, "data": data})
    return deliver(service, "adobe-commerce", body, payloads.adobe(body))


def test_adobe_commerce(service: Service):
    for number, (change, name) in enumerate(
        (
            ({}, "order completed"),
            ({"updated_at": "2023-08-17 08:40:19", "status": "canceled"}, "order cancelled"),
            ({"updated_at": "2023-08-17 08:40:19", "status": "complete"}, "order fulfilled"),
        )
    ):
        assert adobe(service, change, f"adobe-{number}").json["accepted"] == 1
        found = newest(service, "email:roni_cost@example.com")
        assert (found["name"], found["attributes"]["total"]) == (name, 505.75)
    assert adobe(service, {"updated_at": "2023-08-17 08:40:19", "status": "processing"}, "x").json["results"] == []


def test_adobe_signs_for_everybody_so_the_recipient_counts(service: Service):
    body = raw(payloads.ADOBE_ORDER)
    assert deliver(service, "adobe-commerce", body, payloads.adobe(body, payloads.OTHER_KEY)).status == 200
    foreign = payloads.rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert deliver(service, "adobe-commerce", body, payloads.adobe(body, foreign)).status == 401
    for someone in ("somebody-else", "", None, 5):
        other = raw({**payloads.ADOBE_ORDER, "recipient_client_id": someone})
        answer = deliver(service, "adobe-commerce", other, payloads.adobe(other))
        assert (answer.status, answer.json["error"]["message"]) == (401, "it is meant for somebody else")


def test_adobe_asks_whether_the_address_is_ours(service: Service):
    answer = service.request("GET", "/v1/webhooks/adobe-commerce?challenge=8ec8d794-e0ab-42df-9017-e3dada8e84f7")
    assert answer.json == {"challenge": "8ec8d794-e0ab-42df-9017-e3dada8e84f7"}
    assert service.request("GET", "/v1/webhooks/adobe-commerce").status == 400
    assert service.request("GET", "/v1/webhooks/adobe-commerce?" + "a=1&" * 100).status == 400


def test_rsa_signatures_of_any_length_are_no_trouble():
    (key,) = public_keys(payloads.pem(payloads.ADOBE_KEY).replace("\n", "\\n"))
    for signature in (b"", b"\0", b"\0" * 256, b"\xff" * 256, b"\1" * 257):
        assert not verify_rsa(key, b"x", signature)
    broken = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----"
    assert public_keys("".join(broken.format(text) for text in ("", "x", "MIIB", "MAA=", "AAAA"))) == []


# --- reviews and one's own --------------------------------------------------------------------------------------------


def test_reviews(service: Service):
    body = raw(payloads.REVIEW)
    assert deliver(service, "reviews", body, payloads.reviews(body)).json["accepted"] == 1
    found = newest(service, "email:jane@example.com")
    assert (found["name"], found["attributes"]["rating"]) == ("review created", 5)
    assert deliver(service, "reviews", body, payloads.reviews(body)).json["duplicates"] == 1


def test_a_mapping_of_ones_own_may_make_several_things_of_a_delivery(service: Service):
    body = raw({"event": "visit", "card": 77, "store": "Lyon", "at": 1767268800, "id": "v1"})
    answer = deliver(service, "shop", body, payloads.shop(body))
    assert [(result["id"], result["status"]) for result in answer.json["results"]] == [
        ("v1", "accepted"), ("v1#1", "accepted"),
    ]  # fmt: skip
    found = service.api("GET", "/v1/contacts/card:77").json
    assert found["contact"]["attributes"]["last_store"] == "Lyon"
    assert {row["input"]["occurred_at"] for row in found["inputs"] if "name" in row["input"]} == {1767268800000}
    without_id = raw({"event": "strict", "card": 77, "n": 1})
    found = [deliver(service, "shop", without_id, payloads.shop(without_id)).json["results"][0] for _ in range(2)]
    assert [result["status"] for result in found] == ["accepted", "duplicate"]


def test_declared_types_are_checked(service: Service):
    body = raw({"event": "strict", "card": 77, "n": "x"})
    (result,) = deliver(service, "shop", body, payloads.shop(body)).json["results"]
    assert (result["status"], result["error"]["pointer"]) == ("rejected", "/attributes/n")


# --- trying -----------------------------------------------------------------------------------------------------------


def test_trying_sends_nothing(service: Service):
    body = raw({**payloads.ORDER, "email": "tried@example.com", "contact_email": None})
    before = service.report()["records"]
    answer = deliver(service, "shopify", body, payloads.shopify("orders/create", body, "tried"), trial=True)
    assert answer.status == 200
    said = answer.json
    (item,) = said["items"]
    assert (said["topic"], said["signature"]) == ("orders/create", "right")
    assert (item["id"], item["interaction"], item["attributes"]["total"]) == ("tried", "Order Completed", 398.0)
    assert item["identities"] == [["shopify_customer_id", "115310627314723954"], ["email", "tried@example.com"]]
    assert "error" not in item
    unsigned = deliver(service, "shopify", body, {"X-Shopify-Topic": "orders/create"}, trial=True).json
    assert (unsigned["signature"], len(unsigned["items"])) == ("there is no signature in X-Shopify-Hmac-Sha256", 1)
    assert service.report()["records"] == before
    assert service.api("GET", "/v1/contacts/email:tried@example.com").status == 404


def test_trying_shows_contacts_and_what_is_wrong(service: Service):
    body = raw(payloads.CUSTOMER_2024)
    (item,) = deliver(service, "shopify", body, {"X-Shopify-Topic": "customers/update"}, trial=True).json["items"]
    assert (item["contact"], item["consent"], item["addresses"]) == (
        True, {"email": {"": "opted_in"}}, {"email": "bob@biller.com"},
    )  # fmt: skip
    for card, code in ((None, "no_identity"), (7, "wrong_type")):
        body = raw({"event": "strict", "n": "x", "card": card})
        (item,) = deliver(service, "shop", body, {}, trial=True).json["items"]
        assert item["error"]["code"] == code


def test_trying_needs_the_secret_key(service: Service):
    for key in (None, "wk_test", "wrong"):
        assert service.post("/v1/webhooks/shopify/try", {}, key=key).status == 401
    assert service.post("/v1/webhooks/nothing/try", {}, key="sk_test").status == 404
    assert service.request("GET", "/v1/webhooks/adobe-commerce/try?challenge=1").status == 401


# --- mappings ---------------------------------------------------------------------------------------------------------


def test_every_mapping_says_where_its_rules_come_from():
    assert set(load_webhooks(BUILT_IN)) == {"shopify", "zendesk", "adobe-commerce", "reviews"}
    for path in BUILT_IN.glob("*.yaml"):
        assert "https://" in path.read_text(encoding="utf-8").partition("documentation:")[2]


@pytest.mark.parametrize(
    "text, code",
    [
        ("", "wrong_type"),
        ("{", "invalid_yaml"),
        ("signature: {headers: [a]}", "missing_field"),
        ("signature: {headers: []}\ntopics: {}", "invalid_mapping"),
        ("signature: {headers: [a], algorithm: md5}\ntopics: {}", "invalid_value"),
        ("signature: {headers: [a]}\ntopic: 'body.['\ntopics: {}", "invalid_expression"),
        ("signature: {headers: [a]}\ntopics: {t: [{interaction: a}]}", "no_identity"),
        ("signature: {headers: [a]}\ntopics: {t: [{identities: {a: b}}]}", "invalid_mapping"),
        (
            "signature: {headers: [a]}\ntopics: {t: [{contact: true, identities: {a: b}, consent: {fax: c}}]}",
            "invalid_mapping",
        ),
        (
            "signature: {headers: [a]}\ntopics: {t: [{interaction: a, identities: {a: b}, colour: red}]}",
            "unknown_field",
        ),
    ],
)
def test_a_mapping_that_is_of_no_use(tmp_path: Path, text: str, code: str):
    with pytest.raises(MalformedError) as caught:
        read_mapping("x", text)
    assert caught.value.problem.code == code
    (tmp_path / "x.yaml").write_text(text)
    (tmp_path / "Bad Name.yaml").write_text(text)
    with pytest.raises(InvalidDefinitionError) as several:
        load_webhooks(tmp_path)
    assert [Path(problem.file).name for problem in several.value.problems] == ["Bad Name.yaml", "x.yaml"]


def test_an_expression_that_does_not_fit_rejects_the_item(service: Service):
    mapping = "signature: {headers: [a]}\ntopics: {'': [{interaction: a, identities: {a: length(body.n)}}]}"
    (item,) = read_mapping("x", mapping).items({}, {"n": 5}, b"")
    assert item.problem is not None
    assert (item.problem.code, item.problem.pointer) == ("expression_failed", "/identities/a")


def test_settings(tmp_path: Path):
    environment = {"PARCOURS_WEBHOOK_ADOBE_COMMERCE_SECRET": "x", "PARCOURS_WEBHOOK_REVIEWS_SECRET": ""}
    assert settings_from({}, environment).webhook_secrets == {"adobe-commerce": "x"}
    settings = settings_from({"data": tmp_path}, {"PARCOURS_WEBHOOK_NOTHING_SECRET": "x"})
    with pytest.raises(SettingsError, match="'nothing'"):
        build(settings)
