"""A cached page is returned only while no row can have changed, and only to the same tenant."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from sys import getsizeof
from typing import Any
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from interfaces.web.caching.coalescing import ReadCoalescer
from interfaces.web.caching.page_cache import ENTRY_OVERHEAD_BYTES, PageCache
from interfaces.web.requests.paging import shared_listing
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow
from projections.queries.views import Page, RowsVersion
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import Edge, ListedRows

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
VERSION = RowsVersion(1, 10, AT)
VIEW = object()


def test_a_page_of_another_version_or_without_one_is_not_returned() -> None:
    pages = PageCache()
    pages.store("page", VIEW, VERSION, b"[]")
    assert pages.find("page", VIEW, RowsVersion(1, 10, AT)) == b"[]"
    for other in (
        RowsVersion(2, 10, AT),
        RowsVersion(1, 11, AT),
        RowsVersion(1, 10, AT + timedelta(microseconds=1)),
        None,
    ):
        assert pages.find("page", VIEW, other) is None
    assert pages.find("page", object(), VERSION) is None
    assert pages.find("another", VIEW, VERSION) is None
    pages.store("page", VIEW, None, b"[]")
    assert pages.find("page", VIEW, None) is None


def test_the_page_cache_is_bounded_in_size() -> None:
    pages = PageCache(max_bytes=3 * (100 + getsizeof(9) + ENTRY_OVERHEAD_BYTES))
    for number in range(10):
        pages.store(number, VIEW, VERSION, b"x" * 100)
        pages.find(0, VIEW, VERSION)
    assert [number for number in range(10) if pages.find(number, VIEW, VERSION)] == [0, 8, 9]
    pages.store("large", VIEW, VERSION, b"x" * 10_000)
    assert pages.find("large", VIEW, VERSION) is None
    assert pages.find(0, VIEW, VERSION)  # it evicted nothing


def test_the_size_of_a_page_key_counts_towards_the_limit() -> None:
    pages = PageCache(max_bytes=20_000)
    for number in range(10):
        pages.store((1, (("status", "x" * 4_000),), f"{number}"), VIEW, VERSION, b"[]")
    assert len(pages._pages) == 4


def test_the_same_rows_in_another_form_are_cached_separately() -> None:
    view: ListedRows[FacilityRow] = ListedRows({"fac-001": facility("fac-001")}, rows_version=VERSION)

    class Pages:
        coalescer, pages = ReadCoalescer(), PageCache()

    async def listed(**form: Callable[[FacilityRow], object]) -> list[object]:
        asked: dict[str, Any] = {"filters": {}, "tenant": None, "cursor": None, "limit": 10, **form}
        body: bytes = (await shared_listing(Pages(), view, **asked)).content
        items: list[object] = msgspec.json.decode(body)["items"]
        return items

    async def scenario() -> None:
        whole, names = await listed(), await listed(as_item=name_of)
        assert (names, await listed()) == (["fac-001"], whole)

    asyncio.run(scenario())


def name_of(row: FacilityRow) -> str:
    return row.facility_id


def reads_of(view: Any) -> list[object]:
    """What is asked of the view from now on."""
    read: list[object] = []
    listed = view.listed

    def counting(**asked: object) -> Page:  # type: ignore[type-arg]
        read.append(asked)
        page: Page = listed(**asked)  # type: ignore[type-arg]
        return page

    view.listed = counting
    return read


def test_a_list_is_read_again_once_its_rows_may_have_changed() -> None:
    edge = Edge()
    key = edge.key("operator")
    view = edge.read_models.facilities
    view.rows = {"fac-001": facility("fac-001")}
    view.rows_version = VERSION
    read = reads_of(view)
    with edge.client() as client:
        answers = [client.get("/api/facilities", headers=key) for _ in range(3)]
        assert len({answer.content for answer in answers}) == len(read) == 1
        client.get("/api/facilities?status=active", headers=key)
        assert len(read) == 2
        view.rows["fac-002"] = facility("fac-002")
        view.rows_version = RowsVersion(1, 11, AT)
        assert [row["facility_id"] for row in client.get("/api/facilities", headers=key).json()["items"]] == [
            "fac-001",
            "fac-002",
        ]


def test_the_groups_are_read_again_once_their_facilities_may_have_changed() -> None:
    edge = Edge()
    key = edge.key("operator")
    view = edge.read_models.facilities
    view.rows = {"fac-001": replace(facility("fac-001"), groups=("north",))}
    view.rows_version = VERSION
    read = reads_of(view)
    with edge.client() as client:
        answers = [client.get("/api/portfolio/groups", headers=key) for _ in range(3)]
        assert len({answer.content for answer in answers}) == len(read) == 1
        view.rows["fac-002"] = replace(facility("fac-002"), groups=("north",))
        view.rows_version = RowsVersion(1, 11, AT)
        (group,) = client.get("/api/portfolio/groups", headers=key).json()["items"]
    assert (group["group"], group["facilities"], len(read)) == ("north", 2, 2)


def test_a_page_of_one_utility_is_never_returned_to_another() -> None:
    edge = Edge()
    edge.read_models.dr_events.rows_version = VERSION
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
