"""The deadline of a zone that waits for its restore does not depend on other zones.

Detected by fault storm seed 1634.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch
from domain.dispatch.state import RestoreStep
from domain.identifiers import dispatch_id
from projections.deadlines import DeadlinesProjection, key_of
from projections.engine.memory_rows import MemoryRows
from tests.sample_values import DR_EVENT_ID, ENDS_AT, NOW, TRACE

STREAM = dispatch_id(DR_EVENT_ID, "fac-001")
SHOP_AT = ENDS_AT + timedelta(seconds=90)


def fact(kind: type[Any], version: int, **facts: Any) -> LogEntry:
    domain_event = kind(
        originator_id=STREAM,
        originator_version=version,
        timestamp=NOW,
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        actor="saga:dispatch",
        tenant="util-1",
        trace_id=TRACE,
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        **facts,
    )
    return LogEntry(version, kind.__qualname__, domain_event)


def test_a_reissued_command_keeps_the_deadline_of_the_other_zones() -> None:
    rows = MemoryRows(DeadlinesProjection())
    rows.fold(
        [
            fact(Dispatch.RestorePlanned, 8, steps=(RestoreStep(zone_id="shop", not_before=SHOP_AT),)),
            fact(
                Dispatch.BmsCommandReissued, 9, command_id=UUID(int=7), issue=2, reason="the network is back"
            ),
        ]
    )
    row = rows.get(key_of("restore", STREAM))
    assert row is not None
    assert row.due_at == SHOP_AT
