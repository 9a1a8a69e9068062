"""The providers that settings choose: of mail, of push, and of calls; and the webhooks that come in."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from parcours.channels.email import SmtpChannel, TlsMode
from parcours.definitions.message import WEBHOOK
from parcours.errors import InvalidDefinitionError
from parcours.ports import Answer, Channel, Delivery
from parcours.sources.webhooks import BUILT_IN, Webhook, load_webhooks, missing_secrets
from parcours.wiring.settings import Settings, SettingsError, allowed_hosts


def webhooks_of(settings: Settings) -> dict[str, Webhook]:
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
