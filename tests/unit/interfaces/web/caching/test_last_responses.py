"""The cache of last answers: bounded in size, with equal bodies stored and counted once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interfaces.web import edge as web_edge
from interfaces.web.caching.last_responses import (
    DOCUMENT_FACTOR,
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


def held(answers: StaleIfErrorCache) -> tuple[int, int]:
    """The bytes of entries, and of bodies."""
    return answers._entries.counts().size, answers._bodies.counts().size


def test_cached_answers_are_bounded_in_size_and_expire() -> None:
    seconds = Seconds()
    answers = StaleIfErrorCache(max_bytes=6_000, monotonic=seconds)
    asked = [RequestKey("key", f"/{number}", b"") for number in range(10)]
    for number, one in enumerate(asked):
        answers.store(one, b"%d" % number * 1_000, JSON)
    assert [answers.find(one) is not None for one in asked] == [False] * 7 + [True] * 3
    answers.store(asked[9], b"x" * (MAX_BODY_BYTES + 1), JSON)
    assert answers.find(asked[9]) is None
    seconds.now = MAX_AGE_S + 1
    assert answers.find(asked[8]) is None
    assert held(answers) == (0, 3_000)


def test_a_body_shared_by_many_keys_is_stored_once_and_returned_to_each() -> None:
    answers = StaleIfErrorCache(max_bytes=2_000_000)
    asked = [RequestKey(f"key-{number}", "/api/facilities", b"limit=500") for number in range(1_000)]
    for one in asked:
        answers.store(one, b"x" * 300_000, JSON)
    found = [answers.find(one) for one in asked]
    assert len({id(one[0].content) for one in found if one is not None}) == 1
    assert None not in found
    assert held(answers) == (
        sum(len(one.path) + len(one.query) + ENTRY_OVERHEAD_BYTES for one in asked),
        300_000,
    )


@given(
    said=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), max_size=60),
    most=st.integers(0, 6_000),
)
def test_an_answer_is_the_last_one_to_that_request_or_none(
    said: list[tuple[int, int, bool]], most: int
) -> None:
    """A step stores or looks up an answer."""
    answers = StaleIfErrorCache(max_bytes=most)
    stored: dict[RequestKey, bytes] = {}
    for key, size, is_new in said:
        asked = RequestKey(f"key-{key}", "/", b"")
        if is_new:
            stored[asked] = b"x" * (500 * size)
            answers.store(asked, stored[asked], JSON)
        found = answers.find(asked)
        assert found is None or found[0].content == stored[asked]
        assert all(bytes_held <= most // 2 for bytes_held in held(answers))
        fits = len("/") + ENTRY_OVERHEAD_BYTES <= most // 2 and 500 * size <= most // 2
        assert found is not None or not (is_new and fits)


def test_a_document_counts_with_its_memory() -> None:
    answers, one = StaleIfErrorCache(max_bytes=10_000), RequestKey("key", "/", b"")

    class Aging:
        def aged(self, since_s: float) -> "Aging":
            return self

    document = Aging()
    answers.store(one, b"x" * 1_000, JSON, document=document)
    found = answers.find(one)
    assert found is not None
    assert found[0].content is document
    assert held(answers) == (len("/") + ENTRY_OVERHEAD_BYTES + DOCUMENT_FACTOR * 1_000, 0)


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
        assert held(answers)[1] == size
        edge.read_models.facilities.listed = unavailable
        told = [client.get(path, headers=key).json() for key in keys]
    assert [one["source"] for one in told] == ["last_known"] * 3
    assert [[row["facility_id"] for row in one["items"]] for one in told] == [ids] * 3
