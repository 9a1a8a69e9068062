"""Enrolling, leaving, returning; spending, adjusting and refunding: what is asked of a member by name.

| asked   | done                                                        | declined (in the trace, with the reason)               |
|---------|-------------------------------------------------------------|--------------------------------------------------------|
| enrol   | a member from when it occurred; whoever had left is back    | `no_programme`                                         |
| leave   | nothing is earned or spent; points are kept, or forfeited   | `no_programme`, `no_member`                            |
| spend   | all of it, the oldest first                                 | the same, `not_enough_points`                          |
| adjust  | given, or taken of what is there                            | the same                                               |
| refund  | what the order earned, as a whole or in part                | the same, `unknown_order`                              |
| transfer| taken, and given to another member                          | the same, and as `loyalty.transfer` says               |
| award   | what a rule would have given for the past                   | `no_programme`, `no_member`, `no_rule`, `limit`, `budget`, `every` |
| review  | an award that was put aside is approved or refused, or all  | `no_programme`, `no_member`, `no_review`               |
"""

from __future__ import annotations

from parcours.core.contact import Contact
from parcours.core.effects import Effects, Trace, What
from parcours.core.inputs import Adjust, Award, Enrol, Interaction, Leave, Refund, Review, Spend, Transfer, cause_of
from parcours.core.loyalty.account import Account, Says
from parcours.core.loyalty.announce import JOINED, LEFT, announce
from parcours.core.loyalty.clock import settle
from parcours.core.loyalty.compiled import CompiledProgramme, Loyalty, LoyaltyRoute
from parcours.core.loyalty.coupons import come_back
from parcours.core.loyalty.earn import earn, reference_of
from parcours.core.loyalty.late import give_late
from parcours.core.loyalty.refund import WHOLE, is_whole, parts_of, take_back
from parcours.core.loyalty.review import decide
from parcours.core.loyalty.tiers import keep_up, promote, qualify
from parcours.core.loyalty.transfer import give
from parcours.core.member import Member

LoyaltyInput = Enrol | Leave | Spend | Adjust | Refund | Review | Award | Transfer


def act(loyalty: Loyalty, contact: Contact, item: LoyaltyInput, effects: Effects) -> None:
    """Do what is asked of a member. The contact is changed."""
    programme = loyalty.programmes.get(item.programme)
    if programme is None:
        _decline(effects, item, "no_programme")
        return
    if isinstance(item, Enrol):
        enrol(contact, programme, item, effects, card=item.card)
        return
    member = contact.loyalty.get(item.programme)
    if member is None or (member.left and not isinstance(item, Refund | Review)):
        _ask_no_member(contact, item, effects)
        return
    account = Account(contact, programme, member, item.received_at, item.position, cause_of(item), effects)
    match item:
        case Leave():
            _leave(account, item)
        case Spend():
            _spend(account, item)
        case Adjust():
            _adjust(account, item)
        case Transfer():
            if declined := give(account, item):
                _decline(effects, item, declined, balance=member.balance, points=item.points)
                return
        case Refund():
            _refund(loyalty, account, item)
        case Review():
            if not decide(account, loyalty.rules, item):
                _decline(effects, item, "no_review", lot=item.lot)
                return
        case Award():
            if declined := _award(loyalty, account, item):
                _decline(effects, item, declined, rule=item.lot.rule, points=item.lot.points)
                return
    settle(account)


def _spend(account: Account, item: Spend) -> None:
    balance = account.member.balance
    if item.points > balance:
        _decline(account.effects, item, "not_enough_points", balance=balance, points=item.points)
        return
    said = Says(kind="spent", reference=item.reference, reason=item.reason, author=item.author)
    account.spend(item.points, said)


def _refund(loyalty: Loyalty, account: Account, item: Refund) -> None:
    formulas = loyalty.formulas.get(account.programme.name, {})
    parts = {WHOLE: 1} if item.whole else parts_of(account.contact, formulas, item.attributes, item.occurred_at)
    _take_back(account, item.reference, parts)


def _ask_no_member(contact: Contact, item: LoyaltyInput, effects: Effects) -> None:
    """Decline what is asked of who is no member. Coupons of theirs may be: rewards without a programme are for anybody."""
    if isinstance(item, Refund) and item.whole and come_back(contact, item.reference, item.received_at, effects):
        return
    _decline(effects, item, "no_member")


