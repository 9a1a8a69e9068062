"""Rows of a file are folded once each, whatever happens on the way, and those that are refused are in a file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parcours.errors import ParcoursError, StoreError
from parcours.ports import Changes, Store
from parcours.runtimes.clocks import VirtualClock
from parcours.runtimes.engine import Engine
from parcours.runtimes.importer import Progress, Rehearsal
from parcours.runtimes.jobs import Opened
from parcours.sources.files import FileError, spec_from_options
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import snapshot
from parcours.wiring import open_import, plain_spec
from tests.core.world import journey, push, send
from tests.imports.helper import SALES, engine_of, importer, run, sales


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "parcours.db")
    yield made
    made.close()


def rejected(path: Path) -> list[dict[str, str]]:
    with (path.parent / "rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("apart", [False, True])
def test_every_row_is_taken_or_in_the_file_of_rejected_rows(store, tmp_path, apart):
    path = sales(tmp_path / "sales.csv", 1_000, wrong=100)
    done = run(engine_of(store), path, *SALES, "types.total=number", "ignore=more", apart=apart)
    tally = done.tally
    assert (tally.rows, tally.accepted, tally.duplicates, tally.rejected) == (1_000, 990, 0, 10)
    assert tally.reasons == {"wrong_type": 10}
    rows = rejected(path)
    assert [int(row["rejected_line"]) for row in rows] == [3 + 100 * number for number in range(10)]
    assert {row["total"] for row in rows} == {"much"}
    assert store.counts()["records"] == 991  # and one of definitions


def test_what_only_the_engine_refuses_is_rejected_with_its_line_and_as_it_was(store, tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text("who,name,total\nann,Bought,1\nann,Bouhgt,2\nbob,Bought,3\n")
    for apart in (False, True):
        done = run(engine_of(store), path, "kind=interactions", "identities.user_id=who", apart=apart)
        assert done.tally.rejected == 1
        (row,) = rejected(path)
        assert row["rejected_code"] == "unknown_interaction"
        assert row["rejected_line"] == "3"
        assert "Bought" in row["rejected_message"]
        assert (row["who"], row["name"], row["total"]) == ("ann", "Bouhgt", "2")
        assert done.tally.problems[0].line == 3
        assert done.tally.problems[0].file == "sales.csv"


def test_an_unknown_interaction_is_taken_when_asked(store, tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text("who,name\nann,Seen\n")
    spec = ("kind=interactions", "identities.user_id=who")
    assert run(engine_of(store), path, *spec).tally.rejected == 1
    assert run(engine_of(store), path, *spec, learn=True).tally.accepted == 1


def test_the_same_file_again_changes_nothing(store, tmp_path):
    engine = engine_of(store)
    path = sales(tmp_path / "sales.csv", 600, wrong=100)
    spec = (*SALES, "types.total=number", "ignore=more")
    run(engine, path, *spec)
    before, was = store.counts(), (tmp_path / "rejects.csv").read_bytes()
    tally = run(engine, path, *spec).tally
    assert (tally.rows, tally.accepted, tally.duplicates, tally.rejected) == (600, 0, 594, 6)
    assert store.counts() == before
    assert (tmp_path / "rejects.csv").read_bytes() == was


ROWS = """who,email,name,at,total,when
ann,ann@example.com,Bought,2026-01-01T10:00:00Z,1.5,2026-01-01
ann,ann@example.com,Bought,2026-01-01T10:00:00Z,1.5,2026-01-01
ann,,Bought,2026-01-02T10:00:00Z,2,
bob,,Seen,2026-01-02T10:00:00Z,,one day
,bob@example.com,Bought,,3,2026-01-01
bob,bob@example.com,Seen,2026-01-03T10:00:00Z,much,2026-01-01
bob,bob@example.com,Bought,2026-01-03T10:00:00Z,much,2026-01-01
,,Bought,2026-01-03T10:00:00Z,1,
cyd,,Bought,2126-01-03T10:00:00Z,1,
cyd,,Bought,2026-01-03T10:00:00Z,,2026-01-01
cyd,,bought,2026-01-03T10:00:00Z,7,2026-01-01
cyd,,Seen,2026-01-03T10:00:00Z,7,
"""


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("backfill", [False, True])
def test_a_process_of_its_own_and_any_batches_come_to_the_same(tmp_path, learn, backfill):
    """Interactions are made ready in that process; here they are all looked at one by one."""
    bought = {
        "kind": "interaction",
        "name": "Bought",
        "attributes": {"total": {"type": "number", "required": True}, "when": {"type": "datetime"}},
    }
    journeys = [journey({"s": send("hello")}, on="Bought"), push("hello")]
    found = []
    for apart, rows, size in ((False, 100, 250), (True, 100, 250), (True, 2, 3), (False, 1, 1)):
        folder = tmp_path / f"{apart}{rows}"
        folder.mkdir()
        path = folder / "sales.csv"
        path.write_text(ROWS)
        engine = Engine(MemoryStore(), VirtualClock(1_777_777_777_777))
        assert engine.publish([bought, *journeys])[0] == []
        options = ("kind=interactions", "identities.user_id=who", "identities.email=email", "occurred_at=at")
        options += (f"backfill={str(backfill).lower()}",)
        done = run(engine, path, *options, apart=apart, rows=rows, size=size, learn=learn)
        learned = {name: engine.learner.knowledge(name) for name in engine.learner.names()}
        rejects = (folder / "rejects.csv").read_bytes()
        found.append((snapshot(engine.store), learned, rejects, done.tally.accepted, done.tally.reasons))
    assert all(one == found[0] for one in found[1:])
    assert found[0][3] == (6 if learn else 5)


class CutError(Exception):
    """The power is cut."""


@pytest.mark.parametrize(
    "batch,moment,apart",
    [
        *((batch, moment, False) for batch in range(4) for moment in ("before", "written", "kept")),
        (2, "written", True),
    ],
)
def test_an_import_that_was_cut_off_goes_on_behind_its_last_batch(tmp_path, monkeypatch, batch, moment, apart):
    path = sales(tmp_path / "sales.csv", 1_000, wrong=90)
    spec = (*SALES, "types.total=number", "ignore=more")
    whole = tmp_path / "whole"
    whole.mkdir()
    run(engine_of(MemoryStore()), sales(whole / "sales.csv", 1_000, wrong=90), *spec)

    store = SqliteStore(tmp_path / "parcours.db")
    engine = engine_of(store)
    cut_at(store, monkeypatch, batch, moment)
    with pytest.raises(CutError):
        run(engine, path, *spec, size=200, apart=apart)
    monkeypatch.undo()
    store.close()

    store = SqliteStore(tmp_path / "parcours.db")
    again = importer(engine_of(store), path, *spec)
    kept = batch + (moment == "kept")
    assert 200 * kept <= again.resumed <= 301 * kept
    assert store.counts()["records"] == 1 + again.begun.tally.accepted  # the mark and the rows, or neither
    tally = again.run(200).tally
    assert (tally.rows, tally.accepted, tally.duplicates, tally.rejected) == (1_000, 988, 0, 12)
    assert store.counts()["records"] == 989
    assert (tmp_path / "rejects.csv").read_bytes() == (whole / "rejects.csv").read_bytes()
    store.close()


def cut_at(store: SqliteStore, monkeypatch: Any, batch: int, moment: str) -> None:
    """Cut the power at a batch: before it is written, before it is durable, or when it just was."""
    count = -1

    def counted(changes: Changes, *, work: Callable[[Changes], None] = store.write) -> None:
        nonlocal count
        count += any(name.startswith("import:") for name in changes.marks)
        if count == batch and moment == "before":
            raise CutError
        work(changes)

    def finish(work: Callable[[], None] = store.finish) -> None:
        if count == batch and moment == "written":
            store._db.execute("rollback")
            raise CutError
        work()
        if count == batch and moment == "kept":
            raise CutError

    monkeypatch.setattr(store, "write", counted)
    monkeypatch.setattr(store, "finish", finish)


def test_without_the_rejected_rows_of_before_it_begins_again(tmp_path, monkeypatch):
    path = sales(tmp_path / "sales.csv", 1_000, wrong=90)
    spec = (*SALES, "types.total=number", "ignore=more")
    store = SqliteStore(tmp_path / "parcours.db")
    engine = engine_of(store)
    cut_at(store, monkeypatch, 3, "before")
    with pytest.raises(CutError):
        run(engine, path, *spec, size=200)
    monkeypatch.undo()
    (tmp_path / "rejects.csv").unlink()
    again = importer(engine, path, *spec)
    assert again.resumed == 0
    tally = again.run(200).tally
    assert (tally.rows, tally.accepted + tally.duplicates, tally.rejected) == (1_000, 988, 12)
    assert len(rejected(path)) == 12
    store.close()


def test_a_defect_in_the_fold_costs_one_row_and_the_mark_is_kept(store, tmp_path, monkeypatch):
    path = sales(tmp_path / "sales.csv", 300)
    engine = engine_of(store)
    from parcours.runtimes.engine import folding as module

    fold = module.fold

    def failing(plan: Any, contact: Any, item: Any) -> Any:
        if getattr(item, "attributes", {}).get("total") == 33.5:
            raise LookupError("33")
        return fold(plan, contact, item)

    monkeypatch.setattr(module, "fold", failing)
    tally = run(engine, path, *SALES, "ignore=more").tally
    assert (tally.rows, tally.accepted, tally.rejected) == (300, 299, 1)
    assert tally.reasons == {"internal_error": 1}
    assert [row["rejected_line"] for row in rejected(path)] == ["35"]


def test_backfill_counts_and_triggers_nothing(store, tmp_path):
    engine = engine_of(store, push("hi", purpose="transactional"), journey({"hi": send("hi")}, on="Bought", name="j"))
    path = tmp_path / "sales.csv"
    path.write_text("who,total\nann,1\nbob,2\n")
    spec = ("kind=interactions", "name=Bought", "identities.user_id=who")
    run(engine, path, *spec, "backfill=true")
    assert not store.statistics()
    run(engine, path, *spec, "source=live")
    assert store.statistics()


def test_contacts_come_with_consent_and_evidence(store, tmp_path):
    path = tmp_path / "contacts.csv"
    path.write_text("user_id,email,plan,consent.email\nann,Ann@Example.com,gold,opted_in\nbob,nothing,,no\n")
    done = run(engine_of(store), path, "kind=contacts", "evidence.by=Eve", "evidence.how=letter")
    assert done.tally.accepted == 2
    owners = store.resolve([("user_id", "ann"), ("user_id", "bob")])
    people = store.contacts(list(owners.values()))
    ann = people[owners["user_id", "ann"]]
    assert ann.attributes["plan"] == "gold"
    assert ann.consent == {"email": {"": "opted_in"}}
    assert ann.addresses["email"].lower() == "ann@example.com"
    assert people[owners["user_id", "bob"]].consent == {"email": {"": "opted_out"}}
    update = store.history(ann.id)[0].input()
    assert update.evidence == {"by": "Eve", "how": "letter"}


def test_lists_must_be_there_unless_they_are_made(store, tmp_path):
    engine = engine_of(store)
    path = tmp_path / "lists.csv"
    path.write_text("user_id,list,action\nann,vip,add\nann,new,add\nbob,vip,remove\n")
    tally = run(engine, path, "kind=lists").tally
    assert (tally.accepted, tally.reasons) == (2, {"unknown_list": 1})
    tally = run(engine, path, "kind=lists", create=True).tally
    assert (tally.accepted, tally.duplicates, tally.rejected) == (1, 2, 0)
    assert "new" in engine.plan.workspace.lists


@pytest.mark.parametrize("apart", [False, True])
def test_items_that_are_as_they_were_are_not_written_again(store, tmp_path, apart):
    engine = engine_of(store)
    path = tmp_path / "items.csv"
    path.write_text("id,price,title\na,1,Hat\nb,much,Bag\nc,3,Cap\n")
    spec = ("kind=items", "catalogue=products", "types.price=string")
    tally = run(engine, path, *spec, apart=apart).tally
    assert (tally.accepted, tally.rejected) == (0, 3)  # text is no number: the engine says so, item by item
    spec = ("kind=items", "catalogue=products", "types.price=number")
    tally = run(engine, path, *spec, apart=apart).tally
    assert (tally.accepted, tally.duplicates, tally.rejected) == (2, 0, 1)
    assert store.items("products", ["a", "c"]) == {"a": {"price": 1, "title": "Hat"}, "c": {"price": 3, "title": "Cap"}}
    records = store.counts()["records"]
    tally = run(engine, path, *spec, apart=apart).tally
    assert (tally.accepted, tally.duplicates, tally.rejected) == (0, 2, 1)
    assert store.counts()["records"] == records


def test_a_reader_that_dies_is_an_error_and_the_next_import_goes_on(tmp_path):
    store = SqliteStore(tmp_path / "parcours.db")
    path = sales(tmp_path / "sales.csv", 200_000)
    engine = engine_of(store)
    job = importer(engine, path, *SALES, "ignore=more", rows=2_000, apart=True)
    seen: list[Progress] = []

    def tell(progress: Progress) -> None:
        seen.append(progress)
        job._rows._child._process.kill()  # type: ignore[attr-defined]

    job._tell = tell
    with pytest.raises(FileError, match="ended by signal 9"):
        job.run(2_000)
    again = importer(engine, path, *SALES, "ignore=more", rows=2_000, apart=True)
    assert again.resumed >= 2_000
    assert again.run(20_000).tally.accepted == 200_000
    assert store.counts()["records"] == 200_001
    store.close()


def test_a_store_that_fails_ends_it_and_nothing_half_done_is_kept(tmp_path, monkeypatch):
    store = SqliteStore(tmp_path / "parcours.db")
    path = sales(tmp_path / "sales.csv", 1_000)
    engine = engine_of(store)

    def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "finish", full)
    with pytest.raises(StoreError):
        run(engine, path, *SALES, "ignore=more", size=300)
    monkeypatch.undo()
    store._failed(StoreError("as the store itself would have"))
    assert run(engine, path, *SALES, "ignore=more", size=300).tally.accepted == 1_000
    assert store.counts()["records"] == 1_001
    store.close()


def test_a_rehearsal_says_what_an_import_then_does_and_changes_nothing(store, tmp_path):
    engine = engine_of(store)
    path = tmp_path / "sales.csv"
    path.write_text("who,name,total\nann,Bought,1\nann,Bouhgt,2\nbob,Bought,x\nbob,Bought,3\n")
    spec = spec_from_options(["kind=interactions", "identities.user_id=who", "types.total=number"])

    def opened() -> Opened:
        return open_import(path, plain_spec(spec), engine.plan.workspace)

    def rehearsed() -> Rehearsal:
        rehearsal = Rehearsal(opened().rows, engine, file=path.name)
        list(rehearsal.steps())
        return rehearsal

    before = store.counts(), dict(store.marks())
    rehearsal = rehearsed()
    assert (store.counts(), dict(store.marks())) == before
    assert rehearsal.examples[0]["what"] == {"name": "Bought", "attributes": {"total": 1}}
    done = run(engine, path, "kind=interactions", "identities.user_id=who", "types.total=number")
    assert (rehearsal.tally.accepted, rehearsal.tally.reasons) == (done.tally.accepted, done.tally.reasons)
    assert rehearsed().tally.duplicates == 2


def test_rejected_rows_that_cannot_be_written_are_an_error(tmp_path):
    store = MemoryStore()
    path = tmp_path / "sales.csv"
    path.write_text("who,total\nann,x\n")
    (tmp_path / "rejects.csv").mkdir()
    with pytest.raises(ParcoursError, match="cannot be written"):
        run(engine_of(store), path, "kind=interactions", "name=Bought", "identities.user_id=who", "types.total=number")
    assert store.counts()["records"] == 1


def test_the_same_row_in_a_later_file_says_it_anew(store, tmp_path):
    engine = engine_of(store)
    levels = ["gold", "silver", "gold"]
    for day, level in enumerate(levels):
        path = tmp_path / f"day{day}.csv"
        path.write_text(f"user_id,level\nann,{level}\n" + f"u{day},x\n")
        for repeat in range(2):
            progress = run(engine, path, "kind=contacts")
            assert (progress.tally.accepted, progress.tally.duplicates) == ((0, 2) if repeat else (2, 0))
        id_ = store.resolve([("user_id", "ann")])["user_id", "ann"]
        assert store.contacts([id_])[id_].attributes["level"] == level
