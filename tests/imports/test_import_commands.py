"""`parcours import` and `parcours dump`, as they are called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parcours.stores.sqlite import SqliteStore
from parcours.wiring import kept_engine
from tests.imports.helper import DEFINITIONS, engine_of, sales
from tests.service import SECRET_KEY, Service

SALES = (
    *("--kind", "interactions", "--set", "name=Bought", "--set", "identities.user_id=who"),
    *("--set", "occurred_at=at", "--set", "types.total=number", "--set", "ignore=more"),
)
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PARCOURS_")}


def command(*given: str | Path) -> subprocess.CompletedProcess[str]:
    said = [sys.executable, "-m", "parcours", *map(str, given)]
    return subprocess.run(said, capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT)


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    store = SqliteStore(folder / "parcours.db")
    engine_of(store)
    store.close()
    return folder


def records(data: Path) -> int:
    with kept_engine(data) as engine:
        return engine.store.counts()["records"]


def test_a_file_goes_into_a_store_and_the_code_says_whether_all_of_it_did(data, tmp_path):
    good = sales(tmp_path / "good.csv", 100)
    ended = command("import", good, *SALES, "--data", data)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "100 rows: 100 taken, 0 known before, 0 rejected" in ended.stdout
    ended = command("import", good, *SALES, "--data", data)
    assert "0 taken, 100 known before" in ended.stdout
    wrong = sales(tmp_path / "wrong.csv", 100, wrong=50)
    ended = command("import", wrong, *SALES, "--set", "source=other", "--data", data)
    assert ended.returncode == 1
    assert "wrong.csv:3 /total" in ended.stderr
    assert "98 taken" in ended.stdout
    mended = tmp_path / "wrong.csv.rejected.csv"
    assert str(mended) in ended.stdout.replace("\n", "")
    mended.write_text(mended.read_text("utf-8-sig").replace(",much,", ",7,"))
    ended = command("import", mended, *SALES, "--set", "source=other", "--data", data)
    assert (ended.returncode, "2 taken" in ended.stdout) == (0, True), ended
    assert records(data) == 201


def test_a_dry_run_shows_what_was_found_and_changes_nothing(data, tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text("who;at;total\nann;31/01/2026 10:00;1,5\nbob;31/01/2026 10:00;x\n")
    options = (
        "--kind",
        "interactions",
        "--set",
        "name=Bought",
        "--set",
        "identities.user_id=who",
        "--set",
        "occurred_at=at",
    )
    options = (*options, "--set", "dates=dd/mm/yyyy HH:MM", "--zone", "Europe/Paris", "--set", "decimal_comma=true")
    before = records(data)
    ended = command("import", file, *options, "--data", data, "--dry-run")
    assert ended.returncode == 1, ended
    for said in ("utf-8 (detected)", "delimiter ';'", "definition", "would become", '"total": 1.5', "would be 1 taken"):
        assert said in ended.stdout, ended.stdout
    assert "sales.csv:3" in ended.stderr
    assert records(data) == before
    assert not list(tmp_path.glob("*rejected*"))
    alone = command("import", file, *options, "--dry-run")
    assert "definitions are not looked at" in alone.stdout


def test_what_cannot_be_done_is_said_in_a_line(data, tmp_path):
    file = sales(tmp_path / "sales.csv", 3)
    for given, said in [
        (("import", tmp_path / "none.csv", *SALES, "--data", data), "there is no file"),
        (("import", file, "--data", data), "nothing says what is in the files"),
        (("import", file, "--kind", "sales", "--data", data), "kind"),
        (("import", file, "--kind", "contacts", "--set", "id=nothing", "--data", data), "nothing"),
        (("import", file, *SALES, "--url", "http://127.0.0.1:1"), "cannot reach"),
        (("dump", tmp_path / "x.jsonl", "--kind", "sales", "--data", data), "kinds are"),
        (("dump", tmp_path / "x.doc", "--kind", "contacts", "--data", data), "no format"),
    ]:
        ended = command(*given)
        assert ended.returncode == 2, ended
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_running_service_is_uploaded_to_and_its_folder_is_its_own(tmp_path):
    file = sales(tmp_path / "sales.csv", 500, wrong=100)
    with Service(tmp_path / "data") as service:
        service.publish(*DEFINITIONS)
        ended = command("import", file, *SALES, "--data", service.data)
        assert ended.returncode == 2
        assert "another process has the store" in ended.stderr
        there = ("--url", service.url, "--secret-key", SECRET_KEY)
        ended = command("import", file, *SALES, *there, "--dry-run")
        assert "would be 495 taken" in ended.stdout, ended
        ended = command("import", file, *SALES, *there)
        assert (ended.returncode, "495 taken" in ended.stdout) == (1, True), ended
        assert (tmp_path / "sales.csv.rejected.csv").read_text("utf-8-sig").count(",much,") == 5
        ended = command("dump", tmp_path / "out.jsonl", "--kind", "interactions", *there)
        assert "495 rows" in ended.stdout, ended
    over_http = (tmp_path / "out.jsonl").read_bytes()
    command("dump", tmp_path / "out.jsonl", "--kind", "interactions", "--data", service.data)
    assert (tmp_path / "out.jsonl").read_bytes() == over_http


@pytest.mark.crash
def test_a_command_that_is_killed_again_and_again_goes_on_each_time(data, tmp_path):
    file = sales(tmp_path / "sales.csv", 300_000, wrong=10_000)
    assert file.stat().st_size > 2**20
    said = [sys.executable, "-m", "parcours", "import", str(file), *SALES, "--data", str(data)]
    for _ in range(4):
        process = subprocess.Popen(said, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        database = data / "parcours.db-wal"
        before = database.stat().st_size if database.exists() else 0
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            if database.exists() and abs(database.stat().st_size - before) > 2**20:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = command("import", file, *SALES, "--data", data)
    assert "300,000 rows: 299,970 taken, 0 known before, 30 rejected" in ended.stdout, ended
    assert (tmp_path / "sales.csv.rejected.csv").read_text("utf-8-sig").count("\n") == 31
    assert records(data) == 299_971


def test_ctrl_c_ends_the_reader_too(data, tmp_path):
    file = sales(tmp_path / "sales.csv", 300_000)
    said = [sys.executable, "-m", "parcours", "import", str(file), *SALES, "--data", str(data)]
    process = subprocess.Popen(said, env=ENVIRONMENT, stdout=subprocess.PIPE, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 20
    while not (found := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert not [pid for pid in found if Path(f"/proc/{pid}").exists()]
    assert command("import", file, *SALES, "--data", data).returncode == 0
    assert records(data) == 300_001
