from __future__ import annotations

import asyncio
import base64
import email
import re
import shutil
import ssl
import subprocess
from email.header import decode_header, make_header
from email.policy import default
from email.utils import parsedate_to_datetime

import pytest
from aiosmtpd.smtp import AuthResult
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parcours.channels.email import SmtpChannel, _words
from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Delivery
from parcours.sources.addresses import normalize_email
from parcours.testing.receivers import HANG, HANG_UP, SmtpReceiver

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "X-Parcours-Message", "MIME-Version", "Content-Type"]


def delivery(number=1, address="ann@example.com", **content):
    return Delivery(
        id=f"0123456789ab-{number:013}",
        channel="email",
        address=address,
        content={"subject": "Hello", "text": "Hello Ann", **content},
    )


def channel_to(receiver, **settings):
    return SmtpChannel(
        receiver.host,
        receiver.port,
        "The Shop <news@shop.example>",
        **{"tls": "none", "local_hostname": "localhost", **settings},
    )


@pytest.fixture
async def receiver():
    async with SmtpReceiver(keep=True) as receiver:
        yield receiver


@pytest.fixture
async def channel(receiver):
    channel = channel_to(receiver)
    yield channel
    await channel.close()


def read(data):
    return email.message_from_bytes(data, policy=default)


def texts(mail):
    parts = mail.iter_parts() if mail.is_multipart() else [mail]
    return [part.get_content().replace("\r\n", "\n") for part in parts]


def lines(text):
    """What arrives of a text: the same, with one kind of line end and one at the end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


async def test_a_mail_arrives(receiver, channel):
    await channel.send(delivery(html="<p>Hello <b>Ann</b></p>", reply_to="Help <help@shop.example>"))
    [(sender, recipients, data)] = receiver.mails
    mail = read(data)
    assert (sender, recipients) == ("news@shop.example", ["ann@example.com"])
    assert mail["From"] == "The Shop <news@shop.example>"
    assert mail["To"] == "ann@example.com"
    assert mail["Reply-To"] == "Help <help@shop.example>"
    assert mail["Subject"] == "Hello"
    assert mail["Message-ID"] == "<0123456789ab-0000000000001@shop.example>"
    assert mail["X-Parcours-Message"] == "0123456789ab-0000000000001"
    assert parsedate_to_datetime(mail["Date"]).tzinfo is not None
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert texts(mail) == ["Hello Ann\n", "<p>Hello <b>Ann</b></p>\n"]
    assert not mail.defects


async def test_a_mail_may_have_one_part(channel, receiver):
    await channel.send(
        Delivery(id="a", channel="email", address="a@b.example", content={"subject": "x", "html": "<p>é"})
    )
    await channel.send(Delivery(id="b", channel="email", address="a@b.example", content={"subject": "x", "text": "é"}))
    kinds = [(read(data).get_content_type(), texts(read(data))) for *_, data in receiver.mails]
    assert kinds == [("text/html", ["<p>é\n"]), ("text/plain", ["é\n"])]


async def test_from_of_the_content_wins_but_bounces_go_to_the_sender(channel, receiver):
    await channel.send(delivery(**{"from": 'Änne, "the" boss <anne@Büro.example>'}))
    [(sender, _, data)] = receiver.mails
    assert sender == "news@shop.example"
    [author] = read(data)["From"].addresses
    assert (author.display_name, author.addr_spec) == ('Änne, "the" boss', "anne@xn--bro-hoa.example")


async def test_dots_at_the_start_of_lines_survive(channel, receiver):
    text = ".\n..\n.a\n\n.\n"
    await channel.send(delivery(text=text, html=text))
    assert texts(read(receiver.mails[0][2])) == [text, text]


async def test_one_connection_serves_many_mails(channel, receiver):
    for number in range(5):
        await channel.send(delivery(number))
    assert receiver.connections == 1
    assert receiver.counts().total == 5


async def test_the_pool_is_bounded_and_loses_nothing(receiver):
    channel = channel_to(receiver, connections=3)
    await asyncio.gather(*(channel.send(delivery(number)) for number in range(100)))
    await channel.close()
    counts = receiver.counts()
    assert (counts.total, counts.duplicates, counts.by_subject) == (100, 0, {"Hello": 100})
    assert receiver.connections == 3


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "answer, error", [("451 4.3.0 try later", TemporaryFailureError), ("550 5.1.1 no such user", PermanentFailureError)]
)
async def test_refusals(channel, receiver, command, answer, error):
    receiver.script(command, answer)
    with pytest.raises(error, match=answer):
        await channel.send(delivery(1))
    await channel.send(delivery(2))
    assert receiver.connections == 1, "a refusal does not cost the connection"
    assert receiver.counts().total == 1


@pytest.mark.parametrize("answer", ["530 5.7.0 authentication required", "535 5.7.8 wrong password"])
async def test_a_login_problem_is_not_the_messages_fault(channel, receiver, answer):
    receiver.script("MAIL", answer)
    with pytest.raises(TemporaryFailureError, match=answer):
        await channel.send(delivery())


@pytest.mark.parametrize("answer", ["421 4.3.2 busy", "554 5.3.2 not for you", HANG_UP])
async def test_a_server_that_does_not_let_us_in(channel, receiver, answer):
    receiver.script("CONNECT", answer)
    with pytest.raises(TemporaryFailureError):
        await channel.send(delivery())
    await channel.send(delivery())


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_connection_that_breaks_during_a_mail(channel, receiver, command):
    receiver.script(command, HANG_UP)
    with pytest.raises(TemporaryFailureError):
        await channel.send(delivery())
    await channel.send(delivery())
    assert receiver.connections == 2


@pytest.mark.parametrize("answer", ["421 4.4.2 idle for too long", HANG_UP])
async def test_a_connection_that_went_stale_is_replaced_unnoticed(channel, receiver, answer):
    await channel.send(delivery(1))
    receiver.script("MAIL", answer)
    await channel.send(delivery(2))
    assert receiver.counts().unique == 2
    assert receiver.connections == 2


async def test_a_server_that_restarted_is_found_again(channel, receiver):
    await asyncio.gather(*(channel.send(delivery(number)) for number in range(8)))
    receiver.drop_connections()
    await asyncio.gather(*(channel.send(delivery(number)) for number in range(8, 16)))
    assert receiver.counts().unique == 16


async def test_a_new_connection_that_is_closed_at_once_is_a_failure(channel, receiver):
    receiver.script("MAIL", HANG_UP)
    with pytest.raises(TemporaryFailureError):
        await channel.send(delivery())


@pytest.mark.parametrize("command", ["CONNECT", "MAIL", "RCPT", "DATA"])
async def test_a_slow_server(receiver, command):
    channel = channel_to(receiver, timeout=0.1)
    receiver.script(command, HANG)
    with pytest.raises(TemporaryFailureError, match=r"(?i)timed out"):
        await channel.send(delivery(1))
    await channel.send(delivery(2))
    await channel.close()
    assert receiver.counts().total == 1


async def test_nobody_listens(receiver, channel):
    await receiver.stop()
    with pytest.raises(TemporaryFailureError):
        await channel.send(delivery())


async def test_a_cancelled_mail_does_not_answer_for_the_next(receiver):
    channel = channel_to(receiver, connections=1)
    await channel.send(delivery(1))
    receiver.script("DATA", HANG)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await channel.send(delivery(2))
    receiver.script("RCPT", "550 no such user")
    with pytest.raises(PermanentFailureError):
        await channel.send(delivery(3))
    await channel.send(delivery(4))
    await channel.close()
    assert receiver.counts().total == 2
    async with asyncio.timeout(10):
        await receiver.wait_deserted()


async def test_idle_connections_are_closed(receiver):
    channel = channel_to(receiver, idle_seconds=0.01)
    await channel.send(delivery(1))
    async with asyncio.timeout(10):
        await receiver.wait_deserted()
    await channel.send(delivery(2))
    assert receiver.connections == 2
    await channel.close()


async def test_close_leaves_no_connection_and_takes_no_mail(receiver, channel):
    await asyncio.gather(*(channel.send(delivery(number)) for number in range(8)))
    await channel.close()
    async with asyncio.timeout(10):
        await receiver.wait_deserted()
    with pytest.raises(TemporaryFailureError, match="closed"):
        await channel.send(delivery())


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
async def test_login():
    seen = []

    def authenticate(_server, _session, _envelope, _mechanism, data):
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"s3cret", handled=False)

    options = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}
    async with SmtpReceiver(**options) as receiver:
        channel = channel_to(receiver, username="shop", password="s3cret")
        await channel.send(delivery())
        await channel.close()
        assert receiver.counts().total == 1
        wrong = channel_to(receiver, username="shop", password="wrong")
        with pytest.raises(TemporaryFailureError, match="does not let us in"):
            await wrong.send(delivery())
    assert (b"shop", b"s3cret") in seen


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


async def test_starttls(certificate):
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate / "cert", certificate / "key")
    trusting = ssl.create_default_context(cafile=certificate / "cert")
    async with SmtpReceiver(tls_context=server, require_starttls=True) as receiver:
        channel = channel_to(receiver, tls="starttls", tls_context=trusting)
        await channel.send(delivery())
        await channel.close()
        assert receiver.counts().total == 1
        suspicious = channel_to(receiver, tls="starttls")
        with pytest.raises(TemporaryFailureError, match=r"(?i)certificate"):
            await suspicious.send(delivery())


async def test_tls_that_is_required_and_not_offered(receiver):
    channel = channel_to(receiver, tls="starttls")
    with pytest.raises(TemporaryFailureError):
        await channel.send(delivery())
    assert receiver.counts().total == 0


async def test_addresses_in_other_scripts(channel, receiver):
    await channel.send(delivery(1, "anna@bücher.example"))
    await channel.send(delivery(2, "あいうえお@example.com"))
    assert [recipients for _, recipients, _ in receiver.mails] == [
        ["anna@xn--bcher-kva.example"],
        ["あいうえお@example.com"],
    ]
    assert "To: あいうえお@example.com\r\n".encode() in receiver.mails[1][2]


async def test_a_server_without_smtputf8():
    async with SmtpReceiver(enable_SMTPUTF8=False) as receiver:
        channel = channel_to(receiver)
        with pytest.raises(PermanentFailureError, match="あ"):
            await channel.send(delivery(1, "あいうえお@example.com"))
        await channel.send(delivery(2))
        await channel.close()
        assert receiver.connections == 1


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "a b@example.com",
        "a@b.example>\r\nRCPT TO:<eve@example.com",
        "a@b.example> SIZE=1",
        "a@b.example, eve@example.com",
        "Ann <a@b.example>",
        "a" * 250 + "@example.com",
        "a..b@c.example",
    ],
)
async def test_what_is_no_address_is_refused(channel, receiver, address):
    with pytest.raises(PermanentFailureError, match="not an e-mail address"):
        await channel.send(delivery(1, address))
    assert receiver.connections == 0


async def test_white_space_around_an_address_is_not_part_of_it(channel, receiver):
    await channel.send(delivery(1, " a@b.example\n"))
    assert receiver.mails[0][1] == ["a@b.example"]


@pytest.mark.parametrize("field", ["from", "reply_to"])
async def test_what_is_no_author_is_refused(channel, field):
    with pytest.raises(PermanentFailureError, match=field):
        await channel.send(delivery(**{field: "the shop"}))


async def test_an_id_that_is_no_word_is_refused(channel):
    with pytest.raises(PermanentFailureError, match="id"):
        await channel.send(Delivery(id="a>\r\nBcc: b", channel="email", address="a@b.example", content={}))


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"sender": "the shop"}, "sender"),
        ({"tls": "maybe"}, "tls"),
        ({"host": "mail.example", "username": "a", "tls": "none"}, "clear"),
        ({"host": "mail.example", "username": "a", "tls": "opportunistic"}, "clear"),
        ({"connections": 0}, "connections"),
    ],
)
def test_settings_of_no_use_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        SmtpChannel(**{"host": "127.0.0.1", "port": 25, "sender": "a@b.example", **settings})


@pytest.mark.parametrize(
    "text, normal",
    [
        ("Ann.Smith+tag@Example.COM", "Ann.Smith+tag@example.com"),
        ("  ann@example.com\n", "ann@example.com"),
        ("ann@BÜCHER.example", "ann@bücher.example"),
        ("ann@xn--bcher-kva.example", "ann@bücher.example"),
        ("ann@example.com.", None),
        ("ann", None),
        ("", None),
        ("ann@localhost", None),
        ("a@b@example.com", None),
        ("Ann <ann@example.com>", None),
        ("ann@exa mple.com", None),
    ],
)
def test_normalize_email(text, normal):
    assert normalize_email(text) == normal


WRITER = SmtpChannel("127.0.0.1", 25, "Shop <news@shop.example>", tls="none")
ANYTHING = st.text(max_size=300) | st.text(alphabet='\r\n =?.:-_@<>",;ab\x00\x0b\x0c\x85\u2028é', max_size=80)


@given(subject=ANYTHING, text=ANYTHING, html=ANYTHING)
@example(subject="=?utf-8?b?SGVsbG8=?=", text="=C3=A9", html="--=_parcours\r\n--=_parcours--")
@example(subject="x" * 2_000, text="y" * 2_000, html="é" * 2_000)
@example(subject="Bcc: eve@example.com\r\nBcc: eve@example.com\r\n\r\n", text=".\r\n", html="a \n\t\n")
def test_any_text_arrives_intact_and_injects_nothing(subject, text, html):
    data = WRITER._write(delivery(subject=subject, text=text, html=html)).data
    mail = read(data)
    assert list(mail.keys()) == HEADERS
    # `email.policy.default` tidies white space in headers, so the words are decoded by the older functions.
    raw = email.message_from_bytes(data)["Subject"]
    assert str(make_header(decode_header(raw))) == re.sub(r"[\r\n]+", " ", subject).strip()
    assert texts(mail) == [lines(text), lines(html)]
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")


@given(st.text(min_size=1))
def test_every_word_of_a_subject_can_be_read_alone(subject):
    words = re.findall(r"=\?utf-8\?b\?(.*?)\?=", _words(subject))
    assert "".join(base64.b64decode(word).decode() for word in words) == subject
    assert max(map(len, _words(subject).split("\r\n"))) <= 76


@given(name=ANYTHING, field=st.sampled_from(["from", "reply_to"]))
def test_no_name_injects_a_header(name, field):
    try:
        data = WRITER._write(delivery(html="x", **{field: f"{name} <boss@shop.example>"})).data
    except PermanentFailureError:
        return
    mail = read(data)
    assert set(mail.keys()) <= {*HEADERS, "Reply-To"}
    assert len(mail.keys()) == len(set(mail.keys()))


@given(address=ANYTHING | st.emails())
def test_no_address_injects_a_command(address):
    try:
        mail = WRITER._write(delivery(1, address, html="x"))
    except PermanentFailureError:
        return
    assert not re.search(r"[\s<>,\x00-\x1f]", mail.recipient)
    assert mail.recipient.count("@") == 1
    assert list(read(mail.data).keys()) == HEADERS


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING), min_size=1, max_size=8))
def test_what_is_written_is_what_a_real_server_gets(contents):
    async def send_all():
        async with SmtpReceiver(keep=True) as receiver:
            channel = channel_to(receiver, connections=1)
            for number, (subject, text, html) in enumerate(contents):
                await channel.send(delivery(number, subject=subject, text=text, html=html))
            await channel.close()
            return receiver.mails

    mails = asyncio.run(send_all())
    for (_, text, html), (_, _, data) in zip(contents, mails, strict=True):
        mail = read(data)
        assert list(mail.keys()) == HEADERS
        assert texts(mail) == [lines(text), lines(html)]
