"""Why somebody is not in a journey for whom nothing came that could have let them in: what it would take.

| entry                    | told                                                                            |
|--------------------------|---------------------------------------------------------------------------------|
| an interaction           | which                                                                            |
| a segment                | that the contact is not in it, and why; or that it is, and why that lets nobody in |
| a date                   | that there is none, when it comes, or that it is over                            |
| first met, API, journey  | that only this lets somebody in                                                  |
"""

from __future__ import annotations

from collections.abc import Iterator

from parcours.conditions.examine import examine
from parcours.conditions.instants import brief
from parcours.core.compiled import CompiledJourney
from parcours.core.contact import Contact
from parcours.definitions.entries import ApiEntry, ContactEntry, DateEntry, InteractionEntry, JourneyEntry, SegmentEntry


def of_segment(known: CompiledJourney, contact: Contact, at: int) -> Iterator[str]:
    """Yield whether a contact is in the segment whose members enter, and why it did not enter if it is."""
    entry = known.definition.entry
    if known.segment is None or not isinstance(entry, SegmentEntry):
        return
    answer = examine(known.segment.node, contact, {}, at)
    if not answer.answer:
        yield f"At {brief(at)} it is not {known.segment.text}: {'; '.join(answer.reasons())}."
        return
    within = f"At {brief(at)} it is {known.segment.text}"
    match entry.on:
        case "left":
            yield f"{within}, and only who leaves it enters."
        case "entered":
            yield (
                f"{within}, and was before the journey went live, or came to be by history: only who enters it from then "
                "on is let in."
            )
        case _:
            when = "at none of the readings so far" if entry.schedule is not None else "not when it was read"
            yield f"{within}, but was {when}{'' if entry.at is None else f' ({entry.at})'}."


def what_it_takes(known: CompiledJourney, contact: Contact, at: int) -> Iterator[str]:
    """Yield what would have let a contact in."""
    match known.definition.entry:
        case InteractionEntry(interaction=asked):
            names = [asked] if isinstance(asked, str) else asked
            yield f"The journey is entered by {' or '.join(map(repr, names))}."
        case ApiEntry():
            yield "The journey is entered over the API, and nobody asked for it."
        case JourneyEntry():
            yield "Only a step of another journey lets somebody in."
        case ContactEntry():
            yield "Only who is met for the first time enters, and the contact was met before the journey went live."
        case DateEntry(attribute=attribute):
            due = contact.dates.get(known.name)
            if attribute not in contact.attributes:
                yield f"The contact has no date in {attribute!r}."
            elif due is not None and due > at:
                yield f"By its date in {attribute!r} it enters at {brief(due)}."
            else:
                yield f"What it has in {attribute!r} is no date that is still to come."
        case _:
            pass
