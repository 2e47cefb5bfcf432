"""Documents list their fields explicitly: a new field of a row is not published automatically."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest
from litestar.routes import HTTPRoute

from application.ports.operations.alerts import Alert
from domain.dr_event import Batch
from interfaces.web.api.audit.documents import AuditStepDocument, audit_step_document
from interfaces.web.api.dr_event.documents import (
    BatchDocument,
    DispatchDocument,
    DREventDocument,
    MeasurementDocument,
    dispatch_document,
    dr_event_document,
)
from interfaces.web.api.facility.documents import FacilityDocument, FacilityDocuments, LatestDispatchDocument
from interfaces.web.api.operations.alerts import AlertDocument, alert_document
from interfaces.web.api.portfolio import PortfolioDocument, portfolio_document
from interfaces.web.caching.coordinates import StoredCoordinates
from projections.audit.replay import audit_document
from projections.audit.steps import AuditTrailRow
from projections.dispatch.row import DispatchRow, MeasurementRow
from projections.dr_event.row import CallbackRow, DREventRow
from projections.facility import FacilityRow, LatestDispatch
from projections.portfolio.row import PortfolioRow
from tests.unit.interfaces.web.edge import Edge
from tests.unit.interfaces.web.guard.test_access_matrix import House

SECRET = "for the projection alone"
ROWS: list[tuple[type[Any], Callable[[Any], Any], type[Any]]] = [
    (DREventRow, dr_event_document, DREventDocument),
    (DispatchRow, dispatch_document, DispatchDocument),
    (FacilityRow, FacilityDocuments(StoredCoordinates({}), None), FacilityDocument),
    (PortfolioRow, portfolio_document, PortfolioDocument),
    (AuditTrailRow, audit_step_document, AuditStepDocument),
    (Alert, alert_document, AlertDocument),
]


@pytest.fixture(scope="module")
def house() -> House:
    return House()


def row_of(kind: type[Any], house: House) -> Any:
    if kind is AuditTrailRow:
        return audit_document(house.edge.others["stream_log"], house.dr_event.id).steps[0]
    if kind is Alert:
        at = datetime(2026, 7, 14, tzinfo=UTC)
        return Alert(
            alert_id=1,
            name="bms_drift",
            subject="fac-001",
            severity="warning",
            detail="it drifts",
            raised_at=at,
            last_seen_at=at,
        )
    models: Any = house.edge.read_models
    views: dict[type[Any], Any] = {
        DREventRow: models.dr_events,
        DispatchRow: models.dispatches,
        FacilityRow: models.facilities,
        PortfolioRow: models.portfolio,
    }
    return views[kind].listed(filters=None, tenant=None, cursor=None, limit=1).rows[0]


def with_a_new_field(row: Any) -> Any:
    kind = type(row)
    grown = msgspec.defstruct(
        "Grown",
        [("internal_note", str, SECRET)],
        bases=(kind,),
        kw_only=True,
        tag=kind.__struct_config__.tag,
    )
    return grown(**{name: getattr(row, name) for name in kind.__struct_fields__})


@pytest.mark.parametrize(
    ("kind", "as_document", "document_kind"), ROWS, ids=[kind.__name__ for kind, _, _ in ROWS]
)
def test_a_field_added_to_a_row_is_not_published_automatically(
    house: House, kind: type[Any], as_document: Callable[[Any], Any], document_kind: type[Any]
) -> None:
    row = row_of(kind, house)
    grown = with_a_new_field(row)
    assert SECRET in msgspec.json.encode(grown).decode()
    document = as_document(grown)
    assert type(document) is document_kind
    assert document == as_document(row)
    assert SECRET not in msgspec.json.encode(document).decode()


@pytest.mark.parametrize(
    ("row", "document"),
    [
        *((row, document) for row, _, document in ROWS),
        (MeasurementRow, MeasurementDocument),
        (LatestDispatch, LatestDispatchDocument),
        (Batch, BatchDocument),
    ],
)
def test_every_field_of_a_document_exists_in_its_row(row: type[Any], document: type[Any]) -> None:
    """A default in the document would hide that the row no longer has the field."""
    assert [name for name in document.__struct_fields__ if not hasattr(row, name)] == []


def structs_in(annotation: Any, seen: set[Any]) -> Iterator[type[msgspec.Struct]]:
    """All structs that a response of that type may contain."""
    if annotation in seen:
        return
    seen.add(annotation)
    for part in get_args(annotation):
        yield from structs_in(part, seen)
    origin = getattr(annotation, "__origin__", annotation)
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        yield origin
        for field in msgspec.structs.fields(annotation):
            yield from structs_in(field.type, seen)


def test_no_route_returns_a_row_of_a_read_model_or_a_record_of_a_port() -> None:
    """If this fails, build a document with an explicit list of fields: docs/adr/0056."""
    handlers = [
        handler
        for route in Edge().app().routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
    ]
    seen: set[Any] = set()
    returned = {
        f"{struct.__module__}.{struct.__qualname__}"
        for handler in handlers
        for struct in structs_in(handler.parsed_fn_signature.return_type.raw, seen)
    }
    assert "interfaces.web.api.dr_event.documents.DREventDocument" in returned
    assert sorted(name for name in returned if name.startswith(("projections.", "application.ports."))) == []


@pytest.mark.parametrize(
    ("failed", "opted_out", "partial", "total"),
    [
        (0, 0, False, False),
        (1, 0, True, False),
        (0, 2, True, False),
        (2, 1, False, True),
        (3, 0, False, True),
    ],
)
def test_a_batch_states_partial_success_and_total_failure(
    house: House, failed: int, opted_out: int, partial: bool, total: bool
) -> None:
    batch = Batch(asked=3, prepared=3, committed=3, failed=failed, restored=3, opted_out=opted_out)
    row = msgspec.structs.replace(row_of(DREventRow, house), batch=batch)
    document = dr_event_document(row)
    assert document.batch is not None
    assert (document.batch.partial_success, document.batch.total_failure) == (partial, total)


def test_a_field_added_to_a_callback_row_is_not_published_automatically(house: House) -> None:
    at = datetime(2026, 7, 14, tzinfo=UTC)
    callback = CallbackRow(kind="accepted", state="requested", requested_at=at)
    key = str(UUID(int=1))
    row = msgspec.structs.replace(row_of(DREventRow, house), callbacks={key: with_a_new_field(callback)})
    assert SECRET not in msgspec.json.encode(dr_event_document(row)).decode()


def test_dr_events_are_filtered_by_their_outcome(house: House) -> None:
    with house.edge.client() as client:
        full, failed, wrong = (
            client.get(f"/api/dr-events?outcome={outcome}", headers=house.own)
            for outcome in ("full", "failed", "splendid")
        )
    (item,) = full.json()["items"]
    assert (item["outcome"], item["batch"]["partial_success"], item["batch"]["total_failure"]) == (
        "full",
        False,
        False,
    )
    assert failed.json()["items"] == []
    assert wrong.status_code == 400
