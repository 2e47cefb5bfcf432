"""Rows folded from facts, which are decoded faster than domain events, equal those of the domain events."""

from typing import Any

import pytest
from hypothesis import given

from adapters.postgres.read_model.log_copy import ProjectedLog
from application.event_store.event_mapper import encode_state
from application.ports.event_store.event_log import LogEntry
from projections.audit.trail import key_of
from projections.engine.memory_rows import MemoryRows
from projections.engine.projection import AnyProjection, Facts
from projections.registry import PROJECTIONS
from tests.property.projections.projected_logs import PortfolioWalk, logs

WITH_FACTS = [projection for projection in PROJECTIONS if projection.facts is not None]


@pytest.mark.parametrize("projection", WITH_FACTS, ids=lambda item: item.name)
@given(entries=logs())
def test_facts_give_the_same_rows_as_domain_events(
    projection: AnyProjection, entries: list[LogEntry]
) -> None:
    log = ProjectedLog(projection)
    of_domain_events: MemoryRows[Any] = MemoryRows(projection)
    of_facts: MemoryRows[Any] = MemoryRows(projection)
    for entry in entries:
        happened = entry.domain_event
        stream, version = happened.originator_id.bytes, happened.originator_version
        stored = log.decode(entry.topic, stream, version, encode_state(happened))
        assert isinstance(stored, Facts) == isinstance(happened, projection.concerns)
        assert set(projection.wanted(stored)) == set(projection.wanted(happened))
        projection.fold(entry.position, happened, of_domain_events)
        projection.fold(entry.position, stored, of_facts)
    assert of_facts.by_key == of_domain_events.by_key


def test_step_ids_equal_the_ids_of_their_domain_events() -> None:
    """Without this, the property above could hold with both wrong."""
    walk = PortfolioWalk()
    walk.happy()
    rows: MemoryRows[Any] = MemoryRows(WITH_FACTS[0])
    rows.fold(walk.entries)
    known = {key_of(entry.domain_event.domain_event_id) for entry in walk.entries}
    steps = [row for row in rows.by_key.values() if hasattr(row, "domain_event_id")]
    assert len(steps) > 50
    assert {row.domain_event_id for row in steps} <= known
