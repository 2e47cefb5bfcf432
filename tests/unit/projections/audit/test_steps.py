"""Steps of the audit trail are resolved from the log; a missing domain event is reported with its position."""

from collections.abc import Collection, Mapping

import pytest

from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.steps import resolve_steps
from projections.audit.trail import AuditStep, AuditTrailProjection
from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import ReadModelsUnavailable
from tests.property.projections.projected_logs import PortfolioWalk


class Sources:
    """The trail of a whole DR event, and a log in which one position is missing."""

    def __init__(self, missing: int | None = None) -> None:
        walk = PortfolioWalk()
        walk.happy()
        rows: MemoryRows = MemoryRows(AuditTrailProjection())  # type: ignore[type-arg] # of every kind
        rows.fold(walk.entries)
        self.steps = {key: row for key, row in rows.by_key.items() if isinstance(row, AuditStep)}
        self._log = {e.position: e.domain_event for e in walk.entries if e.position != missing}

    def steps_of(self, keys: Collection[str]) -> Mapping[str, AuditStep]:
        return {key: self.steps[key] for key in keys if key in self.steps}

    def domain_events_at(self, positions: Collection[int]) -> Mapping[int, DomainEvent]:
        return {position: self._log[position] for position in positions if position in self._log}


def test_with_a_complete_log_every_step_is_resolved() -> None:
    sources = Sources()
    steps = list(sources.steps.values())
    assert [row.position for row in resolve_steps(steps, sources)] == [step.position for step in steps]


def test_a_step_missing_in_the_log_is_reported_with_its_position() -> None:
    [*_, last] = Sources().steps.values()
    sources = Sources(missing=last.position)
    with pytest.raises(ReadModelsUnavailable, match=rf"nothing at position {last.position}, .* audit verify"):
        resolve_steps([last], sources)


def test_a_cause_missing_in_the_log_is_reported_with_its_position() -> None:
    whole = Sources()
    rows = resolve_steps(list(whole.steps.values()), whole)
    caused = next(row for row in rows if row.caused_by.position is not None)
    missing = caused.caused_by.position
    step = next(step for step in whole.steps.values() if step.position == caused.position)
    with pytest.raises(ReadModelsUnavailable, match=f"nothing at position {missing},"):
        resolve_steps([step], Sources(missing=missing))
