"""How often a key may read: one current value a second and facility, all else amply; and many values in one answer."""

import time
from typing import Any

import pytest

from interfaces.web.authentication.rate_limit import PerKeyRateLimiter
from interfaces.web.edge import ReadRates
from projections.facility import key_of
from tests.fakes.shared_cache import FakeSharedCache
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
        # Another facility, and another key, have turns of their own.
        assert client.get("/api/facilities/fac-002/current", headers=made.key).status_code == 200
        assert client.get(CURRENT, headers=other).status_code == 200


def test_the_turns_are_shared_by_all_processes_of_a_cache() -> None:
    cache = FakeSharedCache()
    made = watched(cache=cache)
    with made.edge.client() as first, made.edge.client() as second:
        assert first.get(CURRENT, headers=made.key).status_code == 200
        assert second.get(CURRENT, headers=made.key).status_code == 429


def test_while_the_cache_is_away_each_process_counts_for_itself() -> None:
    cache = FakeSharedCache()
    cache.available = False
    made = watched(cache=cache)
    with made.edge.client() as client:
        assert client.get(CURRENT, headers=made.key).status_code == 200
        assert client.get(CURRENT, headers=made.key).status_code == 429


def test_a_turn_comes_again() -> None:
    made = watched(cache=FakeSharedCache(), current_per_s=20.0)
    deadline = time.monotonic() + 20
    with made.edge.client() as client:
        assert client.get(CURRENT, headers=made.key).status_code == 200
        while client.get(CURRENT, headers=made.key).status_code == 429:
            assert time.monotonic() < deadline


def test_a_cached_value_is_answered_the_short_way_as_the_long_way() -> None:
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


def test_the_short_way_is_counted_as_the_long_way() -> None:
    made = watched(cache=FakeSharedCache(), current_per_s=1e9)
    with made.edge.client() as client:
        for _ in range(3):
            client.get(CURRENT, headers=made.key)
        text = client.get("/metrics").text
    assert (
        'gridproof_http_requests_total{method="GET",route="/api/facilities/{facility_id}/current",status="200"} 3.0'
        in text
    )


@pytest.mark.parametrize("kind", ["none", "wrong", "utility", "another facility"])
def test_the_short_way_lets_in_nobody_whom_the_long_way_does_not(kind: str) -> None:
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
        for _ in range(3):  # remembered from the second on
            assert problem_of(client.get(CURRENT, headers=headers))["status"] == status


def test_all_else_is_limited_amply_by_key() -> None:
    made = watched()
    made.edge.read_rates = ReadRates(current_per_s=1e9, others_per_s=1.0)
    other = made.edge.key("dashboard")
    with made.edge.client() as client:
        said = [client.get("/api/facilities", headers=made.key) for _ in range(3)]
        assert [answer.status_code for answer in said[:2]] == [200, 200]
        assert codes_of(problem_of(said[2])) == ["rate_exceeded"]
        assert said[2].headers["retry-after"] == "1"
        assert client.get("/api/facilities", headers=other).status_code == 200


def test_a_bucket_fills_again_and_holds_no_more_than_two_seconds() -> None:
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


def test_many_values_come_in_one_answer_and_one_round_trip() -> None:
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


def test_without_names_it_is_all_of_them_page_by_page() -> None:
    made = watched()
    with made.edge.client() as client:
        first = many(client, made, "?limit=1")
        rest = many(client, made, f"?limit=1&cursor={first['next_cursor']}")
    assert [item["facility_id"] for page in (first, rest) for item in page["items"]] == ["fac-001", "fac-002"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("ids", ["", ",".join(f"f{number}" for number in range(1_001))])
def test_no_names_or_too_many_are_refused(ids: str) -> None:
    made = watched()
    with made.edge.client() as client:
        answer = client.get(f"/api/portfolio/current?ids={ids}", headers=made.key)
    assert problem_of(answer)["status"] == 400
