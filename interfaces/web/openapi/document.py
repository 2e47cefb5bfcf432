"""The OpenAPI document: derived by the framework, completed with roles, problems, examples and schema names.

It is JSON; people see it on a page of our own, because the usual ones load scripts from elsewhere or set inline styles.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from application.operations.release import RELEASE
from interfaces.as_of import MOST_DIGITS
from interfaces.settlement.statement.csv_records import COLUMNS
from interfaces.web.api.dashboard import serve_static
from interfaces.web.api.settlement.controller import SettlementBody
from interfaces.web.api.settlement.forms import preferred_form
from interfaces.web.api.webhook.body import EVENT_ID_PATTERN, MOST_ID_CHARACTERS, NotificationBody
from interfaces.web.api.webhook.responses import ModificationAnswer, NotificationAnswer
from interfaces.web.authentication.session_cookie import COOKIE
from interfaces.web.openapi.examples import add_examples, problem_example
from interfaces.web.openapi.schema_names import publish_schema_names
from interfaces.web.problems import MEDIA_TYPE, PROBLEM_TYPES, ProblemDocument
from interfaces.web.route_policy import ANYONE, RoutePolicy, route_policies
from interfaces.web.routes import AS_OF, DR_EVENT, FACILITY, WEBHOOK

SCHEMA = "/schema"
_REFERENCE = "#/components/schemas/"
_METHODS = ("get", "post", "patch", "delete")
_PROBLEM = "Problem"
_RAW_ROUTES = {
    f"POST {WEBHOOK}": NotificationAnswer.__name__,
    f"PATCH {WEBHOOK}/{{utility_event_id}}": ModificationAnswer.__name__,
}
"""Routes that read and write raw bytes, so that the framework cannot know their schemas."""
_STATEMENTS = frozenset(
    {
        f"GET {DR_EVENT}/settlement",
        f"GET {FACILITY}/statements/{{period}}",
        "GET /api/programs/{program_id}/statements/{period}",
    }
)
"""Routes whose answer has several forms, as `Accept` asks for."""
_SETTLE = f"POST {DR_EVENT}/settlement"
_MAINTENANCE = f"POST {FACILITY}/maintenance"
_REASON_TO_START = {
    "if": {"properties": {"action": {"const": "start"}}},
    "then": {"required": ["reason"], "properties": {"reason": {"pattern": r"\S"}}},
}
_LIVE_MESSAGE = {
    "type": "object",
    "description": "One message of the stream",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "A position of the log; `Last-Event-ID` resumes after it"},
        "event": {"type": "string"},
        "data": {"type": "string", "description": "JSON"},
        "retry": {"type": "integer", "description": "ms"},
    },
}
_IMPORT_LINE = {
    "type": "object",
    "description": "One line of the answer: how far it is, or at the end a report or a problem",
    "properties": {
        "done": {"type": "integer"},
        "of": {"type": "integer"},
        "report": {"$ref": f"{_REFERENCE}ImportReport"},
        "problem": {"$ref": _REFERENCE + _PROBLEM},
    },
}
_LINE_SCHEMAS = {"text/event-stream": _LIVE_MESSAGE, "application/x-ndjson": _IMPORT_LINE}
_UTILITY_EVENT_ID = {
    "type": "string",
    "minLength": 1,
    "maxLength": MOST_ID_CHARACTERS,
    "pattern": EVENT_ID_PATTERN,
}
_PERIOD = {"type": "string", "pattern": r"^\d{4}-(0[1-9]|1[0-2])(_\d{4}-(0[1-9]|1[0-2]))?$"}
_AS_OF_SCHEMA = {
    "oneOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 0, "maximum": 10**MOST_DIGITS - 1},
    ]
}


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Gridproof",
        version=RELEASE,
        openapi_router=Router(
            path=SCHEMA,
            route_handlers=[],
            include_in_schema=False,
            before_request=_page_for_people,
            opt={"policy": RoutePolicy(roles=ANYONE, is_constant=True)},
        ),
        render_plugins=[_WholeDocument()],
        security=[{"api_key": []}, {"session": []}],
        components=Components(
            security_schemes={
                "api_key": SecurityScheme(type="http", scheme="bearer", bearer_format="gpk_"),
                "session": SecurityScheme(type="apiKey", security_scheme_in="cookie", name=COOKIE),
            }
        ),
    )


def _page_for_people(request: Request[Any, Any, Any]) -> Response[bytes] | None:
    """The page at /schema if `Accept` prefers HTML, as browsers do; None: go on with the document."""
    if request.url.path.rstrip("/") != SCHEMA or preferred_form(request.headers.get("accept", "")) != "html":
        return None
    page = serve_static("schema.html", request)
    page.headers["Vary"] = "Accept, Accept-Encoding"
    return page


class _WholeDocument(JsonRenderPlugin):
    """Completed and encoded at the first request, once for an application."""

    _encoded: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._encoded is None:
            self._encoded = msgspec.json.encode(
                completed(openapi_schema, _bodies_of(request.app), route_policies(request.app))
            )
        return self._encoded


def _bodies_of(app: Litestar) -> list[Any]:
    """The types of request bodies, in the same order in every process."""
    handlers = (handler for route in app.routes for handler in getattr(route, "route_handlers", ()))
    fields = (handler.parsed_data_field for handler in handlers)
    return sorted({field.annotation for field in fields if field is not None}, key=str)


def completed(
    document: dict[str, Any], bodies: Collection[Any], policies: Mapping[str, RoutePolicy]
) -> dict[str, Any]:
    """Complete the document of the framework.

    It omits that unknown fields of bodies are refused, and the constraints on list items. msgspec, which decodes
    `bodies`, describes them instead.
    """
    publish_schema_names(document)
    schemas = document["components"]["schemas"]
    (problem, *_), components = msgspec.json.schema_components(
        [
            ProblemDocument,
            NotificationBody,
            NotificationAnswer,
            ModificationAnswer,
            SettlementBody,
            *bodies,
        ],
        ref_template=_REFERENCE + "{name}",
    )
    schemas.update(components)
    schemas[_PROBLEM] = problem
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                route = f"{method.upper()} {path}"
                _complete(item[method], route, policies[route])
    return document


def _complete(operation: dict[str, Any], route: str, policy: RoutePolicy) -> None:
    roles, responses = policy.roles, operation["responses"]
    responses.pop("400", None)  # the error format of the framework is not used
    if roles is None:
        operation["security"] = []
    else:
        operation["x-roles"] = sorted(roles)
        for status in (401, 403, 429):
            responses[str(status)] = _refusal(status)
    if route.startswith("GET ") and "200" in responses and "/api/" in route and policy.has_etag:
        responses["304"] = {"description": "Unchanged: `If-None-Match` names the current `ETag`"}
    responses["default"] = {
        "description": "A problem document; its `type` is a page about it",
        **_problem_content(400),
    }
    _correct(operation, route)
    operation["responses"] = deepcopy(responses)  # statuses that share a schema have examples of their own
    add_examples(operation, route)


def _correct(operation: dict[str, Any], route: str) -> None:
    """Correct what the framework describes wrongly."""
    responses = operation["responses"]
    if route in _RAW_ROUTES:
        answer = {"content": {"application/json": {"schema": {"$ref": _REFERENCE + _RAW_ROUTES[route]}}}}
        responses["202"] = {"description": "Accepted", **answer}
        responses["200"] = {"description": "Recorded before; the response as recorded", **answer}
        body = operation["requestBody"]["content"]["application/json"]
        body["schema"] = {"$ref": _REFERENCE + NotificationBody.__name__}
        if route.startswith("PATCH "):  # only the number says which of two is newer
            body["schema"] = {"allOf": [body["schema"], {"required": ["modification_number"]}]}
    _correct_settlement(operation, route)
    if route == "POST /api/history/uploads":
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "description": "The file", "content": content}
    if route == _MAINTENANCE:
        body = operation["requestBody"]["content"]["application/json"]
        body["schema"] = {"allOf": [body["schema"], _REASON_TO_START]}
    if route == "GET /ready":
        responses["503"] = {**responses["200"], "description": "Not ready; names what is missing"}
    for media_type, media in responses.get("200", {}).get("content", {}).items():
        media["schema"] = _LINE_SCHEMAS.get(media_type, media["schema"])
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _schema_of(parameter["name"], parameter["schema"])
    if "204" in responses:
        responses["204"].pop("content", None)  # 204 has no content


def _correct_settlement(operation: dict[str, Any], route: str) -> None:
    if route in _STATEMENTS:
        texts = {"text/html": "<!doctype html>", "text/csv": ",".join(COLUMNS)}
        operation["responses"]["200"]["content"].update(
            (media_type, {"schema": {"type": "string"}, "example": text})
            for media_type, text in texts.items()
        )
    if route == _SETTLE:  # an empty body is taken too, which the framework cannot describe
        schema = {"$ref": _REFERENCE + SettlementBody.__name__}
        operation["requestBody"] = {"required": False, "content": {"application/json": {"schema": schema}}}


def _schema_of(parameter: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter as it is sent: an absent one is left out, never null."""
    rest = {name: value for name, value in schema.items() if name != "oneOf"}
    if parameter == "revision":
        rest["minimum"] = 0  # the framework leaves a bound of 0 out
    options = [option for option in schema.get("oneOf", ()) if option != {"type": "null"}]
    if parameter == AS_OF and {"type": "string"} in options:
        return rest | _AS_OF_SCHEMA
    if parameter == "utility_event_id":
        return _UTILITY_EVENT_ID
    if parameter == "period":
        return _PERIOD
    if isinstance(rest.get("type"), list):
        rest["type"] = next(name for name in rest["type"] if name != "null")
        rest["enum"] = [value for value in rest["enum"] if value is not None]
    return rest | (options[0] if len(options) == 1 else {"oneOf": options} if options else {})


def _refusal(status: int) -> dict[str, Any]:
    titles = sorted({kind.title for kind in PROBLEM_TYPES.values() if kind.status == status})
    refusal: dict[str, Any] = {
        "description": "; ".join(titles),
        **_problem_content(status),
    }
    if status == 429:
        refusal["headers"] = {
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}, "required": True}
        }
    return refusal


def _problem_content(status: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE + _PROBLEM}
    return {"content": {MEDIA_TYPE: {"schema": schema, "example": problem_example(status)}}}
