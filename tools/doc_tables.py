"""Write the tables of the documentation that the code knows: fields, operators, settings, metrics.

A page holds the lines `<!-- table: NAME -->` and `<!-- /table -->`; what stands between them is made here from the
structs, tables and docstrings of the code, so it cannot fall behind them.

    python tools/doc_tables.py            write them anew
    python tools/doc_tables.py --check    say which pages differ
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from parcours.conditions import ast as conditions_ast
from parcours.conditions.needs import MOST_KEPT, Keeps, needs
from parcours.conditions.operators import COUNTS, OPERATORS, Takes
from parcours.conditions.parse import parse_condition
from parcours.core.memory import KEPT_MESSAGES
from parcours.definitions import (
    entries,
    goals,
    interaction,
    journey,
    lists,
    message,
    policy,
    segment,
    steps,
    values,
    waits,
)
from parcours.definitions import settings as workspace
from parcours.definitions.common import CONDITION_REF
from parcours.definitions.packs import Pack
from parcours.sources.segment import REACTIONS
from parcours.testing.scenarios import format as scenarios
from parcours.web.api.packs import built_in
from parcours.web.telemetry import Telemetry

ROOT = Path(__file__).resolve().parent.parent

BLOCK = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "workspace": workspace.WorkspaceDefinition,
    "contacts": workspace.ContactSettings,
    "interaction": interaction.InteractionDefinition,
    "attribute": interaction.AttributeDefinition,
    "list": lists.ListDefinition,
    "catalogue": lists.CatalogueDefinition,
    "segment": segment.SegmentDefinition,
    "control-group": segment.ControlGroup,
    "policy": policy.Policy,
    "cap": policy.Cap,
    "quiet-hours": policy.QuietHours,
    "message": message.MessageDefinition,
    "journey": journey.JourneyDefinition,
    "entry-interaction": entries.InteractionEntry,
    "entry-segment": entries.SegmentEntry,
    "schedule": entries.Schedule,
    "entry-contact": entries.ContactEntry,
    "entry-date": entries.DateEntry,
    "entry-api": entries.ApiEntry,
    "entry-journey": entries.JourneyEntry,
    "exit": goals.Exit,
    "goal": goals.Goal,
    "max-entries": entries.MostEntries,
    "send": steps.Send,
    "wait": steps.Wait,
    "wait-for": steps.WaitFor,
    "branch-interaction": steps.InteractionBranch,
    "branch-reaction": steps.ReactionBranch,
    "timeout": steps.Timeout,
    "decision": steps.Decision,
    "split": steps.Split,
    "branch-split": steps.SplitBranch,
    "experiment": steps.Experiment,
    "branch-experiment": steps.ExperimentBranch,
    "holdout": steps.Holdout,
    "fork": steps.Fork,
    "join": steps.Join,
    "webhook": steps.Webhook,
    "update": steps.Update,
    "computed": values.Computed,
    "list-step": steps.Enlist,
    "record": steps.Record,
    "start": steps.Start,
    "award": steps.Award,
    "enrol-step": steps.Enrol,
    "give": steps.Give,
    "until": waits.Until,
    "hours": waits.Hours,
    "journey-test": journey.JourneyTest,
}

SCENARIOS: dict[str, type[msgspec.Struct]] = {
    "scenario-file": scenarios.ScenarioFile,
    "scenario": scenarios.Body,
    "scenario-contact": scenarios.Known,
    "scenario-step": scenarios.Step,
    "scenario-expect": scenarios.Expect,
    "scenario-sending": scenarios.Sending,
    "scenario-entry": scenarios.Entry,
    "scenario-call": scenarios.Calling,
    "scenario-member": scenarios.Member,
    "scenario-move": scenarios.Moving,
    "scenario-posted": scenarios.Posted,
}
"""What is written in scenario files; of these a field's description says what it takes."""

WRITTEN = {
    Takes.SCALAR: ("one text, number or true/false", "Atlanta"),
    Takes.SCALARS: ("a list of them", "[Atlanta, Seattle]"),
    Takes.ORDERED: ("a number, or a text (compared by code point)", "100"),
    Takes.RANGE: ("a list of two, both ends included", "[18, 29]"),
    Takes.TEXT: ("a text", "prem"),
    Takes.TEXTS: ("a list of texts", "[vegan, kosher]"),
    Takes.DURATION: ("a duration", "30d"),
    Takes.DAYS: ("a duration of whole days", "7d"),
    Takes.INSTANT: ("a date, or a date and time with an offset", '"1980-12-31"'),
    Takes.NOTHING: ("`true`", "true"),
}

