"""What is kept beside log and contacts: items of catalogues, what was learned, counts and marks."""

from __future__ import annotations

from pathlib import Path

from parcours.core.effects import What
from parcours.ports import Changes, Store
from parcours.testing.conformance.base import Conformance
from parcours.testing.conformance.making import fill


class BesideConformance(Conformance):
    """The last that was said stands; counts are added up."""

    def test_items_are_kept_by_catalogue_and_id(self, store: Store) -> None:
        store.commit(
            Changes(items={("shoes", "a"): {"price": 1.5}, ("shoes", "b"): {"tags": ["é"]}, ("hats", "a"): {"n": 1}})
        )
        assert store.items("shoes", ["a", "b", "c"]) == {"a": {"price": 1.5}, "b": {"tags": ["é"]}}
        assert store.items("hats", ["a"]) == {"a": {"n": 1}}
        assert store.items("none", ["a"]) == {}
        store.commit(Changes(items={("shoes", "a"): None, ("shoes", "b"): {}, ("shoes", "Z"): {"z": None}}))
        assert store.scan_items("shoes") == [("Z", {"z": None}), ("b", {})]
        assert store.scan_items("shoes", after="Z") == [("b", {})]
        assert store.scan_items("shoes", limit=1) == [("Z", {"z": None})]

    def test_what_was_learned_is_the_last_that_was_kept(self, store: Store) -> None:
        store.commit(Changes(knowledge={"a": b"1", "é": b"2"}))
        store.commit(Changes(knowledge={"a": b"3"}))
        assert dict(store.knowledge()) == {"a": b"3", "é": b"2"}

    def test_statistics_are_added_up(self, store: Store) -> None:
        here, there = ("j", 1, "s", What.SENT, "hello"), ("j", 2, "s", What.SENT, "hello")
        store.commit(Changes(statistics={here: 2, there: 1}))
        store.commit(Changes(statistics={here: 3, ("", 0, "", What.NOT_COUNTED, "é"): 1}))
        assert dict(store.statistics()) == {here: 5, there: 1, ("", 0, "", What.NOT_COUNTED, "é"): 1}

    def test_marks_are_the_last_that_were_made(self, store: Store) -> None:
        store.commit(Changes(marks={"a": "1", "b": ""}))
        store.commit(Changes(marks={"a": "2", "é": "\U0001f600"}))
        assert dict(store.marks()) == {"a": "2", "b": "", "é": "\U0001f600"}
        assert [store.mark(name) for name in ("a", "b", "é", "c")] == ["2", "", "\U0001f600", None]

    def test_one_mark_is_what_it_is_among_all(self, store: Store, tmp_path: Path) -> None:
        fill(store)
        store.commit(Changes(marks={"a": "1", "b": "2"}))
        store.flush()
        store.commit(Changes(marks={"a": None}))
        own = ("seen", "states", "heads")  # of a store in SQLite
        assert [store.mark(name) for name in ("a", "b", *own)] == [store.marks().get(name) for name in ("a", "b", *own)]
        store.forget()
        store.commit(Changes(marks={"c": "1"}))
        assert {name: store.mark(name) for name in store.marks()} == dict(store.marks())
        if self.durable:
            store = self.reopen(store, tmp_path)
            try:
                assert (store.mark("a"), store.mark("c")) == (None, "1")
            finally:
                store.close()

    def test_a_mark_can_be_removed(self, store: Store, tmp_path: Path) -> None:
        store.commit(Changes(marks={"a": "1", "b": "2", "c": "3"}))
        store.commit(Changes(marks={"a": None, "never": None, "b": "4"}))
        assert dict(store.marks()) == {"b": "4", "c": "3"}
        store.commit(Changes(marks={"b": None}))
        store.commit(Changes(marks={"b": "5"}))
        store.write(Changes(marks={"c": None}))
        store.finish()
        assert dict(store.marks()) == {"b": "5"}
        if self.durable:
            store = self.reopen(store, tmp_path)
            try:
                assert dict(store.marks()) == {"b": "5"}
            finally:
                store.close()
