"""The checks of encryption for `gridproof doctor`: which links are without TLS, or without a verified server."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from interfaces.bootstrap.doctor.ledger_places import LOCAL_HOSTS
from interfaces.bootstrap.doctor.result import CheckFailed, CheckResult, named_first

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings

LINKS, BMS_LINKS = "tls", "bms tls"
_SECURE = frozenset({"https", "mqtts", "rediss", "smtps", "smtp", "tls", "unix", "file", "s3"})
"""smtp demands STARTTLS; s3 is Amazon's, over https."""
_DATABASES = ("database_url", "database_replica_url", "migration_database_url")
_URLS = (
    "nats_url",
    "mqtt_url",
    "redis_url",
    "influx_url",
    "archive_s3_endpoint",
    "weather_url",
    "alert_webhook_url",
    "alert_escalation_webhook_url",
    "alert_smtp_url",
    "otlp_url",
)
_ADVICE = "see docs/guides/production.md, TLS on every link"


@contextmanager
def tls_faults_named() -> Iterator[None]:
    """Raises CheckFailed with the setting to correct where PostgreSQL refused, or was refused, for its TLS."""
    import psycopg

    from adapters.postgres.connection.tls import tls_advice

    try:
        yield
    except psycopg.OperationalError as error:
        if (advice := tls_advice(error)) is None:
            raise
        raise CheckFailed(" ".join(str(error).split()), advice) from error


def check_links(settings: Settings) -> CheckResult:
    """`warning` where a link leaves this machine without TLS, or without checking the server's certificate and name."""
    open_links = list(_open_links(settings))
    count = sum(getattr(settings, name) is not None for name in (*_DATABASES, *_URLS))
    if open_links:
        return CheckResult(
            check=LINKS,
            state="warning",
            detail=named_first(open_links),
            advice=_ADVICE,
            facts={"open": open_links},
        )
    detail = f"{count} addresses; each is verified, or on this machine"
    return CheckResult(check=LINKS, state="ok", detail=detail, facts={"open": []})


def check_bms_links(stores: Stores) -> CheckResult:
    """`warning` where commands, and the password of a BMS, travel in clear."""
    from interfaces.bootstrap.stores import facility_rows

    rows = [row for row in facility_rows(stores) if row.bms_address and row.status != "deactivated"]
    return assess_bms_links({row.facility_id: str(row.bms_address) for row in rows})


def assess_bms_links(addresses: dict[str, str]) -> CheckResult:
    """`addresses`: facility id -> the address of its BMS."""
    if not addresses:
        return CheckResult(check=BMS_LINKS, state="not set", detail="no facility has a BMS")
    plain = sorted(name for name, url in addresses.items() if url.startswith("http:") and not _is_local(url))
    facts = {"buildings": len(addresses), "open": plain}
    if not plain:
        return CheckResult(check=BMS_LINKS, state="ok", detail=f"{len(addresses)} buildings", facts=facts)
    return CheckResult(
        check=BMS_LINKS,
        state="warning",
        detail=f"{len(plain)} of {len(addresses)} buildings over http: {named_first(plain)}",
        advice=_ADVICE,
        facts=facts,
    )


def _open_links(settings: Settings) -> Iterator[str]:
    for name in _DATABASES:
        url = getattr(settings, name)
        if url is not None and (problem := _database_problem(url)) is not None:
            yield f"GRIDPROOF_{name.upper()} ({problem})"
    for name in _URLS:
        urls = getattr(settings, name)
        if urls is not None and (problem := _problem(urls)) is not None:
            yield f"GRIDPROOF_{name.upper()} ({problem})"
    is_fronted = settings.http_served_over_https or settings.http_trusted_proxies
    if settings.http_host not in LOCAL_HOSTS and not is_fronted:
        yield "GRIDPROOF_HTTP_BIND (no proxy that ends TLS is named)"


def _database_problem(url: str) -> str | None:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return None  # other checks name it
    hosts = str(given.get("host") or "").split(",")
    mode = given.get("sslmode") or "prefer"
    if mode == "verify-full" or all(host in LOCAL_HOSTS or host.startswith("/") for host in hosts):
        return None
    return f"sslmode={mode}, which is no verify-full"


def _problem(urls: str) -> str | None:
    first, *others = (url.strip() for url in urls.split(","))
    plain = {urlsplit(url).scheme for url in (first, *others) if not _is_local(url)} - _SECURE
    if plain:
        return f"{', '.join(sorted(plain))}: without TLS"
    return None if _is_local(first) else _unverified(parse_qs(urlsplit(first).query))


def _unverified(parameters: dict[str, list[str]]) -> str | None:
    """The cache's parameters that switch the verification off."""
    off: Collection[str] = {"0", "f", "false", "n", "no", "none", "optional"}
    for name in ("ssl_cert_reqs", "ssl_check_hostname"):
        if parameters.get(name, [""])[0].lower() in off:
            return f"{name} switches the verification off"
    return None


def _is_local(url: str) -> bool:
    return (urlsplit(url).hostname or "") in LOCAL_HOSTS
