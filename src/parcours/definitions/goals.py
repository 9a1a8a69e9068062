"""What ends a run early, and what a journey is for: exits and goals, looked at on every input of the contact."""

from __future__ import annotations

from typing import Annotated

import msgspec

from parcours.definitions.common import Condition, Duration, Interactions, Name, Part

_KEY = "With `interaction`: an attribute of it that must equal the key of the run, such as its order number."


class Exit(Part, frozen=True, kw_only=True):
    """Ends a run, wherever it stands: a matching interaction, or a condition that is true."""

    interaction: Annotated[Interactions | None, msgspec.Meta(description="What ends the run when it happens.")] = None
    where: Annotated[Condition | None, msgspec.Meta(description="With `interaction`: what must also be true.")] = None
    key: Annotated[str, msgspec.Meta(description=_KEY)] = ""
    condition: Annotated[Condition | None, msgspec.Meta(description="What ends the run when it is true.")] = (
        msgspec.field(name="if", default=None)
    )


class Goal(Part, frozen=True, kw_only=True):
    """What a contact is to do or to become after it entered: a matching interaction, or a condition."""

    name: Annotated[Name, msgspec.Meta(description="What reports call it.")]
    interaction: Annotated[Interactions | None, msgspec.Meta(description="What reaches it when it happens.")] = None
    where: Annotated[Condition | None, msgspec.Meta(description="With `interaction`: what must also be true.")] = None
    key: Annotated[str, msgspec.Meta(description=_KEY)] = ""
    condition: Annotated[Condition | None, msgspec.Meta(description="What reaches it when it becomes true.")] = (
        msgspec.field(name="if", default=None)
    )
    within: Annotated[
        Duration | None,
        msgspec.Meta(
            description="How long after the entry it counts, also when the run has ended; "
            "as long as the run is under way when it is left out."
        ),
    ] = None
    ends: Annotated[bool, msgspec.Meta(description="Whether the run ends when it is reached.")] = False
