"""The request class of the application: any JSON body that cannot be decoded is a bad request."""

from typing import Any, cast

from litestar import Request

from interfaces.web.problems import DECODED_BODY, Problem


class BoundedRequest(Request[Any, Any, Any]):
    """A request whose JSON body may be nested too deeply for the decoder."""

    async def json(self) -> Any:
        """Raises the problem `malformed-body` where the framework only expects errors of syntax."""
        try:
            decoded = await super().json()
        except (RecursionError, UnicodeDecodeError):
            raise Problem("malformed-body", "the body is nested too deeply, or is not UTF-8") from None
        cast("dict[str, Any]", self.scope)[DECODED_BODY] = decoded
        return decoded
