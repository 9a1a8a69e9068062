"""Segments over the API and on the command line, over real HTTP to a real service."""

from __future__ import annotations

import csv
import io
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from tests.service import SECRET_KEY, Answer, Service

SEGMENTS = [
    {"kind": "segment", "name": "buyers", "condition": {"did": "Order Completed"}},
    {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Atlanta"}},
    {"kind": "segment", "name": "local_buyers", "condition": {"all": [{"segment": "buyers"}, {"segment": "locals"}]}},
    {"kind": "segment", "name": "written_to", "condition": {"messages": "sent"}},
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("segments") / "data") as running:
        assert running.publish(*SEGMENTS).status == 200
        yield running
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]


def got(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer
    return answer.json


_numbers = itertools.count(1)


def knows(api: Service, who: str, **attributes: Any) -> None:
    got(api.post("/v1/contacts", {"contact": {"user_id": who}, "attributes": attributes}))


def did(api: Service, who: str, name: str, **properties: Any) -> None:
    message = {"type": "track", "messageId": f"s{next(_numbers)}", "userId": who, "event": name}
    got(api.batch(message | {"properties": properties}))


def count(api: Service, segment: str) -> int:
    return got(api.api("GET", f"/v1/segments/{quote(segment)}/count"))["count"]


@pytest.fixture(scope="module")
def people(api: Service) -> Service:
    """Ten people: `b0` to `b9`, of whom those below 4 are local, and those above 1 have bought."""
    for number in range(10):
        knows(
            api, f"b{number}", **({"city": "Atlanta"} if number < 4 else {}), age=number, name="=1+1", tags=["a", "b"]
        )
        if number > 1:
            did(api, f"b{number}", "Order Completed", total=number)
    return api


def test_what_was_acknowledged_is_counted_at_once(people: Service):
    before = count(people, "buyers")
    for number in range(20):
        did(people, f"quick{number}", "Order Completed")
        assert count(people, "buyers") == before + number + 1
    for number in range(20):
        got(people.api("DELETE", f"/v1/contacts/user_id:quick{number}"))
    answer = got(people.api("GET", "/v1/segments/buyers/count"))
    assert (answer["count"], answer["of"]) == (8, 10)
    assert answer["position"] > 0
    assert answer["time"].endswith("Z")


def test_a_condition_is_counted(people: Service):
    body = {"condition": {"did": "Order Completed", "sum": {"of": "total", "at_least": 8}}}
    assert got(people.api("POST", "/v1/segments/count", body))["count"] == 2
    assert got(people.api("POST", "/v1/segments/count", {"condition": {"all": []}}))["count"] == 10


@pytest.mark.parametrize(
    "condition, code, pointer",
    [
        ({"segment": "buyer"}, "unknown_segment", "/condition"),
        ({"interaction": "total", "is": 1}, "no_interaction", "/condition"),
        ({"did": "Go", "since": "entry"}, "no_run", "/condition"),
        ({"all": [{"contact": "age", "at_leas": 1}]}, None, "/condition/all/0"),
    ],
)
def test_what_cannot_be_asked_is_said(people: Service, condition: Any, code: str | None, pointer: str):
    answer = got(people.api("POST", "/v1/segments/count", {"condition": condition}), 400)
    problem = answer["extra"][0]
    assert problem["pointer"].startswith(pointer)
    assert code is None or problem["code"] == code
    assert answer["detail"]


def test_segments_that_are_not_there(people: Service):
    for place in ("count", "sample", "members", "breakdown?by=city", "sizes", "export"):
        answer = got(people.api("GET", f"/v1/segments/buyer/{place}"), 404)
        assert "did you mean 'buyers'" in answer["detail"]
    assert got(people.api("GET", "/v1/segments/written_to/count"))["count"] == 0


def test_scopes(people: Service):
    body = {"kind": "secret", "name": "reader", "scopes": ["segments:read"]}
    key = got(people.api("POST", "/v1/keys", body), 201)["key"]
    assert people.api("GET", "/v1/segments/buyers/count", key=key).status == 200
    assert people.api("POST", "/v1/segments/count", {"condition": {"all": []}}, key=key).status == 200
    assert people.api("POST", "/v1/analytics/rebuild", key=key).status == 403
    assert people.api("GET", "/v1/segments/buyers/count", key=None).status == 401


def test_members_page_by_page(people: Service):
    found, after = [], ""
    while after is not None:
        page = got(people.api("GET", f"/v1/segments/buyers/members?limit=3&after={after}"))
        found += [dict(row["identities"])["user_id"] for row in page["contacts"]]
        after = page["next"]
    assert sorted(found) == [f"b{number}" for number in range(2, 10)]
    assert got(people.api("GET", "/v1/segments/buyers/members?after=xyz"), 400)


def test_a_sample_is_repeatable(people: Service):
    def sample(seed: str) -> list[str]:
        answer = got(people.api("GET", f"/v1/segments/buyers/sample?size=4&seed={seed}"))
        assert answer["count"] == 8
        return [row["id"] for row in answer["contacts"]]

    assert sample("a") == sample("a")
    assert len({tuple(sample(seed)) for seed in "abcdef"}) > 1


def test_a_breakdown(people: Service):
    answer = got(people.api("GET", "/v1/segments/buyers/breakdown?by=city"))
    assert answer["values"] == [{"value": "Atlanta", "count": 2}]
    assert (answer["count"], answer["missing"]) == (8, 6)
    answer = got(people.api("GET", "/v1/segments/buyers/breakdown?by=age&limit=3"))
    assert sum(one["count"] for one in answer["bins"]) == 8


def test_an_overlap(people: Service):
    answer = got(people.api("POST", "/v1/segments/overlap", {"segments": ["buyers", "locals"]}))
    assert (answer["sizes"], answer["both"], answer["either"], answer["jaccard"]) == ([8, 4], 2, 10, 0.2)
    body = {"segments": [{"contact": "age", "less_than": 2}, "buyers"]}
    assert got(people.api("POST", "/v1/segments/overlap", body))["both"] == 0
    problem = got(people.api("POST", "/v1/segments/overlap", {"segments": ["buyers", "local"]}), 400)["extra"][0]
    assert (problem["pointer"], problem["code"]) == ("/segments/1", "unknown_segment")
    got(people.api("POST", "/v1/segments/overlap", {"segments": ["buyers"]}), 400)


def test_sizes_over_time(people: Service):
    count(people, "local_buyers")
    answer = got(people.api("GET", "/v1/segments/local_buyers/sizes?every=1h"))
    assert answer["sizes"][-1]["size"] == 2
    got(people.api("GET", "/v1/segments/buyers/sizes?start=2020-01-01&end=2020-02-01&every=1s"), 400)
    got(people.api("GET", "/v1/segments/buyers/sizes?start=never"), 400)
    got(people.api("GET", "/v1/segments/buyers/sizes?every=never"), 400)
    assert got(people.api("GET", "/v1/segments/buyers/sizes?start=2020-01-01&end=2020-02-01"))["sizes"] == []


def export(api: Service, form: str, more: str = "") -> bytes:
    answer = api.api("GET", f"/v1/segments/buyers/export?form={form}{more}")
    assert answer.status == 200, answer
    return answer.body


def test_files(people: Service):
    rows = list(csv.DictReader(io.StringIO(export(people, "csv").decode())))
    assert len(rows) == 8
    assert {row["identities"] for row in rows} == {f"user_id:b{number}" for number in range(2, 10)}
    assert {row["name"] for row in rows} == {"'=1+1"}, "no formula"
    assert {row["tags"] for row in rows} == {'["a","b"]'}
    lines = [json.loads(line) for line in export(people, "jsonl", "&attributes=age").splitlines()]
    assert sorted(line["attributes"]["age"] for line in lines) == list(range(2, 10))
    assert all(set(line["attributes"]) == {"age"} for line in lines)
    table = pq.read_table(io.BytesIO(export(people, "parquet", "&attributes=age&attributes=city&attributes=id")))
    assert table.column_names == ["id", "identities", "age", "city", "id_"]
    assert sorted(table["age"].to_pylist()) == list(range(2, 10))
    assert table["city"].to_pylist().count("Atlanta") == 2
    assert people.api("GET", "/v1/segments/buyers/export?form=xlsx").status == 400


def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "parcours", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)


