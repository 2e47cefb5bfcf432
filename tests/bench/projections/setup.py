"""Setup of the read-side benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from projections.engine.maintenance import ProjectionMaintenance
    from projections.engine.projection import AnyProjection
    from projections.engine.waits import ProjectionWaits
    from projections.queries.views import ReadModels


class _NoAlerts:
    """Discards alerts."""

    def state(self, name: str, stated: Any, **of_the_observer: Any) -> None: ...


@dataclass(frozen=True)
class ReadSide:
    """The read side on one database."""

    app_url: str
    maintenance: ProjectionMaintenance
    read_models: ReadModels
    waits: ProjectionWaits
    _clock: Any

    def table_of(self, projection: AnyProjection) -> str:
        from adapters.postgres.read_model.row_table import layout_of

        return f"gridproof.rm_{layout_of(projection).stem}"

    def projector(self, projection: AnyProjection, **options: Any) -> Any:
        from adapters.postgres.read_model.projector import Projector

        alerts: Any = _NoAlerts()
        return Projector(projection, dsn=self.app_url, alerts=alerts, clock=self._clock, **options)

    def follower(self, projection: AnyProjection, **options: Any) -> Any:
        from interfaces.workers.project.log_follower import LogFollower

        return LogFollower(self.projector(projection, **options))


@contextmanager
def read_side(app_url: str) -> Iterator[ReadSide]:
    import sys

    import structlog
    from psycopg_pool import ConnectionPool

    from adapters.clock import SystemClock
    from adapters.postgres.read_model.read_models import PostgresReadModels
    from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
    from adapters.postgres.read_model.waits import PostgresProjectionWaits

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for figures
    clock = SystemClock()
    with ConnectionPool(app_url, min_size=1, max_size=4, open=True, timeout=10) as pool:
        yield ReadSide(
            app_url,
            PostgresProjectionMaintenance(app_url, clock),
            PostgresReadModels(pool),
            PostgresProjectionWaits(app_url),
            clock,
        )
