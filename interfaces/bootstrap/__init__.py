"""The composition root: the only place that picks adapters.

`stores` opens what every command works with, `servers` finds or starts the servers, `workers` and `web` wire a
process. Adapters are imported inside the functions, so that a process loads only what it uses.
"""

from interfaces.bootstrap.clock import accelerated_clock, clock_of, machine_time
from interfaces.bootstrap.forecast import forecast_cycle
from interfaces.bootstrap.health.web_answer import WebAnswer, ask_web
from interfaces.bootstrap.ledger import (
    ledger_status,
    prove_dr_event,
    read_public_key,
    read_witness_checkpoint,
    verify_ledger,
    wait_until_sealed,
)
from interfaces.bootstrap.offline import (
    check_audit_file,
    load_forecaster,
    open_readings_file,
    regression_fitter,
    rolling_forecasts,
)
from interfaces.bootstrap.operations import (
    host_tasks,
    imported_history,
    portfolio_ids,
    seal_without_import,
    verify_read_models,
    verify_settlements,
)
from interfaces.bootstrap.processes import run_worker
from interfaces.bootstrap.raw_archive import raw_archive, raw_archive_progress
from interfaces.bootstrap.secrets import (
    REFUSED_ADVICE,
    UNRESOLVED_ADVICE,
    portfolio_rules,
    secret_namespace,
    wrong_references,
)
from interfaces.bootstrap.servers import (
    NoRunningSystem,
    accept_cluster,
    check_history,
    check_schema,
    embedded_meter_logins,
    embedded_servers,
    ended_system,
    free_port,
    meter_logins,
    migrate_database,
    read_release,
    resolve_addresses,
    save_addresses,
    spawn_child,
    system_identity,
    with_embedded,
    write_private,
)
from interfaces.bootstrap.snapshots import make_snapshot_key, verify_snapshots
from interfaces.bootstrap.stores import Stores, open_stores, opened_stores
from interfaces.bootstrap.telemetry import gap_sources, meter_readings, seal_imported_history, stored_meters
from interfaces.bootstrap.telemetry_stream import log_misfits
from interfaces.bootstrap.weather import weather_problems
from interfaces.bootstrap.worker_credentials import (
    inherited_environ,
    without_server_credentials,
    worker_settings,
)

__all__ = [
    "REFUSED_ADVICE",
    "UNRESOLVED_ADVICE",
    "NoRunningSystem",
    "Stores",
    "WebAnswer",
    "accelerated_clock",
    "accept_cluster",
    "ask_web",
    "check_audit_file",
    "check_history",
    "check_schema",
    "clock_of",
    "embedded_meter_logins",
    "embedded_servers",
    "ended_system",
    "forecast_cycle",
    "free_port",
    "gap_sources",
    "host_tasks",
    "imported_history",
    "inherited_environ",
    "ledger_status",
    "load_forecaster",
    "log_misfits",
    "machine_time",
    "make_snapshot_key",
    "meter_logins",
    "meter_readings",
    "migrate_database",
    "open_readings_file",
    "open_stores",
    "opened_stores",
    "portfolio_ids",
    "portfolio_rules",
    "prove_dr_event",
    "raw_archive",
    "raw_archive_progress",
    "read_public_key",
    "read_release",
    "read_witness_checkpoint",
    "regression_fitter",
    "resolve_addresses",
    "rolling_forecasts",
    "run_worker",
    "save_addresses",
    "seal_imported_history",
    "seal_without_import",
    "secret_namespace",
    "spawn_child",
    "stored_meters",
    "system_identity",
    "verify_ledger",
    "verify_read_models",
    "verify_settlements",
    "verify_snapshots",
    "wait_until_sealed",
    "weather_problems",
    "with_embedded",
    "without_server_credentials",
    "worker_settings",
    "write_private",
    "wrong_references",
]
