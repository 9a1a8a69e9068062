"""What the tests of a store put into it: records, contacts, messages, entries, and batches with some of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parcours.core import ids
from parcours.core.codec import encode
from parcours.core.contact import Contact, Run, Sent, Timer, Token
from parcours.core.effects import Entry, Message, Trace, What
from parcours.core.inputs import Interaction, Publish
from parcours.core.member import Lot, Member
from parcours.ports import Changes, Record, Settlement, Store

ANN, BOB, CYD = sorted(ids.contact_id("user_id", name) for name in ("ann", "bob", "cyd"))
"""Three contacts, in the order of their ids."""

MANY = 1_234
"""More than a store is likely to ask for at once."""


def interaction(position: int, contact: str = ANN, received_at: int = 0) -> Record:
    """Return a record of a contact's interaction; when nothing is said, time goes on by a second a record."""
    time = received_at or position * 1_000
    item = Interaction(
        position=position,
        received_at=time,
        occurred_at=time,
        name="seen",
        attributes={"n": position, "nested": {"é": [1.5, None, True, "\U0001f600"]}},
        source="test",
        message_id=f"m{position}",
    )
    return Record(position, contact, key(position), encode(item))


def publication(position: int, name: str = "Seen") -> Record:
    """Return a record of a publication."""
    definitions: list[dict[str, Any]] = [{"kind": "interaction", "name": name}]
    item = Publish(position=position, received_at=position * 1_000, occurred_at=1, definitions=definitions)
    return Record(position, "", key(position), encode(item))


def key(position: int) -> bytes:
    """Return the message key of the record at a position."""
    return ids.message_key("test", f"m{position}")


def person(id_: str = ANN, *, due: int | None = None, **attributes: Any) -> Contact:
    """Return a contact that uses every field, with a run that waits if `due` says until when."""
    contact = Contact(
        id_,
        time=5,
        attributes=attributes,
        addresses={"email": "a@parcours.dev", "push": None},
        consent={"email": {"": "opted_in", "news": "opted_out"}},
        identities=[("user_id", id_)],
        counters={"abc": [1, 2, 3]},
        past={"j": {"": 4}},
        figures={"def": [(1, 2, 3.5), (2, 1, ["a"])]},
        messages={"m": Sent("hello", "email", 1, {"opened": 2})},
        loyalty={
            "club": Member(
                1, card="c", lots=[Lot("l", "r", 1, 2, 2)], qualified=[(1, 2)], limits={"r/day": {1: (1, 2)}}
            )
        },
    )
    if due is not None:
        contact.runs = {
            "j": {"r": Run("r", "j", 1, "k", 1, 1, {"total": 1.5}, [Token(1, "w", 1)], {"s": 1}, {"m": ["i"]})}
        }
        contact.timers = [Timer(due, 2, "j", "r", 1), Timer(due + 1, 1, "j", "r", 0)]
        contact.created = 2
    return contact


def message(
    number: int, *, contact: str = ANN, channel: str = "email", name: str = "hello", priority: int = 0
) -> Message:
    """Return a message."""
    return Message(
        id=ids.message_id(contact, "r", "s", number, name),
        contact=contact,
        channel=channel,
        address="a@parcours.dev",
        message=name,
        version=1,
        journey="j",
        run="r",
        decided_at=number,
        trigger=1,
        attributes={"n": number, "é": ["\U0001f600"]},
        priority=priority,
    )


def entry(number: int, *, contact: str = ANN, day: int = 20260101, kind: str = "earned") -> Entry:
    """Return an entry of the ledger."""
    return Entry(
        id=f"{contact}-{number}",
        contact=contact,
        programme="club",
        sequence=number,
        at=number,
        day=day,
        kind=kind,
        amount=10,
        held=1,
        balance=number * 10,
        pending=number,
        rule="r",
        position=number,
        occurred_at=number,
        lot="l",
        reference="é",
        reason="because",
        author="eve",
    )


def entries(*whats: str, at: int = 1) -> list[Trace]:
    """Return a trace."""
    return [Trace(at, what, "j", 1, "r", "s", "because", {"seen": [1, "é"]}) for what in whats]


def fill(store: Store) -> None:
    """Commit something of every kind about two contacts, at positions 1 to 3."""
    store.commit(
        Changes(
            records=[publication(1), interaction(2), interaction(3, BOB)],
            identities={("user_id", "ann"): ANN, ("user_id", "bob"): BOB},
            contacts={ANN: person(ANN, due=50), BOB: person(BOB)},
            messages=[message(1), message(1, channel="push", name="ping")],
            traces=[(ANN, 2, entries(What.SENT))],
            statistics={("j", 1, "s", What.SENT, "hello"): 1},
            marks={"read:j": "x"},
            ledger=[entry(1), entry(1, contact=BOB)],
        )
    )


def more(store: Store) -> Changes:
    """Return changes of every kind to a store that was filled; nothing is committed."""
    (mail,), (push,) = store.pending("email"), store.pending("push")
    contact = store.contacts([ANN])[ANN]
    contact.attributes["more"] = True
    return Changes(
        records=[interaction(4)],
        identities={("user_id", "cyd"): CYD},
        contacts={ANN: contact, CYD: person(CYD)},
        messages=[message(2)],
        traces=[(ANN, 4, entries(What.SENT)), (CYD, 0, entries(What.ENDED))],
        statistics={("j", 1, "s", What.SENT, "hello"): 1},
        settlements=[Settlement(mail.sequence, "sent", 1), Settlement(push.sequence, "failed", 2, error="x")],
        marks={"read:j": "done", "new": ""},
        ledger=[entry(2), entry(1, contact=CYD, day=20260102)],
    )


def in_parts(store: Store, *, passing: bool) -> Iterator[Changes]:
    """Yield changes of every kind about some contacts, and then what comes behind about others."""
    first = more(store)
    first.passing = passing
    yield first
    bob = store.contacts([BOB])[BOB]
    bob.attributes["more"] = 1
    yield Changes(
        records=[interaction(5, BOB)],
        contacts={BOB: bob},
        messages=[message(3, contact=BOB)],
        traces=[(BOB, -3, entries(What.ENDED))],
        statistics={("j", 1, "s", What.SENT, "hello"): 2},
        marks={"read:j": "again"},
        ledger=[entry(2, contact=BOB)],
        passing=passing,
    )
