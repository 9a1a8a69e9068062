"""Secrets of a whole service: set by its operator, sent to whom they are for, and found nowhere else."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from parcours.channels.signing import signed
from parcours.runtimes.secrets import BLANK
from parcours.wiring import Settings, SettingsError, secrets_of, settings_from
from tests.cli.test_commands import parcours
from tests.service import PATIENCE, SECRET_KEY, Service

TOKEN = "tok-7f3a-of-the-crm/+="
LOGIN = "shop:s3cr3t"
BASIC = base64.b64encode(LOGIN.encode()).decode()
SIGNING = "whsec_" + base64.b64encode(bytes(range(40))).decode()


class Echo:
    """A service over HTTP that answers with all that it was sent."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                said = {"path": self.path, "headers": dict(self.headers.items()), "body": body.decode()}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


def journey(port: int, **more: Any) -> dict[str, Any]:
    ask = {
        "type": "webhook", "url": f"http://127.0.0.1:{port}/?key={{{{ secrets.crm-token | url_encode }}}}",
        "headers": {"Authorization": "Basic {{ secrets.CRM_LOGIN | base64_encode }}"},
        "body": {"token": "{{ secrets.crm-token }}", "who": "{{ contact.identities.user_id }}"},
        "sign": "SIGNING", "save": "said", "next": "rest", **more,
    }  # fmt: skip
    return {
        "kind": "journey", "name": "crm", "entry": {"type": "interaction", "interaction": "Go"}, "start": "ask",
        "state": "live", "steps": {"ask": ask, "rest": {"type": "wait", "for": "30d", "next": "end"}, "end": {"type": "end"}},
    }  # fmt: skip


