"""Loyalty: points, tiers, rewards and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import msgspec

from parcours.core.effects import What
from parcours.core.member import Member
from parcours.testing.scenarios.expecting.common import EVERYTHING, Check, Problems, listed, meant
from parcours.testing.scenarios.format import Names, Posted
from parcours.testing.scenarios.looking import View


def _of_member(view: View, wanted: Any, name: str, value: Callable[[Member], Any], none: Any) -> Problems:
    programmes = view.look.engine.plan.workspace.programmes
    if not isinstance(wanted, Mapping):
        if len(programmes) != 1:
            there = f"is to be given by programme: there are {', '.join(programmes)}"
            yield f"{name} {there}" if programmes else f"there is no programme, so {name} is nobody's"
            return
        wanted = {next(iter(programmes)): wanted}
    for programme, one in wanted.items():
        member = view.look.contact.loyalty.get(programme)
        found = value(member) if member is not None else none
        if found != one:
            is_none = "" if member is not None else f"; {view.who} is no member"
            yield f"{name} of {view.who} in {programme!r} was to be {one!r}, and is {found!r}{is_none}"


def _points(view: View, wanted: int | dict[str, int]) -> Problems:
    return _of_member(view, wanted, "the balance", attrgetter("balance"), 0)


def _held_points(view: View, wanted: int | dict[str, int]) -> Problems:
    return _of_member(view, wanted, "what is held", attrgetter("held"), 0)


def _tier(view: View, wanted: str | dict[str, str]) -> Problems:
    return _of_member(view, wanted, "the tier", attrgetter("tier"), "")


def _coupons(view: View, wanted: dict[str, str]) -> Problems:
    found = {coupon.reward: coupon.state for coupon in view.look.contact.coupons.values()}
    for reward, state in wanted.items():
        if reward not in view.look.engine.plan.workspace.rewards:
            yield f"there is no reward {reward!r}{meant(reward, view.look.engine.plan.workspace.rewards)}"
        elif found.get(reward, "") != state:
            yield f"the latest {reward!r} of {view.who} was to be {state or 'none'}, and is {found.get(reward) or 'none'}"


def _declined(view: View, wanted: Names) -> Problems:
    found = [entry.reason for entry in view.decided(What.DECLINED)]
    if found != listed(wanted):
        said = ", ".join(found) or "nothing"
        yield f"something was to be declined for {view.who} as {', '.join(listed(wanted))}; declined: {said}"


def _ledger(view: View, wanted: list[Posted]) -> Problems:
    look = view.look
    postings = [posting.entry for id_ in look.ids for posting in look.engine.store.ledger(id_, EVERYTHING)]
    found = [entry for entry in sorted(postings, key=attrgetter("at", "sequence")) if view.at in {None, entry.at}]
    fits = [
        all(value is None or getattr(entry, name) == value for name, value in msgspec.structs.asdict(one).items())
        for entry, one in zip(found, wanted, strict=False)
    ]
    if len(found) != len(wanted) or not all(fits):
        said = ", ".join(f"{entry.kind} {entry.amount:+} (held {entry.held:+}, {entry.rule})" for entry in found)
        yield f"the ledger of {view.who} was to have other entries; it has: {said or 'none'}"


CHECKS: dict[str, Check] = {
    "points": _points,
    "held_points": _held_points,
    "tier": _tier,
    "coupons": _coupons,
    "declined": _declined,
    "ledger": _ledger,
}
