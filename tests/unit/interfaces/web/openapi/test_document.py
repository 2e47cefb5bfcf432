"""The OpenAPI document: roles, problems and valid examples."""

from typing import Any

import jsonschema_rs
import pytest

from interfaces.web.openapi.examples import examples
from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import Edge
from tests.unit.interfaces.web.guard.test_access_matrix import House

PARAMETERS, ROUTES = examples()
BODIES = sorted(route for route, example in ROUTES.items() if isinstance(example.get("body"), dict))
"""Routes that take JSON; an upload is a file."""


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


def test_each_operation_lists_its_roles_and_the_problem_response(document: dict[str, Any]) -> None:
    for route, operation in operations(document).items():
        roles = POLICIES[route].roles
        assert operation.get("x-roles") == (None if roles is None else sorted(roles)), route
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"], route
        assert ("401" in operation["responses"]) == (roles is not None), route


def test_every_read_with_a_tag_has_a_304_response(document: dict[str, Any]) -> None:
    unchanged = {route for route, told in operations(document).items() if "304" in told["responses"]}
    reads = {route for route, policy in POLICIES.items() if route.startswith("GET /api/") and policy.has_etag}
    assert unchanged == reads - {"GET /api/stream"}


def test_every_example_belongs_to_an_existing_route_and_parameter(document: dict[str, Any]) -> None:
    found = operations(document)
    named = {parameter["name"] for one in found.values() for parameter in one.get("parameters", ())}
    assert set(PARAMETERS) == named
    assert set(ROUTES) <= set(found)
    for route, example in ROUTES.items():
        own = {parameter["name"] for parameter in found[route].get("parameters", ())}
        assert set(example.get("parameters", {})) <= own, route
        assert set(example.get("answers", {})) <= set(found[route]["responses"]), route


def test_each_parameter_body_and_answer_has_an_example_valid_against_its_schema(
    document: dict[str, Any],
) -> None:
    """If this fails, add an example to openapi_examples.json, preferably a shortened answer of the running route."""
    wrong = []
    for route, operation in operations(document).items():
        for where, schema, example in _shown(operation):
            if example is None:
                wrong.append(f"{route} {where}: no example")
                continue
            whole = {"components": document["components"], **schema}
            errors = jsonschema_rs.validator_for(whole, validate_formats=True).iter_errors(example)
            wrong += [f"{route} {where}: {error.message[:200]} at {error.instance_path}" for error in errors]
    assert wrong == []


def _shown(operation: dict[str, Any]) -> list[tuple[str, dict[str, Any], Any]]:
    """(location, schema, example) of each parameter, body and answer."""
    shown = [(one["name"], one["schema"], one.get("example")) for one in operation.get("parameters", ())]
    contents = {"body": operation.get("requestBody", {})} | operation["responses"]
    for where, described in contents.items():
        for media in described.get("content", {}).values():
            named = [example["value"] for example in media.get("examples", {}).values()]
            shown += [(where, media["schema"], example) for example in named or [media.get("example")]]
    return shown


def test_the_document_is_the_same_in_every_process(document: dict[str, Any]) -> None:
    with Edge().client() as client:
        assert client.get("/schema/openapi.json").json() == document


@pytest.fixture(scope="module")
def house() -> House:
    return House()


@pytest.mark.parametrize("route", BODIES)
def test_each_example_body_is_accepted_by_its_route(house: House, route: str) -> None:
    method, _, path = route.partition(" ")
    url = path.format(
        dr_event_id=house.dr_event.id,
        facility_id="fac-001",
        alert_id=1,
        key_id="000000000000",
        import_id="0" * 8 + "-0000" * 3 + "-" + "0" * 12,
        dead_letter_id="0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    )
    with house.edge.client() as client:
        answer = client.request(method, url, json=ROUTES[route]["body"], headers=house.keys["admin"])
    assert answer.status_code not in (400, 415, 422), answer.text


@pytest.mark.parametrize("route", BODIES)
def test_the_schema_of_a_body_is_as_strict_as_its_decoder(
    house: House, document: dict[str, Any], route: str
) -> None:
    """Unknown fields are invalid, ids in a list are checked, and some actions require a reason."""
    schema = operations(document)[route]["requestBody"]["content"]["application/json"]["schema"]
    holds = jsonschema_rs.validator_for({"components": document["components"], **schema})
    body = ROUTES[route]["body"]
    assert holds.is_valid(body)
    assert not holds.is_valid(body | {"another": 1})
    if "programs" in body:
        assert not holds.is_valid(body | {"programs": [""]})
    if "action" in body:
        asked = [{"action": "start"}, {"action": "start", "reason": " "}, {"action": "end"}]
        assert [holds.is_valid(one) for one in asked] == [False, False, True]
