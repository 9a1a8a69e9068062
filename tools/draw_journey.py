"""Draw a journey as SVG from its definition files. The same files give the same bytes on every machine.

    python tools/draw_journey.py                          draw the pictures of the documentation anew
    python tools/draw_journey.py --check                  say which of them differ from their definitions
    python tools/draw_journey.py FOLDER --journey NAME    draw one journey to the screen, or to the file of --out

How it is laid out: every step is a card and every labelled way out of a step a pill. Both stand in rows, each below
what leads to it (longest path). An arrow that passes a row has an empty place there, so it never runs through a card.
Rows are ordered by the middle of their neighbours, then moved as near to them as the order allows (least squares).
The colours read well on white and on black, for the page behind the picture may be either.
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from parcours.conditions.names import match_name
from parcours.conditions.parse import parse_condition
from parcours.conditions.text import describe
from parcours.definitions.common import Condition, names_of
from parcours.definitions.entries import ApiEntry, ContactEntry, DateEntry, InteractionEntry, JourneyEntry, SegmentEntry
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.load import Source, load
from parcours.definitions.message import CHANNELS
from parcours.definitions.steps import (
    Award,
    Decision,
    Enlist,
    Enrol,
    Experiment,
    Fork,
    Give,
    InteractionBranch,
    Join,
    Record,
    Send,
    Split,
    Start,
    Step,
    Update,
    Wait,
    WaitFor,
    Webhook,
)
from parcours.definitions.values import Computed, Copied, Value
from parcours.definitions.waits import Until
from parcours.definitions.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent

PICTURES = (("examples/seed", "seed", "docs/images/seed-journey.svg"),)
"""Folder of definitions, name of the journey, picture: what the documentation shows."""


class Style(NamedTuple):
    """The colours of one kind of card."""

    edge: str
    fill: str


STYLES = {
    "entry": Style("#2da44e", "#dafbe1"),
    "send": Style("#0969da", "#ddf4ff"),
    "wait": Style("#bf8700", "#fff8c5"),
    "wait for": Style("#bf8700", "#fff8c5"),
    "decision": Style("#8250df", "#fbefff"),
    "split": Style("#8250df", "#fbefff"),
    "experiment": Style("#8250df", "#fbefff"),
    "fork": Style("#8250df", "#fbefff"),
    "join": Style("#8250df", "#fbefff"),
    "webhook": Style("#0969da", "#ddf4ff"),
    "update": Style("#1b7c83", "#dbf3f4"),
    "list": Style("#1b7c83", "#dbf3f4"),
    "record": Style("#1b7c83", "#dbf3f4"),
    "award": Style("#1b7c83", "#dbf3f4"),
    "enrol": Style("#1b7c83", "#dbf3f4"),
    "give": Style("#1b7c83", "#dbf3f4"),
    "start": Style("#1b7c83", "#dbf3f4"),
    "end": Style("#6e7781", "#eaeef2"),
}
PILL = Style("#8c959f", "#f6f8fa")
INK, FAINT, LINE = "#1f2328", "#57606a", "#768390"

MARKER = (
    '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    f'orient="auto-start-reverse"><path d="M0 0.5 L10 5 L0 9.5 Z" fill="{LINE}"/></marker></defs>'
)
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
CAPTION, NAME, TEXT = 10, 14, 12
LETTERS = 40  # after so many a line is wrapped
LEADING = 17
ROW_GAP, GAP, MARGIN = 40, 26, 12
SWEEPS = 12  # to find the order of each row
PULLS = 400  # to find the places
ROUNDING = 8
PASSAGE = 70.0  # the width an arrow takes in a row it passes
SKEW = 0.05  # less than this is straight
PORTS = 24.0  # between arrows that meet at a card
STRAIGHT = 20.0  # how much more a line of steps wants to be straight than a fork wants to stand in the middle


@dataclass
class Node:
    """A card, a pill, a dot, or the place that an arrow takes in a row it passes."""

    shape: str
    caption: str = ""
    name: str = ""
    lines: list[str] = field(default_factory=list)
    row: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """How wide it is drawn."""
        if self.shape == "pass":
            return PASSAGE
        if self.shape == "dot":
            return 14.0
        widest = max([width_of(self.name, NAME, bold=True), *(width_of(line, TEXT) for line in self.lines)])
        if self.shape == "pill":
            return widest + 26
        return max(150.0, widest + 34, width_of(self.caption, CAPTION, bold=True) + 34)

    @property
    def height(self) -> float:
        """How high it is drawn."""
        if self.shape == "pass":
            return 0.0
        if self.shape == "dot":
            return 14.0
        if self.shape == "pill":
            return 26.0 + LEADING * len(self.lines)
        return 50.0 + LEADING * len(self.lines) + (4 if self.lines else 0)


@dataclass
class Edge:
    """An arrow from one node to another, and the places on its way, from the upper to the lower row."""

    tail: Node
    head: Node
    way: list[Node] = field(default_factory=list)
    back: bool = False
    """Whether it leads up again: it is laid out the other way round."""

    @property
    def stops(self) -> list[Node]:
        """All nodes it touches, from the upper to the lower row."""
        return [self.head, *self.way, self.tail] if self.back else [self.tail, *self.way, self.head]


def width_of(text: str, size: int, *, bold: bool = False) -> float:
    """Return about how wide a text is: the fonts of readers differ, so it is measured generously."""
    narrow, wide = "fijlrt.,:;'|!()[] ", "mwMWABCDEGHNOQRSUVXYZ@%—→"
    units = math.fsum(0.36 if letter in narrow else 0.78 if letter in wide else 0.58 for letter in text)
    return units * size * (1.16 if bold else 1.0)


# --- from a definition to a graph -------------------------------------------------------------------------------------


_TITLES = {ContactEntry: "contact created", ApiEntry: "API", JourneyEntry: "another journey"}


class Graph:
    """The nodes and arrows of a journey."""

    def __init__(self, journey: JourneyDefinition, workspace: Workspace) -> None:
        self.workspace = workspace
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.cards: dict[str, Node] = {}
        entry = self.entry(journey)
        for name, step in journey.steps.items():
            self.cards[name] = self.card(name, step, journey)
        self.edges.append(Edge(entry, self.cards[journey.start]))
        for name, step in journey.steps.items():
            self.ways_out(self.cards[name], step)

    def add(self, node: Node) -> Node:
        """Take a node in."""
        self.nodes.append(node)
        return node

    def entry(self, journey: JourneyDefinition) -> Node:
        """Return the card of the entry."""
        entry = journey.entry
        if isinstance(entry, InteractionEntry):
            names = [entry.interaction] if isinstance(entry.interaction, str) else entry.interaction
            lines = self.filter(names[0], entry.where)
            if entry.times > 1:
                lines.append(f"{entry.times} times" + (f" in {entry.within}" if entry.within else ""))
            lines += [f"one run a value of {entry.key}"] if entry.key else []
            return self.add(Node("card", "entry", " or ".join(map(self.interaction, names)), lines))
        if not isinstance(entry, SegmentEntry):
            title = _TITLES.get(type(entry), "")
            if isinstance(entry, DateEntry):
                offset = f"{entry.before} before " if entry.before else f"{entry.after} after " if entry.after else ""
                title = f"{offset}{entry.attribute}"
            where, key = getattr(entry, "where", None), getattr(entry, "key", "")
            lines = wrap(text_of(where)) if where else []
            return self.add(Node("card", "entry", title, [*lines, *([f"one run a value of {key}"] if key else [])]))
        segment = self.workspace.segments[entry.segment]
        return self.add(Node("card", "entry", segment.name, wrap(segment.title)))

    def card(self, name: str, step: Step, journey: JourneyDefinition) -> Node:
        """Return the card of a step."""
        caption = str(type(step).__struct_config__.tag).replace("_", " ")
        lines: list[str] = []
        match step:
            case Send():
                for message in step.messages:
                    channel = CHANNELS[self.workspace.messages[message].channel].title
                    lines.append(f"{channel}: {message}")
            case Wait():
                lines = wrap(length_of(step.duration, step.until))
            case WaitFor() if step.timeout is None:
                lines = [f"at most until the run is {journey.max_duration} old"]
            case Webhook():
                lines = wrap(f"{step.method} {step.url.partition('?')[0]}")
            case Update():
                lines = [line for attribute, value in step.set.items() for line in wrap(set_text(attribute, value))]
            case Enlist():
                lines = [*(f"+ {one}" for one in step.add), *(f"− {one}" for one in step.remove)]
            case Record():
                lines = [self.interaction(step.interaction)]
            case Award():
                lines = [f"{step.points:,} in {step.programme}"]
            case Enrol():
                lines = [step.programme]
            case Give():
                lines = [step.reward]
            case Start():
                lines = [step.journey]
            case Decision():
                lines = wrap(text_of(step.condition))
            case _:
                pass
        return self.add(Node("card", caption, name, lines))

    def ways_out(self, card: Node, step: Step) -> None:  # noqa: C901, PLR0912 (a case a type of step)
        """Draw the arrows out of a step."""
        match step:
            case Send():
                self.arrow(card, step.next)
                if step.suppressed is not None:
                    self.arrow(card, step.suppressed, "nothing sent")
            case Wait() | Join() | Update() | Enlist() | Record() | Start() | Award() | Enrol():
                self.arrow(card, step.next)
            case Give():
                self.arrow(card, step.next)
                if step.unavailable is not None:
                    self.arrow(card, step.unavailable, "not issued")
            case WaitFor():
                for branch in step.events:
                    if isinstance(branch, InteractionBranch):
                        name = " or ".join(map(self.interaction, names_of(branch.interaction)))
                        lines = [line for one in names_of(branch.interaction) for line in self.filter(one, None)]
                        lines += wrap(text_of(branch.where)) if branch.where is not None else []
                    else:
                        name, lines = f"{branch.message or 'any message'} {branch.reaction}", []
                    self.arrow(card, branch.next or step.next, name, lines)
                if step.timeout is not None:
                    label = length_of(step.timeout.after, step.timeout.until)
                    self.arrow(card, step.timeout.next or step.next, label if step.timeout.until else f"after {label}")
            case Decision():
                self.arrow(card, step.then, "yes")
                self.arrow(card, step.otherwise, "no")
            case Webhook():
                self.arrow(card, step.next, "answered" if step.failed is not None else "")
                if step.failed is not None:
                    self.arrow(card, step.failed, "failed")
            case Fork():
                for name in step.branches:
                    self.arrow(card, name)
            case Split():
                for choice in step.branches:
                    self.arrow(card, choice.next, choice.name, wrap(text_of(choice.condition)))
                self.arrow(card, step.otherwise, "else")
            case Experiment():
                ways = [(one.name, one.weight, one.next) for one in step.branches]
                ways += [("holdout", step.holdout.weight, step.holdout.next)] if step.holdout is not None else []
                total = math.fsum(weight for _, weight, _ in ways)
                for name, weight, to in ways:
                    self.arrow(card, to, f"{name} ({100 * weight / total:.3g} %)")
            case _:
                pass

    def arrow(self, tail: Node, step: str | None, label: str = "", lines: Sequence[str] = ()) -> None:
        """Draw an arrow to a step, or to an end of its own, with a label on it."""
        head = self.cards[step] if step is not None else self.add(Node("dot"))
        if label:
            pill = self.add(Node("pill", name=label, lines=list(lines)))
            self.edges.append(Edge(tail, pill))
            tail = pill
        self.edges.append(Edge(tail, head))

    def interaction(self, name: str) -> str:
        """Return an interaction's name as its definition spells it."""
        known = self.workspace.interactions.get(match_name(name))
        return known.name if known is not None else name

    def filter(self, name: str, where: Condition | None) -> list[str]:
        """Return what must be true of an interaction to count here."""
        known = self.workspace.interactions.get(match_name(name))
        rules = [known.counts_when if known is not None else None, where]
        return [line for rule in rules if rule is not None for line in wrap(text_of(rule))]


