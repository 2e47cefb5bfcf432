"""Concurrent posts: identical ones are one DR event with one answer; of two that overlap exactly one is accepted."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from adapters.embedded import EmbeddedServers
from tests.acceptance.api.running_api import WEBHOOK, Door, day, notification, running_door
from tests.servers import Database

AT_ONCE = 50


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database) as running:
        yield running


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after: str | None

    @property
    def document(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body, type=dict[str, Any])


async def post_all(door: Door, bodies: list[dict[str, Any]]) -> list[Answer]:
    """Post every body, AT_ONCE at a time."""
    waiting, answers = iter(bodies), list[Answer]()

    async def post_some(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            async with session.post(door.url + WEBHOOK, json=body) as response:
                answers.append(
                    Answer(response.status, await response.read(), response.headers.get("retry-after"))
                )

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=AT_ONCE), headers=door.header("utility", "util-1")
    ) as session:
        await asyncio.gather(*(post_some(session) for _ in range(AT_ONCE)))
    return answers


def test_a_thousand_identical_posts_create_one_dr_event_and_get_one_answer(door: Door) -> None:
    events, keys = door.stored()
    body = notification()
    answers = asyncio.run(post_all(door, [body] * 1_000))
    assert Counter(answer.status for answer in answers) == {202: 1_000}
    assert len({answer.body for answer in answers}) == 1
    dr_event_id = answers[0].document["dr_event_id"]
    assert door.topics(dr_event_id) == ["dr-event.opened.v1", "dr-event.accepted.v1"]
    assert door.stored() == (events + 4, keys + 1)  # these two, and two reservations


def test_identical_posts_over_the_rate_limit_get_the_same_answer_or_a_429(
    database: Database, valkey_server: EmbeddedServers
) -> None:
    with running_door(database, rate_per_s=10, redis_url=valkey_server.redis_url) as door:
        events, keys = door.stored()
        answers = asyncio.run(post_all(door, [notification()] * 1_000))
        statuses = Counter(answer.status for answer in answers)
        assert set(statuses) == {202, 429}
        assert len({answer.body for answer in answers if answer.status == 202}) == 1
        refused = [answer for answer in answers if answer.status == 429]
        assert all(int(answer.retry_after or 0) >= 1 for answer in refused)
        assert door.stored() == (events + 4, keys + 1)


def test_exactly_one_of_two_concurrent_overlapping_dr_events_is_accepted(door: Door) -> None:
    for number in range(20):
        starts_at = day(10 + number)
        first = notification(starts_at=starts_at, facility_ids=["fac-001", "fac-002"])
        second = notification(
            starts_at=starts_at + timedelta(minutes=30), facility_ids=["fac-003", "fac-002", "fac-001"]
        )
        answers = asyncio.run(post_all(door, [first, second]))
        assert sorted(answer.status for answer in answers) == [202, 422]
        (refused,) = (answer.document for answer in answers if answer.status == 422)
        assert {reason["code"] for reason in refused["reasons"]} == {"overlap"}


def test_many_concurrent_dr_events_are_all_accepted(door: Door) -> None:
    bodies = [
        notification(starts_at=day(60 + number), facility_ids=[f"fac-00{number % 8 + 1}"])
        for number in range(60)
    ]
    answers = asyncio.run(post_all(door, bodies))
    assert Counter(answer.status for answer in answers) == {202: 60}
    assert len({answer.document["dr_event_id"] for answer in answers}) == 60
