"""Check that the documentation is whole: no dangling link, no command and no setting left out, nothing made out of date.

A command of `parcours.cli` counts as documented when a page under docs/ has `parcours NAME`, a setting of
`parcours.wiring.Settings` when a page has its name.

Pictures and tables that are made from the code are made again and compared, by the scripts that make them.

Run it as `python tools/check_docs.py [ROOT]`; without an argument it looks at the checkout it stands in.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from typer.core import TyperGroup
from typer.main import get_command

from parcours.cli import app
from parcours.wiring import Settings

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


def commands(group: TyperGroup, before: str = "") -> Iterator[str]:
    """Return the full name ("keys list") of each command of the program that is not hidden."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


def undocumented(root: Path) -> Iterator[str]:
    """Return a line for each command and each setting that no page under docs/ mentions."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((root / "docs").rglob("*.md")))
    program = get_command(app)
    assert isinstance(program, TyperGroup)  # noqa: S101 (it has several commands)
    for name in commands(program):
        if not re.search(rf"\bparcours {re.escape(name)}(?![\w-])", text):
            yield f"no page under docs/ has `parcours {name}`"
    for name in Settings.__struct_fields__:
        if not re.search(rf"(?<![A-Za-z0-9])(PARCOURS_)?{name}(?![\w-])", text, re.IGNORECASE):
            yield f"no page under docs/ mentions the setting `{name}`"


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
