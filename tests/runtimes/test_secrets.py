"""Secrets go out with the calls that need them, and stay nowhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from parcours.channels.render import Renderer
from parcours.channels.signing import keys_of, signed
from parcours.channels.webhook import WebhookChannel
from parcours.definitions.message import WEBHOOK
from parcours.definitions.templates import may_go_to
from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Delivery, KnownSecret
from parcours.runtimes import outbox as outbox_module
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.runtimes.secrets import BLANK, OperatorSecrets, blanked, private_texts
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.wiring.settings import allowed_hosts
from tests.runtimes.test_webhook_calls import Service, calling, goes, service, standing
from tests.runtimes.waiting import until

__all__ = ["service"]

TOKEN = 'tök"en/7f+3a c9&d2'
LOGIN = "shop:s3cr3t-of-the-crm"
SIGNING_KEY = bytes(range(32))
SIGNING = "whsec_" + base64.b64encode(SIGNING_KEY).decode()
OLDER = "whsec_" + base64.b64encode(bytes(24)).decode()


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[list[Any]]:
    with structlog.testing.capture_logs(processors=[structlog.processors.format_exc_info]) as entries:
        yield entries


ANYWHERE = {"*": ["*"]}


async def host_with(store: Any, secrets: OperatorSecrets, channel: Any = None) -> Embedded:
    renderer = Renderer()
    channels = {WEBHOOK: channel or WebhookChannel(["127.0.0.1"], clock=lambda: 1_700_000_000.9)}
    host = Embedded(Engine(store, SystemClock()), channels, renderer.render, renderer.check, renderer.names, secrets)
    await host.start()
    return host


def with_secrets(service: Service, **more: Any) -> dict[str, Any]:
    return calling(
        service,
        **{
            "url": f"http://127.0.0.1:{service.server.port}/offers?key={{{{ secrets.TOKEN | url_encode }}}}",
            "headers": {
                "Authorization": "Basic {{ secrets.LOGIN | base64_encode }}",
                "X-Token": "{{ secrets.TOKEN | replace: 'ö', 'o' }}",
            },
            "body": {"token": "{{ secrets.TOKEN }}", "who": "{{ contact.name }}"},
            "sign": "SIGNING",
            **more,
        },
    )


def saved(host: Embedded, contact: str) -> Any:
    (run,) = host.engine.store.contacts([contact])[contact].runs["j"].values()
    return run.data["offer"]


ALL = {"TOKEN": TOKEN, "LOGIN": LOGIN, "SIGNING": f"{SIGNING} {OLDER}"}


async def test_a_call_carries_secrets_and_is_signed(service: Service):
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=ANYWHERE))
    contact = await goes(host, with_secrets(service))
    await until(lambda: standing(host, contact) == "cheap")
    ((line, headers, body),) = service.asked
    assert line == "POST /offers?key=t%C3%B6k%22en/7f%2B3a+c9%26d2"
    assert headers["Authorization"] == "Basic " + base64.b64encode(LOGIN.encode()).decode()
    assert headers["X-Token"] == TOKEN.replace("ö", "o")
    assert msgspec.json.decode(body) == {"token": TOKEN, "who": "Änn"}
    assert headers["webhook-id"] == headers["Idempotency-Key"]
    assert "." not in headers["webhook-id"]
    assert headers["webhook-timestamp"] == "1700000000"
    content = f"{headers['webhook-id']}.1700000000.{body}".encode()
    expected = [
        "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in (SIGNING_KEY, bytes(24))
    ]
    assert headers["webhook-signature"].split(" ") == expected
    await host.close()


async def test_a_get_is_signed_too(service: Service):
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=ANYWHERE))
    contact = await goes(host, with_secrets(service, method="GET", body=None))
    await until(lambda: standing(host, contact) == "cheap")
    ((_, headers, body),) = service.asked
    assert body == ""
    content = f"{headers['webhook-id']}.1700000000.".encode()
    expected = base64.b64encode(hmac.digest(SIGNING_KEY, content, hashlib.sha256)).decode()
    assert headers["webhook-signature"].startswith(f"v1,{expected} ")
    await host.close()


def told_by(secrets: dict[str, str]) -> set[bytes]:
    """Return the bytes by which somebody could learn of a secret."""
    found = {text.encode() for value in secrets.values() for text in private_texts([value])}
    found |= {base64.b64encode(LOGIN.encode()), TOKEN.replace("ö", "o").encode()}
    return found | {SIGNING_KEY, SIGNING.encode()}


def in_files(folder: Path, texts: set[bytes]) -> list[tuple[str, bytes]]:
    return [
        (str(file), text) for file in folder.rglob("*") if file.is_file() for text in texts if text in file.read_bytes()
    ]


async def test_no_file_log_or_answer_has_a_secret(service: Service, tmp_path: Path, logged: list[Any]):
    """The service repeats everything that it was sent, in good answers and in bad ones."""
    data = tmp_path / "data"
    data.mkdir()
    store = SqliteStore(data / "parcours.db")
    host = await host_with(store, OperatorSecrets(ALL, hosts=ANYWHERE))
    echo = [
        {"url": "", "headers": {"authorization": f"Basic {base64.b64encode(LOGIN.encode()).decode()}"}},
        {"token": TOKEN, "args": ["http://x/?key=t%C3%B6k%22en/7f%2B3a+c9%26d2", {TOKEN: 1}], "price": 7},
    ]
    service.answers = [web.json_response(echo[0], status=503), web.json_response(echo[1])]
    contact = await goes(host, with_secrets(service))
    await until(lambda: standing(host, contact) == "cheap")
    assert saved(host, contact)["body"] == {
        "token": BLANK, "args": [f"http://x/?key={BLANK}", {BLANK: 1}], "price": 7,
    }  # fmt: skip
    service.answers = [web.Response(status=404, text=f"no {TOKEN} for {LOGIN}")]
    contact = await goes_again(host)
    await until(lambda: standing(host, contact) == "lost")
    await until(lambda: sum(store.outbox_counts().values()) == 2)
    shown = repr([store.posted(contact), store.trace(contact), store.contacts([contact]), store.log(), logged])
    assert in_files(data, {b"secrets.TOKEN", b"no (a secret) for (a secret)"})  # what is looked for would be found
    assert in_files(data, told_by(ALL)) == []
    assert not any(text.decode() in shown for text in told_by(ALL) - {SIGNING_KEY})
    await host.close()
    store.close()
    assert in_files(data, told_by(ALL)) == []


async def goes_again(host: Embedded) -> str:
    from parcours.core.gate import Arrival, Happened

    who = (("user_id", "bob"),)
    await host.submit([Arrival("test", "again", who, Happened("Go", {"sku": "x", "order": "o2"}))])
    return host.engine.store.resolve([("user_id", "bob")])["user_id", "bob"]


class Failing:
    """A channel with a defect that tells what it was sent."""

    def __init__(self, error: type[Exception] = ValueError) -> None:
        self._error = error
        self.tries = 0

    async def send(self, delivery: Delivery) -> None:
        self.tries += 1
        raise self._error(f"cannot send {delivery.content} to {delivery.address}")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("error", [ValueError, TemporaryFailureError, PermanentFailureError])
async def test_a_defect_is_told_without_the_secrets(
    monkeypatch: pytest.MonkeyPatch, service: Service, logged: list[Any], error: type[Exception]
):
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 0.001)
    store = MemoryStore()
    host = await host_with(store, OperatorSecrets(ALL, hosts=ANYWHERE), Failing(error))
    contact = await goes(host, with_secrets(service, retries=1))
    await until(lambda: standing(host, contact) == "lost")
    await until(lambda: store.outbox_counts() == {(WEBHOOK, "call", "failed"): 1})
    shown = repr([saved(host, contact), store.posted(contact), logged])
    assert "cannot send" in shown
    if error is ValueError:
        assert "in send" in shown  # where the defect is
    for text in (TOKEN, LOGIN, base64.b64encode(LOGIN.encode()).decode(), TOKEN.replace("ö", "o"), SIGNING):
        assert text not in shown
        assert msgspec.json.encode(text).decode()[1:-1] not in shown
    await host.close()


@pytest.mark.parametrize(
    "secrets, said",
    [
        ({"LOGIN": LOGIN, "SIGNING": SIGNING}, "there is no secret 'TOKEN'"),
        (ALL | {"SIGNING": "not a key"}, "the call cannot be signed"),
        (ALL | {"SIGNING": "whsec_c2hvcnQ="}, "the call cannot be signed"),
        (ALL | {"SIGNING": f"{SIGNING} whsec_%%%"}, "the call cannot be signed"),
    ],
)
async def test_a_secret_that_is_of_no_use_is_a_final_failure(service: Service, secrets: dict[str, str], said: str):
    changing = OperatorSecrets(ALL, hosts=ANYWHERE)
    host = await host_with(MemoryStore(), changing)
    errors, _ = await host.publish([with_secrets(service)])
    assert errors == []
    changing._given = secrets
    contact = await goes_again(host)
    await until(lambda: standing(host, contact) == "lost")
    assert said in saved(host, contact)["error"]
    assert "gave up" not in saved(host, contact)["error"]
    assert service.asked == []
    await host.close()


async def test_a_file_counts_from_the_next_call_on(service: Service, tmp_path: Path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, text in ALL.items():
        (folder / name).write_text(text + "\n")
    host = await host_with(MemoryStore(), OperatorSecrets({"TOKEN": "of the variable"}, folder, ANYWHERE))
    contact = await goes(host, with_secrets(service))
    await until(lambda: standing(host, contact) == "cheap")
    (folder / "TOKEN").write_text("another one")
    contact = await goes_again(host)
    await until(lambda: standing(host, contact) == "cheap")
    (folder / "TOKEN").unlink()
    assert [msgspec.json.decode(body)["token"] for _, _, body in service.asked] == [TOKEN, "another one"]
    assert host.secrets.value("TOKEN") == "of the variable"
    await host.close()


async def test_a_file_that_cannot_be_read_now_is_tried_again(service: Service, tmp_path: Path):
    (tmp_path / "TOKEN").mkdir()
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=ANYWHERE))
    errors, _ = await host.publish([with_secrets(service, retries=20)])
    assert errors == []
    host.outbox.secrets = OperatorSecrets(ALL, tmp_path, ANYWHERE)
    contact = await goes_again(host)
    await until(lambda: bool(host.engine.store.posted(contact)) and host.engine.store.posted(contact)[0].attempts > 0)
    (tmp_path / "TOKEN").rmdir()
    await until(lambda: standing(host, contact) == "cheap")
    assert len(service.asked) == 1
    await host.close()


async def test_a_body_with_a_secret_goes_to_no_other_host(service: Service):
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=ANYWHERE))
    service.answers = [web.Response(status=307, headers={"Location": f"http://localhost:{service.server.port}/there"})]
    contact = await goes(host, with_secrets(service))
    await until(lambda: standing(host, contact) == "lost")
    assert "another host" in saved(host, contact)["error"]
    assert len(service.asked) == 1
    await host.close()


# --- definitions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, pointer, codes",
    [
        ({"headers": {"X": "{{ secrets.TOKN }}"}}, "/headers/X", "unknown_secret"),
        ({"sign": "SIGNIN"}, "/sign", "unknown_secret"),
        ({"body": "{{ secrets[contact.name] }}"}, "/body", "invalid_reference"),
        ({"body": "{% assign all = secrets %}{{ all.TOKEN }}"}, "/body", "invalid_reference"),
        ({"body": {"a": "{{ secrets | json }}"}}, "/body/a", "unknown_filter invalid_reference"),
        ({"body": {"a": "{% for one in secrets %}x{% endfor %}"}}, "/body/a", "invalid_reference"),
        ({"sign": "not a name"}, "/sign", "invalid_value"),
        ({"headers": {"Webhook-Signature": "mine"}}, "/headers/Webhook-Signature", "invalid_value"),
    ],
)
async def test_what_is_wrong_is_said_when_it_is_published(
    service: Service, change: dict[str, Any], pointer: str, codes: str
):
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=ANYWHERE))
    errors, _ = await host.publish([with_secrets(service, **change)])
    place = f"/definitions/0/steps/call{pointer}"
    assert [(error.pointer, error.code) for error in errors] == [(place, code) for code in codes.split()]
    await host.close()


@pytest.mark.parametrize("state", ["draft", "paused", "stopped"])
async def test_a_journey_that_calls_nobody_may_lack_a_secret(service: Service, state: str):
    host = await host_with(MemoryStore(), OperatorSecrets())
    errors, warnings = await host.publish([with_secrets(service) | {"state": state}])
    assert errors == []
    assert [warning.code for warning in warnings if warning.code == "unknown_secret"] == ["unknown_secret"] * 5
    await host.close()


async def test_a_secret_goes_to_the_hosts_it_is_for(service: Service):
    port = service.server.port
    hosts = {"TOKEN": {f"127.0.0.1:{port}"}, "*": {"127.0.0.1"}}
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=hosts))
    contact = await goes(host, with_secrets(service))
    await until(lambda: standing(host, contact) == "cheap")
    host.secrets._hosts |= {"LOGIN": ("crm.example",), "SIGNING": ("crm.example",)}  # type: ignore[attr-defined]
    errors, _ = await host.publish([with_secrets(service, timeout="2s")])
    assert [(error.pointer.rpartition("/call/")[2], error.code) for error in errors] == [
        ("headers/Authorization", "secret_elsewhere"), ("sign", "secret_elsewhere"),
    ]  # fmt: skip
    contact = await goes_again(host)
    await until(lambda: standing(host, contact) == "lost")
    assert "the secret 'LOGIN' may not be sent to this host" in saved(host, contact)["error"]
    assert len(service.asked) == 1
    await host.close()


async def test_a_secret_without_hosts_goes_nowhere(service: Service):
    where = f"127.0.0.1:{service.server.port}"
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts={"TOKEN": ["*"], "LOGIN": [where]}))
    errors, _ = await host.publish([with_secrets(service)])
    assert [(error.pointer, error.code, error.message, error.hint) for error in errors] == [
        (
            "/definitions/0/steps/call/sign",
            "unbound_secret",
            "the secret 'SIGNING' may be sent to no host",
            f"the operator of the service says to which it may be: --secrets-hosts SIGNING={where}",
        )
    ]
    errors, warnings = await host.publish([with_secrets(service) | {"state": "draft"}])
    assert errors == []
    assert [one.code for one in warnings if "secret" in one.code] == ["unbound_secret"]
    # Bound as it is published, and not any more when the call is made.
    host.secrets._hosts["SIGNING"] = (where,)  # type: ignore[attr-defined]
    errors, _ = await host.publish([with_secrets(service)])
    assert errors == []
    del host.secrets._hosts["SIGNING"]  # type: ignore[attr-defined]
    contact = await goes_again(host)
    await until(lambda: standing(host, contact) == "lost")
    assert saved(host, contact)["error"] == (
        "the secret 'SIGNING' may be sent to no host: "
        f"the operator of the service says to which it may be: --secrets-hosts SIGNING={where}"
    )
    assert service.asked == []
    await host.close()


@pytest.mark.parametrize(
    "url, hosts, may",
    [
        ("https://a.example/x", [], False),
        ("https://a.example/x", ["*"], True),
        ("https://a.example/x", ["b.example", "*"], True),
        ("", ["*"], True),
        ("https://a.example/x", ["a.example"], True),
        ("https://A.example?x", ["a.example"], True),
        ("https://a.example:8443/x", ["a.example"], True),
        ("https://a.example:8443/x", ["a.example:8443"], True),
        ("https://a.example:8443/x", ["a.example:443"], False),
        ("https://a.example/x", ["a.example:443"], True),
        ("http://a.example", ["a.example:443"], False),
        ("https://a.example.evil/", ["a.example"], False),
        ("https://evil/a.example", ["a.example"], False),
        ("https://evil?a.example", ["a.example"], False),
        ("https://evil:443/@a.example", ["a.example", "evil:80"], False),
        ("http://[::1]:80/", allowed_hosts("[::1]"), True),
        ("http://[::1]:8080/x", allowed_hosts("[::1]:8080"), True),
        ("http://[::1]", allowed_hosts("[::1]:8080"), False),
        ("http://[::2]/", allowed_hosts("[::1]"), False),
        ("", ["a.example"], False),
    ],
)
def test_which_host_is_meant(url: str, hosts: Collection[str], may: bool):
    assert may_go_to(url, hosts) is may


async def test_secrets_are_looked_up_once_however_many_definitions_are_published(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=ANYWHERE))
    real, asked = OperatorSecrets.names, []
    monkeypatch.setattr(OperatorSecrets, "names", lambda self: asked.append(1) or real(self))
    errors, _ = await host.publish([with_secrets(service) | {"name": f"j{number}"} for number in range(5)])
    assert errors == []
    assert len(asked) == 1
    await host.close()


async def test_messages_see_no_secrets(service: Service):
    host = await host_with(MemoryStore(), OperatorSecrets(ALL, hosts=ANYWHERE))
    message = {"kind": "message", "name": "m", "channel": "sms", "content": {"text": "{{ secrets.TOKEN }}"}}
    errors, _ = await host.publish([message])
    assert [(error.pointer, error.code) for error in errors] == [("/definitions/0/content/text", "no_secrets")]
    await host.close()


# --- parts ------------------------------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_standard():
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("text", ["", " ", "whsec_", "whsec_" + "A" * 30, base64.b64encode(bytes(32)).decode()])
def test_what_is_no_key_is_refused(text: str):
    with pytest.raises(PermanentFailureError, match="cannot be signed"):
        keys_of(text)


def test_files_go_before_variables_and_only_names_are_told(tmp_path: Path):
    (tmp_path / "A").write_text("of a file\r\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "no name.txt").write_text("x")
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "folder").mkdir()
    secrets = OperatorSecrets({"A": "of a variable", "B": "b"}, tmp_path)
    assert secrets.names() == {"A", "B"}
    assert secrets.value("A") == "of a file"
    assert [(one.name, one.source, bool(one.problem)) for one in secrets.known()] == [
        ("A", "file", False), ("B", "variable", False), ("empty", "file", True), ("large", "file", True),
        ("latin", "file", True),
    ]  # fmt: skip
    assert "of a file" not in repr(secrets.known())
    assert isinstance(secrets.known()[0], KnownSecret)


@pytest.mark.parametrize("name", ["../A", "a/b", "", ".", "x" * 65, "A\n"])
def test_a_name_leads_out_of_no_folder(tmp_path: Path, name: str):
    (tmp_path / "A").write_text("x")
    (tmp_path / "in").mkdir()
    with pytest.raises(PermanentFailureError, match="there is no secret"):
        OperatorSecrets({}, tmp_path / "in").value(name)


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield name
            yield from strings_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings_in(part)


@pytest.mark.parametrize(
    "secret, said",
    [
        ("cr/et=to:k9\n", "Bearer cr/et=to:k9 "),
        (" cr/et=to:k9 ", "Bearer cr/et=to:k9"),
        ("cr/et=one\r\ncr/et=two", "cr/et=one cr/et=two"),
        ("cr/et=one\n\ncr/et=two", "got cr/et=two"),
        ("cr/et=to:k9", r'{"token":"cr\/et=to:k9"}'),
        ("crèt=to:k9", r'{"token":"cr\u00e8t=to:k9"}'),
    ],
    ids=["a line too many", "blanks at its ends", "lines in a header", "one of its lines", "slashes", "letters"],
)
def test_a_secret_is_blanked_as_headers_and_others_have_it(secret: str, said: str):
    found = blanked(said, private_texts([secret]))
    assert BLANK in found
    assert not re.search("k9|one|two", found)


# Letters of what stands in the place of a secret are left out: beside it they might make the secret once more.
_secrets = st.text(st.characters(exclude_characters=BLANK, exclude_categories=["Cs"]), min_size=4, max_size=12)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(_secrets, st.lists(_texts, max_size=3), st.data())
def test_what_is_blanked_has_no_secret(secret: str, others: list[str], data: st.DataObject):
    pieces = st.lists(st.sampled_from([secret, *private_texts([secret]), *others, "x"]), max_size=4).map("".join)
    value = data.draw(
        st.recursive(
            st.none() | st.integers() | pieces,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(pieces, inner, max_size=3),
            max_leaves=8,
        )
    )
    found = blanked(value, private_texts([secret]))
    for text in strings_in(found):
        assert not any(private in text for private in private_texts([secret]) if not set(private) & set(BLANK))
    assert blanked(value, ()) == value
