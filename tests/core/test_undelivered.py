"""What failed for good is told at the step that decided it, once: messages that were not delivered, calls without success."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core.effects import What
from parcours.core.figures import StepFigures, figures
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.definitions.message import WEBHOOK
from parcours.runtimes.engine.outcomes import Accepted
from parcours.stores.memory import MemoryStore
from tests.core.world import END, World, email, journey, send, wait
from tests.profiles import examples

SENDS = journey({"a": send("m", next="b"), "b": wait("9d", next="c"), "c": send("m")})
CALLS = journey({"a": {"type": "webhook", "url": "https://a.example", "next": "b"}, "b": END})
ASKS = journey({"a": {"type": "webhook", "url": "https://a.example", "save": "said", "next": "b"}, "b": END})


def at(world: World, step: str = "a", name: str = "j") -> StepFigures:
    versions = world.run.engine.plan.journeys[name].values()
    found = figures(versions, world.store.statistics())
    return next(one for one in found.steps if one.step == step)


def sent(*definitions: dict[str, Any]) -> World:
    world = World(email("m"), *(definitions or (SENDS,)))
    world.knows("ann")
    world.did("ann", "Go")
    return world


def tells(world: World, reaction: str, number: int = 0, *, id_: str = "", why: str = "", ours: bool = False) -> None:
    found = [*world.run.messages(), *world.run.messages((WEBHOOK,))] if not ours else world.run.messages((WEBHOOK,))
    said = {"error": "550 no such user"}
    arrival = world.arrival("", Reacted(reaction, found[number].id, said, ours=ours, why=why), id_=id_)
    world.accept(arrival)


def test_a_message_that_bounces_is_counted_at_its_step_and_told():
    world = sent()
    tells(world, "bounced")
    assert at(world).failed == {"bounced": 1}
    assert at(world).sent == {"m": 1}
    assert at(world, "c").failed == {}
    (entry,) = world.trace("ann", What.UNDELIVERED)
    (message,) = world.run.messages()
    assert (entry.step, entry.run, entry.reason) == ("a", message.run, "bounced")
    assert entry.detail == {"message_id": message.id, "error": "550 no such user"}


def test_what_is_told_twice_is_counted_once():
    world = sent()
    tells(world, "bounced")
    tells(world, "bounced")
    assert at(world).failed == {"bounced": 1}
    world.after("9d")
    tells(world, "bounced", 1)
    assert at(world).failed == {"bounced": 1}
    assert at(world, "c").failed == {"bounced": 1}


def test_what_is_told_in_one_batch_with_what_sent_it_is_counted_alike():
    world = World(email("m"), SENDS)
    world.knows("ann")
    other = World(email("m"), SENDS)
    other.knows("ann")
    other.did("ann", "Go", id_="go")
    (message,) = other.run.messages()
    go = other.arrival("ann", Happened("Go", {}), id_="go")
    bounces = [world.arrival("", Reacted("bounced", message.id, {}), id_=f"b{number}") for number in range(2)]
    outcomes = world.run.engine.accept([go, *bounces])
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    for bounce in bounces:
        other.accept(bounce)
    assert world.store.statistics() == other.store.statistics()
    assert at(world).failed == {"bounced": 1}


@pytest.mark.parametrize("definition", [CALLS, ASKS])
@pytest.mark.parametrize("why, reason", [("", "refused"), ("refused", "refused"), ("given_up", "given_up")])
def test_a_call_that_fails_for_good_is_counted_whether_or_not_anybody_waits(
    definition: dict[str, Any], why: str, reason: str
):
    world = sent(definition)
    assert at(world).waiting == ("save" in definition["steps"]["a"])
    tells(world, "failed", ours=True, why=why)
    assert at(world).failed == {reason: 1}
    assert at(world).waiting == 0


def test_a_call_that_is_answered_has_not_failed():
    world = sent(ASKS)
    tells(world, "answered", ours=True)
    assert at(world).failed == {}


def test_other_reactions_are_no_failures():
    world = sent()
    for reaction in ("delivered", "opened", "clicked", "complained", "unsubscribed"):
        tells(world, reaction)
    assert at(world).failed == {}


def test_a_door_cannot_say_why():
    """Only the outbox does; what comes in has no such field, and `why` counts only with what is ours."""
    world = sent()
    tells(world, "bounced", why="given_up")
    assert at(world).failed == {"bounced": 1}


def test_tests_are_not_counted():
    world = World(email("m"), SENDS | {"state": "draft", "test": {"recipients": {"email": "qa@parcours.dev"}}})
    world.knows("ann")
    world.run.engine.try_out("j", [world.id_of("ann")], {})
    tells(world, "bounced")
    assert world.trace("ann", What.UNDELIVERED)
    assert at(world).failed == {}


def test_a_message_to_somebody_who_became_part_of_another_is_counted_once():
    world = World(email("m"), SENDS)
    learned = Learned({"email": "a@parcours.dev"}, {"email": "a@parcours.dev"}, {"email": {"": "opted_in"}})
    world.accept(Arrival("test", "known", (("anonymous_id", "x"),), learned))
    world.accept(Arrival("test", "go", (("anonymous_id", "x"),), Happened("Go", {})))
    world.knows("ann")
    world.accept(Arrival("test", "link", (("user_id", "ann"), ("anonymous_id", "x")), Learned()))
    tells(world, "bounced")
    tells(world, "bounced")
    assert at(world).failed == {"bounced": 1}


def test_of_three_who_are_one_it_is_counted_once_whoever_it_was_told_of():
    world = World(email("m"), SENDS)
    learned = Learned({"email": "a@parcours.dev"}, {"email": "a@parcours.dev"}, {"email": {"": "opted_in"}})
    x, y, z = ("anonymous_id", "x"), ("card", "y"), ("user_id", "ann")
    world.accept(Arrival("test", "known", (x,), learned))
    world.accept(Arrival("test", "go", (x,), Happened("Go", {})))
    world.accept(Arrival("test", "y", (y,), Learned()))
    world.accept(Arrival("test", "one", (y, x), Learned()))
    tells(world, "bounced")
    world.accept(Arrival("test", "z", (z,), Learned()))
    world.accept(Arrival("test", "two", (z, y), Learned()))
    assert len({world.store.resolve([one])[one] for one in (x, y, z)}) == 1
    tells(world, "bounced")
    assert at(world).failed == {"bounced": 1}


class Reading(MemoryStore):
    """A store that counts what is read of traces and of messages."""

    def __init__(self) -> None:
        super().__init__()
        self.traces = self.messages = 0

    def trace(self, contact: str, limit: int = 1_000) -> Any:
        found = super().trace(contact, limit)
        self.traces += len(found)
        return found

    def posted(self, contact: str, limit: int = 1_000, before: int = 0) -> Any:
        found = super().posted(contact, limit, before)
        self.messages += len(found)
        return found


@pytest.fixture(scope="module")
def long_ago() -> World:
    """A message that was sent 1,200 decisions ago, and one that was sent just now."""
    world = World(email("m"), SENDS | {"re_entry": "never"}, store=Reading())
    world.knows("ann")
    world.did("ann", "Go")
    for _ in range(1_200):
        world.did("ann", "Go")
    world.after("9d")
    return world


def reads(world: World) -> tuple[int, int]:
    store = world.store
    assert isinstance(store, Reading)
    found = store.traces, store.messages
    store.traces = store.messages = 0
    return found


def test_a_message_of_long_ago_is_found_and_counted_once(long_ago: World):
    tells(long_ago, "bounced")
    assert at(long_ago).failed == {"bounced": 1}
    tells(long_ago, "bounced")
    assert at(long_ago).failed == {"bounced": 1}


def test_no_more_is_read_than_what_came_after_the_message(long_ago: World):
    reads(long_ago)
    tells(long_ago, "bounced", 1)
    assert at(long_ago, "c").failed == {"bounced": 1}
    traces, messages = reads(long_ago)
    assert traces < 30
    assert messages <= 2


def test_for_a_message_that_there_never_was_no_trace_is_read(long_ago: World):
    reads(long_ago)
    ours = long_ago.run.messages()[0].id
    bounce = long_ago.arrival("", Reacted("bounced", ours[:-8] + "00000000", {}))
    before = long_ago.store.statistics()
    long_ago.accept(bounce)
    traces, messages = reads(long_ago)
    assert (traces, messages) == (0, 2)
    assert long_ago.store.statistics() == before


@pytest.mark.parametrize("more", [{}, {"unavailable": "c"}])
def test_a_reward_that_is_not_issued_is_counted_with_its_reason(more: dict[str, str]):
    mug = {"kind": "reward", "name": "mug", "gift": "a mug", "stock": 1}
    others = {"c": END} if more else {}
    world = World(mug, journey({"a": {"type": "give", "reward": "mug", "next": "b", **more}, "b": END, **others}))
    for who in ("ann", "bob", "cyd"):
        world.did(who, "Go")
    assert at(world).failed == {"out_of_stock": 2}
    assert at(world).left == ({"unavailable": 2} if more else {})


BOTH = [email("m", purpose="transactional"), SENDS | {"re_entry": "always"}]
X, Y, Z = ("anonymous_id", "x"), ("card", "y"), ("user_id", "z")
_moves = st.one_of(
    st.tuples(st.just("go"), st.sampled_from([X, Y, Z])),
    st.tuples(st.just("link"), st.sampled_from([(Y, X), (Z, X), (Z, Y)])),
    st.tuples(st.just("wait"), st.sampled_from(["1h", "9d"])),
    st.tuples(st.sampled_from(["bounced", "opened"]), st.integers(0, 9)),
)


@examples(60)
@given(st.lists(_moves, max_size=25))
def test_each_failure_is_told_once_and_where_the_trace_says_that_it_was_decided(moves: list[tuple[str, Any]]):
    world = World(*BOTH)
    bounced = set()
    for number, one in enumerate((X, Y, Z)):
        learned = Learned({"email": "a@parcours.dev"}, {"email": "a@parcours.dev"})
        world.accept(Arrival("test", f"known{number}", (one,), learned))
    for number, (what, of) in enumerate(moves):
        sent_ = world.run.messages()
        if what == "go":
            world.accept(Arrival("test", f"{number}", (of,), Happened("Go", {})))
        elif what == "link":
            world.accept(Arrival("test", f"{number}", of, Learned()))
        elif what == "wait":
            world.after(of)
        elif sent_:
            message = sent_[of % len(sent_)].id
            bounced |= {message} if what == "bounced" else set()
            world.reacts(message, what)
    contacts = [contact.id for contact in world.store.scan()]
    entries = [entry for id_ in contacts for _, made in world.store.trace(id_, 10_000) for entry in made]
    places = {
        what: [
            ((entry.detail or {})["message_id"], (entry.journey, entry.version, entry.run, entry.step))
            for entry in entries
            if entry.what == what
        ]
        for what in (What.SENT, What.UNDELIVERED)
    }
    decided = dict(places[What.SENT])
    assert sorted(places[What.UNDELIVERED]) == sorted((message, decided[message]) for message in bounced)
