"""`as_of=` over a log in memory: lists and sums of the past, and reads that do not support it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from application.ports.live_feed import SERVING
from interfaces.web import edge as web_edge
from projections.as_of.lists import FoldLimits
from tests.unit.interfaces.web.api.test_forecast import Foreseen
from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import NOW, problem_of
from tests.unit.interfaces.web.guard.test_access_matrix import QUERIES, House
from tests.unit.interfaces.web.guard.test_store_outage import away
from tests.unit.interfaces.web.middleware.test_stale_responses import followed

WITH_A_PAST = {
    "GET /api/dr-events",
    "GET /api/dr-events/{dr_event_id}",
    "GET /api/dr-events/{dr_event_id}/callbacks",
    "GET /api/dr-events/{dr_event_id}/dispatches",
    "GET /api/dr-events/{dr_event_id}/load",
    "GET /api/dr-events/{dr_event_id}/measurements",
    "GET /api/dr-events/{dr_event_id}/measurements/{facility_id}",
    "GET /api/dr-events/{dr_event_id}/performance",
    "GET /api/dr-events/{dr_event_id}/performance/{facility_id}",
    "GET /api/dr-events/{dr_event_id}/settlement",
    "GET /api/dr-events/{dr_event_id}/settlement/revisions",
    "GET /api/facilities",
    "GET /api/facilities/{facility_id}",
    "GET /api/facilities/{facility_id}/forecast",
    "GET /api/portfolio",
    "GET /api/portfolio/forecast",
    "GET /api/portfolio/groups",
    "GET /api/audit/dr-events/{dr_event_id}",
    "GET /api/audit/facilities/{facility_id}",
    "GET /api/audit/programs/{program_id}",
    "GET /api/programs",
    "GET /api/programs/{program_id}",
}
READ = sorted(route for route in POLICIES if route.startswith("GET /api/"))


@pytest.fixture(scope="module")
def house() -> House:
    return House()


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[Any]:
    with house.edge.client() as opened:
        yield opened


def test_the_portfolio_and_its_facilities_are_read_as_of_a_position(house: House, client: Any) -> None:
    operator, head = house.keys["operator"], house.walk.entries[-1].position

    def read(path: str) -> Any:
        return client.get(path, headers=operator).json()

    assert read(f"/api/facilities?as_of={head}") == read("/api/facilities")
    assert read(f"/api/portfolio?as_of={head}") == read("/api/portfolio")
    accepted = next(entry.position for entry in house.walk.entries if entry.topic == "dr-event.accepted.v1")
    before, after = read(f"/api/portfolio?as_of={accepted - 1}"), read("/api/portfolio")
    assert (before["open_dr_events"], after["open_dr_events"]) == (0, 0)
    assert read(f"/api/portfolio?as_of={accepted}")["open_dr_events"] == 1
    assert read("/api/portfolio?as_of=0")["registered_facilities"] == 0
    then = read(f"/api/facilities?as_of={accepted - 1}")["items"]
    assert [row["latest_dispatch"] for row in then] == [None] * len(then)
    assert any(row["latest_dispatch"] for row in read("/api/facilities")["items"])


def test_a_list_of_the_past_supports_filters_and_cursors(house: House, client: Any) -> None:
    operator, head = house.keys["operator"], house.walk.entries[-1].position
    seen, cursor = [], ""
    while True:
        page = client.get(f"/api/facilities?as_of={head}&limit=2{cursor}", headers=operator).json()
        seen += [row["facility_id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["fac-001", "fac-002", "fac-003"]
    none = client.get(f"/api/facilities?as_of={head}&status=deactivated", headers=operator).json()
    assert none["items"] == []


def test_a_key_of_one_facility_sees_only_that_facility_in_the_past(house: House, client: Any) -> None:
    head = house.walk.entries[-1].position
    listed = client.get(f"/api/facilities?as_of={head}", headers=house.of_facility).json()["items"]
    assert [row["facility_id"] for row in listed] == ["fac-001"]


def test_a_long_past_is_folded_in_parts_and_the_progress_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_edge, "FoldLimits", lambda: FoldLimits(domain_events=10, rows=1_000))
    house = House()
    told = set()
    with house.edge.client() as client:
        path, asked = f"/api/portfolio?as_of={house.walk.entries[-1].position}", 0
        while (answer := client.get(path, headers=house.keys["operator"])).status_code != 200:
            asked += 1
            assert asked < 100
            assert problem_of(answer)["type"] == "/problems/past-not-folded"
            assert answer.headers["retry-after"] == "1"
            told.add(answer.json()["detail"])
        assert answer.json() == client.get("/api/portfolio", headers=house.keys["operator"]).json()
    assert len(told) > 2


def test_a_past_with_more_rows_than_the_limit_is_refused_with_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_edge, "FoldLimits", lambda: FoldLimits(domain_events=1_000, rows=2))
    house = House()
    with house.edge.client() as client:
        answer = client.get("/api/facilities?as_of=20", headers=house.keys["operator"])
    assert problem_of(answer)["type"] == "/problems/past-too-large"
    assert "by its id" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["as%5Fof", "%61s_of", "%61%73%5f%6f%66"])
@pytest.mark.parametrize("path", ["/api/dead-letters", "/api/facilities/fac-001/current"])
def test_a_percent_encoded_as_of_is_refused_where_as_of_is_unsupported(
    house: House, client: Any, path: str, name: str
) -> None:
    for _ in range(2):  # the facility is cached at the second one
        answer = client.get(f"{path}?{name}=2026-07-14T11:00:00Z", headers=house.keys["admin"])
        assert [reason["code"] for reason in problem_of(answer)["reasons"]] == ["no_history"]
        client.get(path, headers=house.keys["admin"])


@pytest.mark.parametrize("route", READ)
def test_each_read_supports_as_of_or_refuses_it(house: House, client: Any, route: str) -> None:
    """The present state is never returned for a past moment."""
    path = route.removeprefix("GET ").format(
        dr_event_id=house.dr_event.id,
        facility_id="fac-001",
        dead_letter_id="0" * 32,
        task_id="0" * 32,
        program_id="summer-peak",
        period="2026-07",
    )
    query = QUERIES.get(route, "?") + "&as_of=2026-07-14T11:00:00Z"
    answer = client.get(path + query, headers=house.keys["admin"])
    codes = [reason["code"] for reason in answer.json().get("reasons", ())]
    assert ("no_history" in codes) == (route not in WITH_A_PAST), answer.text
    if route not in WITH_A_PAST:
        assert problem_of(answer)["status"] == 400


FOLDED = sorted(
    route for route in WITH_A_PAST if POLICIES[route].projections and not POLICIES[route].ignores_as_of
)


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[House, Any]]:
    """An edge whose read models are all ten minutes behind."""
    house = House()
    house.edge.live_log.record()
    house.edge.live_log.positions = dict.fromkeys(SERVING, 0)
    house.edge.clock.moment = NOW + timedelta(minutes=10)
    with house.edge.client() as client:
        followed(client)
        yield house, client


@pytest.mark.parametrize("route", FOLDED)
def test_an_answer_as_of_the_past_and_its_tag_do_not_depend_on_read_model_lag(
    behind: tuple[House, Any], route: str
) -> None:
    house, client = behind
    path = route.removeprefix("GET ").format(dr_event_id=house.dr_event.id, facility_id="fac-001")
    then = f"{path}?as_of={house.walk.entries[-1].position}"
    now, past = (client.get(one, headers=house.keys["admin"]) for one in (path, then))
    assert now.json()["source"] == "read_models"
    assert "x-stale" not in past.headers
    assert past.json() == {name: value for name, value in now.json().items() if name in past.json()}
    again = client.get(then, headers=house.keys["admin"] | {"If-None-Match": past.headers["etag"]})
    assert again.status_code == 304


def test_an_answer_that_ignores_as_of_is_labelled_as_stale() -> None:
    foreseen = Foreseen()
    foreseen.issue(0, 100.0)
    foreseen.edge.live_log.record()
    foreseen.edge.live_log.positions = dict.fromkeys(SERVING, 0)
    as_of = f"?as_of={foreseen.edge.clock.moment:%Y-%m-%dT%H:%M:%SZ}"
    with foreseen.edge.client() as client:
        followed(client)
        answer = client.get(f"/api/portfolio/forecast{as_of}", headers=foreseen.key)
    assert answer.json()["source"] == "read_models"


def test_the_age_of_a_last_answer_of_the_past_excludes_read_model_lag() -> None:
    """The read models were ten minutes behind at the time of the answer."""
    house = House()
    house.edge.live_log.record()
    house.edge.live_log.positions = dict.fromkeys(SERVING, 0)
    house.edge.clock.moment = NOW + timedelta(minutes=10)
    path, key = f"/api/portfolio?as_of={house.walk.entries[-1].position}", house.keys["operator"]
    with house.edge.client() as client:
        followed(client)
        past = client.get(path, headers=key).json()
        away(house.edge, client)
        told = client.get(path, headers=key).json()
    assert told.pop("age_s") < 600.0
    assert told == past | {"stale": True, "source": "last_known"}
