"""The OpenAPI document: who may call what, problems, and examples that hold."""

from typing import Any

import pytest

from interfaces.web.access import ACCESS
from interfaces.web.openapi import _examples
from tests.unit.interfaces.web.edge import Edge
from tests.unit.interfaces.web.test_access_matrix import House

BODIES = sorted(route for route, example in _examples().items() if "body" in example)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    with Edge().client() as client:
        found: dict[str, Any] = client.get("/schema/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_each_operation_says_who_may_and_that_errors_are_problems(document: dict[str, Any]) -> None:
    for route, operation in operations(document).items():
        roles = ACCESS[route]
        assert operation.get("x-roles") == (None if roles is None else sorted(roles)), route
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"], route
        assert ("401" in operation["responses"]) == (roles is not None), route


def test_every_example_is_of_a_route_and_shown_there(document: dict[str, Any]) -> None:
    found = operations(document)
    assert set(_examples()) <= set(found)
    for route, example in _examples().items():
        operation = found[route]
        shown = {parameter["name"]: parameter.get("example") for parameter in operation.get("parameters", ())}
        assert example.get("parameters", {}).items() <= shown.items(), route
        if "body" in example:
            content = operation["requestBody"]["content"]["application/json"]
            assert content["example"] == example["body"]


@pytest.mark.parametrize("route", BODIES)
def test_a_body_that_is_shown_is_taken(route: str) -> None:
    house = House()
    method, _, path = route.partition(" ")
    url = path.format(
        dr_event_id=house.dr_event.id,
        facility_id="fac-001",
        dead_letter_id="0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    )
    with house.edge.client() as client:
        answer = client.request(method, url, json=_examples()[route]["body"], headers=house.keys["admin"])
    assert answer.status_code not in (400, 415, 422), answer.text
