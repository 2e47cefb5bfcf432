"""Routes of the import of past readings: a file is uploaded and checked, then imported, and can be taken back; for role
admin alone.

The web process stores no readings. It puts the file into the spool, and asks the process of `gridproof up`, which has
the work done by a process of its own.
"""

import asyncio
import re
from datetime import datetime
from pathlib import PurePath
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from application.history_import.taking_back import MAX_REASON, state_of
from application.history_import.task_result import TaskResult
from application.ports.operations.host_tasks import (
    CheckHistory,
    HistoryTaskOpen,
    HistoryWork,
    HostTask,
    ImportHistory,
    Phase,
    State,
    TakeBackHistory,
    UploadedFile,
)
from domain.event_sourcing.decoders import json_decoder
from interfaces.upload_spool import ENDINGS, SpooledUpload
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest, body_too_large
from interfaces.web.host_sources import HostSources
from interfaces.web.middleware.tracing import trace_id_of
from interfaces.web.problems import Problem
from interfaces.web.requests.command_context import actor_of
from interfaces.web.route_policy import ADMIN, RoutePolicy

MOST_BYTES = 64_000_000
MOST_SHOWN = 200
UPLOAD_WITHIN_S = 55.0
"""Less than any body may take, so that the reason can be said."""
WRITTEN_AT_ONCE = 1_000_000
COMMAND = "`gridproof telemetry import FILE`"
_NAME = re.compile(r"^[^\x00-\x1f/\\]+\.([cC][sS][vV]|[pP][aA][rR][qQ][uU][eE][tT]|[xX][mM][lL])$")
_FACILITY_ID = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")
FileName = Annotated[
    str,
    QueryParameter(
        name="name",
        min_length=1,
        max_length=200,
        schema_extra={"pattern": _NAME.pattern},
        description="The file's name; its ending says what it is",
    ),
]
FacilityId = Annotated[
    str | None,
    QueryParameter(
        name="facility_id",
        schema_extra={"pattern": _FACILITY_ID.pattern},
        description="Whose it is, of Green Button XML that names no facility",
    ),
]


class HistoryTaskDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The check, import or take-back of a file, as far as it is."""

    task_id: UUID
    kind: str
    file_name: str | None
    """None: of a take-back."""
    state: State
    phase: Phase | None
    done: int
    """Rows of the phase that are done."""
    total: int | None
    """Rows that were counted; None: not yet."""
    result: TaskResult | None
    problem: str | None
    """Why it is refused."""


class HistoryImportDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An import, on this page or on the command line."""

    import_id: UUID
    begun_at: datetime
    begun_by: str
    file_sha256: str
    rows: int
    facilities: int
    starts_at: datetime | None
    ends_at: datetime | None
    added: int | None
    changed: int | None
    state: str
    taken_back_at: datetime | None
    taken_back_by: str | None
    reason: str | None


class HistoryImportsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The newest imports first."""

    is_served: bool
    """Whether `gridproof up` runs, so that a file can be imported here."""
    task: HistoryTaskDocument | None
    """The one that was asked for last."""
    items: tuple[HistoryImportDocument, ...]


class ImportBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task_id: UUID
    """The check of the file, or an import of it that did not end."""


class TakeBackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, pattern=r"[^\s\x00]")]


class HistoryController(Controller):
    path = "/api/history"
    tags = ("telemetry",)

    @get(
        "/imports", summary="The imports of past readings, the newest first", policy=RoutePolicy(roles=ADMIN)
    )
    async def listed(self, web: Web) -> HistoryImportsDocument:
        return await asyncio.to_thread(_listed, web)

    @get(
        "/tasks/{task_id:uuid}",
        summary="How far the check, import or take-back of a file is",
        policy=RoutePolicy(roles=ADMIN, has_etag=False),
    )
    async def task(self, web: Web, task_id: FromPath[UUID]) -> HistoryTaskDocument:
        return _document(await asyncio.to_thread(_task_of, _host(web), task_id))

    @post(
        "/uploads",
        status_code=202,
        summary="Upload a file of past readings and have it checked; nothing is stored yet",
        request_max_body_size=MOST_BYTES,
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook", most_body_bytes=MOST_BYTES),
    )
    async def upload(
        self, request: ApiRequest, web: Web, name: FileName, facility_id: FacilityId = None
    ) -> HistoryTaskDocument:
        """The body is the file: CSV, Parquet or Green Button XML, 64,000,000 bytes at most, in 55 s. One at a time."""
        host, ending = _host(web), PurePath(name).suffix.lower()
        if not _NAME.fullmatch(name):
            raise Problem(
                "invalid-request", f"name: a file name that ends in {', '.join(ENDINGS)} is expected"
            )
        if facility_id is not None and not _FACILITY_ID.fullmatch(facility_id):
            raise Problem("invalid-request", "facility_id: it is no id of a facility")
        if web.upload_lock.locked():
            raise Problem("not-allowed-now", "another file is being uploaded; wait until it is there")
        async with web.upload_lock:
            await asyncio.to_thread(_check_is_free, host)
            upload_id = uuid4()
            try:
                upload = await asyncio.to_thread(host.spool.begin, upload_id, ending)
                try:
                    digest = await _received(request, upload)
                finally:
                    upload.close()
            except OSError as error:
                problem = (
                    f"the file cannot be kept here ({error.strerror}): look at the disk of the data folder"
                )
                raise Problem("unavailable", f"{problem}, or use {COMMAND}") from error
            file = UploadedFile(
                upload_id=upload_id, name=name, size=upload.size, sha256=digest, facility_id=facility_id
            )
            return await _add_task(request, host, CheckHistory(file=file))

    @post(
        "/imports",
        status_code=202,
        summary="Import a file that was checked",
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook"),
    )
    async def take(self, request: ApiRequest, web: Web, data: JSONBody[ImportBody]) -> HistoryTaskDocument:
        """The same file again changes nothing, so an import that was interrupted can be repeated."""
        host = _host(web)
        checked = await asyncio.to_thread(_task_of, host, data.task_id)
        return await _add_task(request, host, ImportHistory(file=_importable(checked)))

    @post(
        "/imports/{import_id:uuid}/take-back",
        status_code=202,
        summary="Take an import back, as a correction",
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook"),
    )
    async def take_back(
        self, request: ApiRequest, web: Web, import_id: FromPath[UUID], data: JSONBody[TakeBackBody]
    ) -> HistoryTaskDocument:
        """Its rows leave the series. Measurements that used them are made again, and their days are sealed again."""
        host = _host(web)
        if not await asyncio.to_thread(host.imports.find, str(import_id)):
            raise Problem("not-found", "there is no such import")
        return await _add_task(request, host, TakeBackHistory(import_id=import_id, reason=data.reason))


def _host(web: WebDependencies) -> HostSources:
    if web.host is None:
        raise Problem("not-built-yet", f"this system imports on the command line: {COMMAND}")
    return web.host


def _check_is_free(host: HostSources) -> None:
    """Raises Problem where `gridproof up` does not run, HistoryTaskOpen where it works on another file."""
    if host.running() is None:
        raise Problem("not-allowed-now", f"`gridproof up` does not run here; use {COMMAND} on the machine")
    newest = host.tasks.newest_history()
    if newest is not None and newest.is_open:
        raise HistoryTaskOpen("another file of past readings is worked on; wait until it is done")


async def _received(request: ApiRequest, upload: SpooledUpload) -> str:
    """Write the body as it comes; its SHA-256."""
    waiting = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_WITHIN_S):
            async for piece in request.stream():
                waiting += piece
                if upload.size + len(waiting) > MOST_BYTES:
                    raise body_too_large(MOST_BYTES)
                if len(waiting) >= WRITTEN_AT_ONCE:
                    await asyncio.to_thread(upload.write, bytes(waiting))
                    waiting = bytearray()
            await asyncio.to_thread(upload.write, bytes(waiting))
    except TimeoutError:
        raise Problem(
            "body-too-slow", f"the file was not here within {UPLOAD_WITHIN_S:g} s; use {COMMAND}"
        ) from None
    return await asyncio.to_thread(upload.complete)


async def _add_task(request: ApiRequest, host: HostSources, work: HistoryWork) -> HistoryTaskDocument:
    task_id, by, trace_id = uuid4(), actor_of(request), trace_id_of(request.scope)

    def ask() -> HostTask:
        _check_is_free(host)
        host.tasks.add(task_id, work, by=by, trace_id=trace_id)
        return _task_of(host, task_id)

    return _document(await asyncio.to_thread(ask))


def _task_of(host: HostSources, task_id: UUID) -> HostTask:
    found = host.tasks.find(task_id)
    if found is None or not isinstance(found.work, HistoryWork):
        raise Problem("not-found", "there is no such task")
    return found


def _importable(task: HostTask) -> UploadedFile:
    if isinstance(task.work, CheckHistory) and task.state == "done":
        return task.work.file
    if isinstance(task.work, ImportHistory) and task.state == "refused":
        return task.work.file
    raise Problem("not-allowed-now", "that is not the check of a file that can be imported; upload it again")


def _listed(web: WebDependencies) -> HistoryImportsDocument:
    host = web.host
    if host is None:
        return HistoryImportsDocument(is_served=False, task=None, items=())
    newest = host.tasks.newest_history()
    return HistoryImportsDocument(
        is_served=host.running() is not None,
        task=None if newest is None else _document(newest),
        items=tuple(
            HistoryImportDocument(
                state=state_of(one),
                **{name: getattr(one, name) for name in _SHOWN},
            )
            for one in host.imports.listed(limit=MOST_SHOWN)
        ),
    )


_SHOWN = tuple(name for name in HistoryImportDocument.__struct_fields__ if name != "state")


def _document(task: HostTask) -> HistoryTaskDocument:
    file = task.work.file if isinstance(task.work, CheckHistory | ImportHistory) else None
    return HistoryTaskDocument(
        task_id=task.task_id,
        kind=str(task.work.__struct_config__.tag),
        file_name=None if file is None else file.name,
        state=task.state,
        phase=task.phase,
        done=task.done,
        total=task.total,
        result=None if task.result is None else json_decoder(TaskResult).decode(task.result),
        problem=task.problem,
    )
