"""What is an address of a channel, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parcours.definitions.message import ADDRESSES, CHANNELS
from parcours.sources.addresses import address_of, normalize_phone
from parcours.sources.plain import learned_from

BROWSER = {"endpoint": "https://push.example.com/s/1", "expirationTime": None, "keys": {"p256dh": "BN", "auth": "k"}}
KEPT = '{"endpoint":"https://push.example.com/s/1","keys":{"p256dh":"BN","auth":"k"}}'


@pytest.mark.parametrize(
    "written, number",
    [
        ("+12025550123", "+12025550123"),
        (" +1 (202) 555-0123 ", "+12025550123"),
        ("+31 6 12.34.56.78", "+31612345678"),
        ("0031612345678", "+31612345678"),
        ("+49\u00a030\u202f1234/567", "+49301234567"),
        ("+12345678", "+12345678"),
        ("+123456789012345", "+123456789012345"),
        ("+1234567890123456", None),  # 16 digits
        ("+1234567", None),
        ("+0612345678", None),  # no country begins with 0
        ("06 12345678", None),  # which country?
        ("202-555-0123", None),
        ("+1202555O123", None),
        ("+12025550123 ext 4", None),
        ("++12025550123", None),
        ("+١٢٣٤٥٦٧٨٩", None),  # digits, but not those of E.164
        ("", None),
    ],
)
def test_a_phone_number_is_kept_in_e164_or_not_at_all(written: str, number: str | None):
    assert normalize_phone(written) == number


@pytest.mark.parametrize("given", [BROWSER, json.dumps(BROWSER)])
def test_a_subscription_is_taken_as_the_browser_gives_it(given: Any):
    assert address_of("web_push", given) == KEPT


@pytest.mark.parametrize(
    "given",
    [
        "token", "[]", "{", 4, None, [BROWSER], {},
        BROWSER | {"endpoint": "http://push.example.com/s/1"},
        BROWSER | {"endpoint": "https://"},
        BROWSER | {"endpoint": "https://[", "keys": BROWSER["keys"]},
        BROWSER | {"keys": {"p256dh": "BN"}},
        BROWSER | {"keys": {"p256dh": "BN", "auth": ""}},
        BROWSER | {"keys": None},
        BROWSER | {"endpoint": "https://push.example.com/" + "x" * 5_000},
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_subscription(given: Any):
    assert address_of("web_push", given) is None


def test_what_is_told_of_a_contact_gives_its_addresses():
    told = {"email": "Ann@Example.DEV", "phone": "+1 202 555 0123", "push_token": " t ", "web_push": BROWSER}
    assert learned_from(told).addresses == {
        "email": "Ann@example.dev", "sms": "+12025550123", "push": "t", "web_push": KEPT
    }  # fmt: skip
    assert learned_from({"phone": "12"}).addresses == {"sms": None}


def test_an_attribute_is_the_address_of_one_channel():
    addressed = [channel for channel, fields in CHANNELS.items() if fields.address]
    assert sorted(ADDRESSES.values()) == sorted(addressed)
