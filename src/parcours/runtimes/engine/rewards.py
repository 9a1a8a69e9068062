"""What a reward that is issued needs from outside the fold: that there is one left, and a code.

| what            | where it is kept                                                             |
|-----------------|------------------------------------------------------------------------------|
| how many issued | the mark `reward:NAME`                                                       |
| a pool          | items of a catalogue that nobody can define (`pool_of`); `pool:NAME` counts them |
| whose code      | an identity in a namespace that nobody can send (`COUPON`); a tombstone of    |
|                 | it when its contact was erased, which is a hash                               |

All of it changes in the transaction that keeps the `Grant`, so stock is never exceeded, and no code is given twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping

from parcours.core.inputs import Grant
from parcours.core.loyalty.compiled import CompiledReward
from parcours.ports import Changes, Identity, Store

COUPON = "$coupon"
"""The namespace in which the code of a coupon is an identity of its contact."""

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Of what codes are made: nothing that is easily mistaken for something else, and no U, for the sake of words."""

LONGEST_CODE = 64


def pool_of(reward: str) -> str:
    """Return the catalogue in which the codes of a pool lie."""
    return f"$pool/{reward}"


def identity_of(code: str) -> Identity:
    """Return the identity that a code is."""
    return COUPON, code


def normal(code: str) -> str:
    """Return a code as it is kept: however it was typed."""
    return "".join(code.split()).upper()


def issued(store: Store, reward: str) -> int:
    """Return how many of a reward were issued."""
    return int(store.mark(f"reward:{reward}") or "0")


def in_pool(store: Store, reward: str) -> int:
    """Return how many codes are left in the pool of a reward."""
    return int(store.mark(f"pool:{reward}") or "0")


def answer(
    store: Store, changes: Changes, reward: CompiledReward, item: Grant, contact: str, buried: Callable[[str], bool]
) -> None:
    """Find a code for what is to be issued, and count it; or say why there is none.

    `buried` tells whether a code was somebody's who was erased: nobody else gets it.
    """
    given = _mark(store, changes, f"reward:{reward.name}")
    if reward.stock and given >= reward.stock:
        item.refused = "out_of_stock"
        return
    code = (_from_pool if reward.pool else _made)(store, changes, reward, buried)
    if not code:
        item.refused = "pool_empty"
        return
    item.code = code
    changes.identities[identity_of(code)] = contact
    changes.marks[f"reward:{reward.name}"] = str(given + 1)


def _made(store: Store, changes: Changes, reward: CompiledReward, buried: Callable[[str], bool]) -> str:
    while True:
        code = reward.prefix + "".join(secrets.choice(ALPHABET) for _ in range(reward.length))
        if not _taken(store, changes, code) and not buried(code):
            return code


def _from_pool(store: Store, changes: Changes, reward: CompiledReward, buried: Callable[[str], bool]) -> str:
    """Take the first code out of a pool; empty when there is none."""
    pool = pool_of(reward.name)
    # What this batch has taken lies before everything else.
    after = max((id_ for catalogue, id_ in changes.items if catalogue == pool), default="")
    while found := store.scan_items(pool, after, 1):
        after = found[0][0]
        changes.items[pool, after] = None
        changes.marks[f"pool:{reward.name}"] = str(_mark(store, changes, f"pool:{reward.name}") - 1)
        if not _taken(store, changes, after) and not buried(after):
            return after
    return ""


def _taken(store: Store, changes: Changes, code: str) -> bool:
    identity = identity_of(code)
    return identity in changes.identities or bool(store.resolve([identity]))


def _mark(store: Store, changes: Changes, name: str) -> int:
    return int(changes.marks.get(name) or store.mark(name) or "0")


def new_codes(store: Store, reward: str, codes: Iterable[str]) -> dict[str, Mapping[str, str]]:
    """Return those codes that are neither in the pool nor anybody's, as items of it."""
    wanted = list(dict.fromkeys(normal(code) for code in codes))
    known = store.items(pool_of(reward), wanted)
    owned = {code for _, code in store.resolve([identity_of(code) for code in wanted])}
    return {code: {} for code in wanted if code not in known and code not in owned}
