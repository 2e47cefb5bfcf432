"""The audit trail on PostgreSQL: steps from the read model, described with their domain events from the log."""

from collections.abc import Collection, Mapping

from adapters.postgres.connection.transaction import autocommit_connection
from adapters.postgres.read_model.view import ERRORS, Pool, PostgresView
from application.event_store.event_mapper import UnreadableDomainEvent, decode_domain_event
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.steps import AuditTrailRow, resolve_steps
from projections.audit.trail import AuditStep, AuditTrailProjection
from projections.queries.views import Page, ReadModelsUnavailable, RowsVersion

_OLDER = "SELECT FROM gridproof.projection_positions WHERE name = %s AND version < %s"
_HAPPENED = """
SELECT notification_id, topic, originator_id, originator_version, state
FROM gridproof.demand_response_events WHERE notification_id = ANY(%s)
"""


class PostgresAuditTrailView:
    """View[AuditTrailRow]."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._steps: PostgresView[AuditStep] = PostgresView(pool, AuditTrailProjection(), AuditStep)

    def get(self, key: str, *, tenant: str | None = None) -> AuditTrailRow | None:
        step = self._steps.get(key, tenant=tenant)
        if step is None:
            self._refuse_older_rows()
            return None
        return resolve_steps([step], self)[0]

    def version(self) -> RowsVersion | None:
        return self._steps.version()

    def by_key(self, keys: Collection[str]) -> dict[str, AuditTrailRow]:
        steps = self._steps.by_key(keys)
        return dict(zip(steps, resolve_steps(list(steps.values()), self), strict=True))

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[AuditTrailRow]:
        page = self._steps.listed(filters=filters, tenant=tenant, cursor=cursor, limit=limit)
        if not page.rows:
            self._refuse_older_rows()
        return Page(tuple(resolve_steps(page.rows, self)), page.next_cursor)

    def _refuse_older_rows(self) -> None:
        """Raise an error if the rows are still those of an older release in its own table; the result would
        be empty."""
        with autocommit_connection(self._pool, ERRORS) as connection:
            older = connection.execute(
                _OLDER, (AuditTrailProjection.name, AuditTrailProjection.version)
            ).fetchone()
        if older is not None:
            raise ReadModelsUnavailable("the audit trail is being rebuilt for this release; ask again later")

    def steps_of(self, keys: Collection[str]) -> Mapping[str, AuditStep]:
        return self._steps.by_key(keys)

    def domain_events_at(self, positions: Collection[int]) -> Mapping[int, DomainEvent]:
        if not positions:
            return {}
        with autocommit_connection(self._pool, ERRORS) as connection:
            rows = connection.execute(_HAPPENED, (list(positions),)).fetchall()
        try:
            return {position: decode_domain_event(*stored) for position, *stored in rows}
        except UnreadableDomainEvent as error:
            raise ReadModelsUnavailable(f"a step of the audit trail cannot be read: {error}") from error
