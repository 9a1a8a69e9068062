"""The workload the benchmarks share: the demo's journeys, 17 more live ones, and a shop's interactions.

Two mixes, spread over the contacts by chance (seeded): `shop` is a web shop, in which a product in seventeen that is
viewed is ordered, which is a good shop; `till` has more than twice as many orders. An order has three lines and touches
about half of the journeys.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from parcours.definitions.load import Source, dump, load

EXAMPLES = Path(__file__).parent.parent / "examples" / "complete-journey"
MIXES = {
    "shop": {
        "Product Viewed": 68,
        "Product Added": 16,
        "Checkout Started": 6,
        "Order Completed": 4,
        "Campaign Received": 3,
        "Coupon Redeemed": 3,
    },
    "till": {
        "Product Viewed": 55,
        "Product Added": 20,
        "Checkout Started": 7,
        "Order Completed": 10,
        "Campaign Received": 4,
        "Coupon Redeemed": 4,
    },
}
"""Of 100 interactions, how many are of which kind."""

START = datetime(2026, 1, 5, 8, tzinfo=UTC)


def more_journeys() -> list[dict[str, Any]]:
    """Return 17 journeys as marketers draw them: filters, histories, waits, timeouts, decisions."""
    message = {
        "kind": "message",
        "name": "news",
        "channel": "push",
        "content": {"title": "News for you", "body": "Have a look, {{ contact.first_name }}."},
    }
    found: list[dict[str, Any]] = [message]

    def journey(name: str, entry: dict[str, Any], steps: dict[str, Any], re_entry: str = "after_end") -> None:
        found.append(
            {
                "kind": "journey",
                "name": name,
                "entry": {"type": "interaction", **entry},
                "re_entry": re_entry,
                "start": next(iter(steps)),
                "steps": steps,
            }
        )

    send = {"type": "send", "messages": ["news"]}
    for index, minimum in enumerate((200, 400, 800)):
        journey(
            f"big-basket-{index}",
            {"interaction": "Order Completed", "where": {"interaction": "total", "at_least": minimum}},
            {"wait": {"type": "wait", "for": "2h", "next": "send"}, "send": send},
        )
    for index, (times, window) in enumerate((("3", "7d"), ("5", "30d"), ("10", "90d"))):
        journey(
            f"regular-{index}",
            {
                "interaction": "Order Completed",
                "where": {"did": "Order Completed", "times": {"at_least": int(times)}, "within": window},
            },
            {"send": send},
            re_entry="never",
        )
    journey(
        "replenish",
        {"interaction": "Order Completed", "where": {"interaction": "store_id", "in": ["1", "2", "3"]}},
        {
            "next-order": {
                "type": "wait_for",
                "events": [{"type": "interaction", "interaction": "Order Completed"}],
                "timeout": {"after": "14d", "next": "send"},
            },
            "send": send,
        },
    )
    for index, category in enumerate(("cameras", "shoes", "books", "toys")):
        journey(
            f"browse-{index}",
            {"interaction": "Product Viewed", "where": {"interaction": "category", "is": category}},
            {
                "bought": {
                    "type": "wait_for",
                    "events": [
                        {"type": "interaction", "interaction": "Order Completed"},
                        {"type": "interaction", "interaction": "Product Added"},
                    ],
                    "timeout": {"after": "1d", "next": "known"},
                },
                "known": {"type": "decision", "if": {"contact": "tier", "in": ["gold", "silver"]}, "then": "send"},
                "send": send,
            },
        )
    journey(
        "abandoned-cart",
        {"interaction": "Product Added"},
        {
            "bought": {
                "type": "wait_for",
                "events": [{"type": "interaction", "interaction": "Order Completed"}],
                "timeout": {"after": "4h", "next": "send"},
            },
            "send": send,
        },
    )
    journey(
        "abandoned-checkout",
        {"interaction": "Checkout Started"},
        {
            "bought": {
                "type": "wait_for",
                "events": [{"type": "interaction", "interaction": "Order Completed"}],
                "timeout": {"after": "1h", "next": "send"},
            },
            "send": send,
        },
    )
    for index, reason in enumerate(("delivery", "quality")):
        journey(
            f"complaint-{index}",
            {"interaction": "Ticket Created", "where": {"interaction": "reason", "is": reason}},
            {"send": send},
            re_entry="always",
        )
    journey(
        "visit",
        {"interaction": "Store Visit"},
        {"wait": {"type": "wait", "for": "1d", "next": "send"}, "send": send},
    )
    journey(
        "gold",
        {
            "interaction": "Coupon Redeemed",
            "where": {"all": [{"contact": "tier", "is": "gold"}, {"consent": "push", "is": "opted_in"}]},
        },
        {"send": send},
    )
    assert sum(item["kind"] == "journey" for item in found) == 17
    return found


def definitions() -> list[dict[str, Any]]:
    """Return the demo's definitions and the 17 journeys, as plain data."""
    files = sorted(EXAMPLES.glob("*.yaml"))
    workspace, problems, _ = load([Source(file.name, file.read_text()) for file in files])
    assert not problems, problems
    return [dump(item) for item in workspace.all()] + more_journeys()


