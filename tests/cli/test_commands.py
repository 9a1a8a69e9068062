"""The command line, as somebody types it: what it says, and its exit code."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from parcours.cli import main
from parcours.cli.definitions import file_names
from parcours.cli.serve import _listen
from parcours.definitions.load import Source, dump_yaml, load
from parcours.errors import ParcoursError
from parcours.runtimes.clocks import wall_time
from parcours.stores.sqlite import SqliteStore
from parcours.testing.receivers import PushReceiver
from parcours.wiring import Settings, SettingsError, build, build_channels
from tests.service import SECRET_KEY, Service

ROOT = Path(__file__).resolve().parents[2]
SEED = ROOT / "examples" / "seed"
WIDE = {"COLUMNS": "200", "NO_COLOR": "1"}


class Said(NamedTuple):
    code: int
    out: str
    err: str


def child(*arguments: str | Path, **environment: str) -> Said:
    """Run it as somebody does who types it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARCOURS_")}
    command = [sys.executable, "-m", "parcours", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=kept | WIDE | environment, capture_output=True, text=True, timeout=60, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


def parcours(*arguments: str | Path, **environment: str) -> Said:
    """Run it in this process, which is a second quicker; not for what serves."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["parcours", *map(str, arguments)])
        for name, value in (WIDE | environment).items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Said(int(str(code or 0)), out.getvalue(), err.getvalue())


def one_line(said: Said, *words: str) -> None:
    """An error is one line that says it, no traceback, and not a success."""
    assert said.code not in {0, 1}, said.out
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    for word in words:
        assert word in lines[0]


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_a_way_to_begin():
    said = child("--help")
    assert said.code == 0
    for command in ("serve", "check", "apply", "export", "simulate", "schema", "demo", "definitions", "packs"):
        assert command in said.out
        assert parcours(command, "--help").code == 0
    assert "Start with" in said.out


def test_without_arguments_it_helps():
    said = parcours()
    assert "serve" in said.out + said.err


def test_no_command_loads_what_only_others_need():
    heavy = ["aiohttp", "duckdb", "litestar", "uvicorn"]
    code = f"import sys, parcours.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version():
    said = parcours("--version")
    assert said.code == 0
    assert said.out.strip()


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_of_files_that_are_fine():
    said = parcours("check", SEED)
    assert (said.code, said.err) == (0, "")
    assert "7 definitions, no problems" in said.out


def test_check_prints_every_problem_with_its_line(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "kind: journey\n"
        "name: mine\n"
        "entry: {type: interaction, interaction: Go}\n"
        "start: first\n"
        "steps:\n"
        "  first: {type: send, messages: [missing], next: nowhere}\n"
        "  lost:\n"
        "    type: wait\n"
        "    for: soon\n"
        "    colour: red\n"
    )
    said = parcours("check", file)
    assert said.code == 1
    assert f"{file}:9 /steps/lost/for" in said.err
    assert f"{file}:10 /steps/lost/colour" in said.err
    assert f"{file}:6 /steps/first/messages/0: there is no message 'missing'" in said.err
    assert f"{file}:6 /steps/first/next: there is no step 'nowhere'" in said.err
    assert "4 problems" in said.err
    file.write_text(file.read_text().replace("soon", "1d").replace("    colour: red\n", ""))
    said = parcours("check", file)
    assert said.code == 1
    for line, words in ((6, "missing"), (6, "nowhere"), (7, "lost")):
        assert any(f"{file}:{line}" in text and words in text for text in said.err.splitlines()), (line, said.err)
    assert "warning" in said.err


def test_check_looks_at_what_webhooks_send(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "kind: journey\n"
        "name: mine\n"
        "entry: {type: interaction, interaction: Go}\n"
        "start: ask\n"
        "steps:\n"
        "  ask:\n"
        "    type: webhook\n"
        "    url: https://x.example/{{ contact.id | url_encod }}\n"
        "    headers:\n"
        "      X-A: '{{ contact.id'\n"
        "    body:\n"
        "      items:\n"
        "        - {sku: '{{ intraction.sku }}'}\n"
    )
    said = parcours("check", file)
    assert said.code == 1
    assert f"{file}:8 /steps/ask/url: line 1: there is no filter 'url_encod' (did you mean 'url_encode'?)" in said.err
    assert f"{file}:10 /steps/ask/headers/X-A: line 1: " in said.err
    assert f"{file}:13 /steps/ask/body/items/0/sku: line 1: templates see no 'intraction'" in said.err


def test_check_of_text_that_is_no_yaml(tmp_path: Path):
    file = tmp_path / "bad.yaml"
    file.write_text("kind: [\n")
    said = parcours("check", file)
    assert said.code == 1
    assert f"{file}:" in said.err


def test_check_of_files_that_cannot_be_read(tmp_path: Path):
    one_line(parcours("check", tmp_path / "missing.yaml"), "missing.yaml")
    one_line(parcours("check", tmp_path), "no .yaml")
    (tmp_path / "latin.yaml").write_bytes(b"title: caf\xe9")
    one_line(parcours("check", tmp_path / "latin.yaml"), "UTF-8")


# --- simulate ---------------------------------------------------------------------------------------------------------


def test_simulate_the_seed_journey():
    said = child("simulate", SEED, "--inputs", SEED / "happenings.jsonl", "--until", "2026-03-10T00:00:00Z")
    assert (said.code, said.err) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.out.splitlines() if "│" in line]
    events = [(row[1], row[3], row[4], row[5]) for row in rows]
    assert ("ann", "opened", "branched", "opened offer-push") in events
    assert ("bob", "opened", "branched", "timeout") in events
    assert ("bob", "reminder", "sent", "reminder-email") in events
    assert not [event for event in events if event[0] == "ann" and event[1] == "reminder"]
    assert not [event for event in events if event[0] == "cyd"]
    for who in ("ann", "bob"):
        assert [event for event in events if event[0] == who and event[3] == "thank-you-push"] == [
            (who, "thanks", "sent", "thank-you-push")
        ]
    assert [event for event in events if event[2] == "not_counted"] == [
        ("ann", "", "not_counted", 'interaction.purchaseMessage is "thank you"')
    ] or [event[:3] for event in events if event[2] == "not_counted"] == [("ann", "", "not_counted")]
    assert "7 messages would have been sent" in said.out


def test_simulate_names_every_bad_line(tmp_path: Path):
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('{"type": "track"}\n\nnonsense\n{"type": "track", "event": "a", "userId": "1"}\n')
    said = parcours("simulate", SEED, "--inputs", inputs)
    assert said.code == 2
    for number in (1, 3, 4):
        assert f"{inputs}:{number}" in said.err
    assert "Traceback" not in said.err


def test_simulate_takes_a_line_for_what_ends_with_a_newline(tmp_path: Path):
    inputs = tmp_path / "inputs.jsonl"
    line = '{"type": "track", "event": "A\u2028B\x85", "userId": "1", "timestamp": "2026-01-01T00:00:00Z"}'
    inputs.write_bytes(f"{line}\r\n\n{line}".encode())
    said = parcours("simulate", SEED, "--inputs", inputs)
    assert (said.code, said.err) == (0, "")
    inputs.write_bytes(f"{line}\n{{\n".encode())
    assert f"{inputs}:2" in parcours("simulate", SEED, "--inputs", inputs).err


def test_simulate_of_definitions_with_problems_and_of_a_time_that_is_none(tmp_path: Path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: what\nname: x\n")
    said = parcours("simulate", bad, "--inputs", SEED / "happenings.jsonl")
    assert said.code == 2
    assert f"{bad}:1" in said.err
    one_line(parcours("simulate", SEED, "--inputs", SEED / "happenings.jsonl", "--until", "soon"), "soon")
    one_line(parcours("simulate", SEED, "--inputs", tmp_path / "none.jsonl"), "none.jsonl")


# --- schema -----------------------------------------------------------------------------------------------------------


def test_schema(tmp_path: Path):
    said = parcours("schema")
    assert said.code == 0
    assert json.loads(said.out)["$schema"]
    assert parcours("schema", "--out", tmp_path / "schema.json").code == 0
    assert json.loads((tmp_path / "schema.json").read_text()) == json.loads(said.out)


# --- apply and export -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("cli") / "data") as running:
        yield running


def test_what_is_applied_is_exported_as_it_was(service: Service, tmp_path: Path):
    access = {"PARCOURS_URL": service.url, "PARCOURS_SECRET_KEY": SECRET_KEY}
    said = parcours("apply", SEED, **access)
    assert said.code == 0, said.err
    assert "7 definitions in force" in said.out
    out = tmp_path / "out"
    assert parcours("export", "--out", out, **access).code == 0
    assert len(list(out.iterdir())) == 7

    def read(folder: Path) -> object:
        workspace, errors, _ = load([Source(str(file), file.read_text()) for file in sorted(folder.glob("*.yaml"))])
        assert not errors
        return {(type(item), item.name): item for item in workspace.all()}

    assert read(out) == read(SEED)
    records = service.report()["records"]
    assert parcours("apply", out, **access).code == 0
    assert service.report()["records"] == records
    shown = parcours("export", **access)
    assert shown.code == 0
    assert shown.out.count("---") == 7


def test_apply_of_something_wrong_changes_nothing(service: Service, tmp_path: Path):
    file = tmp_path / "bad.yaml"
    file.write_text("kind: interaction\nname: New\n---\nkind: segment\nname: s\ncondition: {segment: missing}\n")
    before = service.api("GET", "/v1/definitions").json
    said = parcours("apply", file, "--url", service.url, "--secret-key", SECRET_KEY)
    assert said.code == 2
    assert f"{file}:6 /condition/segment" in said.err
    assert service.api("GET", "/v1/definitions").json == before


def test_apply_says_where_in_the_files_what_is(service: Service, tmp_path: Path):
    access = ("--url", service.url, "--secret-key", SECRET_KEY)
    file = tmp_path / "journeys.yaml"
    text = (
        "kind: segment\nname: unused\ncondition: {contact: a, is: 1}\n---\nkind: journey\nname: placed\nstate: draft\n"
    )
    entry = "entry: {type: segment, segment: unused, schedule: {cron: CRON}}\n"
    steps = "start: ask\nsteps:\n  ask: {type: wait_for, events: [{type: interaction, interaction: Never Seen}]}\n"
    file.write_text(text + entry.replace("CRON", "0 9 * * *") + steps)
    said = parcours("apply", file, *access)
    assert said.code == 0
    assert f"warning: {file}:11 /steps/ask/events/0/interaction: " in said.err
    file.write_text(text + entry.replace("CRON", "nine") + steps.replace("wait_for", "wait"))
    said = parcours("apply", file, *access)
    assert said.code == 2
    assert f"{file}:11 /steps/ask/events: unknown key" in said.err
    file.write_text(text + entry.replace("CRON", "nine") + steps)
    assert f"{file}:8 /entry/schedule/cron: it cannot be read" in parcours("apply", file, *access).err


def test_apply_may_refer_to_what_is_in_force(service: Service, tmp_path: Path):
    access = ("--url", service.url, "--secret-key", SECRET_KEY)
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("kind: segment\nname: base\ncondition: {contact: a, is: 1}\n")
    second.write_text("kind: segment\nname: on-top\ncondition: {segment: base}\n")
    assert parcours("apply", first, *access).code == 0
    said = parcours("apply", second, *access)
    assert said.code == 0, said.err
    assert "1 definition in force" in said.out


EVERY_KIND = """\
kind: workspace
channels: {kiosk: Kiosk}
contacts: {attributes: {size: {type: number}}, namespaces: {card: Card number}}
---
kind: interaction
name: "A/B [test]"
title: "[bold]Odd[/bold]"
channel: kiosk
retention: 365d
---
{kind: list, name: vips, title: Friends}
---
{kind: catalogue, name: courses, attributes: {price: {type: number}}, archived: true}
---
{kind: segment, name: kiosk-goers, condition: {did: "a/b [TEST]"}}
"""


def test_every_kind_goes_there_and_back(service: Service, tmp_path: Path):
    access = {"PARCOURS_URL": service.url, "PARCOURS_SECRET_KEY": SECRET_KEY}
    file, out = tmp_path / "all.yaml", tmp_path / "out"
    file.write_text(EVERY_KIND)
    assert "5 definitions, no problems" in parcours("check", file).out
    said = parcours("apply", file, **access)
    assert (said.code, said.err) == (0, "")
    assert "5 definitions in force" in said.out
    assert parcours("export", "--out", out, **access).code == 0
    assert (out / "workspace.yaml").exists()
    wanted, _, _ = load([Source("all.yaml", EVERY_KIND)])
    found, errors, _ = load([Source(str(path), path.read_text()) for path in sorted(out.iterdir())])
    assert errors == []
    assert {dump_yaml([one]) for one in wanted.all()} <= {dump_yaml([one]) for one in found.all()}
    records = service.report()["records"]
    assert parcours("apply", out, **access).code == 0
    assert service.report()["records"] == records


def test_definitions_are_listed_shown_archived_and_restored(service: Service, tmp_path: Path):
    access = {"PARCOURS_URL": service.url, "PARCOURS_SECRET_KEY": SECRET_KEY}
    file = tmp_path / "all.yaml"
    file.write_text(EVERY_KIND)
    assert parcours("apply", file, **access).code == 0

    listed = parcours("definitions", "list", **access)
    assert listed.code == 0
    for word in ("A/B [test]", "[bold]Odd[/bold]", "kiosk", "vips", "kiosk-goers"):
        assert word in listed.out
    assert "courses" not in listed.out
    assert "courses" in parcours("definitions", "list", "catalogue", "--archived", **access).out
    assert "vips" not in parcours("definitions", "list", "interaction", **access).out
    only = parcours("definitions", "list", "--channel", "kiosk", "--source-type", "customer", "--text", "odd", **access)
    assert "A/B [test]" in only.out
    assert "vips" not in only.out
    one_line(parcours("definitions", "list", "intraction", **access), "did you mean 'interaction'?")

    shown = parcours("definitions", "show", "interaction", "a/b [TEST]", **access)
    assert shown.code == 0
    assert "# used by the segment 'kiosk-goers' at /condition/did" in shown.out
    again, errors, _ = load([Source("shown.yaml", "kind: workspace\nchannels: {kiosk: ''}\n" + shown.out)])
    assert errors == []
    assert again.interactions["a/b [test]"].retention == "365d"

    one_line(parcours("definitions", "archive", "interaction", "A/B [test]", **access), "the segment 'kiosk-goers'")
    assert "is archived" in parcours("definitions", "archive", "segment", "kiosk-goers", **access).out
    assert "is archived" in parcours("definitions", "archive", "interaction", "A/B [test]", **access).out
    assert "A/B [test]" not in parcours("definitions", "list", **access).out
    said = parcours("definitions", "restore", "segment", "kiosk-goers", **access)
    assert (said.code, "is archived" in said.err) == (2, True)
    assert "is restored" in parcours("definitions", "restore", "interaction", "A/B [test]", **access).out
    assert "is restored" in parcours("definitions", "restore", "segment", "kiosk-goers", **access).out
    one_line(parcours("definitions", "show", "segment", "kiosk-goer", **access), "did you mean 'kiosk-goers'?")
    one_line(parcours("definitions", "archive", "workspace", "workspace", **access), "cannot be archived")
    one_line(parcours("definitions", "list", "--url", service.url, "--secret-key", "wrong"), "401")


def test_packs_are_listed_shown_and_switched(service: Service, tmp_path: Path):
    access = {"PARCOURS_URL": service.url, "PARCOURS_SECRET_KEY": SECRET_KEY}
    listed = parcours("packs", "list", **access)
    assert listed.code == 0
    for name in ("segment-ecommerce", "mobile", "social-commerce", "loyalty-visits", "support"):
        assert name in listed.out
    shown = parcours("packs", "show", "support", **access)
    assert shown.code == 0
    assert "Customer service (support 1.0, off)" in shown.out
    assert "Ticket Solved" in shown.out
    said = parcours("packs", "enable", "support", **access)
    assert (said.code, said.err) == (0, "")
    assert "3 definitions added or restored; the pack support is on" in said.out
    assert "0 definitions added or restored" in parcours("packs", "enable", "support", **access).out
    file = tmp_path / "mine.yaml"
    file.write_text(
        "{kind: segment, name: helped, condition: {did: ticket solved}}\n---\n"
        "{kind: interaction, name: Complaint Made, title: Mine}\n"
    )
    assert parcours("apply", file, **access).code == 0
    said = parcours("packs", "disable", "support", **access)
    assert "left as it is: the interaction 'Ticket Solved', used by the segment 'helped'" in said.out
    assert "left as it is: the interaction 'Complaint Made', changed" in said.out
    assert "1 definition archived; the pack support is partly" in said.out
    one_line(parcours("packs", "enable", "suport", **access), "did you mean 'support'?")


def test_a_service_that_is_not_there_or_does_not_know_us(service: Service):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        one_line(parcours("export", "--url", f"http://127.0.0.1:{port}"), "cannot reach", str(port))
    one_line(parcours("export", "--url", service.url, "--secret-key", "wrong"), "401")
    one_line(parcours("export", "--url", "nonsense"), "nonsense")


class Answering(NamedTuple):
    url: str
    say: list[bytes]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A server that answers every request with the same bytes."""
    say = [b""]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(say[0])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Answering(f"http://127.0.0.1:{listener.getsockname()[1]}", say)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "said",
    [
        b"", b"SSH-2.0-OpenSSH\r\n", http(b"<html>"), http(b"\xff"), http(b"[]"), http(b"1"), http(b"{}"),
        http(b'{"definitions": 1}'), http(b'{"definitions": [1]}'), http(b'{"definitions": [], ', length=1_000),
        http(b"[]", "500 Oops"), http(b"\xff", "500 Oops"), http(b"{", "500 Oops", length=9), http(b"[" * 100_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["export", "apply"])
def test_an_answer_of_something_else_is_one_line(answering: Answering, said: bytes, command: str):
    answering.say[0] = said
    ended = parcours(command, *([SEED] if command == "apply" else []), "--url", answering.url)
    one_line(ended)
    assert len(ended.err) < 2_000


@pytest.mark.parametrize("answer", [b"[]", b'{"warnings": 1}', b'{"warnings": [{"code": 1}]}'])
def test_an_answer_to_apply_of_something_else_is_one_line(answer: bytes):
    said = iter([http(b'{"definitions": []}'), http(answer)])
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for said_now in said:
            connection, _ = listener.accept()
            with connection:
                while connection.recv(65_536)[-1:] not in {b"}", b"\n"}:
                    pass
                connection.sendall(said_now)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    one_line(parcours("apply", SEED, "--url", f"http://127.0.0.1:{listener.getsockname()[1]}"))
    listener.close()
    thread.join(10)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:x", "http://[", "http://a b/", "http://", "http://a..b", "https://%"]
)
def test_a_url_that_is_none_is_one_line(url: str):
    one_line(parcours("export", "--url", url))


@pytest.mark.parametrize("key", ["s3cret\nx", "s3cret€"])
def test_a_key_that_no_header_can_hold_is_one_line_that_does_not_tell_it(key: str):
    said = parcours("export", "--url", "http://127.0.0.1:9", "--secret-key", key)
    one_line(said, "key")
    assert "s3cret" not in said.err


def test_what_cannot_be_written_is_one_line(service: Service, tmp_path: Path):
    access = {"PARCOURS_URL": service.url, "PARCOURS_SECRET_KEY": SECRET_KEY}
    assert parcours("apply", SEED, **access).code == 0
    (tmp_path / "file").write_text("x")
    one_line(parcours("schema", "--out", tmp_path), str(tmp_path))
    one_line(parcours("schema", "--out", tmp_path / "none" / "schema.json"), "schema.json")
    one_line(parcours("export", "--out", tmp_path / "file", **access), "file")
    one_line(parcours("export", "--out", tmp_path / "file" / "x", **access), "file")
    with Path("/dev/full").open("w") as full:
        for command in (["schema"], ["export"]):
            done = subprocess.run(
                [sys.executable, "-m", "parcours", *command],
                env=os.environ | access, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode
            assert "Traceback" not in done.stderr
            assert "No space" in done.stderr


def test_the_files_of_an_export_tell_names_apart():
    names = ["a_b", "a-b", "a b", "A?b", "a-b-2", "é", "?", "x" * 100]
    made = [{"kind": "interaction", "name": name} for name in names]
    workspace, problems, _ = load([Source("x", json.dumps(made))])
    assert not problems
    found = file_names(workspace.all())
    assert len(set(found)) == len(found) == len(workspace.all())
    by_name = {item.name: name for item, name in zip(workspace.all(), found, strict=True)}
    assert by_name["a_b"] == "interaction-a_b.yaml"
    assert by_name["a-b"] == "interaction-a-b.yaml"
    assert by_name["é"] == "interaction-é.yaml"
    assert max(len(name.encode()) for name in found) < 255


# --- serve ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b", "::ffff", "x" * 80 + ".b"])
def test_serve_on_a_host_that_is_not_ours(host: str):
    with pytest.raises(ParcoursError) as caught:
        _listen(host, 0)
    assert host in str(caught.value)
    assert "--host" in caught.value.hint
    assert "--port" not in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "smtp://me:s3cret", "smtp://me:s3cret@host:s3cret", "smtp://me:s3cret/x@host:25", "smtp://me:1/s3cret@host",
        "http://me:s3cret@host", "smtp://[me:s3cret@host", "smtp://me:s3cret@host:99999", "smtp://me:1#s3cret@host",
        "smtp://me:1?s3cret@host", "smtp://me:s3cret@", "me:s3cret@host", "smtp://me:s3cret\u2100@host",
        "smtp://me:s3cret@mail.example.com",
    ],
)  # fmt: skip
def test_no_error_tells_the_url_of_the_mail_server(url: str):
    with pytest.raises(SettingsError, match=r"smtp_url|tls") as caught:
        build_channels(Settings(smtp_url=url))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_data_is_for_nobody_elses_eyes(tmp_path: Path):
    data = tmp_path / "made" / "data"
    service = build(Settings(data=data))
    try:
        assert data.stat().st_mode & 0o777 == 0o700
        files = {file.name: file.stat().st_mode & 0o777 for file in data.iterdir()}
        assert {"parcours.db", "parcours.db-wal", "parcours.lock"} <= set(files)
        assert set(files.values()) == {0o600}, files
    finally:
        service.host.store.close()
    build(Settings(data=data)).host.store.close()


