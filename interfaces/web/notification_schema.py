"""The notification's body in the OpenAPI document: the handler reads it raw, so Litestar cannot derive it."""

from dataclasses import dataclass

from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

_TIME = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME, description="RFC 3339 with an offset")
_ID = Schema(type=OpenAPIType.STRING, min_length=1, max_length=200)
_COUNT = Schema(type=OpenAPIType.INTEGER, minimum=0)

_BODY = Schema(
    type=OpenAPIType.OBJECT,
    required=[
        "notification_id",
        "event_id",
        "program",
        "starts_at",
        "ends_at",
        "target_reduction_kw",
        "facility_ids",
    ],
    properties={
        "notification_id": _ID,
        "event_id": _ID,
        "modification_number": _COUNT,
        "program": _ID,
        "starts_at": _TIME,
        "ends_at": _TIME,
        "target_reduction_kw": Schema(type=OpenAPIType.NUMBER, exclusive_minimum=0),
        "facility_ids": Schema(type=OpenAPIType.ARRAY, items=_ID),
        "priority": _COUNT,
        "randomize_start_s": _COUNT,
        "callback_url": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.URI, max_length=2_000),
    },
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
        media_type = OpenAPIMediaType(schema=_BODY, examples={"two_facilities": _EXAMPLE})
        self.request_body = RequestBody(content={"application/json": media_type}, required=True)
