"""What all tests share: a plain log, and how thorough random tests are."""

from __future__ import annotations

import structlog

structlog.configure(
    # The default draws every traceback as a picture, which takes longer than most tests.
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(),
    ]
)
