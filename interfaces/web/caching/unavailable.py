"""The errors with which stores say that they do not answer; a later attempt may succeed."""

from application.ports import unavailable
from projections.audit.stream_log import StreamLogUnavailable
from projections.queries.views import ReadModelsUnavailable

UNAVAILABLE: tuple[type[Exception], ...] = (
    *unavailable.UNAVAILABLE,
    ReadModelsUnavailable,
    StreamLogUnavailable,
)
"""Those of the ports, and of the read models and the audit trail, which belong to the projections."""
