"""During an outage a key gets its last answer, labelled as stale and with its age."""

import json
from datetime import timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from application.ports.live_feed import SERVING
from interfaces.web.api.telemetry.current_value import CurrentDocument, CurrentListing
from interfaces.web.broadcast.freshness import BEHIND_S
from interfaces.web.middleware.stale_responses import with_age, with_label
from interfaces.web.route_policy import route_policies
from projections.portfolio.projection import PortfolioRow
from projections.queries.views import ReadModelsUnavailable
from tests.unit.interfaces.web.api.test_facility_values import Watched
from tests.unit.interfaces.web.api.test_forecast import Foreseen
from tests.unit.interfaces.web.edge import NOW, Edge, problem_of


def unavailable(*_: Any, **__: Any) -> Any:
    raise ReadModelsUnavailable("away")


def test_a_key_gets_its_last_answer_with_its_age_while_the_store_is_unreachable() -> None:
    edge = Edge()
    mine, other = edge.key("operator"), edge.key("operator")
    edge.read_models.portfolio.rows = {"portfolio": PortfolioRow(available_kw=12.5)}
    with edge.client() as client:
        fresh = client.get("/api/portfolio", headers=mine)
        assert "stale" not in fresh.json()
        assert "x-stale" not in fresh.headers
        edge.read_models.portfolio.by_key = unavailable
        stale = client.get("/api/portfolio", headers=mine)
        told = stale.json()
        assert stale.status_code == 200
        assert told.pop("age_s") >= 0.0
        assert told == {**fresh.json(), "stale": True, "source": "last_known"}
        assert stale.headers["x-stale"] == "true"
        assert int(stale.headers["age"]) >= 0
        nothing = client.get("/api/portfolio", headers=other)
    assert problem_of(nothing)["status"] == 503
    assert int(nothing.headers["retry-after"]) >= 1


def test_another_query_has_its_own_last_answer() -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/dr-events?limit=5", headers=key).status_code == 200
        edge.read_models.dr_events.listed = unavailable  # type: ignore[method-assign]
        assert client.get("/api/dr-events?limit=5", headers=key).json()["source"] == "last_known"
        assert client.get("/api/dr-events?limit=6", headers=key).status_code == 503


@pytest.mark.parametrize("behind", ["dr_events", "portfolio"])
def test_only_answers_of_read_models_behind_the_log_are_labelled(behind: str) -> None:
    edge = Edge()
    key = edge.key("operator")
    edge.live_log.record()
    edge.live_log.positions = dict.fromkeys(SERVING, 1) | {behind: 0}
    edge.clock.moment = NOW + timedelta(seconds=60)
    with edge.client() as client:
        followed(client)
        events, portfolio = (client.get(path, headers=key) for path in ("/api/dr-events", "/api/portfolio"))
    late, on_time = (events, portfolio) if behind == "dr_events" else (portfolio, events)
    assert late.json()["stale"] is True
    assert (late.json()["age_s"], late.json()["source"]) == (60.0, "read_models")
    assert late.headers["age"] == "60"
    assert "stale" not in on_time.json()


def followed(client: TestClient[Any]) -> None:
    """Stops the monotonic clock of the feed, and waits until the feed has read the log. Ages then depend on `clock`."""
    live = client.app.state["web"].live
    live.state._monotonic = lambda: 0.0
    while live.ring is None:
        client.get("/health")


def current(kw: float | None, age_s: float | None) -> CurrentDocument:
    return CurrentDocument(
        facility_id="fac-001", kw=kw, measured_at=None, age_s=age_s, stale=False, source="cache"
    )


def test_the_age_within_a_last_answer_is_increased() -> None:
    told = json.loads(with_age(current(1.5, 7.5), 30.0, content_age_s=30.0))
    assert (told["kw"], told["age_s"], told["stale"], told["source"]) == (1.5, 37.5, True, "last_known")
    assert with_age(b"[1]", 30.0, content_age_s=30.0) == b"[1]"
    assert with_label(b"[1]", 30.0, "replica") == b"[1]"
    assert json.loads(with_label(b"{}", 30.0, "replica")) == {
        "stale": True,
        "age_s": 30.0,
        "source": "replica",
    }


def test_labelling_an_answer_does_not_change_the_bytes_of_its_rows() -> None:
    """A page may have some MB: none of it is parsed."""
    rows = b'[{"kw":1.50,"age":7e0},null]'
    for told in (
        with_label(b'{"items":%s}' % rows, 7.0, "replica"),
        with_age(b'{"items":%s}' % rows, 0.0, content_age_s=7.0),
    ):
        assert told.startswith(b'{"items":%s,"stale":true,"age_s":7.0,"source":"' % rows)


def test_the_age_of_items_within_a_last_answer_is_increased() -> None:
    listing = CurrentListing(items=(current(1.5, 7.5), current(None, None)))
    told = json.loads(with_age(listing, 30.0, content_age_s=31.0))
    ages = [(item["kw"], item["age_s"], item["stale"], item["source"]) for item in told["items"]]
    assert ages == [(1.5, 37.5, True, "last_known"), (None, None, False, "cache")]
    assert (told["stale"], told["age_s"], told["source"]) == (True, 31.0, "last_known")


