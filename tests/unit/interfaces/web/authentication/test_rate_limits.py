"""Rate limits of reads per key: current values per facility, other reads, and many values in one request."""

import time
from typing import Any

import pytest

from application.access.token_bucket import PerKeyRateLimiter
from interfaces.web.edge import ReadRates
from projections.facility import key_of
from tests.fakes.shared_cache import FakeSharedCache
from tests.patience import ANSWER_S
from tests.unit.interfaces.web.api.test_facility_values import Watched
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import codes_of, problem_of

CURRENT = "/api/facilities/fac-001/current"


def watched(*, cache: FakeSharedCache | None = None, current_per_s: float = 0.05) -> Watched:
    made = Watched()
    made.reading()
    made.edge.others["cache"] = cache
    made.edge.read_models.facilities.rows[key_of("fac-002")] = facility("fac-002")
    made.edge.read_rates = ReadRates(current_per_s=current_per_s, others_per_s=1e9)
    return made


@pytest.mark.parametrize("cached", [False, True])
def test_a_key_reads_a_facility_once_and_then_receives_retry_after(cached: bool) -> None:
    made = watched(cache=FakeSharedCache() if cached else None)
    other = made.edge.key("dashboard")
    with made.edge.client() as client:
        assert client.get(CURRENT, headers=made.key).status_code == 200
        refused = client.get(CURRENT, headers=made.key)
        document = problem_of(refused)
        assert (document["status"], document["type"]) == (429, "/problems/rate-exceeded")
        assert 15 <= int(refused.headers["retry-after"]) <= 20
        # Another facility or another key has its own limit.
        assert client.get("/api/facilities/fac-002/current", headers=made.key).status_code == 200
        assert client.get(CURRENT, headers=other).status_code == 200


def test_processes_with_a_common_cache_share_the_rate_limit() -> None:
    cache = FakeSharedCache()
    made = watched(cache=cache)
    with made.edge.client() as first, made.edge.client() as second:
        assert first.get(CURRENT, headers=made.key).status_code == 200
        assert second.get(CURRENT, headers=made.key).status_code == 429


def test_each_process_counts_separately_while_the_cache_is_unreachable() -> None:
    cache = FakeSharedCache()
    cache.available = False
    made = watched(cache=cache)
    with made.edge.client() as client:
        assert client.get(CURRENT, headers=made.key).status_code == 200
        assert client.get(CURRENT, headers=made.key).status_code == 429


def test_a_key_may_read_again_after_a_while() -> None:
    made = watched(cache=FakeSharedCache(), current_per_s=20.0)
    deadline = time.monotonic() + ANSWER_S
    with made.edge.client() as client:
        assert client.get(CURRENT, headers=made.key).status_code == 200
        while client.get(CURRENT, headers=made.key).status_code == 429:
            assert time.monotonic() < deadline


def test_an_answer_of_the_store_and_one_of_the_cache_have_the_same_document_and_headers() -> None:
    made = watched(cache=FakeSharedCache(), current_per_s=1e9)
    with made.edge.client() as client:
        answers = [client.get(CURRENT, headers=made.key) for _ in range(3)]
    documents = [answer.json() for answer in answers]
    assert [document["source"] for document in documents] == ["store", "cache", "cache"]
    assert documents[1] | {"source": "store"} == documents[0]
    names = {"content-type", "x-trace-id", "x-content-type-options", "cache-control", "vary", "etag"}
    for answer in answers[1:]:
        assert names <= set(answer.headers)
        for name in names - {"x-trace-id", "etag"}:
            assert answer.headers[name] == answers[0].headers[name], name
    assert len({answer.headers["x-trace-id"] for answer in answers}) == 3


def test_reads_of_current_values_are_counted_by_route() -> None:
    made = watched(cache=FakeSharedCache(), current_per_s=1e9)
    with made.edge.client() as client:
        for _ in range(3):
            client.get(CURRENT, headers=made.key)
        text = client.get("/metrics", headers=made.edge.key("operator")).text
    assert (
        'gridproof_http_requests_total{method="GET",route="/api/facilities/{facility_id}/current",status="200"} 3.0'
        in text
    )