def test_on_the_command_line(people: Service, tmp_path: Path):
    how = ("--url", people.url, "--secret-key", SECRET_KEY)
    assert "buyers" in run("segments", "count", "buyers", "locals", *how).stdout
    counted = json.loads(run("segments", "count", "--condition", '{"all": []}', "--json", *how).stdout)
    assert counted["(condition)"]["count"] == 10
    assert "3 of 8 contacts" in run("segments", "sample", "buyers", "--size", "3", *how).stdout
    assert "Atlanta" in run("segments", "breakdown", "buyers", "--by", "city", *how).stdout
    assert "20.0%" in run("segments", "overlap", "buyers", "locals", *how).stdout
    assert "contacts" in run("segments", "sizes", "buyers", *how).stdout
    refused = run("segments", "changes", "buyers", "--since", "2026-01-01", *how, check=False)
    assert refused.returncode == 2
    assert "not watched" in refused.stderr
    for form in ("csv", "parquet", "jsonl"):
        run("segments", "export", "buyers", "--out", str(tmp_path / f"buyers.{form}"), *how)
    assert len((tmp_path / "buyers.csv").read_text().splitlines()) == 9
    assert pq.read_table(tmp_path / "buyers.parquet").num_rows == 8
    wrong = run("segments", "export", "nobody", "--out", str(tmp_path / "n.csv"), *how, check=False)
    assert wrong.returncode == 2
    assert "there is no segment" in wrong.stderr
    assert not list(tmp_path.glob("n.csv*"))