def test_no_labelled_document_has_members_of_the_label() -> None:
    """They would be in it twice. One that states its own age is never behind read models or a replica."""
    edge = Edge()
    with edge.client() as client:
        document, policies = client.get("/schema/openapi.json").json(), route_policies(client.app)
    labelled = {
        route: policy
        for route, policy in policies.items()
        if route.startswith("GET ") and policy.cache != "now"
    }
    own = {route for route in labelled if members_of(document, route) & {"stale", "age_s", "source"}}
    assert own == {"GET /api/facilities/{facility_id}/current", "GET /api/facilities/{facility_id}/history"}
    assert {(labelled[route].cache, labelled[route].projections) for route in own} == {("stale", ())}


def members_of(document: dict[str, Any], route: str) -> set[str]:
    """The members of the response to a route, by its schema."""
    content = document["paths"][route.removeprefix("GET ")]["get"]["responses"]["200"]["content"]
    schema = content["application/json"]["schema"]
    name = schema.get("$ref", "").rpartition("/")[2]
    return set(document["components"]["schemas"].get(name, schema).get("properties", ()))


def test_current_loads_of_a_last_answer_have_grown_older() -> None:
    watched = Watched()
    watched.reading()
    with watched.edge.client() as client:
        path = "/api/portfolio/current"
        fresh = client.get(path, headers=watched.key).json()
        watched.edge.read_models.facilities.listed = unavailable
        told = client.get(path, headers=watched.key).json()
    assert (told["stale"], told["source"], told["next_cursor"]) == (True, "last_known", None)
    (before,), (item,) = fresh["items"], told["items"]
    assert (item["stale"], item["source"], item["kw"]) == (True, "last_known", before["kw"])
    assert item["age_s"] >= before["age_s"]


def test_the_age_of_a_last_answer_includes_the_lag_of_its_read_models() -> None:
    edge = Edge()
    key = edge.key("operator")
    edge.live_log.record()
    edge.live_log.positions = dict.fromkeys(SERVING, 0)
    edge.clock.moment = NOW + timedelta(minutes=10)
    with edge.client() as client:
        followed(client)
        assert client.get("/api/portfolio", headers=key).json()["age_s"] == 600.0
        edge.read_models.portfolio.by_key = unavailable
        answer = client.get("/api/portfolio", headers=key)
    assert answer.json()["source"] == "last_known"
    assert answer.json()["age_s"] >= 600.0
    assert int(answer.headers["age"]) >= 600


@pytest.mark.parametrize("lag_s", [0.5, 4.9, 25.0])
def test_the_age_of_a_last_answer_includes_the_lag_of_the_replica(lag_s: float) -> None:
    edge = Edge()
    replica = edge.add_replica(lag_s=lag_s)
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/portfolio", headers=key).status_code == 200
        for models in (replica.there, edge.read_models):
            models.portfolio.by_key = unavailable
        answer = client.get("/api/portfolio", headers=key)
    assert answer.json()["source"] == "last_known"
    assert answer.json()["age_s"] >= lag_s


@pytest.mark.parametrize(("lag_s", "is_stale"), [(BEHIND_S, False), (BEHIND_S + 0.1, True), (25.0, True)])
def test_an_answer_of_a_replica_with_an_unusual_lag_is_labelled(lag_s: float, is_stale: bool) -> None:
    """The limit is that of read models. The lag is in wall time, the age in time of the clock."""
    edge = Edge()
    edge.clock.speed = 60.0
    edge.add_replica(lag_s=lag_s)
    key = edge.key("operator")
    with edge.client() as client:
        answer = client.get("/api/portfolio", headers=key)
        newest = client.get("/api/portfolio", headers=key | {"Prefer": "wait=1"})
    labels = {name: value for name, value in answer.json().items() if name in {"stale", "age_s", "source"}}
    assert labels == ({"stale": True, "age_s": 60.0 * lag_s, "source": "replica"} if is_stale else {})
    assert answer.headers.get("age") == (str(int(lag_s)) if is_stale else None)
    assert answer.headers["x-read-models"] == f"replica; lag_s={lag_s:.3f}"
    assert "stale" not in newest.json(), "the answer is from the primary"


def test_the_age_is_the_sum_of_the_replica_lag_and_the_read_model_lag() -> None:
    edge = Edge()
    edge.add_replica(lag_s=3.0)
    key = edge.key("operator")
    edge.live_log.record()
    edge.live_log.positions = dict.fromkeys(SERVING, 0)
    edge.clock.moment = NOW + timedelta(seconds=60)
    with edge.client() as client:
        followed(client)
        told = client.get("/api/portfolio", headers=key).json()
    assert (told["age_s"], told["source"]) == (63.0, "read_models")


@pytest.mark.parametrize(
    "path", ["/api/portfolio/forecast", "/api/facilities/fac-001/forecast?as_of=2026-07-14T20:05:00Z"]
)
def test_an_answer_not_read_from_the_replica_is_not_labelled_with_its_lag(path: str) -> None:
    foreseen = Foreseen()
    foreseen.issue(0, 100.0)
    foreseen.edge.add_replica(lag_s=25.0)
    answer = foreseen.get(path=path)
    assert (answer.status_code, "x-stale" in answer.headers) == (200, False)
