"""The cache of last answers: bounded in size, with equal bodies stored and counted once."""

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interfaces.web import edge as web_edge
from interfaces.web.caching.last_responses import (
    ENTRY_OVERHEAD_BYTES,
    MAX_AGE_S,
    MAX_BODY_BYTES,
    RequestKey,
    StaleIfErrorCache,
)
from projections.facility import key_of
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import Edge
from tests.unit.interfaces.web.middleware.test_stale_responses import unavailable

JSON = b"application/json"


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_cached_answers_are_bounded_in_size_and_expire() -> None:
    seconds = Seconds()
    answers = StaleIfErrorCache(max_bytes=5_000, monotonic=seconds)
    asked = [RequestKey("key", f"/{number}", b"") for number in range(10)]
    for number, one in enumerate(asked):
        answers.store(one, b"%d" % number * 1_000, JSON)
    assert [answers.find(one) is not None for one in asked] == [False] * 7 + [True] * 3
    answers.store(asked[9], b"x" * (MAX_BODY_BYTES + 1), JSON)
    assert answers.find(asked[9]) is None
    seconds.now = MAX_AGE_S + 1
    assert answers.find(asked[8]) is None
    assert answers._bytes == 1_000 + len("/7") + ENTRY_OVERHEAD_BYTES


def test_a_body_shared_by_many_keys_is_stored_once_and_returned_to_each() -> None:
    answers = StaleIfErrorCache(max_bytes=1_000_000)
    asked = [RequestKey(f"key-{number}", "/api/facilities", b"limit=500") for number in range(1_000)]
    for one in asked:
        answers.store(one, b"x" * 300_000, JSON)
    found = [answers.find(one) for one in asked]
    assert len({id(one[0].body) for one in found if one is not None}) == 1
    assert None not in found
    assert answers._bytes == 300_000 + sum(
        len(one.path) + len(one.query) + ENTRY_OVERHEAD_BYTES for one in asked
    )


@given(
    said=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), max_size=60),
    most=st.integers(0, 6_000),
)
def test_the_most_recently_used_answers_are_retained_within_the_size_limit(
    said: list[tuple[int, int, bool]], most: int
) -> None:
    """Compared with a model that recalculates its size in each step. A step stores or looks up an answer."""
    answers = StaleIfErrorCache(max_bytes=most)
    kept: OrderedDict[RequestKey, bytes] = OrderedDict()
    for key, size, is_new in said:
        asked = RequestKey(f"key-{key}", "/", b"")
        if is_new:
            kept.pop(asked, None)
            kept[asked] = b"x" * (500 * size)
            answers.store(asked, b"x" * (500 * size), JSON)
            while _bytes_of(kept) > most:
                kept.popitem(last=False)
        elif asked in kept:
            kept.move_to_end(asked)
        found = answers.find(asked)
        assert (found[0].body if found else None) == kept.get(asked)
        assert answers._bytes == _bytes_of(kept) <= most
        assert sorted(answers._bodies) == sorted(set(kept.values()))


def _bytes_of(kept: OrderedDict[RequestKey, bytes]) -> int:
    return sum(map(len, set(kept.values()))) + len(kept) * (len("/") + ENTRY_OVERHEAD_BYTES)


def test_a_page_of_five_hundred_facilities_is_stored_once_and_available_to_every_key_that_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = StaleIfErrorCache()
    monkeypatch.setattr(web_edge, "StaleIfErrorCache", lambda: answers)
    edge = Edge()
    ids = [f"fac-{number:03}" for number in range(500)]
    meters = tuple(f"meter-{number:02}" for number in range(30))
    edge.read_models.facilities.rows = {key_of(one): replace(facility(one), meters=meters) for one in ids}
    keys = [edge.key("dashboard") for _ in range(3)]
    path = "/api/facilities?limit=500"
    with edge.client() as client:
        (size,) = {len(client.get(path, headers=key).content) for key in keys}
        assert size > 256_000
        assert size < answers._bytes < size + 3 * (ENTRY_OVERHEAD_BYTES + len(path))
        edge.read_models.facilities.listed = unavailable
        told = [client.get(path, headers=key).json() for key in keys]
    assert [one["source"] for one in told] == ["last_known"] * 3
    assert [[row["facility_id"] for row in one["items"]] for one in told] == [ids] * 3
