"""The register of alerts: each alert ends, says what a person does about it, and has a game-day case."""

import ast
import re

import pytest

from application.operations.alert_catalogue import ALERTS
from application.operations.alert_catalogue.game_day import GAME_DAY_CASES
from tests.architecture.source_tree import PACKAGES, ROOT, python_files
from tests.architecture.table_pages import functions_in, left_out_of_ci

UNIT = "tests/unit/interfaces/workers"
SHOWN_ENDED_BY: dict[str, tuple[str, str]] = {
    "certificate_expiring": (
        "tests/integration/operations/test_certificates.py",
        "test_a_certificate_that_ends_soon_is_an_alert_until_it_is_renewed",
    ),
    "connections_short": (
        f"{UNIT}/watch/test_heartbeat_monitor.py",
        "test_connections_that_run_short_are_an_alert_until_they_do_not",
    ),
    "process_refused": (
        "tests/integration/workers/test_connection_admission.py",
        "test_a_worker_for_which_no_connections_are_left_refuses_to_start",
    ),
    "turn_held_by_dead": (
        f"{UNIT}/watch/test_heartbeat_monitor.py",
        "test_locks_of_a_silent_process_are_an_alert_until_they_are_free",
    ),
    "worker_silent": (
        f"{UNIT}/watch/test_heartbeat_monitor.py",
        "test_a_worker_of_which_no_process_reports_is_an_alert_until_one_does",
    ),
    "alert_undeliverable": (
        "tests/unit/application/operations/test_alert_delivery.py",
        "test_a_channel_that_fails_again_and_again_is_an_alert_until_it_delivers",
    ),
    "authentication_failures": (
        "tests/security/test_failed_authentications.py",
        "test_an_address_over_the_limit_raises_an_alert_until_it_is_quiet",
    ),
    "backup_too_old": (
        f"{UNIT}/watch/test_backup_monitor.py",
        "test_a_backup_older_than_a_day_is_alerted_until_there_is_a_newer_one",
    ),
    "batch_below_80_percent": (
        f"{UNIT}/watch/test_batch_monitor.py",
        "test_it_ends_an_hour_after_the_dr_event",
    ),
    "bms_breaker_open": (
        f"{UNIT}/dispatch/test_breaker_alerts.py",
        "test_an_open_breaker_is_alerted_until_the_bms_answers_again",
    ),
    "bms_drift": (
        "tests/unit/application/dispatch/test_executor.py",
        "test_drift_ends_when_a_poll_finds_the_building_as_commanded",
    ),
    "bms_slow": (
        f"{UNIT}/dispatch/test_metrics.py",
        "test_the_alert_clears_once_the_window_has_only_fast_calls_or_none",
    ),
    "callback_undeliverable": (
        "tests/unit/application/operations/test_dead_letter_alerts.py",
        "test_a_decided_callback_and_a_decided_command_leave_no_alert",
    ),
    "clock_skewed": (
        "tests/security/test_clocks.py",
        "test_a_process_whose_clock_is_wrong_decides_nothing_until_it_is_right",
    ),
    "command_dead_lettered": (
        "tests/unit/application/operations/test_dead_letter_alerts.py",
        "test_a_decided_callback_and_a_decided_command_leave_no_alert",
    ),
    "curtailed_without_record": (
        "tests/unit/application/dispatch/test_restored_buildings.py",
        "test_the_alert_ends_when_the_building_is_not_curtailed_any_more",
    ),
    "database_failover": (
        f"{UNIT}/watch/test_failover_monitor.py",
        "test_the_alert_clears_once_no_dr_event_is_under_way",
    ),
    "dead_letter_overdue": (
        "tests/unit/application/operations/test_dead_letter_alerts.py",
        "test_a_late_decision_clears_the_alert_at_once",
    ),
    "deadline_failing": (
        "tests/security/test_failing_deadlines.py",
        "test_the_alert_ends_when_the_deadline_is_no_longer_due_also_after_a_restart",
    ),
    "degraded_forecast": (
        f"{UNIT}/watch/test_forecast_monitor.py",
        "test_a_degraded_forecast_is_alerted_from_four_hours_before_the_start",
    ),
    "disk_filling": (
        "tests/security/test_full_disk.py",
        "test_a_disk_that_fills_raises_an_alert_until_there_is_room",
    ),
    "dr_event_recovering_too_long": (
        "tests/security/test_recovering_too_long.py",
        "test_a_dr_event_that_recovers_for_too_long_pages_until_it_is_over",
    ),
    "forecast_conflicts": (
        "tests/integration/forecast/test_forecast_conflicts.py",
        "test_a_process_without_a_full_cycle_neither_raises_nor_clears_conflicts",
    ),
    "forecast_drift": (
        f"{UNIT}/compute/test_scoring.py",
        "test_a_facility_that_drifts_is_alerted_until_a_day_ends_without_drift",
    ),
    "ledger_mismatch": (
        "tests/integration/settlement/test_recorded_settlements.py",
        "test_lost_rows_are_restored_from_the_log",
    ),
    "ledger_unsealed": (
        "tests/integration/ledger/test_follower.py",
        "test_a_follower_without_its_archive_waits_with_an_alert_and_resumes",
    ),
    "malformed_readings": (
        f"{UNIT}/ingest/test_ingest_worker.py",
        "test_a_facility_with_malformed_messages_is_alerted_until_they_stop",
    ),
    "no_synchronous_standby": (
        f"{UNIT}/watch/test_replication_monitor.py",
        "test_standbys_for_which_no_commit_waits_are_alerted_until_one_does",
    ),
    "older_timeline": (
        f"{UNIT}/watch/test_replication_monitor.py",
        "test_a_replaced_server_that_takes_writes_is_alerted_until_it_is_stopped",
    ),
    "poison_batch": (
        "tests/unit/application/operations/test_dead_letter_alerts.py",
        "test_the_alert_of_a_poison_batch_ends_with_the_last_letter_of_its_partition",
    ),
    "projection_lag": (
        "tests/integration/projections/test_projection_follower.py",
        "test_a_lagging_projection_raises_an_alert_until_it_has_caught_up",
    ),
    "projection_stopped": (
        "tests/security/test_stopped_projection.py",
        "test_an_error_outside_the_fold_stops_only_its_projection",
    ),
    "queue_full": (
        f"{UNIT}/watch/test_queue_monitor.py",
        "test_the_webhook_is_alerted_as_full_at_the_depth_until_a_dr_event_is_planned",
    ),
    "raw_archive_behind": (
        f"{UNIT}/test_archive.py",
        "test_an_unreachable_archive_is_alerted_after_a_while_and_filled_afterwards",
    ),
    "readings_missing": (
        f"{UNIT}/watch/test_reading_monitor.py",
        "test_a_silent_meter_is_alerted_from_four_hours_before_the_start",
    ),
    "relay_stalled": (
        "tests/security/test_standing_positions.py",
        "test_a_relay_that_works_and_does_not_advance_is_stalled_until_it_moves",
    ),
    "relay_stopped": (
        "tests/security/test_standing_positions.py",
        "test_a_relay_that_does_not_run_is_reported_as_stopped",
    ),
    "replica_not_current": (
        f"{UNIT}/watch/test_replication_monitor.py",
        "test_a_replica_that_is_not_current_is_alerted_until_it_is",
    ),
    "restore_failing": (
        "tests/unit/application/dispatch/test_restored_by_hand.py",
        "test_a_manual_restore_clears_the_page_and_the_deadlines",
    ),
    "retention_held_back": (
        "tests/integration/telemetry_store/test_retention.py",
        "test_a_day_waits_for_the_archive_and_an_alert_is_raised",
    ),
    "saga_command_parked": (
        "tests/security/test_poison_commands.py",
        "test_a_replay_goes_on_with_those_behind_it_in_order_and_ends_the_alert",
    ),
    "sealing_failing": (
        f"{UNIT}/compute/test_sealing.py",
        "test_a_facility_that_fails_has_an_alert_and_delays_no_other",
    ),
    "settlement_failing": (
        f"{UNIT}/compute/test_settle.py",
        "test_a_dr_event_that_cannot_be_settled_is_settled_after_a_new_rule_and_its_alert_clears",
    ),
    "settling_behind": (
        "tests/integration/telemetry_store/test_finalizing_lag.py",
        "test_a_quarter_hour_that_is_not_finalized_is_reported_until_it_is",
    ),
    "side_task_failing": (
        "tests/security/test_side_tasks.py",
        "test_a_side_task_that_fails_starts_over_and_its_alert_ends_once_it_runs",
    ),
    "snapshot_forged": (
        "tests/security/test_snapshots.py",
        "test_a_snapshot_that_differs_from_a_fold_of_its_stream_is_reported",
    ),
    "standby_lost": (
        f"{UNIT}/watch/test_replication_monitor.py",
        "test_a_lost_standby_is_alerted_until_as_many_are_attached_as_were",
    ),
    "telemetry_backpressure": (
        f"{UNIT}/ingest/test_ingest_worker.py",
        "test_a_log_that_accepts_nothing_is_alerted_until_it_recovers",
    ),
    "telemetry_lag": (
        "tests/unit/application/telemetry/test_lag.py",
        "test_each_level_is_raised_above_its_lag_and_cleared_below_it",
    ),
    "telemetry_lag_high": (
        "tests/unit/application/telemetry/test_lag.py",
        "test_each_level_is_raised_above_its_lag_and_cleared_below_it",
    ),
    "telemetry_lag_rising": (
        f"{UNIT}/watch/test_telemetry_lag_monitor.py",
        "test_a_monitor_that_takes_over_clears_the_alerts_of_a_dead_one",
    ),
    "telemetry_lag_severe": (
        "tests/unit/application/telemetry/test_lag.py",
        "test_each_level_is_raised_above_its_lag_and_cleared_below_it",
    ),
    "telemetry_queries_slow": (
        "tests/unit/application/telemetry/test_store_health.py",
        "test_alerts_are_raised_and_cleared_by_process",
    ),
    "telemetry_write_errors": (
        "tests/unit/application/telemetry/test_store_health.py",
        "test_alerts_are_raised_and_cleared_by_process",
    ),
    "weather_quota": (
        "tests/unit/application/weather/test_quota_alert.py",
        "test_the_alert_is_raised_from_80_percent_on_and_cleared_in_the_next_month",
    ),
    "weather_unavailable": (
        "tests/integration/forecast/test_forecast_conflicts.py",
        "test_restored_weather_gives_a_better_forecast_for_the_same_cycle",
    ),
    "worker_restarted": (
        f"{UNIT}/watch/test_alert_expiry.py",
        "test_a_process_that_was_restarted_is_alerted_for_a_quarter_of_an_hour",
    ),
}
"""Alert -> a test of CI in which it is raised and ends."""
ESCALATION = re.compile(r"^## Escalation\n\n(.+?)\n\n## When it is over\n\n(.+)", re.MULTILINE | re.DOTALL)
TOLD = ("development", "contact", "operator", "whoever", "person", "auditor", "utility", "maker", "service")


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_ends_and_a_test_of_ci_shows_it(alert: str) -> None:
    assert ALERTS[alert].ends
    path, test = SHOWN_ENDED_BY[alert]
    assert test in functions_in(path) - left_out_of_ci(path)


