"""What tells two requests under one message id apart."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from parcours.core.codec import decode_input, encode
from parcours.core.gate import Asked, input_of
from parcours.core.inputs import Erased, Input
from parcours.core.repeats import is_repeat

ASKS: dict[str, dict[str, Any]] = {
    "enrol": {"card": "c"},
    "leave": {},
    "spend": {"points": 5, "reference": "o"},
    "adjust": {"points": 5},
    "refund": {"reference": "o", "whole": False, "attributes": {"total": 1.5, "lines": [{"price": 2}]}},
    "review": {"reference": "lot", "approved": True},
    "transfer": {"points": 5},
    "issue": {"reward": "ten"},
    **{
        action: {"code": "C", "reference": "o", "basket": 9.5}
        for action in ("reserve", "redeem", "release", "cancel", "reopen")
    },
}

OTHERWISE: dict[str, Any] = {
    "card": "d",
    "points": 6,
    "reference": "p",
    "attributes": {"total": 2},
    "whole": True,
    "reward": "nine",
    "code": "D",
    "basket": None,
}


def asked(action: str, **more: Any) -> Asked:
    said = {"action": action, **({} if action == "issue" or "code" in ASKS[action] else {"programme": "club"})}
    return Asked(**said, **ASKS[action] | more)


def kept(what: Asked) -> Input:
    """The input that became of it, as the log has it."""
    item = input_of(what, {"position": 7, "received_at": 9, "occurred_at": 8, "source": "s", "message_id": "m"})
    return decode_input(encode(item))  # type: ignore[return-value]


@pytest.mark.parametrize("action", ASKS)
def test_a_request_is_a_repeat_of_an_equal_one_only(action: str):
    item = kept(asked(action, author="eve", reason="so"))
    assert is_repeat(item, asked(action))
    assert is_repeat(item, asked(action, author="bob", reason="said otherwise", presented="?"))
    assert [other for other in ASKS if is_repeat(item, asked(other))] == [action]
    for name in ASKS[action].keys() & OTHERWISE.keys():
        assert not is_repeat(item, asked(action, **{name: OTHERWISE[name]})), name
    if "code" not in ASKS[action] and action != "issue":
        assert not is_repeat(item, msgspec.structs.replace(asked(action), programme="other"))


def test_counting_towards_tiers_and_paying_tell_requests_apart():
    assert not is_repeat(kept(asked("adjust")), asked("adjust", qualifying=True))
    assert not is_repeat(kept(asked("issue")), asked("issue", pay=True))


def test_of_two_who_decide_an_award_the_second_repeats_the_first():
    assert is_repeat(kept(asked("review")), asked("review", approved=False))


@pytest.mark.parametrize("action", ASKS)
def test_of_what_was_erased_nobody_can_say_that_it_was_another(action: str):
    assert is_repeat(Erased(position=1, received_at=1, occurred_at=1), asked(action))
