"""The errors with which stores say that they do not answer; a later attempt may succeed."""

from application.ports.access.api_keys import ApiKeysUnavailable
from application.ports.dispatch.work_queue import WorkQueueUnavailable
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.ledger.store import LedgerUnavailable
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.ports.telemetry.stream import StreamUnavailable
from projections.audit.stream_log import StreamLogUnavailable
from projections.queries.views import ReadModelsUnavailable

UNAVAILABLE = (
    ApiKeysUnavailable,
    EventStoreUnavailable,
    LedgerUnavailable,
    OperationsUnavailable,
    ReadModelsUnavailable,
    StreamLogUnavailable,
    StreamUnavailable,
    TelemetryStoreUnavailable,
    WorkQueueUnavailable,
)
