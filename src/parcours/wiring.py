"""Settings to chosen parts: the only place that names technologies."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec
import structlog

from parcours.channels.email import SmtpChannel, TlsMode
from parcours.channels.render import Renderer
from parcours.definitions.load import Source, read
from parcours.definitions.message import WEBHOOK
from parcours.definitions.steps import SECRET_NAME
from parcours.definitions.templates import KnownNames, signing_secrets, template_findings, templates_in
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError, ParcoursError, Problem
from parcours.ports import Answer, Changes, Channel, Clock, Delivery, Store
from parcours.runtimes.backtest import Backtest
from parcours.runtimes.backtest_job import Counts, Job, Shortage
from parcours.runtimes.backtest_person import run as run_people
from parcours.runtimes.backtest_report import BacktestReport, report_of
from parcours.runtimes.backtest_stock import with_shortages
from parcours.runtimes.backtests import Backtests
from parcours.runtimes.clocks import InputsClock, SystemClock, wall_time
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.runtimes.jobs import Jobs, Opened
from parcours.runtimes.reconcile import LedgerChecks
from parcours.runtimes.schedules import problems_of_journey
from parcours.runtimes.secrets import OperatorSecrets
from parcours.runtimes.simulation import Simulation
from parcours.runtimes.watch import Watch
from parcours.sources.files import ImportSpec, Known, drop_rejected, spec_from_data, spec_from_text
from parcours.sources.slices import FileRows, Rejects, fingerprint
from parcours.sources.webhooks import BUILT_IN, Webhook, load_webhooks, missing_secrets
from parcours.stores.memory import MemoryStore
from parcours.stores.past import SqlitePast
from parcours.stores.sqlite import SqliteStore
from parcours.web.auth import ALL, SEND, Key, Keys, Kind, hash_key, keys_in, make_key, marks_of

if TYPE_CHECKING:
    from parcours.analytics.duckdb_store import DuckdbAnalytics
    from parcours.analytics.service import Analytics

ENVIRONMENT_PREFIX = "PARCOURS_"

_log = structlog.get_logger(__name__)


class SettingsError(ParcoursError):
    """A setting is of no use."""

    code = "invalid_setting"


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """Everything an operator can set; each field is also an environment variable, `PARCOURS_` and its name."""

    data: Path = Path("parcours-data")
    """The folder in which everything is kept."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8700
    """The port to listen on; 0 takes a free one."""
    clock: Literal["system", "inputs"] = "system"
    """`inputs` lets the service's time follow the inputs it receives: for demos, rehearsals and tests."""
    smtp_url: str = ""
    """The mail server: `smtp://[user:password@]host[:port]`, `smtps://` for TLS from the start, `smtp+starttls://`."""
    sender: str = "parcours <parcours@localhost.localdomain>"
    """Who mails are from, unless the message says."""
    push_url: str = ""
    """Where push notifications are posted to."""
    push_token: str = ""
    """The bearer token of the push provider."""
    write_key: str = ""
    """The key that may send interactions; one is made up and shown at the first start when there is none."""
    secret_key: str = ""
    """The key that may use the API; one is made up and shown at the first start when there is none."""
    largest_body: Annotated[int, msgspec.Meta(ge=1_024)] = 4 * 2**20
    """Bytes a request body may have, as sent and unpacked."""
    largest_upload: Annotated[int, msgspec.Meta(ge=1_024)] = 2 * 2**30
    """Bytes a file may have that is uploaded to be imported."""
    watch: str = ""
    """A folder whose files are imported: a path, or a URL such as `sftp://user@host/in` or `s3://bucket/in`."""
    watch_seconds: Annotated[float, msgspec.Meta(ge=0.05)] = 60.0
    """Seconds between looks into it."""
    analytics_memory: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*(MB|GB)$")] = "512MB"
    """How much memory questions about all contacts may use, such as `512MB`; what does not fit goes to the disk."""
    analytics_threads: Annotated[int, msgspec.Meta(ge=1, le=1_024)] = 2
    """How many threads such a question may use."""
    webhook_allow: str = ""
    """Hosts in private networks that steps of journeys may call: `HOST` or `HOST:PORT`, with commas between them."""
    webhook_secrets: dict[str, str] = {}
    """What webhooks are signed with, by their names; each is a variable, `PARCOURS_WEBHOOK_<NAME>_SECRET`."""
    secrets: dict[str, str] = {}
    """Secrets that calls of webhooks carry, by their names; each is a variable, `PARCOURS_SECRET_<NAME>`."""
    secrets_folder: str = ""
    """A folder whose files are such secrets, by their names; they are read when a call is made."""
    secrets_hosts: str = ""
    """The only hosts that secrets may be sent to: `NAME=HOST` or `NAME=HOST:PORT`, with commas; others, to any host."""


