"""The connection to InfluxDB, by the interface that 1.8, 2.x and 3.x have in common: `/api/v2/write` and InfluxQL on
`/query`.

A call that fails for a transient reason is retried a limited number of times. After several failures in a row the
circuit breaker opens, and every call fails at once.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar, cast

import msgspec
import stamina
import structlog
import urllib3
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision

from adapters.influxdb.influxql import QueryRefused, Series, read_response
from adapters.resilience import BreakerOpen, guarded
from adapters.tls import plain_hint, tls_problem
from application.circuit_breaker import CircuitBreaker
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable
from application.telemetry.store_health import TelemetryHealth

RAW, ROLLUPS = "raw", "rollups"
"""The two retention policies of 1.x; on 2.x and 3.x part of the bucket's or the database's name."""

ATTEMPTS = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 1.0
BREAKER_FAILURES = 5
BREAKER_OPEN_S = 5.0
CONNECT_WITHIN_MS, ANSWER_WITHIN_MS = 3_000, 30_000
LINES_PER_WRITE = 5_000
_TRANSIENT_STATUSES = frozenset({0, 408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same call may succeed."""
_ACCESS_STATUSES = frozenset({401, 403, 404})
"""InfluxDB is not set up for this client. An operator must correct it; the rows wait."""

_MICROSECONDS = cast("WritePrecision", WritePrecision.US)

TAnswer = TypeVar("TAnswer")
_log = structlog.get_logger(__name__)


class _Transient(Exception):
    """A failure after which the same call may succeed."""


