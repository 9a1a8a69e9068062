"""The demo as a whole, with its real children; and what it does when something fails."""

from __future__ import annotations

import io
import subprocess

import pytest
from rich.console import Console

from parcours.definitions.load import Source, load
from parcours.demo import processes, run
from parcours.demo.client import Outgoing, Report, Statistic
from parcours.demo.compare import Row, compare, comparison_table, steps_table
from parcours.demo.counts import Expected
from parcours.demo.dataset import DemoError
from parcours.demo.processes import MailCounts


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def children(monkeypatch):
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(processes.subprocess, "Popen", Recorded)
    return started


def said(console):
    return console.file.getvalue()


def test_the_demo_runs_and_all_counts_agree(console, children):
    assert run.run_demo(12, keep=False, console=console) == 0, said(console)
    assert "All counts agree." in said(console)
    assert "✗" not in said(console)
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)


def test_a_service_that_does_not_start_is_shown_with_its_last_words(console, children, monkeypatch):
    monkeypatch.setattr(run, "_options", lambda *_: ["--no-such-option"])
    assert run.run_demo(1, keep=False, console=console) == 1
    assert "the service did not start" in said(console)
    assert "no-such-option" in said(console)
    assert all(child.poll() is not None for child in children)


def test_children_end_when_the_demo_is_interrupted(console, children, monkeypatch):
    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_send", interrupted)
    assert run.run_demo(1, keep=False, console=console) == 130
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)


def test_a_service_that_dies_on_the_way_is_noticed(console, children, monkeypatch):
    monkeypatch.setattr("parcours.demo.client._TRIES", 2)
    send = run._send

    def killed(*args):
        children[1].kill()
        children[1].wait()
        return send(*args)

    monkeypatch.setattr(run, "_send", killed)
    assert run.run_demo(3, keep=False, console=console) == 1
    assert "POST /v1/batch failed" in said(console)
    assert all(child.poll() is not None for child in children)


def test_no_mail_server_no_demo(console, monkeypatch):
    found = processes.importlib.util.find_spec
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None if name == "aiosmtpd" else found(name))
    assert run.run_demo(1, keep=False, console=console) == 1
    assert "pip install 'parcours[demo]'" in said(console)


def test_the_examples_are_valid_and_their_subjects_tell_messages_apart():
    files = sorted(run.find_examples().glob("*.yaml"))
    workspace, errors, warnings = load(Source(file.name, file.read_text()) for file in files)
    assert not errors
    assert not warnings
    assert set(workspace.journeys) == {"welcome", "win-back", "campaign-follow-up", "receipt"}
    subjects = [message.content["subject"] for message in workspace.messages.values()]
    assert len(set(subjects)) == len(subjects)
    assert not any("{" in subject for subject in subjects)


def test_missing_examples_are_said_to_be_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(run.parcours, "__file__", str(tmp_path / "src" / "parcours" / "__init__.py"))
    with pytest.raises(DemoError, match="examples/complete-journey"):
        run.find_examples()


def test_a_difference_anywhere_is_a_difference(console):
    statistics = {("j", "", "entered", ""): 2, ("j", "s", "arrived", ""): 2, ("j", "s", "sent", "m"): 2}
    sql = Expected(inputs=5, contacts=2, orders=2, lines=9, now=1_000, statistics=statistics, mails={"m": 2})

    def report(**changes):
        counts = {**statistics, **changes.pop("counts", {})}
        rows = [Statistic(key[0], 1, *key[1:], count) for key, count in counts.items()]
        outbox = changes.pop("outbox", [Outgoing("email", "m", "sent", 2)])
        given = {"records": 6, "contacts": 2, "now": 1_000, "statistics": rows, "outbox": outbox, **changes}
        return Report(**given)

    def differs(report, mails=MailCounts(2, 2, 0, {"Hello": 2})):  # noqa: B008 (frozen)
        compared = compare(report, mails, sql, subjects={"m": "Hello"}, records_before=1)
        console.print(comparison_table(compared))
        return compared.differences

    assert differs(report()) == []
    assert "✗" not in said(console)
    assert differs(report(records=7)) == ["inputs"]
    assert differs(report(contacts=3)) == ["contacts"]
    assert differs(report(counts={("j", "s", "branched", "x"): 2})) == []
    assert differs(report(counts={("", "", "late", ""): 1})) == ["late: parcours 1, SQL 0"]
    assert differs(report(counts={("j", "s", "arrived", ""): 3})) == ["j s arrived: parcours 3, SQL 2"]
    assert differs(report(counts={("j", "s", "suppressed", "opted_out"): 1})) == [
        "mails not sent: opted_out",
        "j s suppressed opted_out: parcours 1, SQL 0",
    ]
    assert differs(report(), MailCounts(3, 2, 1, {"Hello": 3})) == ["mail m", "mails that came twice"]
    assert differs(report(), MailCounts(1, 1, 0, {"Hello": 1})) == ["mail m", "all mails"]
    waiting = [Outgoing("email", "m", "sent", 1), Outgoing("email", "m", "pending", 1)]
    assert len(differs(report(outbox=waiting))) == 3
    assert "✗" in said(console)


def test_a_row_that_nobody_denies_agrees():
    assert Row("x", 1, None, 1).agrees
    assert not Row("x", 1, 2, 1).agrees


def test_the_table_of_steps_shows_every_step(console):
    workspace = run.load_examples()
    empty = Expected(inputs=0, contacts=0, orders=0, lines=0, now=0, statistics={}, mails={})
    nothing = Report(0, 0, 0, [], [])
    compared = compare(nothing, MailCounts(0, 0, 0, {}), empty, subjects={}, records_before=0)
    console.print(steps_table(compared, workspace.journeys.values()))
    for journey in workspace.journeys.values():
        assert journey.name in said(console)
        assert all(step in said(console) for step in journey.steps)
