"""The OpenAPI document: as the framework derives it from the routes, with who may call what, problems and examples.

JSON only: the usual pages around it load their scripts from elsewhere.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from application.ports.api_keys import Role
from interfaces.web.access import ACCESS, WEBHOOK
from interfaces.web.problems import MEDIA_TYPE, PROBLEM_TYPES, ProblemDocument
from interfaces.web.signed_in import COOKIE

_METHODS = ("get", "post", "patch", "delete")
_PROBLEM = "Problem"


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Gridproof",
        version="0.1.0",
        path="/schema",
        render_plugins=[_WholeDocument()],
        security=[{"api_key": []}, {"session": []}],
        components=Components(
            security_schemes={
                "api_key": SecurityScheme(type="http", scheme="bearer", bearer_format="gpk_"),
                "session": SecurityScheme(type="apiKey", security_scheme_in="cookie", name=COOKIE),
            }
        ),
    )


class _WholeDocument(JsonRenderPlugin):
    """Completed and encoded at first need, once for an application."""

    _encoded: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._encoded is None:
            self._encoded = msgspec.json.encode(completed(openapi_schema))
        return self._encoded


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """With what the framework cannot know of each operation."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    (found,), components = msgspec.json.schema_components(
        [ProblemDocument], ref_template="#/components/schemas/{name}"
    )
    schemas.update(components)
    schemas[_PROBLEM] = found
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                route = f"{method.upper()} {path}"
                _complete(item[method], route, ACCESS.get(route))
    return document


def _complete(operation: dict[str, Any], route: str, roles: frozenset[Role] | None) -> None:
    responses = operation["responses"]
    responses.pop("400", None)  # the framework's own form of an error is answered nowhere
    if roles is None:
        operation["security"] = []
    else:
        operation["x-roles"] = sorted(roles)
        for status in (401, 403, 429):
            responses[str(status)] = _refusal(status)
    if route.startswith("GET ") and "200" in responses and "/api/" in route:
        responses["304"] = {"description": "What `If-None-Match` names still holds"}
    responses["default"] = {
        "description": "A problem document; its `type` answers for itself",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{_PROBLEM}"}}},
    }
    if WEBHOOK in route and "202" in responses:  # written by hand, so that a repeat is the same to the byte
        responses["202"] = {"description": "Accepted", **_any_json()}
        responses["200"] = {"description": "Known already, as it stands", **_any_json()}
    if "204" in responses:
        responses["204"].pop("content", None)  # no content is what it says
    _add_examples(operation, _examples().get(route, {}))


def _refusal(status: int) -> dict[str, Any]:
    titles = sorted({kind.title for kind in PROBLEM_TYPES.values() if kind.status == status})
    refusal: dict[str, Any] = {
        "description": "; ".join(titles),
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{_PROBLEM}"}}},
    }
    if status == 429:
        refusal["headers"] = {
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}, "required": True}
        }
    return refusal


def _any_json() -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"type": "object"}}}}


def _add_examples(operation: dict[str, Any], examples: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in examples.get("parameters", {}):
            parameter["example"] = examples["parameters"][parameter["name"]]
    if "body" in examples:
        operation["requestBody"]["content"]["application/json"]["example"] = examples["body"]
    if "answer" in examples:
        content = operation["responses"]["200"].setdefault("content", {})
        content.setdefault("application/json", {})["example"] = examples["answer"]


@cache
def _examples() -> dict[str, Any]:
    """Route -> parameters, body and answer; tests hold them against the routes."""
    text = files("interfaces.web").joinpath("openapi_examples.json").read_bytes()
    decoded: dict[str, Any] = msgspec.json.decode(text)
    return decoded
