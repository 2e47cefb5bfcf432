"""A client of the running system's HTTP API, with an API key."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec

TIMEOUT_S = 60.0


class Response(msgspec.Struct, frozen=True):
    status: int
    body: Any


class ApiClient:
    """Synchronous calls, one connection each."""

    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url).netloc
        self._key = key

    def get(self, path: str) -> Response:
        return self._call("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Response:
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Response:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Response(response.status, _decoded(response.read()))
        finally:
            connection.close()


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
