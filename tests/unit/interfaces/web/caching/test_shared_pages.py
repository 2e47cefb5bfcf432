"""A page is read again once its rows may have changed, and shared only by callers that may see the same."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from interfaces.web.caching.coalescing import ReadCoalescer
from interfaces.web.caching.shared_pages import SharedPages
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow
from projections.queries.views import Page, RowsVersion
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import Edge, ListedRows

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
VERSION = RowsVersion(1, 10, AT)


def name_of(row: FacilityRow) -> str:
    return row.facility_id


def reads_of(view: ListedRows[Any]) -> list[object]:
    """What is asked of the view from now on."""
    read: list[object] = []
    listed = view.listed

    def counting(**asked: Any) -> Page[Any]:
        read.append(asked)
        return listed(**asked)

    view.listed = counting  # type: ignore[method-assign]
    return read


def items_of(
    pages: SharedPages, view: ListedRows[FacilityRow], **form: Callable[[FacilityRow], object]
) -> Any:
    asked: dict[str, Any] = {
        "filters": {},
        "tenant": None,
        "cursor": None,
        "limit": 10,
        "as_item": msgspec.to_builtins,
    }
    return msgspec.json.decode(asyncio.run(pages.listing(view, **(asked | form))).content)["items"]


@pytest.mark.parametrize("version", [VERSION, None], ids=["cached", "not cached"])
def test_the_same_rows_in_another_form_are_another_page(version: RowsVersion | None) -> None:
    view = ListedRows({"fac-001": facility("fac-001")}, rows_version=version)
    pages = SharedPages(ReadCoalescer())
    whole, names = items_of(pages, view), items_of(pages, view, as_item=name_of)
    assert (names, items_of(pages, view)) == (["fac-001"], whole)


@pytest.mark.parametrize(
    "version",
    [
        RowsVersion(2, 10, AT),
        RowsVersion(1, 11, AT),
        RowsVersion(1, 9, AT),
        RowsVersion(1, 10, AT + timedelta(microseconds=1)),
        None,
    ],
    ids=["rebuilt", "folded", "an older server", "the same position after a lost one", "unknown"],
)
def test_a_page_of_another_version_is_read_again(version: RowsVersion | None) -> None:
    view = ListedRows({"fac-001": facility("fac-001")}, rows_version=VERSION)
    pages = SharedPages(ReadCoalescer())
    assert items_of(pages, view, as_item=name_of) == ["fac-001"]
    view.rows = {"fac-002": facility("fac-002")}
    assert items_of(pages, view, as_item=name_of) == ["fac-001"], "its version says that nothing changed"
    view.rows_version = version
    assert items_of(pages, view, as_item=name_of) == ["fac-002"]


def test_rows_that_change_while_they_are_read_are_read_again() -> None:
    view = ListedRows({"fac-001": facility("fac-001")}, rows_version=VERSION)
    pages, listed = SharedPages(ReadCoalescer()), view.listed

    def changing(**asked: Any) -> Page[FacilityRow]:
        page = listed(**asked)
        view.rows, view.rows_version = {"fac-002": facility("fac-002")}, RowsVersion(1, 11, AT)
        return page

    view.listed = changing  # type: ignore[method-assign]
    assert items_of(pages, view, as_item=name_of) == ["fac-001"]
    assert items_of(pages, view, as_item=name_of) == ["fac-002"]


def test_two_views_with_equal_versions_have_pages_of_their_own() -> None:
    pages = SharedPages(ReadCoalescer())
    for name in ("fac-001", "fac-002"):
        view = ListedRows({name: facility(name)}, rows_version=VERSION)
        assert items_of(pages, view, as_item=name_of) == [name]


def test_a_list_and_its_tag_change_with_its_rows_only() -> None:
    edge = Edge()
    key = edge.key("operator")
    view = edge.read_models.facilities
    view.rows, view.rows_version = {"fac-001": facility("fac-001")}, VERSION
    read = reads_of(view)
    with edge.client() as client:
        first = client.get("/api/facilities", headers=key)
        unchanged = client.get("/api/facilities", headers=key | {"If-None-Match": first.headers["etag"]})
        assert len(read) == 1
        view.rows["fac-002"] = facility("fac-002")
        view.rows_version = RowsVersion(1, 11, AT)
        changed = client.get("/api/facilities", headers=key | {"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert [row["facility_id"] for row in changed.json()["items"]] == ["fac-001", "fac-002"]


def test_the_groups_are_those_of_the_facilities_now() -> None:
    edge = Edge()
    key = edge.key("operator")
    view = edge.read_models.facilities
    view.rows, view.rows_version = {"fac-001": replace(facility("fac-001"), groups=("north",))}, VERSION
    read = reads_of(view)
    with edge.client() as client:
        answers = [client.get("/api/portfolio/groups", headers=key) for _ in range(2)]
        assert len({answer.content for answer in answers}) == len(read) == 1
        view.rows["fac-002"] = replace(facility("fac-002"), groups=("north",))
        view.rows_version = RowsVersion(1, 11, AT)
        (group,) = client.get("/api/portfolio/groups", headers=key).json()["items"]
    assert (group["group"], group["facilities"]) == ("north", 2)


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
