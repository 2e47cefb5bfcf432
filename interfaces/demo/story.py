"""The story: a utility posts a DR event through the real webhook, and it is followed to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

from application.facility.portfolio_entries import Portfolio
from application.ports.clock import Clock
from application.ports.forecast.forecast_book import ForecastBook
from interfaces.demo.api import ApiClient
from interfaces.demo.cast import Cast
from interfaces.demo.options import TARGET_SHARE, WINDOW
from interfaces.simulators.sample_portfolio import PROGRAM_ID

QUARTER = timedelta(minutes=15)
LEAD = timedelta(minutes=11)
"""A little more than the program's notice."""
POSTED_WITHIN_S = 5.0
"""Wall seconds that the posts may take until the door judges the last of them; the clock may run a hundred times as
fast, so that they are minutes of the notice."""
SETTLE = timedelta(minutes=25)
"""Clock time after the end within which all must be over."""
FORECASTS_WITHIN_S = 180.0
"""Patience for a machine that does much else; where a forecast is missing for good, it is only told later."""
POLL_S = 0.1
WEBHOOK = "/webhooks/utility/dr-notification"
Say = Callable[[str], None]


class DemoFailed(RuntimeError):
    """The story could not be told to its end; the text says where it stopped."""


class Story:
    """What the utility and an operator do, over HTTP alone."""

    def __init__(self, utility: ApiClient, operator: ApiClient, clock: Clock, say: Say) -> None:
        self._utility = utility
        self._operator = operator
        self._clock = clock
        self._say = say

    def wait_for_forecasts(self, forecasts: ForecastBook, cast: Cast) -> None:
        """Until every asked facility has one. Raises DemoFailed."""
        deadline = time.monotonic() + FORECASTS_WITHIN_S
        while time.monotonic() < deadline:
            found = forecasts.newest_of(cast.asked, at=self._clock.now())
            if len(found) == len(cast.asked):
                full = sum(forecast.data_quality == "full" for forecast in found.values())
                self._say(
                    f"{len(found)} facilities forecast from their meters and the weather ({full} of full quality)"
                )
                return
            time.sleep(POLL_S)
        missing = sorted(set(cast.asked) - set(forecasts.newest_of(cast.asked, at=self._clock.now())))
        raise DemoFailed(f"no forecast for {len(missing)} facilities, {', '.join(missing[:3])} among them")

    def post(self, portfolio: Portfolio, cast: Cast, callback_url: str) -> tuple[str, datetime]:
        """Ask for all facilities (refused: one is in maintenance), then for the others: (id, end of the window)."""
        meanwhile = timedelta(seconds=POSTED_WITHIN_S / self._clock.wall_seconds(1.0))
        starts_at = _next_quarter(self._clock.now() + LEAD + meanwhile)
        asked = set(cast.asked)
        declared_kw = sum(
            zone.curtailable_kw for f in portfolio.facilities if f.facility_id in asked for zone in f.zones
        )
        notification: dict[str, Any] = {
            "notification_id": "n-1",
            "event_id": "UTIL-2026-0042",
            "modification_number": 0,
            "program": PROGRAM_ID,
            "starts_at": _text(starts_at),
            "ends_at": _text(starts_at + WINDOW),
            "target_reduction_kw": round(declared_kw * TARGET_SHARE, 1),
            "facility_ids": list(cast.facility_ids),
            "priority": 1,
            "callback_url": callback_url,
        }
        refused = self._utility.post(WEBHOOK, notification)
        if refused.status != 422:
            raise DemoFailed(f"a facility in maintenance was not refused: {refused.status} {refused.body}")
        reasons = ", ".join(f"{r['code']} ({r['facility_id']})" for r in refused.body["reasons"])
        self._say(f"the utility asks for {len(cast.facility_ids)} facilities: refused at the door, {reasons}")
        accepted = self._utility.post(
            WEBHOOK, notification | {"notification_id": "n-2", "facility_ids": list(cast.asked)}
        )
        if accepted.status != 202:
            raise DemoFailed(f"the DR event was not accepted: {accepted.status} {accepted.body}")
        self._say(
            f"it asks for the other {len(cast.asked)}: accepted, {notification['target_reduction_kw']:,} kW "
            f"from {starts_at:%H:%M} to {starts_at + WINDOW:%H:%M} UTC"
        )
        return accepted.body["dr_event_id"], starts_at + WINDOW

    def follow(self, dr_event_id: str, ends_at: datetime) -> bool:
        """Until it is completed, measured and told, or its time is over; says each change of state.

        Whether all was over in time.
        """
        last = ""
        while self._clock.now() < ends_at + SETTLE:
            row = self._row(dr_event_id)
            if row is not None and row["status"] != last:
                last = row["status"]
                self._say(f"{self._clock.now():%H:%M:%S} the DR event is {last}")
            if row is not None and last == "completed" and _is_settled(row):
                return True
            time.sleep(POLL_S)
        return False

    def _row(self, dr_event_id: str) -> dict[str, Any] | None:
        """None where the web worker or its database does not answer: both are started again when they die."""
        try:
            answer = self._operator.get(f"/api/dr-events/{dr_event_id}")
        except (OSError, HTTPException):
            return None
        return answer.body if answer.status == HTTPStatus.OK else None


def _is_settled(row: dict[str, Any]) -> bool:
    return row["settlement_status"] == "measured" and _all_told(row)


def _all_told(row: dict[str, Any]) -> bool:
    """Whether the last thing to tell was asked for, and nothing waits to be told."""
    callbacks = row["callbacks"].values()
    return any(callback["kind"] == "measured" for callback in callbacks) and all(
        callback["state"] != "requested" for callback in callbacks
    )


def _next_quarter(moment: datetime) -> datetime:
    quarter_s = int(QUARTER.total_seconds())
    return datetime.fromtimestamp(-(-int(moment.timestamp()) // quarter_s) * quarter_s, tz=moment.tzinfo)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
