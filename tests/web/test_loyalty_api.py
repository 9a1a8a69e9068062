"""Programmes, members and ledgers over the API and on the command line, over real HTTP to a real service."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from parcours.cli.console import OUT
from parcours.ports import Changes
from parcours.stores.sqlite import SqliteStore
from tests.cli.test_commands import Said, parcours
from tests.service import SECRET_KEY, Answer, Service

DEFINITIONS = [
    {
        "kind": "programme",
        "name": "club",
        "title": "The club",
        "expiry": {"type": "rolling", "months": 12},
        "transfer": {"minimum": 5},
        "refunds": [{"interaction": "Refunded", "reference": "order"}],
        "tiers": {"levels": [{"name": "blue", "at": 0}, {"name": "gold", "at": 100, "benefits": ["a coat hook"]}]},
    },
    {
        "kind": "rule",
        "name": "purchases",
        "programme": "club",
        "on": ["Bought"],
        "points": {"points": 2, "of": "total"},
        "reference": "order",
    },
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("loyalty") / "data") as running:
        answer = running.publish(*DEFINITIONS)
        assert answer.status == 200, answer.body
        yield running
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]


_numbers = itertools.count(1)


@pytest.fixture
def who(api: Service) -> str:
    who = f"user_id:p{next(_numbers)}"
    assert ask(api, who, "enrol")["status"] == "done"
    return who


def got(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer
    return answer.json


def ask(api: Service, who: str, action: str, status: int = 200, **body: Any) -> Any:
    return got(api.api("POST", f"/v1/loyalty/club/members/{who}/{action}", body), status)


def look(api: Service, who: str, more: str = "", status: int = 200) -> Any:
    return got(api.api("GET", f"/v1/loyalty/club/members/{who}{more}"), status)


def buys(api: Service, who: str, total: float, order: str = "") -> None:
    item = {
        "name": "Bought",
        "contact": {"user_id": who.removeprefix("user_id:")},
        "attributes": {"total": total, "order": order},
    }
    got(api.post("/v1/interactions", item))


def test_programmes_are_told_with_tiers_and_rules(api: Service):
    (row,) = got(api.api("GET", "/v1/loyalty/programmes"))["programmes"]
    assert (row["name"], row["title"], row["rules"]) == ("club", "The club", ["purchases"])
    assert [tier["name"] for tier in row["tiers"]] == ["blue", "gold"]


def test_a_member_earns_and_spends(api: Service, who: str):
    buys(api, who, 30.5, "o1")
    member = look(api, who)
    assert (member["balance"], member["tier"], member["next_tier"]) == (61, "blue", {"name": "gold", "missing": 39.0})
    assert [row["points"] for row in member["expiring"]] == [61]
    answer = ask(api, who, "spend", points=11, reference="o2", id="s1")
    (entry,) = answer["entries"]
    assert (entry["kind"], entry["amount"], entry["balance"], entry["reference"]) == ("spent", -11, 50, "o2")
    again = ask(api, who, "spend", points=11, reference="o2", id="s1")
    assert again["repeated"]
    assert again["entries"] == answer["entries"]
    assert again["member"]["balance"] == 50


def test_what_is_not_there_is_not_spent_and_the_reason_is_told(api: Service, who: str):
    buys(api, who, 5)
    answer = ask(api, who, "spend", 409, points=11, id="s2")
    assert (answer["status"], answer["reason"], answer["entries"]) == ("declined", "not_enough_points", [])
    assert ask(api, who, "spend", 409, points=11, id="s2")["reason"] == "not_enough_points"
    assert look(api, who)["balance"] == 10


def test_points_are_adjusted_and_orders_refunded(api: Service, who: str):
    buys(api, who, 50, "o1")
    assert look(api, who)["tier"] == "gold"
    ask(api, who, "adjust", points=5, reason="sorry", author="eve")
    answer = ask(api, who, "refund", reference="o1", attributes={"total": 10})
    assert [(row["kind"], row["amount"]) for row in answer["entries"]] == [("reversed", -20)]
    assert ask(api, who, "refund", reference="o1")["member"]["balance"] == 5
    assert ask(api, who, "refund", 409, reference="o9")["reason"] == "unknown_order"
    page = look(api, who, "/ledger?limit=3")
    assert [row["kind"] for row in page["entries"]] == ["reversed", "reversed", "adjusted"]
    rest = look(api, who, f"/ledger?before={page['next']}")
    assert [row["kind"] for row in rest["entries"]] == ["earned"]
    assert rest["next"] is None
    assert page["entries"][2]["author"] == "eve"


def test_a_refund_is_done_though_a_coupon_of_the_order_stays_redeemed(api: Service, who: str):
    back = {"kind": "reward", "name": "back", "percent": 5, "valid_for": "30d", "reopen_at_refund": True}
    assert api.publish(back).status == 200
    issued = got(api.api("POST", "/v1/loyalty/rewards/back/issue", {"contact": who}))
    code = issued["coupon"]["code"]
    for number, state in enumerate(("issued", "redeemed")):  # it is reopened once for an order
        buys(api, who, 10, "twice")
        redeems = {"code": code, "contact": who, "order": "twice"}
        got(api.api("POST", "/v1/loyalty/coupons/redeem", redeems))
        answer = ask(api, who, "refund", reference="twice", id=f"{who}-back-{number}")
        assert (answer["status"], answer["reason"]) == ("done", "")
        assert [(entry["kind"], entry["amount"]) for entry in answer["entries"]] == [("reversed", -20)]
        assert got(api.api("POST", "/v1/loyalty/coupons/check", redeems))["coupon"]["state"] == state


def test_a_balance_of_the_past(api: Service, who: str):
    before = look(api, who, "/balance")
    buys(api, who, 5)
    entry = look(api, who, "/ledger")["entries"][0]
    assert look(api, who, f"/balance?at={before['time']}")["balance"] == (10 if before["at"] == entry["at"] else 0)
    assert look(api, who, f"/balance?at={entry['time']}")["balance"] == 10
    assert look(api, who, "/balance?at=yesterday", 400)


def test_points_are_given_to_another_member_once(api: Service, who: str):
    friend = f"user_id:p{next(_numbers)}"
    ask(api, friend, "enrol", card=f"f{friend[9:]}")
    buys(api, who, 30)
    gift = {"to": f"card:f{friend[9:]}", "points": 25, "reason": "a gift", "id": f"gift-{who}"}
    answer = ask(api, who, "transfer", **gift)
    (entry,) = answer["entries"]
    assert (entry["kind"], entry["amount"], entry["reason"]) == ("transferred", -25, "a gift")
    assert ask(api, who, "transfer", **gift) == answer | {"repeated": True}
    (had,) = look(api, friend, "/ledger")["entries"]
    assert (had["kind"], had["amount"], had["reference"]) == ("transferred", 25, entry["reference"])
    assert (entry["other"], had["other"]) == (look(api, friend)["contact"], look(api, who)["contact"])
    assert (look(api, who)["balance"], look(api, friend)["balance"]) == (35, 25)
    for to, points, reason in (
        (friend, 36, "not_enough_points"),
        (who, 5, "same_member"),
        (friend, 4, "below_minimum"),
    ):
        assert ask(api, who, "transfer", 409, to=to, points=points)["reason"] == reason
    rows = got(api.api("GET", f"/v1/contacts/{friend}/timeline?kind=receive"))["entries"]
    assert [decision["reason"] for row in rows for decision in row["decisions"]] == ["transferred"]
    shown = parcours("contacts", "timeline", who, PARCOURS_URL=api.url, PARCOURS_SECRET_KEY=SECRET_KEY).out
    assert f"transferred -25 to {entry['other']}" in " ".join(shown.split())
    assert ask(api, who, "transfer", 400, to="user_id:nobody", points=5)["extra"]["pointer"] == "/to"
    assert ask(api, who, "transfer", 400, to=friend, points=0)["extra"]["pointer"] == "/points"
    # A repeat is answered as the first was, also when who received the points is not there any more.
    assert api.api("DELETE", f"/v1/contacts/{friend}").status in {200, 204}
    assert ask(api, who, "transfer", **gift)["repeated"]
    assert ask(api, who, "transfer", 400, to=friend, points=5)["extra"]["code"] == "unknown_receiver"


@pytest.mark.parametrize(
    "occurred_at, code",
    [
        ("1969-12-31T23:59:59.999Z", "absurd_time"),
        ("0001-01-01", "absurd_time"),
        ("9999-12-31T23:59:59Z", "occurred_in_future"),
    ],
)
def test_a_request_of_an_absurd_time_is_refused(api: Service, who: str, occurred_at: str, code: str):
    buys(api, who, 5)
    before = look(api, who)
    asks: dict[str, dict[str, Any]] = {
        "enrol": {},
        "leave": {},
        "spend": {"points": 5},
        "transfer": {"to": who, "points": 5},
        "adjust": {"points": 5, "reason": "sorry", "author": "eve"},
        "refund": {"reference": "o1"},
    }
    for action, body in asks.items():
        problem = ask(api, who, action, 400, occurred_at=occurred_at, **body)["extra"]
        assert (problem["code"], problem["pointer"]) == (code, "/occurred_at")
    assert look(api, who) == before


def test_an_id_of_somebody_else_does_nothing_and_says_so(api: Service, who: str):
    other = f"user_id:p{next(_numbers)}"
    ask(api, other, "enrol")
    for one in (who, other):
        buys(api, one, 5)
    ask(api, who, "spend", points=3, id=f"mine-{who}")
    answer = ask(api, other, "spend", 409, points=3, id=f"mine-{who}")
    assert (answer["reason"], answer["repeated"], answer["entries"]) == ("id_taken", True, [])
    assert look(api, other)["balance"] == 10


def test_another_request_under_an_id_that_was_used_is_declined_and_an_equal_one_is_answered_as_it_was(
    api: Service, who: str
):
    friend, third = (f"user_id:p{next(_numbers)}" for _ in range(2))
    for one in (friend, third):
        ask(api, one, "enrol")
    buys(api, who, 50, f"{who}-o")
    asks: dict[str, dict[str, Any]] = {
        "enrol": {"card": f"k{who[9:]}"},
        "spend": {"points": 6, "reference": "o1"},
        "transfer": {"to": friend, "points": 7},
        "adjust": {"points": 3, "reason": "sorry", "author": "eve"},
        "refund": {"reference": f"{who}-o", "attributes": {"total": 10}},
    }
    others: dict[str, list[dict[str, Any]]] = {
        "enrol": [{"card": f"l{who[9:]}"}],
        "spend": [{"points": 5}, {"reference": "o2"}],
        "transfer": [{"points": 8}, {"to": third}, {"to": "user_id:nobody"}],
        "adjust": [{"points": -3}, {"qualifying": True}],
        "refund": [{"reference": "o2"}, {"attributes": {"total": 11}}, {"attributes": None}],
    }
    first = {action: ask(api, who, action, id=f"{action}-{who}", **body) for action, body in asks.items()}
    ledger, balance = look(api, who, "/ledger"), look(api, who)["balance"]
    for action, body in asks.items():
        taken = [(action, body | other) for other in others[action]]
        taken += [(kind, asked) for kind, asked in asks.items() if kind != action]
        for kind, asked in taken:
            answer = ask(api, who, kind, 409, id=f"{action}-{who}", **asked)
            assert (answer["status"], answer["reason"], answer["entries"]) == ("declined", "id_taken", [])
            assert "id of its own" in answer["hint"]
        again = ask(api, who, action, id=f"{action}-{who}", **body | {"occurred_at": "2026-01-01"})
        assert (again["repeated"], again["entries"], again["hint"]) == (True, first[action]["entries"], "")
    assert ask(api, who, "spend", points=6, reference="o1", reason="said otherwise", id=f"spend-{who}")["repeated"]
    called = ("loyalty", "spend", "club", who, "5", "--id", f"spend-{who}")
    said = parcours(*called, PARCOURS_URL=api.url, PARCOURS_SECRET_KEY=SECRET_KEY)
    assert said.code == 1
    assert "declined: id_taken (something else was asked with this id" in said.err
    assert look(api, who, "/ledger") == ledger
    assert look(api, who)["balance"] == balance
    into = {"userId": third.removeprefix("user_id:"), "previousId": friend.removeprefix("user_id:")}
    got(api.post("/v1/alias", into))
    for to in (friend, third):  # they are one now
        again = ask(api, who, "transfer", id=f"transfer-{who}", **asks["transfer"] | {"to": to})
        assert again["entries"] == first["transfer"]["entries"]
    # Once it is erased nobody can say who had them: then it is taken for a repeat.
    assert api.api("DELETE", f"/v1/contacts/{third}").status in {200, 204}
    assert ask(api, who, "transfer", id=f"transfer-{who}", **asks["transfer"])["repeated"]


def test_requests_are_told_apart_after_a_restart(tmp_path: Path):
    for again in (False, True):
        with Service(tmp_path / "data") as running:
            if not again:
                assert running.publish(*DEFINITIONS).status == 200
                ask(running, "user_id:ann", "enrol")
                buys(running, "user_id:ann", 5)
            answer = ask(running, "user_id:ann", "spend", points=4, id="s")
            assert (answer["repeated"], answer["member"]["balance"]) == (again, 6)
            assert ask(running, "user_id:ann", "spend", 409, points=5, id="s")["reason"] == "id_taken"
            assert ask(running, "user_id:ann", "leave", 409, id="s")["reason"] == "id_taken"


def test_a_repeat_is_answered_as_the_first_was_also_after_a_merge(api: Service):
    ann, bob = (f"user_id:p{next(_numbers)}" for _ in range(2))
    for one in (ann, bob):
        ask(api, one, "enrol")
        buys(api, one, 5)
    first = ask(api, bob, "spend", points=4, id=f"m-{bob}")
    declined = ask(api, bob, "spend", 409, points=40, id=f"d-{bob}")
    got(api.post("/v1/alias", {"userId": ann.removeprefix("user_id:"), "previousId": bob.removeprefix("user_id:")}))
    again = ask(api, ann, "spend", points=4, id=f"m-{bob}")
    assert (again["entries"], again["repeated"], again["member"]["balance"]) == (first["entries"], True, 16)
    assert ask(api, ann, "spend", 409, points=40, id=f"d-{bob}")["reason"] == declined["reason"]


def test_members_leave_and_return_and_have_cards(api: Service, who: str):
    assert ask(api, who, "enrol", card="c77")["status"] == "done"
    assert look(api, "card:c77")["card"] == "c77"
    till = {"name": "Bought", "contact": {"card": "c77"}, "attributes": {"total": 3}}
    got(api.post("/v1/interactions", till))
    assert look(api, who)["balance"] == 6
    assert ask(api, "user_id:somebody", "enrol", 400, card="c77")["extra"]["code"] == "identity_taken"
    assert ask(api, who, "leave")["status"] == "done"
    assert not look(api, who)["member"]
    assert ask(api, who, "spend", 409, points=1)["reason"] == "no_member"
    assert ask(api, who, "enrol")["member"]["member"]


def test_mistakes_are_told(api: Service, who: str):
    assert "did you mean 'club'?" in got(api.api("GET", f"/v1/loyalty/clib/members/{who}"), 404)["detail"]
    assert got(api.api("GET", "/v1/loyalty/club/members/user_id:nobody"), 404)
    api.post("/v1/contacts", {"contact": {"user_id": "stranger"}})
    assert look(api, "user_id:stranger", "", 404)["extra"]["code"] == "no_member"
    for body in ({"points": 0}, {"points": -3}, {"points": "x"}, {}):
        ask(api, who, "spend", 400, **body)
    assert ask(api, who, "adjust", 400, points=1, reason="x", author=" ")["extra"]["pointer"] == "/author"
    assert got(api.api("GET", "/v1/loyalty/club/statement?since=x"), 400)


def test_the_statement_is_what_members_have(api: Service):
    days = got(api.api("GET", "/v1/loyalty/club/statement"))["days"]
    for before, after in itertools.pairwise(days):
        assert before["closing"] == after["opening"]
    for day in days:
        assert day["closing"] == day["opening"] + sum(day["kinds"].values())


def test_the_timeline_tells_of_points(api: Service, who: str):
    buys(api, who, 50)
    rows = got(api.api("GET", f"/v1/contacts/{who}/timeline?kind=points"))["entries"]
    said = [(decision["what"], decision["reason"]) for row in rows for decision in row["decisions"]]
    assert ("booked", "earned") in said
    assert ("tier", "gold") in said


def test_a_rule_is_tried_on_what_is_recorded(api: Service):
    for who, totals in (("t1", (10, 20)), ("t2", (5,))):
        for total in totals:
            item = {"name": "Tried", "contact": {"user_id": who}, "attributes": {"total": total}}
            got(api.post("/v1/interactions", item))
    ask(api, "user_id:t1", "enrol")
    item = {"name": "Tried", "contact": {"user_id": "t1"}, "attributes": {"total": 4}}
    got(api.post("/v1/interactions", item))
    rule = {"kind": "rule", "name": "new", "programme": "club", "on": ["Tried"], "points": {"points": 3, "of": "total"}}
    report = simulated(api, definitions=[rule], against={})
    (new,) = [one for one in report["report"]["rules"] if one["draft"]]
    assert (new["cost"], new["members"], new["awards"]) == (12, 1, 1)
    assert new["withheld"] == {"no_member": 3}
    (club,) = report["report"]["programmes"]
    (before,) = report["against"]["programmes"]
    assert club["cost"] - before["cost"] == 12
    (new,) = [one for one in simulated(api, definitions=[rule], everybody=True)["report"]["rules"] if one["draft"]]
    assert (new["cost"], new["members"], new["awards"]) == (117, 2, 4)
    assert look(api, "user_id:t1")["balance"] == 0
    assert simulated(api, rules=["purchases"])["report"]["rules"][0]["rule"] == "purchases"
    wrong = {"definitions": [rule | {"programme": "clib"}], "start": 0, "end": END}
    assert "/programme" in got(api.api("POST", "/v1/loyalty/simulations", wrong), 400)["detail"]
    assert "nope" in got(api.api("POST", "/v1/loyalty/simulations", wrong | {"rules": ["nope"]}), 400)["detail"]
    assert got(api.api("GET", "/v1/loyalty/simulations/0"), 404)


END = 1_800_000_000_000  # before anything expires


def simulated(api: Service, **body: Any) -> Any:
    """What rules come to over all that is recorded."""
    answer = got(api.api("POST", "/v1/loyalty/simulations", {"start": 0, "end": END, **body}), 202)
    deadline = time.monotonic() + 60
    while answer["state"] in {"waiting", "running"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        answer = got(api.api("GET", f"/v1/loyalty/simulations/{answer['id']}"))
    assert answer["state"] == "done", answer
    return answer


def past(api: Service, since: str = "2020-01-01", rule: str = "past") -> Any:
    """What a rule would give; the path of the run."""
    path = f"/v1/loyalty/club/rules/{rule}/retroactive"
    path += "/" + got(api.api("POST", path, {"since": since}), 202)["id"]
    deadline = time.monotonic() + 60
    while (answer := got(api.api("GET", path)))["state"] in {"waiting", "running"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer["state"] == "done", answer
    return path, answer


def test_a_rule_is_applied_to_the_past_when_asked_and_once(api: Service, who: str):
    def does(total: int, order: str) -> None:
        item = {"name": "Past", "contact": {"user_id": who.removeprefix("user_id:")}}
        got(api.post("/v1/interactions", item | {"attributes": {"total": total, "order": order}}))

    does(7, "p1")
    does(5, "p2")
    rule = {"kind": "rule", "name": "past", "programme": "club", "on": ["Past"], "points": {"points": 2, "of": "total"}}
    assert api.publish(rule | {"reference": "order", "limits": [{"per": "ever", "points": 36}]}).status == 200
    does(7, "p3")
    assert look(api, who)["balance"] == 14
    path, preview = past(api)
    assert (preview["points"], preview["members"], preview["awards"], preview["declined"]) == (22, 1, 2, {})
    (mine,) = preview["given"]
    assert [(row["kind"], row["amount"], row["reference"]) for row in mine["entries"]] == [
        ("earned", 14, "p1"),
        ("earned", 8, "p2"),  # as much as the limit leaves
    ]
    assert look(api, who)["balance"] == 14
    assert got(api.api("POST", f"{path}/apply", {"author": " "}), 400)
    given = got(api.api("POST", f"{path}/apply", {"author": "eve"}))
    assert (given["points"], given["awards"], given["members"]) == (22, 2, 1)
    # Again, and by a run over another time: nothing is given twice.
    for again in (path, past(api, "2019-06-01")[0], past(api, "0001-01-01")[0]):
        answer = got(api.api("POST", f"{again}/apply", {"author": "eve"}))
        assert (answer["awards"], answer["declined"]) == (0, {"repeated": 2})
    entry = look(api, who, "/ledger")["entries"][0]
    assert (entry["kind"], entry["amount"], entry["rule"], entry["balance"]) == ("earned", 8, "past", 36)
    assert (entry["reason"], entry["author"]) == ("retroactive", "eve")
    assert entry["occurred_at"] < entry["at"]
    # A refund reverses what was given for the past, as it does what was given at once.
    ask(api, who, "refund", reference="p1", attributes={"total": 4})
    assert look(api, who)["balance"] == 28
    assert got(api.api("POST", "/v1/loyalty/club/rules/psat/retroactive", {"since": "2020-01-01"}), 404)
    assert "0 times" in said(api, "retroactive", "club", "past", "--since", "2020-01-01")
    told = said(api, "retroactive", "club", "past", "--since", "2020-01-01", "--apply", "--author", "eve")
    assert "repeated: 2" in told


def test_all_that_a_rule_gives_is_given_for_the_past_and_what_is_left_over_is_counted_on(api: Service, who: str):
    def comes(times: int) -> None:
        for _ in range(times):
            got(api.post("/v1/interactions", {"name": "Sat", "contact": {"user_id": who.removeprefix("user_id:")}}))

    def coupons() -> list[str]:
        rows = got(api.api("GET", f"/v1/loyalty/contacts/{who}/coupons"))["coupons"]
        return [row["reward"] for row in rows]

    comes(5)
    rule = {"kind": "rule", "name": "sits", "programme": "club", "on": ["Sat"], "every": 3, "points": 4}
    more = {"reward": "chair", "tier": "gold", "record": {"interaction": "Sat Long"}}
    assert api.publish({"kind": "reward", "name": "chair", "gift": "A chair"}, rule | more).status == 200
    path, preview = past(api, rule="sits")
    assert preview["gives"] == {"points": True, "reward": "chair", "tier": "gold", "record": "Sat Long", "every": 3}
    shown = {name: preview[name] for name in ("members", "awards", "points", "rewards", "tiers", "recorded", "carried")}
    assert shown == {
        "members": 1, "awards": 1, "points": 4, "rewards": {"chair": 1}, "tiers": {"gold": 1},
        "recorded": {"Sat Long": 1}, "carried": 1,
    }  # fmt: skip
    (mine,) = preview["given"]
    assert (mine["rewards"], mine["tiers"], mine["goes_on_from"]) == ({"chair": 1}, ["gold"], 2)
    assert (look(api, who)["tier"], coupons()) == ("blue", [])
    told = said(api, "retroactive", "club", "sits", "--since", "2020-01-01")
    assert "1 chair" in told
    assert "2 of 3" in told
    assert "would be given" in told
    given = got(api.api("POST", f"{path}/apply", {"author": "eve"}))
    assert {name: given[name] for name in shown} == shown
    assert (look(api, who)["balance"], look(api, who)["tier"], coupons()) == (4, "gold", ["chair"])
    again = got(api.api("POST", f"{path}/apply", {"author": "eve"}))
    assert (again["awards"], again["carried"], again["declined"]) == (0, 0, {"repeated": 1})
    comes(1)
    assert coupons() == ["chair", "chair"]


def test_what_is_left_of_a_budget_is_told_and_all_at_once_cannot_exceed_it(api: Service):
    people = [f"user_id:budget{number}" for number in range(12)]
    for one in people:
        ask(api, one, "enrol")
    rule = {"kind": "rule", "name": "early", "programme": "club", "on": ["Came"], "points": 10}
    assert api.publish(rule | {"budget": [{"points": 55}, {"per": "month", "times": 9}]}).status == 200

    def comes(who: str) -> None:
        contact = {"user_id": who.removeprefix("user_id:")}
        got(api.post("/v1/interactions", {"name": "Came", "contact": contact, "id": f"came-{who}"}))

    for _ in range(2):  # the second time each is a repeat
        with ThreadPoolExecutor(len(people)) as pool:
            list(pool.map(comes, people))
    assert sum(look(api, one)["balance"] for one in people) == 50
    answer = got(api.api("GET", "/v1/loyalty/club/budgets?rule=early"))
    whole, month = answer["budgets"]
    assert (whole["per"], whole["since_at"], whole["points"], whole["times"]) == ("ever", None, 55, None)
    assert (whole["given_points"], whole["left_points"], whole["given_times"], whole["left_times"]) == (50, 5, 5, None)
    assert (month["per"], month["given_times"], month["left_times"], month["left_points"]) == ("month", 5, 4, None)
    assert month["since_at"] <= answer["at"]
    told = said(api, "budgets", "club", "--rule", "early")
    assert "5 of 55" in told
    assert "4 of 9" in told
    before = got(api.api("GET", "/v1/loyalty/club/budgets?at=2020-01-01T00:00:00Z"))["budgets"]
    assert [row["given_times"] for row in before if row["rule"] == "early"] == [5, 0]
    assert got(api.api("GET", "/v1/loyalty/culb/budgets"), 404)
    assert got(api.api("GET", "/v1/loyalty/club/budgets?at=yesterday"), 400)
    refused = [one for one in people if not look(api, one)["balance"]]
    rows = got(api.api("GET", f"/v1/contacts/{refused[0]}/timeline?kind=points"))["entries"]
    decided = [(one["what"], one["reason"]) for row in rows for one in row["decisions"]]
    assert ("withheld", "budget") in decided


HELD = {
    "kind": "rule",
    "name": "held",
    "programme": "club",
    "on": ["Reviewed"],
    "points": 30,
    "hold_if": {"did": "Reviewed", "times": {"at_least": 2}, "within": "1h"},
}


def reviewed(api: Service, who: str, times: int = 2) -> list[Any]:
    """Somebody writes reviews; return what is in review of theirs."""
    assert api.publish(HELD).status == 200
    for _ in range(times):
        got(api.post("/v1/interactions", {"name": "Reviewed", "contact": {"user_id": who.removeprefix("user_id:")}}))
    contact = look(api, who)["contact"]
    rows = got(api.api("GET", "/v1/loyalty/club/reviews?rule=held"))["reviews"]
    return [row for row in rows if row["contact"] == contact]


def test_an_award_is_put_aside_and_approved_or_refused(api: Service, who: str):
    first, second = reviewed(api, who, 3)
    assert (first["rule"], first["points"]) == ("held", 30)
    assert (look(api, who)["balance"], look(api, who)["in_review"], look(api, who)["coming"]) == (30, 60, [])
    path = f"/v1/loyalty/club/reviews/{first['id']}"
    assert got(api.api("POST", f"{path}/approve", {"author": ""}), 400)
    done = got(api.api("POST", f"{path}/approve", {"author": "eve", "reason": "known"}))
    assert [(row["kind"], row["amount"], row["author"], row["reason"]) for row in done["entries"]] == [
        ("earned", 30, "eve", "known")
    ]
    assert got(api.api("POST", f"{path}/refuse", {"author": "eve"}), 404)
    assert got(api.api("POST", path.replace(first["id"], second["id"]) + "/refuse", {"author": "eve"}))
    assert (look(api, who)["balance"], look(api, who)["in_review"]) == (60, 0)
    assert reviewed(api, who, 0) == []
    rows = got(api.api("GET", f"/v1/contacts/{who}/timeline?kind=points"))["entries"]
    said = [(decision["what"], decision["reason"]) for row in rows for decision in row["decisions"]]
    assert {("withheld", "review"), ("reviewed", "approved"), ("reviewed", "refused")} <= set(said)


def test_the_review_queue_on_the_command_line(api: Service, who: str):
    (one,) = reviewed(api, who)
    assert one["id"] in said(api, "reviews", "club", "--json")
    assert "in review" in said(api, "reviews", "club")
    assert "earned" in said(api, "approve", "club", one["id"], "--author", "eve", "--reason", "known")
    (one,) = reviewed(api, who, 1)
    assert "reversed" in said(api, "refuse", "club", one["id"], "--author", "eve")


def test_a_reward_without_points_is_in_the_queue_and_issued_with_the_approval(api: Service, who: str):
    cup = {"kind": "reward", "name": "cup", "gift": "A cup"}
    rule = {"kind": "rule", "name": "cups", "programme": "club", "on": ["Asked"], "reward": "cup"}
    assert api.publish(cup, rule | {"hold_if": {"all": []}}).status == 200
    for _ in range(2):
        got(api.post("/v1/interactions", {"name": "Asked", "contact": {"user_id": who.removeprefix("user_id:")}}))
    first, second = got(api.api("GET", "/v1/loyalty/club/reviews?rule=cups"))["reviews"]
    assert (first["points"], first["reward"], first["tier"], first["record"]) == (0, "cup", "", "")
    assert "cup" in said(api, "reviews", "club", "--rule", "cups")
    path = f"/v1/loyalty/club/reviews/{first['id']}"
    assert got(api.api("POST", f"{path}/approve", {"author": "eve"}))["status"] == "done"
    assert got(api.api("POST", f"{path}/approve", {"author": "eve"}), 404)
    assert got(api.api("POST", f"/v1/loyalty/club/reviews/{second['id']}/refuse", {"author": "eve"}))
    coupons = got(api.api("GET", f"/v1/loyalty/contacts/{who}/coupons"))["coupons"]
    assert [(one["reward"], one["state"]) for one in coupons] == [("cup", "issued")]
    assert got(api.api("GET", "/v1/loyalty/club/reviews?rule=cups"))["total"] == 0


def test_what_members_share_is_found_and_listed_once(api: Service):
    people = [f"user_id:share{number}" for number in range(4)]
    assert api.publish({"kind": "list", "name": "sharing"}).status == 200
    for number, who in enumerate(people):
        if number < 3:
            ask(api, who, "enrol")
        item = {"name": "Paid", "contact": {"user_id": who.removeprefix("user_id:")}}
        got(api.post("/v1/interactions", item | {"attributes": {"card": "  Hash 1" if number else "hash  1"}}))
        got(api.post("/v1/interactions", item | {"attributes": {"card": f"own{number}"}}))
    path = "/v1/loyalty/club/shared"
    body = {"attribute": "card", "of": ["paid"], "at_least": 3}
    found = got(api.api("POST", path, body))
    assert [(row["value"], len(row["contacts"])) for row in found["shared"]] == [("hash 1", 3)]
    assert (found["total"], found["contacts"], found["listed"]) == (1, 3, 0)
    # Who is no member does not count: three share it, not four.
    assert got(api.api("POST", path, body | {"at_least": 4}))["shared"] == []
    assert got(api.api("POST", path, body | {"of": ["Other"]}))["shared"] == []
    told = said(api, "shared", "club", "card", "--of", "Paid", "--list", "sharing")
    assert "1 values, 3 members, 3 put on the list" in told
    assert got(api.api("POST", path, body | {"list": "sharing"}))["listed"] == 0
    assert "/list" in got(api.api("POST", path, body | {"list": "sharking"}), 400)["detail"]


def test_an_export_holds_the_ledger(api: Service, who: str):
    buys(api, who, 5)
    exported = got(api.api("GET", f"/v1/contacts/{who}/export"))
    assert exported["complete"]
    assert [(entry["kind"], entry["amount"]) for entry in exported["ledger"]] == [("earned", 10)]
    assert exported["state"]["loyalty"]["club"]["balance"] == 10


def test_a_check_finds_that_everything_agrees(api: Service, who: str):
    buys(api, who, 5)
    asked = got(api.api("POST", "/v1/loyalty/check"), 202)
    deadline = time.monotonic() + 60
    while (answer := got(api.api("GET", "/v1/loyalty/check")))["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (answer["id"], answer["state"], answer["agrees"]) == (asked["id"], "done", True)
    (club,) = answer["result"]["programmes"]
    last = got(api.api("GET", "/v1/loyalty/club/statement"))["days"][-1]
    assert (club["balance"], club["held"]) == (last["closing"], last["closing_held"])
    assert "all agree" in said(api, "check")


def test_a_check_of_a_folder_names_the_member_who_is_wrong(tmp_path: Path):
    with Service(tmp_path / "data") as service:
        assert service.publish(*DEFINITIONS).status == 200
        for who in ("user_id:right", "user_id:wrong"):
            ask(service, who, "enrol")
            ask(service, who, "adjust", points=5, reason="r", author="a")
        wrong = look(service, "user_id:wrong")["contact"]
    folder = ("loyalty", "check", "--data", str(tmp_path / "data"))
    assert "all agree" in parcours(*folder).out
    store = SqliteStore(tmp_path / "data" / "parcours.db")
    contact = store.contacts([wrong])[wrong]
    contact.loyalty["club"].balance += 1
    store.commit(Changes(contacts={wrong: contact}))
    store.close()
    done = parcours(*folder)
    assert done.code == 1
    assert wrong in done.out
    assert "2 differences" in done.err
    found = json.loads(parcours(*folder, "--json").out)
    assert [(one["what"], one["contact"], one["expected"], one["found"]) for one in found["differences"]] == [
        ("balance", wrong, 5, 6),
        ("lots", wrong, 6, 5),
    ]


def test_the_ledger_is_dumped(api: Service, who: str, tmp_path: Path):
    buys(api, who, 5)
    contact = look(api, who)["contact"]
    file = tmp_path / "ledger.jsonl"
    done = parcours("dump", str(file), "--kind", "ledger", PARCOURS_URL=api.url, PARCOURS_SECRET_KEY=SECRET_KEY)
    assert done.code == 0, done
    found = [row for row in map(json.loads, file.read_text().splitlines()) if row["contact_id"] == contact]
    assert [(row["kind"], row["amount"], row["contact"]) for row in found] == [
        ("earned", 10, {"user_id": who.removeprefix("user_id:")})
    ]
    page = got(api.api("GET", "/v1/dump/ledger"))
    assert page["after"] is None
    assert found[0] in page["rows"]
    for kind, after in (("ledger", "zzz"), ("coupons", "%00"), ("contacts", "7"), ("lists", "0" * 16)):
        assert got(api.api("GET", f"/v1/dump/{kind}?after={after}"), 400)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OUT, "_width", 200)


def run(api: Service, *arguments: str) -> Said:
    return parcours("loyalty", *arguments, PARCOURS_URL=api.url, PARCOURS_SECRET_KEY=SECRET_KEY)


def said(api: Service, *arguments: str) -> str:
    done = run(api, *arguments)
    assert done.code == 0, done
    return " ".join(done.out.split())


def test_commands(api: Service, tmp_path: Path):
    assert "gold from 100" in said(api, "programmes")
    said(api, "enrol", "club", "user_id:cli", "--card", "c1")
    said(api, "adjust", "club", "user_id:cli", "120", "--reason", "welcome", "--author", "eve", "--qualifying")
    out = said(api, "member", "club", "card:c1")
    for words in ("balance: 120", "tier: gold", "120 expire at 20"):
        assert words in out
    assert "-20" in said(api, "spend", "club", "card:c1", "20", "--reference", "o1", "--id", "once")
    assert run(api, "spend", "club", "card:c1", "101").code == 1
    said(api, "adjust", "club", "card:c1", "-5", "--reason", "oops", "--author", "eve")
    said(api, "enrol", "club", "user_id:cli2")
    assert "transferred" in said(api, "transfer", "club", "card:c1", "user_id:cli2", "10", "--reason", "a gift")
    assert run(api, "transfer", "club", "card:c1", "user_id:cli2", "86").code == 1
    assert "balance: 0" in said(api, "transfer", "club", "user_id:cli2", "card:c1", "10")
    assert "balance: 95" in said(api, "member", "club", "card:c1")
    entries = json.loads(run(api, "ledger", "club", "card:c1", "--json").out)["entries"]
    assert [row["amount"] for row in entries] == [10, -10, -5, -20, 120]
    assert "balance: 0" in said(api, "member", "club", "card:c1", "--at", "2026-01-01T00:00:00Z")
    buys(api, "user_id:cli", 10, "o7")
    assert "reversed" in said(api, "refund", "club", "card:c1", "o7", "--attribute", "total=4")
    tried = tmp_path / "rule.yaml"
    tried.write_text("kind: rule\nname: more\nprogramme: club\non: [Bought]\npoints: {points: 100, of: total}\n")
    times = ("--from", "2026-01-01T00:00:00Z", "--to", "2027-01-15T00:00:00Z", "--everybody")
    told = said(api, "simulate", str(tried), *times, "--against-live", "--rule", "more")
    assert "points to" in told
    assert "more: cost" in told
    assert "purchases (live)" in told
    said(api, "leave", "club", "card:c1")
    assert "earned" in said(api, "statement", "club")
    assert said(api, "statement", "club", "--csv", "-").startswith("day,opening,opening_held,earned,released,")
