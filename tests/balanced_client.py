"""A client that calls several web processes as through a balancer, and the requests of people and of a utility."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import httpx

ANSWERED_WITHIN_S = 60.0
PAUSE_S = 0.02
SLOTS = 1_000
"""Notifications after so many ask for the first windows again."""
Requests = Callable[[int], httpx.Request]
"""The next request by its number, without its server."""


@dataclass
class BalancedClient:
    """Takes the servers in turn: one that does not take a request, or closes the connection without an answer, is
    passed over for the next."""

    servers: Sequence[httpx.URL]
    request: Requests
    pause_s: float = PAUSE_S
    answers: list[httpx.Response] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    """Error of a connection -> how often."""
    longest_s: float = 0.0

    def run(self, stop: Event) -> None:
        with httpx.Client(timeout=ANSWERED_WITHIN_S) as http:
            number = 0
            while not stop.wait(self.pause_s):
                began = time.monotonic()
                self._send(http, self.request(number), number)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                number += 1

    def _send(self, http: httpx.Client, request: httpx.Request, number: int) -> None:
        first = number % len(self.servers)
        for server in (*self.servers[first:], *self.servers[:first]):
            request.url = request.url.copy_with(host=server.host, port=server.port)
            request.headers["Host"] = f"{server.host}:{server.port}"
            try:
                answer = http.send(request)
            except httpx.TransportError as error:
                self.passed_over[type(error).__name__] += 1
                continue
            self.answers.append(answer)
            if answer.status_code >= 500 or answer.status_code == 429:
                self.failed.append(f"{answer.status_code} {request.url}: {answer.text[:300]}")
            return
        self.failed.append(f"no server took {request.url}")


def reads(key: str, paths: Sequence[str]) -> Requests:
    """GET of each path in turn."""

    def request(number: int) -> httpx.Request:
        path = paths[number % len(paths)]
        return httpx.Request("GET", f"http://web{path}", headers={"Authorization": f"Bearer {key}"})

    return request


def notifications(
    key: str, *, facility_ids: Sequence[str], program_id: str, begin: datetime, target_kw: float = 20.0
) -> Requests:
    """Each asks for another six hours from `begin` on; what is sent again has the same id."""
    run = secrets.token_hex(4)

    def request(number: int) -> httpx.Request:
        starts_at = begin + timedelta(hours=6 * (number % SLOTS))
        body: dict[str, Any] = {
            "notification_id": f"n-{run}-{number}",
            "event_id": f"e-{run}-{number}",
            "modification_number": 0,
            "program": program_id,
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + timedelta(minutes=30)).isoformat(),
            "target_reduction_kw": target_kw,
            "facility_ids": list(facility_ids),
            "priority": 1,
        }
        authorized = {"Authorization": f"Bearer {key}"}
        return httpx.Request(
            "POST", "http://web/webhooks/utility/dr-notification", json=body, headers=authorized
        )

    return request
