"""Whether something is asked again: what was kept under a message id is held against what is asked under it now.

What would be done otherwise tells two requests apart. What is only said about it does not: a reason, an author, the
time, who presents a coupon; nor does which way a review is decided, for of two who decide at once the first does.
"""

from __future__ import annotations

from parcours.core.gate import Asked, input_of
from parcours.core.inputs import (
    Adjust,
    Award,
    Enrol,
    Erased,
    Grant,
    Input,
    Leave,
    Refund,
    Review,
    Spend,
    Transfer,
    UseCoupon,
    WorkspaceInput,
)

_TELLING: dict[type, tuple[str, ...]] = {
    Enrol: ("programme", "card"),
    Leave: ("programme",),
    Spend: ("programme", "points", "reference"),
    Adjust: ("programme", "points", "qualifying", "rule"),
    Refund: ("programme", "reference", "whole", "attributes"),
    Review: ("programme", "lot"),
    Award: ("programme",),
    Transfer: ("programme", "points"),
    Grant: ("reward", "pay"),
    UseCoupon: ("action", "code", "order", "basket"),
}
"""What tells two requests of a kind apart, but for who receives a transfer: that takes a look at contacts."""


def is_repeat(item: Input | WorkspaceInput, asked: Asked) -> bool:
    """Return whether what is asked is what was asked with an input. Of one that was erased nobody can say it is not."""
    if isinstance(item, Erased):
        return True
    again = input_of(asked, {"position": 0, "received_at": 0, "occurred_at": 0})
    names = _TELLING[type(again)]
    return type(item) is type(again) and all(getattr(item, name) == getattr(again, name) for name in names)
