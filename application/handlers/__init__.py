"""Every command and its handler, on one page."""

from application.command_bus import Handler
from application.commands.dispatch import (
    AbortDispatch,
    AttemptBmsCommand,
    CommitDispatch,
    CompensateDispatch,
    OverrideForecast,
    PrepareDispatch,
    RecordBmsGivenUp,
    RecordBmsRefusal,
    RecordBmsSuccess,
    RecordMeasurement,
    RecordMeterVerification,
    RecordNotMeasurable,
    RecordZoneStates,
    ReissueBmsCommand,
    RestoreDispatch,
    RetryRestore,
)
from application.commands.dr_event import (
    CancelDREvent,
    CompleteDREvent,
    EndDREvent,
    JudgeNotification,
    MeasureDREvent,
    PlanDREvent,
    RecordCallbackDelivered,
    RecordCallbackUndeliverable,
    RequestCallback,
    StartDREvent,
    StartPreparation,
)
from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
from application.commands.program import AgreeProgram
from application.handlers import dispatch as on_dispatch
from application.handlers import dr_event as on_dr_event
from application.handlers import facility as on_facility
from application.handlers import notification, planning
from application.handlers import program as on_program

HANDLERS: dict[type, Handler] = {
    RegisterFacility: on_facility.register_facility,
    StartMaintenance: on_facility.start_maintenance,
    EndMaintenance: on_facility.end_maintenance,
    AgreeProgram: on_program.agree_program,
    JudgeNotification: notification.judge_notification,
    PlanDREvent: planning.plan_dr_event,
    StartPreparation: on_dr_event.start_preparation,
    StartDREvent: on_dr_event.start_dr_event,
    EndDREvent: on_dr_event.end_dr_event,
    CompleteDREvent: on_dr_event.complete_dr_event,
    MeasureDREvent: on_dr_event.measure_dr_event,
    CancelDREvent: on_dr_event.cancel_dr_event,
    RequestCallback: on_dr_event.request_callback,
    RecordCallbackDelivered: on_dr_event.record_callback_delivered,
    RecordCallbackUndeliverable: on_dr_event.record_callback_undeliverable,
    PrepareDispatch: on_dispatch.prepare_dispatch,
    CommitDispatch: on_dispatch.commit_dispatch,
    RestoreDispatch: on_dispatch.restore_dispatch,
    AbortDispatch: on_dispatch.abort_dispatch,
    CompensateDispatch: on_dispatch.compensate_dispatch,
    RetryRestore: on_dispatch.retry_restore,
    OverrideForecast: on_dispatch.override_forecast,
    ReissueBmsCommand: on_dispatch.reissue_bms_command,
    AttemptBmsCommand: on_dispatch.attempt_bms_command,
    RecordBmsSuccess: on_dispatch.record_bms_success,
    RecordBmsRefusal: on_dispatch.record_bms_refusal,
    RecordBmsGivenUp: on_dispatch.record_bms_given_up,
    RecordZoneStates: on_dispatch.record_zone_states,
    RecordMeterVerification: on_dispatch.record_meter_verification,
    RecordMeasurement: on_dispatch.record_measurement,
    RecordNotMeasurable: on_dispatch.record_not_measurable,
}
