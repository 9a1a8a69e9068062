"""What steps do to a contact that leave no entry in the trace of their own: in words, for explanations."""

from __future__ import annotations

from parcours.definitions.steps import Award, Enlist, Enrol, Give, Record, Start, Step, Update


def in_words(step: Step) -> str:
    """Return what a step does, as the end of a sentence about it; empty for one that does nothing of that kind."""
    match step:
        case Update(set=values):
            return f"changed {_named(values)} of the contact"
        case Enlist(add=added, remove=removed):
            parts = [f"put the contact on {_named(added)}"] if added else []
            return " and ".join([*parts, *([f"took it off {_named(removed)}"] if removed else [])])
        case Record(interaction=name):
            return f"recorded {name!r}"
        case Start(journey=name):
            return f"asked for entry into {name!r}"
        case Award(points=points, programme=name):
            return f"asked for {points:,} points in {name!r}"
        case Enrol(programme=name):
            return f"asked for membership of {name!r}"
        case Give(reward=name):
            return f"asked for the reward {name!r}"
        case _:
            return ""


def _named(names: object) -> str:
    return ", ".join(map(repr, names)) if isinstance(names, list | tuple | dict) else ""
