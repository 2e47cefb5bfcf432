"""Routes of the dashboard: static files of one page, which calls the API with the session of its user."""

import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from litestar import Controller, Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath

from interfaces.web.middleware.conditional import tag_matches, wants_gzip
from interfaces.web.middleware.raw_headers import list_header_of
from interfaces.web.problems import Problem
from interfaces.web.route_policy import ANYONE, RoutePolicy

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}


class StaticFile(NamedTuple):
    content: bytes
    media_type: str
    etag: str
    """A weak tag: the plain and the compressed form have the same."""
    compressed: bytes
    """The content in gzip, which browsers load."""


@cache
def static_files() -> dict[str, StaticFile]:
    """Every file of the page by its path below `static`. Nothing else is served."""
    return dict(_below(files("interfaces.web").joinpath("static"), ""))


def _below(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found: list[tuple[str, StaticFile]] = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        ending = name[name.rfind(".") :]
        if entry.is_dir():
            found += _below(entry, f"{name}/")
        elif ending in MEDIA_TYPES:
            content = entry.read_bytes()
            etag = f'W/"{sha256(content).hexdigest()[:32]}"'
            found.append(
                (
                    name,
                    StaticFile(
                        content,
                        MEDIA_TYPES[ending],
                        etag,
                        gzip.compress(content, mtime=0),
                    ),
                )
            )
    return found


class DashboardController(Controller):
    path = "/"
    include_in_schema = False
    tags = ("dashboard",)

    @get(
        "/",
        sync_to_thread=False,
        policy=RoutePolicy(roles=ANYONE),
    )
    def page(self, request: Request[Any, Any, State]) -> Response[bytes]:
        return serve_static("index.html", request)

    @get(
        "/static/{name:path}",
        sync_to_thread=False,
        policy=RoutePolicy(roles=ANYONE),
    )
    def static(self, request: Request[Any, Any, State], name: FromPath[str]) -> Response[bytes]:
        return serve_static(name.removeprefix("/"), request)


def serve_static(name: str, request: Request[Any, Any, State]) -> Response[bytes]:
    """The file, or 304 if the browser has it. Raises Problem (404)."""
    found = static_files().get(name)
    if found is None:
        raise Problem("not-found", "the page has no such file")
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-cache",
        "ETag": found.etag,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
    }
    if tag_matches(list_header_of(request.scope["headers"], b"if-none-match"), found.etag.encode()):
        return Response(b"", status_code=304, media_type=found.media_type, headers=headers)
    if wants_gzip(list_header_of(request.scope["headers"], b"accept-encoding"), len(found.content)):
        headers["Content-Encoding"] = "gzip"
        return Response(found.compressed, media_type=found.media_type, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
