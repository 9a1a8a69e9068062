"""What loyalty tells as interactions of its own, so that journeys, rules and segments can see it.

| interaction         | attributes                                                    |
|---------------------|---------------------------------------------------------------|
| `Programme Joined`  | `programme`, `again`                                          |
| `Programme Left`    | `programme`                                                   |
| `Tier Changed`      | `programme`, `tier`, `before`, `direction` (up, down), `why`  |
| `Points Expired`    | `programme`, `points`, `balance`                              |
| `Points Given`      | `programme`, `points`, `balance`, `transfer`                  |
| `Points Received`   | the same                                                      |
| what a rule records | `programme`, `rule`, and the attributes that the rule says    |
"""

from __future__ import annotations

from typing import Any

from parcours.conditions.names import match_name
from parcours.core import chains, ids
from parcours.core.inputs import Interaction
from parcours.core.loyalty.account import Account

JOINED = "Programme Joined"
LEFT = "Programme Left"
TIER_CHANGED = "Tier Changed"
EXPIRED = "Points Expired"
GIVEN = "Points Given"
RECEIVED = "Points Received"

SOURCE = "loyalty"
"""What such an interaction has as its source."""


def announce(account: Account, name: str, by: str = "", **attributes: Any) -> None:
    """Let an interaction follow. `by` tells it from others of its name that the same input or instant makes."""
    programme, now = account.programme.name, account.now
    made = ids.derive(account.contact.id, programme, name, by, account.cause)
    chains.announce(
        account.contact,
        account.effects,
        Interaction(
            position=0,
            received_at=now,
            occurred_at=now,
            name=match_name(name),
            attributes={"programme": programme, **attributes},
            source=SOURCE,
            message_id=made,
            spelling=name,
        ),
        f"{programme}/{by or name}",
    )