_FIGURES = ("sum", "min", "max", "first", "last")


def _asking(figure: str, **window: str) -> dict[str, Any]:
    return {"did": "x", figure: {"of": "y", "at_least": 1}, **window}


KEPT: list[tuple[Any, ...]] = [
    ("a count compared with n, in any window", "they decide it, however long the history is", {"did": "x"}),
    (
        "`sum` of all time, or `from` and `until`",
        "it is added up as interactions arrive",
        _asking("sum"),
        _asking("sum", until="2026-01-31"),
    ),
    ("`min` of the same", "each that arrives is compared with it", _asking("min")),
    ("`max` of the same", "each that arrives is compared with it", _asking("max")),
    ("`first` of the same", "one that arrives late may still become the first", _asking("first")),
    (
        "`last`, in any window",
        "what came before can never become the last",
        _asking("last"),
        _asking("last", within="30d"),
    ),
    (
        "`sum`, `min`, `max` and `first` with `within` or `since`",
        "what the longest window asked for has left behind is dropped",
        *(_asking(figure, **window) for figure in _FIGURES[:4] for window in ({"within": "30d"}, {"since": "entry"})),
    ),
    (
        "a sequence",
        "it is looked for when it is asked for, so late arrivals fall in",
        {"sequence": [{"did": "x"}, {"did": "y"}]},
    ),
    ("messages", "only while some condition asks for messages"),
]
"""What is asked, why that is enough, and conditions that ask so."""

FORMS = {
    Keeps.TIMES: "the latest n + 1 times",
    Keeps.TOTAL: "one figure",
    Keeps.LEAST: "the least value",
    Keeps.GREATEST: "the greatest value",
    Keeps.FIRST: "the first value, with its time",
    Keeps.LAST: "the last value, with its time",
    Keeps.ENTRIES: "times and values in the window, the latest {most:,} at most",
}
MESSAGES_KEPT = "the latest {messages} messages, with the first time of each reaction"

TYPES = {
    inspect.StrType: "text",
    inspect.BoolType: "true/false",
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.AnyType: "anything",
}

PARTS = {
    "InteractionEntry": "entry",
    "SegmentEntry": "entry",
    "Exit": "exit",
    "Goal": "goal",
    "ContactEntry": "entry",
    "DateEntry": "entry",
    "ApiEntry": "entry",
    "JourneyEntry": "entry",
    "Schedule": "schedule",
    "AfterPause": "`{after: duration}`",
    "MostEntries": "limit of entries",
    "Send": "step",
    "Wait": "step",
    "WaitFor": "step",
    "Decision": "step",
    "Split": "step",
    "Experiment": "step",
    "Fork": "step",
    "Join": "step",
    "Webhook": "step",
    "Update": "step",
    "Enlist": "step",
    "Record": "step",
    "Start": "step",
    "Award": "step",
    "Enrol": "step",
    "Give": "step",
    "Computed": "computed value",
    "Copied": "copy (`from`, `attribute`)",
    "End": "step",
    "SplitBranch": "branch",
    "ExperimentBranch": "branch",
    "Holdout": "holdout",
    "Until": "moment",
    "Hours": "hours",
    "InteractionBranch": "branch",
    "ReactionBranch": "branch",
    "Timeout": "timeout",
    "AttributeDefinition": "attribute",
    "ContactSettings": "settings of contacts",
    "ControlGroup": "control group",
    "Policy": "policy",
    "Cap": "cap",
    "QuietHours": "quiet hours",
    "JourneyTest": "test",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def kind_of(expected: inspect.Type) -> str:
    """Return in words what a field takes."""
    match expected:
        case inspect.Metadata():
            schema = expected.extra_json_schema or {}
            if schema.get("$ref") == CONDITION_REF:
                return "condition"
            written = str((expected.extra or {}).get("written", ""))
            return "duration" if "elapsed" in written else kind_of(expected.type)
        case inspect.UnionType():
            parts = [kind_of(part) for part in expected.types if not isinstance(part, inspect.NoneType)]
            return " or ".join(dict.fromkeys(parts))
        case inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in spelled(expected))
        case inspect.ListType():
            return f"list of {plural(kind_of(expected.item_type))}"
        case inspect.DictType():
            return f"{plural(kind_of(expected.value_type))} by name"
        case inspect.StructType():
            return PARTS[expected.cls.__name__]
        case _:
            return TYPES[type(expected)]