def text_of(condition: Condition) -> str:
    """Return a condition as one line of text."""
    node, _ = parse_condition(condition)
    return describe(node).replace("interaction.", "") if node is not None else ""


def set_text(attribute: str, value: Value) -> str:
    """Return what a step makes of an attribute as one line of text."""

    def shown(part: object) -> str:
        return f"{part.source}.{part.attribute}" if isinstance(part, Copied) else str(part)

    if not isinstance(value, Computed):
        return f"{attribute} = {value}"
    if value.add is not None or value.subtract is not None:
        part = value.add if value.add is not None else value.subtract
        return f"{attribute} {'+' if value.add is not None else '−'} {shown(part)}"
    if value.remove:
        return f"without {attribute}"
    return f"{attribute} = " + ("now" if value.now else f"{value.source}.{value.attribute}")


def length_of(length: str | None, until: Until | None) -> str:
    """Return how long is waited as one line of text."""
    if until is None:
        return length or ""
    words = ["until"]
    offsets = ((until.before, "before"), (until.after, "after"))
    words += [f"{offset} {side}" for offset, side in offsets if offset is not None]
    words += [named for named in (until.date, until.contact, until.interaction) if named is not None]
    words += [" or ".join(until.weekdays)] if until.weekdays is not None else []
    words += [until.time] if until.time is not None else []
    if until.hours is not None:
        words.append(f"{until.hours.start}–{until.hours.end} ({', '.join(until.hours.days)})")
    return " ".join([*words, until.zone]).strip()


