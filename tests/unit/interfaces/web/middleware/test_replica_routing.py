"""Routing of reads to the replica, and the header that states it."""

from projections.facility import key_of
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import Edge


def replicated() -> Edge:
    """The primary has two facilities, the replica only one of them so far."""
    edge = Edge()
    edge.add_replica(lag_s=1.25).there.facilities.rows = {key_of("fac-001"): facility("fac-001")}
    edge.read_models.facilities.rows = {key_of(name): facility(name) for name in ("fac-001", "fac-002")}
    return edge


def test_a_read_goes_to_the_replica_and_states_its_lag() -> None:
    edge = replicated()
    key = edge.key("operator")
    with edge.client() as client:
        answer = client.get("/api/facilities", headers=key)
        unchanged = client.get("/api/facilities", headers=key | {"If-None-Match": answer.headers["etag"]})
    assert [item["facility_id"] for item in answer.json()["items"]] == ["fac-001"]
    assert answer.headers["x-read-models"] == "replica; lag_s=1.250"
    assert (unchanged.status_code, unchanged.headers["x-read-models"]) == (304, "replica; lag_s=1.250")


def test_a_request_with_prefer_wait_reads_the_primary() -> None:
    edge = replicated()
    headers = edge.key("operator") | {"Prefer": "wait=5"}
    with edge.client() as client:
        answer = client.get("/api/facilities", headers=headers)
    assert len(answer.json()["items"]) == 2


def test_without_a_replica_answers_have_no_replica_header() -> None:
    edge = Edge()
    with edge.client() as client:
        assert "x-read-models" not in client.get("/api/facilities", headers=edge.key("operator")).headers
        assert "x-read-models" not in client.get("/health").headers
