"""The scenario: a utility posts a DR event to the webhook, and the demo follows it to its end."""

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
from domain.forecast import quality_at
from interfaces.demo.api import ApiClient
from interfaces.demo.facility_roles import FacilityRoles
from interfaces.demo.options import TARGET_SHARE, WINDOW
from interfaces.simulators.sample_portfolio import PROGRAM_ID

QUARTER = timedelta(minutes=15)
LEAD = timedelta(minutes=11)
"""A little more than the program's notification lead."""
POSTED_WITHIN_S = 10.0
"""Wall seconds allowed for both posts. At 100 times real time these are minutes of the notification lead."""
COMPLETED_WITHIN = timedelta(minutes=25)
"""Clock time after the window's end within which the DR event must be completed and settled."""
RESETTLED_WITHIN = timedelta(minutes=45)
"""Clock time within which a corrected reading must have led to another settlement."""
LEAST_WALL_S = 120.0
"""Of both: at 100 times real time 25 minutes are 15 s, in which a busy machine does not finish."""
FORECASTS_WITHIN_S = 180.0
"""Long enough for a busy machine."""
POLL_S = 0.1
WEBHOOK = "/webhooks/utility/dr-notification"
Report = Callable[[str], None]


class DemoFailed(RuntimeError):
    """The scenario stopped early; the text says where."""


class Scenario:
    """The utility's and the operator's calls, all over HTTP."""

    def __init__(self, utility: ApiClient, operator: ApiClient, clock: Clock, report: Report) -> None:
        self._utility = utility
        self._operator = operator
        self._clock = clock
        self._report = report

    def wait_for_forecasts(self, forecasts: ForecastBook, roles: FacilityRoles) -> None:
        """Wait until every requested facility has a forecast of full quality: any other one blocks its dispatch. Raises
        DemoFailed.

        On a busy machine the first readings arrive late. After the time limit a forecast of any quality will do.
        """
        deadline = time.monotonic() + FORECASTS_WITHIN_S
        while True:
            now = self._clock.now()
            newest = forecasts.newest_of(roles.requested, at=now)
            qualities = [quality_at(one.data_quality, one.cycle_start, now) for one in newest.values()]
            full, is_over = qualities.count("full"), time.monotonic() > deadline
            if len(newest) == len(roles.requested) and (full == len(newest) or is_over):
                self._report(
                    f"{len(newest)} facilities have a forecast from meters and weather ({full} of full quality)"
                )
                return
            if is_over:
                missing = sorted(set(roles.requested) - set(newest))
                raise DemoFailed(
                    f"no forecast for {len(missing)} facilities, for example {', '.join(missing[:3])}"
                )
            time.sleep(POLL_S)

    def post(self, portfolio: Portfolio, roles: FacilityRoles, callback_url: str) -> tuple[str, datetime]:
        """Request all facilities, which is rejected since one is in maintenance, then the others.

        Returns the DR event's id and the end of its window. Raises DemoFailed.
        """
        meanwhile = timedelta(seconds=POSTED_WITHIN_S / self._clock.wall_seconds(1.0))
        starts_at = _next_quarter(self._clock.now() + LEAD + meanwhile)
        requested = set(roles.requested)
        declared_kw = sum(
            zone.curtailable_kw
            for f in portfolio.facilities
            if f.facility_id in requested
            for zone in f.zones
        )
        notification: dict[str, Any] = {
            "notification_id": "n-1",
            "event_id": "UTIL-2026-0042",
            "modification_number": 0,
            "program": PROGRAM_ID,
            "starts_at": _text(starts_at),
            "ends_at": _text(starts_at + WINDOW),
            "target_reduction_kw": round(declared_kw * TARGET_SHARE, 1),
            "facility_ids": list(roles.facility_ids),
            "priority": 1,
            "callback_url": callback_url,
        }
        rejected = self._utility.post(WEBHOOK, notification)
        if rejected.status != 422:
            raise DemoFailed(
                f"a request with a facility in maintenance was not rejected: {rejected.status} {rejected.body}"
            )
        reasons = ", ".join(f"{r['code']} ({r['facility_id']})" for r in rejected.body["reasons"])
        self._report(f"the utility asks for {len(roles.facility_ids)} facilities: rejected, {reasons}")
        accepted = self._utility.post(
            WEBHOOK, notification | {"notification_id": "n-2", "facility_ids": list(roles.requested)}
        )
        if accepted.status != 202:
            raise DemoFailed(f"the DR event was not accepted: {accepted.status} {accepted.body}")
        self._report(
            f"it asks for the other {len(roles.requested)}: accepted, {notification['target_reduction_kw']:,} kW "
            f"from {starts_at:%H:%M} to {starts_at + WINDOW:%H:%M} UTC"
        )
        return accepted.body["dr_event_id"], starts_at + WINDOW

    def follow(self, dr_event_id: str, ends_at: datetime) -> bool:
        """Report each change of state until the DR event is completed, settled and reported to the utility.

        Returns false if that takes longer than COMPLETED_WITHIN, and LEAST_WALL_S.
        """
        last = ""
        until = ends_at + self._at_least(COMPLETED_WITHIN)
        while self._clock.now() < until:
            row = self._row(dr_event_id)
            if row is not None and row["status"] != last:
                last = row["status"]
                self._report(f"{self._clock.now():%H:%M:%S} the DR event is {last}")
            if row is not None and last == "completed" and _is_settled(row):
                return True
            time.sleep(POLL_S)
        return False

    def wait_for_resettlement(self, dr_event_id: str) -> bool:
        """Wait until it was settled again and reported; false if that takes longer than RESETTLED_WITHIN, and
        LEAST_WALL_S."""
        until = self._clock.now() + self._at_least(RESETTLED_WITHIN)
        while self._clock.now() < until:
            row = self._row(dr_event_id)
            if row is not None and row["settlement_status"] == "resettled" and _is_settled(row):
                self._report(f"{self._clock.now():%H:%M:%S} the DR event is settled again")
                return True
            time.sleep(POLL_S)
        return False

    def _at_least(self, within: timedelta) -> timedelta:
        """Clock time: `within`, or LEAST_WALL_S if these are longer."""
        return max(within, timedelta(seconds=LEAST_WALL_S / self._clock.wall_seconds(1.0)))

    def _row(self, dr_event_id: str) -> dict[str, Any] | None:
        """The DR event as the API returns it; None while the web worker or the database does not respond."""
        try:
            response = self._operator.get(f"/api/dr-events/{dr_event_id}")
        except (OSError, HTTPException):
            return None
        return response.body if response.status == HTTPStatus.OK else None


def _is_settled(row: dict[str, Any]) -> bool:
    """True if the last callback, that of the settlement, was requested, and no callback is still pending."""
    last = {"settled": "settled", "resettled": "resettled", "not_settled": "measured"}.get(
        row["settlement_status"]
    )
    callbacks = row["callbacks"].values()
    return any(callback["kind"] == last for callback in callbacks) and all(
        callback["state"] != "requested" for callback in callbacks
    )


def _next_quarter(moment: datetime) -> datetime:
    quarter_s = int(QUARTER.total_seconds())
    return datetime.fromtimestamp(-(-int(moment.timestamp()) // quarter_s) * quarter_s, tz=moment.tzinfo)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
