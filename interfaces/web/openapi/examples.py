"""Examples of the OpenAPI document: parameters, bodies and responses of each route."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from interfaces.web.problems import PROBLEM_TYPES, TYPE_PREFIX, ProblemDocument, ProblemReason

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
Routes = dict[str, dict[str, Any]]


def add_examples(operation: dict[str, Any], route: str) -> None:
    """Add examples to every parameter, to the body, and to the responses."""
    parameters, routes = examples()
    own = routes.get(route, {})
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        parameter["example"] = own.get("parameters", {}).get(name, parameters.get(name))
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "body" in own:
            media["example"] = own["body"]
    for status, response in operation["responses"].items():
        for media in response.get("content", {}).values():
            if status in own.get("answers", {}) and "example" not in media:
                media["example"] = own["answers"][status]


def problem_example(status: int) -> dict[str, Any]:
    """The first problem type with that status."""
    name, kind = next((name, kind) for name, kind in PROBLEM_TYPES.items() if kind.status == status)
    code = name.replace("-", "_")
    document = ProblemDocument(
        type=TYPE_PREFIX + name,
        title=kind.title,
        status=status,
        detail=kind.title,
        reasons=(ProblemReason(code=code, detail=kind.title),),
        trace_id=TRACE_ID,
    )
    encoded: dict[str, Any] = msgspec.to_builtins(document)
    return encoded


@cache
def examples() -> tuple[dict[str, Any], Routes]:
    """Examples by parameter; and by route: its own parameters, body, and responses by status."""
    text = files("interfaces.web.openapi").joinpath("examples.json").read_bytes()
    decoded: dict[str, Any] = msgspec.json.decode(text)
    return decoded["parameters"], decoded["routes"]
