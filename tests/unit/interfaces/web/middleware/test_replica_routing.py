"""Routing of reads to the replica, and the header that states it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from projections.facility import key_of
from projections.queries.views import RowsVersion
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import Edge, ListedRows


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


class TakesTurns(ListedRows[Any]):
    """Calls alternate between the primary, which is first, and the replica. Its own rows are the primary's."""

    def __init__(self, replica: ListedRows[Any]) -> None:
        super().__init__()
        self.replica = replica
        self.asked = 0

    def read_consistently(self, read: Callable[[Any], Any]) -> Any:
        self.asked += 1
        return read(super() if self.asked % 2 else self.replica)

    def version(self) -> RowsVersion | None:
        return self.read_consistently(lambda view: view.version())  # type: ignore[no-any-return]

    def listed(self, **asked: Any) -> Any:
        return self.read_consistently(lambda view: view.listed(**asked))


def test_a_page_and_its_version_come_from_one_server() -> None:
    edge = replicated()
    replica: Any = edge.others["replica"]
    view = replica.facilities = TakesTurns(replica.there.facilities)
    view.rows = edge.read_models.facilities.rows
    at = datetime(2026, 7, 14, tzinfo=UTC)
    view.rows_version, view.replica.rows_version = RowsVersion(1, 2, at), RowsVersion(1, 1, at)
    key = edge.key("operator")
    with edge.client() as client:
        pages = [client.get("/api/facilities", headers=key).json()["items"] for _ in range(3)]
    assert [len(items) for items in pages] == [2, 1, 2]
