"""The request class: a JSON body that cannot be decoded, or has another form than its document, is a bad request."""

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Request

from application.field_problems import wrong_fields
from domain.event_sourcing.decoders import converted
from interfaces.web.problems import WRONG_FIELDS, Problem, ProblemReason


class BoundedRequest(Request[Any, Any, Any]):
    """A request whose JSON body may be nested too deeply for the decoder.

    The framework itself takes 0 for false and "3" for 3, against the document of the API.
    """

    async def json(self) -> Any:
        """Raises the problems `malformed-body`, where the framework only expects errors of syntax, and
        `invalid-request` with every wrong field."""
        try:
            decoded = await super().json()
        except (RecursionError, UnicodeDecodeError):
            raise Problem("malformed-body", "the body is nested too deeply, or is not UTF-8") from None
        expected = self.scope["route_handler"].parsed_data_field
        if expected is not None:
            _check(decoded, expected.annotation)
        return decoded


def _check(decoded: Any, kind: Any) -> None:
    try:
        converted(decoded, kind)
    except msgspec.ValidationError as error:
        named = tuple(_reasons(decoded, kind))
        unnamed = (ProblemReason(code="invalid_field", detail=str(error), field="body"),)
        raise Problem("invalid-request", WRONG_FIELDS, named or unnamed) from None


def _reasons(decoded: Any, kind: Any) -> Iterator[ProblemReason]:
    for problem in wrong_fields(decoded, kind):
        path, _, detail = problem.partition(": ")
        yield ProblemReason(code="invalid_field", detail=detail, field=path)
