"""What several contacts share, counted over what is recorded."""

from __future__ import annotations

from typing import Any

from parcours.core.inputs import Interaction, Update
from parcours.runtimes.loyalty.sharing import Shared, Sharing, everybody_in


def did(name: str, **attributes: Any) -> Interaction:
    return Interaction(position=1, received_at=0, occurred_at=0, name=name, attributes=attributes)


def told(**attributes: Any) -> Update:
    return Update(
        position=1, received_at=0, occurred_at=0, attributes=attributes, addresses={}, consent={}, identities=[]
    )


def test_values_are_compared_without_case_and_blanks_and_only_text_and_numbers_are():
    sharing = Sharing("device")
    for contact, value in (
        ("a", "X  1"),
        ("b", " x 1 "),
        ("c", True),
        ("d", None),
        ("e", ["x 1"]),
        ("f", 7),
        ("g", "7"),
    ):
        sharing.see(contact, did("paid", device=value))
    assert sharing.shared(2, {}) == [Shared("7", ["f", "g"]), Shared("x 1", ["a", "b"])]


def test_contacts_have_it_too_unless_interactions_are_named():
    for names, found in (((), [Shared("here", ["a", "b"])]), (("Paid",), [])):
        sharing = Sharing("address", names)
        sharing.see("a", told(address="Here"))
        sharing.see("b", did("paid", address="here"))
        sharing.see("c", told(other="here"))
        assert sharing.shared(2, {}) == found


def test_one_who_does_it_often_is_one_and_those_who_became_one_are_one():
    sharing = Sharing("device", ["Paid"])
    for contact in ("a", "a", "b", "c", "d"):
        sharing.see(contact, did("paid", device="x"))
    assert sharing.shared(4, {}) == [Shared("x", ["a", "b", "c", "d"])]
    assert sharing.shared(3, {"b": "a", "d": ""}) == []
    rows = sharing.shared(2, {"b": "a", "d": ""})
    assert rows == [Shared("x", ["a", "c"])]
    assert everybody_in([*rows, Shared("y", ["b"])]) == ["a", "b", "c"]
