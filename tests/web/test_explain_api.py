"""Explanations over the API and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from parcours.cli.console import OUT
from tests.cli.test_commands import Said, parcours
from tests.core.world import email, journey, send, wait
from tests.service import SECRET_KEY, Service

DEFINITIONS = [
    email("receipt", purpose="transactional"),
    journey(
        {"s": send("receipt", next="w"), "w": wait("30d")},
        entry={"where": {"interaction": "total", "at_least": 10}},
        name="orders",
    ),
    {"kind": "interaction", "name": "Visit"},
    {"kind": "programme", "name": "club", "timezone": "America/New_York"},
    {"kind": "rule", "name": "visits", "programme": "club", "on": ["Visit"], "points": 10,
     "budget": [{"per": "month", "points": 15}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("explain") / "data") as running:
        assert running.publish(*DEFINITIONS).status == 200
        for who, total in (("ann", 12), ("bob", 9)):
            known = {"contact": {"user_id": who}, "attributes": {"email": f"{who}@parcours.dev"}}
            assert running.post("/v1/contacts", known).status == 200
            item = {"name": "Go", "contact": {"user_id": who}, "attributes": {"total": total}}
            assert running.post("/v1/interactions", item).status == 200
        yield running
    assert "Traceback" not in running.errors.read_text()


def test_why_did_she_get_this(service: Service):
    found = service.api("GET", "/v1/journeys/orders/explain?contact=user_id:ann").json
    assert found["entered"] == 1
    assert "for interaction.total ≥ 10 (it was 12)" in found["because"][0]
    assert [stand["step"] for stand in found["standing"]] == ["w"]
    (moment,) = found["moments"]
    assert moment["what"] == "Go"
    assert moment["asked"] == [
        {"place": "entry", "answer": {"text": "interaction.total ≥ 10", "answer": True, "seen": 12}}
    ]
    assert [entry["what"] for entry in moment["decided"]] == ["entered", "arrived", "sent", "arrived"]


def test_a_pause_is_told_in_time(service: Service):
    assert service.api("POST", "/v1/journeys/orders/pause").status == 200
    try:
        found = service.api("GET", "/v1/journeys/orders/explain?contact=user_id:ann").json
        assert [state["state"] for state in found["states"]] == ["live", "paused"]
        assert found["states"][1]["time"] in found["because"][-1]
        assert found["standing"][0]["paused"] == found["states"][1]["at"]
        assert found["moments"][-1]["what"] == "paused"
        life = service.api("GET", "/v1/contacts/user_id:ann/timeline?kind=step").json["entries"]
        assert [decision["what"] for decision in life[0]["decisions"]] == ["paused"]
    finally:
        assert service.api("POST", "/v1/journeys/orders/resume").status == 200


def test_why_did_he_not(service: Service):
    found = service.api("GET", "/v1/journeys/orders/explain?contact=user_id:bob").json
    assert found["entered"] == 0
    assert "interaction.total ≥ 10 (it was 9)" in found["because"][1]
    before = service.api("GET", "/v1/journeys/orders/explain?contact=user_id:bob&at=2020-01-01T00:00:00Z").json
    assert before["moments"] == []


def test_nothing_is_told_of_what_lies_ahead(service: Service):
    now = service.api("GET", "/v1/journeys/orders/explain?contact=user_id:ann").json
    ahead = service.api("GET", "/v1/journeys/orders/explain?contact=user_id:ann&at=2199-01-01T00:00:00Z").json
    assert ahead["because"] == now["because"]
    assert ahead["time"] < "2199"
    assert [stand["step"] for stand in ahead["standing"]] == ["w"]


@pytest.mark.parametrize(
    "path, status, said",
    [
        ("ordrs/explain?contact=user_id:ann", 404, "did you mean 'orders'?"),
        ("orders/explain?contact=user_id:eve", 404, "user_id:eve"),
        ("orders/explain?contact=user_id:ann&at=yesterday", 400, "2026-01-31T09:00:00Z"),
        ("orders/explain", 400, "contact"),
    ],
)
def test_what_cannot_be_explained_is_refused(service: Service, path: str, status: int, said: str):
    answer = service.api("GET", f"/v1/journeys/{path}")
    assert answer.status == status
    assert said in str(answer.json)


def run(service: Service, *arguments: str) -> Said:
    return parcours(*arguments, PARCOURS_URL=service.url, PARCOURS_SECRET_KEY=SECRET_KEY)


def test_what_somebody_sent_does_not_command_the_terminal(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(OUT, "_width", 200)
    evil = "\x1b[31mred\x9b2J\u202e [bold]b[/bold]"
    item = {"name": "Go", "contact": {"user_id": "mal"}, "attributes": {"total": 1, "note": evil}}
    assert service.post("/v1/interactions", item).status == 200
    for command in (
        ("explain", "--journey", "orders", "--contact", "user_id:mal"),
        ("contacts", "timeline", "user_id:mal"),
    ):
        done = run(service, *command)
        assert done.code == 0, done
        assert "\ufffd[31mred\ufffd2J\ufffd [bold]b[/bold]" in done.out
        raw = run(service, *command, "--json")
        assert "\x1b" not in raw.out
        assert "\x9b" not in raw.out
        assert json.dumps(evil)[1:-1] in json.dumps(json.loads(raw.out)), "it is the same value"


def test_on_the_command_line(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(OUT, "_width", 200)
    done = run(service, "explain", "--journey", "orders", "--contact", "user_id:bob")
    assert done.code == 0, done
    assert "never entered" in done.out
    assert "entry: interaction.total ≥ 10 (it was 9): no" in done.out
    assert run(service, "explain", "--journey", "orders", "--contact", "user_id:bob", "--json").out.startswith("{")


@pytest.fixture(scope="module")
def visited(service: Service) -> Service:
    """Ann was there before Bob, and there were points for one visit and a half."""
    for who in ("ann", "bob"):
        answer = service.api("POST", f"/v1/loyalty/club/members/user_id:{who}/enrol", {"id": f"enrol-{who}"})
        assert answer.status == 200, answer
        assert service.post("/v1/interactions", {"name": "Visit", "contact": {"user_id": who}}).status == 200
    return service


def test_why_a_rule_gave_nothing(visited: Service):
    found = visited.api("GET", "/v1/loyalty/club/explain?contact=user_id:bob&rule=visits").json
    (look,) = found["looks"]
    assert (look["rule"], look["what"], look["given"], look["reason"]) == ("visits", "Visit", False, "budget")
    (left,) = look["budgets"]
    assert (left["per"], left["left_points"], left["left_times"], left["short"]) == ("month", 5, None, True)
    assert look["at"] < left["until"] <= look["at"] + 32 * 86_400_000
    assert "its budget of 15 points per month had 5 points left, until 20" in found["because"][0]
    assert "T04:00:00Z" in found["because"][0] or "T05:00:00Z" in found["because"][0], "midnight in New York"
    assert found["time"] >= look["time"]
    hers = visited.api("GET", "/v1/loyalty/club/explain?contact=user_id:ann").json
    assert [(look["given"], look["points"]) for look in hers["looks"]] == [(True, 10)]
    assert (
        visited.api("GET", "/v1/loyalty/club/explain?contact=user_id:ann&at=2020-01-01T00:00:00Z").json["looks"] == []
    )


@pytest.mark.parametrize(
    "path, status, said",
    [
        ("clib/explain?contact=user_id:ann", 404, "did you mean 'club'?"),
        ("club/explain?contact=user_id:ann&rule=visit", 404, "did you mean 'visits'?"),
        ("club/explain?contact=user_id:eve", 404, "user_id:eve"),
        ("club/explain?contact=user_id:ann&at=yesterday", 400, "2026-01-31T09:00:00Z"),
        ("club/explain", 400, "contact"),
    ],
)
def test_what_cannot_be_explained_of_rules_is_refused(service: Service, path: str, status: int, said: str):
    answer = service.api("GET", f"/v1/loyalty/{path}")
    assert answer.status == status
    assert said in str(answer.json)


def test_rules_on_the_command_line(visited: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(OUT, "_width", 200)
    done = run(visited, "explain", "--programme", "club", "--contact", "user_id:bob")
    assert done.code == 0, done
    assert "the rule 'visits' gave nothing for 'Visit', of 10 points: its budget of 15 points" in done.out
    for wrong in (["--journey", "orders", "--programme", "club"], ["--journey", "orders", "--rule", "visits"], []):
        refused = run(visited, "explain", "--contact", "user_id:bob", *wrong)
        assert refused.code != 0
        assert "--journey NAME, or about --programme NAME" in refused.err