def plural(word: str) -> str:
    """Return a word of `kind_of` for many."""
    return {"entry": "entries", "branch": "branches"}.get(word, f"{word}s")


def spelled(expected: inspect.LiteralType) -> tuple[str, ...]:
    """Return the values of a literal, sorted as msgspec gives them no order."""
    return tuple(sorted(map(str, expected.values)))


def description_of(expected: inspect.Type) -> str:
    """Return what a field is for."""
    if isinstance(expected, inspect.Metadata):
        said = str((expected.extra_json_schema or {}).get("description", ""))
        return said or description_of(expected.type)
    return ""


def fields(struct: type[msgspec.Struct]) -> str:
    """Return the table of the fields of a definition or a part of one."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101 (told to the type checker)
    rows = []
    if info.tag_field is not None:
        rows.append([f"`{info.tag_field}`", f"`{info.tag}`", "required", "Says what this is."])
    for field in info.fields:
        default: Any = field.default if field.default is not msgspec.NODEFAULT else ""
        usual = (
            "required"
            if field.required
            else ""
            if default in {None, ""}
            else f"`{msgspec.json.encode(default).decode()}`"
        )
        rows.append([f"`{field.encode_name}`", kind_of(field.type), usual.replace('"', ""), description_of(field.type)])
    return table(["field", "takes", "default", "what it is"], rows)


def briefly(struct: type[msgspec.Struct]) -> str:
    """Return the table of the fields of a part of a scenario."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101 (told to the type checker)
    return table(
        ["field", "what it is"], ([f"`{field.encode_name}`", description_of(field.type)] for field in info.fields)
    )


def operators() -> str:
    """Return the table of comparisons."""
    rows = []
    for name, operator in OPERATORS.items():
        takes, example = WRITTEN[operator.takes]
        rows.append([f"`{name}`", takes, operator.title, f"`{{contact: x, {name}: {example}}}`"])
    return table(["operator", "takes", "true when the attribute", "example"], rows)


def counts() -> str:
    """Return the table of comparisons of a count."""
    rows = []
    for name, compare in COUNTS.items():
        some = [str(count) for count in range(6) if compare(count, 3)]
        rows.append([f"`times: {{{name}: 3}}`", ", ".join(some) + (", …" if compare(99, 3) else "")])
    return table(["written", "true when it happened so often"], rows)


def kept() -> str:
    """Return the table of what a contact remembers, from the needs of conditions as they are written."""
    rows = []
    for asked, memory, *examples in KEPT:
        found = {need.keeps for data in examples for need in needs(condition(data)).values()}
        form = FORMS[found.pop()] if found else MESSAGES_KEPT
        assert not found  # noqa: S101 (one line of the table, one form)
        rows.append([asked, form.format(most=MOST_KEPT, messages=KEPT_MESSAGES), memory])
    return table(["asked", "a contact keeps", "so"], rows)


def condition(data: dict[str, Any]) -> conditions_ast.Node:
    """Return a condition that has no mistake."""
    node, problems = parse_condition(data)
    assert node is not None, problems  # noqa: S101 (written above)
    return node


def content() -> str:
    """Return the table of channels and the fields of their content."""
    rows = []
    for name, channel in message.CHANNELS.items():
        needed = [f"`{one}`" for one in channel.required]
        needed += [" or ".join(f"`{one}`" for one in channel.one_of)] if channel.one_of else []
        optional = ", ".join(f"`{one}`" for one in channel.optional)
        address = f"`{channel.address}`" if channel.address else "none: it goes to the contact's id"
        rows.append([f"`{name}`", channel.title, ", ".join(needed), optional, address])
    return table(
        ["channel", "title", "content it needs", "content it may have", "the contact's attribute with the address"],
        rows,
    )


def words(titles: dict[str, str]) -> str:
    """Return the table of the usual channels or source types."""
    return table(["name", "title"], [[f"`{name}`", title] for name, title in titles.items()])


def packs() -> str:
    """Return the table of packs."""
    rows = [
        [f"[`{pack.name}`](#{pack.name})", pack.title, pack.version, str(len(pack.definitions)), pack.description]
        for pack in built_in().values()
    ]
    return table(["pack", "title", "version", "interactions", "what it is"], rows)