def wrap(text: str) -> list[str]:
    """Return a text in lines of a card's width."""
    return textwrap.wrap(text, LETTERS)


# --- layout -----------------------------------------------------------------------------------------------------------


def lay_out(graph: Graph) -> tuple[float, float]:
    """Give every node its place; return the width and height of the picture."""
    turn_loops(graph)
    rows = fill_rows(graph)
    above, below = neighbours(graph)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            place = {id(node): index for other in rows for index, node in enumerate(other)}
            middle = {
                id(node): sum(place[id(other)] for other in near[id(node)]) / len(near[id(node)])
                if near[id(node)]
                else float(place[id(node)])
                for node in row
            }
            row.sort(key=lambda node: middle[id(node)])
    for row in rows:
        put(row, [0.0] * len(row), [1.0] * len(row))

    def pull(upper: Node, lower: Node) -> float:
        """Return how much two nodes want to stand one above the other: more when they have nobody else."""
        alone = len(below[id(upper)]) == 1 == len(above[id(lower)])
        return STRAIGHT if alone else 1.0

    for sweep in range(PULLS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = []
            for node in row:
                pulls = [(other.x, pull(other, node)) for other in above[id(node)]]
                pulls += [(other.x, pull(node, other)) for other in below[id(node)]]
                total = math.fsum(strength for _, strength in pulls)
                wanted.append(math.fsum(x * strength for x, strength in pulls) / total if total else node.x)
            put(row, wanted, [STRAIGHT if node.shape == "pass" else 1.0 for node in row])
    left = min(node.x - node.width / 2 for node in graph.nodes)
    top = float(MARGIN)
    for row in rows:
        height = max(node.height for node in row)
        for node in row:
            node.x += MARGIN - left
            node.y = top + height / 2
        top += height + ROW_GAP
    return max(node.x + node.width / 2 for node in graph.nodes) + MARGIN, top - ROW_GAP + MARGIN


def turn_loops(graph: Graph) -> None:
    """Mark the arrows that lead back to where they came from, so that the others form no circle."""
    out: dict[int, list[Edge]] = {id(node): [] for node in graph.nodes}
    for edge in graph.edges:
        out[id(edge.tail)].append(edge)
    done: set[int] = set()
    open_: set[int] = set()

    def visit(node: Node) -> None:
        open_.add(id(node))
        for edge in out[id(node)]:
            if id(edge.head) in open_:
                edge.back = True
            elif id(edge.head) not in done:
                visit(edge.head)
        open_.discard(id(node))
        done.add(id(node))

    for node in graph.nodes:
        if id(node) not in done:
            visit(node)


def fill_rows(graph: Graph) -> list[list[Node]]:
    """Put every node below all that leads to it, and give each arrow a place in the rows it passes."""
    for _ in graph.nodes:
        for edge in graph.edges:
            upper, lower = edge.stops[0], edge.stops[-1]
            lower.row = max(lower.row, upper.row + 1)
    for edge in graph.edges:
        upper, lower = edge.stops[0], edge.stops[-1]
        for row in range(upper.row + 1, lower.row):
            edge.way.append(graph.add(Node("pass", row=row)))
    rows: list[list[Node]] = [[] for _ in range(1 + max(node.row for node in graph.nodes))]
    for node in graph.nodes:
        rows[node.row].append(node)
    return rows


def neighbours(graph: Graph) -> tuple[dict[int, list[Node]], dict[int, list[Node]]]:
    """Return what each node is joined to in the row above, and in the row below."""
    above: dict[int, list[Node]] = {id(node): [] for node in graph.nodes}
    below: dict[int, list[Node]] = {id(node): [] for node in graph.nodes}
    for edge in graph.edges:
        stops = edge.stops
        for upper, lower in pairwise(stops):
            below[id(upper)].append(lower)
            above[id(lower)].append(upper)
    return above, below


def put(row: list[Node], wanted: list[float], weights: list[float]) -> None:
    """Place a row in its order, as near as can be to where each node wants to be (isotonic regression)."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, number of nodes
    for goal, weight, offset in zip(wanted, weights, offsets, strict=True):
        block = (goal - offset, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, heavy, count = blocks.pop()
            total = heavy + block[1]
            block = ((mean * heavy + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    means = [mean for mean, _, count in blocks for _ in range(count)]
    for node, mean, offset in zip(row, means, offsets, strict=True):
        node.x = mean + offset


# --- drawing ----------------------------------------------------------------------------------------------------------


def draw(journey: JourneyDefinition, workspace: Workspace) -> str:
    """Return the picture of a journey as SVG."""
    graph = Graph(journey, workspace)
    width, height = lay_out(graph)
    ports = arrange_ports(graph)
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">',
        f"<title>{escape(journey.title or journey.name)}</title>",
        MARKER,
        f'<g fill="none" stroke="{LINE}" stroke-width="1.6">',
        *(arrow(edge, ports) for edge in graph.edges),
        "</g>",
        *(figure(node) for node in graph.nodes if node.shape != "pass"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def arrange_ports(graph: Graph) -> dict[tuple[int, bool], float]:
    """Return where each arrow begins (True) and ends (False), so that those that meet at a card lie side by side."""
    meeting: dict[tuple[int, bool], list[Edge]] = {}
    for edge in graph.edges:
        meeting.setdefault((id(edge.stops[0]), True), []).append(edge)
        meeting.setdefault((id(edge.stops[-1]), False), []).append(edge)
    ports: dict[tuple[int, bool], float] = {}
    for (_, begins), edges in meeting.items():
        edges.sort(key=lambda edge: edge.stops[1].x if begins else edge.stops[-2].x)
        node = edges[0].stops[0 if begins else -1]
        apart = min(PORTS, (node.width - 30) / len(edges)) if node.shape == "card" else 0.0
        for index, edge in enumerate(edges):
            ports[id(edge), begins] = node.x + apart * (index - (len(edges) - 1) / 2)
    return ports


def arrow(edge: Edge, ports: dict[tuple[int, bool], float]) -> str:
    """Return the path of an arrow: down along its places in soft curves."""
    stops = edge.stops
    xs = [ports[id(edge), True], *(stop.x for stop in stops[1:-1]), ports[id(edge), False]]
    x, y = xs[0], stops[0].y + stops[0].height / 2
    path = [f"M{x:.1f} {y:.1f}"]
    for stop, across in zip(stops[1:], xs[1:], strict=True):
        top = stop.y - stop.height / 2
        bow = max((top - y) / 2, min(abs(across - x) / 2, top - y))
        bend = f"C{x:.1f} {y + bow:.1f} {across:.1f} {top - bow:.1f} {across:.1f} {top:.1f}"
        path.append(bend if abs(across - x) > SKEW else f"L{across:.1f} {top:.1f}")
        x, y = across, stop.y + stop.height / 2
    # Nothing points at a pill, which stands on the way.
    marker = "" if edge.head.shape == "pill" else f' marker-{"start" if edge.back else "end"}="url(#arrow)"'
    return f'<path d="{" ".join(path)}"{marker}/>'


def figure(node: Node) -> str:
    """Return a card, a pill or a dot."""
    left, top = node.x - node.width / 2, node.y - node.height / 2
    if node.shape == "dot":
        outer = f'<circle cx="{node.x:.1f}" cy="{node.y:.1f}" r="6" fill="none" stroke="{LINE}" stroke-width="1.6"/>'
        return f'{outer}<circle cx="{node.x:.1f}" cy="{node.y:.1f}" r="3" fill="{LINE}"/>'
    box = f'x="{left:.1f}" y="{top:.1f}" width="{node.width:.1f}" height="{node.height:.1f}"'
    if node.shape == "pill":
        middle = f'x="{node.x:.1f}" text-anchor="middle"'
        rows = [text(node.name, middle, top + 18, TEXT, INK, bold=True)]
        rows += [text(line, middle, top + 18 + LEADING * (1 + i), TEXT, FAINT) for i, line in enumerate(node.lines)]
        return f'<rect {box} rx="13" fill="{PILL.fill}" stroke="{PILL.edge}"/>{"".join(rows)}'
    style = STYLES[node.caption]
    at = f'x="{left + 18:.1f}"'
    band = (
        f'<path d="M{left + 6:.1f} {top + 8:.1f} V{top + node.height - 8:.1f}" stroke="{style.edge}" stroke-width="4"'
    )
    rows = [
        text(node.caption.upper(), at, top + 19, CAPTION, style.edge, bold=True, spaced=True),
        text(node.name, at, top + 37, NAME, INK, bold=True),
        *(text(line, at, top + 56 + LEADING * i, TEXT, FAINT) for i, line in enumerate(node.lines)),
    ]
    card = f'<rect {box} rx="{ROUNDING}" fill="{style.fill}" stroke="{style.edge}"/>'
    return f'{card}{band} stroke-linecap="round"/>{"".join(rows)}'


def text(content: str, at: str, y: float, size: int, colour: str, *, bold: bool = False, spaced: bool = False) -> str:
    """Return one line of text."""
    weight = ' font-weight="600"' if bold else ""
    spacing = ' letter-spacing="0.8"' if spaced else ""
    return f'<text {at} y="{y:.1f}" font-size="{size}" fill="{colour}"{weight}{spacing}>{escape(content)}</text>'


# --- files ------------------------------------------------------------------------------------------------------------


def read(paths: Iterable[Path]) -> Workspace:
    """Return the definitions in files and folders.

    Raises:
        SystemExit: Something is wrong with them.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    workspace, problems, _ = load(Source(file.name, file.read_text(encoding="utf-8")) for file in files)
    if problems:
        raise SystemExit("\n".join(map(str, problems)))
    return workspace


def picture(root: Path, folder: str, journey: str) -> str:
    """Return the picture of a journey in a folder of the checkout."""
    workspace = read([root / folder])
    return draw(workspace.journeys[journey], workspace)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, or with --check compare."""
    parser = argparse.ArgumentParser(description="Draw a journey as SVG from its definition files.")
    parser.add_argument("files", nargs="*", type=Path, help="definition files or folders; none: those of the docs")
    parser.add_argument("--journey", help="its name; may be left out when there is one")
    parser.add_argument("--out", type=Path, help="a file to write to; without it, the screen")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose docs are meant")
    parser.add_argument("--check", action="store_true", help="only say which pictures of the docs are out of date")
    chosen = parser.parse_args(arguments)
    if chosen.files:
        workspace = read(chosen.files)
        names = list(workspace.journeys)
        name = chosen.journey or (names[0] if len(names) == 1 else "")
        if name not in workspace.journeys:
            raise SystemExit(f"which journey? --journey {' | '.join(names)}")
        drawn = draw(workspace.journeys[name], workspace)
        if chosen.out is None:
            sys.stdout.write(drawn)
        else:
            chosen.out.write_text(drawn, encoding="utf-8")
        return 0
    stale = 0
    for folder, journey, place in PICTURES:
        drawn, file = picture(chosen.root, folder, journey), chosen.root / place
        if not chosen.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(drawn, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != drawn:
            print(f"{place}: differs from {folder}; run python tools/draw_journey.py")
            stale += 1
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