def test_no_other_alert_is_shown() -> None:
    assert SHOWN_ENDED_BY.keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_a_runbook_has_an_escalation_and_an_end(alert: str) -> None:
    found = ESCALATION.search((ROOT / f"docs/runbooks/{alert}.md").read_text())
    assert found is not None
    assert [word for word in TOLD if word in found[1]] != []


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_names_its_game_day_case(alert: str) -> None:
    assert ALERTS[alert].case in GAME_DAY_CASES


def test_every_game_day_case_causes_an_alert() -> None:
    assert {definition.case for definition in ALERTS.values()} == GAME_DAY_CASES.keys()


def test_nothing_but_the_register_begins_or_ends_an_alert() -> None:
    """Observers state. `decide` is a person's act, and `end_unseen` is called by one monitor."""
    allowed = {"end_unseen": {"interfaces/workers/watch/alert_expiry.py"}}
    calls = [
        (str(file.relative_to(ROOT)), call)
        for file in python_files(*PACKAGES)
        for call in calls_on_alerts(file.read_text())
    ]
    assert {file for file, call in calls if call == "state"} >= {"interfaces/workers/archive.py"}
    forbidden = [
        (file, call)
        for file, call in calls
        if call not in {"state", "stated", "decide", "listed", "open_about", "open_by_name"}
        and file not in allowed.get(call, set())
    ]
    assert forbidden == []


@pytest.mark.parametrize(
    "line",
    [
        'self.alerts.raise_alert("bms_slow", "all", "x", at=now)',
        'stores.alerts().clear("bms_slow", "all", at=now)',
        "await asyncio.to_thread(self._alerts.clear, ALERT, subject, at=now)",
        "alerts.end_unseen(at=now)",
        "partial(web.alerts.raise_alert, ALERT)",
    ],
)
def test_a_planted_call_that_begins_or_ends_an_alert_is_refused(line: str) -> None:
    assert calls_on_alerts(f"async def act():\n    {line}\n")[0] in {"raise_alert", "clear", "end_unseen"}


REGISTER = re.compile(r"_?alerts")


def calls_on_alerts(source: str) -> list[str]:
    """The methods of a register of alerts that the source names: of `alerts`, `x.alerts`, `x._alerts`, `x.alerts()`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if REGISTER.fullmatch(name):
                found.append(node.attr)
    return found
