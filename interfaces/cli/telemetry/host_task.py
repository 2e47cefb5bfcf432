"""`gridproof telemetry host-task`: does what the page asked about a file of past readings. `gridproof up` starts it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click
import msgspec

from application.ports.operations.host_tasks import CheckHistory, ImportHistory
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from application.command_bus.decision_context import CommandContext
    from application.history_import.importer import HistoryReport
    from application.history_import.task_result import TaskResult
    from application.ports.operations.host_tasks import (
        HostTask,
        HostTasks,
        TakeBackHistory,
        UploadedFile,
    )
    from interfaces.bootstrap import Stores

EXAMPLE = """
\b
Example:
  gridproof telemetry host-task 3f9a1c0b-77de-4a8f-8c2b-6e174a8f0c2b

The page shows what comes of it. A task that has ended is not done again.
"""
NICENESS = 5
MOST_ROWS = 5_000_000
"""Of a file of the page. One of a few megabytes can stand for any number of rows."""


@click.command("host-task", hidden=True, epilog=EXAMPLE)
@click.argument("task_id", type=click.UUID)
def host_task(task_id: UUID) -> None:
    """Check, import or take back a file of past readings, as the page asked."""
    from application.history_import.taking_back import TakeBackRefused
    from application.ports.history_import import ReadingsFileError
    from application.ports.telemetry.store import ReadingsRefused
    from application.ports.telemetry.stored_meters import RemovalNotSupported
    from interfaces.bootstrap import host_tasks

    os.nice(NICENESS)
    with opened_stores() as stores:
        tasks, result, problem = host_tasks(stores), None, None
        task = tasks.find(task_id)
        if task is None or not task.is_open:
            raise click.ClickException(f"no open task {task_id}")
        try:
            result = _done(stores, tasks, task)
        except (ReadingsRefused, RemovalNotSupported, TakeBackRefused) as error:
            problem = str(error)
        except MemoryError:
            problem = "it needs more memory than a file of the page may; split the file"
        except ReadingsFileError as error:
            problem = _of_file(task, error.line, error.problem)
        tasks.end(task_id, result=_written(result), problem=problem)
        if isinstance(task.work, ImportHistory) and problem is None:
            _spool_path(stores, task.work.file).unlink(missing_ok=True)
    click.echo(f"{task_id}: {problem or 'done'}")


def _done(stores: Stores, tasks: HostTasks, task: HostTask) -> TaskResult:
    from application.command_bus.decision_context import CommandContext
    from application.ports.operations.host_tasks import TakeBackHistory

    context = CommandContext(
        correlation_id=task.task_id,
        causation_id=task.task_id,  # so that an act of the same task is recorded once
        actor=task.requested_by,
        tenant=None,
        trace_id=task.trace_id,
    )
    work = task.work
    if isinstance(work, TakeBackHistory):
        tasks.note_progress(task.task_id, "removing", 0, None)
        return _taken_back(stores, context, work)
    if not isinstance(work, CheckHistory | ImportHistory):
        raise click.ClickException(f"{task.task_id} is done by `gridproof up` itself")
    return _read(stores, tasks, task, work.file, context, stores_rows=isinstance(work, ImportHistory))


def _read(
    stores: Stores,
    tasks: HostTasks,
    task: HostTask,
    file: UploadedFile,
    context: CommandContext,
    *,
    stores_rows: bool,
) -> TaskResult:
    from application.history_import.admission import Admission
    from application.history_import.importer import check_import, import_history
    from application.history_import.inspection import inspect_readings
    from application.history_import.task_result import checked_file, imported_file
    from application.ports.history_import import ReadingsFileError
    from interfaces.cli.console.readings import open_readings
    from interfaces.cli.telemetry.import_target import import_target

    path = _spooled(stores, file)
    target = import_target(stores, context)
    admission = Admission(target.clock.now(), target.unknown_of)
    readings = open_readings(path, file.facility_id)

    def on_read(rows: int) -> None:
        if rows > MOST_ROWS:
            problem = f"has more than {MOST_ROWS} rows; use `gridproof telemetry import` on the machine"
            raise ReadingsFileError(path, None, problem)
        tasks.note_progress(task.task_id, "reading", rows, None)

    begun: list[UUID | None] = []

    def on_begin(checked: HistoryReport) -> UUID | None:
        begun.append(target.record_begin(file.sha256, checked))
        return begun[0]

    with readings.ordered(on_read=on_read) as ordered:
        if not stores_rows:
            tasks.note_progress(task.task_id, "checking", 0, None)
            inspected = inspect_readings(readings, ordered)
            return checked_file(check_import(ordered, admission=admission), inspected)
        report = import_history(
            ordered,
            target.store,
            admission=admission,
            on_begin=on_begin,
            on_progress=lambda done, of: tasks.note_progress(task.task_id, "storing", done, of),
        )
    target.record_end(report)
    return imported_file(report, begun[0])


def _spooled(stores: Stores, file: UploadedFile) -> Path:
    """The uploaded file as it was uploaded. Raises UnreadableFile."""
    from application.ports.history_import import UnreadableFile

    path = _spool_path(stores, file)
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        problem = "is not here: upload it again, through a web process with the data folder of `gridproof up`"
        raise UnreadableFile(path, None, problem) from error
    if digest != file.sha256:
        raise UnreadableFile(path, None, "is another one than was uploaded; upload it again")
    return path


def _spool_path(stores: Stores, file: UploadedFile) -> Path:
    from interfaces.upload_spool import UploadSpool

    return UploadSpool(stores.settings.data_dir).path(file.upload_id, Path(file.name).suffix.lower())


def _taken_back(stores: Stores, context: CommandContext, work: TakeBackHistory) -> TaskResult:
    from application.command_bus.decision_context import provenance_of
    from application.history_import.taking_back import find_import, take_back
    from application.history_import.task_result import taken_back_import
    from interfaces.bootstrap import imported_history, seal_without_import

    imports = imported_history(stores)
    recorded = find_import(imports, str(work.import_id))
    provenance = provenance_of(context, stores.decision_clock.now())
    portfolio, seal = seal_without_import(stores, provenance)
    report = take_back(
        imports,
        stores.act_log(),
        provenance,
        recorded,
        reason=work.reason,
        portfolio=portfolio,
        seal=seal,
    )
    return taken_back_import(report, work.import_id)


def _of_file(task: HostTask, line: int | None, problem: str) -> str:
    """The fault, with the name that the person gave the file."""
    name = task.work.file.name if isinstance(task.work, CheckHistory | ImportHistory) else "the file"
    return f"{name}{f', line {line}' if line is not None else ''}: {problem}"


def _written(result: TaskResult | None) -> msgspec.Raw | None:
    return None if result is None else msgspec.Raw(msgspec.json.encode(result))
