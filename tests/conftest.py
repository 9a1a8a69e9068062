"""What all tests share: a plain log, and how thorough random tests are."""

from __future__ import annotations

import os

import pytest
import structlog

from parcours.core import chains

# Tables are drawn for the width there is when the command line is imported; tests look for whole words in them.
os.environ["COLUMNS"] = "250"

structlog.configure(
    # The default draws every traceback as a picture, which takes longer than most tests.
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(),
    ]
)


@pytest.fixture
def short_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let chains without an end be cut off early, so that random scenarios with them cost no more than others."""
    monkeypatch.setattr(chains, "MOST_MADE", 3)
