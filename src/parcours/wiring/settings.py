"""What an operator can set, and where it is read from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
import structlog

from parcours.definitions.steps import SECRET_NAME
from parcours.definitions.templates import ANY_HOST
from parcours.errors import ParcoursError, did_you_mean
from parcours.runtimes.secrets import ANY_NAME, OperatorSecrets

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
    """The only hosts that secrets may be sent to: `NAME=HOST` or `NAME=HOST:PORT`, with commas; `*` is any name, or any host."""


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
    hosts = _hosts_of_secrets(settings.secrets_hosts)
    found = OperatorSecrets(settings.secrets, folder, hosts)
    known = [one.name for one in found.known()]
    unbound = [name for name in known if not found.hosts(name)]
    if unbound:
        hint = f"a call that carries one fails; --secrets-hosts {unbound[0]}=HOST says where it may be sent"
        _log.warning("secrets_bound_to_no_host", secrets=", ".join(unbound), hint=hint)
    for name in sorted(hosts.keys() - {*known, ANY_NAME}):
        hint = did_you_mean(name, known) or "upper and lower case are told apart"
        _log.warning("bound_secret_is_not_set", secret=name, hint=hint)
    return found


def secrets_here() -> OperatorSecrets:
    """Return the secrets that are in the environment of this process, whatever its other settings are.

    Raises:
        SettingsError: Their hosts are not written as they must be.
    """
    folder = os.environ.get(f"{ENVIRONMENT_PREFIX}SECRETS_FOLDER")
    hosts = _hosts_of_secrets(os.environ.get(f"{ENVIRONMENT_PREFIX}SECRETS_HOSTS", ""))
    return OperatorSecrets(_secrets_in(os.environ), Path(folder) if folder else None, hosts)


_ANY = "NAME=* lets a secret go to any host, *=* all that have no hosts of their own"


def _hosts_of_secrets(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, host = (piece.strip() for piece in part.partition("="))
        if not (name == ANY_NAME or re.fullmatch(SECRET_NAME, name)) or not host:
            raise SettingsError(f"secrets_hosts: {part!r} is not NAME=HOST or NAME=HOST:PORT", hint=_ANY)
        try:
            hosts = {ANY_HOST} if host == ANY_HOST else allowed_hosts(host, "secrets_hosts")
        except ValueError as error:
            raise SettingsError(str(error), hint=_ANY) from None
        found.setdefault(name, set()).update(hosts)
    return found


def allowed_hosts(text: str, setting: str = "webhook_allow") -> frozenset[str]:
    """Return the hosts of a setting: names or addresses, each with or without a port, with commas between them.

    Raises:
        ValueError: One of them is none.
    """
    found = set()
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        url = urlsplit(f"//{part}")
        if not url.hostname or "*" in url.hostname or url.path or url.query or url.username is not None:
            raise ValueError(f"{setting}: {part!r} is not HOST or HOST:PORT")
        found.add(url.hostname if url.port is None else f"{url.hostname}:{url.port}")
    return frozenset(found)


def _path(kind: type, value: object) -> object:
    return Path(str(value)) if kind is Path else value
