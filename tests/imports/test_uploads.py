"""Files uploaded to a running service: taken, imported, looked at, cancelled, and taken up again after a kill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from parcours.wiring import kept_engine
from tests.imports.helper import DEFINITIONS, sales
from tests.service import SECRET_KEY, Service

CSV = b"who,total\nann,1\nbob,much\ncid,3\n"
QUERY = {"kind": "interactions", "name": "sales.csv", "set": ["name=Bought", "identities.user_id=who"]}


def upload(service: Service, body: bytes, **query: Any) -> Any:
    text = urlencode(QUERY | query, doseq=True)
    return service.request("POST", f"/v1/imports?{text}", body, {"Authorization": f"Bearer {SECRET_KEY}"})


def settled(service: Service, id_: str) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = service.api("GET", f"/v1/imports/{id_}")
        assert answer.status == 200, answer
        if answer.json["state"] not in {"waiting", "running"}:
            return answer.json
        time.sleep(0.05)
    raise AssertionError("it takes too long")


@pytest.fixture
def service(tmp_path):
    with Service(tmp_path / "data") as running:
        assert running.publish(*DEFINITIONS).status == 200
        yield running


def test_a_file_is_imported_and_its_rejected_rows_can_be_fetched(service):
    answer = upload(service, CSV)
    assert answer.status == 202, answer
    job = settled(service, answer.json["id"])
    assert (job["state"], job["kind"], job["name"]) == ("done", "interactions", "sales.csv")
    assert (job["tally"]["accepted"], job["tally"]["rejected"]) == (2, 1)
    assert job["tally"]["problems"][0]["line"] == 3
    rejected = service.api("GET", job["rejected_file"])
    assert rejected.status == 200
    assert b"bob,much" in rejected.body
    assert service.contact("ann")["contact"]["identities"] == [["user_id", "ann"]]
    again = settled(service, upload(service, CSV).json["id"])
    assert (again["tally"]["accepted"], again["tally"]["duplicates"]) == (0, 2)
    listed = service.api("GET", "/v1/imports").json["imports"]
    assert [one["id"] for one in listed] == [again["id"], job["id"]]
    assert not list((service.data / "imports").glob("*/file"))


def test_a_dry_run_says_what_would_happen_and_changes_nothing(service):
    job = settled(service, upload(service, CSV, dry_run="true").json["id"])
    assert (job["tally"]["accepted"], job["tally"]["rejected"]) == (2, 1)
    assert job["found"]["delimiter"] == ","
    assert job["found"]["columns"][1]["decided"] == "definition"
    assert job["examples"][0]["what"] == {"name": "Bought", "attributes": {"total": 1}}
    assert service.api("GET", "/v1/contacts/user_id:ann").status == 404


def test_what_is_wrong_is_said(service):
    assert upload(service, b"").status == 400
    answer = upload(service, CSV, set=["nmae=Bought"])
    assert answer.status == 400
    assert "nmae" in answer.json["detail"]
    job = settled(service, upload(service, b"a,b\n1,2\n").json["id"])
    assert job["state"] == "failed"
    assert "who" in job["problem"]["message"]
    assert service.api("GET", "/v1/imports/nothing").status == 404
    assert service.api("GET", f"/v1/imports/{job['id']}/rejected").status == 404
    assert service.request("POST", "/v1/imports", CSV).status == 401
    removed = service.api("DELETE", f"/v1/imports/{job['id']}")
    assert removed.status == 200
    assert service.api("GET", f"/v1/imports/{job['id']}").status == 404


def test_a_file_may_be_larger_than_other_bodies_and_not_larger_than_its_own_limit(tmp_path):
    with Service(tmp_path / "data", "--largest-body", "2000", "--largest-upload", "100000") as service:
        assert service.publish({"kind": "interaction", "name": "Bought"}).status == 200
        body = sales(tmp_path / "sales.csv", 2_000).read_bytes()
        assert 2_000 < len(body) < 100_000
        job = settled(
            service, upload(service, body, set=["name=Bought", "identities.user_id=who", "occurred_at=at"]).json["id"]
        )
        assert job["tally"]["accepted"] == 2_000
        assert upload(service, body * 2).status == 413
        assert len(list((service.data / "imports").iterdir())) == 1


def test_an_import_under_way_can_be_cancelled(service, tmp_path):
    body = sales(tmp_path / "sales.csv", 300_000).read_bytes()
    id_ = upload(service, body, set=["name=Bought", "identities.user_id=who", "occurred_at=at", "ignore=more"]).json[
        "id"
    ]
    while not service.api("GET", f"/v1/imports/{id_}").json["tally"]["rows"]:
        time.sleep(0.02)
    started = time.monotonic()
    assert service.batch({"type": "track", "event": "Bought", "userId": "live", "messageId": "1"}).status == 200
    assert time.monotonic() - started < 2  # between live traffic
    assert service.api("DELETE", f"/v1/imports/{id_}").json["state"] == "cancelled"
    job = settled(service, id_)
    assert job["state"] == "cancelled"
    assert 0 < job["tally"]["rows"] < 300_000
    assert settled(service, upload(service, CSV).json["id"])["state"] == "done"


@pytest.mark.crash
def test_an_import_goes_on_after_a_kill(tmp_path):
    body = sales(tmp_path / "sales.csv", 60_000, wrong=1_000).read_bytes()
    spec = ["name=Bought", "identities.user_id=who", "occurred_at=at", "ignore=more", "types.total=number"]
    data = tmp_path / "data"
    service = Service(data).wait_started()
    service.publish(*DEFINITIONS)
    id_ = upload(service, body, set=spec).json["id"]
    for _ in range(3):
        rows = service.api("GET", f"/v1/imports/{id_}").json["tally"]["rows"]
        while service.api("GET", f"/v1/imports/{id_}").json["tally"]["rows"] < rows + 3_000:
            time.sleep(0.01)
        service.kill()
        service = Service(data).wait_started()
    try:
        job = settled(service, id_)
        assert job["state"] == "done"
        tally = job["tally"]
        assert (tally["rows"], tally["accepted"], tally["duplicates"], tally["rejected"]) == (60_000, 59_940, 0, 60)
        rejected = service.api("GET", job["rejected_file"]).body.splitlines()
        assert len(rejected) == 61
    finally:
        service.stop()
    with kept_engine(data) as engine:
        assert engine.store.counts()["records"] == 59_941


def test_an_upload_that_was_cut_off_leaves_nothing(tmp_path):
    place = tmp_path / "data" / "imports" / "half"
    place.mkdir(parents=True)
    (place / "file").write_bytes(b"who,to")
    with Service(tmp_path / "data") as service:
        assert service.api("GET", "/v1/imports").json["imports"] == []
    assert not Path(place).exists()
