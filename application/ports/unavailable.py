"""The errors that say that a process cannot work now. Every retry in the product reads this one tuple."""

from application.ports.access.api_keys import ApiKeysUnavailable
from application.ports.clock import ClockSkewed
from application.ports.dispatch.open_work import OpenWorkUnavailable
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.ledger.store import LedgerUnavailable
from application.ports.live_feed import LiveLogUnavailable
from application.ports.operations.system_state import QueuesUnavailable
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.listed_meters import ListedMetersUnavailable
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.ports.telemetry.stream import StreamUnavailable

UNAVAILABLE: tuple[type[Exception], ...] = (
    ApiKeysUnavailable,
    ClockSkewed,
    EventStoreUnavailable,
    LedgerUnavailable,
    ListedMetersUnavailable,
    LiveLogUnavailable,
    OpenWorkUnavailable,
    OperationsUnavailable,
    QueuesUnavailable,
    StreamUnavailable,
    TelemetryStoreUnavailable,
)
"""A server that the process cannot work without is away or does not answer in time, or the process's clock is wrong.
The call may be repeated.

Not in it: the cache, the weather service and the archive. A process works on without them (ADR 0057).
"""