def test_made_again_while_it_runs(people: Service):
    before = count(people, "buyers")
    answer = got(people.api("POST", "/v1/analytics/rebuild"), 202)
    assert answer["behind"] > 0 or answer["position"] > 0
    assert count(people, "buyers") == before
    state = got(people.api("GET", "/v1/analytics"))
    assert state["behind"] == 0
    assert state["bytes"] > 0
    assert got(people.api("GET", "/v1/segments/buyers/sizes?every=1h"))["sizes"], "sizes are kept"


def test_a_kill_and_a_rebuild_of_a_service_that_does_not_run(tmp_path: Path):
    data = tmp_path / "data"
    with Service(data) as service:
        assert service.publish(*SEGMENTS).status == 200
        for number in range(50):
            did(service, f"k{number}", "Order Completed")
        assert count(service, "buyers") == 50
        did(service, "late", "Order Completed")
        running = run("rebuild", "analytics", "--data", str(data), check=False)
        assert running.returncode == 2
        assert "another process" in running.stderr
        service.kill()
    with Service(data) as service:
        assert count(service, "buyers") == 51
    assert "records gone through" in run("rebuild", "analytics", "--data", str(data)).stdout
    (data / "analytics.duckdb").write_bytes(b"junk" * 5_000)
    with Service(data) as service:
        assert count(service, "buyers") == 51
    assert (data / "analytics.duckdb").stat().st_mode & 0o077 == 0


