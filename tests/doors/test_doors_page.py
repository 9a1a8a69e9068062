"""The examples of docs/doors.md do what the page says: each block of commands is run, and its answer compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import SECRET_KEY, WRITE_KEY, Service

PAGE = (Path(__file__).parents[2] / "docs" / "doors.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)
(MAPPING,) = re.findall(r"```yml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("page") / "data"
    (data / "webhooks").mkdir(parents=True)
    (data / "webhooks" / "tickets.yaml").write_text(MAPPING)
    with Service(data, variables={"PARCOURS_WEBHOOK_SHOPIFY_SECRET": "shpss_example"}) as running:
        yield running


def test_every_example_of_the_page(shown: Service):
    assert len(EXAMPLES) == PAGE.count("```sh") == 7
    keys = {"URL": shown.url, "WRITE_KEY": WRITE_KEY, "SECRET_KEY": SECRET_KEY}
    for command, expected in EXAMPLES:
        done = subprocess.run(
            ["sh", "-ec", command], capture_output=True, timeout=30, check=True, env={**os.environ, **keys}
        )
        assert json.loads(done.stdout) == json.loads(expected), command
    found = shown.api("GET", "/v1/contacts/loyalty_card:7700-0042").json
    assert {row["input"].get("name") for row in found["inputs"]} >= {
        "product viewed",
        "order completed",
        "store visited",
    }
    assert found["contact"]["addresses"]["email"] == "ann@example.com"


def test_the_page_names_every_built_in_webhook():
    built_in = Path(__file__).parents[2] / "src" / "parcours" / "sources" / "mappings"
    assert {path.stem for path in built_in.glob("*.yaml")} == set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)) - {
        "id", "name", "contact", "attributes", "backfill", "type", "subject", "data", "time",
    }  # fmt: skip
