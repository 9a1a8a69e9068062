from __future__ import annotations

import asyncio
import json
import os
import pathlib
import smtplib
import subprocess
import sys
from contextlib import contextmanager

import aiohttp
import pytest

import parcours
from parcours.testing.receivers import PushReceiver


class Process:
    def __init__(self, process):
        self.process = process
        self.port = self.read()["port"]

    def read(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()


@contextmanager
def started(kind):
    source = str(pathlib.Path(parcours.__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-m", "parcours.testing.receivers", kind, "--port", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    ) as process:
        try:
            yield Process(process)
            process.stdin.close()
            assert process.wait(10) == 0, "the end of standard input ends it"
        finally:
            process.kill()


def mail(number, subject):
    return f"Message-ID: <{number}@shop.example>\r\nSubject: {subject}\r\n\r\nHello\r\n.\r\n..\r\n"


def test_smtp_as_a_process():
    with started("smtp") as receiver:
        # The standard library's client: an implementation that is not ours.
        with smtplib.SMTP("127.0.0.1", receiver.port) as client:
            for number in (1, 2, 3, 3):
                client.sendmail("a@b.example", ["c@d.example"], mail(number, "=?utf-8?q?Gr=C3=BC=C3=9Fe?="))
            client.sendmail("a@b.example", ["c@d.example"], mail(4, "a long\r\n one"))
            assert receiver.ask("counts") == {
                "total": 5,
                "unique": 4,
                "duplicates": 1,
                "by_subject": {"Grüße": 4, "a long one": 1},
            }
            assert receiver.ask("script RCPT 1 550 5.1.1 nobody") == {"ok": True}
            with pytest.raises(smtplib.SMTPRecipientsRefused, match="nobody"):
                client.sendmail("a@b.example", ["c@d.example"], mail(5, "x"))
            client.sendmail("a@b.example", ["c@d.example"], mail(5, "x"))
        assert receiver.ask("reset")["total"] == 6
        assert receiver.ask("counts") == {"total": 0, "unique": 0, "duplicates": 0, "by_subject": {}}
        assert "error" in receiver.ask("dance")
        assert "error" in receiver.ask("script RCPT many 550")


def test_push_as_a_process():
    async def post(port, number):
        body = {"message_id": str(number), "to": "x", "title": "Grüße", "body": "y"}
        async with aiohttp.ClientSession() as session, session.post(f"http://127.0.0.1:{port}/", json=body) as response:
            return response.status

    with started("push") as receiver:
        assert [asyncio.run(post(receiver.port, number)) for number in (1, 2, 2)] == [202, 202, 202]
        assert receiver.ask("script 2 503") == {"ok": True}
        assert [asyncio.run(post(receiver.port, number)) for number in (3, 3, 3)] == [503, 503, 202]
        assert receiver.ask("counts") == {"total": 4, "unique": 3, "duplicates": 1, "by_subject": {"Grüße": 4}}


def test_quit_ends_a_process():
    with started("smtp") as receiver:
        receiver.process.stdin.write("quit\n")
        receiver.process.stdin.flush()
        assert receiver.process.wait(10) == 0


async def test_push_refuses_what_is_no_notification():
    async with (
        PushReceiver() as receiver,
        aiohttp.ClientSession() as session,
        session.post(receiver.url, data=b'{"title": 1}') as response,
    ):
        assert response.status == 400
        assert receiver.counts().total == 0
