"""The running system as its users see it: over HTTP, with an API key."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import msgspec

TIMEOUT_S = 15.0


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: Any


class ApiClient:
    """A few calls, one after the other."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def get(self, path: str) -> Answer:
        return self._call("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}{path}", data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return Answer(answer.status, _decoded(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _decoded(error.read()))


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
