"""The registry of all projections."""

from projections.audit.trail import AuditTrailProjection
from projections.deadlines import DeadlinesProjection
from projections.dispatch.projection import DispatchesProjection
from projections.dr_event.projection import DREventsProjection
from projections.engine.projection import AnyProjection
from projections.facility import FacilitiesProjection
from projections.portfolio.projection import PortfolioProjection

PROJECTIONS: tuple[AnyProjection, ...] = (
    DREventsProjection(),
    DispatchesProjection(),
    FacilitiesProjection(),
    PortfolioProjection(),
    AuditTrailProjection(),
    DeadlinesProjection(),
)


class UnknownProjection(LookupError):
    """There is no projection of that name."""


def projection_named(name: str) -> AnyProjection:
    """The projection of that name. Raises UnknownProjection, which lists the existing ones."""
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection
    names = ", ".join(projection.name for projection in PROJECTIONS)
    raise UnknownProjection(f"no projection {name!r}; there are {names}")
