"""The parameters of TLS in the addresses of servers, completed by GRIDPROOF_TLS_CA_FILE (ADR 0111)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

_DATABASES = ("database_url", "database_replica_url", "migration_database_url")


def with_authorities(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of settings, with the private authorities in the addresses of PostgreSQL, NATS and the cache.

    What an address says itself stays, so that a child process with these values has the same.
    """
    file: Path | None = values.get("tls_ca_file")
    if file is None:
        return dict(values)
    completed = {name: _database(values[name], file) for name in _DATABASES if name in values}
    if "nats_url" in values:
        completed["nats_url"] = _first(values["nats_url"], "tls", "ca_file", file)
    if "redis_url" in values:
        completed["redis_url"] = _first(values["redis_url"], "rediss", "ssl_ca_certs", file)
    return {**values, **completed}


def _database(url: str, ca_file: Path) -> str:
    """verify-full checks chain and name; libpq's own default does neither."""
    given = parse_qs(urlsplit(url).query)
    if "sslmode" not in given:
        url = _with(url, "sslmode", "verify-full")
    elif given["sslmode"] == ["disable"]:
        return url
    return url if "sslrootcert" in given else _with(url, "sslrootcert", str(ca_file))


def _first(urls: str, scheme: str, parameter: str, ca_file: Path) -> str:
    """The parameters of the first address of a list hold for all."""
    if not urls.strip().startswith(f"{scheme}:"):
        return urls
    first, comma, others = urls.partition(",")
    if parameter not in parse_qs(urlsplit(first).query):
        first = _with(first.strip(), parameter, str(ca_file))
    return f"{first}{comma}{others}"


def _with(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{name}={quote(value, safe='/')}"
