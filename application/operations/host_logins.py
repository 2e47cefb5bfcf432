"""Carries out what the page asked about a meter's login, in the process that manages the broker."""

from __future__ import annotations

from application.ports.access.meter_logins import MeterLoginRefused, MeterLoginUsers
from application.ports.clock import Clock
from application.ports.operations.act_log import ActLog
from application.ports.operations.host_tasks import CreateMeterLogin, HostTask, HostTasks, LoginWork
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance

NO_BROKER = "`gridproof up` does not run the broker here; set the login up where its users are"


def carry_out_login(
    task: HostTask,
    work: LoginWork,
    *,
    users: MeterLoginUsers | None,
    acts: ActLog,
    clock: Clock,
    tasks: HostTasks,
) -> None:
    """Change the login, record the act, and end the task. Each step can be repeated: what was interrupted is completed
    by the next call. `users` is None where the broker is not this process's.

    Raises OperationsUnavailable or ClockSkewed; then the task is still open.
    """
    if users is None:
        return tasks.end(task.task_id, problem=NO_BROKER)
    provenance = Provenance(
        correlation_id=task.task_id,
        causation_id=task.task_id,
        actor=task.requested_by,
        tenant=None,
        trace_id=task.trace_id,
        recorded_at=clock.now(),
    )
    tasks.begin(task.task_id)  # so that a revocation that was interrupted is known for one
    try:
        act = _change(work, users, provenance, is_repeated=task.attempts > 0)
    except MeterLoginRefused as error:
        return tasks.end(task.task_id, problem=str(error))
    acts.record([act])
    return tasks.end(task.task_id)


def _change(
    work: LoginWork, users: MeterLoginUsers, provenance: Provenance, *, is_repeated: bool
) -> AdministrativeAct:
    if isinstance(work, CreateMeterLogin):
        users.add(work.facility_id, work.password_hash or "")
        return AdministrativeAct.create_meter_login(provenance, facility_id=work.facility_id)
    if not is_repeated or work.facility_id in users.facility_ids():
        users.revoke(work.facility_id)
    return AdministrativeAct.revoke_meter_login(provenance, facility_id=work.facility_id)
