"""The command line, as somebody types it: what it says, and its exit code."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from parcours.cli import main
from parcours.definitions.load import Source, load
from parcours.stores.sqlite import SqliteStore
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
    for command in ("serve", "check", "apply", "export", "simulate", "schema", "demo"):
        assert command in said.out
        assert parcours(command, "--help").code == 0
    assert "Start with" in said.out


def test_without_arguments_it_helps():
    said = parcours()
    assert "serve" in said.out + said.err


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
    assert "2 problems" in said.err
    file.write_text(file.read_text().replace("soon", "1d").replace("    colour: red\n", ""))
    said = parcours("check", file)
    assert said.code == 1
    for line, words in ((6, "missing"), (6, "nowhere"), (7, "lost")):
        assert any(f"{file}:{line}" in text and words in text for text in said.err.splitlines()), (line, said.err)
    assert "warning" in said.err


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


def test_apply_may_refer_to_what_is_in_force(service: Service, tmp_path: Path):
    access = ("--url", service.url, "--secret-key", SECRET_KEY)
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("kind: segment\nname: base\ncondition: {contact: a, is: 1}\n")
    second.write_text("kind: segment\nname: on-top\ncondition: {segment: base}\n")
    assert parcours("apply", first, *access).code == 0
    said = parcours("apply", second, *access)
    assert said.code == 0, said.err
    assert "1 definition in force" in said.out


def test_a_service_that_is_not_there_or_does_not_know_us(service: Service):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        one_line(parcours("export", "--url", f"http://127.0.0.1:{port}"), "cannot reach", str(port))
    one_line(parcours("export", "--url", service.url, "--secret-key", "wrong"), "401")
    one_line(parcours("export", "--url", "nonsense"), "nonsense")


# --- serve ------------------------------------------------------------------------------------------------------------


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
