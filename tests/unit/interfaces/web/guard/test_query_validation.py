"""Validation of queries: each name once, no `null`, and times in ISO format."""

from __future__ import annotations

from typing import Any

import pytest

from interfaces.web.guard.query_validation import MAX_PARAMETERS
from interfaces.web.openapi.examples import examples
from tests.unit.interfaces.web.api.test_reads import LETTER
from tests.unit.interfaces.web.edge import Edge, codes_of, problem_of
from tests.unit.interfaces.web.guard.test_access_matrix import House

WITHOUT_AN_END = "/api/stream"
PARAMETERS, _ = examples()
HISTORY = "/api/facilities/fac-001/history"
FORECAST = "/api/facilities/fac-001/forecast"
HOUR = "from=2026-07-14T11:00:00Z&to=2026-07-14T12:00:00Z"


@pytest.fixture(scope="module")
def house() -> House:
    return House()


def in_queries(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(method, path, name) of every parameter."""
    return [
        (method, path, parameter["name"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and path != WITHOUT_AN_END
    ]


def test_every_query_parameter_given_twice_is_refused(house: House) -> None:
    with house.edge.client() as client:
        parameters = in_queries(client.get("/schema/openapi.json").json())
        assert len(parameters) > 40
        for method, path, name in parameters:
            url = path.format(
                dr_event_id=house.dr_event.id,
                facility_id="fac-001",
                program_id="summer-peak",
                utility_event_id="UTIL-1",
                dead_letter_id=LETTER,
            )
            key = house.own if path.startswith("/webhooks") else house.keys["admin"]
            value = PARAMETERS[name]
            answer = client.request(method, url, params=[(name, value), (name, value)], headers=key)
            told = {reason["field"]: reason["detail"] for reason in problem_of(answer)["reasons"]}
            assert (answer.status_code, told) == (400, {name: "is given more than once; give it once"}), path


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("/api/portfolio/load?limit=null", "limit"),
        ("/api/dead-letters?queue=null", "queue"),
        ("/api/dead-letters?queue=NULL", "queue"),
        (f"{FORECAST}?as_of=null", "as_of"),
        (f"{FORECAST}?as_of=1784030400", "as_of"),
        (f"{FORECAST}?as_of=1.5e-3", "as_of"),
        (f"{FORECAST}?lead_time_h=null&{HOUR}", "lead_time_h"),
        (f"{HISTORY}?from=1784026800&to=2026-07-14T12:00:00Z", "from"),
        (f"{HISTORY}?{HOUR}&limit=null", "limit"),
    ],
)
def test_null_is_not_an_absent_value_and_a_number_is_not_a_time(house: House, url: str, field: str) -> None:
    with house.edge.client() as client:
        answer = client.get(url, headers=house.keys["admin"])
    document = problem_of(answer)
    assert (answer.status_code, codes_of(document)) == (400, ["invalid_field"])
    assert document["reasons"][0]["field"] == field


def test_a_cancellation_with_a_null_modification_number_is_refused(house: House) -> None:
    house.edge.commands.given.clear()
    url = "/webhooks/utility/dr-notification/UTIL-1?modification_number=null"
    with house.edge.client() as client:
        assert client.delete(url, headers=house.own).status_code == 400
    assert house.edge.commands.given == []


@pytest.mark.parametrize(
    "url",
    [
        f"{HISTORY}?{HOUR}",
        "/api/dr-events?status=null",
        "/api/dr-events?program=a&other=1&other=2&limit=1",
        "/api/dr-events?utm",
        "/api/alerts?include_cleared=true",
        "/api/facilities?request=null&request=2",
    ],
)
def test_a_text_parameter_may_be_null_and_unknown_parameters_are_ignored(house: House, url: str) -> None:
    with house.edge.client() as client:
        assert client.get(url, headers=house.keys["admin"]).status_code == 200


def test_a_parameter_that_is_invalid_many_times_is_reported_at_most_twice(house: House) -> None:
    with house.edge.client() as client:
        answer = client.get(
            "/api/dr-events?" + "&".join(["limit=null"] * MAX_PARAMETERS), headers=house.keys["admin"]
        )
    assert [reason["field"] for reason in problem_of(answer)["reasons"]] == ["limit", "limit"]


@pytest.mark.parametrize(("count", "status"), [(MAX_PARAMETERS - 1, 200), (MAX_PARAMETERS + 1, 400)])
def test_a_query_with_too_many_parameters_is_refused(house: House, count: int, status: int) -> None:
    with house.edge.client() as client:
        answer = client.get("/api/dr-events?" + "&".join(["other=1"] * count), headers=house.keys["admin"])
    assert answer.status_code == status
    if status != 200:
        assert f"more than {MAX_PARAMETERS} parameters" in problem_of(answer)["detail"]


def test_the_position_in_the_query_is_validated_also_if_the_header_has_one() -> None:
    edge = Edge(
        others={"stream_clients": 0}
    )  # a valid request gets 503 because the stream is full, so the test does not wait
    headers = edge.key("operator") | {"Last-Event-ID": "1234"}
    with edge.client() as client:
        statuses = [
            client.get(f"{WITHOUT_AN_END}?last_event_id={said}", headers=headers).status_code
            for said in ("null", "12")
        ]
    assert statuses == [400, 503]
