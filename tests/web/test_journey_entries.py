"""Letting contacts into a journey over the API and on the command line, over real HTTP to a real service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_commands import Said, parcours
from tests.core.world import email, journey, wait
from tests.service import SECRET_KEY, Answer, Service

CALLED = {**journey({"w": wait("30d")}, name="called", re_entry="never"), "entry": {"type": "api", "key": "order"}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("entries") / "data") as running:
        answer = running.publish(email("mail"), CALLED, journey({"w": wait("1d")}, name="other"))
        assert answer.status == 200, answer.body
        yield running
    assert "Traceback" not in running.errors.read_text()


def enter(api: Service, body: Any, name: str = "called") -> Answer:
    return api.api("POST", f"/v1/journeys/{name}/entries", body)


def test_one_and_many_enter_and_each_gets_a_result(api: Service):
    one = {"id": "1", "contact": {"user_id": "ann"}, "attributes": {"order": 7}}
    answer = enter(api, one)
    assert (answer.status, answer.json["accepted"]) == (200, 1)
    items: list[dict[str, Any]] = [one, {"contact": {"user_id": "bob"}, "attributes": {"order": "b"}}, {"contact": {}}]
    answer = enter(api, {"items": items})
    assert answer.status == 400
    assert [row["status"] for row in answer.json["results"]] == ["duplicate", "accepted", "rejected"]
    assert answer.json["results"][2]["error"]["code"] == "no_identity"
    (run,) = api.contact("ann")["contact"]["runs"]["called"].values()
    assert run["key"] == "7"


def test_an_unknown_journey_and_one_that_is_not_called(api: Service):
    item = {"contact": {"user_id": "ann"}}
    answer = enter(api, item, "caled")
    assert answer.status == 404
    assert "did you mean 'called'" in answer.json["detail"]
    assert enter(api, item, "other").status == 409


def test_a_body_that_cannot_be_read_says_where(api: Service):
    answer = enter(api, {"contact": {"user_id": "ann"}, "atributes": {}})
    assert answer.status == 400
    assert "attributes" in answer.json["results"][0]["error"]["hint"]


def run(api: Service, *arguments: str | Path) -> Said:
    return parcours("journeys", "enter", *arguments, PARCOURS_URL=api.url, PARCOURS_SECRET_KEY=SECRET_KEY)


def test_the_command_line_lets_in_whom_it_names_and_who_is_in_a_file(api: Service, tmp_path: Path):
    done = run(api, "called", "user_id:cyd", "user_id:dan", "--set", "order=9")
    assert (done.code, done.out.strip()) == (0, "2 accepted, 0 repeated, 0 rejected")
    done = run(api, "called", "user_id:cyd", "--set", "order=10", "--id", "x")
    assert done.code == 0
    assert "1 repeated" in run(api, "called", "user_id:cyd", "--set", "order=10", "--id", "x").out
    lines = [{"contact": {"user_id": f"u{n}"}, "attributes": {"order": n}} for n in range(3)] + [{"contact": {}}]
    file = tmp_path / "who.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    done = run(api, "called", "--file", file)
    assert done.code == 1
    assert "3 accepted, 0 repeated, 1 rejected" in done.out


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("called",), "nobody is named"),
        (("called", "ann"), "is no identity"),
        (("called", "user_id:ann", "user_id:bob", "--id", "x"), "--id is of one contact"),
        (("nothing", "user_id:ann"), "there is no journey 'nothing'"),
    ],
)
def test_the_command_line_says_what_is_wrong(api: Service, arguments: tuple[str, ...], says: str):
    done = run(api, *arguments)
    assert done.code == 2
    assert says in done.err.replace("\n", " ")


def test_a_file_that_cannot_be_read_is_one_line(api: Service, tmp_path: Path):
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"contact": {"user_id": "ann"}}\n\n{bad\n')
    for file, says in ((tmp_path, "cannot read"), (binary, "is not UTF-8"), (broken, "line 3 of broken.jsonl")):
        done = run(api, "called", "--file", file)
        assert done.code == 2
        assert says in done.err
        assert "Traceback" not in done.err


def test_a_line_may_hold_what_ends_lines_elsewhere(api: Service, tmp_path: Path):
    file = tmp_path / "odd.jsonl"
    item = {"contact": {"user_id": "odd"}, "attributes": {"order": "a\u2028b\x85c"}}
    file.write_text("\ufeff" + json.dumps(item, ensure_ascii=False) + "\r\n")
    assert "1 accepted" in run(api, "called", "--file", file).out
