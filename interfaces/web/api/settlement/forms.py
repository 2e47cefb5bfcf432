"""Forms of a statement: JSON, a printable page, or records for a spreadsheet, as `Accept` asks for."""

from base64 import b64encode
from hashlib import sha256
from typing import Literal

from litestar import Response

from interfaces.settlement.statement.page import STYLE
from interfaces.web.guard.access import ApiRequest

Form = Literal["json", "html", "csv"]
MEDIA_TYPES: dict[str, Form] = {"application/json": "json", "text/html": "html", "text/csv": "csv"}
MOST_RANGES = 32
"""Media ranges of `Accept` that are read; further ones are ignored."""
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
PAGE_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
"""`Content-Security-Policy` of a statement: its own style, no script, nothing from elsewhere."""
_TYPES: dict[Form, str] = {form: media_type for media_type, form in MEDIA_TYPES.items()}
"""The framework adds `charset=utf-8` to texts."""


def preferred_form(accept: str) -> Form:
    """The form that an `Accept` header prefers (RFC 9110): JSON unless it names another one and prefers it."""
    best: tuple[float, Form] = (0.0, "json")
    for one in accept.lower().split(",", MOST_RANGES)[:MOST_RANGES]:
        media_type, *parameters = (part.strip() for part in one.split(";"))
        form = MEDIA_TYPES.get(media_type)
        if form is not None and (weight := _weight(parameters)) > best[0]:
            best = weight, form
    return best[1]


def _weight(parameters: list[str]) -> float:
    """1 if none is given, 0 if it is invalid."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0


def form_of(request: ApiRequest) -> Form:
    return preferred_form(request.headers.get("accept", ""))


def in_form(body: bytes, form: Form, *, file_name: str) -> Response[bytes]:
    """The response with that body. `file_name`: without its suffix, for whoever saves it."""
    headers = {"Vary": "Accept"}
    if form == "html":
        headers["Content-Security-Policy"] = PAGE_POLICY
    if form != "json":
        headers["Content-Disposition"] = f'inline; filename="{file_name}.{form}"'
    return Response(body, media_type=_TYPES[form], headers=headers)
