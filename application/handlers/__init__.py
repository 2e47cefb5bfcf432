"""Every command and its handler, on one page."""

from application.command_bus import Handler
from application.commands import dispatch, dr_event, facility, program
from application.handlers import dispatch as on_dispatch
from application.handlers import dr_event as on_dr_event
from application.handlers import facility as on_facility
from application.handlers import notification, planning
from application.handlers import program as on_program

HANDLERS: dict[type, Handler] = {
    facility.RegisterFacility: on_facility.register_facility,
    facility.StartMaintenance: on_facility.start_maintenance,
    facility.EndMaintenance: on_facility.end_maintenance,
    program.AgreeProgram: on_program.agree_program,
    dr_event.JudgeNotification: notification.judge_notification,
    dr_event.PlanDREvent: planning.plan_dr_event,
    dr_event.StartPreparation: on_dr_event.start_preparation,
    dr_event.StartDREvent: on_dr_event.start_dr_event,
    dr_event.EndDREvent: on_dr_event.end_dr_event,
    dr_event.CompleteDREvent: on_dr_event.complete_dr_event,
    dr_event.MeasureDREvent: on_dr_event.measure_dr_event,
    dr_event.CancelDREvent: on_dr_event.cancel_dr_event,
    dr_event.RequestCallback: on_dr_event.request_callback,
    dr_event.RecordCallbackDelivered: on_dr_event.record_callback_delivered,
    dr_event.RecordCallbackUndeliverable: on_dr_event.record_callback_undeliverable,
    dispatch.PrepareDispatch: on_dispatch.prepare_dispatch,
    dispatch.CommitDispatch: on_dispatch.commit_dispatch,
    dispatch.RestoreDispatch: on_dispatch.restore_dispatch,
    dispatch.AbortDispatch: on_dispatch.abort_dispatch,
    dispatch.CompensateDispatch: on_dispatch.compensate_dispatch,
    dispatch.RetryRestore: on_dispatch.retry_restore,
    dispatch.OverrideForecast: on_dispatch.override_forecast,
    dispatch.ReissueBmsCommand: on_dispatch.reissue_bms_command,
    dispatch.AttemptBmsCommand: on_dispatch.attempt_bms_command,
    dispatch.RecordBmsSuccess: on_dispatch.record_bms_success,
    dispatch.RecordBmsRefusal: on_dispatch.record_bms_refusal,
    dispatch.RecordBmsGivenUp: on_dispatch.record_bms_given_up,
    dispatch.RecordZoneStates: on_dispatch.record_zone_states,
    dispatch.RecordMeterVerification: on_dispatch.record_meter_verification,
    dispatch.RecordMeasurement: on_dispatch.record_measurement,
    dispatch.RecordNotMeasurable: on_dispatch.record_not_measurable,
}
