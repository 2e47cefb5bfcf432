"""The notification's body in the OpenAPI document: the handler reads it raw, so Litestar cannot derive it.

Its schema is put in where the document is completed (openapi.py).
"""

from dataclasses import dataclass

from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

_EXAMPLE = Example(
    summary="Two facilities for two hours",
    value={
        "notification_id": "n-1",
        "event_id": "UTIL-2026-0042",
        "program": "summer-peak",
        "starts_at": "2026-07-14T21:00:00Z",
        "ends_at": "2026-07-14T23:00:00Z",
        "target_reduction_kw": 1200,
        "facility_ids": ["fac-001", "fac-002"],
        "callback_url": "https://utility.example/callbacks",
    },
)


@dataclass
class NotificationOperation(Operation):
    """The operation with its request body."""

    def __post_init__(self) -> None:
        media_type = OpenAPIMediaType(
            schema=Schema(type=OpenAPIType.OBJECT), examples={"two_facilities": _EXAMPLE}
        )
        self.request_body = RequestBody(content={"application/json": media_type}, required=True)
