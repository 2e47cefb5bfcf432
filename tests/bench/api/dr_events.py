"""Stores finished DR events in the log of `bench api`, and lists the streams of each."""

from __future__ import annotations

import sys
from uuid import UUID

import psycopg
from eventsourcing.utils import get_topic

from domain.dr_event import DREvent
from domain.facility import OF_DR_EVENT
from domain.identifiers import dispatch_id, facility_stream_id
from tests.bench.api.setup import DREventStreams
from tests.bench.generated_log import FACILITIES, StoredRow, generated_log
from tests.bench.stored_log import insert


def store_dr_events(database_url: str, count: int) -> tuple[DREventStreams, ...]:
    """Store this many DR events; returns their streams."""
    opened = get_topic(DREvent.Opened)
    rows, ids = list[StoredRow](), list[UUID]()
    for row in generated_log(sys.maxsize):
        if row.topic == opened:
            if len(ids) == count:
                break
            ids.append(row.originator_id)
        rows.append(row)
    with psycopg.connect(database_url) as connection:
        insert(connection, rows)
    return tuple(
        DREventStreams(
            dr_event_id=dr_event_id,
            dispatches=tuple(dispatch_id(dr_event_id, facility_id) for facility_id in FACILITIES),
            facilities=tuple(map(facility_stream_id, FACILITIES)),
            facility_topics=tuple(map(get_topic, OF_DR_EVENT)),
        )
        for dr_event_id in ids
    )
