"""Alerts of DR events, BMS commands, callbacks and settlements."""

from application.operations.alert_catalogue.definition import AlertDefinition

DISPATCH_ALERTS: dict[str, AlertDefinition] = {
    "settlement_failing": AlertDefinition(
        "warning",
        "a DR event cannot be settled, and is tried again every five minutes",
        ends="the DR event is settled, or final",
        case="deploy_faulty_release",
    ),
    "bms_breaker_open": AlertDefinition(
        "critical",
        "a BMS timed out five times in a row; calls are suspended",
        ends="that BMS has answered a call, or the process that had timed out has not called it for an hour",
        case="stop_bms",
    ),
    "bms_slow": AlertDefinition(
        "warning",
        "the 99th percentile of BMS calls takes longer than 5 s",
        ends="the percentile is below 5 s again, or no BMS was called for five minutes",
        case="slow_bms",
    ),
    "command_dead_lettered": AlertDefinition(
        "critical",
        "a BMS command, or a restore, had no known outcome by its deadline",
        ends="the last dead letter of the facility's commands is decided",
        case="stop_bms",
    ),
    "batch_below_80_percent": AlertDefinition(
        "critical",
        "fewer than 80 % of a DR event's facilities succeeded",
        ends="the share can be reached again, or the DR event has been over for an hour",
        case="stop_bms",
    ),
    "restore_failing": AlertDefinition(
        "page",
        "a building may still be curtailed after its DR event",
        ends="the zone is restored, or an operator has stated that it is",
        case="stop_bms",
    ),
    "dr_event_recovering_too_long": AlertDefinition(
        "page",
        "a DR event is still recovering 15 minutes after its last restore ramp",
        ends="the DR event is completed",
        case="deploy_faulty_release",
    ),
    "bms_drift": AlertDefinition(
        "warning",
        "a zone's state differs from what was commanded",
        ends="a poll found the commanded state, or the building has not been polled for three minutes",
        case="override_zone_by_hand",
    ),
    "curtailed_without_record": AlertDefinition(
        "critical",
        "after a restore of the database a building is curtailed and the log knows nothing of it, or it does not say",
        ends="a poll finds it not curtailed, or a dispatch on record explains it",
        case="restore_while_curtailed",
    ),
    "dead_letter_overdue": AlertDefinition(
        "page",
        "nobody has acted on a dead-lettered command or callback in the time allowed",
        ends="the dead letter is decided",
        case="stop_bms",
    ),
    "callback_undeliverable": AlertDefinition(
        "warning",
        "a callback could not be delivered to the utility",
        ends="its dead letter is decided",
        case="refuse_callbacks",
    ),
    "queue_full": AlertDefinition(
        "critical",
        "as many DR events are due to be planned as a utility may have: the webhook refuses new ones",
        ends="fewer are due, or no process has reported it for three minutes",
        case="freeze_relay",
    ),
    "saga_command_parked": AlertDefinition(
        "page",
        "a command that follows from a domain event fails, and waits with those behind it for a person",
        ends="the last dead letter of that subject is decided",
        case="deploy_faulty_release",
    ),
    "deadline_failing": AlertDefinition(
        "page",
        "what is due by time (a preparation, start, end, restore or measurement) fails with an error",
        ends="it is carried out, or no longer due",
        case="deploy_faulty_release",
    ),
}
