"""The cases of a game day: what is done to the embedded system so that an alert is raised (docs/guides/drills.md).

Undoing it, or the commands of the runbook, end the alert.
"""

GAME_DAY_CASES: dict[str, str] = {
    "stop_aggregate": "stop the aggregate workers while meters send",
    "shrink_telemetry_log": "give the telemetry log fewer bytes than the meters send",
    "send_malformed_messages": "publish malformed messages of one facility",
    "send_unstorable_batch": "publish a batch that the store refuses",
    "damage_day_of_readings": "make the readings of a day that is over unreadable",
    "revoke_telemetry_rights": "take the right to write readings from the telemetry workers",
    "lock_telemetry_tables": "lock the tables of readings for some seconds at a time",
    "make_archive_read_only": "make the archive read-only",
    "silence_meter": "stop a meter of a facility that serves",
    "stop_weather": "stop the weather service",
    "use_up_weather_quota": "set a quota of which over 80 % is used",
    "change_load_of_facility": "double the load of a facility for days",
    "record_conflicting_forecasts": "run a cycle twice with other inputs",
    "damage_settlement_rule": "make the document of a settlement unreadable",
    "stop_bms": "stop the BMS of a facility, and leave it away past the deadlines of its commands",
    "slow_bms": "have every BMS answer after 6 s",
    "purge_work_queue": "purge the stream of BMS work while commands wait",
    "override_zone_by_hand": "change the setpoint of a curtailed zone at the building",
    "refuse_callbacks": "have the utility refuse a callback",
    "flood_webhook": "send more DR events than may wait",
    "break_saga_command": "have a command that follows from a domain event fail",
    "fail_over_database": "promote the standby during a DR event",
    "record_unreadable_domain_event": "append a domain event of a topic that this release does not know",
    "freeze_relay": "stop the relay process with SIGSTOP",
    "freeze_projections": "stop the project process with SIGSTOP",
    "break_side_task": "have a monitor of the schedule worker fail",
    "set_clock_wrong": "start a process whose clock is 10 s wrong",
    "change_snapshot": "change a stored snapshot",
    "change_log": "change a domain event that is sealed",
    "revoke_ledger_rights": "take the right to write checkpoints from the project worker",
    "fill_disk": "fill the disk of the data folder over 80 %",
    "send_wrong_keys": "send 61 requests with a wrong key",
    "refuse_alert_messages": "have the mail server or the webhook refuse messages about alerts",
    "kill_worker": "kill a worker process with SIGKILL",
}
"""Case -> what is done."""
