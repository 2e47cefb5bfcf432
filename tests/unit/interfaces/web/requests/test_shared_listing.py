"""A list is read anew for each request, and shared only by those of one tenant that arrive together."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from interfaces.web.caching.coalescing import ReadCoalescer
from interfaces.web.requests.paging import shared_listing
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import Edge, ListedRows

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


def test_the_same_rows_in_another_form_are_shared_separately() -> None:
    view: ListedRows[FacilityRow] = ListedRows({"fac-001": facility("fac-001")})

    coalescer = ReadCoalescer()

    async def listed(**form: Callable[[FacilityRow], object]) -> list[object]:
        asked: dict[str, Any] = {"filters": {}, "tenant": None, "cursor": None, "limit": 10, **form}
        body: bytes = (await shared_listing(coalescer, view, **asked)).content
        items: list[object] = msgspec.json.decode(body)["items"]
        return items

    async def scenario() -> None:
        whole, names = await asyncio.gather(listed(), listed(as_item=name_of))
        assert (names, await listed()) == (["fac-001"], whole)

    asyncio.run(scenario())


def name_of(row: FacilityRow) -> str:
    return row.facility_id


def test_a_list_and_its_tag_change_with_its_rows_only() -> None:
    edge = Edge()
    key = edge.key("operator")
    view = edge.read_models.facilities
    view.rows = {"fac-001": facility("fac-001")}
    with edge.client() as client:
        first = client.get("/api/facilities", headers=key)
        unchanged = client.get("/api/facilities", headers=key | {"If-None-Match": first.headers["etag"]})
        view.rows["fac-002"] = facility("fac-002")
        changed = client.get("/api/facilities", headers=key | {"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert [row["facility_id"] for row in changed.json()["items"]] == ["fac-001", "fac-002"]


def test_the_groups_are_those_of_the_facilities_now() -> None:
    edge = Edge()
    key = edge.key("operator")
    view = edge.read_models.facilities
    view.rows = {"fac-001": replace(facility("fac-001"), groups=("north",))}
    with edge.client() as client:
        answers = [client.get("/api/portfolio/groups", headers=key) for _ in range(2)]
        assert len({answer.content for answer in answers}) == 1
        view.rows["fac-002"] = replace(facility("fac-002"), groups=("north",))
        (group,) = client.get("/api/portfolio/groups", headers=key).json()["items"]
    assert (group["group"], group["facilities"]) == ("north", 2)


def test_a_page_of_one_utility_is_never_returned_to_another() -> None:
    edge = Edge()
    for utility in ("util-1", "util-2"):
        row = DREventRow(
            dr_event_id=uuid4(),
            utility_id=utility,
            utility_event_id="U-1",
            status="accepted",
            opened_at=AT,
            changed_at=AT,
            correlation_id=uuid4(),
            trace_id="0" * 32,
            domain_events=1,
        )
        edge.read_models.dr_events.rows[str(row.dr_event_id)] = row
    keys = {utility: edge.key("utility", utility=utility) for utility in ("util-1", "util-2")}
    with edge.client() as client:
        for utility in ("util-1", "util-2", "util-1", "util-2"):
            items = client.get("/api/dr-events", headers=keys[utility]).json()["items"]
            assert [item["utility_id"] for item in items] == [utility]
        assert len(client.get("/api/dr-events", headers=edge.key("operator")).json()["items"]) == 2
