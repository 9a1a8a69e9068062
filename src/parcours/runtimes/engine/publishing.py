"""The plan in force: publishing definitions, moving runs, journeys that begin and end in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from parcours.core import ids
from parcours.core.codec import encode
from parcours.core.inputs import (
    Move,
    Publish,
)
from parcours.core.moves import MoveCheck, check_move
from parcours.definitions.doubts import never_seen
from parcours.definitions.load import load_data
from parcours.definitions.workspace import AnyDefinition, Workspace, key_of
from parcours.errors import Problem
from parcours.ports import Changes, Clock, Record, Store
from parcours.runtimes.engine.slices import CANCELLING, Cancelling, Slices
from parcours.runtimes.readings import Readings
from parcours.runtimes.schedules import over, problems_of_journey


class Publishing(Slices):
    """Puts definitions in force, at once and when their time comes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self._readings = Readings(self.plan, store.mark, clock.now())

    def next_due(self) -> int | None:
        """Return an instant at or before which no timer is due and no journey begins or ends; None when none ever is."""
        due, turn = self._reminders.next(), self.plan.next_turn
        return min((at for at in (due, turn, self._readings.next_due()) if at is not None), default=None)

    def next_reading(self) -> int | None:
        """Return when the next segment is to be read; None when none ever is."""
        return self._readings.next_due()

    def tick(self, now: int | None = None, *, finish: bool = True) -> int:
        """Fire timers due by `now` (else the clock's time), of up to `LARGEST_TICK` contacts; return of how many.

        A journey that begins or ends on the way counts as one. Unless told to `finish`, that is left to be called.

        Raises:
            StoreError: Nothing more was kept; the timers stay due.
        """
        now = self.clock.now() if now is None else now
        turn = self.plan.next_turn
        if turn is None or turn > now:
            return self._fire(now, finish=finish)
        fired = self._fire(turn)
        if not fired:
            self._turn(turn)
        return fired or 1

    def publish(self, definitions: Sequence[dict[str, Any]]) -> tuple[list[Problem], list[Problem]]:
        """Publish definitions (plain data): check them, put them in the log and go on with the plan they make.

        Returns the errors and the warnings; with an error nothing was published. Everything due by now fires under the
        plan before.

        Raises:
            StoreError: Nothing was published.
        """
        workspace, errors, warnings = load_data(list(definitions), self.plan.workspace)
        errors += self._wrong_schedules(definitions, workspace)
        if errors:
            return errors, warnings
        now = self.clock.now()  # once, so that what is due by the publication's own time is what fires before it
        self._turn_until(now)
        self._be_up_to(now)
        changed = _changed(workspace.all(), self.plan.workspace.all())
        if changed:
            self._put_in_force(list(definitions), changed, now)
        return [], warnings

    def check(self, definitions: Sequence[dict[str, Any]]) -> tuple[list[Problem], list[Problem]]:
        """Return the errors and warnings that publishing definitions would come to."""
        workspace, errors, warnings = load_data(list(definitions), self.plan.workspace)
        return errors + self._wrong_schedules(definitions, workspace), warnings + self._doubts(definitions, workspace)

    def doubts(self, definitions: Sequence[dict[str, Any]]) -> list[Problem]:
        """Return where journeys among definitions ask for what never arrived, or for times that are past.

        Of definitions that cannot be read, nothing is said.
        """
        if not any(definition.get("kind") == "journey" for definition in definitions):
            return []
        workspace, _, _ = load_data(list(definitions), self.plan.workspace)
        return self._doubts(definitions, workspace)

    def _doubts(self, definitions: Sequence[dict[str, Any]], workspace: Workspace) -> list[Problem]:
        found = []
        for index, definition in enumerate(definitions):
            journey = workspace.journeys.get(str(definition.get("name")))
            if journey is not None and definition.get("kind") == "journey":
                before = self.plan.workspace.journeys.get(journey.name)
                doubts = never_seen(journey, workspace, self.learned_attributes)
                if not problems_of_journey(journey, workspace.settings.zone):
                    doubts += over(journey, before, workspace.settings.zone, self.clock.now())
                found += [
                    msgspec.structs.replace(problem, pointer=f"/definitions/{index}{problem.pointer}")
                    for problem in doubts
                ]
        return found

    def check_move(self, move: Move) -> MoveCheck:
        """Return what a move would do, as things are now."""
        return check_move(self.plan, move, self.store.statistics())

    def move(self, move: Move) -> MoveCheck:
        """Move the runs of one version of a journey to another, unless something is wrong with that.

        Raises:
            StoreError: Nothing was moved.
        """
        now = self.clock.now()
        self._turn_until(now)
        self._be_up_to(now)
        found = check_move(self.plan, move, self.store.statistics())
        if not found.errors:
            self._put_in_force([], [], now, [move])
        return found

    def _wrong_schedules(self, definitions: Sequence[dict[str, Any]], workspace: Workspace) -> list[Problem]:
        """Return what is wrong with schedules, each with its place among the definitions."""
        errors: list[Problem] = []
        for index, data in enumerate(definitions):
            journey = workspace.journeys.get(str(data.get("name"))) if data.get("kind") == "journey" else None
            if journey is not None:
                errors += problems_of_journey(journey, workspace.settings.zone, f"/definitions/{index}")
        return errors

    def _be_up_to(self, now: int) -> None:
        """Have everybody where they would be if nothing more were published: brought up, and what is due has fired.

        So everybody sees each plan, in order: one that pauses a journey, and one that lets it go on.
        """
        while self._fire(now):
            pass
        while self._bringing is not None:
            self._bring_up(self._bringing)
        while self._fire(now):
            pass

    def _turn_until(self, now: int) -> None:
        """Let journeys begin and end whose time came by an instant, each at its own, and what is due before it fire."""
        while (turn := self.plan.next_turn) is not None and turn <= now:
            self._turn(turn)

    def _turn(self, at: int) -> None:
        """Let journeys begin and end at an instant: a publication of nothing, which puts the same plan in force anew."""
        self._be_up_to(at)
        self._put_in_force([], [], at)

    def _put_in_force(
        self,
        definitions: list[dict[str, Any]],
        changed: list[AnyDefinition],
        now: int,
        moves: Sequence[Move] = (),
    ) -> None:
        self.catch_up()
        # States are whole before the plan changes, so what they lack was always folded with the plan in force.
        self.store.flush()
        position = self.store.last_position() + 1
        item = Publish(position=position, received_at=now, occurred_at=now, definitions=definitions, moves=list(moves))
        plan = self.plan.publish(changed, at=now, position=position, moves=moves)
        changes = Changes(records=[Record(position, "", ids.message_key("", f"publish:{position}"), encode(item))])
        readings = Readings(plan, self.store.mark, now, self.plan)
        changes.marks.update(readings.marks())
        if plan.stopping and plan.revision != self.plan.revision:
            changes.marks[CANCELLING] = "yes"
        self.store.commit(changes)
        self.plan = plan
        self._readings = readings
        self._bringing = self._brought_up()
        self._cancelling = Cancelling() if self.store.mark(CANCELLING) is not None else None


def _changed(new: list[AnyDefinition], old: list[AnyDefinition]) -> list[AnyDefinition]:
    before = {key_of(definition): definition for definition in old}
    return [definition for definition in new if before.get(key_of(definition)) != definition]
