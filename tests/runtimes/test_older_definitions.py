"""What an earlier version of the program let be published stays in force, also where more is refused today."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcours.analytics.members import Programmes
from parcours.analytics.rows import Rules
from parcours.definitions.load import assembling
from parcours.runtimes.clocks import VirtualClock
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore
from tests.core.world import END, journey, wait

START = 1_772_442_000_000
LOST = journey({"a": wait("1d", next="b"), "b": END, "lost": END}, name="older")
GO = {"kind": "interaction", "name": "Go"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteStore:
    """A store with a journey in which nothing leads to a step, as if that had not been looked for."""
    with monkeypatch.context() as earlier:
        earlier.setattr(assembling, "check", lambda *_: [])
        store = SqliteStore(tmp_path / "parcours.db")
        assert Engine(store, VirtualClock(START)).publish([GO, LOST]) == ([], [])
        store.close()
    return SqliteStore(tmp_path / "parcours.db")


def test_the_service_starts_with_it(store: SqliteStore):
    engine = Engine(store, VirtualClock(START + 1))
    assert engine.plan.states == {"older": "live"}
    members = Programmes()
    members.follow(store)
    assert Rules(store.publications(0))
    store.close()


def test_something_else_is_published_and_it_itself_only_when_it_is_mended(store: SqliteStore):
    engine = Engine(store, VirtualClock(START + 1))
    assert engine.publish([journey({"a": END}, name="newer")])[0] == []
    errors, _ = engine.publish([LOST | {"title": "Older"}])
    assert [(one.code, one.pointer) for one in errors] == [("unreachable_step", "/definitions/0/steps/lost")]
    mended = LOST | {"steps": {"a": wait("1d", next="b"), "b": END}}
    assert engine.publish([mended])[0] == []
    store.close()


def test_what_others_would_break_is_told_of_all_the_same(store: SqliteStore):
    engine = Engine(store, VirtualClock(START + 1))
    vip = {"kind": "list", "name": "vip"}
    steps = {"a": {"type": "list", "add": ["vip"], "next": "b"}, "b": END}
    assert engine.publish([vip, journey(steps, name="newer")])[0] == []
    errors, _ = engine.publish([vip | {"archived": True}])
    assert [one.code for one in errors] == ["archived_reference"]
    store.close()