def _take_back(account: Account, reference: str, parts: dict[str, int]) -> None:
    """Reverse what an order earned, and let the coupons it was paid with be redeemed again when all of it is back."""
    known = take_back(account, reference, parts)
    whole = is_whole(account, reference, parts)
    reopened = whole and come_back(account.contact, reference, account.now, account.effects)
    if not known and not reopened:
        account.note(What.DECLINED, "unknown_order", programme=account.programme.name, reference=reference)


def _award(loyalty: Loyalty, account: Account, item: Award) -> str:
    """Give what a rule would have given for the past; return why not, empty when it is given."""
    rule = loyalty.rules.get(item.lot.rule)
    if rule is None or rule.programme.name != item.programme:
        return "no_rule"
    return give_late(account, rule, item)


def happen(loyalty: Loyalty, contact: Contact, item: Interaction, route: LoyaltyRoute, effects: Effects) -> None:
    """Let an interaction make members, take orders back, and earn. The contact is changed."""
    at, attributes = item.occurred_at, item.attributes
    for enrolment in route.enrolments:
        if enrolment.where is None or enrolment.where.ask(contact, attributes, at):
            card = attributes.get(enrolment.card) if enrolment.card else None
            enrol(contact, enrolment.programme, item, effects, card=str(card) if card is not None else "")
    for refund in route.refunds:
        member = contact.loyalty.get(refund.programme.name)
        reference = reference_of(attributes, refund.reference)
        if not reference or (member is None and not contact.coupons):
            continue
        if refund.where is None or refund.where.ask(contact, attributes, at):
            formulas = loyalty.formulas.get(refund.programme.name, {})
            parts = {WHOLE: 1} if refund.whole else parts_of(contact, formulas, attributes, at)
            if member is None:
                if WHOLE in parts:
                    come_back(contact, reference, item.received_at, effects)
                continue
            account = Account(
                contact, refund.programme, member, item.received_at, item.position, cause_of(item), effects
            )
            _take_back(account, reference, parts)
            settle(account)
    if route.rules and (contact.loyalty or loyalty.tells):
        earn(contact, item, route.rules, effects, tell=loyalty.tells)


def enrol(
    contact: Contact, programme: CompiledProgramme, item: Enrol | Interaction, effects: Effects, *, card: str = ""
) -> None:
    """Make a contact a member of a programme, unless it is one. The contact is changed."""
    at = item.occurred_at
    member = contact.loyalty.get(programme.name)
    again = member is not None
    if member is None:
        member = contact.loyalty[programme.name] = Member(at, active=at)
    elif member.left:
        member.since, member.left = at, 0
        member.active = max(member.active, at)
    else:
        member.card = card or member.card
        return
    member.card = card or member.card
    account = Account(contact, programme, member, item.received_at, item.position, cause_of(item), effects)
    account.note(What.ENROLLED, programme.name)
    announce(account, JOINED, again=again)
    keep_up(account)
    promote(account)
    settle(account)


def _leave(account: Account, item: Leave) -> None:
    account.member.left = item.received_at
    if account.programme.forfeit:
        account.book().empty("forfeited", item.reason)
    account.note(What.RESIGNED, account.programme.name)
    announce(account, LEFT)


def _adjust(account: Account, item: Adjust) -> None:
    says = Says(kind="adjusted", reason=item.reason, author=item.author)
    if item.points < 0:
        if -item.points > account.member.balance:
            _decline(account.effects, item, "not_enough_points", balance=account.member.balance, points=item.points)
            return
        account.spend(-item.points, says)
        return
    if not item.points:
        _decline(account.effects, item, "no_points")
        return
    holding = 0
    if item.rule:
        says = Says(kind="earned", rule=item.rule, occurred_at=item.occurred_at, reason=item.reason)
        holding = account.programme.holding
    lot = account.earn(item.points, says, holding, account.programme.expires)
    tiers = account.programme.tiers
    if item.qualifying and tiers is not None and not tiers.by_spend:
        lot.qualifying = item.points
        qualify(account, lot.at, item.points)
        promote(account)


def _decline(effects: Effects, item: LoyaltyInput, reason: str, **detail: object) -> None:
    said = {"programme": item.programme, **detail}
    effects.trace.append(Trace(item.received_at, What.DECLINED, reason=reason, detail=said))