def settings_from(given: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> Settings:
    """Return settings: what is given and not None, else the environment, else the default.

    Raises:
        SettingsError: A value does not fit.
    """
    values: dict[str, object] = {}
    values["webhook_secrets"] = {
        found[1].lower().replace("_", "-"): secret
        for variable, secret in environment.items()
        if secret and (found := re.fullmatch(ENVIRONMENT_PREFIX + "WEBHOOK_([A-Z0-9_]+)_SECRET", variable))
    }
    values["secrets"] = _secrets_in(environment)
    for field in Settings.__struct_fields__:
        if field in {"webhook_secrets", "secrets"}:
            continue
        name = ENVIRONMENT_PREFIX + field.upper()
        if given.get(field) is not None:
            values[field] = given[field]
        elif name in environment:
            values[field] = environment[name]
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"a setting does not fit: {error}", hint="see parcours serve --help") from None


def _secrets_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that are variables; a setting whose name begins likewise (`PARCOURS_SECRET_KEY`) is none."""
    settings = {ENVIRONMENT_PREFIX + field.upper() for field in Settings.__struct_fields__}
    return {
        found[1]: secret.removesuffix("\n").removesuffix("\r")
        for variable, secret in environment.items()
        if variable not in settings
        and secret
        and (found := re.fullmatch(f"{ENVIRONMENT_PREFIX}SECRET_({SECRET_NAME})", variable))
    }


def secrets_of(settings: Settings) -> OperatorSecrets:
    """Return the secrets that calls of webhooks may carry.

    Raises:
        SettingsError: The folder of secrets cannot be listed, or hosts are not written as they must be.
    """
    folder = Path(settings.secrets_folder) if settings.secrets_folder else None
    if folder is not None:
        try:
            next(folder.iterdir(), None)
        except OSError as error:
            raise SettingsError(f"the folder of secrets {folder} cannot be listed: {error.strerror}") from None
    try:
        return OperatorSecrets(settings.secrets, folder, _hosts_of_secrets(settings.secrets_hosts))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _hosts_of_secrets(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, host = (piece.strip() for piece in part.partition("="))
        if not re.fullmatch(SECRET_NAME, name) or not host:
            raise ValueError(f"secrets_hosts: {part!r} is not NAME=HOST or NAME=HOST:PORT")
        found.setdefault(name, set()).update(allowed_hosts(host, "secrets_hosts"))
    return found


def _path(kind: type, value: object) -> object:
    return Path(str(value)) if kind is Path else value


class Service(msgspec.Struct):
    """A host ready to be started, and the application that serves it."""

    host: Embedded
    app: Callable[..., Any]
    new_keys: dict[str, str]
    """Keys that were made up just now, to be shown once."""


def build(settings: Settings) -> Service:
    """Return the service that settings describe, with its store open.

    Raises:
        SettingsError: A setting is of no use.
        StoreError: The store cannot be opened.
    """
    from parcours.web.app import create_app

    _make_folder(settings.data)
    channels = build_channels(settings)
    webhooks = _webhooks(settings)
    store = _open_store(settings.data)
    keys, new_keys = _keys(store, settings)
    start = store.last_received_at()
    if settings.clock == "system" and (behind := start - wall_time()) > 0:
        hint = "the service's time stands still until the machine's has caught up; set the machine's clock right"
        _log.warning("clock_behind", seconds=behind / 1000, hint=hint)
    clock: Clock = InputsClock(start) if settings.clock == "inputs" else SystemClock(start)
    renderer = Renderer()
    host = Embedded(
        Engine(store, clock), channels, renderer.render, renderer.check, renderer.names, secrets_of(settings)
    )
    jobs = Jobs(host, settings.data / "imports", open_import, settings.largest_upload, drop_rejected)
    host.companions.append(jobs)
    if settings.watch:
        host.companions.append(_watch(settings, jobs))
    analytics = _open_analytics(settings, host)
    host.companions.append(analytics)
    backtests = Backtests(settings.data / "backtests", lambda job, zone: backtest(settings.data, job, zone))
    host.companions.append(backtests)
    host.companions.append(LedgerChecks(host))
    app = create_app(
        host,
        keys,
        imports=jobs,
        analytics=analytics,
        backtests=backtests,
        largest_body=settings.largest_body,
        webhooks=webhooks,
        webhook_secrets=settings.webhook_secrets,
    )
    return Service(host, app, new_keys)


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make the data folder {data}: {error.strerror}") from error


def _open_store(data: Path) -> SqliteStore:
    _make_folder(data)
    database = data / "parcours.db"
    for file in (database, database.with_suffix(".lock")):
        # Made here so that nobody else may read it; SQLite gives the files beside it the same mode.
        if not file.exists():
            with contextlib.suppress(OSError):
                file.touch(mode=0o600)
    return SqliteStore(database)


def _open_analytics(settings: Settings, host: Embedded) -> Analytics:
    from parcours.analytics.service import Analytics

    engine = host.engine
    return Analytics(
        _database(settings.data, settings.analytics_memory, settings.analytics_threads),
        store=host.store,
        turn=host.turn,
        ready=engine.catch_up,
        clock=engine.clock,
        segments=lambda: engine.plan.segments,
    )


def _database(data: Path, memory: str, threads: int) -> DuckdbAnalytics:
    from parcours.analytics.duckdb_store import DuckdbAnalytics

    return DuckdbAnalytics(data / "analytics.duckdb", memory=memory, threads=threads)


def rebuild_analytics(settings: Settings, rebuilt: Callable[[int, int], None]) -> int:
    """Make the analytics database of a service that does not run again, and return how many records were gone through.

    `rebuilt` is told the position and the last one after each slice.

    Raises:
        StoreError: A file cannot be opened: the service runs, for one.
    """
    from parcours.analytics.duckdb_store import catch_up

    if not (settings.data / "parcours.db").is_file():
        raise SettingsError(
            f"there is no store in {settings.data}", hint="--data is the folder that parcours serve has"
        )
    with kept_engine(settings.data) as engine:
        database = _database(settings.data, settings.analytics_memory, settings.analytics_threads)
        try:
            database.reset()
            for position in catch_up(database, engine.store):
                rebuilt(position, engine.store.last_position())
            if database.dirty:
                database.compact()
        finally:
            database.close()
        return engine.store.last_position()


SMALL_PAST = 20_000
"""Records up to which a backtest is run in this process, since others take longer to begin."""


def backtest(data: Path, job: Job, zone: str = "UTC", processes: int = 2) -> BacktestReport:
    """Run a backtest over what is recorded in a folder, also of a service that runs.

    Raises:
        SettingsError: There is no store.
        BacktestError: It cannot be run as it was asked for.
        InvalidDefinitionError: The drafts are not valid.
        StoreError: The store cannot be read.
    """
    started = time.monotonic()
    path = data / "parcours.db"
    if not path.is_file():
        raise SettingsError(f"there is no store in {data}", hint="--data is the folder that parcours serve has")
    past = SqlitePast(path)
    try:
        made = Backtest(job, past.publications())
        alone = made.purse is not None or past.last_position() <= SMALL_PAST
        if processes < 2 or alone:  # noqa: PLR2004 (as many as make a difference)
            counts, left = with_shortages(
                made,
                past,
                lambda known: run_people(Backtest(job, past.publications(), known), past.people(0, 1)),
            )
        else:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                counts, left = with_shortages(made, past, partial(_backtest_shares, pool, path, job, processes))
    finally:
        past.close()
    report = report_of(made, counts, zone, left)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _backtest_shares(
    pool: ProcessPoolExecutor, path: Path, job: Job, processes: int, shortages: Sequence[Shortage]
) -> Counts:
    counts = Counts()
    known = list(shortages)
    shares = [pool.submit(_backtest_share, path, job, known, share, processes) for share in range(processes)]
    for share in shares:
        counts.add(share.result())
    return counts


def _backtest_share(path: Path, job: Job, shortages: Sequence[Shortage], share: int, shares: int) -> Counts:
    """Run a share of all people; in a process of its own, which leaves the processor to a service that runs."""
    with contextlib.suppress(OSError):
        os.nice(5)
    gc.freeze()
    past = SqlitePast(path)
    try:
        return run_people(Backtest(job, past.publications(), shortages), past.people(share, shares))
    finally:
        past.close()


def _watch(settings: Settings, jobs: Jobs) -> Watch:
    try:
        return Watch(jobs, settings.watch, settings.watch_seconds, watch_spec)
    except (ImportError, ValueError, OSError) as error:
        # It may hold a password, which is not repeated.
        scheme = settings.watch.partition("://")[0] if "://" in settings.watch else "file"
        raise SettingsError(
            f"the folder to watch cannot be used ({scheme}): {type(error).__name__}",
            hint="docs/files.md names the package that each kind of URL needs",
        ) from None


def watch_spec(text: str) -> dict[str, Any]:
    """Return the description of an import that stands beside a file, as plain data.

    Raises:
        ParcoursError: It is none.
    """
    return plain_spec(spec_from_text("import.yaml", text))


def plain_spec(spec: ImportSpec) -> dict[str, Any]:
    """Return a description of an import as plain data."""
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return found


def open_import(
    path: Path,
    spec: Mapping[str, Any],
    workspace: Workspace,
    *,
    name: str = "",
    rejects: Path | None = None,
    rows: int = 1_000,
) -> Opened:
    """Return a file that is ready to be imported; the file of rejected rows gets the suffix that suits it.

    Raises:
        ParcoursError: It cannot be read as described.
    """
    described = spec_from_data(dict(spec))
    mark = fingerprint(path, described)
    opened = FileRows(path, described, name=name, known=Known.of(workspace, mark), rows=rows)
    suffix = ".csv" if opened.found.format == "csv" else ".jsonl"
    file = None
    if rejects is not None:
        file = Rejects(
            rejects if rejects.suffix in {".csv", ".jsonl"} else rejects.with_name(rejects.name + suffix), opened
        )
    found: dict[str, Any] = msgspec.to_builtins(opened.found)
    return Opened(opened, file, mark, found)


@contextlib.contextmanager
def kept_engine(data: Path) -> Iterator[Engine]:
    """Open the store of a service that does not run, or a new one, and yield an engine for it.

    Raises:
        SettingsError: The folder cannot be made.
        StoreError: It cannot be opened: the service runs, for one.
    """
    store = _open_store(data)
    try:
        yield Engine(store, SystemClock(store.last_received_at()))
    finally:
        store.close()


def _webhooks(settings: Settings) -> dict[str, Webhook]:
    """Return the webhooks there are: those that come with parcours, and those in the data folder, which go before."""
    try:
        webhooks = load_webhooks(BUILT_IN, settings.data / "webhooks")
    except InvalidDefinitionError as error:
        raise SettingsError(f"webhooks cannot be read: {error.message}") from None
    missing = missing_secrets(settings.webhook_secrets, webhooks)
    if missing:
        raise SettingsError(
            f"there is a secret for the webhook {missing[0]!r}, which is not there",
            hint=f"webhooks are {', '.join(sorted(webhooks))}; your own are files in {settings.data / 'webhooks'}",
        )
    return webhooks


class _Webhooks:
    """Calls webhooks. What that takes is loaded with the first call, for it takes long and most workspaces call none."""

    def __init__(self, allow: frozenset[str]) -> None:
        self._allow = allow
        self._channel: Channel | None = None

    async def send(self, delivery: Delivery) -> Answer | None:
        if self._channel is None:
            from parcours.channels.webhook import WebhookChannel

            self._channel = WebhookChannel(self._allow)
        return await self._channel.send(delivery)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


def allowed_hosts(text: str, setting: str = "webhook_allow") -> frozenset[str]:
    """Return the hosts of a setting: names or addresses, each with or without a port, with commas between them.

    Raises:
        ValueError: One of them is none.
    """
    found = set()
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        url = urlsplit(f"//{part}")
        if not url.hostname or url.path or url.query or url.username is not None:
            raise ValueError(f"{setting}: {part!r} is not HOST or HOST:PORT")
        found.add(url.hostname if url.port is None else f"{url.hostname}:{url.port}")
    return frozenset(found)


def build_channels(settings: Settings) -> dict[str, Channel]:
    """Return a provider for each channel that has one in the settings.

    Raises:
        SettingsError: A provider's setting is of no use.
    """
    channels: dict[str, Channel] = {}
    try:
        if settings.smtp_url:
            channels["email"] = _smtp(settings)
        if settings.push_url:
            from parcours.channels.push import HttpPushChannel  # it takes long to load

            channels["push"] = HttpPushChannel(settings.push_url, settings.push_token)
        channels[WEBHOOK] = _Webhooks(allowed_hosts(settings.webhook_allow))
    except ValueError as error:
        raise SettingsError(f"a provider cannot be used: {error}") from None
    return channels


_TLS: dict[str, tuple[TlsMode, int]] = {
    "smtp": ("opportunistic", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("implicit", 465),
}


def _smtp(settings: Settings) -> SmtpChannel:
    # It may hold a password, and parts that are read wrongly may, too: nothing of it is repeated.
    unread = SettingsError(
        "smtp_url cannot be read",
        hint="write for example smtp://mail.example.com:25; in a password, / : @ # ? and % are written as %2F and so on",
    )
    try:
        url = urlsplit(settings.smtp_url)
        host, given = url.hostname, url.port
    except ValueError:
        raise unread from None
    if not host or url.scheme not in _TLS or url.path not in {"", "/"} or url.query or url.fragment:
        raise unread
    tls, port = _TLS[url.scheme]
    return SmtpChannel(
        host,
        given or port,
        settings.sender,
        username=unquote(url.username or ""),
        password=unquote(url.password or ""),
        tls=tls,
    )


def _keys(store: Store, settings: Settings) -> tuple[Keys, dict[str, str]]:
    """Return the keys in force: those kept, and the two first ones; these are given, or made up at the first start."""
    kept = _kept_keys(store)
    known = {key.id for key in kept}
    new: dict[str, str] = {}
    for kind, given in _first_keys(settings):
        if given or kind in known:
            continue
        new[kind], hashed, ending = make_key(kind)
        kept.append(
            Key(
                id=kind,
                kind=kind,
                hash=hashed,
                name="made at the first start",
                scopes=(SEND,) if kind == "write" else (ALL,),
                created_at=wall_time(),
                ending=ending,
            )
        )
    if new:
        store.commit(
            Changes(marks={name: mark for key in kept if key.id in new for name, mark in marks_of(key).items()})
        )
    write, secret = (hash_key(given) if given else "" for _, given in _first_keys(settings))
    return Keys(write, secret, kept), new


def _first_keys(settings: Settings) -> list[tuple[Kind, str]]:
    return [("write", settings.write_key), ("secret", settings.secret_key)]


def _kept_keys(store: Store) -> list[Key]:
    try:
        return keys_in(store.marks())
    except msgspec.DecodeError as error:
        raise SettingsError(
            f"a key in the store cannot be read: {error}", hint="use the parcours that wrote it"
        ) from None


@contextlib.contextmanager
def kept_keys(data: Path) -> Iterator[tuple[Keys, Callable[[Key], None]]]:
    """Open the store of a service that does not run; yield its keys, and a function that keeps a change of one.

    Raises:
        SettingsError: There is no store.
        StoreError: It cannot be opened: the service runs, for one.
    """
    database = data / "parcours.db"
    if not database.is_file():
        raise SettingsError(f"there is no store in {data}", hint="--data is the folder that parcours serve has")
    store = SqliteStore(database)
    try:
        keys = Keys(kept=_kept_keys(store))

        def keep(key: Key) -> None:
            store.commit(Changes(marks={**marks_of(key)}))
            keys.put(key)

        yield keys, keep
    finally:
        store.close()


def template_problems(sources: Iterable[Source], workspace: Workspace) -> tuple[list[Problem], list[Problem]]:
    """Return what is wrong with the templates of messages and webhooks in some sources, and what may be, with file and line.

    `workspace` is what the names in them are held against. Secrets are looked for among the settings in the environment;
    there may be others where the service runs.
    """
    renderer = Renderer()
    folder = os.environ.get(f"{ENVIRONMENT_PREFIX}SECRETS_FOLDER")
    here = OperatorSecrets(_secrets_in(os.environ), Path(folder) if folder else None)
    known = KnownNames(secrets=dict.fromkeys(here.names(), ()), sure=False)
    errors: list[Problem] = []
    warnings: list[Problem] = []
    for source in sources:
        for located in read(source)[0]:
            texts = templates_in(located.definition)
            names = [*renderer.names(texts), *signing_secrets(located.definition)]
            if not texts and not names:
                continue
            wrong, doubtful = template_findings(_key_in(located.definition), names, workspace, known)
            for told, problems in ((errors, renderer.check(texts) + wrong), (warnings, doubtful)):
                for problem in problems:
                    line = located.line_of(problem.pointer)
                    told.append(msgspec.structs.replace(problem, file=located.file, line=line))
    return errors, warnings


def schedule_problems(sources: Iterable[Source], workspace: Workspace) -> list[Problem]:
    """Return what is wrong with the schedules of the journeys in some sources, with file and line."""
    found: list[Problem] = []
    for located in (located for source in sources for located in read(source)[0]):
        kind, name = _key_in(located.definition)
        journey = workspace.journeys.get(name)
        if journey is None or kind != "journey":
            continue
        for problem in problems_of_journey(journey, workspace.settings.zone):
            line = located.line_of(problem.pointer)
            found.append(msgspec.structs.replace(problem, file=located.file, line=line))
    return found


def collect_seldom() -> None:
    """Let garbage be collected seldom, as suits a process that holds many contacts.

    What was loaded until now stays; and the contacts held in memory are no garbage to look through at each turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


def simulation(start: int) -> Simulation:
    """Return a simulation on the memory host whose clock stands at an instant (milliseconds)."""
    return Simulation(MemoryStore(), start)


def _key_in(definition: object) -> tuple[str, str]:
    found = definition if isinstance(definition, dict) else {}
    return str(found.get("kind", "")), str(found.get("name", ""))
