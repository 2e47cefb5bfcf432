"""Which reads go to the replica, and what their answers say of it."""

from typing import Any

from projections.facilities import key_of
from projections.replica import ReadSource
from tests.unit.interfaces.web.edge import Edge, ReadModelsInMemory
from tests.unit.interfaces.web.test_reads import facility


class Replica(ReadModelsInMemory):
    def source(self) -> ReadSource:
        return ReadSource(name="replica", lag_s=1.25)


def replicated() -> Edge:
    """The primary knows two facilities, the replica one of them so far."""
    replica: Any = Replica()
    replica.facilities.rows = {key_of("fac-001"): facility("fac-001")}
    edge = Edge(others={"replica": replica})
    edge.read_models.facilities.rows = {key_of(name): facility(name) for name in ("fac-001", "fac-002")}
    return edge


def test_a_read_is_of_the_replica_and_says_how_far_that_is_behind() -> None:
    edge = replicated()
    key = edge.key("operator")
    with edge.client() as client:
        answer = client.get("/api/facilities", headers=key)
        unchanged = client.get("/api/facilities", headers=key | {"If-None-Match": answer.headers["etag"]})
    assert [item["facility_id"] for item in answer.json()["items"]] == ["fac-001"]
    assert answer.headers["x-read-models"] == "replica; lag_s=1.250"
    assert (unchanged.status_code, unchanged.headers["x-read-models"]) == (304, "replica; lag_s=1.250")


def test_who_prefers_to_wait_for_what_was_just_written_reads_the_primary() -> None:
    edge = replicated()
    headers = edge.key("operator") | {"Prefer": "wait=5"}
    with edge.client() as client:
        answer = client.get("/api/facilities", headers=headers)
    assert len(answer.json()["items"]) == 2


def test_without_a_replica_nothing_is_said_of_one() -> None:
    edge = Edge()
    with edge.client() as client:
        assert "x-read-models" not in client.get("/api/facilities", headers=edge.key("operator")).headers
        assert "x-read-models" not in client.get("/health").headers
