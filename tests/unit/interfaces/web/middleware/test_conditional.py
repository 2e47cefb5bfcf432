"""Conditional requests give 304 for an unchanged answer, and long answers are compressed."""

import gzip
import zlib
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from interfaces.web.caching import body_tag
from interfaces.web.middleware.conditional import MAX_CODINGS
from projections.facility import key_of
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import PortfolioWalk
from tests.unit.interfaces.web.api.test_facility_values import Watched
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import NOW, Edge, problem_of


@pytest.fixture(scope="module")
def walk() -> PortfolioWalk:
    made = PortfolioWalk()
    made.happy()
    return made


def shown(walk: PortfolioWalk) -> Edge:
    edge = Edge(others={"stream_log": FakeStreamLog(walk.entries)})
    edge.read_models = FakeReadModels(walk.entries)  # type: ignore[assignment]
    return edge


@pytest.mark.parametrize("path", ["/api/dr-events", "/api/facilities", "/api/portfolio", "/schema"])
def test_a_client_that_has_the_current_answer_receives_304_without_a_body(
    walk: PortfolioWalk, path: str
) -> None:
    edge = shown(walk)
    key = edge.key("operator")
    with edge.client() as client:
        first = client.get(path, headers=key)
        tag = first.headers["etag"]
        for said in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = client.get(path, headers=key | {"If-None-Match": said})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert not {"content-type", "content-length", "content-encoding"} & set(again.headers)
        other = client.get(path, headers=key | {"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)
    assert "Authorization" in first.headers["vary"]
    assert "no-cache" in first.headers["cache-control"]


def test_a_list_header_in_several_lines_is_treated_as_one_list() -> None:
    edge = Edge()
    edge.read_models.facilities.rows = {key_of("fac-001"): facility("fac-001")}
    key = list(edge.key("operator").items())
    with edge.client() as client:
        for path in ("/api/facilities", "/"):
            tag = client.get(path, headers=dict(key)).headers["etag"]
            holds = [*key, ("If-None-Match", '"other"'), ("If-None-Match", tag)]
            assert client.get(path, headers=holds).status_code == 304
            plain_refused = [*key, ("Accept-Encoding", "br"), ("Accept-Encoding", "gzip, identity;q=0")]
            assert client.get(path, headers=plain_refused).headers["content-encoding"] == "gzip"


def test_the_tag_depends_on_as_of(walk: PortfolioWalk) -> None:
    edge = shown(walk)
    key, path = edge.key("operator"), f"/api/dr-events/{walk.dr_events[0].id}"
    head = walk.entries[-1].position
    with edge.client() as client:
        now, then = (client.get(f"{path}?as_of={at}", headers=key) for at in (head, head - 5))
        assert now.headers["etag"] != then.headers["etag"]
        asked = key | {"If-None-Match": then.headers["etag"]}
        assert client.get(f"{path}?as_of={head - 5}", headers=asked).status_code == 304
        assert client.get(f"{path}?as_of={head}", headers=asked).status_code == 200


def test_a_tag_gives_no_access_to_another_tenant(walk: PortfolioWalk) -> None:
    edge = shown(walk)
    path = f"/api/dr-events/{walk.dr_events[0].id}"
    own = edge.key("utility", utility=walk.dr_events[0].state.utility_id)
    other = edge.key("utility", utility="somebody-else")
    with edge.client() as client:
        tag = client.get(path, headers=own).headers["etag"]
        refused = client.get(path, headers=other | {"If-None-Match": tag})
        assert problem_of(refused)["status"] == 404
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 401
        listed = client.get("/api/dr-events", headers=own).headers["etag"]
        assert client.get("/api/dr-events", headers=other | {"If-None-Match": listed}).status_code == 200


def test_a_change_changes_the_tag() -> None:
    edge = Edge()
    edge.read_models.facilities.rows = {key_of("fac-001"): facility("fac-001")}
    key = edge.key("operator")
    with edge.client() as client:
        tag = client.get("/api/facilities", headers=key).headers["etag"]
        edge.read_models.facilities.rows[key_of("fac-002")] = facility("fac-002")
        again = client.get("/api/facilities", headers=key | {"If-None-Match": tag})
    assert (again.status_code, len(again.json()["items"])) == (200, 2)


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("*, gzip;q=0.0", False),
        ("gzip ; q=0", False),
        ("gzip;q=0.001", True),
        ("gzip;q=none", False),
        ("gzip;q=nan", False),
        ("br, " * (MAX_CODINGS - 1) + "gzip", True),
        ("br, " * MAX_CODINGS + "gzip", False),
        ("gzip;q=2", False),
        ("*;q=0", False),
        ("*;q=0, gzip", True),
        ("br, identity;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip, identity;q=0.5", True),
        ("", False),
    ],
)
@pytest.mark.parametrize("count", [20, 400])
def test_a_long_answer_is_compressed_if_the_client_accepts_gzip(
    accepted: str, is_compressed: bool, count: int
) -> None:
    edge = Edge()
    rows = (facility(f"fac-{number:03}") for number in range(count))
    edge.read_models.facilities.rows = {key_of(row.facility_id): row for row in rows}
    key = edge.key("operator")
    with edge.client() as client:
        headers = key | {"Accept-Encoding": accepted}
        with client.stream("GET", "/api/facilities?limit=1000", headers=headers) as answer:
            raw = b"".join(answer.iter_raw())
    assert (answer.headers.get("content-encoding") == "gzip") == is_compressed
    assert "Accept-Encoding" in answer.headers["vary"]
    assert int(answer.headers["content-length"]) == len(raw)
    plain = gzip.decompress(raw) if is_compressed else raw
    assert plain.count(b'"facility_id"') == count


