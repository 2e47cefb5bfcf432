"""What the HTTP edge works with, already wired by interfaces.bootstrap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection

from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.ledger.proof import ProofDocument
from application.ledger.status import LedgerStatus
from application.ports.access.api_keys import ApiKeys
from application.ports.access.rate_limit import RateLimiter
from application.ports.access.sessions import Sessions
from application.ports.clock import Clock
from application.ports.forecast.past_forecasts import PastForecasts
from application.ports.forecast.scores import ForecastScores
from application.ports.live_feed import LiveLog
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from application.ports.operations.system_state import Queues, SystemState
from application.ports.shared_cache import SharedCache
from application.ports.telemetry.meter_powers import MeterPowersView
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from application.telemetry.current_values import CurrentValues
from application.telemetry.load_history import LoadHistories
from application.telemetry.rate_limited_reads import RateLimitedCurrentValues
from interfaces.web.authentication.api_key import Authenticator
from interfaces.web.authentication.concurrency_limit import ConcurrencyLimit
from interfaces.web.authentication.rate_limit import PerKeyRateLimiter
from interfaces.web.authentication.session_cookie import SignedIn
from interfaces.web.broadcast.feed import LiveFeed, Signal
from interfaces.web.caching.audit_cache import AuditDocumentCache
from interfaces.web.caching.coalescing import RowLoader, SharedReads
from interfaces.web.caching.facility_cache import FacilityIdCache
from interfaces.web.caching.page_cache import PageCache
from interfaces.web.caching.response_cache import IdempotentResponseCache
from interfaces.web.middleware.replica_routing import is_away, prefers_newest
from projections.as_of.lists import HistoricalLists
from projections.audit.stream_log import StreamLog
from projections.engine.waits import ProjectionWaits
from projections.queries.replica import ReplicatedReadModels
from projections.queries.views import ReadModels

TReply = TypeVar("TReply")
READS_WAITING_AT_ONCE = 8


class Commands(Protocol):
    """The command bus, as the edge calls it (synchronous)."""

    def handle(
        self,
        command: msgspec.Struct,
        context: CommandContext,
        *,
        key: IdempotencyKey | None = None,
        reply_type: type[TReply] | None = None,
        admit: Callable[[], None] | None = None,
    ) -> TReply | Any: ...


class Replaying(Protocol):
    """Does parked work again, as `application.operations.dead_letter_replay.DeadLetterReplay`."""

    async def replay(self, dead_letter_id: UUID, *, by: str, reason: str) -> DeadLetter: ...


class Ledger(Protocol):
    """What can be said and proven of the sealed log (synchronous). Both raise NotProvable or LedgerUnavailable."""

    def status(self) -> LedgerStatus: ...

    def proof(self, dr_event_id: UUID) -> ProofDocument:
        """Raises DREventNotRecorded too."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReadinessProbe:
    """Whether one dependency answers. Without a needed one the edge is not ready; others only degrade it."""

    name: str
    needed: bool
    check: Callable[[], Awaitable[None]]
    """Raises whatever keeps it from answering. The edge gives it PROBE_DEADLINE_S."""


@dataclass(frozen=True, kw_only=True)
class ReadRates:
    """How often one key may read."""

    current_per_s: float = 1.0
    """Of one facility's current value, over all processes."""
    others_per_s: float = 200.0
    """Of all other routes together, in each process."""


@dataclass(frozen=True, kw_only=True)
class WebCollaborators:
    """Everything the edge needs; stores are synchronous and called in threads."""

    bus: Commands
    read_models: ReadModels
    story_log: StreamLog
    api_keys: ApiKeys
    sessions: Sessions
    rate_limiter: RateLimiter
    alerts: AlertRegistry
    dead_letters: DeadLetters
    telemetry: TelemetryStore
    rollups: TelemetryRollups
    meter_powers: MeterPowersView
    past_forecasts: PastForecasts
    forecast_scores: ForecastScores
    ledger: Ledger
    live_log: LiveLog
    live_signal: Signal
    clock: Clock
    webhook_secret: Callable[[str], bytes | None] = field(repr=False)
    """The HMAC secret of a utility; None: it does not sign. Raises ValueError when it cannot be had."""
    known_programs: Callable[[Collection[str]], Collection[str]] = lambda _: ()
    """Those of the named programs that there are, by the log."""
    queues: Queues | None = None
    """None: what waits between processes is not known here."""
    system_state: SystemState | None = None
    dead_letter_replay: Replaying | None = None
    """None: dead letters are replayed on the command line only."""
    cache: SharedCache | None = None
    """Shares current values with other processes; None: each remembers for itself."""
    waits: ProjectionWaits | None = None
    """None: no read waits for what was just written."""
    replica: ReplicatedReadModels | None = None
    """What people read instead of `read_models`; None: there is only the primary."""
    read_rates: ReadRates = field(default_factory=ReadRates)
    probes: tuple[ReadinessProbe, ...] = ()
    queue_depth: int = 100
    """DR events accepted and not yet scheduled, at which the door answers 503."""
    allow_private_callbacks: bool = False
    stream_clients: int = 1_200
    """Who may watch at once, in this process."""
    stream_clients_per_key: int | None = None
    """Of them with one key; None: all."""


@dataclass(frozen=True)
class Edge:
    """The collaborators, and what the edge itself keeps in memory."""

    collaborators: WebCollaborators
    authenticator: Authenticator
    signed_in: SignedIn
    current_values: CurrentValues
    current_reads: RateLimitedCurrentValues
    facilities: FacilityIdCache
    rates: PerKeyRateLimiter
    histories: LoadHistories
    live: LiveFeed
    past_lists: HistoricalLists
    audits: AuditDocumentCache
    shared: SharedReads = field(default_factory=SharedReads)
    pages: PageCache = field(default_factory=PageCache)
    rows: RowLoader = field(default_factory=RowLoader)
    answers: IdempotentResponseCache = field(default_factory=IdempotentResponseCache)
    judging: ConcurrencyLimit = field(default_factory=ConcurrencyLimit)
    folding: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit(1))
    """Of the past, for lists."""
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_WAITING_AT_ONCE))
    """For read models: of those who asked to."""


def edge_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Edge:
    return cast("Edge", connection.app.state["edge"])


def models_of(connection: ASGIConnection[Any, Any, Any, Any]) -> ReadModels:
    """The read models that this request reads: the primary's where it asks to know what was just recorded.

    While the primary does not answer, whatever the replica has; access.py lets nobody come here without one.
    """
    edge = edge_of(connection)
    replica = edge.collaborators.replica
    if replica is None:
        return edge.collaborators.read_models
    if is_away(connection.scope, edge.live.state):
        return replica.replica_only
    return edge.collaborators.read_models if prefers_newest(connection.scope) else replica


def collaborators_of(connection: ASGIConnection[Any, Any, Any, Any]) -> WebCollaborators:
    return edge_of(connection).collaborators