@pytest.mark.parametrize("clock", ["system", "inputs"])
def test_a_clock_that_is_behind_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Any):
    settings = Settings(data=tmp_path, clock=clock)
    with capture_logs() as said:
        build(settings).host.store.close()
    assert said == []
    monkeypatch.setattr(SqliteStore, "last_received_at", lambda _self: wall_time() + 60_000)
    with capture_logs() as said:
        build(settings).host.store.close()
    assert [line["event"] for line in said] == (["clock_behind"] if clock == "system" else [])
    assert all(58 <= line["seconds"] <= 60 and line["log_level"] == "warning" for line in said)


@pytest.mark.parametrize("errors", ["/dev/full", "closed"])
def test_errors_that_cannot_be_written_cost_nothing(tmp_path: Path, errors: str):
    """A provider that is down makes a line a try; when it is back, everything is sent."""

    async def run() -> None:
        async with PushReceiver(keep=True) as receiver:
            receiver.script(503, times=0)
            service = await asyncio.to_thread(Quiet(tmp_path / "data", errors, "--push-url", receiver.url).wait_started)
            try:
                await asyncio.to_thread(use, service)
                await asyncio.sleep(1.5)
                receiver.accept()
                async with asyncio.timeout(30):
                    while receiver.counts().total < 40:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                answer = await asyncio.to_thread(service.request, "GET", "/healthz")
                assert (answer.status, answer.json["status"]) == (200, "ok")
            finally:
                code = await asyncio.to_thread(service.stop)
            assert code == 0

    def use(service: Service) -> None:
        ping = {"kind": "message", "name": "p", "channel": "push", "purpose": "transactional"}
        steps = {"s": {"type": "send", "messages": ["p"]}}
        entry = {"type": "interaction", "interaction": "A"}
        made = service.publish(
            {**ping, "content": {"title": "x", "body": "y"}},
            {"kind": "interaction", "name": "A"},
            {"kind": "journey", "name": "j", "re_entry": "always", "entry": entry, "start": "s", "steps": steps},
        )
        assert made.status == 200, made
        known = {"type": "identify", "userId": "1", "context": {"device": {"token": "t"}}}
        assert service.batch(known).status == 200
        did = [{"type": "track", "event": "A", "userId": "1", "messageId": f"m{number}"} for number in range(40)]
        assert service.batch(*did).status == 200

    asyncio.run(run())


