"""Behaviour common to all routes: access, problems, readiness, metrics, the schema."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from application.access.api_keys import revoke
from application.operations.alert_catalogue import ALERTS
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.readiness import ReadinessProbe
from interfaces.web.api.webhook.body import MOST_FACILITIES
from interfaces.web.problems import PROBLEM_TYPES
from projections.queries.views import ProjectionPosition, ReadModelsUnavailable
from tests.open_alerts import begin_alert
from tests.unit.interfaces.web.edge import NOW, WEBHOOK, Edge, codes_of, down, notification, problem_of, up

ID = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module")
def plain() -> Iterator[Any]:
    """A client of an edge that no test changes."""
    with Edge().client() as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/dr-events/not-a-uuid", "/api/facilities/a/b/c", "/problems/unheard-of"]
)
def test_an_unknown_path_is_a_problem(plain: Any, path: str) -> None:
    document = problem_of(plain.get(path))
    assert (document["status"], document["type"]) == (404, "/problems/not-found")


def test_an_unsupported_method_is_a_problem(plain: Any) -> None:
    response = plain.put(WEBHOOK, json={})
    document = problem_of(response)
    assert (document["status"], document["type"]) == (405, "/problems/method-not-allowed")
    assert "POST" in response.headers["allow"]


def test_an_invalid_query_parameter_is_reported_by_name() -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        document = problem_of(client.get("/api/dr-events?limit=0", headers=key))
    assert document["status"] == 400
    assert [reason["field"] for reason in document["reasons"]] == ["limit"]


def test_an_invalid_operator_body_is_refused() -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        document = problem_of(
            client.post(f"/api/dr-events/{ID}/cancellation", json={"reason": " "}, headers=key)
        )
    assert document["status"] == 400
    assert codes_of(document) == ["invalid_field"]
    assert edge.commands.given == []


def test_an_operator_body_must_be_declared_as_json() -> None:
    edge = Edge()
    headers = {**edge.key("operator"), "Content-Type": "text/plain"}
    with edge.client() as client:
        response = client.post(
            f"/api/dr-events/{ID}/cancellation", content=b'{"reason":"x"}', headers=headers
        )
    assert problem_of(response)["status"] == 415


def test_an_unreachable_read_model_gives_503_without_its_address() -> None:
    edge = Edge()

    def unavailable(*_: Any, **__: Any) -> Any:
        raise ReadModelsUnavailable("10.0.0.1 refused")

    edge.read_models.dr_events.listed = unavailable  # type: ignore[method-assign]
    key = edge.key("operator")
    with edge.client() as client:
        response = client.get("/api/dr-events", headers=key)
    assert problem_of(response)["type"] == "/problems/unavailable"
    assert "retry-after" in response.headers
    assert "10.0.0.1" not in response.text


def test_a_key_that_cannot_be_looked_up_gives_503() -> None:
    edge = Edge()
    key = edge.key("utility", utility="util-1")
    edge.api_keys.is_down = True
    with edge.client() as client:
        assert problem_of(client.post(WEBHOOK, json=notification(), headers=key))["status"] == 503


def test_a_valid_key_is_cached_for_a_few_seconds_and_refused_once_revoked() -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        for _ in range(5):
            assert client.get("/api/dr-events", headers=key).status_code == 200
    assert edge.api_keys.asked == 1
    revoke(edge.api_keys, edge.api_keys.listed()[0].key_id, at=NOW)
    with edge.client() as client:
        assert client.get("/api/dr-events", headers=key).status_code == 401


def test_an_existing_key_id_with_another_secret_is_refused() -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/dr-events", headers=key).status_code == 200
        wrong = {
            "Authorization": key["Authorization"][:-1] + ("A" if key["Authorization"][-1] != "A" else "B")
        }
        assert client.get("/api/dr-events", headers=wrong).status_code == 401


def test_liveness_depends_on_nothing() -> None:
    edge = Edge(probes=(ReadinessProbe(name="postgresql", needed=True, check=down),))
    with edge.client() as client:
        response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    ("postgres", "cache", "status", "said"),
    [
        (up, up, 200, "ready"),
        (up, down, 200, "degraded"),
        (down, up, 503, "not_ready"),
        (down, down, 503, "not_ready"),
    ],
)
def test_readiness_names_each_dependency_and_hides_its_address(
    postgres: Any, cache: Any, status: int, said: str
) -> None:
    probes = (
        ReadinessProbe(name="postgresql", needed=True, check=postgres),
        ReadinessProbe(name="cache", needed=False, check=cache),
    )
    with Edge(probes=probes).client() as client:
        response = client.get("/ready")
    document = response.json()
    assert (response.status_code, document["status"]) == (status, said)
    assert {state["name"]: state["up"] for state in document["dependencies"]} == {
        "postgresql": postgres is up,
        "cache": cache is up,
    }
    assert "password" not in response.text


def test_a_dependency_that_hangs_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("interfaces.readiness.PROBE_DEADLINE_S", 0.01)
    with Edge(probes=(ReadinessProbe(name="nats", needed=False, check=hang),)).client() as client:
        assert client.get("/ready").json()["dependencies"][0]["problem"] == "no answer in time"


def test_metrics_count_requests_by_route_and_status() -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        client.get("/api/dr-events", headers=key)
        client.get("/api/dr-events")
        text = client.get("/metrics", headers=key).text
    assert 'gridproof_http_requests_total{method="GET",route="/api/dr-events",status="200"} 1.0' in text
    assert 'gridproof_http_requests_total{method="GET",route="/api/dr-events",status="401"} 1.0' in text
    assert 'gridproof_http_request_seconds_count{method="GET",route="/api/dr-events"} 2.0' in text


def test_metrics_show_the_lag_of_each_projection_and_no_outdated_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edge = Edge()
    behind = ProjectionPosition(
        name="dr_events",
        version=1,
        position=7,
        head=10,
        behind_since=edge.clock.now() - timedelta(seconds=2),
    )
    monkeypatch.setattr(edge.read_models, "positions", lambda: [behind])
    key = edge.key("operator")
    with edge.client() as client:
        text = client.get("/metrics", headers=key).text
        assert 'gridproof_projection_lag_events{projection="dr_events"} 3.0' in text
        assert 'gridproof_projection_lag_seconds{projection="dr_events"} 2.0' in text

        def away() -> list[ProjectionPosition]:
            raise ReadModelsUnavailable("no answer")

        monkeypatch.setattr(edge.read_models, "positions", away)
        assert "gridproof_projection_lag_seconds{" not in client.get("/metrics", headers=key).text


def test_metrics_count_open_alerts_by_name_and_show_no_outdated_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edge = Edge()
    begin_alert(edge.alerts, "bms_drift", "fac-001", "x", at=NOW)
    begin_alert(edge.alerts, "bms_drift", "fac-002", "x", at=NOW)
    key = edge.key("operator")
    with edge.client() as client:
        text = client.get("/metrics", headers=key).text
        assert 'gridproof_alerts_open{name="bms_drift",severity="warning"} 2.0' in text
        assert text.count("gridproof_alerts_open{") == len(ALERTS)
        assert "fac-001" not in text

        def away() -> dict[str, int]:
            raise OperationsUnavailable("no answer")

        monkeypatch.setattr(edge.alerts, "open_by_name", away)
        assert "gridproof_alerts_open{" not in client.get("/metrics", headers=key).text


def test_the_schema_describes_the_webhook_body() -> None:
    with Edge().client() as client:
        response = client.get("/schema")
        assert client.get("/schema/openapi.json").json() == response.json()
    document = response.json()
    schema = document["paths"][WEBHOOK]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert set(body["required"]) <= set(body["properties"])
    assert body["properties"]["facility_ids"]["maxItems"] == MOST_FACILITIES


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/metrics"])
def test_a_text_names_its_charset_once(path: str) -> None:
    edge = Edge()
    with edge.client() as client:
        answer = client.get(path, headers=edge.key("operator"))
    assert answer.status_code == 200
    assert answer.headers["content-type"].count("charset=utf-8") == 1


def test_an_invalid_key_and_no_key_have_different_details() -> None:
    edge = Edge()
    with edge.client() as client:
        wrong = client.post("/api/session", headers={"Authorization": "Bearer gp_nonsense"})
        none = client.post("/api/session")
    assert (wrong.status_code, none.status_code) == (401, 401)
    assert problem_of(wrong)["detail"] == "this API key is not valid: it is mistyped, revoked or expired"
    assert "Authorization: Bearer" in problem_of(none)["detail"]


@pytest.mark.parametrize(
    ("path", "body", "done"),
    [
        ("/api/facilities/fac-001/maintenance", {"action": "start", "reason": "x"}, "maintenance_started"),
        ("/api/facilities/fac-001/maintenance", {"action": "end"}, "maintenance_ended"),
        ("/api/facilities/fac-001/reactivation", {"reason": "x"}, "reactivated"),
        (f"/api/dr-events/{ID}/overrides", {"facility_id": "fac-001", "reason": "x"}, "overridden"),
        (
            f"/api/dr-events/{ID}/restored-by-hand",
            {"facility_id": "fac-001", "reason": "x"},
            "restored_by_hand",
        ),
    ],
)
def test_a_command_answers_what_was_done(path: str, body: dict[str, str], done: str) -> None:
    edge = Edge()
    with edge.client() as client:
        answer = client.post(path, json=body, headers=edge.key("operator"))
    assert answer.status_code in {200, 202}
    assert answer.json()["facility_id"] == "fac-001"
    assert answer.json()["done"] == done


@pytest.mark.parametrize("path", ["/api/dr-events/WP-1", "/api/audit/dr-events/WP-1"])
def test_a_utilitys_id_in_a_path_says_which_id_to_take(path: str) -> None:
    edge = Edge()
    with edge.client() as client:
        answer = client.get(path, headers=edge.key("auditor"))
    assert answer.status_code == 404
    assert "GET /api/dr-events?utility_event_id=YOURS" in problem_of(answer)["detail"]


@pytest.mark.parametrize("name", sorted(PROBLEM_TYPES))
def test_every_problem_type_has_its_own_page(plain: Any, name: str) -> None:
    document = plain.get(f"/problems/{name}").json()
    assert document["type"] == f"/problems/{name}"
    assert document["what_to_do"]


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "ff-" + "a" * 32 + "-00f067aa0ba902b7-01",
        "junk",
        "00-ABC-1-01",
    ],
)
def test_a_malformed_traceparent_is_replaced_by_a_new_trace_id(plain: Any, traceparent: str) -> None:
    seen = {
        plain.get("/health", headers={"traceparent": traceparent}).headers["x-trace-id"] for _ in range(2)
    }
    assert len(seen) == 2
    assert all(len(trace_id) == 32 and int(trace_id, 16) for trace_id in seen)


def test_every_answer_forbids_sniffing_framing_and_caching(plain: Any) -> None:
    for path in ("/health", "/nothing", "/"):
        headers = plain.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] in {"no-store", "no-cache"}
