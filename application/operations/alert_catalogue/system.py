"""Alerts of processes, the database, the log and the machines."""

from application.operations.alert_catalogue.definition import AlertDefinition

SYSTEM_ALERTS: dict[str, AlertDefinition] = {
    "database_failover": AlertDefinition(
        "critical",
        "the database failed over to another server while a DR event was active",
        ends="no DR event is under way any more",
        case="fail_over_database",
    ),
    "older_timeline": AlertDefinition(
        "page",
        "a host of the database's address takes writes, and another one is on a newer timeline",
        ends="that host takes no writes any more",
        case="start_old_primary",
    ),
    "no_synchronous_standby": AlertDefinition(
        "critical",
        "the database should have a standby, and no commit waits for one",
        ends="commits wait for a standby again",
        case="stop_standby",
    ),
    "standby_lost": AlertDefinition(
        "warning",
        "fewer standbys are attached than there should be, or were",
        ends="as many standbys are attached again",
        case="stop_standby",
    ),
    "replica_not_current": AlertDefinition(
        "warning",
        "the read replica is away or far behind, or a stream has a replica that is not current",
        ends="the replica is current again",
        case="stop_standby",
    ),
    "projection_stopped": AlertDefinition(
        "critical",
        "a projection met a domain event that it cannot apply, or its process ends again and again",
        ends="the projection has passed that position",
        case="kill_projections_repeatedly",
    ),
    "relay_stopped": AlertDefinition(
        "page",
        "no relay works: it met a domain event that it cannot read, ends again and again, or is not running",
        ends="a relay has passed that position",
        case="kill_relay_repeatedly",
    ),
    "relay_stalled": AlertDefinition(
        "page",
        "the relay runs, and its position has stood still for 30 s while the log grows",
        ends="its position moves again",
        case="freeze_relay",
    ),
    "side_task_failing": AlertDefinition(
        "critical",
        "a monitor or an expiry of the watch worker fails and starts over",
        ends="the task has run for a minute without an error",
        case="revoke_right_of_expiry",
    ),
    "projection_lag": AlertDefinition(
        "warning",
        "a read model is far behind the log",
        ends="the read model is current again",
        case="freeze_projections",
    ),
    "clock_skewed": AlertDefinition(
        "page",
        "a machine's clock is over 5 s from the database's; its processes decide nothing",
        ends="a measurement is within 5 s, or none was made there for three minutes",
        case="set_clock_wrong",
    ),
    "snapshot_forged": AlertDefinition(
        "page",
        "a stored snapshot was not made by this system, or is newer than its stream; it is not used",
        ends="`gridproof audit verify --snapshots` finds no such snapshot",
        case="change_snapshot",
    ),
    "ledger_mismatch": AlertDefinition(
        "page",
        "the log differs from what was sealed, or the ledger contradicts itself",
        ends="`gridproof audit verify` finds none, or the next checkpoint is written",
        case="change_log",
    ),
    "ledger_unsealed": AlertDefinition(
        "warning",
        "no checkpoint has covered new domain events for a minute",
        ends="the next checkpoint is written",
        case="lock_archive",
    ),
    "backup_too_old": AlertDefinition(
        "critical",
        "the newest backup of the database is older than a day, or there is none",
        ends="there is a newer backup",
        case="take_no_backup",
    ),
    "disk_filling": AlertDefinition(
        "critical",
        "over 80 % of the disk below a process's data folder is used",
        ends="80 % or less is used, or no process there has reported it for three minutes",
        case="fill_disk",
    ),
    "authentication_failures": AlertDefinition(
        "warning",
        "over 60 requests of one client address in a minute had a wrong key, session or signature",
        ends="the address is below the limit again",
        case="send_wrong_keys",
    ),
    "worker_restarted": AlertDefinition(
        "warning",
        "a worker process ended unexpectedly and was restarted",
        ends="it has run for 15 minutes without ending",
        case="kill_worker",
    ),
    "alert_undeliverable": AlertDefinition(
        "critical",
        "three messages in a row about alerts could not be delivered to people on a channel",
        ends="a message was delivered there, or none was tried for an hour",
        case="refuse_alert_messages",
    ),
    "worker_silent": AlertDefinition(
        "critical",
        "no process of a worker has reported for a minute",
        ends="one reports again, all have ended by themselves, or nobody has started one for a day",
        case="freeze_worker",
    ),
    "turn_held_by_dead": AlertDefinition(
        "critical",
        "the database sessions of a process that has reported nothing for a minute still hold locks",
        ends="it reports again, or PostgreSQL has ended its sessions",
        case="freeze_worker",
    ),
    "connections_short": AlertDefinition(
        "critical",
        "over 80 % of PostgreSQL's connections are in use, or the processes that run may open more than it allows",
        ends="80 % or fewer are in use, and the budgets fit",
        case="use_up_connections",
    ),
    "process_refused": AlertDefinition(
        "critical",
        "a process does not start: its connections do not fit beside those of the processes that run",
        ends="one of that worker starts on that machine, or none has been refused for ten minutes",
        case="start_one_too_many",
    ),
    "certificate_expiring": AlertDefinition(
        "critical",
        "a certificate that a process uses ends within 14 days, or has ended",
        ends="the server shows another one, the file holds another one, or no process has read it for three hours",
        case="present_old_certificate",
    ),
}