class InfluxConnection:
    """The connection to one database; thread-safe. `token` of 1.x is `user:password`; `org` is used by 2.x only."""

    def __init__(
        self,
        url: str,
        database: str,
        *,
        token: str = "",
        org: str = "",
        health: TelemetryHealth | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.database = database
        self._is_plain = url.startswith("http:")
        self.health = health or TelemetryHealth()
        self._client = InfluxDBClient(
            url,
            token=token,
            org=org or "-",
            timeout=(CONNECT_WITHIN_MS, ANSWER_WITHIN_MS),
            retries=False,
            ssl_context=tls,
        )
        # Not the client's own batching and retries: they would hold rows in memory that we have already reported as
        # stored.
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        self._breaker = CircuitBreaker(threshold=BREAKER_FAILURES, open_s=BREAKER_OPEN_S)

    def write(self, policy: str, lines: Sequence[str]) -> None:
        """Write all lines in order. Raises TelemetryStoreUnavailable: some may be stored, and writing them again is
        harmless. Raises ReadingsRefused where they can never be stored."""
        bucket = f"{self.database}/{policy}"
        for n in range(0, len(lines), LINES_PER_WRITE):
            body = "\n".join(lines[n : n + LINES_PER_WRITE]).encode()
            try:
                self._retried(partial(self._writer.write, bucket, record=body, write_precision=_MICROSECONDS))
            except InfluxDBError as error:
                raise ReadingsRefused(f"InfluxDB refused the rows: {_message(error)}") from error

    def query(self, policy: str, statements: Sequence[str]) -> list[tuple[Series, ...]]:
        """The series of each statement, in one round trip. Raises TelemetryStoreUnavailable."""
        try:
            with self.health.timed("InfluxQL"):
                return self._execute({"db": self.database, "rp": policy, "epoch": "u"}, statements)
        except QueryRefused as error:
            raise TelemetryStoreUnavailable(f"InfluxDB did not answer the query: {error}") from error

    def series(self, policy: str, statements: Sequence[str]) -> Iterator[Series]:
        """The series of all statements, in one round trip; none without a statement. Raises as `query`."""
        if statements:
            for answer in self.query(policy, statements):
                yield from answer

    def command(self, statements: Sequence[str]) -> list[tuple[Series, ...]]:
        """Statements about databases, on 1.x. Raises TelemetryStoreUnavailable or QueryRefused."""
        return self._execute({}, statements)

    def version(self) -> str:
        """The server's version without a leading `v`. Raises TelemetryStoreUnavailable."""

        return self._ping("X-Influxdb-Version").removeprefix("v")

    def now(self) -> datetime | None:
        """The server's clock, to the second; None where a proxy removes the header.

        Raises TelemetryStoreUnavailable.
        """
        date = self._ping("Date")
        return parsedate_to_datetime(date).astimezone(UTC) if date else None

    def _ping(self, header: str) -> str:
        def ask() -> str:
            client = self._client.api_client
            _, _, headers = client.call_api("/ping", "GET", _preload_content=False)  # type: ignore[no-untyped-call]
            return str(headers.get(header, ""))

        return self._retried(ask)

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]

    def _execute(self, parameters: dict[str, str], statements: Sequence[str]) -> list[tuple[Series, ...]]:
        """Raises TelemetryStoreUnavailable or QueryRefused."""
        try:
            return read_response(self._retried(partial(self._ask, parameters, statements)))
        except InfluxDBError as error:
            raise QueryRefused(_message(error)) from error
        except msgspec.MsgspecError as error:
            raise QueryRefused(f"invalid response: {error}") from error

    def _ask(self, parameters: dict[str, str], statements: Sequence[str]) -> bytes:
        response = self._client.api_client.call_api(  # type: ignore[no-untyped-call]
            "/query",
            "POST",
            query_params=list(parameters.items()),
            header_params={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            post_params={"q": ";".join(statements)},
            _preload_content=False,
            _return_http_data_only=True,
        )
        return bytes(response.data)

    def _retried(self, call: Callable[[], TAnswer]) -> TAnswer:
        """Raises TelemetryStoreUnavailable, or the client's error where the request itself is at fault."""
        waits = stamina.retry_context(
            _Transient,
            attempts=ATTEMPTS,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
            wait_jitter=FIRST_WAIT_S,
            timeout=None,
        )
        try:
            for attempt in waits:
                if attempt.num > 1:
                    _log.warning("trying InfluxDB again", attempt=attempt.num)
                with attempt:
                    return self._guarded(call)
        except _Transient as error:
            closed = isinstance(error.__cause__, urllib3.exceptions.ProtocolError)
            hint = f"; {plain_hint('https')}" if closed and self._is_plain else ""
            raise TelemetryStoreUnavailable(f"InfluxDB: {error}{hint}") from error
        raise AssertionError("stamina ends with an answer or an error")

    def _guarded(self, call: Callable[[], TAnswer]) -> TAnswer:
        """Transient errors count as failures; a refusal shows that InfluxDB answers."""
        try:
            with guarded(self._breaker, failures=(_Transient,)):
                return _classified(call)
        except BreakerOpen as error:
            raise TelemetryStoreUnavailable("breaker open: InfluxDB failed too often") from error


def _classified(call: Callable[[], TAnswer]) -> TAnswer:
    """Raises _Transient, TelemetryStoreUnavailable where access is refused, or else the client's InfluxDBError."""
    try:
        return call()
    except InfluxDBError as error:
        status = _status(error)
        if status in _TRANSIENT_STATUSES:
            raise _Transient(tls_problem(error) or _message(error)) from error
        if status in _ACCESS_STATUSES:
            raise TelemetryStoreUnavailable(
                f"InfluxDB refuses access: {_message(error)}; run `gridproof migrate`, check the token"
            ) from error
        raise
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _Transient(tls_problem(error) or f"{type(error).__name__}: {error}") from error


def _status(error: InfluxDBError) -> int:
    return int(getattr(error, "status", None) or 0)


def _message(error: InfluxDBError) -> str:
    body = getattr(error, "body", None)
    words = body.decode(errors="replace") if isinstance(body, bytes) else str(body or error.message or error)
    return f"{_status(error)} {words.strip()[:500]}"
