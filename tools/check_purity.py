"""Look for clocks, chance and I/O in the modules that decide what happens.

`conditions`, `definitions` and `core` must give the same answer to the same input on every machine and in every
year, because they run live, in simulations with a virtual clock and over recorded history. import-linter says which
modules they may not import; this check says which modules they may (everything else is refused), and finds the calls
that an import rule cannot see: `datetime.now`, `uuid4`, `open`, `hash` and their like.

Run it as `python tools/check_purity.py [ROOT ...]`; without arguments it looks at the checkout it stands in.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PURE = ("conditions", "definitions", "core")
PACKAGE = "parcours"

ALLOWED_IMPORTS = frozenset({
    "__future__", "abc", "bisect", "calendar", "collections", "contextlib", "copy", "dataclasses", "datetime",
    "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "math", "msgspec",
    "operator", PACKAGE, "re", "string", "struct", "textwrap", "types", "typing", "typing_extensions", "unicodedata",
    "uuid", "zoneinfo",
})  # fmt: skip
# Definition files are read in definitions/load/ and nowhere else.
LOAD_IMPORTS = frozenset({"json", "pathlib", "yaml"})
LOAD_BUILTINS = frozenset({"open"})

INSTEAD_IMPORT = (
    "pure modules import the standard library without I/O, and msgspec; do this in a layer above and pass the result in"
)
CLOCK = "a pure module has no clock; take the time from the input, or as an argument"
CHANCE = "chance must be the same on every replay; derive it from stable ids with hashlib (uuid5 for an id)"
HERE = "it depends on the machine's time zone; name the zone"
OUTSIDE = "a pure module does no I/O; take the content as an argument"
CODE = "code is not run from text; build a closure"

BANNED_NAMES = {
    "datetime.datetime.now": CLOCK,
    "datetime.datetime.utcnow": CLOCK,
    "datetime.datetime.today": CLOCK,
    "datetime.date.today": CLOCK,
    "uuid.getnode": CHANCE,
    "uuid.uuid1": CHANCE,
    "uuid.uuid4": CHANCE,
    "uuid.uuid6": CHANCE,
    "uuid.uuid7": CHANCE,
    "uuid.uuid8": CHANCE,
    "datetime.date.fromtimestamp": HERE,
}
# These are fine with a time zone, which is the argument at this position or of this name.
NEEDS_ZONE = {"datetime.datetime.fromtimestamp": 1}
BANNED_BUILTINS = {
    "__import__": INSTEAD_IMPORT,
    "breakpoint": OUTSIDE,
    "eval": CODE,
    "exec": CODE,
    "hash": "it is salted anew in each process; use hashlib over stable ids",
    "id": "it is an address in memory, different in each process; use a stable id",
    "input": OUTSIDE,
    "open": OUTSIDE,
    "print": "a pure module does no I/O; return it, or put it into the trace",
}


@dataclass(frozen=True, order=True)
class Violation:
    """One impure thing, where it is, and what to do instead."""

    file: Path
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.why}"


class _Finder(ast.NodeVisitor):
    """Collects the violations of one module; knows what its imports are called in it."""

    def __init__(self, file: Path, *, loads_files: bool) -> None:
        self.file = file
        self.imports = ALLOWED_IMPORTS | (LOAD_IMPORTS if loads_files else frozenset())
        self.builtins = {k: v for k, v in BANNED_BUILTINS.items() if not (loads_files and k in LOAD_BUILTINS)}
        self.aliases: dict[str, str] = {}
        self.found: list[Violation] = []

    def add(self, node: ast.stmt | ast.expr, what: str, why: str) -> None:
        self.found.append(Violation(self.file, node.lineno, what, why))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if top not in self.imports:
                self.add(node, f"import {alias.name}", INSTEAD_IMPORT)
            self.aliases[alias.asname or top] = alias.name if alias.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:  # a relative import stays inside the package
            return
        if module.partition(".")[0] not in self.imports:
            self.add(node, f"from {module} import ...", INSTEAD_IMPORT)
        for alias in node.names:
            full = f"{module}.{alias.name}"
            self.aliases[alias.asname or alias.name] = full
            if alias.name == "*" and module.partition(".")[0] != PACKAGE:
                self.add(node, f"from {module} import *", "this check cannot see what it brings; name what you need")
            elif full in BANNED_NAMES:
                self.add(node, f"from {module} import {alias.name}", BANNED_NAMES[full])

    def full_name(self, node: ast.expr) -> str:
        """Return the dotted name of `node` with import aliases undone, or an empty string."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, "")
        if isinstance(node, ast.Attribute) and (base := self.full_name(node.value)):
            return f"{base}.{node.attr}"
        return ""

    def visit_Attribute(self, node: ast.Attribute) -> None:
        full = self.full_name(node)
        if full in BANNED_NAMES:
            self.add(node, full, BANNED_NAMES[full])
        elif full.startswith("builtins.") and full.removeprefix("builtins.") in self.builtins:
            self.add(node, full, self.builtins[full.removeprefix("builtins.")])
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        # Shadowing a builtin is refused by ruff (A001, A002), so the name alone says enough.
        if isinstance(node.ctx, ast.Load) and node.id in self.builtins and node.id not in self.aliases:
            self.add(node, f"{node.id}()", self.builtins[node.id])

    def visit_Call(self, node: ast.Call) -> None:
        position = NEEDS_ZONE.get(self.full_name(node.func))
        if position is not None and len(node.args) <= position and not any(k.arg == "tz" for k in node.keywords):
            self.add(node, f"{self.full_name(node.func)}() without tz", HERE)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astimezone" and not (node.args or node.keywords):
            self.add(node, ".astimezone() without a zone", HERE)
        self.generic_visit(node)


def check_source(source: str, file: Path, *, loads_files: bool = False) -> list[Violation]:
    """Return what is impure in the text of one module."""
    tree = ast.parse(source, filename=str(file))
    finder = _Finder(file, loads_files=loads_files)
    # Imports first, wherever they stand: a function may use a name that is imported further down.
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        finder.visit(node)
    of_imports = list(finder.found)
    finder.found.clear()
    finder.visit(tree)
    return sorted({*of_imports, *finder.found})


def pure_modules(root: Path) -> Iterator[Path]:
    """Return the files to look at in the checkout `root`."""
    for name in PURE:
        base = root / "src" / PACKAGE / name
        yield from [base.with_suffix(".py")] if base.with_suffix(".py").exists() else sorted(base.rglob("*.py"))


def check_tree(root: Path) -> list[Violation]:
    """Return what is impure in the checkout `root`."""
    found: list[Violation] = []
    for file in pure_modules(root):
        place = file.relative_to(root)
        loads_files = place.parts[-3:-1] == ("definitions", "load")
        found += check_source(file.read_text(encoding="utf-8"), place, loads_files=loads_files)
    return found


def main(arguments: Iterable[str]) -> int:
    """Print what is impure in each checkout, and return 1 if there is anything."""
    roots = [Path(argument) for argument in arguments] or [Path(__file__).resolve().parent.parent]
    found = [violation for root in roots for violation in check_tree(root)]
    for violation in found:
        print(violation)
    count = sum(1 for root in roots for _ in pure_modules(root))
    print(f"purity: {len(found)} found" if found else f"purity: ok, {count} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
