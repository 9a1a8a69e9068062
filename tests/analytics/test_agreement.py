"""Every engine selects exactly the contacts of which a condition is true, one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.analytics.compile import compile_sql
from parcours.analytics.sql import UnanswerableError
from parcours.conditions import ast
from parcours.conditions.needs import Need, merge_need, needs
from parcours.conditions.operators import OPERATORS, Takes, end_of, to_instant
from parcours.conditions.to_python import compile_condition
from parcours.core.contact import Contact, Membership, Sent
from parcours.core.coupon import Coupon
from parcours.core.ids import contact_from_number
from parcours.core.inputs import Interaction
from parcours.core.member import Member, Standing
from parcours.core.memory import memories_of, remember_message, remember_reaction
from tests.analytics.crowd import DAY, INSTANTS, NOW, NOWS, NUMBERS, TEXTS, VALUES, Happened, Person, crowd
from tests.analytics.drawn_trees import CASED, SEGMENTS, trees
from tests.analytics.sql_engines import ENGINES, tables
from tests.conditions.reference import Asked, answer
from tests.profiles import THOROUGH, examples

# Engine, seed of the contacts, number of examples, conditions in each.
RUNS = [("duckdb", 1, 100), ("duckdb", 2, 100), ("postgres", 3, 60), ("clickhouse", 4, 40)]


def of_whom(node, people, now):
    """Return the contacts of which the reference says that a condition is true, one by one."""
    return {person.id for person in people if answer(node, Asked(person.somebody(), now, segments=SEGMENTS))}


@pytest.mark.parametrize("engine,seed,number", RUNS)
def test_the_same_contacts_are_selected(tmp_path_factory, engine, seed, number):
    people = crowd(seed)
    catalog, rows = tables(people)
    with ENGINES[engine](catalog, rows, tmp_path_factory.mktemp(engine)) as ask:

        @examples(number)
        @given(st.lists(trees, min_size=1, max_size=5), st.sampled_from(NOWS))
        def check(conditions, now):
            for node in conditions:
                expected = of_whom(node, people, now)
                sql = compile_sql(node, catalog, now, segments=SEGMENTS, dialect=engine)
                assert ask(sql) == expected, sql

        check()


def contact_of(person, node, now):
    """Return a contact that remembers what a condition needs of a past, as the fold hands it over at an instant."""
    contact = Contact(contact_from_number(person.id), attributes=person.attributes, consent=person.consent)
    contact.loyalty = {name: member_of(joined, now) for name, joined in person.programmes.items()}
    contact.coupons = {
        str(number): Coupon(str(number), one.reward, one.issued_at, one.until, one.state, one.at)
        for number, one in enumerate(person.coupons)
    }
    contact.lists = {name: Membership(member=True, at=0) for name in person.lists}
    wanted: dict[str, Need] = {}
    for tree in (node, *SEGMENTS.values()):
        for need in needs(tree).values():
            merge_need(wanted, need)
    memories = [memories_of(need) for need in wanted.values()]
    for event in sorted(person.past, key=lambda event: event.position):
        item = Interaction(
            position=event.position,
            received_at=max(NOW, event.occurred_at),
            occurred_at=event.occurred_at,
            name=event.name,
            attributes=event.attributes,
        )
        for memory in memories:
            if event.name in memory:
                memory[event.name].take(contact, item)
    for item in person.messages:
        if item.reaction == "sent":
            remember_message(contact, item.message, Sent(item.name, item.channel, item.at))
        else:
            remember_reaction(contact, item.message, item.reaction, item.at)
    return contact


def member_of(joined, now):
    """Return a member as the fold hands it over at an instant."""
    had = joined.at(now)
    standing = Standing(had.tiers[-1] if had.tiers else "", has=list(had.tiers))
    return Member(
        0,
        0 if had.current else 1,
        balance=had.spendable,
        held=had.held,
        lifetime=had.lifetime,
        qualified=list(joined.qualified),
        period=had.period,
        span=had.span,
        standing=standing,
    )


def test_closures_and_statements_agree(tmp_path_factory):
    """What a contact remembers answers as the columns do."""
    people = crowd(5)
    catalog, rows = tables(people)
    with ENGINES["duckdb"](catalog, rows, tmp_path_factory.mktemp("closures")) as ask:

        @examples(60)
        @given(trees, st.sampled_from([now for now in NOWS if now >= NOW]))
        def check(node, now):
            closure = compile_condition(node, SEGMENTS)
            expected = {person.id for person in people if closure(contact_of(person, node, now), {}, now)}
            assert ask(compile_sql(node, catalog, now, segments=SEGMENTS)) == expected

        check()


SCALARS = (*TEXTS, *INSTANTS, *NUMBERS, True, False)
ORDERED = (*TEXTS, *NUMBERS, "2026-02-28")
OPERANDS = {
    Takes.SCALAR: SCALARS,
    Takes.SCALARS: ((), SCALARS, SCALARS[::2], SCALARS[1::2], *zip(SCALARS, SCALARS[7:], strict=False)),
    Takes.ORDERED: ORDERED,
    Takes.RANGE: (
        *zip(sorted(TEXTS), sorted(TEXTS)[3:], strict=False),
        *pairwise(NUMBERS),
        (1, "1"),
    ),
    Takes.TEXT: (*TEXTS, "tl", "ATL", "North", "> N", "%", "_", "\\", "'", "North > A", "atlanta > north > a > b"),
    Takes.TEXTS: ((), ("",), ("Atlanta", "it's"), ("x", "ATLANTA"), ("strasse",), ("a\\b", "it's"), ("x", "x", "z")),
    Takes.INSTANT: tuple(text for text in INSTANTS if to_instant(text) is not None and end_of(text) is not None),
    Takes.DURATION: (1, 2, DAY - 1, DAY, DAY + 1, 28 * DAY, 30 * DAY, 3650 * DAY),
    Takes.DAYS: tuple(days * DAY for days in (1, 2, 3, 31, 59, 365, 366, 367, 800)),
    Takes.NOTHING: (None,),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_operator_meets_every_value(tmp_path_factory, engine):
    people = [
        Person(number, {"city": value}) for number, value in enumerate((*VALUES, *SCALARS, *OPERANDS[Takes.TEXT]))
    ]
    catalog, rows = tables(people)
    with ENGINES[engine](catalog, rows, tmp_path_factory.mktemp(engine)) as ask:
        for operator in OPERATORS.values():
            # The rarer engines see a third of the operands each time, unless the test is thorough.
            for value in OPERANDS[operator.takes][:: 1 if engine == "duckdb" or THOROUGH else 3]:
                for ignore_case in (False, True) if operator.takes in CASED else (False,):
                    for now in NOWS if operator.clocked else (NOW,):
                        leaf = ast.Attribute(ast.Subject.CONTACT, "city", operator.name, value, ignore_case)
                        expected = of_whom(leaf, people, now)
                        sql = compile_sql(leaf, catalog, now, dialect=engine)
                        assert ask(sql) == expected, (leaf, sql)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_edges_of_a_window(tmp_path_factory, engine):
    """One contact for each instant around each edge, and every window that has an edge there."""
    moments = [NOW + edge * DAY + by for edge in (-7, -1, 0) for by in (-1, 0, 1) if edge * DAY + by <= 1]
    people = [Person(at, past=[Happened("viewed", 1, at, {})]) for at in moments]
    catalog, rows = tables(people)
    windows = [
        *(ast.Window(within=span) for span in (DAY - 1, DAY, DAY + 1, 7 * DAY)),
        *(ast.Window(start=at) for at in moments),
        *(ast.Window(end=at) for at in moments),
        ast.Window(within=7 * DAY, start=NOW - DAY, end=NOW),
        ast.Window(),
    ]
    with ENGINES[engine](catalog, rows, tmp_path_factory.mktemp(engine)) as ask:
        for window in windows:
            leaf = ast.History(("viewed",), "at_least", 1, window=window)
            expected = of_whom(leaf, people, NOW)
            assert ask(compile_sql(leaf, catalog, NOW, dialect=engine)) == expected, window


@pytest.mark.parametrize("engine", ENGINES)
def test_parts_of_a_draw_share_nobody_and_leave_nobody_out(tmp_path_factory, engine):
    people = [Person(number * 7_919 + number % 3 * 2**58) for number in range(20_000)]
    catalog, rows = tables(people)
    parts = [(0, 10), (10, 0.01), (10.01, 19.99), (30, 100 / 3), (30 + 100 / 3, 70 - 100 / 3)]
    with ENGINES[engine](catalog, rows, tmp_path_factory.mktemp(engine)) as ask:
        for draw in ("october", "it's a \\ draw: ünï"):
            met: set[int] = set()
            for start, percent in parts:
                leaf = ast.Sample(draw, percent, start)
                found = ask(compile_sql(leaf, catalog, NOW, dialect=engine))
                assert found == of_whom(leaf, people, NOW)
                assert abs(len(found) - 200 * percent) < 5 * (200 * percent) ** 0.5 + 1
                assert met.isdisjoint(found)
                met |= found
            assert len(met) == len(people)


AMOUNTS = [0.0000005, 0.0000004, -0.0000005, -0.0000006, 0.1, 0.2, 0.3, 1 / 3, 1e12, -1e12, 1e12 + 0.001, 2**53, 0.5]


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_are_exact(tmp_path_factory, engine):
    """Sums of amounts that doubles do not add up exactly, in any order, and of more than 64 bits."""
    pasts = [[amount] for amount in AMOUNTS] + [
        [0.1] * 3,
        [0.1, 0.2],
        [1e12, 0.1, -1e12],
        [1e12] * 10,
        [-1e12] * 10,
        [],
    ]
    people = [
        Person(
            number, past=[Happened("ordered", place, NOW, {"Total": amount}) for place, amount in enumerate(amounts)]
        )
        for number, amounts in enumerate(pasts)
    ]
    catalog, rows = tables(people)
    with ENGINES[engine](catalog, rows, tmp_path_factory.mktemp(engine)) as ask:
        for operator in ("at_least", "at_most", "more_than", "less_than"):
            for limit in (0, 0.000001, -0.000001, 0.1, 0.3, 0.300001, 0.333333, 1e12, -1e12, 999_999_999_999.9):
                leaf = ast.History(("ordered",), operator, limit, measure=ast.Measure.SUM, attribute="Total")
                assert ask(compile_sql(leaf, catalog, NOW, dialect=engine)) == of_whom(leaf, people, NOW), leaf


@pytest.mark.parametrize(
    "node,says",
    [
        (ast.History(("viewed",), "at_least", 1, window=ast.Window(since="entry")), "a run"),
        (ast.Attribute(ast.Subject.TRIGGER, "city", "is", "Atlanta"), "interaction at hand"),
        (ast.InSegment("nobody"), "no segment 'nobody'"),
        (ast.InSegment("itself"), "part of itself"),
    ],
)
def test_what_cannot_be_asked_of_everybody_is_said(node, says):
    catalog, _ = tables([Person(1, past=[Happened("viewed", 1, 1, {})])])
    with pytest.raises(UnanswerableError, match=says):
        compile_sql(node, catalog, NOW, segments={"itself": ast.Not(ast.InSegment("itself"))})
