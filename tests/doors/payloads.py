"""Payloads as the vendors' public documentation has them (shortened to what concerns us), and how vendors sign them.

Each was held against its page field by field. What the pages, as far as they could be read, do not say:

| vendor   | not verified                                                                                                 |
|----------|--------------------------------------------------------------------------------------------------------------|
| Shopify  | how `customers/email_marketing_consent_update` names the customer: `customer_id` and `email_address`, or       |
|          | `id` and `email`, are both taken; that `shipment_status` is the list of FulfillmentEventStatus in lower case   |
| Zendesk  | the case of a status: `SOLVED` in what was seen of events, `Open` in an example of somebody else's            |
| Adobe    | the fields of an order: each shop chooses them; `events:info` prints them                                     |
| Reviews  | a signature: REVIEWS.io documents none, so it is ours for a relay; and no instant is in the body              |
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ADOBE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ADOBE_CLIENT = "e142407e73ef48f884aeb8e925c1e256"


def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


SECRETS = {
    "shopify": "shpss_0123456789abcdef",
    # https://developer.zendesk.com/documentation/webhooks/verifying/ has this one for tests.
    "zendesk": "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
    "adobe-commerce": f"{ADOBE_CLIENT}\n{pem(OTHER_KEY)}{pem(ADOBE_KEY)}",
    "reviews": "reviews-secret",
    "shop": "shop-secret",
}

SHOP = """
signature: {headers: [X-Hub-Signature-256], encoding: hex, prefix: "sha256="}
topic: body.event
topics:
  visit:
    - interaction: Store Visited
      identities: {card: body.card}
      attributes: {store: body.store}
      occurred_at: body.at
      message_id: body.id
    - contact: true
      identities: {card: body.card}
      attributes: {last_store: body.store}
      message_id: body.id
  strict:
    - interaction: Strict
      identities: {card: body.card}
      attributes: {n: body.n}
"""


def hmac_of(secret: str, message: bytes) -> bytes:
    return hmac.new(secret.encode(), message, hashlib.sha256).digest()


def shopify(topic: str, body: bytes, delivery: str, secret: str = SECRETS["shopify"]) -> dict[str, str]:
    """The headers of https://shopify.dev/docs/apps/build/webhooks/subscribe/https."""
    return {
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": base64.b64encode(hmac_of(secret, body)).decode(),
        "X-Shopify-Shop-Domain": "example.myshopify.com",
        "X-Shopify-API-Version": "2026-04",
        "X-Shopify-Webhook-Id": delivery,
        "X-Shopify-Triggered-At": "2023-03-29T18:00:27.877041743Z",
    }


def zendesk(body: bytes, sent: datetime | str | None = None, secret: str = SECRETS["zendesk"]) -> dict[str, str]:
    """The headers of https://developer.zendesk.com/documentation/webhooks/verifying/."""
    time = sent if isinstance(sent, str) else f"{sent or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {
        "X-Zendesk-Webhook-Signature": base64.b64encode(hmac_of(secret, time.encode() + body)).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": time,
    }


