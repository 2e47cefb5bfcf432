"""A full queue: new DR events are refused, repeated requests get their first answer, and a 503 is not stored."""

from collections.abc import Iterator

import pytest

from tests.acceptance.api.running_api import Door, day, notification, running_door
from tests.servers import Database


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database, queue_depth=2) as running:
        yield running


def test_a_new_dr_event_over_the_queue_depth_is_a_503_and_accepted_later(door: Door) -> None:
    bodies = [notification(starts_at=day(number)) for number in (3, 4, 5)]
    first, second = (door.post(body) for body in bodies[:2])
    door.project()
    before = door.stored()

    full = door.post(bodies[2])

    assert (full.status_code, full.json()["type"]) == (503, "/problems/queue-full")
    assert int(full.headers["retry-after"]) >= 1
    assert door.stored() == before
    for body, answer in zip(bodies[:2], (first, second), strict=True):
        again = door.post(body)
        assert (again.status_code, again.content) == (answer.status_code, answer.content)
        # Another field order is the same request; its answer comes from the store, not from memory.
        reordered = dict(reversed(list(body.items())))
        assert door.post(reordered).content == answer.content
    assert door.stored() == before
    mismatch = door.post(bodies[0] | {"target_reduction_kw": 99})
    assert (mismatch.status_code, mismatch.json()["type"]) == (409, "/problems/idempotency-mismatch")

    door.change("DELETE", bodies[0]["event_id"])
    door.project()
    assert door.post(bodies[2]).status_code == 202


def test_a_full_queue_refuses_no_modification_or_cancellation(door: Door) -> None:
    bodies = [notification(starts_at=day(number)) for number in (3, 4)]
    for body in bodies:
        assert door.post(body).status_code == 202
    door.project()
    change = bodies[0] | {"notification_id": "n-2", "modification_number": 1, "target_reduction_kw": 90}
    assert door.change("PATCH", bodies[0]["event_id"], change).status_code == 202
    assert door.change("DELETE", bodies[1]["event_id"]).status_code == 200
