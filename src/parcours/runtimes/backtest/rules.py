"""What rules would have given, for people: by rule, by programme, by day.

| figure        | what                                                                              |
|---------------|-----------------------------------------------------------------------------------|
| `given`       | points that were earned, spendable at once or held at first                       |
| `earned`      | of these, those that could be spent by the end                                    |
| `pending`     | of these, those that are held at the end                                          |
| `reversed`    | of these, those that were taken back with their order                             |
| `expired`     | of these, those that expired by the end                                           |
| `cost`        | given, less reversed, less expired: what the programme owes or paid for           |
| `withheld`    | reason to how often a rule that looked at an interaction gave nothing             |
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from parcours.conditions.instants import moment_of
from parcours.runtimes.backtest.job import Counts, Posted


class RuleReport(msgspec.Struct):
    """What a rule would have given."""

    rule: str
    programme: str
    draft: bool
    """Whether it is one of those asked for; others are live."""
    awards: int = 0
    """How often it gave."""
    members: int = 0
    """How many different members it touched."""
    given: int = 0
    earned: int = 0
    pending: int = 0
    reversed: int = 0
    expired: int = 0
    cost: int = 0
    days: dict[str, int] = {}
    """Day to points given, in the zone of the programme."""
    withheld: dict[str, int] = {}
    """Reason to how often it gave nothing, the most frequent first."""
    ran_out: str | None = None
    """The day on which its budget was not enough for the first time, in UTC; None when it always was."""


class ProgrammeReport(msgspec.Struct):
    """What all rules of a programme would have come to, drafts and those that are live."""

    programme: str
    members: int = 0
    """Members at the end."""
    touched: int = 0
    """Members with an entry in the ledger."""
    entries: int = 0
    given: int = 0
    earned: int = 0
    pending: int = 0
    spent: int = 0
    reversed: int = 0
    expired: int = 0
    cost: int = 0
    balance: int = 0
    """What members can spend at the end, also of what they had before."""
    held: int = 0
    """What is held for them at the end."""
    days: dict[str, dict[str, int]] = {}
    """Day to kind of entry, to what was added to what can be spent, or held."""


class _Sums(msgspec.Struct):
    """Sums of entries by kind."""

    amounts: dict[str, int] = msgspec.field(default_factory=dict)
    helds: dict[str, int] = msgspec.field(default_factory=dict)

    def add(self, kind: str, amount: int, held: int) -> None:
        """Add entries."""
        self.amounts[kind] = self.amounts.get(kind, 0) + amount
        self.helds[kind] = self.helds.get(kind, 0) + held

    def amount(self, kind: str) -> int:
        """Return what entries of a kind added to what can be spent."""
        return self.amounts.get(kind, 0)

    def held(self, kind: str) -> int:
        """Return what entries of a kind added to what is held."""
        return self.helds.get(kind, 0)

    def fill(self, report: RuleReport | ProgrammeReport) -> None:
        """Let a report have what these come to. What was released is an entry `earned` that takes from what is held."""
        report.given = self.amount("earned") + self.held("earned") + self.held("pending")
        report.earned = self.amount("earned")
        report.reversed = -self.amount("reversed") - self.held("reversed")
        report.expired = -self.amount("expired") - self.held("expired")
        report.pending = self.held("pending") + self.held("earned") + self.held("reversed")
        report.cost = report.given - report.reversed - report.expired


def rules_of(counts: Counts, programmes: dict[str, str], drafts: Collection[str]) -> list[RuleReport]:
    """Return what each rule would have given: drafts first.

    Args:
        counts: What people came to.
        programmes: Rule to its programme.
        drafts: The rules that were asked for.
    """
    sums: dict[str, _Sums] = {}
    found = {rule: RuleReport(rule, name, rule in drafts) for rule, name in programmes.items()}
    for key in counts.entries:
        _, rule, day, kind = key
        if rule not in found:
            continue
        sums.setdefault(rule, _Sums()).add(kind, counts.amounts[key], counts.helds[key])
        if given := _given(key, counts):
            days = found[rule].days
            found[rule].days = {**days, day_text(day): days.get(day_text(day), 0) + given}
    for rule, report in found.items():
        sums.get(rule, _Sums()).fill(report)
        report.awards = counts.awards[rule]
        report.members = counts.touched[report.programme, rule]
        report.days = dict(sorted(report.days.items()))
        if rule in counts.ran_out:
            report.ran_out = moment_of(counts.ran_out[rule]).date().isoformat()
        withheld = [(reason, count) for (name, reason), count in counts.withheld.items() if name == rule]
        report.withheld = dict(sorted(withheld, key=lambda pair: (-pair[1], pair[0])))
    return sorted(found.values(), key=lambda report: (not report.draft, report.programme, report.rule))


def programmes_of(counts: Counts, programmes: Collection[str]) -> list[ProgrammeReport]:
    """Return what each programme would have come to."""
    found = []
    for name in programmes:
        report = ProgrammeReport(name)
        sums = _Sums()
        days: dict[int, dict[str, int]] = {}
        for key, entries in counts.entries.items():
            programme, _, day, kind = key
            if programme != name:
                continue
            sums.add(kind, counts.amounts[key], counts.helds[key])
            report.entries += entries
            # What is held and then free is one and the same: on the day of its release it is `earned`.
            told = days.setdefault(day, {})
            told[kind] = told.get(kind, 0) + (counts.amounts[key] or counts.helds[key])
        sums.fill(report)
        report.spent = -sums.amount("spent")
        report.members, report.touched = counts.members[name], counts.touched[name, ""]
        report.balance, report.held = counts.balances[name], counts.held[name]
        report.days = {day_text(day): dict(sorted(told.items())) for day, told in sorted(days.items())}
        found.append(report)
    return found


def day_text(day: int) -> str:
    """Return a day of the ledger, 20261231, as people write it."""
    return f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}"


def _given(key: Posted, counts: Counts) -> int:
    kind = key[3]
    if kind == "earned":
        return counts.amounts[key] + counts.helds[key]
    return counts.helds[key] if kind == "pending" else 0
