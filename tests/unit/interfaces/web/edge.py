"""The HTTP edge over fakes, for tests of the edge only."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Generic, TypeVar, cast

import httpx
import msgspec
from litestar import Litestar
from litestar.testing import TestClient

from application.access.api_keys import issue
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.commands.dr_event import (
    CancelDREvent,
    Cancellation,
    CancelNotifiedDREvent,
    Judgement,
    JudgeNotification,
    SettleDREvent,
    SettlementOutcome,
)
from application.ports.access.api_keys import Role
from domain.identifiers import dr_event_id
from interfaces.readiness import ReadinessProbe
from interfaces.web.app import connect, create_app, unconnected_app
from interfaces.web.edge import ReadRates, WebDependencies
from projections.dr_event.projection import DREventRow
from projections.queries.views import Page, PlanningQueue, RowsVersion
from tests.fakes.access.api_keys import FakeApiKeys
from tests.fakes.access.rate_limit import FakeRateLimiter
from tests.fakes.access.sessions import FakeSessions
from tests.fakes.live_feed import FakeLiveLog, FakeLogSignal
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.replicated_read_models import FakeReplicatedReadModels
from tests.sample_settlement import settlement_figures

NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
WEBHOOK = "/webhooks/utility/dr-notification"
Row = TypeVar("Row", bound=msgspec.Struct)
_idle_apps: list[Litestar] = []


@dataclass
class SettableClock:
    moment: datetime = NOW
    speed: float = 1.0

    def now(self) -> datetime:
        return self.moment

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / self.speed


@dataclass
class RecordedCommands:
    """A command bus that records the commands and returns the given answer."""

    answer: Callable[[Any], Any] = lambda command: None
    given: list[tuple[Any, CommandContext, IdempotencyKey | None]] = field(default_factory=list)

    def handle(
        self,
        command: msgspec.Struct,
        context: CommandContext,
        *,
        key: IdempotencyKey | None = None,
        reply_type: Any = None,
        admit: Callable[[], None] | None = None,
    ) -> Any:
        if admit is not None:
            admit()
        self.given.append((command, context, key))
        return self.answer(command)


@dataclass(eq=False)
class ListedRows(Generic[Row]):
    """A view of some rows, by key; filters match text fields."""

    rows: dict[str, Row] = field(default_factory=dict)
    tenant_of: Callable[[Row], str | None] = lambda row: None
    rows_version: RowsVersion | None = None

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        row = self.rows.get(key)
        return row if row is not None and tenant in (None, self.tenant_of(row)) else None

    def version(self) -> RowsVersion | None:
        return self.rows_version

    def by_key(self, keys: Collection[str]) -> dict[str, Row]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Row]:
        found = [
            row
            for row in self.rows.values()
            if all(str(getattr(row, name)) == value for name, value in (filters or {}).items())
            and tenant in (None, self.tenant_of(row))
        ]
        start = int(cursor or 0)
        following = str(start + limit) if len(found) > start + limit else None
        return Page(tuple(found[start : start + limit]), following)


@dataclass
class ReadModelsInMemory:
    dr_events: ListedRows[DREventRow] = field(
        default_factory=lambda: ListedRows(tenant_of=lambda row: row.utility_id)
    )
    dispatches: Any = field(default_factory=ListedRows)
    facilities: Any = field(default_factory=ListedRows)
    portfolio: Any = field(default_factory=ListedRows)

    def planning_queue(self, *, tenant: str | None, limit: int) -> PlanningQueue:
        rows = self.dr_events.listed(filters={"status": "accepted"}, tenant=tenant, limit=limit).rows
        return PlanningQueue(len(rows), sum(row.plan_retry_at is None for row in rows))

    def positions(self) -> list[Any]:
        return []


@dataclass
class Edge:
    """An edge and its dependencies."""

    commands: RecordedCommands = field(default_factory=RecordedCommands)
    read_models: ReadModelsInMemory = field(default_factory=ReadModelsInMemory)
    api_keys: FakeApiKeys = field(default_factory=FakeApiKeys)
    live_log: FakeLiveLog = field(default_factory=FakeLiveLog)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    clock: SettableClock = field(default_factory=SettableClock)
    rate_per_s: int = 1_000
    read_rates: ReadRates = field(default_factory=lambda: ReadRates(current_per_s=1e9, others_per_s=1e9))
    secrets: dict[str, bytes] = field(default_factory=dict)
    webhook_secret: Callable[[str], bytes | None] | None = None
    """Replaces `secrets`."""
    probes: tuple[ReadinessProbe, ...] = ()
    queue_depth: int = 100
    allow_private_callbacks: bool = False
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    others: dict[str, Any] = field(default_factory=dict)
    """Further dependencies of the test."""
    issued: int = 0

    def add_replica(self, *, lag_s: float = 0.0, answers: bool = True) -> FakeReplicatedReadModels:
        """A replica that has been checked and has no rows."""
        replica = FakeReplicatedReadModels(ReadModelsInMemory(), self.read_models, lag_s=lag_s)
        replica.answers = answers
        replica.check_replica()
        self.others["replica"] = replica
        return replica

    def app(self) -> Litestar:
        return create_app(self._dependencies())

    def _dependencies(self) -> WebDependencies:
        unused = dict.fromkeys(
            (
                "stream_log",
                "dead_letters",
                "telemetry",
                "rollups",
                "meter_powers",
                "gap_sources",
                "past_forecasts",
                "forecast_scores",
                "settlements",
                "public_holidays",
                "ledger",
            ),
            cast("Any", None),
        )
        return WebDependencies(
            read_models=cast("Any", self.read_models),
            api_keys=self.api_keys,
            sessions=self.sessions,
            live_log=self.live_log,
            live_signal=FakeLogSignal(),
            rate_limiter=FakeRateLimiter(self.rate_per_s),
            clock=self.clock,
            decision_clock=self.clock,
            webhook_secret=self.webhook_secret or self.secrets.get,
            read_rates=self.read_rates,
            probes=self.probes,
            queue_depth=self.queue_depth,
            allow_private_callbacks=self.allow_private_callbacks,
            **{**unused, "bus": self.commands, "alerts": self.alerts, **self.others},
        )

    @contextmanager
    def client(self) -> Iterator[TestClient[Litestar]]:
        """A client of this edge. Routes take long to build, so one application serves one edge after another."""
        app = _idle_apps.pop() if _idle_apps else unconnected_app()
        connect(app, self._dependencies())
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client
        _idle_apps.append(app)

    def key(self, role: Role, *, utility: str | None = None, facility: str | None = None) -> dict[str, str]:
        """The header with a new key of that role."""
        self.issued += 1
        entropy = b"".join(sha256(bytes([self.issued, part])).digest() for part in range(2))[:38]
        issued = issue(
            self.api_keys, role=role, utility_id=utility, facility_id=facility, at=NOW, entropy=entropy
        )
        return {"Authorization": f"Bearer {issued.token}"}


def notification(**changes: Any) -> dict[str, Any]:
    """A valid notification with some fields changed; None omits the field."""
    body = {
        "notification_id": "n-1",
        "event_id": "UTIL-1",
        "program": "summer-peak",
        "starts_at": (NOW + timedelta(hours=4)).isoformat(),
        "ends_at": (NOW + timedelta(hours=6)).isoformat(),
        "target_reduction_kw": 1200,
        "facility_ids": ["fac-001", "fac-002"],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def accepting(command: Any) -> Any:
    """Accepts every notification, cancellation and settlement."""
    if isinstance(command, JudgeNotification):
        return Judgement(
            dr_event_id=dr_event_id(command.utility_id, command.utility_event_id),
            status="accepted",
            capacity_kw=1300,
            capacity_source="declared",
        )
    if isinstance(command, CancelNotifiedDREvent):
        found = dr_event_id(command.utility_id, command.utility_event_id)
        return Cancellation(dr_event_id=found, status="cancelled")
    if isinstance(command, SettleDREvent):
        return SettlementOutcome(
            dr_event_id=command.dr_event_id, revision=0, recorded=True, figures=settlement_figures()
        )
    assert isinstance(command, CancelDREvent)
    return Cancellation(dr_event_id=command.dr_event_id, status="cancelled")


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem document, checked for the mandatory fields."""
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["type"].startswith("/problems/")
    assert document["title"]
    assert document["detail"]
    assert document["reasons"]
    assert document["trace_id"] == response.headers["x-trace-id"]
    return document


def codes_of(document: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in document["reasons"]]


async def up() -> None:
    await asyncio.sleep(0)


async def down() -> None:
    raise ConnectionRefusedError("postgresql://user:password@10.0.0.1 refused")
