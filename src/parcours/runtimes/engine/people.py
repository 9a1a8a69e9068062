"""Whose arrivals these are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parcours.core import ids
from parcours.core.contact import Contact
from parcours.core.gate import Arrival, Asked, Called, Happened, Learned, Reacted
from parcours.core.prepared import AnyArrival, Prepared
from parcours.errors import Problem
from parcours.ports import Identity, Store


class People:
    """Whose arrivals these are: identities resolved and contacts loaded for a whole batch."""

    def __init__(self, store: Store, arrivals: Sequence[AnyArrival]) -> None:
        asked: set[Identity] = set()
        told: set[str] = set()
        for arrival in arrivals:
            if type(arrival) is not Prepared and type(arrival.what) is Reacted:
                contact = ids.contact_of_message(arrival.what.message)
                if contact is not None:
                    told.add(contact)
            else:
                asked.update(arrival.identities)
                if type(arrival) is not Prepared and type(arrival.what) is Asked and arrival.what.to is not None:
                    asked.add(arrival.what.to)
        self._store = store
        self._owners = store.resolve(asked)
        self._contacts = store.contacts(told.union(self._owners.values()))

    def whose(self, arrival: Arrival) -> tuple[str | Identity | None, list[Identity]]:
        """Return what `owner` and `unknown` do, quickly for the usual: one identity, of somebody known."""
        identities = arrival.identities
        if len(identities) == 1 and type(arrival.what) is not Reacted:
            known = self._owners.get(identities[0])
            if known is not None:
                return known, _NOTHING_NEW
        return self.owner(arrival), self.unknown(arrival)

    def known(self, identities: Sequence[Identity]) -> Contact | None:
        """Return whose identities these are, if each is somebody's: the first one's owner."""
        owner = self._owners.get(identities[0])
        if owner is None or any(identity not in self._owners for identity in identities[1:]):
            return None
        return self._contacts[owner]

    def owner(self, arrival: Arrival) -> str | Identity | None:
        """Return the contact's id, or the identity under which it is to be made, or None when nothing tells."""
        if type(arrival.what) is Reacted:
            return self._addressed(arrival.what)
        identities = arrival.identities
        for identity in identities:
            known = self._owners.get(identity)
            if known is None or (identity is not identities[0] and self._shared(identities, known, arrival.what)):
                continue
            return known
        return identities[0] if identities else None

    def _shared(
        self, identities: Sequence[Identity], contact: str, what: Happened | Learned | Reacted | Asked | Called
    ) -> bool:
        """Return whether a new user only uses the device of somebody who is known: they stay two.

        It is one person's when the sender says so (an alias).
        """
        if identities[0][0] != _KNOWN or (type(what) is Learned and what.same):
            return False
        return any(space == _KNOWN for space, _ in self._contacts[contact].identities)

    def _addressed(self, reaction: Reacted) -> str | None:
        """Return the contact a message went to, or the one that contact has become part of."""
        id_ = ids.contact_of_message(reaction.message)
        while id_ is not None:
            contact = self._contacts.get(id_) or self._store.contacts([id_]).get(id_)
            if contact is None:
                return None
            self._contacts[id_] = contact
            if contact.erased_at:
                return None
            if not contact.merged_into:
                return id_
            id_ = contact.merged_into
        return None

    def others(self, arrival: Arrival, owner: str | Identity) -> list[str]:
        """Return the contacts that the arrival tells to be its own: those that are nobody known yet.

        Only what is learned of somebody tells that. A contact with a user id of its own stays who it is: two people may
        share a device.
        """
        if not isinstance(owner, str) or type(arrival.what) is not Learned:
            return []
        named = dict.fromkeys(self._owners[identity] for identity in arrival.identities if identity in self._owners)
        return [
            id_
            for id_ in named
            if id_ != owner
            and (arrival.what.same or not any(space == _KNOWN for space, _ in self._contacts[id_].identities))
        ]

    def taken(self, arrival: Arrival) -> bool:
        """Return whether an identity that is given to the first one's contact is somebody else's."""
        first, *more = arrival.identities
        owner = self._owners.get(first)
        return any(identity in self._owners and self._owners[identity] != owner for identity in more)

    def receivers(self, arrival: Arrival) -> list[str]:
        """Return the contact that is to have points by a transfer, if it is one and that is somebody."""
        to = arrival.what.to if type(arrival.what) is Asked else None
        return [self._owners[to]] if to in self._owners else []

    def unaskable(self, arrival: Arrival, owner: str | Identity) -> Problem | None:
        """Return why something cannot be asked of a member, or a coupon, as far as it is about who these are."""
        asked = arrival.what
        assert isinstance(asked, Asked)  # noqa: S101 (told to the type checker)
        if asked.code and not isinstance(owner, str):
            return _UNKNOWN_CODE
        if asked.to is not None and asked.to not in self._owners:
            return _UNKNOWN_RECEIVER
        return _TAKEN if self.taken(arrival) else None

    def contact(self, id_: str) -> Contact:
        """Return a contact that was asked for with the batch."""
        return self._contacts[id_]

    def moved(self, identities: Iterable[Identity], into: str) -> None:
        """Note that identities belong to another contact from now on."""
        self._owners.update(dict.fromkeys(identities, into))

    def unknown(self, arrival: Arrival) -> list[Identity]:
        """Return the identities of an arrival that are nobody's yet; a reaction tells of nobody's."""
        owners = self._owners
        if type(arrival.what) is Reacted:
            return []
        if len(arrival.identities) == 1:
            return [] if arrival.identities[0] in owners else [arrival.identities[0]]
        return [identity for identity in dict.fromkeys(arrival.identities) if identity not in owners]

    def take(self, owner: str | Identity, new: list[Identity], identities: dict[Identity, str]) -> Contact:
        """Return the contact, made if it is new, and note that new identities are its own (the fold tells it)."""
        contact = self._make(owner) if isinstance(owner, tuple) else self._contacts[owner]
        for identity in new:
            self._owners[identity] = identities[identity] = contact.id
        return contact

    def _make(self, identity: Identity) -> Contact:
        attempt = 0
        while True:
            id_ = ids.contact_id(*identity, attempt)
            if id_ not in self._contacts and not self._store.contacts([id_]):
                break
            attempt += 1
        contact = self._contacts[id_] = Contact(id_)
        return contact


_NOTHING_NEW: list[Identity] = []
"""Identities of an arrival that are nobody's yet, where there are none: not to be changed."""

_KNOWN = "user_id"
"""The namespace of people who are known; anybody else is anonymous until they are found to be one of these."""

_TAKEN = Problem(
    code="identity_taken",
    message="the card belongs to somebody else",
    pointer="/card",
    hint="give a card that is nobody's, or merge the two contacts first",
)
_UNKNOWN_CODE = Problem(code="unknown_code", message="there is no coupon of this code", pointer="/code")
_UNKNOWN_RECEIVER = Problem(
    code="unknown_receiver",
    message="nobody is known who is to have the points",
    pointer="/to",
    hint="name a member who is there: an id, or user_id:VALUE",
)
