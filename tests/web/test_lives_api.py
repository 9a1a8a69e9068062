"""The life of journeys over the API and on the command line, over real HTTP to a real service."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service import SECRET_KEY, Answer, Service

MAIL = {
    "kind": "message",
    "name": "mail",
    "channel": "email",
    "purpose": "transactional",
    "content": {"subject": "s", "text": "t"},
}
STEPS = {
    "w": {"type": "wait_for", "events": [{"type": "interaction", "interaction": "Paid", "next": "s"}], "next": "s"},
    "s": {"type": "send", "messages": ["mail"], "next": "l"},
    "l": {"type": "wait", "for": "1d"},
}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("lives") / "data") as running:
        assert running.publish(MAIL).status == 200
        yield running
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]


def got(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer
    return answer.json


def journey(name: str, **more: Any) -> dict[str, Any]:
    entry = {"type": "interaction", "interaction": f"Go {name}"}
    return {"name": name, "entry": entry, "start": "w", "steps": STEPS, "re_entry": "always", **more}


def put(api: Service, name: str, status: int = 201, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    answer = changed(api, "PUT", name, journey(name, **more), headers)
    assert answer.status == status, answer
    return answer


def changed(api: Service, method: str, name: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
    own = {"Authorization": f"Bearer {SECRET_KEY}", "Content-Type": "application/json"} | (headers or {})
    return api.request(method, f"/v1/journeys/{name}", json.dumps(body).encode(), own)


def did(api: Service, who: str, name: str, **properties: Any) -> None:
    message = {"type": "track", "messageId": f"l{next(_numbers)}", "userId": who, "event": name}
    got(api.batch(message | {"properties": properties}))


def knows(api: Service, who: str) -> None:
    got(api.post("/v1/contacts", {"contact": {"user_id": who}, "attributes": {"email": f"{who}@parcours.dev"}}))


def cli(api: Service, *arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "parcours", "journeys", *arguments, "--url", api.url, "--secret-key", SECRET_KEY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def state(api: Service, name: str) -> str:
    return str(got(api.api("GET", f"/v1/journeys/{name}"))["state"])


def test_a_journey_is_created_changed_and_taken_through_its_states(api: Service):
    made = put(api, "life", state="draft")
    assert got(api.api("GET", "/v1/journeys/life"))["state"] == "draft"
    tag = made.headers["etag"]
    stale = changed(api, "PATCH", "life", {"title": "Life"}, {"If-Match": '"other"'})
    assert stale.status == 412
    fresh = changed(api, "PATCH", "life", {"title": "Life"}, {"If-Match": tag})
    assert fresh.status == 200
    assert fresh.headers["etag"] != tag
    for action, expected in (
        ("publish", "live"), ("pause", "paused"), ("resume", "live"), ("close", "closed"), ("archive", "archived"),
        ("restore", "closed"), ("publish", "live"), ("stop", "stopped"),
    ):  # fmt: skip
        got(api.api("POST", f"/v1/journeys/life/{action}"))
        assert state(api, "life") == expected
    assert "paused" in str(got(api.api("POST", "/v1/journeys/life/resume"), 409))
    assert "did you mean 'pause'" in str(got(api.api("POST", "/v1/journeys/life/pauze"), 404))
    view = got(api.api("GET", "/v1/journeys/life"))
    assert [row["version"] for row in view["versions"]] == [1]
    assert view["definition"]["title"] == "Life"


def test_it_is_scheduled(api: Service):
    put(api, "later", state="draft")
    assert "starts" in str(got(api.api("POST", "/v1/journeys/later/schedule"), 400))
    got(api.api("POST", "/v1/journeys/later/schedule", {"starts": "2999-01-01T00:00:00Z"}))
    view = got(api.api("GET", "/v1/journeys/later"))
    assert (view["state"], view["next_change"][:4]) == ("scheduled", "2999")
    rows = got(api.api("GET", "/v1/journeys?in_state=scheduled"))["journeys"]
    assert [row["name"] for row in rows] == ["later"]
    got(api.api("POST", "/v1/journeys/later/publish", {"starts": "2998-01-01T00:00:00Z"}))
    assert got(api.api("GET", "/v1/journeys/later"))["next_change"][:4] == "2998"
    got(api.api("POST", "/v1/journeys/later/publish"))
    assert state(api, "later") == "live"
    put(api, "planned", state="draft", starts="2999-01-01T00:00:00Z")
    got(api.api("POST", "/v1/journeys/planned/publish"))
    assert state(api, "planned") == "scheduled"


def test_who_waits_where_and_what_is_different(api: Service):
    put(api, "count", goals=[{"name": "paid", "interaction": "Paid"}])
    for who in ("c1", "c2", "c3"):
        knows(api, who)
        did(api, who, "Go count")
    did(api, "c1", "Paid")
    found = got(api.api("GET", "/v1/journeys/count/statistics"))
    steps = {step["step"]: step for step in found["figures"]["steps"]}
    assert (found["figures"]["entered"], found["figures"]["running"]) == (3, 3)
    assert [(name, step["entered"], step["waiting"]) for name, step in steps.items()] == [
        ("w", 3, 2), ("s", 1, 0), ("l", 1, 1),
    ]  # fmt: skip
    assert steps["w"]["left"] == {"paid": 1}
    assert steps["s"]["sent"] == {"mail": 1}
    (goal,) = found["figures"]["goals"]
    assert goal["reached"] == 1
    assert goal["rate"]["low"] < 1 / 3 < goal["rate"]["high"]
    assert [row["share"] for row in found["funnel"]] == [1, 1 / 3, 1 / 3]

    other = {
        "w": STEPS["w"],
        "s": STEPS["s"] | {"next": "d"},
        "d": {"type": "decision", "if": {"contact": "a", "is": 1}},
    }
    put(api, "count", 200, steps=other)
    diff = got(api.api("GET", "/v1/journeys/count/diff?before=1&after=2"))
    assert (diff["added"], diff["removed"]) == (["d"], ["l"])
    assert diff["changed"] == [
        {"step": "s", "fields": [{"pointer": "/next", "before": "l", "after": "d", "texts": None}]}
    ]
    assert diff["arrows_added"] == [{"step": "s", "pointer": "/next", "to": "d"}]
    assert "d" in cli(api, "diff", "count", "1", "2")

    body = {"from": 1, "to": 2, "dry_run": True}
    refused = got(api.api("POST", "/v1/journeys/count/moves", body), 400)
    assert [(one["code"], one["pointer"]) for one in refused["errors"]] == [("missing_step", "/steps/l")]
    assert "missing" not in cli(api, "move", "count", "1", "2", "--step", "l=d", "--dry-run")
    assert "1 stand at 'l'" in cli(api, "move", "count", "1", "2", status=1)
    moved = got(api.api("POST", "/v1/journeys/count/moves", {"from": 1, "to": 2, "steps": {"l": "d"}}))
    assert moved["moved"]
    assert moved["steps"] == {"w": "w", "l": "d"}
    versions = got(api.api("GET", "/v1/journeys/count"))["versions"]
    assert all(row["running"] >= 0 for row in versions)
    assert "moved here" in cli(api, "stats", "count", "--version", "2")
    assert "moved to other versions" in cli(api, "stats", "count", "--version", "1")
    rows = got(api.api("GET", "/v1/journeys/count"))["versions"]
    assert rows[0]["version"] == 2
    found = got(api.api("GET", "/v1/journeys/count/statistics?version=2"))
    assert {step["step"]: step["waiting"] for step in found["figures"]["steps"]} == {"w": 2, "s": 0, "d": 0}


def test_on_the_command_line(api: Service):
    put(api, "lines", state="draft")
    assert "draft" in cli(api, "list")
    assert "lines is live" in cli(api, "state", "lines", "publish")
    knows(api, "l1")
    did(api, "l1", "Go lines")
    figures = cli(api, "stats", "lines")
    assert "1 entered, 1 under way" in figures
    assert "waiting" in figures
    assert "held" not in figures, "there is none"
    assert json.loads(cli(api, "stats", "lines", "--json"))["figures"]["running"] == 1
    assert "lines is live" in cli(api, "show", "lines")
    assert "nothing keeps it" in cli(api, "check", "lines")
    assert "did you mean 'lines'" in cli(api, "show", "line", status=2)


def test_what_is_held_and_that_there_is_nothing_to_compare_by_is_shown(api: Service):
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    today = datetime.now(UTC).weekday()
    around = [days[(today + more) % 7] for more in (-1, 0, 1)]
    quiet = {"from": "00:00", "to": "00:00", "channels": ["inbox"], "days": around}
    got(api.publish(
        {"kind": "workspace", "policy": {"quiet_hours": quiet}},
        {"kind": "message", "name": "later", "channel": "inbox", "content": {"title": "t", "body": "b"}},
    ))  # fmt: skip
    steps = {
        "x": {"type": "experiment", "branches": [{"name": "only", "next": "s"}]},
        "s": {"type": "send", "messages": ["later"]},
    }
    made = put(api, "quiet", start="x", steps=steps)
    assert "no_goal" in str(made.json)
    got(api.post("/v1/contacts", {"contact": {"user_id": "q1"}, "consent": {"inbox": "opted_in"}}))
    did(api, "q1", "Go quiet")
    figures = cli(api, "stats", "quiet")
    assert "held" in figures
    assert "x: the journey has no goal to compare the variants by" in figures


def test_everything_wrong_with_a_draft_is_said_at_once(api: Service):
    put(api, "checked", state="draft")
    wrong = journey("checked", start="q", steps={"w": STEPS["w"], "x": {"type": "send", "messages": ["nothing"]}})
    found = got(api.api("POST", "/v1/journeys/checked/check", wrong))
    assert {one["code"] for one in found["errors"]} >= {"unknown_step", "unknown_reference"}
    assert got(api.api("GET", "/v1/journeys/checked"))["definition"]["start"] == "w"


def test_a_journey_is_tested_and_shows_what_happened(api: Service):
    put(api, "tried", state="draft", test={"waits": "100ms", "recipients": {"email": "qa@parcours.dev"}})
    knows(api, "t1")
    body = {"contacts": [{"user_id": "t1"}], "attributes": {"total": 1}, "seconds": 20}
    two = body | {"contacts": [{"user_id": "t1"}, {"user_id": "t1", "email": "t1@parcours.dev"}]}
    assert "/contacts/1: it takes one identity each, not 2" in str(
        got(api.api("POST", "/v1/journeys/tried/test", two), 400)
    )
    (row,) = got(api.api("POST", "/v1/journeys/tried/test", body | {"seconds": 0}))["tests"]
    assert not row["ended"]
    assert [entry["what"] for entry in row["trace"]] == ["entered", "arrived"]
    did(api, "t1", "Paid")
    out = cli(api, "test", "tried", "user_id:t1", "--seconds", "0")
    assert "still under way" in out
    assert got(api.api("GET", "/v1/journeys/tried/statistics"))["figures"]["entered"] == 0
    nobody = {"contacts": [{"user_id": "nobody"}]}
    assert api.api("POST", "/v1/journeys/tried/test", nobody).status == 404
    got(api.api("POST", "/v1/journeys/tried/publish"))
    got(api.api("POST", "/v1/journeys/tried/pause"))
    got(api.api("POST", "/v1/journeys/tried/test", body), 409)


def test_doubts_are_said_by_the_check(api: Service):
    put(api, "doubted", state="draft")
    steps = {"d": {"type": "decision", "if": {"contact": "cityy", "is": "a"}}}
    found = got(api.api("POST", "/v1/journeys/doubted/check", journey("doubted", start="d", steps=steps)))
    assert found["errors"] == []
    assert {one["code"] for one in found["warnings"]} >= {"dead_end", "never_seen"}


def test_the_check_says_everything_that_publishing_would_say_at_once(api: Service):
    bad = {
        "kind": "message", "name": "unreadable", "channel": "email", "purpose": "transactional",
        "content": {"subject": "{{ contact.", "text": "t"},
    }  # fmt: skip
    segment = {"kind": "segment", "name": "readers", "condition": {"contact": "a", "is": 1}}
    read = {"type": "segment", "segment": "readers", "schedule": {"rrule": "FREQ=DAILY;INTERVAL=0"}}
    steps = {
        "w": {"type": "send", "messages": ["unreadable", "nope"], "next": "gone"},
        "h": {"type": "webhook", "url": "https://crm.example.com/{{ run.", "next": "w"},
    }
    whole = {"kind": "journey"} | journey("everything", entry=read, steps=steps, start="h")
    expected = {
        ("/steps/h/url", "invalid_template"),
        ("/steps/w/messages/1", "unknown_reference"),
        ("/steps/w/next", "unknown_step"),
        ("/entry/schedule/rrule", "invalid_schedule"),
    }
    answer = got(api.api("PUT", "/v1/definitions", {"definitions": [whole, segment, bad]}), 400)
    told = {(one["pointer"], one["code"]) for one in answer["errors"]}
    assert told == {(f"/definitions/0{pointer}", code) for pointer, code in expected} | {
        ("/definitions/2/content/subject", "invalid_template")
    }
    assert api.publish(segment, MAIL | {"name": "unreadable"}).status == 200
    checked = got(api.api("POST", "/v1/journeys/everything/check", whole))
    assert {(one["pointer"], one["code"]) for one in checked["errors"]} == expected
    secret = {"h": {"type": "webhook", "url": "https://crm.example.com/{{ secrets.NOT_SET }}"}}
    checked = got(api.api("POST", "/v1/journeys/everything/check", journey("everything", steps=secret, start="h")))
    assert [one["code"] for one in checked["errors"]] == ["unknown_secret"]


@pytest.mark.parametrize("action", ["check", "publish", "schedule"])
def test_a_body_that_cannot_be_read_is_refused(api: Service, action: str):
    changed(api, "PUT", "garbled", journey("garbled", state="draft"))
    own = {"Authorization": f"Bearer {SECRET_KEY}", "Content-Type": "application/json"}
    for body in (b"{x", b"\xff", b'{"starts":'):
        answer = api.request("POST", f"/v1/journeys/garbled/{action}", body, own)
        assert got(answer, 400)["code"] == "invalid_json"


def test_times_that_cannot_be_read_are_told_by_their_place(api: Service):
    put(api, "mistimed", state="draft")
    said = got(api.api("POST", "/v1/journeys/mistimed/publish", {"stars": None}), 400)
    assert (said["code"], said["pointer"]) == ("unknown_field", "/stars")
    said = got(api.api("POST", "/v1/journeys/mistimed/publish", {"starts": 5}), 400)
    assert (said["code"], said["pointer"], said["message"]) == (
        "wrong_type", "/starts", "expected text or null, got an integer",
    )  # fmt: skip


def test_a_journey_that_is_over_is_not_said_to_be_published(api: Service):
    put(api, "over", state="draft", ends="2020-01-01T00:00:00Z")
    for action, body in (
        ("publish", None),
        ("publish", {"ends": "2021-01-01T00:00:00Z"}),
        ("schedule", {"starts": "2019-01-01T00:00:00Z"}),
    ):
        said = got(api.api("POST", f"/v1/journeys/over/{action}", body), 400)
        assert (said["code"], said["pointer"]) == ("ends_over", "/ends")
    assert "take it away" in cli(api, "state", "over", "publish", status=2)
    assert got(api.api("GET", "/v1/journeys/over"))["state"] == "draft"
    assert got(api.api("POST", "/v1/journeys/over/publish", {"ends": None}))["published"]
    assert got(api.api("GET", "/v1/journeys/over"))["state"] == "live"


def test_a_query_that_lacks_something_or_names_no_state_is_told(api: Service):
    put(api, "asked", state="draft")
    said = got(api.api("GET", "/v1/journeys/asked/diff?before=1"), 400)
    assert (said["code"], said["pointer"], said["message"]) == ("missing_field", "?after", "'after' is missing")
    said = got(api.api("GET", "/v1/journeys?in_state=lives"), 400)
    assert (said["pointer"], said["hint"]) == ("?in_state", "did you mean 'live'?")
    assert "scheduled" in got(api.api("GET", "/v1/journeys?in_state=flying"), 400)["hint"]


def test_a_test_that_cannot_begin_says_why(api: Service):
    entry = {"type": "interaction", "interaction": "Go keyed", "key": "order"}
    put(api, "keyed", entry=entry)
    knows(api, "k1")
    body = {"contacts": [{"user_id": "k1"}], "attributes": {}}
    (row,) = got(api.api("POST", "/v1/journeys/keyed/test", body))["tests"]
    assert (row["run"], row["ended"]) == ("", True)
    assert [(one["what"], one["reason"], one["detail"]) for one in row["trace"]] == [
        ("refused", "no_key", {"key": "order"})
    ]
    assert "did not begin" in cli(api, "test", "keyed", "user_id:k1", "--seconds", "0", status=1)
    (row,) = got(api.api("POST", "/v1/journeys/keyed/test", body | {"attributes": {"order": "A"}}))["tests"]
    assert row["run"]


@pytest.mark.parametrize(
    "attributes, code, pointer",
    [
        ({"a": 10**25}, "unstorable_value", "/attributes"),
        ({"a": ["x", "\0"]}, "nul_character", "/attributes/a/1"),
        ({"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}, "too_deep", "/attributes"),
    ],
)
def test_a_test_takes_no_attributes_that_cannot_be_kept(api: Service, attributes: Any, code: str, pointer: str):
    changed(api, "PUT", "odd", journey("odd", state="draft"))
    knows(api, "o1")
    body = {"contacts": [{"user_id": "o1"}], "attributes": attributes}
    said = got(api.api("POST", "/v1/journeys/odd/test", body), 400)
    assert (said["code"], said["pointer"]) == (code, pointer)


def test_the_command_line_brings_a_journey_into_the_state_of_a_test(api: Service):
    put(api, "tested", state="draft")
    assert "nobody is named to test it" in cli(api, "state", "tested", "test", status=1)
    got(changed(api, "PATCH", "tested", {"test": {"contacts": [{"user_id": "ann"}]}}))
    assert "tested is test" in cli(api, "state", "tested", "test")
    assert "tested is live" in cli(api, "state", "tested", "publish")
    got(changed(api, "PATCH", "tested", {"test": {"contacts": [{"user_id": " "}]}}), 400)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("any", "entries"), "cannot be told to 'entries'"),
        (("any", "paus"), "did you mean 'pause'?"),
        (("any", "pause", "--ends", "2027-01-01T00:00:00Z"), "--ends says nothing with pause"),
        (("a name", "pause"), "there is no journey 'a name'"),
    ],
)
def test_the_command_line_tells_a_journey_nothing_else(api: Service, arguments: tuple[str, ...], says: str):
    assert says in " ".join(cli(api, "state", *arguments, status=2).split())


def test_times_that_are_past_are_said_when_a_journey_is_published(api: Service):
    assert api.publish({"kind": "segment", "name": "anybody", "condition": {"contact": "a", "is": 1}}).status == 200

    def said(name: str, **more: Any) -> list[tuple[str, str]]:
        entry = {"type": "segment", "segment": "anybody"} | more.pop("entry", {})
        answer = changed(api, "PUT", name, journey(name, entry=entry, **more)).json
        assert answer["published"]
        return [(one["code"], one["pointer"]) for one in answer["warnings"] if one["code"] == "over"]

    assert said("p1", entry={"at": "2020-01-01T00:00:00Z"}) == [("over", "/entry/at")]
    assert said("p1", entry={"at": "2020-01-01T00:00:00Z"}, title="Known") == []
    assert said("p2", entry={"schedule": {"rrule": "FREQ=DAILY;COUNT=3"}}, re_entry="always") == [
        ("over", "/entry/schedule")
    ]
    assert said("p3", ends="2020-01-01T00:00:00Z") == [("over", "/ends")]
    assert said("p4", entry={"at": "2020-01-01T00:00:00Z"}, ends="2020-01-01T00:00:00Z", state="draft") == []
    assert said("p5", entry={"schedule": {"cron": "0 9 * * *"}}, ends="2990-01-01T00:00:00Z") == []
    assert said("p6", entry={"at": "2990-01-01T00:00:00Z"}) == []
