"""Backtests over the API and on the command line, over real HTTP to a real service."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parcours.runtimes.backtest import backtest
from parcours.runtimes.backtest.job import BacktestError
from parcours.wiring import Settings, build
from tests.runtimes.waiting import PATIENCE, until
from tests.service import SECRET_KEY, Answer, Service
from tests.web.asgi import call

DEFINITIONS: list[dict[str, Any]] = [
    {"kind": "interaction", "name": "Signed Up"},
    {"kind": "message", "name": "hello", "channel": "email", "content": {"subject": "Hello", "text": "Hello"}},
    {"kind": "journey", "name": "published", "entry": {"type": "interaction", "interaction": "Signed Up"}, "start": "a",
     "steps": {"a": {"type": "send", "messages": ["hello"]}}},
]  # fmt: skip
DRAFT = {
    "kind": "journey",
    "name": "draft",
    "entry": {"type": "interaction", "interaction": "Signed Up"},
    "start": "greet",
    "steps": {
        "greet": {"type": "send", "messages": ["hello"], "next": "opened"},
        "opened": {
            "type": "wait_for",
            "events": [{"type": "reaction", "reaction": "opened"}],
            "timeout": {"after": "1d"},
        },
    },
}
JANUARY = 1_767_225_600_000
MONTH = 31 * 86_400_000
TIMES = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-02-01T00:00:00Z")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("backtests") / "data") as running:
        assert running.publish(*DEFINITIONS).status == 200
        for number in range(5):
            body = {
                "contact": {"user_id": f"u{number}"},
                "attributes": {"email": f"u{number}@parcours.dev"},
                "consent": {"email": "opted_in"},
                "occurred_at": f"2026-01-0{number + 1}T07:00:00Z",
            }
            assert running.post("/v1/contacts", body | {"backfill": True}).status == 200
            done = {"contact": {"user_id": f"u{number}"}, "name": "Signed Up", "backfill": True, "id": f"s{number}"}
            at = {"occurred_at": f"2026-01-0{number + 1}T08:00:00Z"}
            assert running.post("/v1/interactions", done | at).status == 200
        yield running
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]


def ask(api: Service, **more: Any) -> Answer:
    return api.api("POST", "/v1/backtests", {"start": JANUARY, "end": JANUARY + MONTH, **more})


def done(api: Service, asked: Answer) -> dict[str, Any]:
    assert asked.status == 202, asked
    answer = asked.json
    deadline = time.monotonic() + 60
    while answer["state"] in {"waiting", "running"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        answer = api.api("GET", f"/v1/backtests/{answer['id']}").json
    found: dict[str, Any] = answer
    return found


def test_a_draft_is_run_over_what_was_recorded(api: Service):
    found = done(api, ask(api, definitions=[DRAFT], rates={"opened": 1.0}))
    assert found["state"] == "done", found
    journey = found["report"]["journeys"][0]
    assert (journey["journey"], journey["entries"], journey["people"]) == ("draft", 5, 5)
    assert journey["messages"] == {"hello": 5}
    assert found["report"]["days"]["2026-01-03"] == {"hello": 1}
    assert {step["step"]: step["left"] for step in journey["steps"]}["opened"] == {"opened": 5}
    assert found["request"]["job"]["definitions"] == ["journey draft"]
    assert not api.api("GET", "/v1/report").json["outbox"], "nothing is sent"


def test_a_published_journey_against_a_draft(api: Service):
    found = done(api, ask(api, journeys=["published"], against={"definitions": [DRAFT]}))
    assert found["report"]["journeys"][0]["ended"] == {"finished": 5}
    assert found["against"]["journeys"][0]["ended"] == {"finished": 5}
    ids = [one["id"] for one in api.api("GET", "/v1/backtests").json["backtests"]]
    assert found["id"] in ids


@pytest.mark.parametrize(
    "body, said",
    [
        ({"journeys": ["unknown"]}, "there is no journey 'unknown'"),
        ({"definitions": [DRAFT | {"start": "nowhere"}]}, "there is no step 'nowhere'"),
        ({"definitions": []}, "there is no journey or rule among the definitions"),
        ({"definitions": [DRAFT], "end": 0}, "no time between"),
        ({"definitions": [DRAFT], "start": -(10**17)}, "beyond the calendar"),
        ({"definitions": [DRAFT], "end": 10**17}, "beyond the calendar"),
        (
            {"definitions": [DRAFT], "zone": "Europe/Pariss"},
            "there is no time zone 'Europe/Pariss': did you mean 'Europe/Paris'?",
        ),
        ({"definitions": [DRAFT], "against": {"journeys": ["unknown"]}}, "/against/journeys/0: there is no"),
        (
            {"definitions": [DRAFT], "against": {"definitions": [DRAFT | {"start": "x"}]}},
            "/against/definitions/0/start",
        ),
        ({"definitions": [DRAFT], "rates": {"opened": 2}}, ""),
        ({"definitions": [DRAFT], "unknown": 2}, ""),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(api: Service, body: dict[str, Any], said: str):
    answer = ask(api, **body)
    assert answer.status == 400, answer
    assert said in answer.body.decode()


@pytest.mark.parametrize(
    "path, asked",
    [
        ("/v1/backtests", {"start": JANUARY, "end": JANUARY + MONTH, "definitions": [DRAFT]}),
        ("/v1/loyalty/club/rules/visits/retroactive", {"since": "2026-01-01T00:00:00Z"}),
    ],
)
async def test_while_it_is_looked_at_whether_it_can_be_run_others_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, asked: dict[str, Any]
):
    begun, go_on = threading.Event(), threading.Event()

    def long(*_: Any) -> list[Any]:
        begun.set()
        assert go_on.wait(PATIENCE / 2)
        raise BacktestError("it cannot be run")

    service = build(Settings(data=tmp_path, secret_key=SECRET_KEY, write_key="w"))
    await service.host.start()
    try:
        club = [
            {"kind": "programme", "name": "club"},
            {"kind": "rule", "name": "visits", "programme": "club", "on": ["Signed Up"], "points": 1},
        ]
        errors, _ = await service.host.publish([*DEFINITIONS, *club])
        assert errors == []
        monkeypatch.setattr(backtest, "_rounds", long)
        body = json.dumps(asked).encode()
        answer = asyncio.create_task(call(service.app, "POST", path, body, key=SECRET_KEY))
        await until(begun.is_set)
        assert (await call(service.app, "GET", "/v1/report", key=SECRET_KEY)).status == 200
        assert not answer.done()
        go_on.set()
        refused = await answer
        assert (refused.status, b"it cannot be run" in refused.body) == (400, True)
        assert (await call(service.app, "GET", "/v1/backtests", key=SECRET_KEY)).json == {"backtests": []}
    finally:
        go_on.set()
        await service.host.close()


CALLS = DRAFT | {
    "steps": {
        "greet": {
            "type": "webhook",
            "url": "https://a.example",
            "save": "said",
            "next": "good",
            "failed": "none",
        },
        "good": {"type": "give", "reward": "mug", "unavailable": "none"},
        "none": {"type": "end"},
    }
}
MUG = {"kind": "reward", "name": "mug", "gift": "a mug", "stock": 2}
ASSUMED = {"webhooks": {"greet": [{"share": 1, "body": {"score": 7}}]}}


def test_what_is_assumed_of_webhooks_and_stock(api: Service):
    found = done(api, ask(api, definitions=[CALLS, MUG], assume={**ASSUMED, "stock": {"mug": 3}}))
    assert found["state"] == "done", found
    report = found["report"]
    assert [(one["what"], one["of"], one["times"]) for one in report["assumed"]] == [
        ("webhook", "draft/greet", 5),
        ("stock", "mug", 1),
    ]
    ran_out = "2026-01-04T08:00:01Z"
    assert report["rewards"] == [
        {"reward": "mug", "issued": 3, "declined": {"out_of_stock": 2}, "left": 0, "ran_out": ran_out}
    ]
    assert found["request"]["job"]["assume"]["stock"] == {"mug": 3}


@pytest.mark.parametrize(
    "assume, said",
    [
        ({"webhooks": {"gret": {}}}, "did you mean 'greet'"),
        ({"webhooks": {"greet": {"status": 99}}}, "/assume/webhooks/status: it is not at least 200"),
        ({"webhook": {}}, "webhook"),
    ],
)
def test_what_is_assumed_wrongly_is_refused_at_once(api: Service, assume: dict[str, Any], said: str):
    answer = ask(api, definitions=[CALLS, MUG], assume=assume)
    assert answer.status == 400, answer
    assert said in answer.body.decode()


def test_assumptions_in_a_file(api: Service, tmp_path: Path):
    draft, other, assumed = tmp_path / "draft.json", tmp_path / "other.json", tmp_path / "assumed.yaml"
    draft.write_text(json.dumps([CALLS, MUG]))
    other.write_text(json.dumps(DRAFT))  # which calls nobody
    assumed.write_text("webhooks:\n  greet: {body: {score: 7}}\nreactions:\n  opened: {share: 0.5}\n")
    command = [str(draft), *TIMES, "--assume", str(assumed), "--against", str(other)]
    here = run(*command, "--data", str(api.data))
    assert here.returncode == 0, here.stderr
    for text in (
        "Assumed of the webhook 'draft/greet'",
        "Reward 'mug': 2 issued, 0 left; not issued: out_of_stock 3; none left from 2026-01-03T08:00:01Z on",
    ):
        assert text in " ".join(here.stdout.split())
    there = run(*command, "--url", api.url, "--secret-key", SECRET_KEY)
    assert there.returncode == 0, there.stderr
    assert here.stdout.splitlines()[1:] == there.stdout.splitlines()[1:]


@pytest.mark.parametrize(
    "text, said",
    [
        ("webhooks:\n  greet: {stat: 200}\n", "assumed.yaml:2 /webhooks/greet/stat: unknown key 'stat'"),
        ("webhooks:\n  nobody: {}\n", "no draft has a step 'nobody'"),
        ("stock: {mug: -1}\n", "assumed.yaml:1 /stock/mug: the number -1 is out of range (it has to be at least 0)"),
        ("stock: {mug: 1\n", "assumed.yaml:"),
        ("a: 1\n---\nb: 1\n", "holds 2"),
    ],
)
def test_assumptions_in_a_file_that_are_wrong(api: Service, tmp_path: Path, text: str, said: str):
    draft, assumed = tmp_path / "draft.json", tmp_path / "assumed.yaml"
    draft.write_text(json.dumps([CALLS, MUG]))
    assumed.write_text(text)
    answer = run(str(draft), *TIMES, "--assume", str(assumed), "--data", str(api.data))
    assert answer.returncode in {1, 2}
    assert said in " ".join(answer.stderr.split())


def test_an_unknown_backtest(api: Service):
    assert api.api("GET", "/v1/backtests/0123456789abcdef").status == 404
    assert api.api("GET", "/v1/backtests/..%2F..").status == 404


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "parcours", "backtest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_on_the_command_line(api: Service, tmp_path: Path):
    draft, other = tmp_path / "draft.json", tmp_path / "other.json"
    draft.write_text(json.dumps(DRAFT))
    other.write_text(json.dumps(DRAFT | {"re_entry": "always"}))
    here = run(str(draft), *TIMES, "--data", str(api.data), "--rate", "opened=1", "--json")
    assert here.returncode == 0, here.stderr
    there = run(str(draft), *TIMES, "--url", api.url, "--secret-key", SECRET_KEY, "--rate", "opened=1", "--json")
    assert there.returncode == 0, there.stderr
    mine, its = json.loads(here.stdout)[0], json.loads(there.stdout)[0]
    assert mine["journeys"] == its["journeys"]
    assert mine["days"] == its["days"]
    shown = run(str(draft), *TIMES, "--data", str(api.data), "--against", str(other), "--zone", "Europe/Berlin")
    assert shown.returncode == 0, shown.stderr
    for text in ("5 entries of 5 people", "Compared", "draft: entries", "The busiest days"):
        assert text in shown.stdout


@pytest.mark.parametrize("here", [True, False])
def test_what_is_wrong_with_files_is_told_with_its_line(api: Service, tmp_path: Path, here: bool):
    good, bad = tmp_path / "good.json", tmp_path / "bad.yaml"
    good.write_text(json.dumps(DRAFT))
    bad.write_text(
        f"# a comment\n---\n{json.dumps(DEFINITIONS[0])}\n---\nkind: journey\nname: bad\nstart: x\nsteps: {{y: {{type: end}}}}\n"
    )
    place = ("--data", str(api.data)) if here else ("--url", api.url, "--secret-key", SECRET_KEY)
    for files in ((str(bad),), (str(good), "--against", str(bad))):
        answer = run(*files, *TIMES, *place)
        assert answer.returncode == 2
        assert f"{bad}:5: missing key 'entry'" in answer.stderr
    again = tmp_path / "again.json"
    again.write_text(json.dumps(DRAFT | {"start": "x"}))
    assert f"{again}:1 /start: there is no step 'x'" in run(str(again), *TIMES, *place).stderr


def test_times_in_which_nothing_was_recorded_are_told_of(api: Service, tmp_path: Path):
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps(DRAFT | {"goals": [{"name": "paid", "interaction": "Paid"}]}))
    times = ("--from", "2199-01-01T00:00:00Z", "--to", "2199-02-01T00:00:00Z")
    assert "Nothing was recorded in this time." in run(str(draft), *times, "--data", str(api.data)).stdout
    compared = run(str(draft), *TIMES, "--data", str(api.data), "--against", str(draft)).stdout
    for text in ("draft: suppressed", "draft: goal paid", "draft: conversion", "+0.0 points"):
        assert text in compared


def test_drafts_that_cannot_be_compared_are_named(api: Service, tmp_path: Path):
    drafts, others = tmp_path / "drafts.json", tmp_path / "others.json"
    drafts.write_text(json.dumps([DRAFT, DRAFT | {"name": "second"}]))
    others.write_text(json.dumps([DRAFT, DRAFT | {"name": "third"}]))
    shown = run(str(drafts), *TIMES, "--data", str(api.data), "--against", str(others)).stdout
    assert "second: there is no draft of this name to compare it with" in shown
    assert "draft: entries" in shown


@pytest.mark.parametrize(
    "options, said",
    [
        (("--rate", "opened"), "names no value"),
        (("--rate", "opened=7"), "is no share"),
        (("--after", "opened=soon"), "2h"),
        (("--data", "nowhere"), "there is no store"),
        (("--data", "nowhere", "--zone", "Europe/Pariss"), "did you mean 'Europe/Paris'?"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, options: tuple[str, ...], said: str):
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps(DRAFT))
    answer = run(str(draft), *TIMES, *options)
    assert answer.returncode == 2
    assert said in answer.stderr
