"""The answers of a web process until PostgreSQL has answered it: it lives, and what it waits for."""

from typing import Any, Literal

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException

RETRY_AFTER_S = 5


class Starting(msgspec.Struct, frozen=True):
    status: Literal["starting"] = "starting"
    waiting_for: str = "postgresql"


@get("/health")
async def health() -> Starting:
    """A platform must not restart the process: it would only wait again."""
    return Starting()


def _not_yet(_request: Request[Any, Any, Any], _error: Exception) -> Response[Starting]:
    return Response(Starting(), status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})


def starting_app() -> Litestar:
    """Every path but `/health` is a 503."""
    return Litestar([health], exception_handlers={HTTPException: _not_yet}, openapi_config=None)
