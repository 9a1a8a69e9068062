"""The SQL, the walk in plain Python and the engine itself come to the same counts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from parcours.definitions.load import dump
from parcours.demo.client import batches
from parcours.demo.counts import expected
from parcours.demo.dataset import Dataset
from parcours.demo.run import load_examples
from parcours.runtimes.clocks import InputsClock, wall_time
from parcours.runtimes.engine import Accepted, Engine
from parcours.sources.segment import SegmentReader
from parcours.stores.memory import MemoryStore

_spec = importlib.util.spec_from_file_location("demo_journeys", Path(__file__).with_name("journeys.py"))
journeys = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = journeys
_spec.loader.exec_module(journeys)


def differences(ours, sql):
    return {key: (ours.get(key, 0), sql.get(key, 0)) for key in ours.keys() | sql if ours.get(key, 0) != sql.get(key, 0)}


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
    assert sql.statistics["win-back", "came-back", "arrived", ""] == 3
    assert sql.statistics["welcome", "settled", "arrived", ""] == 2
    assert sql.statistics["receipt", "receipt", "arrived", ""] == 6
    assert sql.statistics["campaign-follow-up", "redeemed", "arrived", ""] == 3
    assert {key[3] for key in sql.statistics if key[2] == "suppressed"} == {
        "opted_out",
        "no_consent",
        "no_address",
        "invalid_address",
    }


def test_sql_walk_and_engine_agree_on_real_households():
    sql = expected(40)
    with Dataset(40) as dataset:
        messages = list(dataset.messages())
    walked, now = journeys.walk(messages)
    assert differences(walked, sql.statistics) == {}
    assert now.timestamp() * 1000 == sql.now
    counted, engine = by_engine(messages)
    assert differences(counted, sql.statistics) == {}
    # Every mail can be written, too.
    mails: dict[str, int] = {}
    for (_, message, _), count in engine.store.outbox_counts().items():
        mails[message] = mails.get(message, 0) + count
    assert mails == sql.mails


def test_the_known_facts_of_the_dataset():
    sql = expected()
    assert (sql.contacts, sql.orders, sql.lines) == (2_469, 155_848, 1_469_307)
    assert sql.inputs == 2_469 + 155_848 + 6_589 + 2_102
    assert sql.total("entered", journey="win-back") == sql.orders
    assert sql.total("entered", journey="welcome") == sql.contacts
    assert sum(sql.mails.values()) == sql.total("sent") == 17_713
