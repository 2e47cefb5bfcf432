"""A DR event that is requested, carried out and measured while a test looks on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx

FACILITIES = tuple(f"fac-{number:03}" for number in range(1, 6))
QUARTER = timedelta(minutes=15)
LEAD = timedelta(minutes=12)
"""A little more than the program's notice."""
WINDOW = timedelta(minutes=30)
TARGET_KW = 150.0


class RunningSystem(Protocol):
    """Of any release; its clock runs fast."""

    @property
    def callback_url(self) -> str: ...

    def now(self) -> datetime: ...

    def request(
        self, role: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response: ...

    def get(self, path: str) -> Any: ...

    def document(self, *arguments: object) -> Any: ...


def import_what_meters_missed(system: RunningSystem, file: Path, *, since: datetime) -> None:
    """Import the load between the dump and the start, because forecasts need nine tenths of the last day."""
    last = next_quarter(system.now()) - QUARTER
    first = next_quarter(since - timedelta(hours=2))
    span = ["--from", first - timedelta(hours=1), "--to", last]
    with file.open("w", newline="") as content:
        rows = csv.writer(content)
        rows.writerow(["facility", "timestamp", "load_kwh"])
        for facility_id in FACILITIES:
            steps = system.document("telemetry", "history", facility_id, *map(_text, span))["steps"]
            kwh = next(step["kwh"] for step in steps if step["kwh"])
            rows.writerows(
                [facility_id, (first + QUARTER * number).isoformat(), kwh]
                for number in range((last - first) // QUARTER)
            )
    system.document("telemetry", "import", file)


def is_forecast_fully(system: RunningSystem, facility_id: str) -> bool:
    answer = system.request("admin", "GET", f"/api/facilities/{facility_id}/forecast")
    return answer.status_code == 200 and answer.json()["data_quality"] == "full"


def requested_dr_event(system: RunningSystem, event_id: str, *, after: timedelta = LEAD) -> str:
    """Request a DR event of all facilities from the next quarter on; its path."""
    starts_at = next_quarter(system.now() + after)
    notification = {
        "notification_id": f"n-{event_id}",
        "event_id": event_id,
        "program": "summer-peak",
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + WINDOW).isoformat(),
        "target_reduction_kw": TARGET_KW,
        "facility_ids": list(FACILITIES),
        "callback_url": system.callback_url,
    }
    answer = system.request("utility", "POST", "/webhooks/utility/dr-notification", notification)
    assert answer.status_code == 202, answer.text
    return f"/api/dr-events/{answer.json()['dr_event_id']}"


def is_over(system: RunningSystem, path: str) -> bool:
    """Completed, measured, and everything about it reported to the utility."""
    answer = system.request("admin", "GET", path)
    if answer.status_code != 200:
        return False  # not in the read model yet
    row = answer.json()
    callbacks = row["callbacks"].values()
    return (
        row["status"] == "completed"
        and row["settlement_status"] != "none"
        and any(callback["kind"] == "measured" for callback in callbacks)
        and all(callback["state"] != "requested" for callback in callbacks)
    )


def next_quarter(moment: datetime) -> datetime:
    quarter_s = int(QUARTER.total_seconds())
    return datetime.fromtimestamp(-(-int(moment.timestamp()) // quarter_s) * quarter_s, tz=UTC)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