class Quiet(Service):
    """A service whose standard error cannot be written."""

    def __init__(self, data: Path, errors: str, *options: str) -> None:
        reading, writing = os.pipe()
        data.with_suffix(".log").symlink_to(errors if errors != "closed" else f"/proc/self/fd/{writing}")
        try:
            super().__init__(data, *options)
        finally:
            os.close(writing)
            os.close(reading)


def test_serve_on_a_port_that_is_taken(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = child("serve", "--data", tmp_path / "d", "--port", str(port), "--write-key", "w", "--secret-key", "s")
    one_line(said, f"127.0.0.1:{port}", "--port")


def test_serve_on_data_that_another_process_has(service: Service):
    one_line(child("serve", "--data", service.data, "--port", "0"), "another process")


def test_serve_on_data_that_is_no_folder_or_something_else(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    one_line(child("serve", "--data", tmp_path / "file", "--port", "0"), "file")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "parcours.db").write_text("these are my notes\n" * 100)
    one_line(child("serve", "--data", folder, "--port", "0"), "parcours.db")


@pytest.mark.parametrize(
    "name, value",
    [
        ("PARCOURS_PORT", "x"), ("PARCOURS_CLOCK", "sundial"), ("PARCOURS_SMTP_URL", "http://x"),
        ("PARCOURS_PUSH_URL", "ftp://x"), ("PARCOURS_PORT", "99999999"), ("PARCOURS_LARGEST_BODY", "-1"),
    ],
)  # fmt: skip
def test_serve_with_a_setting_that_does_not_fit(tmp_path: Path, name: str, value: str):
    said = child("serve", "--data", tmp_path / "d", **{"PARCOURS_PORT": "0", name: value})
    one_line(said)


def test_keys_are_made_up_once_and_shown_once(tmp_path: Path):
    data = tmp_path / "data"
    with Service(data, "--write-key", "", "--secret-key", "") as first:
        shown = [line for line in first.output if "key" in line]
    assert [line.split()[0] for line in shown] == ["write", "secret"]
    key = shown[1].split()[-1]
    with Service(data, "--write-key", "", "--secret-key", "") as second:
        assert not [line for line in second.output if "key" in line]
        assert second.api("GET", "/v1/report", key=key).status == 200
        assert second.api("GET", "/v1/report", key="wrong").status == 401
        assert key not in (data / "parcours.db").read_bytes().decode("latin-1")


def test_serve_ends_in_order_when_it_is_asked_to(tmp_path: Path):
    """What was put off is done: states are whole, so the next start has nothing to catch up with."""
    data = tmp_path / "data"
    with Service(data) as running:
        people = [{"type": "track", "event": "Seen", "userId": f"p{number}"} for number in range(500)]
        assert running.batch(*people).status == 200
        assert running.stop() == 0
    store = SqliteStore(data / "parcours.db")
    assert list(store.unfolded()) == []
    assert len(store.scan()) == 500
    store.close()
    with Service(data) as running:
        assert running.report()["records"] == 500
