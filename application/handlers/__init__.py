"""The table of all commands and their handlers."""

from application.command_bus.bus import Handler
from application.commands.dispatch import (
    AbortDispatch,
    AlignDispatch,
    AttemptBmsCommand,
    CommitDispatch,
    CompensateDispatch,
    LeaveDispatch,
    NoteRestore,
    OverrideForecast,
    PrepareDispatch,
    ReconcileDispatch,
    RecordBmsGivenUp,
    RecordBmsRefusal,
    RecordBmsSuccess,
    RecordMeasurement,
    RecordMeterVerification,
    RecordNotMeasurable,
    RecordRemeasurement,
    RecordZoneStates,
    ReissueBmsCommand,
    ReissueLostCommands,
    RestoreByHand,
    RestoreDispatch,
    RetryRestore,
    WithdrawMeasurement,
)
from application.commands.dispatch_batch import AttemptBmsCommands, RecordBmsSuccesses
from application.commands.dr_event import (
    CancelDREvent,
    CancelNotifiedDREvent,
    CompleteDREvent,
    EndDREvent,
    JudgeNotification,
    MeasureDREvent,
    ModifyDREvent,
    PlanDREvent,
    ReallocateShortfall,
    RecordCallbackDelivered,
    RecordCallbackUndeliverable,
    ReplanDREvent,
    RequestCallback,
    StartDREvent,
    StartPreparation,
)
from application.commands.facility import (
    EndMaintenance,
    OptInFacility,
    OptOutFacility,
    RegisterFacility,
    StartMaintenance,
)
from application.commands.program import AgreeProgram
from application.handlers import facility as on_facility
from application.handlers import measurement
from application.handlers import program as on_program
from application.handlers.callback import callback
from application.handlers.dispatch import batch as on_bms_batch
from application.handlers.dispatch import dispatch as on_dispatch
from application.handlers.dispatch import preparation
from application.handlers.dr_event import (
    cancellation,
    completion,
    modification,
    notification,
    planning,
    replanning,
)
from application.handlers.dr_event import lifecycle as on_dr_event

HANDLERS: dict[type, Handler] = {
    RegisterFacility: on_facility.register_facility,
    StartMaintenance: on_facility.start_maintenance,
    EndMaintenance: on_facility.end_maintenance,
    OptOutFacility: on_facility.opt_out_facility,
    OptInFacility: on_facility.opt_in_facility,
    NoteRestore: on_facility.note_restore,
    AgreeProgram: on_program.agree_program,
    JudgeNotification: notification.judge_notification,
    ModifyDREvent: modification.modify_dr_event,
    CancelDREvent: cancellation.cancel_dr_event,
    CancelNotifiedDREvent: cancellation.cancel_notified_dr_event,
    PlanDREvent: planning.plan_dr_event,
    ReplanDREvent: replanning.replan_dr_event,
    ReallocateShortfall: replanning.reallocate_shortfall,
    StartPreparation: on_dr_event.start_preparation,
    StartDREvent: on_dr_event.start_dr_event,
    EndDREvent: on_dr_event.end_dr_event,
    CompleteDREvent: completion.complete_dr_event,
    MeasureDREvent: completion.measure_dr_event,
    RequestCallback: callback.request_callback,
    RecordCallbackDelivered: callback.record_callback_delivered,
    RecordCallbackUndeliverable: callback.record_callback_undeliverable,
    PrepareDispatch: preparation.prepare_dispatch,
    CommitDispatch: on_dispatch.commit_dispatch,
    RestoreDispatch: on_dispatch.restore_dispatch,
    AbortDispatch: on_dispatch.abort_dispatch,
    LeaveDispatch: on_dispatch.leave_dispatch,
    AlignDispatch: on_dispatch.align_dispatch,
    CompensateDispatch: on_dispatch.compensate_dispatch,
    RetryRestore: on_dispatch.retry_restore,
    RestoreByHand: on_dispatch.restore_by_hand,
    OverrideForecast: on_dispatch.override_forecast,
    ReissueBmsCommand: on_dispatch.reissue_bms_command,
    ReissueLostCommands: on_dispatch.reissue_lost_commands,
    AttemptBmsCommand: on_dispatch.attempt_bms_command,
    AttemptBmsCommands: on_bms_batch.attempt_bms_commands,
    RecordBmsSuccess: on_dispatch.record_bms_success,
    RecordBmsSuccesses: on_bms_batch.record_bms_successes,
    RecordBmsRefusal: on_dispatch.record_bms_refusal,
    RecordBmsGivenUp: on_dispatch.record_bms_given_up,
    RecordZoneStates: on_dispatch.record_zone_states,
    ReconcileDispatch: on_dispatch.reconcile_dispatch,
    RecordMeterVerification: on_dispatch.record_meter_verification,
    RecordMeasurement: measurement.record_measurement,
    RecordNotMeasurable: measurement.record_not_measurable,
    RecordRemeasurement: measurement.record_remeasurement,
    WithdrawMeasurement: measurement.withdraw_measurement,
}
