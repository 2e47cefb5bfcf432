"""The layout of each read model's table."""

from functools import cache

from adapters.postgres.read_model.audit_layout import AUDIT_LAYOUT
from adapters.postgres.read_model.row_layout import RowLayout, json_layout
from projections.audit.trail import AuditTrailProjection
from projections.engine.projection import AnyProjection


def layout_of(projection: AnyProjection) -> RowLayout:
    return _layout_named(projection.name)


@cache
def _layout_named(name: str) -> RowLayout:
    return AUDIT_LAYOUT if name == AuditTrailProjection.name else json_layout(name)