def identities(contacts: int) -> Iterator[dict[str, Any]]:
    """Yield what is known of each contact."""
    for number in range(contacts):
        yield {
            "type": "identify",
            "userId": f"user-{number}",
            "messageId": f"identify-{number}",
            "traits": {
                "first_name": "Ann",
                "tier": ("gold", "silver", "none", "none")[number % 4],
                "email": f"user-{number}@parcours.dev",
                "push_token": f"token-{number}",
                "consent": {"email": True, "push": number % 3 != 0},
            },
        }


def interactions(
    count: int, contacts: int, *, seed: int = 1, at: datetime = START, apart: int = 333, mix: str = "shop"
) -> Iterator[dict[str, Any]]:
    """Yield a shop's interactions in the order of time, so many milliseconds apart."""
    chance = random.Random(seed)
    kinds = [kind for kind, share in MIXES[mix].items() for _ in range(share)]
    for number in range(count):
        kind = chance.choice(kinds)
        when = at + timedelta(milliseconds=apart * number)
        yield {
            "type": "track",
            "event": kind,
            "userId": f"user-{chance.randrange(contacts)}",
            "messageId": f"{seed}-{number}-{chance.getrandbits(64):016x}",
            "timestamp": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "properties": _properties(kind, number, chance),
        }


def _properties(kind: str, number: int, chance: random.Random) -> dict[str, Any]:
    categories = ("cameras", "shoes", "books", "toys", "food", "garden", "music", "sports")
    match kind:
        case "Order Completed":
            lines = [
                {
                    "product_id": str(chance.randrange(100_000)),
                    "category": chance.choice(categories),
                    "quantity": chance.randint(1, 3),
                    "price": chance.randint(100, 9_999) / 100,
                }
                for _ in range(3)
            ]
            total = round(sum(line["quantity"] * line["price"] for line in lines), 2)
            return {"order_id": str(number), "total": total, "store_id": str(chance.randrange(20)), "products": lines}
        case "Product Viewed" | "Product Added":
            return {
                "product_id": str(chance.randrange(100_000)),
                "category": chance.choice(categories),
                "price": chance.randint(100, 9_999) / 100,
                "url": f"https://shop.example/p/{number}",
            }
        case "Checkout Started":
            return {"value": chance.randint(100, 50_000) / 100, "currency": "EUR"}
        case _:
            return {"campaign_id": str(chance.randrange(30)), "campaign_type": "Type A", "coupon_upc": str(number)}


def batches(messages: Iterator[dict[str, Any]], size: int) -> list[bytes]:
    """Return the bodies of `/v1/batch` requests."""
    bodies: list[bytes] = []
    part: list[dict[str, Any]] = []
    for message in messages:
        part.append(message)
        if len(part) == size:
            bodies.append(msgspec.json.encode({"batch": part}))
            part = []
    if part:
        bodies.append(msgspec.json.encode({"batch": part}))
    return bodies
