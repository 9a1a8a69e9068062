"""Check that the documentation is whole: no dangling link, no command and no setting left out, nothing made out of date.

Commands are read from src/parcours/cli.py (functions under `@app.command()`), settings from the fields of the class
`Settings` in src/parcours/wiring.py, both without importing them. A command counts as documented when a page under
docs/ has `parcours NAME`, a setting when a page has its name.

Pictures and tables that are made from the code are made again and compared, by the scripts that make them.

Run it as `python tools/check_docs.py [ROOT]`; without an argument it looks at the checkout it stands in.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*<?([^\s>]+)>?", re.MULTILINE)
OUTSIDE = re.compile(r"^([a-z][a-z0-9+.-]*:|//|#)", re.IGNORECASE)


MADE_BY = ("draw_journey.py", "doc_tables.py")
"""The scripts in tools/ that make a part of the documentation, and with --check compare it."""


def pages(root: Path) -> list[Path]:
    """Return every Markdown file that a reader may open."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def blank(match: re.Match[str]) -> str:
    """Return as many lines as `match` has, all empty, so that line numbers stay true."""
    return "\n" * match[0].count("\n")


def dangling_links(root: Path) -> Iterator[str]:
    """Return a line for each link to a file that is not there."""
    for page in pages(root):
        text = CODE.sub("", FENCE.sub(blank, page.read_text(encoding="utf-8")))
        for match in LINK.finditer(text):
            link = match[1] or match[2]
            target = unquote(link.partition("#")[0])
            if OUTSIDE.match(link) or not target:
                continue
            if not (page.parent / target).exists():
                line = text.count("\n", 0, match.start()) + 1
                yield f"{page.relative_to(root)}:{line}: the link to {link} leads nowhere"


def option(call: ast.Call, name: str) -> str | None:
    """Return the string that `call` gets by the keyword `name`."""
    for keyword in call.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
            return keyword.value.value
    return None


def hidden(call: ast.Call) -> bool:
    """Say whether `call` asks Typer to keep the command out of its help."""
    return any(k.arg == "hidden" and isinstance(k.value, ast.Constant) and k.value.value is True for k in call.keywords)


def commands(source: str) -> Iterator[tuple[int, str]]:
    """Return line and full name ("segments count") of each command of a Typer program."""
    tree = ast.parse(source)
    groups: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_typer":
            name = option(node, "name")
            if name and node.args and isinstance(node.args[0], ast.Name):
                groups[node.args[0].id] = f"{name} "
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in node.decorator_list:
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            if call.func.attr != "command" or hidden(call):
                continue
            first = call.args[0] if call.args else None
            given = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
            name = given or option(call, "name") or node.name.strip("_").replace("_", "-")
            group = groups.get(call.func.value.id, "") if isinstance(call.func.value, ast.Name) else ""
            yield node.lineno, group + name


def settings(source: str) -> Iterator[tuple[int, str]]:
    """Return line and name of each field of the class `Settings`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == "Settings":
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    public = not field.target.id.startswith("_") and "ClassVar" not in ast.unparse(field.annotation)
                    if public:
                        yield field.lineno, field.target.id


def undocumented(root: Path) -> Iterator[str]:
    """Return a line for each command and each setting that no page under docs/ mentions."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((root / "docs").rglob("*.md")))
    package = Path("src") / "parcours"
    cli = package / "cli.py"
    if (root / cli).exists():
        for line, name in commands((root / cli).read_text(encoding="utf-8")):
            if not re.search(rf"\bparcours {re.escape(name)}(?![\w-])", text):
                yield f"{cli}:{line}: no page under docs/ has `parcours {name}`"
    wiring = package / "wiring.py"
    if (root / wiring).exists():
        for line, name in settings((root / wiring).read_text(encoding="utf-8")):
            if not re.search(rf"(?<![A-Za-z0-9])(PARCOURS_)?{name}(?![\w-])", text, re.IGNORECASE):
                yield f"{wiring}:{line}: no page under docs/ mentions the setting `{name}`"


def out_of_date(root: Path) -> Iterator[str]:
    """Return a line for each picture or page that differs from what the code makes."""
    for name in MADE_BY:
        script = root / "tools" / name
        if not script.exists():
            continue
        # In a process of its own: this check itself needs nothing but the standard library.
        command = [sys.executable, str(script), "--check", "--root", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own script)
        if done.returncode:
            yield from (done.stdout.strip() or done.stderr.strip()).splitlines()


def main(arguments: list[str]) -> int:
    """Print what the documentation lacks, and return 1 if it lacks anything."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    lacking = [*dangling_links(root), *undocumented(root), *out_of_date(root)]
    for line in lacking:
        print(line)
    if lacking:
        return 1
    print(
        f"docs: {len(pages(root))} pages, every link, command and setting is there, pictures and tables are up to date"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
