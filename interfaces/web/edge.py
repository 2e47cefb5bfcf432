"""The parts of the HTTP edge: what interfaces.bootstrap gives it, and the state that it keeps in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from application.access.daily_quota import DailyQuotas
from application.access.token_bucket import PerKeyRateLimiter
from application.bounded_cache import BoundedCache
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.facility.portfolio_validation import STRICTEST_RULES, PortfolioRules
from application.ledger.consistency import ConsistencyDocument
from application.ledger.proof_document import ProofDocument
from application.ledger.status import LedgerStatus
from application.ports.access.api_keys import ApiKeys
from application.ports.access.rate_limit import RateLimiter
from application.ports.access.sessions import Sessions
from application.ports.clock import Clock
from application.ports.facility import FacilityCoordinates
from application.ports.forecast.past_forecasts import PastForecasts
from application.ports.forecast.scores import ForecastScores
from application.ports.live_feed import LiveLog
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from application.ports.operations.system_state import Queues, SystemState
from application.ports.public_holidays import PublicHolidays
from application.ports.settlement.documents import SettlementDocuments
from application.ports.shared_cache import SharedCache
from application.ports.telemetry.meter_powers import MeterPowersView
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from application.telemetry.current_values import CurrentValues
from application.telemetry.load_history import HistorySources, LoadHistories
from application.telemetry.rate_limited_reads import RateLimitedCurrentValues
from application.telemetry.reading_gaps import GapSources
from domain.program import ProgramState, Terms
from interfaces.readiness import DependencyState, ReadinessProbe
from interfaces.web.authentication.api_key import Authenticator
from interfaces.web.authentication.concurrency_limit import ConcurrencyLimit, TenantConcurrencyLimit
from interfaces.web.authentication.failures import AuthenticationFailures
from interfaces.web.authentication.planning_queue import PlanningQueueLimit
from interfaces.web.authentication.session_cookie import SessionAuthenticator
from interfaces.web.broadcast.feed import LiveFeed, Signal
from interfaces.web.caching.audit_cache import AuditDocumentCache
from interfaces.web.caching.coalescing import ReadCoalescer, RowLoader
from interfaces.web.caching.coordinates import CoordinatesCache
from interfaces.web.caching.facility_cache import FacilityIdCache
from interfaces.web.caching.last_responses import StaleIfErrorCache
from interfaces.web.caching.prefix_end_cache import PrefixEndCache
from interfaces.web.caching.response_cache import IdempotentResponseCache
from interfaces.web.caching.shared_pages import SharedPages
from interfaces.web.host_sources import HostSources
from interfaces.web.middleware.metrics import WebMetrics
from interfaces.web.middleware.replica_routing import is_away, prefers_newest
from interfaces.web.middleware.stale_responses import StaleResponses
from interfaces.web.portfolio_sources import PortfolioSources
from interfaces.web.replica_reads import ReplicaReads
from projections.as_of.lists import FoldLimits, HistoricalLists
from projections.audit.stream_log import StreamLog
from projections.engine.waits import ProjectionWaits
from projections.queries.replica import ReplicatedReadModels
from projections.queries.views import ReadModels

TReply = TypeVar("TReply")
SETTLEMENT_DOCUMENTS_BYTES = 16_000_000
CONCURRENT_WAITS = 8
NOTIFICATIONS_WAITING = 1_000
"""Webhook calls of one utility in a process: its burst waits, each call hundredths of a second."""


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


class DeadLetterReplayer(Protocol):
    """Replays parked work; `application.operations.dead_letter_replay.DeadLetterReplay` implements it."""

    async def replay(self, dead_letter_id: UUID, *, by: str, reason: str) -> DeadLetter: ...


class CallbackIdSource(Protocol):
    """Ids of callback addresses; `interfaces.web.api.webhook.callback_ids.CallbackIds` implements it."""

    def of(self, utility_id: str, url: str, *, admit: Callable[[], None]) -> UUID:
        """The id of that address. `admit` refuses a new one."""
        ...


class Ledger(Protocol):
    """Status and proofs of the sealed log (synchronous). All methods raise NotProvable or LedgerUnavailable."""

    def status(self) -> LedgerStatus: ...

    def proof(self, dr_event_id: UUID) -> ProofDocument:
        """Raises DREventNotRecorded too."""
        ...

    def consistency(self, since: int) -> ConsistencyDocument:
        """The proof that the newest checkpoint extends checkpoint `since`. Raises CheckpointNotFound too."""
        ...


async def _nothing_reported() -> Sequence[DependencyState]:
    return ()


@dataclass(frozen=True, kw_only=True)
class ReadRates:
    """Limits for the reads of one key."""

    current_per_s: float = 1.0
    """Of the current value of one facility, over all processes."""
    others_per_s: float = 200.0
    """Of all other routes together, in one process."""


@dataclass(kw_only=True, eq=False)
class WebDependencies:
    """Everything that handlers, guard and middlewares work with. Stores are synchronous and called in threads.

    The fields that are not given are made from the others, and belong to one application.
    """

    bus: Commands
    read_models: ReadModels
    stream_log: StreamLog
    api_keys: ApiKeys
    sessions: Sessions
    rate_limiter: RateLimiter
    alerts: AlertRegistry
    dead_letters: DeadLetters
    telemetry: TelemetryStore
    rollups: TelemetryRollups
    meter_powers: MeterPowersView
    gap_sources: GapSources
    past_forecasts: PastForecasts
    forecast_scores: ForecastScores
    settlements: SettlementDocuments
    public_holidays: PublicHolidays
    ledger: Ledger
    live_log: LiveLog
    live_signal: Signal
    clock: Clock
    decision_clock: Clock
    """For what is recorded: raises ClockSkewed while it is wrong."""
    webhook_secret: Callable[[str], bytes | None] = field(repr=False)
    """The HMAC secret of a utility; None: it does not sign. Raises ValueError if it cannot be resolved."""
    known_programs: Callable[[Collection[str]], Mapping[str, Terms | None]] = lambda _: {}
    """Those of the named programs that exist in the log, with their newest terms."""
    program: Callable[[str], ProgramState | None] = lambda _: None
    """A program of the log; None: there is none."""
    portfolio: PortfolioSources = field(default_factory=PortfolioSources)
    host: HostSources | None = None
    """What is asked of the process of `gridproof up`; None: nothing can be."""
    portfolio_rules: PortfolioRules = STRICTEST_RULES
    queues: Queues | None = None
    """None: the depths of queues are not available."""
    system_state: SystemState | None = None
    dead_letter_replay: DeadLetterReplayer | None = None
    """None: dead letters can be replayed on the command line only."""
    cache: SharedCache | None = None
    """Shares current values with other processes; None: each process caches its own."""
    waits: ProjectionWaits | None = None
    """None: `Prefer: wait=N` is ignored."""
    replica: ReplicatedReadModels | None = None
    """Serves reads instead of `read_models`; None: there is only the primary."""
    replica_reads: ReplicaReads | None = None
    """What else it serves; None: the primary does."""
    read_rates: ReadRates = field(default_factory=ReadRates)
    failed_authentications_per_min: int = 60
    """Of one client network; beyond it they are answered 429."""
    system: str | None = None
    """What tells this system from others; `/ready` says it."""
    probes: tuple[ReadinessProbe, ...] = ()
    reported: Callable[[], Awaitable[Sequence[DependencyState]]] = _nothing_reported
    """The dependencies of other processes, as those report them."""
    queue_depth: int = 100
    """Number of a utility's DR events that are due to be planned at which the webhook answers it 503."""
    waiting_per_utility: int = 1_000
    """The same with those whose window no forecast reaches yet."""
    quotas: DailyQuotas | None = None
    """Bounds of what is stored for each utility in a day; None: there are none."""
    allow_private_callbacks: bool = False
    callback_ports: Collection[int] = (80, 443, 8443)
    facility_coordinates: FacilityCoordinates | None = None
    """None: the coordinates of facilities are recorded with them."""
    callback_ids: CallbackIdSource | None = None
    """None: callback addresses are recorded as they are given."""
    stream_clients: int = 1_200
    """Maximum number of open streams in this process."""
    stream_clients_per_key: int | None = None
    """Maximum number of them for one key; None: all."""

    metrics: WebMetrics = field(default_factory=WebMetrics, init=False)
    live: LiveFeed = field(init=False)
    authenticator: Authenticator = field(init=False)
    session_authenticator: SessionAuthenticator = field(init=False)
    failures: AuthenticationFailures = field(init=False)
    rates: PerKeyRateLimiter = field(init=False)
    planning_queue: PlanningQueueLimit = field(init=False)
    current_values: CurrentValues = field(init=False)
    current_reads: RateLimitedCurrentValues = field(init=False)
    histories: LoadHistories = field(init=False)
    facilities: FacilityIdCache = field(init=False)
    coordinates: CoordinatesCache = field(init=False)
    history: StreamLog = field(init=False)
    """For everything that is read as of a time or position."""
    historical_lists: HistoricalLists = field(init=False)
    audits: AuditDocumentCache = field(init=False)
    stale_responses: StaleResponses = field(init=False)
    coalescer: ReadCoalescer = field(default_factory=ReadCoalescer, init=False)
    pages: SharedPages = field(init=False)
    settlement_documents: BoundedCache[Hashable, bytes] = field(
        default_factory=lambda: BoundedCache(
            "settlement documents", max_size=SETTLEMENT_DOCUMENTS_BYTES, size_of=len, max_entries=1_000
        ),
        init=False,
    )
    rows: RowLoader = field(default_factory=RowLoader, init=False)
    responses: IdempotentResponseCache = field(default_factory=IdempotentResponseCache, init=False)
    notification_limit: TenantConcurrencyLimit = field(
        default_factory=lambda: TenantConcurrencyLimit(most_waiting=NOTIFICATIONS_WAITING), init=False
    )
    gaps_limit: TenantConcurrencyLimit = field(
        default_factory=lambda: TenantConcurrencyLimit(2, share=1, most_waiting=4), init=False
    )
    """For reading single readings of a day of many meters."""
    settlement_limit: TenantConcurrencyLimit = field(
        default_factory=lambda: TenantConcurrencyLimit(2, share=1, most_waiting=300), init=False
    )
    """For documents of settlements and statements: one of 10,000 facilities has 20 MB. All pages of a key may ask for a
    new one at once."""
    import_limit: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit(1), init=False)
    """For portfolio files: each takes seconds."""
    upload_lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """For files of past readings: one comes in at a time."""
    what_if_limit: TenantConcurrencyLimit = field(
        default_factory=lambda: TenantConcurrencyLimit(2, share=1, most_waiting=4), init=False
    )
    """For settling and measuring again."""
    fold_limit: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit(1), init=False)
    """For folding past lists."""
    past_limit: TenantConcurrencyLimit = field(
        default_factory=lambda: TenantConcurrencyLimit(share=1), init=False
    )
    """For everything that is read as of a time or position, and the origins of numbers."""
    wait_limit: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(CONCURRENT_WAITS), init=False
    )
    """For requests that wait for read models."""

    def __post_init__(self) -> None:
        replica = self.replica
        self.live = LiveFeed(
            self.live_log,
            self.live_signal,
            self.alerts,
            self.clock,
            max_watchers=self.stream_clients,
            max_per_key=self.stream_clients_per_key,
            # Nothing else reads the replica then: requests are admitted only if it answers.
            while_away=(lambda: None) if replica is None else partial(replica.check_replica, at_once=True),
        )
        self._admit_callers()
        self._serve_reads()

    def _admit_callers(self) -> None:
        self.authenticator = Authenticator(self.api_keys, now=self.clock.now, is_away=self._is_away)
        self.session_authenticator = SessionAuthenticator(
            self.sessions, self.authenticator, is_away=self._is_away
        )
        self.failures = AuthenticationFailures(self.failed_authentications_per_min)
        self.rates = PerKeyRateLimiter(self.read_rates.others_per_s)
        self.planning_queue = PlanningQueueLimit(
            self.read_models.planning_queue, most_due=self.queue_depth, most_waiting=self.waiting_per_utility
        )

    def _serve_reads(self) -> None:
        self.pages = SharedPages(self.coalescer)
        self.current_values = CurrentValues(self.telemetry, self.clock, self.cache)
        self.current_reads = RateLimitedCurrentValues(
            self.current_values, self.cache, every_s=1 / self.read_rates.current_per_s
        )
        sources = HistorySources(self.telemetry, self.rollups, self.meter_powers)
        self.histories = LoadHistories(sources, self.clock, self.cache)
        self.facilities = FacilityIdCache(self.read_models.facilities)
        self.coordinates = CoordinatesCache(self.facility_coordinates, is_away=self._is_away)
        self.history = PrefixEndCache(self.stream_log)
        self.historical_lists = HistoricalLists(self.history, FoldLimits())
        self.audits = AuditDocumentCache(self.history, self.replica_reads)
        self.stale_responses = StaleResponses(self.live.state, StaleIfErrorCache(), self.clock, self.replica)

    def _is_away(self) -> bool:
        return self.live.state.is_away


Web = NamedDependency[SkipValidation[WebDependencies]]
"""The parameter `web` of a handler."""


def web_of(connection: ASGIConnection[Any, Any, Any, Any]) -> WebDependencies:
    """For the guard, middlewares, and functions of a request that many handlers use."""
    return cast("WebDependencies", connection.app.state["web"])


def models_of(connection: ASGIConnection[Any, Any, Any, Any]) -> ReadModels:
    """The read models for this request: those of the primary if it wants to see recent writes, else of the replica.

    While the primary is down the replica serves; the guard refuses requests that it cannot serve.
    """
    web = web_of(connection)
    if web.replica is None:
        return web.read_models
    if is_away(connection.scope, web.live.state):
        return web.replica.replica_only
    return web.read_models if prefers_newest(connection.scope) else web.replica