def events(pack: Pack) -> str:
    """Return the table of the interactions of a pack."""
    rows = []
    for one in pack.definitions:
        if isinstance(one, interaction.InteractionDefinition):
            attributes = ", ".join(
                f"`{name}`" + ("" if attribute.type == "string" else f" ({attribute.type})")
                for name, attribute in one.attributes.items()
            )
            rows.append([f"`{one.name}`", one.description, f"`{one.channel}`", f"`{one.source_type}`", attributes])
    return table(["interaction", "when", "channel", "set off by", "attributes"], rows)


def reactions() -> str:
    """Return the table of event names that are reactions."""
    rows = [[f"`{event}`", channel, f"`{kind}`"] for event, (channel, kind) in REACTIONS.items()]
    return table(["event", "channel", "reaction"], rows)


def settings() -> str:
    """Return the table of settings, from the class and the sentences below its fields."""
    source = (ROOT / "src" / "parcours" / "wiring" / "settings.py").read_text(encoding="utf-8")
    rows = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.ClassDef) and node.name == "Settings"):
            continue
        for one, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
                name = one.target.id
                said = str(ast.literal_eval(after.value))
                if "dict" in ast.unparse(one.annotation):  # many variables, named below the field, and no option
                    named = re.search(r"`(PARCOURS_[A-Z_<>]+)`", said)
                    rows.append(["", f"`{named[1]}`" if named else "", "", said])
                    continue
                rows.append([f"`--{name.replace('_', '-')}`", f"`PARCOURS_{name.upper()}`", usual_of(one.value), said])
    return table(["option", "environment variable", "default", "what it is"], rows)


def usual_of(value: ast.expr | None) -> str:
    """Return a default as a person writes it."""
    if isinstance(value, ast.Call):
        value = value.args[0]
    if isinstance(value, ast.BinOp):
        return "`4194304`" if ast.unparse(value) == "4 * 2 ** 20" else f"`{ast.unparse(value)}`"
    found = ast.literal_eval(value) if value is not None else ""
    return f"`{found}`" if found != "" else ""


class _Idle:
    """As much of a host as the metrics look at."""

    accepted = duplicates = refused = sent = failed = retried = batches = queued = busy = cut = 0
    busy_seconds = 0.0

    def __init__(self) -> None:
        self.outbox = self.store = self.engine = self

    def counts(self) -> dict[str, int]:
        return {"records": 0, "contacts": 0}


def metrics() -> str:
    """Return the table of metrics, from what the service answers."""
    text = Telemetry(_Idle()).text().decode()  # type: ignore[arg-type]  # enough of a host
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\S+) (.*)$", text, re.MULTILINE))
    rows = []
    for name, said in helps.items():
        labels = re.findall(rf'^{name}{{(\w+)="([^"]*)"}}', text, re.MULTILINE)
        values = ", ".join(f"`{value}`" for _, value in labels)
        rows.append([f"`{name}`", kinds[name], f"`{labels[0][0]}`: {values}" if labels else "", said])
    return table(["metric", "type", "label", "what it is"], rows)


def made() -> Iterator[tuple[str, str]]:
    """Yield name and text of each table."""
    for name, struct in STRUCTS.items():
        yield name, fields(struct)
    for name, struct in SCENARIOS.items():
        yield name, briefly(struct)
    yield "channels", words(workspace.CHANNELS)
    yield "source-types", words(workspace.SOURCE_TYPES)
    yield "packs", packs()
    for pack in built_in().values():
        yield f"pack-{pack.name}", events(pack)
    yield "operators", operators()
    yield "counts", counts()
    yield "kept", kept()
    yield "content", content()
    yield "reactions", reactions()
    yield "settings", settings()
    yield "metrics", metrics()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, or with --check compare."""
    parser = argparse.ArgumentParser(description="Write the tables of the documentation that the code knows.")
    parser.add_argument("--check", action="store_true", help="only say which pages differ")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose docs are meant")
    chosen = parser.parse_args(arguments)
    tables = dict(made())
    used: set[str] = set()
    wrong = 0
    for page in sorted((chosen.root / "docs").rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        used.update(name for _, name, _ in BLOCK.findall(before))
        after = BLOCK.sub(lambda found: f"{found[1]}\n{tables[found[2]]}\n{found[3]}", before)
        if after == before:
            continue
        if chosen.check:
            print(f"{page.relative_to(chosen.root)}: a table differs from the code; run python tools/doc_tables.py")
            wrong += 1
        else:
            page.write_text(after, encoding="utf-8")
    for name in sorted(tables.keys() - used):
        print(f"docs: no page shows the table {name}")
        wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