def test_an_erased_contact_goes_out_of_the_file(tmp_path: Path):
    data = tmp_path / "data"
    with Service(data) as service:
        assert service.publish(*SEGMENTS).status == 200
        knows(service, "ann", city="a-hidden-city")
        assert got(service.api("POST", "/v1/segments/count", {"condition": {"all": []}}))["count"] == 1
        got(service.api("DELETE", "/v1/contacts/user_id:ann"))
        assert got(service.api("POST", "/v1/segments/count", {"condition": {"all": []}}))["count"] == 0
        deadline = time.monotonic() + 20
        while any(b"a-hidden-city" in file.read_bytes() for file in data.glob("analytics.duckdb*")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert got(service.api("POST", "/v1/segments/count", {"condition": {"all": []}}))["count"] == 0


def test_who_entered_and_left_since(api: Service):
    live = {"kind": "segment", "name": "live_locals", "condition": {"contact": "town", "is": "Boston"}, "live": True}
    knows(api, "w0", town="Boston")
    assert api.publish(live).status == 200
    path = "/v1/segments/live_locals/changes?since=2020-01-01"
    for who, town in (("w1", "Boston"), ("w2", "Boston"), ("w2", "Paris"), ("w0", "Boston")):
        knows(api, who, town=town)
    answer = got(api.api("GET", path))
    ids = {who: got(api.api("GET", f"/v1/contacts/user_id:{who}"))["contact"]["id"] for who in ("w1", "w2")}
    assert {row["contact"]: row["member"] for row in answer["changes"]} == {ids["w1"]: True, ids["w2"]: False}
    assert answer["complete"]
    pages: list[Any] = []
    after = ""
    while after is not None:
        page = got(api.api("GET", f"{path}&limit=1&after={after}"))
        pages += page["changes"]
        after = page["next"]
    assert pages == answer["changes"]
    how = ("--url", api.url, "--secret-key", SECRET_KEY)
    said = run("segments", "changes", "live_locals", "--since", "2020-01-01", *how).stdout
    assert ids["w1"] in said
    assert "out" in said
    assert "not watched" in got(api.api("GET", "/v1/segments/buyers/changes?since=2020-01-01"), 400)["detail"]
    assert "is no time" in got(api.api("GET", "/v1/segments/live_locals/changes?since=x"), 400)["detail"]
    got(api.api("GET", "/v1/segments/none/changes?since=2020-01-01"), 404)


def test_the_schema_of_conditions_has_titles(people: Service):
    schema = got(people.api("GET", "/v1/schema"))
    titles = [one["title"] for one in schema["$defs"]["Condition"]["anyOf"]]
    assert {"Did", "Random sample", "One after the other"} <= set(titles)


def test_a_condition_is_looked_at(people: Service):
    def check(condition: Any) -> Any:
        return got(people.api("POST", "/v1/conditions/check", {"condition": condition}))

    whole = check({"all": [{"segment": "buyers"}, {"did": "Order Completed", "times": 3, "within": "90d"}]})
    assert whole["text"] == 'in segment buyers and did "order completed" exactly 3 times in 90d'
    assert (whole["errors"], whole["countable"]) == ([], True)
    assert [one["code"] for one in whole["warnings"]] == ["unknown_interaction"]
    wrong = check({"any": [{"segment": "buyer"}, {"contact": "age", "at_leas": 3}, {"sample": "a"}]})
    assert wrong["text"] is None
    assert [one["pointer"] for one in wrong["errors"]] == ["/condition/any/1/at_leas", "/condition/any/2"]
    assert "did you mean 'at_least'" in wrong["errors"][0]["hint"]
    [unknown] = check({"segment": "buyer"})["errors"]
    assert (unknown["pointer"], "mean 'buyers'" in unknown["hint"]) == ("/condition/segment", True)


def test_union_intersection_and_difference(people: Service):
    a, b = {"segment": "buyers"}, {"segment": "locals"}
    sizes = {
        name: got(people.api("POST", "/v1/segments/count", {"condition": condition}))["count"]
        for name, condition in {
            "union": {"any": [a, b]},
            "intersection": {"all": [a, b]},
            "difference": {"all": [a, {"not": b}]},
            "the other way round": {"all": [b, {"not": a}]},
        }.items()
    }
    assert sizes == {"union": 10, "intersection": 2, "difference": 6, "the other way round": 2}


def test_a_control_group_is_counted_and_listed_like_any_segment(people: Service):
    half = {"kind": "segment", "name": "half", "condition": {"segment": "buyers"}, "control": {"percent": 50}}
    assert people.publish(half).status == 200

    def members(name: str) -> set[str]:
        page = got(people.api("GET", f"/v1/segments/{quote(name)}/members"))
        assert count(people, name) == len(page["contacts"])
        return {row["id"] for row in page["contacts"]}

    everybody, treated, held = members("buyers"), members("half"), members("half:control")
    assert (treated | held, treated & held) == (everybody, set())
    assert len(
        list(csv.reader(io.StringIO(people.api("GET", "/v1/segments/half:control/export").body.decode())))
    ) == 1 + len(held)
    overlap = got(people.api("POST", "/v1/segments/overlap", {"segments": ["half", "half:control"]}))
    assert (overlap["both"], overlap["either"]) == (0, len(everybody))
    found = run("segments", "count", "half:control", "--json", "--url", people.url, "--secret-key", SECRET_KEY)
    assert json.loads(found.stdout)["half:control"]["count"] == len(held)


LEVELS = [{"name": "bronze", "at": 0}, {"name": "silver", "at": 10}, {"name": "gold", "at": 30}]
CLUB = [
    {"kind": "programme", "name": "club", "tiers": {"period": {"type": "rolling", "days": 365}, "levels": LEVELS}},
    {
        "kind": "rule",
        "name": "points",
        "programme": "club",
        "on": ["Visited"],
        "points": {"points": 1, "per": 1, "of": "minutes"},
    },
    {"kind": "reward", "name": "ten", "percent": 10, "valid_for": "30d"},
    {"kind": "segment", "name": "members", "condition": {"member": "club"}},
    {"kind": "segment", "name": "rich", "condition": {"points": "club", "at_least": 10}},
    {"kind": "segment", "name": "climbers", "condition": {"tier": "club", "at_least": "silver"}},
    {"kind": "segment", "name": "invited", "condition": {"reward": "ten", "is": "open"}},
    {
        "kind": "segment",
        "name": "poor",
        "condition": {"all": [{"member": "club"}, {"points": "club", "kind": "qualifying", "less_than": 10}]},
    },
]
MINUTES = {"m0": 0, "m1": 5, "m2": 10, "m3": 12, "m4": 30}


@pytest.fixture(scope="module")
def club(api: Service) -> Service:
    """Five members, the later the richer; the first has a coupon."""
    assert api.publish(*CLUB).status == 200
    for who, minutes in MINUTES.items():
        got(api.api("POST", f"/v1/loyalty/club/members/user_id:{who}/enrol", {"id": who}))
        did(api, who, "Visited", minutes=minutes)
    issued = got(api.api("POST", "/v1/loyalty/rewards/ten/issue", {"contact": "user_id:m0", "id": "i0"}))
    assert issued["coupon"]["code"]
    return api


def named(club: Service, segment: str) -> list[str]:
    page = got(club.api("GET", f"/v1/segments/{segment}/members"))
    return sorted(dict(row["identities"])["user_id"] for row in page["contacts"])


def test_segments_of_members(club: Service):
    found = {segment: named(club, segment) for segment in ("members", "rich", "climbers", "invited", "poor")}
    assert found == {
        "members": sorted(MINUTES),
        "rich": ["m2", "m3", "m4"],
        "climbers": ["m2", "m3", "m4"],
        "invited": ["m0"],
        "poor": ["m0", "m1"],
    }
    got(club.api("POST", "/v1/loyalty/club/members/user_id:m3/spend", {"points": 5, "id": "s3"}))
    assert (named(club, "rich"), named(club, "climbers")) == (["m2", "m4"], ["m2", "m3", "m4"])
    for condition, number in (
        ({"points": "club", "kind": "lifetime", "at_least": 10}, 3),
        ({"tier": "club", "is": "gold"}, 1),
        ({"not": {"member": "club"}}, None),
    ):
        answer = got(club.api("POST", "/v1/segments/count", {"condition": condition}))
        assert answer["count"] == (answer["of"] - len(MINUTES) if number is None else number), condition
        assert got(club.api("POST", "/v1/conditions/check", {"condition": condition}))["countable"]


def test_members_by_tier(club: Service):
    answer = got(club.api("GET", "/v1/segments/members/breakdown?tier=club"))
    assert (answer["programme"], answer["attribute"], answer["count"], answer["missing"]) == ("club", "", 5, 0)
    tiers = {"bronze": 2, "silver": 2, "gold": 1}
    assert {one["value"]: one["count"] for one in answer["values"]} == tiers
    assert got(club.api("GET", "/v1/segments/buyers/breakdown?tier=club"))["missing"] == count(club, "buyers")
    for wrong, says in (("tier=klub", "did you mean 'club'"), ("", "give 'by'"), ("by=city&tier=club", "give 'by'")):
        assert says in got(club.api("GET", f"/v1/segments/members/breakdown?{wrong}"), 400)["detail"]
    asked = ("segments", "breakdown", "members", "--tier", "club", "--url", club.url, "--secret-key", SECRET_KEY)
    shown = run(*asked).stdout.replace("│", " ").split()
    assert all(shown[shown.index(tier) + 1] == str(number) for tier, number in tiers.items())


def test_samples_overlaps_and_files_of_members(club: Service):
    assert got(club.api("GET", "/v1/segments/climbers/sample?size=2"))["count"] == 3
    overlap = got(club.api("POST", "/v1/segments/overlap", {"segments": ["climbers", {"reward": "ten"}]}))
    assert (overlap["sizes"], overlap["both"]) == ([3, 1], 0)
    rows = list(csv.DictReader(io.StringIO(club.api("GET", "/v1/segments/climbers/export").body.decode())))
    assert len(rows) == 3
    at = ("--url", club.url, "--secret-key", SECRET_KEY)
    condition = json.dumps({"tier": "club", "at_least": "silver"})
    for asked, number in ((("invited",), 1), (("--condition", condition), 3)):
        found = json.loads(run("segments", "count", *asked, "--json", *at).stdout)
        assert [one["count"] for one in found.values()] == [number]


def test_an_erased_member_is_gone(club: Service):
    got(club.api("DELETE", "/v1/contacts/user_id:m4"))
    assert named(club, "climbers") == ["m2", "m3"]
    assert got(club.api("POST", "/v1/analytics/rebuild"), 202)
    assert (named(club, "climbers"), named(club, "invited")) == (["m2", "m3"], ["m0"])
