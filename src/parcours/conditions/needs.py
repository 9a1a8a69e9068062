"""What a contact must remember for a condition to be answered, derived from the tree.

A need is a counter kept in the contact: the times of the latest `keep` matching interactions. A count compared with n
is decided by the latest n + 1 of them, whatever the history, so memory is bounded.
"""

from __future__ import annotations

import hashlib

import msgspec

from parcours.conditions import ast


class Need(msgspec.Struct, frozen=True):
    """One counter: matching interactions, of which the latest `keep` times are remembered.

    `id` depends on what is counted alone, so conditions that count the same thing share a counter, which keeps the
    most any of them asks for.
    """

    id: str
    interaction: str
    where: ast.Node | None
    keep: int


def need_of(leaf: ast.History) -> Need:
    """Return the counter a history leaf is answered from."""
    identity = msgspec.json.encode((leaf.interaction, leaf.where))
    return Need(hashlib.blake2b(identity, digest_size=6).hexdigest(), leaf.interaction, leaf.where, leaf.count + 1)


def needs(node: ast.Node) -> dict[str, Need]:
    """Return every counter a tree is answered from, by id."""
    found: dict[str, Need] = {}
    for leaf in walk(node):
        if isinstance(leaf, ast.History):
            merge_need(found, need_of(leaf))
    return found


def merge_need(known: dict[str, Need], need: Need) -> None:
    """Add a counter to those known by id, keeping the larger memory of the two."""
    other = known.get(need.id)
    if other is None or other.keep < need.keep:
        known[need.id] = need


def walk(node: ast.Node) -> list[ast.Node]:
    """Return the node and everything below it, except what is inside a history leaf's `where`."""
    found = [node]
    for item in found:
        if isinstance(item, ast.All | ast.Any):
            found.extend(item.parts)
        elif isinstance(item, ast.Not):
            found.append(item.part)
    return found


def trigger_attributes(node: ast.Node) -> frozenset[str]:
    """Return the attributes of the interaction at hand that a tree looks at."""
    return frozenset(
        leaf.name for leaf in walk(node) if isinstance(leaf, ast.Attribute) and leaf.subject is ast.Subject.TRIGGER
    )