def adobe(body: bytes, key: rsa.RSAPrivateKey = ADOBE_KEY) -> dict[str, str]:
    """The headers of https://developer.adobe.com/events/docs/guides/sdk/sdk-signature-verification."""
    signed, other = (
        base64.b64encode(each.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()
        for each in (key, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    )
    return {
        "x-adobe-digital-signature-1": other,
        "x-adobe-digital-signature-2": signed,
        "x-adobe-public-key1-path": "/prod/keys/pub-key-3fVj0Lv0QB.pem",
        "x-adobe-public-key2-path": "/prod/keys/pub-key-rEMVhXS4Bx.pem",
    }


def reviews(body: bytes) -> dict[str, str]:
    return {"X-Signature": hmac_of(SECRETS["reviews"], body).hex()}


def shop(body: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac_of(SECRETS["shop"], body).hex()}


# --- Shopify: the sample payloads of https://shopify.dev/docs/api/webhooks, by topic ---------------------------------
# The states of a delivery: https://shopify.dev/docs/api/admin-graphql/latest/enums/FulfillmentEventStatus

_LINE_ITEM = {
    "id": 866550311766439020, "variant_id": 808950810, "title": "IPod Nano - 8GB", "quantity": 1,
    "sku": "IPOD2008PINK", "variant_title": None, "product_id": 632910392, "name": "IPod Nano - 8GB",
    "price": "199.00", "total_discount": "0.00", "taxable": True,
}  # fmt: skip
_CUSTOMER = {
    "id": 115310627314723954, "email": "john@example.com", "first_name": "John", "last_name": "Smith",
    "state": "disabled", "verified_email": True, "phone": None, "tags": "", "currency": "USD",
    "created_at": None, "updated_at": None,
}  # fmt: skip
ORDER: dict[str, Any] = {
    "id": 820982911946154508, "admin_graphql_api_id": "gid://shopify/Order/820982911946154508", "name": "#9999",
    "email": "jon@example.com", "contact_email": "jon@example.com", "cancel_reason": None, "cancelled_at": None,
    "created_at": "2021-12-31T19:00:00-05:00", "updated_at": "2021-12-31T19:00:00-05:00", "currency": "USD",
    "total_price": "398.00", "subtotal_price": "388.00", "total_tax": "0.00", "total_discounts": "20.00",
    "financial_status": "voided", "fulfillment_status": None, "source_name": "web", "tags": "tag1, tag2",
    "discount_codes": [], "customer": _CUSTOMER, "line_items": [_LINE_ITEM, {**_LINE_ITEM, "quantity": 2}],
}  # fmt: skip
CANCELLED = {**ORDER, "cancel_reason": "customer", "cancelled_at": "2021-12-31T19:30:00-05:00"}
CHECKOUT = {
    "id": 981820079255243537, "token": "123123123", "cart_token": "eeafa272cebfd4b22385bc4b645e762c",
    "email": "example@email.com", "created_at": "2021-12-31T19:00:00-05:00", "currency": "USD",
    "total_price": "409.94", "abandoned_checkout_url": "https://jsmith.myshopify.com/checkouts/123123123/recover",
    "line_items": [_LINE_ITEM], "customer": {"id": 603851970716743426, "email": "bob@biller.com"},
}  # fmt: skip
CUSTOMER = {
    "id": 706405506930370084, "email": "bob@biller.com", "created_at": "2021-12-31T19:00:00-05:00",
    "updated_at": "2021-12-31T19:00:00-05:00", "first_name": "Bob", "last_name": "Biller",
    "state": "disabled", "note": "This customer loves ice cream", "verified_email": True, "phone": None,
    "default_address": {"city": "Ottawa", "country_code": "CA"},
}  # fmt: skip
# Before version 2025-01 the same had these, too.
CUSTOMER_2024 = {
    **CUSTOMER, "orders_count": 0, "tags": "",
    "email_marketing_consent": {"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": None},
}  # fmt: skip
CONSENT = {
    "customer_id": 706405506930370085, "email_address": "sue@biller.com",
    "email_marketing_consent": {
        "state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": "2021-12-31T19:00:00-05:00",
    },
}  # fmt: skip
FULFILLMENT = {
    "id": 123456, "order_id": 820982911946154508, "status": "pending", "created_at": "2021-12-31T19:00:00-05:00",
    "service": None, "updated_at": "2021-12-31T19:00:00-05:00", "tracking_company": "UPS", "shipment_status": None,
    "email": "jon@example.com", "tracking_number": "1z827wk74630", "tracking_url": None, "name": "#9999.1",
    "line_items": [_LINE_ITEM],
}  # fmt: skip

# --- Zendesk: https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events --------------------------

TICKET = {
    "actor_id": "8447388090494", "assignee_id": "8447388090494", "brand_id": "8447346621310",
    "created_at": "2025-01-08T10:12:07Z", "custom_status": "8447320465790", "description": "ticket creation test",
    "external_id": None, "form_id": "8646151517822", "group_id": "8447320466430", "id": "5158", "is_public": True,
    "organization_id": "8447346622462", "priority": "LOW", "requester_id": "8447388090494", "status": "OPEN",
    "subject": "ticket creation test", "submitter_id": "8447388090494", "tags": ["test-tag"], "type": "TASK",
    "updated_at": "2025-01-08T10:12:07Z", "via": {"channel": "web_service"},
}  # fmt: skip
TICKET_CREATED: dict[str, Any] = {
    "account_id": 22129848, "detail": TICKET,
    "event": {"meta": {"sequence": {"id": "4D3A6E5F2B", "position": 1}}}, "id": "cbe4028c-7239-495d-b020-f22348516046",
    "subject": "zen:ticket:5158", "time": "2025-01-08T10:12:07.672717030Z", "type": "zen:event-type:ticket.created",
    "zendesk_event_version": "2022-11-06",
}  # fmt: skip
TICKET_SOLVED = {
    **TICKET_CREATED,
    "detail": {**TICKET, "status": "SOLVED"},
    "event": {**TICKET_CREATED["event"], "current": "SOLVED", "previous": "OPEN"},
    "id": "2b24ef10-19d0-4740-93cd-6f98ec2bdb0e",
    "type": "zen:event-type:ticket.status_changed",
}

# --- Adobe Commerce: an event of https://developer.adobe.com/commerce/extensibility/events/ as I/O Events delivers it -

ADOBE_ORDER: dict[str, Any] = {
    "data": {
        "key": "f6e8e5a0-0f33-4b4a-8d3d-0d3f7a6e1c11",
        "value": {
            "entity_id": "313", "increment_id": "000000313", "state": "new", "status": "pending",
            "customer_id": "7", "customer_email": "Roni_cost@example.com", "customer_firstname": "Veronica",
            "order_currency_code": "USD", "grand_total": 505.75, "tax_amount": 0, "total_item_count": 1,
            "created_at": "2023-08-16 08:40:19", "updated_at": "2023-08-16 08:40:19",
            "items": [{"product_id": "1", "sku": "24-MB01", "name": "Joust Duffle Bag", "price": 34, "qty_ordered": 1}],
        },
        "_metadata": {
            "commerceEdition": "Adobe Commerce", "commerceVersion": "2.4.6", "eventsClientVersion": "1.9.0",
            "storeId": "1", "websiteId": "1", "storeGroupId": "1",
        },
        "source": "example.production",
    },
    "id": "80579197-e708-47bf-801c-7a82ec7d36c4", "source": "urn:uuid:1d02b72b-225f-45a0-a45f-4e89e1b3f300",
    "specversion": "1.0", "type": "com.adobe.commerce.observer.sales_order_save_commit_after",
    "datacontenttype": "application/json", "time": "2023-08-16T08:40:32.811Z",
    "event_id": "bdc6d818-d6d8-4e80-b78f-d8c47890ff40", "recipient_client_id": ADOBE_CLIENT,
}  # fmt: skip

# --- Reviews: the body of https://developer.reviews.io/reference/2966f9313240bd3856bb4045dac3731f --------------------

REVIEW = {
    "id": "1843", "review_type": "product", "order_id": "820982911946154508", "rating": "5",
    "comments": "Just as described", "user": {"name": "Jane Doe", "email_address": "Jane@Example.com"},
    "product": {"sku": "IPOD2008PINK"},
}  # fmt: skip


def raw(payload: Any) -> bytes:
    return json.dumps(payload).encode()