def test_the_tag_of_a_very_long_answer_is_the_same_and_made_once_but_not_cached(
    walk: PortfolioWalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = shown(walk)
    key, tags = edge.key("operator"), body_tag._cached_tag_of
    with edge.client() as client:
        tags.cache_clear()
        tag = client.get("/api/facilities", headers=key).headers["etag"]
        assert tags.cache_info().currsize == 1
        tags.cache_clear()
        monkeypatch.setattr(body_tag, "MAX_TAGGED_BYTES", 10)
        counted = Mock(side_effect=body_tag._tag_of)
        monkeypatch.setattr(body_tag, "_tag_of", counted)
        assert client.get("/api/facilities", headers=key).headers["etag"] == tag
        assert tags.cache_info().currsize == 0
        assert counted.call_count == 1


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip", False), ("gzip, identity;q=0", True), ("gzip, *;q=0", True), ("identity;q=0", False)],
)
def test_a_short_answer_is_compressed_only_if_the_client_refuses_identity(
    accepted: str, is_compressed: bool
) -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        answer = client.get("/api/dr-events", headers=key | {"Accept-Encoding": accepted})
    assert ("content-encoding" in answer.headers) == is_compressed
    assert answer.json()["items"] == []


def test_the_compressed_and_the_plain_answer_share_one_weak_tag() -> None:
    edge = Edge()
    edge.read_models.facilities.rows = {
        key_of(row.facility_id): row for row in (facility(f"fac-{number:03}") for number in range(20))
    }
    key = edge.key("operator")
    with edge.client() as client:
        plain, packed = (
            client.get("/api/facilities", headers=key | {"Accept-Encoding": accepted})
            for accepted in ("identity", "gzip")
        )
        again = client.get(
            "/api/facilities",
            headers=key | {"Accept-Encoding": "gzip", "If-None-Match": plain.headers["etag"]},
        )
    assert ("content-encoding" in plain.headers, "content-encoding" in packed.headers) == (False, True)
    assert plain.headers["etag"] == packed.headers["etag"] == again.headers["etag"]
    assert plain.headers["etag"].startswith('W/"')
    assert (again.status_code, again.content, again.headers["vary"]) == (304, b"", packed.headers["vary"])


def test_a_current_value_gives_304_until_it_becomes_stale() -> None:
    watched = Watched()
    watched.reading()
    said: list[Any] = []
    with watched.edge.client() as client:
        first = client.get("/api/facilities/fac-001/current", headers=watched.key)
        headers = watched.key | {"If-None-Match": first.headers["etag"]}
        said += [client.get("/api/facilities/fac-001/current", headers=headers).status_code for _ in "12"]
        watched.edge.clock.moment = NOW.replace(hour=13)
        watched.store.available = False
        said.append(client.get("/api/facilities/fac-001/current", headers=headers).status_code)
    assert said == [304, 304, 200]


@pytest.mark.parametrize("key_is_cached", [True, False])
def test_a_304_has_the_staleness_headers(key_is_cached: bool) -> None:
    watched = Watched()
    watched.reading()
    path = "/api/facilities/fac-001/current"
    with watched.edge.client() as client:
        tag = client.get(path, headers=watched.key).headers["etag"]
        watched.store.available = False
        watched.edge.clock.moment = NOW + timedelta(seconds=60)
        if not key_is_cached:
            client.app.state["web"].authenticator._keys._entries.clear()
        told = client.get(path, headers=watched.key | {"If-None-Match": tag})
        if not key_is_cached:
            client.app.state["web"].authenticator._keys._entries.clear()
        watched.edge.clock.moment += timedelta(seconds=10)
        again = client.get(path, headers=watched.key | {"If-None-Match": told.headers["etag"]})
    assert (told.status_code, told.json()["source"], told.headers["x-stale"]) == (200, "last_known", "true")
    assert (again.status_code, again.content, again.headers["x-stale"]) == (304, b"", "true")
    assert int(again.headers["age"]) == int(told.headers["age"]) + 10


def test_the_api_description_is_compressed_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    compressions = Mock(wraps=zlib.compressobj)
    monkeypatch.setattr("interfaces.web.middleware.conditional.zlib.compressobj", compressions)
    packed = {"Accept-Encoding": "gzip"}
    with Edge().client() as client:
        answers = [client.get("/schema", headers=packed) for _ in range(3)]
    assert [one.headers["content-encoding"] for one in answers] == ["gzip"] * 3
    assert compressions.call_count <= 1, "an earlier test may have asked for it"
