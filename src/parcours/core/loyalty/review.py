"""Awards that were put aside: somebody approves or refuses them.

| decided  | points                                                                                            |
|----------|---------------------------------------------------------------------------------------------------|
| approved | can be spent, or are held until they would have been free; they count towards tiers               |
| refused  | `reversed`                                                                                        |

The entry names the author and the reason. What a rule gives beside points, or without any, comes with the approval, if the
rule is live then; its lot and its entries are of no points where it gives none.
What a refund took back in the meantime is gone. Points that would have expired by now expire at once.
"""

from __future__ import annotations

from parcours.core.effects import What
from parcours.core.inputs import Review
from parcours.core.loyalty.account import Account
from parcours.core.loyalty.compiled import CompiledRule
from parcours.core.loyalty.earn import give_the_rest
from parcours.core.loyalty.tiers import promote, qualify
from parcours.core.member import Lot, Member


def in_review(member: Member) -> list[Lot]:
    """Return the lots that wait for somebody, oldest first."""
    return [lot for lot in member.lots if lot.in_review]


def decide(account: Account, rules: dict[str, CompiledRule], item: Review) -> bool:
    """Approve or refuse an award, or all of a member. Return whether there was any."""
    lots = [lot for lot in in_review(account.member) if item.lot in {"", lot.id}]
    for lot in lots:
        verdict = "approved" if item.approved else "refused"
        said = {"rule": lot.rule, "lot": lot.id, "points": lot.left, "why": item.reason, "author": item.author}
        account.note(What.REVIEWED, verdict, programme=account.programme.name, **said)
        if item.approved:
            _approve(account, rules.get(lot.rule), lot, item)
        else:
            account.reverse(lot, lot.left, item.reason, item.author)
            lot.due = lot.qualifying = 0
    return bool(lots)


def _approve(account: Account, rule: CompiledRule | None, lot: Lot, item: Review) -> None:
    if lot.left and lot.free > account.now:
        lot.due = lot.free
    else:
        account.release(lot, item.reason, item.author)
    qualify(account, lot.at, lot.qualifying)
    promote(account)
    if rule is not None and not account.member.left:
        give_the_rest(account, rule, lot.id)
