"""Shows that tools/check_purity.py finds what it is there for, by planting it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import check_purity

ROOT = Path(__file__).resolve().parent.parent


def plant(root: Path, place: str, source: str) -> None:
    file = root / "src" / "parcours" / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import random",
        "import os.path",
        "import asyncio as a",
        "from logging import getLogger",
        "from sqlite3 import connect",
        "import yaml",
        "from pathlib import Path",
        "import pandas",
        "def f():\n    import socket",
        "if True:\n    from secrets import token_hex",
        "from datetime import *",
        "import datetime\nx = datetime.datetime.now()",
        "import datetime as d\nx = d.datetime.utcnow()",
        "from datetime import datetime, UTC\nx = datetime.now(UTC)",
        "from datetime import datetime as dt\nclock = dt.now",
        "from datetime import datetime\nx = datetime.today()",
        "from datetime import date\nx = date.today()",
        "def f(): return date.today()\nfrom datetime import date",
        "from datetime import datetime\nx = datetime.fromtimestamp(0)",
        "from datetime import datetime\nx = datetime.fromisoformat('2026-01-01').astimezone()",
        "import uuid\nx = uuid.uuid4()",
        "from uuid import uuid1",
        "from uuid import uuid4 as new_id",
        "x = open('f')",
        "x = input()",
        "print('x')",
        "x = hash('x') % 2",
        "x = sorted([], key=id)",
        "x = eval('1')",
        "x = __import__('time')",
    ],
)
@pytest.mark.parametrize("place", ["conditions/a.py", "definitions/a.py", "core/deep/a.py", "core.py"])
def test_planted_violation_is_found(tmp_path, place, source):
    plant(tmp_path, place, source)
    assert check_purity.check_tree(tmp_path)
    assert check_purity.main([str(tmp_path)]) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations\nimport msgspec, hashlib, math\nfrom collections.abc import Iterable",
        "from parcours.errors import Problem\nfrom . import x\nfrom .y import z",
        "import datetime\nx = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).isoformat()",
        "from datetime import UTC, datetime\nx = datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(0, tz=UTC)",
        "from zoneinfo import ZoneInfo\ndef f(t): return t.astimezone(ZoneInfo('Europe/Paris'))",
        "import uuid\nx = uuid.uuid5(uuid.NAMESPACE_URL, 'x')",
        "def f(contact): return contact.id, contact.hash(), contact.now()",
        "class A:\n    id: str\n    def __hash__(self): return 0\nx = A(id='1')",
    ],
)
def test_pure_code_passes(tmp_path, source):
    plant(tmp_path, "core/a.py", source)
    assert check_purity.check_tree(tmp_path) == []
    assert check_purity.main([str(tmp_path)]) == 0


def test_definition_files_are_read_in_load_only(tmp_path):
    source = "import json\nimport yaml\nfrom pathlib import Path\nx = open(Path('f'))\n"
    plant(tmp_path, "definitions/load/text.py", source)
    assert check_purity.check_tree(tmp_path) == []
    plant(tmp_path, "definitions/load/clock.py", "import time\n")
    plant(tmp_path, "core/load.py", source)
    assert {v.file.name: v.file.parent.name for v in check_purity.check_tree(tmp_path)} == {
        "clock.py": "load",
        "load.py": "core",
    }


def test_layers_above_are_left_alone(tmp_path):
    plant(tmp_path, "runtimes/clock.py", "import time\nprint(time.time())\n")
    assert check_purity.check_tree(tmp_path) == []


def test_every_violation_is_told_with_its_place_and_what_to_do(tmp_path):
    plant(tmp_path, "core/a.py", "import time\nfrom datetime import datetime\n\nx = datetime.now(), hash('x')\n")
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_purity.py", tmp_path], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    first, second, third, last = result.stdout.splitlines()
    assert first.startswith("src/parcours/core/a.py:1: import time: ")
    assert second.startswith("src/parcours/core/a.py:4: datetime.datetime.now: ")
    assert "from the input" in second
    assert third.startswith("src/parcours/core/a.py:4: hash(): ")
    assert "hashlib" in third
    assert last == "purity: 3 found"


def test_an_empty_checkout_passes(tmp_path):
    assert check_purity.main([str(tmp_path)]) == 0
