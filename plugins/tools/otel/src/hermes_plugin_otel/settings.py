"""The plugin's section of the configuration, and where it says to send to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from hermes import ConfigError, PluginContext


class Settings(msgspec.Struct, frozen=True):
    """``headers`` are read from the secret that ``headers_secret`` names; ``file`` is absolute."""

    endpoint: str = ""
    headers_secret: str = ""
    file: str = ""
    service_name: str = "hermes"
    capture_content: bool = False
    timeout: float = 10.0
    flush_seconds: float = 3.0
    headers: Mapping[str, str] = {}


async def read_settings(ctx: PluginContext) -> Settings:
    """The section, with the secret's headers.

    Raises:
        ConfigError: the endpoint is no address, or the secret is not there or holds no headers.
        PluginError: the manifest does not ask for that secret.
    """
    settings = msgspec.convert(await ctx.config(), Settings)
    if settings.file:
        settings = msgspec.structs.replace(settings, file=str(ctx.data_dir / Path(settings.file).expanduser()))
    if settings.endpoint and (urlsplit(settings.endpoint).scheme not in ("http", "https") or not _host(settings)):
        raise ConfigError(
            f"otel.endpoint is no address of a collector: {settings.endpoint!r}.",
            hint="Give one like http://localhost:4318: hermes config edit",
        )
    if not settings.headers_secret:
        return settings
    name = settings.headers_secret
    secret = (await ctx.secrets(name)).get(name)
    if secret is None:
        raise ConfigError(
            f'The secret "{name}", which otel.headers_secret names, is not set.',
            hint=f"Export {name}, or put it into the home's .env, as: name=value,name=value",
        )
    return msgspec.structs.replace(settings, headers=_headers(name, secret))


def _host(settings: Settings) -> str:
    return urlsplit(settings.endpoint).hostname or ""


def _headers(name: str, secret: str) -> dict[str, str]:
    """As in OTEL_EXPORTER_OTLP_HEADERS: ``name=value`` pairs, percent-encoded, with commas between them."""
    headers = {}
    for pair in secret.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f'The secret "{name}" holds no headers.', hint="Write it as: name=value,name=value")
        headers[unquote(key.strip())] = unquote(value.strip())
    return headers
