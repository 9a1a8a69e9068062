"""The SQL, the walk in plain Python and the engine itself come to the same counts."""

from __future__ import annotations

import pytest

from parcours.channels.render import Renderer
from parcours.definitions.load import dump
from parcours.demo.client import batches
from parcours.demo.counts import expected
from parcours.demo.dataset import Dataset
from parcours.demo.run import load_examples
from parcours.runtimes.clocks import InputsClock, wall_time
from parcours.runtimes.engine import Accepted, Engine
from parcours.sources.segment import SegmentReader
from parcours.stores.memory import MemoryStore
from tests.demo import journeys


def differences(ours, sql):
    return {
        key: (ours.get(key, 0), sql.get(key, 0)) for key in ours.keys() | sql if ours.get(key, 0) != sql.get(key, 0)
    }


def by_engine(messages):
    engine = Engine(MemoryStore(), InputsClock())
    errors, _ = engine.publish([dump(definition) for definition in load_examples().all()])
    assert not errors
    reader = SegmentReader("test", wall_time, lambda: pytest.fail("a message has no id"))
    for _, body in batches(messages):
        read = reader.batch(body)
        assert not read.problems
        assert all(isinstance(outcome, Accepted) for outcome in engine.accept(read.arrivals))
        while engine.tick():
            pass
    counts = {}
    for (journey, _, step, what, reason), count in engine.store.statistics().items():
        if what != "branched":
            counts[journey, step, str(what), reason] = counts.get((journey, step, str(what), reason), 0) + count
    return counts, engine


@pytest.mark.parametrize("households", [None, 3])
def test_sql_walk_and_engine_agree_where_counts_go_wrong(small, households):
    sql = expected(households, small)
    with Dataset(households, small) as dataset:
        messages = list(dataset.messages())
    walked, now = journeys.walk(messages)
    assert differences(walked, sql.statistics) == {}
    assert now.timestamp() * 1000 == sql.now
    counted, engine = by_engine(messages)
    assert differences(counted, sql.statistics) == {}
    assert engine.clock.now() == sql.now
    assert engine.store.counts()["contacts"] == sql.contacts
    assert engine.store.counts()["records"] - 1 == sql.inputs == len(messages)


def test_the_small_dataset_holds_what_it_is_made_for(small):
    sql = expected(None, small)
    counted = sql.statistics
    assert counted["win-back", "came-back", "arrived", ""] == 3  # all of household 1
    assert counted["win-back", "lost", "arrived", ""] == 9  # 1 and 4, and all that ordered once, long ago
    assert counted["win-back", "miss", "arrived", ""] == 13  # and 10 at the last instant, but not 12
    assert counted["welcome", "settled", "arrived", ""] == 1  # 4
    assert counted["welcome", "", "entered", ""] - counted["welcome", "", "ended", "finished"] == 1  # 8
    assert counted["receipt", "receipt", "arrived", ""] == 6  # one of 4; not the 99.99
    assert counted["campaign-follow-up", "redeemed", "arrived", ""] == 3
    assert {key[3] for key in sql.statistics if key[2] == "suppressed"} == {
        "opted_out",
        "no_consent",
        "no_address",
        "invalid_address",
    }


def test_sql_walk_and_engine_agree_on_real_households():
    sql = expected(25)
    with Dataset(25) as dataset:
        messages = list(dataset.messages())
    walked, now = journeys.walk(messages)
    assert differences(walked, sql.statistics) == {}
    assert now.timestamp() * 1000 == sql.now
    counted, engine = by_engine(messages)
    assert differences(counted, sql.statistics) == {}
    mails: dict[str, int] = {}
    for (_, message, _), count in engine.store.outbox_counts().items():
        mails[message] = mails.get(message, 0) + count
    assert mails == sql.mails


def test_every_mail_can_be_written(small):
    with Dataset(None, small) as dataset:
        _, engine = by_engine(list(dataset.messages()))
    renderer, messages = Renderer(), load_examples().messages
    texts = {}
    for pending in engine.store.pending("email"):
        mail = pending.message
        trigger = engine.store.record(mail.trigger).input()
        data = {"contact": mail.attributes, "interaction": trigger.attributes}
        texts[mail.message] = renderer.render(messages[mail.message], data)["text"]
    assert texts.keys() == messages.keys()
    assert "Total 100.0 dollars" in texts["receipt"]
    assert "1 MILK: 100.0" in texts["receipt"]
    assert "of campaign 3 are good until\nFebruary 20." in texts["coupons-waiting"]
    assert "(1 articles, number 10" in texts["welcome"]


def test_the_known_facts_of_the_dataset():
    sql = expected()
    assert (sql.contacts, sql.orders, sql.lines) == (2_469, 155_848, 1_469_307)
    assert sql.inputs == 2_469 + 155_848 + 6_589 + 2_102
    assert sql.total("entered", journey="win-back") == sql.orders
    assert sql.total("entered", journey="welcome") == sql.contacts
    assert sum(sql.mails.values()) == sql.total("sent") == 17_713
