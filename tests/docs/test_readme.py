"""The five-minute path of README.md, command by command, with the output it shows."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"^(make setup|\. \.venv/bin/activate)$\n?", re.MULTILINE)
INSTANT = re.compile(r"\b\d{13}\b")

PATH = [
    (match[1], match[2])
    for match in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8").partition("## Your first journey")[2])
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


class Reader:
    """Somebody who follows the page: commands in one terminal, what stays up in others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.up: dict[str, subprocess.Popen[str]] = {}
        self.ports = {"8700": str(free_port()), "2525": str(free_port())}
        bin_ = Path(sys.executable).parent
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PARCOURS_")}
        self.environment = {
            **kept,
            "PATH": f"{bin_}{os.pathsep}{kept['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "80",
        }
        # These two commands name no port on the page.
        self.environment["PARCOURS_PORT"] = self.ports["8700"]
        self.environment["PARCOURS_URL"] = f"http://127.0.0.1:{self.ports['8700']}"

    def moved(self, text: str) -> str:
        for usual, port in self.ports.items():
            text = text.replace(usual, port)
        return text

    def run(self, block: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", self.moved(block)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def leave_up(self, block: str) -> str:
        """Start what stays up and return its first line."""
        command = ["bash", "-c", f"exec {self.moved(block).strip()}"]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.up["serve" if "serve" in block else "mails"] = process
        assert process.stdout is not None
        return process.stdout.readline()

    def counts(self, total: int) -> str:
        """Ask the mail server until so many mails have come."""
        process = self.up["mails"]
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(200):
            process.stdin.write("counts\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if f'"total":{total},' in answer:
                return answer
            time.sleep(0.05)
        raise AssertionError(answer)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(tmp_path)
    yield found
    for process in found.up.values():
        process.kill()
        process.communicate()


@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("curl"), reason="the page uses bash and curl")
def test_every_command_gives_the_output_shown(reader: Reader) -> None:
    output = ""
    commands = 0
    for kind, content in PATH:
        if kind == "sh":
            block = ELSEWHERE.sub("", content)
            stays = "parcours serve" in block or "receivers" in block
            output = reader.leave_up(block) if stays else reader.run(block) if block.strip() else ""
            commands += bool(block.strip())
        elif content.startswith('{"total"'):
            assert lines(reader.counts(2)) == lines(content)
        elif "…" in content and '"' in content:
            shown = {INSTANT.sub("T", line).strip() for line in lines(content)} - {"…"}
            found = {INSTANT.sub("T", line).strip() for line in lines(output)}
            assert shown <= found
        else:
            assert lines(output) == lines(reader.moved(content))
    assert commands == 10


def test_the_two_commands_are_those_of_the_makefile() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets
