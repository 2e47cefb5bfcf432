"""schemathesis calls every operation of the OpenAPI document with valid and invalid data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import CHECKS

from application.commands.dr_event import Modification, ModifyDREvent
from application.commands.facility import (
    DeactivateFacility,
    Deactivation,
    OptInFacility,
    OptingOut,
    OptOutFacility,
    RegisterFacility,
)
from application.commands.program import AgreeProgram
from application.ports.operations.dead_letters import DeadLetterNotFound
from domain.identifiers import dr_event_id
from tests.sizes import examples
from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import accepting
from tests.unit.interfaces.web.guard.test_access_matrix import House

EXAMPLES_EACH = max(2, examples(5))
"""tests/acceptance/api/test_schema.py runs more examples against the running API."""
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
NOT_DESCRIBED = ("GET /static", "GET /schema")
ROUTES = sorted(route for route in POLICIES if route != "GET /" and not route.startswith(NOT_DESCRIBED))
BEYOND_A_SCHEMA = ("positive_data_acceptance",)
"""Valid data may be refused by rules that no schema expresses, such as the maximum length of a window."""
UNKNOWN_QUERY = {"DELETE /webhooks/utility/dr-notification/{utility_event_id}": "negative_data_rejection"}
"""Unknown query parameters are ignored everywhere. For this route schemathesis tries little else."""
TAKES_NOTHING = {"GET /health", "GET /ready", "GET /metrics", "GET /problems/{name}", "GET /runbooks/{alert}"}
"""Routes without parameters that could be invalid."""


def answer(command: Any) -> Any:
    if isinstance(command, RegisterFacility | AgreeProgram):
        return 6
    if isinstance(command, OptOutFacility | OptInFacility):
        return OptingOut(facility_id=command.facility_id, opted_out=True)
    if isinstance(command, DeactivateFacility):
        return Deactivation(facility_id=command.facility_id)
    if isinstance(command, ModifyDREvent):
        return Modification(
            dr_event_id=dr_event_id(command.utility_id, command.utility_event_id),
            status="modified",
            dr_event_status="accepted",
            modification_number=command.notice.modification_number,
        )
    try:
        return accepting(command)
    except AssertionError:
        return None


async def unknown_letter(dead_letter_id: UUID, **_: str) -> Any:
    raise DeadLetterNotFound(f"no dead letter {dead_letter_id}")


@pytest.fixture(scope="module")
def house() -> House:
    made = House()
    made.edge.commands.answer = answer
    made.edge.others["dead_letter_replay"] = SimpleNamespace(replay=unknown_letter)
    return made


@pytest.fixture(scope="module")
def api(house: House) -> Any:
    return schemathesis.openapi.from_asgi("/schema/openapi.json", house.edge.app())


def test_every_operation_of_the_document_is_called(api: Any) -> None:
    described = {
        f"{method.upper()} {path}" for path, item in api.raw_schema["paths"].items() for method in item
    }
    assert described == set(ROUTES)


WITHOUT_AN_END = "GET /api/stream"
CALLED = [(route, mode) for route in ROUTES if route != WITHOUT_AN_END for mode in (POSITIVE, NEGATIVE)]


@pytest.mark.parametrize(
    ("route", "mode"),
    [called for called in CALLED if called[1] == POSITIVE or called[0] not in TAKES_NOTHING],
    ids=lambda value: value if isinstance(value, str) else value.value,
)
def test_each_operation_conforms_to_its_document(house: House, api: Any, route: str, mode: Any) -> None:
    method, _, path = route.partition(" ")
    key = house.own if path.startswith("/webhooks") else house.keys["admin"]
    ours = {"dr_event_id": str(house.dr_event.id), "facility_id": "fac-001"}
    numbers = iter(range(1_000_000))
    names = (*BEYOND_A_SCHEMA, UNKNOWN_QUERY.get(route))
    left_out = [check for check in CHECKS.get_all() if check.__name__ in names]

    @seed(1)
    @settings(
        max_examples=EXAMPLES_EACH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def called(case: Any) -> None:
        if (
            next(numbers) % 2 and mode == POSITIVE
        ):  # a generated id never exists, so half of the calls use existing ones
            case.path_parameters.update({name: ours[name] for name in case.path_parameters if name in ours})
        case.call_and_validate(headers=key, excluded_checks=left_out)

    called()
