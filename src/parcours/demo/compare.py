"""What came of the demo, side by side: as the service tells it, as the mail server counted it, as SQL counts it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from parcours.definitions.journey import JourneyDefinition
from parcours.demo.client import Report
from parcours.demo.counts import Expected, Key
from parcours.demo.processes import MailCounts

Value = int | str

_NOT_COMPARED = frozenset({"branched"})
"""Which way a step was left: the arrivals at the steps that follow say the same."""


class Row(msgspec.Struct, frozen=True):
    """One thing that is known from several sides; None where a side cannot know."""

    what: str
    parcours: Value | None
    mail_server: Value | None
    sql: Value | None

    @property
    def agrees(self) -> bool:
        """Whether all who know say the same."""
        return len({value for value in (self.parcours, self.mail_server, self.sql) if value is not None}) == 1


class Comparison(msgspec.Struct, frozen=True):
    """Everything that is compared."""

    rows: list[Row]
    steps: dict[Key, tuple[int, int]]
    """Each of the service's statistics, as it counted and as SQL does."""

    @property
    def differences(self) -> list[str]:
        """What does not agree, in words."""
        found = [row.what for row in self.rows if not row.agrees]
        for (journey, step, what, reason), (ours, sql) in self.steps.items():
            if ours != sql:
                place = " ".join(part for part in (journey, step, what, reason) if part)
                found.append(f"{place}: parcours {ours:,}, SQL {sql:,}")
        return found


def compare(
    report: Report, mails: MailCounts, expected: Expected, *, subjects: Mapping[str, str], records_before: int
) -> Comparison:
    """Put the three counts side by side.

    Args:
        report: What the service says at the end.
        mails: What the mail server says at the end.
        expected: What SQL says.
        subjects: The subject of each message by its name; no two are equal.
        records_before: How many records the log had before the first input: the publications.
    """
    counted: dict[Key, int] = {}
    for entry in report.statistics:
        if entry.what not in _NOT_COMPARED:
            key = (entry.journey, entry.step, entry.what, entry.reason)
            counted[key] = counted.get(key, 0) + entry.count
    steps = {
        key: (counted.get(key, 0), expected.statistics.get(key, 0))
        for key in sorted(counted.keys() | expected.statistics.keys())
    }

    def both(what: str, *, journey: str | None = None, reason: str | None = None) -> tuple[int, int]:
        fitting = [
            pair
            for (of, _, kind, why), pair in steps.items()
            if kind == what and journey in (None, of) and reason in (None, why)
        ]
        return sum(ours for ours, _ in fitting), sum(sql for _, sql in fitting)

    rows = [
        Row("inputs", report.records - records_before, None, expected.inputs),
        Row("contacts", report.contacts, None, expected.contacts),
        Row("time of the newest input", _time(report.now), None, _time(expected.now)),
    ]
    for journey in sorted({key[0] for key in steps if key[0]}):
        for what in ("entered", "refused", "ended"):
            ours, sql = both(what, journey=journey)
            if ours or sql:
                rows.append(Row(f"{journey}: {_RUNS[what]}", ours, None, sql))
    for name, subject in sorted(subjects.items()):
        sent = sum(row.count for row in report.outbox if row.message == name and row.state == "sent")
        rows.append(Row(f"mail {name}", sent, mails.by_subject.get(subject, 0), expected.mails.get(name, 0)))
    rows.append(Row("all mails", report.in_state("sent"), mails.unique, sum(expected.mails.values())))
    rows.append(Row("mails that came twice", None, mails.duplicates, 0))
    rows.append(Row("mails failed or waiting", report.in_state("failed") + report.in_state("pending"), None, 0))
    for reason in sorted({key[3] for key in steps if key[2] == "suppressed"}):
        ours, sql = both("suppressed", reason=reason)
        rows.append(Row(f"mails not sent: {reason}", ours, None, sql))
    return Comparison(rows, steps)


def comparison_table(comparison: Comparison) -> Group:
    """Show what was compared, and the differences if there are any."""
    table = _table("Do the counts agree?")
    table.add_column("what", no_wrap=True)
    for title in ("parcours", "mail server", "SQL on raw data"):
        table.add_column(title, justify="right")
    table.add_column("agree", justify="center", no_wrap=True)
    for row in comparison.rows:
        table.add_row(row.what, _show(row.parcours), _show(row.mail_server), _show(row.sql), _mark(good=row.agrees))
    same = sum(ours == sql for ours, sql in comparison.steps.values())
    every = len(comparison.steps)
    table.add_section()
    table.add_row(f"each of {every} single counts", "", "", f"{same} equal", _mark(good=same == every))
    differences = comparison.differences
    if not differences:
        return Group(table)
    words = Text("\n".join(["These do not agree:", *(f"  {line}" for line in differences)]), style="red")
    return Group(table, words)


def steps_table(comparison: Comparison, journeys: Iterable[JourneyDefinition]) -> Table:
    """Show runs by journey and step, in the order in which the steps are written, and mails not sent by reason."""
    refusals = ["opted_out", "no_consent", "no_address", "invalid_address"]
    refusals += sorted({key[3] for key in comparison.steps if key[2] == "suppressed"}.difference(refusals))
    table = _table("Runs by journey and step, and mails (✓ as SQL counts them)")
    table.add_column("step", no_wrap=True)
    for title in ("came here", "sent", *(reason.replace("_", " ") for reason in refusals)):
        table.add_column(title, justify="right", min_width=max(map(len, title.split())))
    for journey in journeys:
        table.add_row(Text(journey.name, style="bold"))
        for step in journey.steps:
            here = {key: pair for key, pair in comparison.steps.items() if key[:2] == (journey.name, step)}

            def count(what: str, reason: str | None = None, here: Mapping[Key, tuple[int, int]] = here) -> str:
                number = sum(ours for key, (ours, _) in here.items() if key[2] == what and reason in (None, key[3]))
                return f"{number:,}" if number else ""

            table.add_row(
                Text.assemble(_mark(good=all(ours == sql for ours, sql in here.values())), " ", step),
                count("arrived") or "0",
                count("sent"),
                *(count("suppressed", reason) for reason in refusals),
            )
        table.add_section()
    return table


_RUNS = {"entered": "runs begun", "refused": "not begun again", "ended": "runs ended"}


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _time(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _show(value: Value | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else value


def _mark(*, good: bool) -> Text:
    return Text("✓", style="green") if good else Text("✗", style="bold red")
