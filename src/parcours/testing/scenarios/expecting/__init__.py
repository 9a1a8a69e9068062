"""Whether things are as a scenario expects: one function for each field of `format.Expect`, in `CHECKS`.

The rules these keep:

| what is asked about                                    | what counts                                                       |
|--------------------------------------------------------|-------------------------------------------------------------------|
| sent, suppressed, held, entered, refused, ended, goal, | what was decided since the last look at this very instant; with   |
| way, trace, recorded                                   | `at` at another one, or at any                                    |
| path, nothing, nothing_else, anything that is `false`  | everything decided since the last look                            |
| not_sent                                               | everything ever decided                                           |
| step, waiting_until, runs, attributes, segments …      | what is so now                                                    |

A look is a step with `expect`, for each contact by itself.

| module     | what of it                                                          |
|------------|---------------------------------------------------------------------|
| `messages` | sent, not_sent, suppressed, held, called, nothing_else, nothing     |
| `journeys` | entered, refused, ended, goal, way, path, step, waiting_until, runs |
| `contact`  | attributes, consent, segments, lists                                |
| `loyalty`  | points, tiers, coupons, what is declined, the ledger                |
| `traces`   | recorded, trace                                                     |
| `common`   | what these share                                                    |
"""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.testing.scenarios.expecting import contact, journeys, loyalty, messages, traces
from parcours.testing.scenarios.expecting.common import Check
from parcours.testing.scenarios.format import Expect
from parcours.testing.scenarios.looking import Look, View
from parcours.testing.scenarios.naming import unknown

CHECKS: dict[str, Check] = {
    **messages.CHECKS,
    **journeys.CHECKS,
    **contact.CHECKS,
    **loyalty.CHECKS,
    **traces.CHECKS,
}
"""Field of `format.Expect` to what yields how it is not met."""

_USUAL: dict[str, Any] = {
    field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    for field in msgspec.structs.fields(Expect)
}
"""What each field is when nothing is asked."""


def unmet(expect: Expect, look: Look) -> list[tuple[str, str]]:
    """Return what is not as expected: the field, and what was expected and found."""
    view = View(expect, look)
    found: list[tuple[str, str]] = []
    if view.at is not None and view.at > look.now:
        found.append(("at", f"what is decided at {look.shown(view.at)} is asked for, and that lies ahead"))
    for field, check in CHECKS.items():
        wanted = getattr(expect, field)
        # False is something else than nothing, and 0 than false.
        if type(wanted) is type(_USUAL[field]) and wanted == _USUAL[field]:
            continue
        found += [(field, problem) for problem in check(view, wanted)]
    return [*found, *unknown(expect, look.engine.plan)]
