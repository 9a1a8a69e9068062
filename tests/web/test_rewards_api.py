"""Rewards and coupons over the API and on the command line, over real HTTP to a real service."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import Said, parcours
from tests.service import SECRET_KEY, Service
from tests.web.test_loyalty_api import got

DEFINITIONS = [
    {"kind": "reward", "name": "ten", "percent": 10, "minimum": 20, "valid_for": "30d"},
    {"kind": "reward", "name": "five", "value": 5, "currency": "EUR", "stock": 1, "personal": False},
    {"kind": "reward", "name": "partner", "gift": "a cup", "codes": {"type": "pool"}},
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("rewards") / "data") as running:
        answer = running.publish(*DEFINITIONS)
        assert answer.status == 200, answer.body
        yield running
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]


_numbers = itertools.count(1)


@pytest.fixture
def who() -> str:
    return f"user_id:p{next(_numbers)}"


def issue(api: Service, who: str, reward: str = "ten", status: int = 200, **body: Any) -> Any:
    return got(api.api("POST", f"/v1/loyalty/rewards/{reward}/issue", {"contact": who, **body}), status)


def coupon(api: Service, action: str, code: str, status: int = 200, **body: Any) -> Any:
    return got(api.api("POST", f"/v1/loyalty/coupons/{action}", {"code": code, **body}), status)


def test_a_coupon_is_issued_checked_and_redeemed_once(api: Service, who: str):
    answer = issue(api, who, id="i1")
    code = answer["coupon"]["code"]
    assert issue(api, who, id="i1") == answer | {"repeated": True}
    checked = coupon(api, "check", code.lower(), contact=who, basket=45.05)
    assert (checked["valid"], checked["discount"], checked["coupon"]["state"]) == (True, 4.51, "issued")
    assert coupon(api, "check", code, contact=who, basket=19.99)["reason"] == "below_minimum"
    done = coupon(api, "redeem", code, contact=who, basket=45.05, order="o1", id="r1")
    assert (done["status"], done["discount"], done["coupon"]["order"]) == ("done", 4.51, "o1")
    assert coupon(api, "redeem", code, contact=who, basket=45.05, order="o1", id="r1") == done | {"repeated": True}
    assert coupon(api, "redeem", code, 409, contact=who, basket=45.05, id="r2")["reason"] == "redeemed"
    assert coupon(api, "check", code, contact=who, basket=45.05)["reason"] == "redeemed"


def test_an_id_is_for_one_request(api: Service, who: str):
    answer = issue(api, who, id=f"i-{who}")
    code = answer["coupon"]["code"]
    other = issue(api, who, "partner", 409, id=f"i-{who}")
    assert (other["reason"], other["coupon"]) == ("id_taken", None)
    redeems = {"contact": who, "basket": 50, "order": "o1", "id": f"r-{who}"}
    done = coupon(api, "reserve", code, **redeems)
    for action, more in (("redeem", {}), ("release", {}), ("reserve", {"order": "o2"}), ("reserve", {"basket": 60})):
        answer = coupon(api, action, code, 409, **redeems | more)
        assert (answer["reason"], answer["discount"]) == ("id_taken", None)
        assert "id of its own" in answer["hint"]
    assert coupon(api, "reserve", code, **redeems) == done | {"repeated": True}
    assert issue(api, who, id=f"i-{who}")["repeated"]


def test_of_many_tills_that_redeem_at_once_one_succeeds(api: Service, who: str):
    code = issue(api, who)["coupon"]["code"]
    body = {"code": code, "contact": who, "basket": 50}
    with ThreadPoolExecutor(8) as tills:
        answers = list(tills.map(lambda _: api.api("POST", "/v1/loyalty/coupons/redeem", body), range(16)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 15
    assert {answer.json["reason"] for answer in answers} == {"", "redeemed"}


def test_somebody_elses_coupon_is_refused(api: Service, who: str):
    issue(api, "user_id:other")
    code = issue(api, who)["coupon"]["code"]
    for by, reason in (("user_id:other", "not_yours"), ("user_id:nobody", "not_yours"), ("", "identity_needed")):
        assert coupon(api, "check", code, contact=by, basket=50)["reason"] == reason
        assert coupon(api, "redeem", code, 409, contact=by, basket=50)["reason"] == reason
    assert coupon(api, "check", "NOSUCHCODE")["reason"] == "unknown_code"
    assert coupon(api, "redeem", "NOSUCHCODE", 409)["reason"] == "unknown_code"


def test_reservations_and_cancelling(api: Service, who: str):
    code = issue(api, who)["coupon"]["code"]
    coupon(api, "reserve", code, contact=who, basket=50, order="o1")
    assert coupon(api, "check", code, contact=who, basket=50, order="o2")["reason"] == "reserved"
    assert coupon(api, "check", code, contact=who, basket=50, order="o1")["valid"]
    coupon(api, "release", code, order="o1")
    assert coupon(api, "cancel", code)["coupon"]["state"] == "cancelled"
    assert coupon(api, "redeem", code, 409, contact=who, basket=50)["reason"] == "cancelled"
    got(api.api("POST", "/v1/loyalty/coupons/eat", {"code": code}), 400)


def test_a_coupon_is_reopened_when_its_order_comes_back_and_by_hand(api: Service, who: str):
    club = {"kind": "programme", "name": "club", "refunds": [{"interaction": "Refunded", "reference": "order"}]}
    back = {"kind": "reward", "name": "back", "percent": 5, "valid_for": "30d", "reopen_at_refund": True}
    assert api.publish(club, back).status == 200
    code = issue(api, who, "back")["coupon"]["code"]
    coupon(api, "redeem", code, contact=who, order="o7")
    item = {"name": "Refunded", "contact": {"user_id": who.removeprefix("user_id:")}, "attributes": {"order": "o7"}}
    for number in range(2):
        got(api.post("/v1/interactions", item | {"id": f"{who}-{number}"}))
    assert coupon(api, "check", code, contact=who)["coupon"]["state"] == "issued"
    shown = got(api.api("GET", "/v1/loyalty/rewards/back"))
    assert (shown["issued"], shown["redeemed"]) == (1, 0)
    rows = got(api.api("GET", f"/v1/contacts/{who}/timeline?kind=rewards"))["entries"]
    assert [one["what"] for row in rows for one in row["decisions"]].count("reopened") == 1
    coupon(api, "redeem", code, contact=who, order="o8")
    assert coupon(api, "reopen", code, 409, order="o7")["reason"] == "other_order"
    done = coupon(api, "reopen", code, order="o8", author="eve", id="again")
    assert (done["status"], done["coupon"]["state"]) == ("done", "issued")
    assert coupon(api, "reopen", code, order="o8", author="eve", id="again") == done | {"repeated": True}
    coupon(api, "redeem", code, contact=who, order="o9")
    arguments = ["loyalty", "coupon", "reopen", code, "--order", "o9", "--url", api.url, "--secret-key", SECRET_KEY]
    assert "issued" in parcours(*arguments).out


def test_stock_pools_and_what_is_left(api: Service, who: str):
    assert issue(api, who, "five")["coupon"]["value"] == 5
    assert issue(api, who, "five", 409)["reason"] == "out_of_stock"
    row = got(api.api("GET", "/v1/loyalty/rewards/five"))
    assert (row["issued"], row["left"], row["redeemed"]) == (1, 0, 0)
    assert issue(api, who, "partner", 409)["reason"] == "pool_empty"
    filled = got(api.api("POST", "/v1/loyalty/rewards/partner/codes", {"codes": ["p-1", "p-2", "P-1"]}))
    assert (filled["new"], filled["known"], filled["pool"]) == (2, 1, 2)
    assert issue(api, who, "partner")["coupon"]["code"] == "P-1"
    assert got(api.api("GET", "/v1/loyalty/rewards/partner"))["left"] == 1
    got(api.api("POST", "/v1/loyalty/rewards/ten/codes", {"codes": ["x"]}), 400)
    got(api.api("POST", "/v1/loyalty/rewards/ten/issue", {"contact": who, "pay": True}), 400)
    got(api.api("GET", "/v1/loyalty/rewards/tenn"), 404)


def test_a_contact_shows_its_coupons_and_is_erased_with_them(api: Service, who: str):
    code = issue(api, who)["coupon"]["code"]
    assert [row["code"] for row in got(api.api("GET", f"/v1/loyalty/contacts/{who}/coupons"))["coupons"]] == [code]
    timeline = got(api.api("GET", f"/v1/contacts/{who}/timeline"))
    assert "reward" in [entry["kind"] for entry in timeline["entries"]]
    told = got(api.api("GET", f"/v1/contacts/{who}/timeline?kind=rewards"))["entries"]
    assert [decision["what"] for entry in told for decision in entry["decisions"]] == ["issued"]
    assert list(got(api.api("GET", f"/v1/contacts/{who}"))["contact"]["coupons"]) == [code]
    got(api.api("DELETE", f"/v1/contacts/{who}"))
    assert coupon(api, "check", code, contact=who, basket=50)["reason"] == "unknown_code"


def test_the_command_line(api: Service, who: str, tmp_path: Path):
    def says(*words: str, status: int = 0) -> Said:
        said = parcours("loyalty", *words, PARCOURS_URL=api.url, PARCOURS_SECRET_KEY=SECRET_KEY)
        assert said.code == status, said
        return said

    assert "ten" in says("reward", "list").out
    code = says("reward", "issue", "ten", who).out.partition(":")[0]
    assert "below_minimum" in says("coupon", "check", code, "--contact", who, "--basket", "5", status=1).err
    assert "5.00" in says("coupon", "check", code, "--contact", who, "--basket", "50").out
    says("coupon", "reserve", code, "--contact", who, "--basket", "50", "--order", "o")
    says("coupon", "release", code, "--order", "o")
    says("coupon", "redeem", code, "--contact", who, "--basket", "50")
    assert "redeemed" in says("coupon", "list", who).out
    assert "redeemed" in says("coupon", "cancel", code, status=1).err
    file = tmp_path / "codes.txt"
    file.write_text("q-1\nq-2\n")
    assert "2 of 2" in says("reward", "codes", "partner", str(file)).out


def test_a_preview_says_what_the_contact_has(api: Service):
    who = f"user_id:p{next(_numbers)}"
    code = issue(api, who)["coupon"]["code"]
    message = {
        "kind": "message", "name": "coupon", "channel": "sms", "purpose": "transactional",
        "content": {"text": "{{ contact.rewards.ten.code }} {{ contact.lists | join: ',' }}"},
    }  # fmt: skip
    assert api.publish(message).status == 200
    answer = api.api("POST", "/v1/messages/coupon/preview", {"contact": who})
    assert answer.json["content"]["text"].strip() == code
