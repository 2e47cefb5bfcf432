"""The parameters of TLS in the addresses of servers, completed by GRIDPROOF_TLS_CA_FILE (ADR 0114)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from interfaces.settings.settings import Settings


def trusting(settings: Settings) -> Settings:
    """The settings whose addresses of PostgreSQL, NATS and the cache name the private authorities.

    What an address says itself stays. The same settings come out for the settings of a child process.
    """
    if settings.tls_ca_file is None:
        return settings
    file = settings.tls_ca_file
    return replace(
        settings,
        database_url=_database(settings.database_url, file),
        database_replica_url=_database(settings.database_replica_url, file),
        migration_database_url=_database(settings.migration_database_url, file),
        nats_url=_first(settings.nats_url, "tls", "ca_file", file),
        redis_url=_first(settings.redis_url, "rediss", "ssl_ca_certs", file),
    )


def _database(url: str | None, ca_file: Path) -> str | None:
    """verify-full checks chain and name; libpq's own default does neither."""
    if url is None:
        return None
    given = parse_qs(urlsplit(url).query)
    if "sslmode" not in given:
        url = _with(url, "sslmode", "verify-full")
    elif given["sslmode"] == ["disable"]:
        return url
    return url if "sslrootcert" in given else _with(url, "sslrootcert", str(ca_file))


def _first(urls: str | None, scheme: str, parameter: str, ca_file: Path) -> str | None:
    """What the first address of a list has after its question mark holds for all."""
    if urls is None or not urls.strip().startswith(f"{scheme}:"):
        return urls
    first, comma, others = urls.partition(",")
    if parameter not in parse_qs(urlsplit(first).query):
        first = _with(first.strip(), parameter, str(ca_file))
    return f"{first}{comma}{others}"


def _with(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{name}={quote(value, safe='/')}"
