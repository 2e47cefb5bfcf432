"""The notification's body in the OpenAPI document: the handler reads it raw, so Litestar cannot derive it.

Its schema is put in where the document is completed (openapi.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

_BODY = {
    "notification_id": "n-1",
    "event_id": "UTIL-2026-0042",
    "program": "summer-peak",
    "starts_at": "2026-07-14T21:00:00Z",
    "ends_at": "2026-07-14T23:00:00Z",
    "target_reduction_kw": 1200,
    "facility_ids": ["fac-001", "fac-002"],
    "callback_url": "https://utility.example/callbacks",
}
_LATER = {
    **_BODY,
    "notification_id": "n-2",
    "modification_number": 1,
    "starts_at": "2026-07-14T21:30:00Z",
}
_PRICED = {
    **_BODY,
    "notification_id": "n-3",
    "modification_number": 2,
    "prices": [
        {"starts_at": "2026-07-14T21:00:00Z", "per_kwh": "0.08123"},
        {"starts_at": "2026-07-14T22:00:00Z", "per_kwh": "0.0795"},
    ],
}
_NOTIFICATION = {
    "two_facilities": Example(summary="Two facilities for two hours", value=_BODY),
    "a_test": Example(
        summary="A test, of a program whose settlement rule has that kind", value=_BODY | {"kind": "test"}
    ),
}
_MODIFICATION = {
    "half_an_hour_later": Example(summary="Half an hour later", value=_LATER),
    "prices": Example(summary="The prices of both hours, also after the window", value=_PRICED),
}


@dataclass
class NotificationOperation(Operation):
    """The operation with its request body."""

    def __post_init__(self) -> None:
        self.request_body = _body(_NOTIFICATION)


@dataclass
class ModificationOperation(Operation):
    """The operation of a modification."""

    def __post_init__(self) -> None:
        self.request_body = _body(_MODIFICATION)


def _body(examples: Mapping[str, Example]) -> RequestBody:
    media_type = OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT), examples=dict(examples))
    return RequestBody(content={"application/json": media_type}, required=True)