def until(so: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := so()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def in_files(folder: Path, texts: set[str]) -> set[str]:
    files = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    return {text for text in texts if any(text.encode() in file for file in files)}


def test_a_whole_service_keeps_its_secrets(tmp_path: Path, echo: Echo):
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "crm-token").write_text(TOKEN + "\n")
    (folder / "unused").write_text("x")
    variables = {
        "PARCOURS_SECRET_CRM_LOGIN": LOGIN, "PARCOURS_SECRET_SIGNING": SIGNING,
        "PARCOURS_SECRETS_FOLDER": str(folder), "PARCOURS_WEBHOOK_ALLOW": "127.0.0.1",
        "PARCOURS_SECRETS_HOSTS": "SIGNING=127.0.0.1, CRM_LOGIN=127.0.0.1, crm-token=*",
    }  # fmt: skip
    data = tmp_path / "data"
    told = {TOKEN, LOGIN, BASIC, SIGNING, SIGNING.removeprefix("whsec_")}
    with Service(data, variables=variables) as service:
        answer = service.publish(journey(echo.server.server_port))
        assert answer.status == 200, answer
        service.batch({"type": "track", "userId": "ann", "event": "Go", "messageId": "1"})
        until(lambda: echo.asked)
        until(lambda: BLANK in json.dumps(service.contact("ann")))
        ((path, headers, body),) = echo.asked
        assert TOKEN.replace("+", "%2B").replace("=", "%3D") in path
        assert headers["authorization"] == f"Basic {BASIC}"
        assert json.loads(body) == {"token": TOKEN, "who": "ann"}
        made = signed(SIGNING, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        assert made["webhook-signature"] == headers["webhook-signature"]
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < PATIENCE
        # Everything that tells of it.
        answers = [
            service.api("GET", path).body.decode()
            for path in (
                "/v1/definitions", "/v1/secrets", "/v1/report", "/v1/contacts/user_id:ann",
                "/v1/contacts/user_id:ann/timeline", "/v1/contacts/user_id:ann/export", "/metrics",
            )
        ]  # fmt: skip
        assert BLANK in "".join(answers)
        assert not any(text in answer for text in told for answer in answers)
        assert service.api("GET", "/v1/secrets").json == {
            "secrets": [
                {"name": name, "source": source, "problem": problem, "hosts": hosts,
                 "used_by": [{"journey": "crm", "pointer": f"/steps/ask/{at}"} for at in uses]}
                for name, source, problem, hosts, uses in [
                    ("CRM_LOGIN", "variable", "", ["127.0.0.1"], ["headers/Authorization"]),
                    ("SIGNING", "variable", "", ["127.0.0.1"], ["sign"]),
                    ("crm-token", "file", "", ["*"], ["body/token", "url"]),
                    ("unused", "file", "it may be sent to no host", [], []),
                ]
            ]
        }  # fmt: skip
        assert service.api("GET", "/v1/secrets", key=None).status == 401
        access = {"PARCOURS_URL": service.url, "PARCOURS_SECRET_KEY": SECRET_KEY}
        shown = parcours("secrets", "list", **access)
        assert shown.code == 0, shown
        for text in ("CRM_LOGIN", "variable", "crm-token", "file", "crm /steps/ask/sign"):
            assert text in shown.out
        assert not any(text in shown.out for text in told)
        (folder / "crm-token").unlink()
        listed = {one["name"]: one for one in service.api("GET", "/v1/secrets").json["secrets"]}
        assert (listed["crm-token"]["source"], listed["crm-token"]["problem"]) == (None, "it is not set")
        refused = service.publish(journey(echo.server.server_port, timeout="2s"))
        assert refused.status == 400
        assert {error["code"] for error in refused.json["errors"]} == {"unknown_secret"}
        assert service.stop() == 0
        errors = service.errors.read_text()
    assert in_files(data, {"secrets.crm-token", BLANK}) == {"secrets.crm-token", BLANK}
    assert in_files(data, told) == set()
    assert not any(text in errors for text in told)


def test_settings(tmp_path: Path):
    environment = {
        "PARCOURS_SECRET_CRM": "a\n", "PARCOURS_SECRET_crm_2": "b", "PARCOURS_SECRET_EMPTY": "",
        "PARCOURS_SECRET_KEY": "of the API", "PARCOURS_SECRET_1": "c", "PARCOURS_SECRETS_FOLDER": str(tmp_path),
    }  # fmt: skip
    settings = settings_from({}, environment)
    assert settings.secrets == {"CRM": "a", "crm_2": "b"}
    assert (settings.secret_key, settings.secrets_folder) == ("of the API", str(tmp_path))
    (tmp_path / "CRM").write_text("of the file")
    assert secrets_of(settings).value("CRM") == "of the file"
    hosts = secrets_of(Settings(secrets_hosts="A=a.example, A=B.example:8443,c-d=x")).hosts
    assert (hosts("A"), hosts("c-d"), hosts("other")) == (("a.example", "b.example:8443"), ("x",), ())
    hosts = secrets_of(Settings(secrets_hosts="*=*, A=a.example, B=*")).hosts
    assert (hosts("A"), hosts("B"), hosts("other")) == (("a.example",), ("*",), ("*",))
    assert secrets_of(Settings(secrets_hosts="*=crm.example:443")).hosts("other") == ("crm.example:443",)
    for wrong in ("a.example", "A=", "1=a", "A=http://x", "A=x/y", "*", "**=a", "A=*.example", "A=*:80"):
        with pytest.raises(SettingsError, match="secrets_hosts"):
            secrets_of(Settings(secrets_hosts=wrong))
    with pytest.raises(SettingsError, match="folder of secrets"):
        secrets_of(Settings(secrets_folder=str(tmp_path / "nowhere")))


def test_a_bound_name_that_no_secret_has_is_told_at_the_start():
    bound = "CRM_TOKNE=crm.example,OTHER=crm.example,CRM_LOGIN=crm.example"
    with capture_logs() as logged:
        secrets_of(Settings(secrets={"CRM_TOKEN": "a", "CRM_LOGIN": "b"}, secrets_hosts=bound))
    assert [(one["event"], one.get("secret") or one["secrets"]) for one in logged] == [
        ("secrets_bound_to_no_host", "CRM_TOKEN"), ("bound_secret_is_not_set", "CRM_TOKNE"),
        ("bound_secret_is_not_set", "OTHER"),
    ]  # fmt: skip
    assert "CRM_TOKEN" in logged[1]["hint"]


def test_a_secret_that_may_be_sent_nowhere_is_told_at_the_start():
    with capture_logs() as logged:
        secrets_of(Settings(secrets={"CRM_TOKEN": "a", "B": "b", "A": "b"}, secrets_hosts="CRM_TOKEN=crm.example"))
    assert [(one["event"], one["log_level"], one["secrets"]) for one in logged] == [
        ("secrets_bound_to_no_host", "warning", "A, B")
    ]
    assert "--secrets-hosts A=HOST" in logged[0]["hint"]
    with capture_logs() as logged:
        secrets_of(Settings(secrets={"A": "b"}, secrets_hosts="*=*"))
    assert logged == []


def test_check_warns_of_secrets_that_are_not_set_here(tmp_path: Path):
    file = tmp_path / "crm.json"
    file.write_text(json.dumps([{"kind": "interaction", "name": "Go"}, journey(80)]))
    said = parcours("check", file)
    assert said.code == 0
    assert said.err.count("there is no secret 'crm-token' here; the service needs it") == 2
    assert "/steps/ask/sign: there is no secret 'SIGNING' here" in said.err
    said = parcours(
        "check", file, PARCOURS_SECRET_SIGNING=SIGNING, PARCOURS_SECRET_CRM_LOGIN=LOGIN, PARCOURS_SECRETS_FOLDER="gone"
    )
    assert said.err.count("there is no secret") == 2
    assert "the secret 'SIGNING' may be sent to no host here; the service needs to let it" in said.err
    assert said.code == 0
    said = parcours(
        "check", file, PARCOURS_SECRET_SIGNING=SIGNING, PARCOURS_SECRET_CRM_LOGIN=LOGIN,
        PARCOURS_SECRETS_HOSTS="SIGNING=127.0.0.1:80,CRM_LOGIN=crm.example",
    )  # fmt: skip
    assert (said.code, "SIGNING" in said.err) == (0, False)
    assert "the secret 'CRM_LOGIN' may not be sent to this host" in said.err
    said = parcours("check", file, PARCOURS_SECRETS_HOSTS="SIGNING")
    assert said.code == 2
    assert "secrets_hosts: 'SIGNING' is not NAME=HOST" in said.err


def test_a_secret_to_sign_with_is_made():
    first, second = parcours("secrets", "make").out.strip(), parcours("secrets", "make").out.strip()
    assert first != second
    assert signed(first, "id", 1, b"x")
