"""The ring buffer of the newest messages, and cursors in it."""

from uuid import uuid4

import pytest

from application.ports.live_feed import LiveEntry
from interfaces.web.broadcast import ring_buffer
from interfaces.web.broadcast.message import Audience, LiveMessage, alert_message, heartbeat, log_message
from interfaces.web.broadcast.ring_buffer import RingBuffer

EVERYTHING = Audience()


def of_log(position: int, facility_id: str | None = None) -> LiveMessage:
    return log_message(
        LiveEntry(position=position, topic="dispatch.prepared.v1", occurred_at=None, facility_id=facility_id)
    )


def filled(*positions: int, most: int = 100) -> RingBuffer:
    ring = RingBuffer(0, most=most)
    for position in positions:
        ring.publish([of_log(position)], position)
    return ring


def test_clients_at_the_same_cursor_share_the_same_bytes_object() -> None:
    ring = filled(1, 2, 3)
    first, other = ring.after(1, Audience()), ring.after(1, Audience())
    assert first == (of_log(2).data + of_log(3).data, 3)
    assert first[0] is other[0]


def test_a_chunk_is_bounded_and_the_next_one_continues_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_buffer, "MAX_CHUNK", 2)
    ring = filled(1, 2, 3)
    assert ring.after(0, EVERYTHING) == (of_log(1).data + of_log(2).data, 2)
    assert ring.after(2, EVERYTHING) == (of_log(3).data, 3)


def test_messages_outside_the_audience_of_a_client_are_skipped() -> None:
    ring, dr_event_id = RingBuffer(0), uuid4()
    mine = of_log(2, "fac-001")
    ring.publish([of_log(1, "fac-002"), mine, of_log(3), alert_message(1, [], []), heartbeat(3)], 3)
    assert (
        ring.after(0, Audience(facility_id="fac-001", sees_alerts=False))[0] == mine.data + heartbeat(3).data
    )
    assert ring.after(0, Audience(only_facility_id="fac-003", sees_alerts=False))[0] == heartbeat(3).data
    assert ring.after(0, Audience(only_dr_event_id=dr_event_id))[0].startswith(b"event: alert")
    both = Audience(facility_id="fac-001", only_facility_id="fac-002", sees_alerts=False)
    assert ring.after(0, both)[0] == heartbeat(3).data


def test_the_cursor_at_a_position_is_right_after_its_messages() -> None:
    ring = filled(2, 5, 6)
    assert [ring.cursor_at(position) for position in (0, 1, 2, 3, 5, 6, 7)] == [0, 0, 1, 1, 2, 3, 3]


def test_a_position_that_is_no_longer_retained_cannot_be_resumed_from() -> None:
    ring = filled(1, 2, 3, 4, most=2)
    assert [ring.cursor_at(position) for position in (0, 1, 2, 3)] == [None, None, 2, 3]
    assert [ring.has(cursor) for cursor in (0, 1, 2, 4)] == [False, False, True, True]


def test_positions_without_messages_count_as_published() -> None:
    ring = RingBuffer(0)
    ring.publish([], 7)
    assert (ring.position, ring.last, ring.cursor_at(7)) == (7, 0, 0)


def test_the_number_of_cached_chunks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_buffer, "MAX_CACHED_CHUNKS", 3)
    ring = filled(*range(1, 50))
    for cursor in range(49):
        ring.after(cursor, EVERYTHING)
    assert len(ring._chunks) <= 3