@pytest.mark.parametrize("kind", ["none", "wrong", "utility", "another facility"])
def test_a_key_that_may_not_read_a_facility_is_refused_also_while_its_value_is_cached(kind: str) -> None:
    made = watched(cache=FakeSharedCache(), current_per_s=1e9)
    wrong = made.key["Authorization"][:-3] + "abc"
    keys: dict[str, tuple[dict[str, str], int]] = {
        "none": ({}, 401),
        "wrong": ({"Authorization": wrong}, 401),
        "utility": (made.edge.key("utility", utility="u"), 403),
        "another facility": (made.edge.key("dashboard", facility="fac-002"), 404),
    }
    headers, status = keys[kind]
    with made.edge.client() as client:
        for _ in range(2):
            assert client.get(CURRENT, headers=made.key).status_code == 200
        for _ in range(3):  # cached from the second request on
            assert problem_of(client.get(CURRENT, headers=headers))["status"] == status


def test_current_values_have_their_own_limit_and_unknown_facilities_that_of_other_reads() -> None:
    made = watched()
    made.edge.read_rates = ReadRates(current_per_s=1e9, others_per_s=0.01)
    other = made.edge.key("dashboard")
    with made.edge.client() as client:  # the first read finds out whether the facility exists
        assert [client.get(CURRENT, headers=made.key).status_code for _ in range(5)] == [200] * 5
        unknown = [
            client.get("/api/facilities/fac-404/current", headers=key) for key in (other, other, made.key)
        ]
    assert [answer.status_code for answer in unknown] == [404, 429, 429]


@pytest.mark.parametrize("foreign", ["fac-002", "fac-404"])
def test_a_key_of_one_facility_learns_of_no_other_whether_it_exists(foreign: str) -> None:
    made = watched()
    made.edge.read_rates = ReadRates(current_per_s=1e9, others_per_s=0.01)
    owner = made.edge.key("owner", facility="fac-001")
    with made.edge.client() as client:
        assert (
            client.get("/api/facilities/fac-002/current", headers=made.key).status_code == 200
        )  # now cached
        asked = [client.get(f"/api/facilities/{foreign}/current", headers=owner) for _ in range(3)]
    assert [answer.status_code for answer in asked] == [404, 429, 429]


def test_other_reads_have_a_higher_rate_limit_per_key() -> None:
    made = watched()
    made.edge.read_rates = ReadRates(current_per_s=1e9, others_per_s=1.0)
    other = made.edge.key("dashboard")
    with made.edge.client() as client:
        said = [client.get("/api/facilities", headers=made.key) for _ in range(3)]
        assert [answer.status_code for answer in said[:2]] == [200, 200]
        assert codes_of(problem_of(said[2])) == ["rate_exceeded"]
        assert said[2].headers["retry-after"] == "1"
        assert client.get("/api/facilities", headers=other).status_code == 200


def test_a_bucket_refills_and_holds_at_most_two_seconds_of_requests() -> None:
    now = [100.0]
    rates = PerKeyRateLimiter(10.0, monotonic=lambda: now[0])
    assert [rates.wait_s("k") for _ in range(20)] == [0.0] * 20
    assert rates.wait_s("k") == pytest.approx(0.1)
    now[0] += 0.11
    assert (rates.wait_s("k"), rates.wait_s("k") > 0) == (0.0, True)
    now[0] += 1_000.0
    assert [rates.wait_s("k") for _ in range(21)][-1] > 0


def many(client: Any, made: Watched, query: str) -> dict[str, Any]:
    answer = client.get(f"/api/portfolio/current{query}", headers=made.key)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_values_of_many_facilities_take_one_request_and_one_cache_call() -> None:
    cache = FakeSharedCache()
    made = watched(cache=cache)
    with made.edge.client() as client:
        first = many(client, made, "?ids=fac-002,fac-001,fac-404,fac-001")
        cache.asked.clear()
        again = many(client, made, "?ids=fac-002,fac-001")
    assert [(item["facility_id"], item["kw"]) for item in first["items"]] == [
        ("fac-002", None),
        ("fac-001", 118.2),
    ]
    assert (first["unknown"], first["next_cursor"]) == (["fac-404"], None)
    assert [item["source"] for item in again["items"]] == ["none", "cache"]
    assert len(cache.asked) == 1


def test_without_ids_all_facilities_are_listed_in_pages() -> None:
    made = watched()
    with made.edge.client() as client:
        first = many(client, made, "?limit=1")
        rest = many(client, made, f"?limit=1&cursor={first['next_cursor']}")
    assert [item["facility_id"] for page in (first, rest) for item in page["items"]] == ["fac-001", "fac-002"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("ids", ["", ",".join(f"f{number}" for number in range(1_001))])
def test_an_empty_or_too_long_list_of_ids_is_refused(ids: str) -> None:
    made = watched()
    with made.edge.client() as client:
        answer = client.get(f"/api/portfolio/current?ids={ids}", headers=made.key)
    assert problem_of(answer)["status"] == 400
