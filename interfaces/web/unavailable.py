"""The errors of every store that say that it did not answer: whoever asks later may be answered."""

from application.ports.api_keys import ApiKeysUnavailable
from application.ports.event_store import EventStoreUnavailable
from application.ports.ledger_store import LedgerUnavailable
from application.ports.operations import OperationsUnavailable
from application.ports.telemetry_store import TelemetryStoreUnavailable
from application.ports.telemetry_stream import StreamUnavailable
from application.ports.work_queue import WorkQueueUnavailable
from projections.audit.stream_log import StoryLogUnavailable
from projections.queries.views import ReadModelsUnavailable

UNAVAILABLE = (
    ApiKeysUnavailable,
    EventStoreUnavailable,
    LedgerUnavailable,
    OperationsUnavailable,
    ReadModelsUnavailable,
    StoryLogUnavailable,
    StreamUnavailable,
    TelemetryStoreUnavailable,
    WorkQueueUnavailable,
)
