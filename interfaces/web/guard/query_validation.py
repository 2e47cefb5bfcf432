"""Strict validation of query parameters, where the framework is more lenient than the OpenAPI document.

The framework uses the last value of a repeated parameter, treats `null` as absent, and accepts a bare number as a time:
a request would do something else than its sender intended.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.enums import ParamType
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg
from litestar.typing import FieldDefinition

from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.routes import AS_OF, READS_PAST

READING = frozenset({"GET", "HEAD"})
MAX_PARAMETERS = 100
"""Unknown ones included. A head may contain twenty thousand, which would block the event loop."""


def check_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Check the parameters that `handler` takes, and note `as_of`; unknown ones are ignored. Raises Problem (400)."""
    query = connection.scope["query_string"]
    try:
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        detail = (
            f"the query has more than {MAX_PARAMETERS} parameters; leave out what the operation does not take"
        )
        raise Problem("invalid-request", detail) from None
    if any(name == AS_OF for name, _ in given):
        connection.scope[READS_PAST] = True  # type: ignore[literal-required]
        _check_has_history(connection, handler)
    taken = dict(_taken_by(handler))
    reasons = [
        ProblemReason(code="invalid_field", detail=detail, field=name)
        for name, detail in _wrong([(name, value) for name, value in given if name in taken], taken)
    ]
    if reasons:
        named = ", ".join(dict.fromkeys(f"`{reason.field}`" for reason in reasons))
        raise Problem("invalid-request", f"wrong in the query: {named}", tuple(reasons))


def _check_has_history(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse `as_of` on a read without history: it would return the present state for a past one."""
    method = str(connection.scope["method"])  # type: ignore[typeddict-item]
    if method not in READING or AS_OF in handler.parsed_fn_signature.parameters:
        return
    detail = (
        "this resource has no history: without `as_of` it shows the present state. DR events, facilities, the "
        "portfolio, forecasts and the audit trail have one; past load is at `/history`"
    )
    raise Problem("invalid-request", detail, (ProblemReason(code="no_history", detail=detail, field=AS_OF),))


def _taken_by(handler: BaseRouteHandler) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Name in the query, and types, of each parameter."""
    for field in handler.parsed_fn_signature.parameters.values():
        described = field.kwarg_definition
        if isinstance(described, ParameterKwarg) and described.param_type == ParamType.QUERY:
            yield described.name or field.name, _types_of(field)


def _types_of(field: FieldDefinition) -> tuple[Any, ...]:
    return get_args(field.annotation) or (field.annotation,)


def _wrong(given: list[tuple[str, str]], taken: dict[str, tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    """Name and advice for each wrong parameter."""
    for name, count in Counter(name for name, _ in given).items():
        if count > 1:
            yield name, "is given more than once; give it once"
    for name, value in dict(given).items():
        types = taken[name]
        if str in types:
            continue
        if value.lower() == "null":
            yield name, "`null` is not a value; leave the parameter out"
        elif datetime in types and not (value[:4].isdigit() and value[4:5] == "-"):
            yield name, "Expected a time as in RFC 3339, such as 2026-07-14T21:00:00Z"
