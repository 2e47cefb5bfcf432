"""Answers that are hard to lay out: the examples of all routes, with long names, many reasons and much trouble."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.interfaces.web.declared_policies import POLICIES

EXAMPLES = Path(__file__).parents[2] / "interfaces/web/openapi/examples.json"
DR_EVENT = "7c1e94d8-52fa-5b60-9d3e-4a8f0c2b6e17"
FACILITIES = (
    "gymnasium_fuerstenried_west_turnhalle_und_mensa_erweiterungsbau",
    "north-harbour-community-college-of-technology-main-campus-17",
    "fac-001",
    "cam_b105",
    "steel_kr",
    "new-site",
)
PROGRAM = "summer-peak-capacity-and-energy-large-commercial-and-industrial"
UTILITY = "metropolitan-water-and-power-department-of-the-western-district"
EVENT = "util-2026-0042-emergency-curtailment-western-district-feeder-17"
REASON = (
    "zone-1 refused: the chiller is in its minimum run time until 2026-07-14T22:05:00Z, "
    "and the setpoint is held by a person in the control room"
)
NOW = datetime(2026, 7, 14, 19, 0, tzinfo=UTC)
START, END = NOW - timedelta(minutes=20), NOW + timedelta(minutes=25)


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _page(items: list[Any]) -> dict[str, Any]:
    return {"items": items, "next_cursor": None}


def _dispatches(example: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"starts_at": iso(START), "ends_at": iso(END), "target_kw": 12345.6}
    none = {
        "delivered_kw": None,
        "measurement": None,
        "prepared_at": None,
        "committed_at": None,
        "restored_at": None,
    }
    blocked = {"status": "blocked", "data_quality": "degraded_no_weather_and_stale_data"}
    blocked |= {"what_went_wrong": "blocked: its forecast is degraded_no_weather_and_stale_data"}
    failing = {"status": "restore_failed", "committed_at": iso(START), "prepared_at": iso(START)}
    failing |= {
        "what_went_wrong": f"not restored: {REASON}",
        "override_reason": "the meter is back, I called the building",
    }
    opted = {"status": "aborted", "left": "opted_out", "what_went_wrong": f"opted out: {REASON}"}
    failed = {"status": "failed", "failure": "timeout", "what_went_wrong": f"commit: {REASON}"}
    restoring = {"status": "restoring", "committed_at": iso(START), "prepared_at": iso(START)}
    measured = {"not_measurable_reason": "fewer than 5 of its 10 days have readings of at least 95 %"}
    changes: tuple[dict[str, Any], ...] = (
        none | blocked,
        none | failing,
        none | restoring,
        none | opted,
        none | failed | measured,
        {},
    )
    return [
        example | common | {"facility_id": name} | change
        for name, change in zip(FACILITIES, changes, strict=True)
    ]


def _rows(example: dict[str, Any]) -> list[dict[str, Any]]:
    rejected = {
        "dr_event_id": DR_EVENT.replace("e17", "e18"),
        "status": "rejected",
        "outcome": None,
        "delivered_kw": None,
        "reasons": [
            {
                "facility_id": name,
                "code": "not_enrolled",
                "detail": f"{name} is not enrolled in {PROGRAM} at 2026-07-14T18:30:00Z",
            }
            for name in FACILITIES
        ],
    }
    return [
        example,
        example | rejected,
        example
        | {"dr_event_id": DR_EVENT.replace("e17", "e19"), "status": "completed", "outcome": "partial"},
    ]


def _quarters(first: datetime, number: int, value: Any) -> list[dict[str, Any]]:
    step = timedelta(minutes=15)
    starts = (first + n * step for n in range(number))
    return [{"starts_at": iso(at), "ends_at": iso(at + step)} | value(n) for n, at in enumerate(starts)]


def _band(n: int) -> dict[str, Any]:
    return {"kw": {"p10": 52100.0 + 90 * n, "p50": 57900.5 + 90 * n, "p90": 64020.2 + 90 * n}}


def _alerts() -> list[dict[str, Any]]:
    about = (
        ("restore_failing", f"{FACILITIES[2]}/zone-1", "page"),
        ("bms_drift", FACILITIES[0], "warning"),
        ("batch_below_80_percent", DR_EVENT, "critical"),
        ("degraded_forecast", FACILITIES[1], "warning"),
    )
    none = dict.fromkeys(
        ("cleared_at", "acknowledged_at", "acknowledged_by", "acknowledgement", "cleared_by", "clear_reason")
    )
    return [
        none
        | {"alert_id": n, "name": name, "subject": subject, "severity": severity, "detail": REASON}
        | {"raised_at": iso(NOW), "last_seen_at": iso(NOW)}
        for n, (name, subject, severity) in enumerate(about)
    ]


def answers() -> dict[str, Any]:
    """Path -> body, for every route that only reads; a route that is new answers its example."""
    routes = json.loads(EXAMPLES.read_text())["routes"]
    found = {
        path: _with_long_names(routes[name]["answers"]["200"], facility)
        for name in routes
        if name.startswith("GET ")
        for path, facility in _paths_of(name)
    }
    return found | _changed(found)


def answers_for(session: Mapping[str, Any]) -> dict[str, tuple[int, Any]]:
    """Path -> status and body, as somebody who signed in so gets them."""
    given = {path: (200, body) for path, body in answers().items()}
    for name, policy in POLICIES.items():
        is_bound = bool(session.get("facility_id"))
        is_refused = policy.roles is not None and session["role"] not in policy.roles
        if name.startswith("GET ") and (is_refused or (is_bound and not policy.one_facility)):
            refused = {"type": "/problems/forbidden", "title": "This key may not do that", "detail": name}
            given |= {path: (403, refused) for path, _ in _paths_of(name)}
    return given


def _paths_of(name: str) -> Iterator[tuple[str, str]]:
    """`GET /path/{parameter}` -> each path that is answered, with the facility that it is about."""
    ids = {"dr_event_id": DR_EVENT, "program_id": PROGRAM, "period": "2026-07"}
    for facility in FACILITIES if "{facility_id}" in name else FACILITIES[:1]:
        known = ids | {"facility_id": facility}
        yield re.sub(r"\{(\w+)\}", lambda of: known.get(of[1], "1"), name.removeprefix("GET ")), facility  # noqa: B023


def _with_long_names(body: Any, facility: str) -> Any:
    written = json.dumps(body)
    for name, long in (
        ("fac-001", facility),
        ("summer-peak", PROGRAM),
        ("winter-peak", PROGRAM),
        ("city-power", UTILITY),
        ("UTIL-1", EVENT),
    ):
        written = written.replace(f'"{name}"', f'"{long}"')
    return json.loads(written)


def _changed(found: dict[str, Any]) -> dict[str, Any]:
    at = f"/api/dr-events/{DR_EVENT}"
    row = found[at] | {
        "status": "active",
        "outcome": None,
        "starts_at": iso(START),
        "ends_at": iso(END),
        "prepare_at": iso(START - timedelta(minutes=1)),
        "facility_ids": list(FACILITIES),
        "failed_facilities": list(FACILITIES),
        "opted_out_facilities": list(FACILITIES[:2]),
        "reasons": [{"facility_id": FACILITIES[0], "code": "degraded", "detail": REASON}],
        "target_kw": 123456.7,
        "capacity_kw": 234567.8,
    }
    facilities = [found[f"/api/facilities/{name}"] | {"facility_id": name} for name in FACILITIES]
    troubled = {
        "status": "maintenance",
        "status_reason": REASON,
        "groups": ["schools", PROGRAM],
        "weather_cell": "muc",
    }
    facilities[0] |= troubled | {
        "programs": [PROGRAM, "winter-peak"],
        "bms_address": f"https://bms.example/{'soap/' * 20}",
    }
    letters = [
        found["/api/dead-letters"]["items"][0]
        | {"subject": FACILITIES[0], "queue": "telemetry_batch", "reason": REASON}
    ]
    history = _quarters(
        NOW - timedelta(days=1), 90, lambda n: {"kw": None if n % 9 == 4 else 118.2, "coverage_pct": 100.0}
    )
    an_hour = timedelta(hours=1)
    around = {
        "starts_at": iso(START - an_hour),
        "ends_at": iso(END + an_hour),
        "forecast": _quarters(START - an_hour, 11, _band),
    }
    not_ready = {DR_EVENT: {"blocked": 3, "at_risk": 4, "dropped_out": 0}}
    drawn = _quarters(NOW - 6 * an_hour, 24, lambda n: {"kw": 57905.5 + 9 * n, "missing": 0})
    foreseen = {"as_of": iso(NOW), "steps": _quarters(NOW, 96, _band)}
    changed = {
        at: row,
        "/api/dr-events": _page(_rows(row)),
        f"{at}/dispatches": _page(_dispatches(found[f"{at}/dispatches"]["items"][0])),
        f"{at}/load": found[f"{at}/load"] | around,
        "/api/facilities": _page(facilities),
        "/api/alerts": _page(_alerts()),
        "/api/dead-letters": _page(letters),
        "/api/portfolio": found["/api/portfolio"]
        | {"blocked_facilities": 3, "at_risk_facilities": 4, "readiness": not_ready},
        "/api/portfolio/forecast": found["/api/portfolio/forecast"] | foreseen,
        "/api/portfolio/load": found["/api/portfolio/load"] | {"steps": drawn, "next_cursor": None},
    }
    changed |= {f"/api/dr-events/{one['dr_event_id']}/dispatches": _page([]) for one in _rows(row)[1:]}
    for name, facility in zip(FACILITIES, facilities, strict=True):
        path = f"/api/facilities/{name}"
        changed |= {
            path: facility,
            f"{path}/health": found[f"{path}/health"] | {"bms": "no_trouble_known", "alerts": _alerts()},
            f"{path}/history": found[f"{path}/history"] | {"steps": history},
            f"{path}/forecast": found[f"{path}/forecast"]
            | {"counts_as": "degraded_no_weather_and_stale_data"},
        }
    return changed
