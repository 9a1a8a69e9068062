"""The life of journeys over the API: versions, states, what is wrong, what happened in each step, moves and tests."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from litestar import Controller, Request, Response, get, patch, post, put
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.core.compiled import CompiledJourney
from parcours.core.figures import JourneyFigures, experiments, figures
from parcours.core.inputs import Move
from parcours.core.plan import Plan
from parcours.core.trials import GoalResult, results
from parcours.definitions.common import milliseconds_of
from parcours.definitions.differences import Difference, difference
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.load import dump
from parcours.definitions.packs import put_away
from parcours.errors import Problem, did_you_mean
from parcours.sources.words import not_json, told_of
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.definitions import Published, check_match, etag_of, of_one, other_problems, published, publishing
from parcours.web.api.people import iso
from parcours.web.api.tryouts import NewTest, Tests, try_out

T = TypeVar("T")

CONFLICT = 409

TRANSITIONS = {
    "publish": "live",
    "schedule": "live",
    "test": "test",
    "pause": "paused",
    "resume": "live",
    "close": "closed",
    "stop": "stopped",
    "draft": "draft",
    "archive": "archived",
    "restore": "restored",
}
"""What can be posted below a journey, and the state it comes into."""

_FROM = {
    "publish": ("draft", "test", "scheduled", "closed", "stopped"),
    "schedule": ("draft", "test", "scheduled", "closed", "stopped"),
    "pause": ("live",),
    "resume": ("paused",),
    "close": ("live", "test", "scheduled", "paused"),
    "stop": ("live", "test", "scheduled", "paused", "closed"),
    "archive": ("draft", "closed", "stopped"),
    "restore": ("archived",),
}


LIFE = ("draft", "test", "scheduled", "live", "paused", "closed", "stopped", "archived")
"""Every state that a journey may be in."""


class JourneyRow(msgspec.Struct):
    """A journey in a list."""

    name: str
    title: str
    state: str
    """The state it is in now: also `scheduled` and `archived`."""
    version: int
    starts: str | None
    ends: str | None
    entered: int
    running: int
    goals: dict[str, int]


class Journeys(msgspec.Struct):
    """All journeys."""

    journeys: list[JourneyRow]
    states: dict[str, int]
    """How many there are in each state."""


class VersionRow(msgspec.Struct):
    """One version of a journey."""

    version: int
    published: str
    entered: int
    running: int


class JourneyView(msgspec.Struct):
    """One journey with its versions, the newest first."""

    name: str
    state: str
    definition: dict[str, Any]
    versions: list[VersionRow]
    next_change: str | None
    """When it starts or ends by itself next."""


class Times(msgspec.Struct, forbid_unknown_fields=True):
    """When a journey is live: what is not given stays as it is."""

    starts: str | msgspec.UnsetType | None = msgspec.UNSET
    ends: str | msgspec.UnsetType | None = msgspec.UNSET


class Checked(msgspec.Struct):
    """What is wrong with a definition: errors keep it from being published, warnings do not."""

    errors: list[Problem]
    warnings: list[Problem]


class ExperimentResult(msgspec.Struct):
    """What an experiment says about each goal of the journey."""

    step: str
    version: int
    goals: list[GoalResult]


class FunnelRow(msgspec.Struct):
    """How many came so far, of all that entered or were moved here."""

    step: str
    entered: int
    share: float | None


class Statistics(msgspec.Struct):
    """What happened in a journey, or in one version of it."""

    journey: str
    version: int | None
    """None for all of them together."""
    figures: JourneyFigures
    funnel: list[FunnelRow]
    experiments: list[ExperimentResult]
    messages: dict[str, dict[str, int]]
    """Message of the journey to how many there are of it in each state of the outbox, whoever sent it."""


class NewMove(msgspec.Struct, forbid_unknown_fields=True, rename={"before": "from", "after": "to"}):
    """Runs of one version that are to be moved to another."""

    before: int
    after: int
    steps: dict[str, str] = msgspec.field(default_factory=dict)
    dry_run: bool = False
    """Whether it is only said what it would do."""


class Moved(msgspec.Struct):
    """What a move came to, or would."""

    moved: bool
    errors: list[Problem]
    warnings: list[Problem]
    runs: dict[str, int]
    steps: dict[str, str]


class LivesApi(Controller):
    """Journeys: their states, versions and figures."""

    path = "/v1/journeys"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("", summary="All journeys, with their states and counts")
    async def journeys(
        self,
        request: Request[Any, Any, Any],
        in_state: FromQuery[str] = "",
        archived: FromQuery[bool] = False,  # noqa: FBT002 (a query parameter)
    ) -> Journeys:
        """Return every journey, or those in a state. `archived=true` includes those that were put away."""
        if in_state and in_state not in LIFE:
            hint = did_you_mean(in_state, LIFE) or f"one of {', '.join(LIFE)}"
            extra = {"code": "invalid_value", "message": f"there is no state {shown(in_state)}", "hint": hint}
            detail = f"?in_state: there is no state {shown(in_state)} ({hint})"
            raise HTTPException(status_code=400, detail=detail, extra=extra | {"pointer": "?in_state"})
        host = host_of(request)
        async with host.turn:
            plan, counts = host.engine.plan, host.store.statistics()
        rows, states = [], dict[str, int]()
        for name, journey in plan.newest.items():
            now = plan.states[name]
            states[now] = states.get(now, 0) + 1
            if (in_state and now != in_state) or (now == "archived" and not archived and in_state != "archived"):
                continue
            found, definition = figures(plan.journeys[name].values(), counts), journey.definition
            rows.append(
                JourneyRow(
                    name,
                    definition.title or name,
                    now,
                    journey.version,
                    definition.starts,
                    definition.ends,
                    found.entered,
                    found.running,
                    {goal.goal: goal.reached for goal in found.goals},
                )
            )
        return Journeys(rows, states)

    @get("/{name:str}", summary="One journey, with its versions")
    async def journey(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Response[JourneyView]:
        """Return a journey, its versions and their counts, with the `ETag` of its definition."""
        host = host_of(request)
        async with host.turn:
            plan, counts = host.engine.plan, host.store.statistics()
        newest = known(plan, name)
        rows = []
        for version in reversed(list(plan.journeys[name].values())):
            found = figures([version], counts)
            rows.append(VersionRow(version.version, iso(version.since), found.entered, found.running))
        turn = plan.turns.get(name)
        view = JourneyView(
            name, plan.states[name], dump(newest.definition), rows, iso(turn) if turn is not None else None
        )
        return Response(view, headers={"ETag": etag_of(newest.definition)})

    @put(
        "/{name:str}",
        summary="Create or replace a journey",
        status_code=200,
        responses={201: ResponseSpec(Published, description="It is new", generate_examples=False)},
    )
    async def replace(
        self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[dict[str, Any]]
    ) -> Response[Published]:
        """Publish a journey as a whole; the body needs neither `kind` nor `name`. `If-Match` and `If-None-Match` count."""
        async with publishing(request):
            found = host_of(request).engine.plan.workspace.journeys.get(name)
            check_match(request.headers, found)
            return await _publish(request, name, {"kind": "journey", "name": name} | data, found, data)

    @patch("/{name:str}", summary="Change some fields of a journey", status_code=200)
    async def change(
        self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[dict[str, Any]]
    ) -> Response[Published]:
        """Publish a journey with the fields that are given changed, null takes one away. `If-Match` counts."""
        async with publishing(request):
            found = known(host_of(request).engine.plan, name).definition
            check_match(request.headers, found)
            changed = {**dump(found), **data}
            whole = {field: value for field, value in changed.items() if value is not None}
            return await _publish(request, name, whole, found, data)

    @post("/{name:str}/check", summary="What is wrong with a journey", status_code=200, opt={"scope": "journeys:read"})
    async def check(self, request: Request[Any, Any, Any], name: FromPath[str]) -> Checked:
        """Say everything wrong with the definition in the body, or without one with the journey as it is."""
        body = await request.body()
        host = host_of(request)
        plan = host.engine.plan
        data = _decoded(body, Any) if body.strip() else dump(known(plan, name).definition)
        if not isinstance(data, dict):
            raise HTTPException(status_code=400, detail="the body is no definition: write it as an object")
        problems = other_problems("journey", name, data)
        if problems:
            return Checked(problems, [])
        async with host.turn:
            errors, warnings = host.look_over([{"kind": "journey", "name": name} | data])
        return Checked(of_one(errors), of_one(warnings))

    @get("/{name:str}/diff", summary="What is different between two versions")
    async def diff(
        self, request: Request[Any, Any, Any], name: FromPath[str], before: FromQuery[int], after: FromQuery[int]
    ) -> Difference:
        """Return steps that were added, removed and changed, arrows, and fields of the journey itself."""
        plan = host_of(request).engine.plan
        one, other = (version_of(plan, name, number) for number in (before, after))
        return difference(one.definition, other.definition)

    @get("/{name:str}/versions/{version:int}", summary="One version of a journey")
    async def version(
        self, request: Request[Any, Any, Any], name: FromPath[str], version: FromPath[int]
    ) -> dict[str, Any]:
        """Return the definition of a version, as it was published."""
        found: dict[str, Any] = dump(version_of(host_of(request).engine.plan, name, version).definition)
        return found

    @get("/{name:str}/statistics", summary="What happened in each step")
    async def statistics(
        self, request: Request[Any, Any, Any], name: FromPath[str], version: FromQuery[int | None] = None
    ) -> Statistics:
        """Return how many came to each step, wait there and left it which way; goals, funnel and experiments.

        All of it from counts that are kept as things happen; `version` is only that one.
        """
        host = host_of(request)
        async with host.turn:
            plan, counts, outbox = host.engine.plan, host.store.statistics(), host.store.outbox_counts()
        known(plan, name)
        versions = list(plan.journeys[name].values()) if version is None else [version_of(plan, name, version)]
        found = figures(versions, counts)
        came = found.entered + found.moved_in
        funnel = [FunnelRow(one.step, one.entered, one.entered / came if came else None) for one in found.steps]
        messages: dict[str, dict[str, int]] = {}
        sent = {message for step in found.steps for message in step.sent}
        for (_, message, state), count in sorted(outbox.items()):
            if message in sent:
                states = messages.setdefault(message, {})
                states[state] = states.get(state, 0) + count
        trials = []
        for journey in reversed(versions):
            own = {
                (step, what, reason): n
                for (j, v, step, what, reason), n in counts.items()
                if (j, v) == (name, journey.version)
            }
            goals = [goal.name for goal in journey.definition.goals]
            trials += [
                ExperimentResult(step, journey.version, results(step, experiment, goals, own))
                for step, experiment in experiments(journey).items()
            ]
        return Statistics(name, version, found, funnel, trials, messages)

    @post("/{name:str}/moves", summary="Move runs to another version", status_code=200)
    async def move(
        self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[NewMove]
    ) -> Response[Moved]:
        """Move the runs of one version to another; `steps` says where those go whose step is not there.

        `dry_run` only says what it would do. 400 says everything that is wrong with it, and nothing was moved.
        """
        host = host_of(request)
        known(host.engine.plan, name)
        move = Move(name, data.before, data.after, data.steps)
        async with publishing(request):
            if data.dry_run:
                async with host.turn:
                    found = host.engine.check_move(move)
            else:
                found = await host.move(move)
        moved = not data.dry_run and not found.errors
        answer = Moved(moved, found.errors, found.warnings, found.runs, found.steps)
        return Response(answer, status_code=400 if found.errors else 200)

    @post("/{name:str}/test", summary="Test a journey with contacts", status_code=200)
    async def test(self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[NewTest]) -> Tests:
        """Let contacts begin a test of the newest version, and return what happened so far.

        Waits are as short as the `test` of the journey says, and messages go to its recipients. The entry's conditions
        and the rules of re-entry are not asked. A test of the same contact that is under way ends.
        """
        known(host_of(request).engine.plan, name)
        return await try_out(host_of(request), name, data)

    @post("/{name:str}/{action:str}", summary="Bring a journey into another state", status_code=200)
    async def turn(
        self, request: Request[Any, Any, Any], name: FromPath[str], action: FromPath[str]
    ) -> Response[Published]:
        """Publish, schedule, pause, resume, close, stop, archive or restore a journey, or make it a draft.

        `publish` and `schedule` take `starts` and `ends` in the body. 409 says that it is in no state for that.
        `If-Match` counts.
        """
        if action not in TRANSITIONS or action == "test":
            hint = did_you_mean(action, TRANSITIONS) or f"post to one of {', '.join(TRANSITIONS)}"
            raise NotFoundException(detail=f"a journey cannot be told to {shown(action)}: {hint}")
        times = await _times(request, action)
        async with publishing(request):
            plan = host_of(request).engine.plan
            found = known(plan, name).definition
            check_match(request.headers, found)
            if plan.states[name] not in _FROM.get(action, tuple(plan.states.values())):
                wanted = ", ".join(_FROM[action])
                detail = f"the journey {name!r} is {plan.states[name]}: to {action} it, it has to be one of {wanted}"
                raise HTTPException(status_code=CONFLICT, detail=detail)
            if action in {"archive", "restore"}:
                whole = dump(put_away(found, archived=action == "archive"))
            else:
                if action == "publish" and plan.states[name] == "scheduled":
                    times.setdefault("starts", None)  # it would go on waiting: who publishes it means now
                whole = {**dump(found), "state": TRANSITIONS[action], **times}
                if TRANSITIONS[action] == "live" and _is_over(whole.get("ends"), host_of(request).engine.clock.now()):
                    raise _over(whole["ends"], given="ends" in times)
            return await _publish(request, name, {k: v for k, v in whole.items() if v is not None}, found, {})


def _is_over(ends: object, now: int) -> bool:
    at = milliseconds_of(ends) if isinstance(ends, str) else None
    return at is not None and at <= now


def _over(ends: str, *, given: bool) -> HTTPException:
    message = f"'ends' is over: {shown(ends)}, so the journey would be closed at once"
    hint = "give a later one" if given else 'give a later one, or take it away: {"ends": null}'
    extra = {"code": "ends_over", "message": message, "pointer": "/ends", "hint": hint}
    return HTTPException(status_code=400, detail=f"{message} ({hint})", extra=extra)


def known(plan: Plan, name: str) -> CompiledJourney:
    """Return the newest version of a journey.

    Raises:
        NotFoundException: There is no such journey.
    """
    return named("journey", name, plan.newest)


def version_of(plan: Plan, name: str, version: int) -> CompiledJourney:
    """Return a version of a journey.

    Raises:
        NotFoundException: There is no such version.
    """
    newest = known(plan, name)
    found = plan.journeys[name].get(version)
    if found is None:
        detail = f"the journey {shown(name)} has no version {version}: there are 1 to {newest.version}"
        raise NotFoundException(detail=detail)
    return found


def _decoded(body: bytes, form: type[T]) -> T:
    """Return a body that is read here and not by the framework, for it may be left out.

    Raises:
        HTTPException: It is no JSON, or not of this form.
    """
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        problem = told_of(error)
    except msgspec.DecodeError as error:
        problem = not_json(error)
    raise HTTPException(status_code=400, detail=str(problem), extra=msgspec.to_builtins(problem))


async def _times(request: Request[Any, Any, Any], action: str) -> dict[str, Any]:
    body = await request.body()
    if not body.strip():
        if action == "schedule":
            raise HTTPException(status_code=400, detail='say when it starts: {"starts": "2026-12-01T09:00:00+01:00"}')
        return {}
    times = _decoded(body, Times)
    found = {name: getattr(times, name) for name in ("starts", "ends")}
    return {name: value for name, value in found.items() if value is not msgspec.UNSET}


async def _publish(
    request: Request[Any, Any, Any],
    name: str,
    whole: dict[str, Any],
    found: JourneyDefinition | None,
    data: dict[str, Any],
) -> Response[Published]:
    problems = other_problems("journey", name, data)
    if problems:
        return Response(published(problems, []), status_code=400)
    errors, warnings = await host_of(request).publish([whole])
    answer = published(of_one(errors), of_one(warnings))
    now = host_of(request).engine.plan.workspace.journeys.get(name)
    if errors or now is None:
        return Response(answer, status_code=400)
    return Response(answer, status_code=200 if found is not None else 201, headers={"ETag": etag_of(now)})
