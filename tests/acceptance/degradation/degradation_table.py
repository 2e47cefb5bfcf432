"""The table of docs/degradation.md as test data: the expected responses during each outage.

tests/architecture/test_degradation_page.py compares the two; the tests in this folder kill each dependency.
"""

from __future__ import annotations

COLUMNS: dict[str, tuple[str, ...]] = {
    "posts": ("POST /webhooks/utility/dr-notification",),
    "DR events": (
        "GET /api/dr-events",
        "GET /api/dr-events/{dr_event_id}",
        "GET /api/dr-events/{dr_event_id}/dispatches",
        "GET /api/dr-events/{dr_event_id}/performance",
    ),
    "proofs": (
        "GET /api/audit/dr-events/{dr_event_id}",
        "GET /api/dead-letters",
        "GET /api/projections",
    ),
    "facilities": ("GET /api/facilities", "GET /api/facilities/{facility_id}"),
    "portfolio": ("GET /api/portfolio",),
    "portfolio forecast": ("GET /api/portfolio/forecast",),
    "loads": ("GET /api/portfolio/load",),
    "current": ("GET /api/facilities/{facility_id}/current", "GET /api/portfolio/current"),
    "history": ("GET /api/facilities/{facility_id}/history",),
    "forecasts": ("GET /api/facilities/{facility_id}/forecast",),
    "alerts": ("GET /api/alerts",),
    "operations": ("GET /api/operations",),
    "ready": ("GET /ready",),
    "stream": ("GET /api/stream",),
    "sign-in": ("POST /api/session",),
    "signed in": ("GET /api/session",),
}
"""The routes that represent a column; they are requested all the time."""

LIKE: dict[str, tuple[str, ...]] = {
    "posts": (
        "PATCH /webhooks/utility/dr-notification/{utility_event_id}",
        "DELETE /webhooks/utility/dr-notification/{utility_event_id}",
        "POST /api/dr-events/{dr_event_id}/cancellation",
        "POST /api/dr-events/{dr_event_id}/overrides",
        "POST /api/dr-events/{dr_event_id}/restored-by-hand",
        "POST /api/dr-events/{dr_event_id}/settlement",
        "POST /api/facilities",
        "POST /api/programs",
        "POST /api/portfolio/imports",
        "POST /api/portfolio/imports/progress",
        "POST /api/meter-logins",
        "DELETE /api/meter-logins/{facility_id}",
        "POST /api/history/uploads",
        "POST /api/history/imports",
        "POST /api/history/imports/{import_id}/take-back",
        "POST /api/keys",
        "POST /api/keys/{key_id}/rotation",
        "DELETE /api/keys/{key_id}",
        "POST /api/facilities/{facility_id}/maintenance",
        "POST /api/facilities/{facility_id}/deactivation",
        "POST /api/facilities/{facility_id}/reactivation",
        "POST /api/facilities/{facility_id}/opt-out",
        "POST /api/facilities/{facility_id}/opt-in",
        "POST /api/alerts/{alert_id}/acknowledgement",
        "POST /api/alerts/{alert_id}/clear",
        "POST /api/dead-letters/{dead_letter_id}/discard",
        "POST /api/dead-letters/{dead_letter_id}/replay",
    ),
    "DR events": (
        "GET /api/dr-events/{dr_event_id}/performance/{facility_id}",
        "GET /api/dr-events/{dr_event_id}/measurements",
        "GET /api/dr-events/{dr_event_id}/measurements/{facility_id}",
        "GET /api/dr-events/{dr_event_id}/callbacks",
    ),
    "loads": ("GET /api/dr-events/{dr_event_id}/load",),
    "proofs": (
        "GET /api/audit/administration",
        "GET /api/audit/facilities/{facility_id}",
        "GET /api/audit/programs/{program_id}",
        "GET /api/keys",
        "GET /api/meter-logins",
        "GET /api/meter-logins/tasks/{task_id}",
        "GET /api/history/imports",
        "GET /api/history/tasks/{task_id}",
        "GET /api/portfolio/facilities/{facility_id}",
        "GET /api/portfolio/programs/{program_id}",
        "GET /api/portfolio/utilities",
        "GET /api/portfolio/secret-references",
        "GET /api/audit/dr-events/{dr_event_id}/proof",
        "GET /api/audit/ledger",
        "GET /api/audit/ledger/consistency",
        "GET /api/dead-letters/{dead_letter_id}",
        "GET /api/dr-events/{dr_event_id}/settlement",
        "GET /api/dr-events/{dr_event_id}/settlement/revisions",
        "GET /api/programs",
        "GET /api/programs/{program_id}",
        "GET /api/programs/{program_id}/statements/{period}",
        "GET /api/facilities/{facility_id}/statements/{period}",
        "POST /api/dr-events/{dr_event_id}/what-if",
    ),
    "facilities": (
        "GET /api/facilities/{facility_id}/gaps",
        "GET /api/facilities/{facility_id}/health",
        "GET /api/portfolio/groups",
    ),
    "forecasts": ("GET /api/facilities/{facility_id}/forecast/accuracy",),
    "sign-in": ("DELETE /api/session",),
}
"""Routes that behave like the column and are not requested here."""

NOT_OF_A_REPLICA = (
    "GET /api/dr-events/{dr_event_id}/measurements",
    "GET /api/dr-events/{dr_event_id}/measurements/{facility_id}",
    "GET /api/dr-events/{dr_event_id}/performance/{facility_id}",
    "GET /api/facilities/{facility_id}/gaps",
    "GET /api/facilities/{facility_id}/health",
)
"""Routes in columns that a replica answers, which need data that only the primary has; they are `last_known` there."""

ALWAYS = (
    "GET /",
    "GET /health",
    "GET /metrics",
    "GET /problems/{name}",
    "GET /runbooks/{alert}",
    "GET /schema",
    "GET /schema/openapi.json",
    "GET /schema/{path}",
    "GET /static/{name}",
)
"""Routes that depend on nothing."""

FRESH = dict.fromkeys(COLUMNS, "fresh") | {"ready": "ready"}
NO_READINGS = FRESH | {"current": "ages"}

OF_READ_MODELS = ("DR events", "facilities", "portfolio")
OUT_OF_THEM = (*OF_READ_MODELS, "portfolio forecast", "loads")
NO_POSTGRESQL = (
    FRESH
    | dict.fromkeys((*OUT_OF_THEM, "current", "history", "forecasts", "alerts"), "last_known")
    | dict.fromkeys(("posts", "proofs", "sign-in"), "503")
    | {"operations": "parts", "ready": "not_ready", "stream": "database"}
)

ROWS: dict[str, dict[str, str]] = {
    "PostgreSQL": NO_POSTGRESQL,
    "PostgreSQL, with a replica": NO_POSTGRESQL | dict.fromkeys(OF_READ_MODELS, "replica"),
    "the replica": FRESH,
    "the cache": FRESH | {"ready": "degraded"},
    "NATS": NO_READINGS | {"operations": "parts", "ready": "degraded"},
    "the MQTT broker": NO_READINGS | {"ready": "degraded"},
    "worker ingest": NO_READINGS,
    "worker aggregate": NO_READINGS,
    "worker project": FRESH | dict.fromkeys(OUT_OF_THEM, "read_models") | {"stream": "projections"},
    "InfluxDB, where it keeps telemetry": FRESH
    | dict.fromkeys(("current", "history", "loads"), "last_known")
    | {"ready": "degraded"},
    "worker compute": FRESH | {"forecasts": "old"},
    "the weather service": FRESH,
    "worker decide": FRESH,
    "worker dispatch": FRESH,
    "a web process": FRESH,
}
