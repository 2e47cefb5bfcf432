"""Tasks for the host: what the page asks of the process of `gridproof up`, as the web process has no right to it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

import msgspec

State = Literal["waiting", "running", "done", "refused"]
Phase = Literal["reading", "checking", "storing", "removing"]
HISTORY_KINDS = ("check_history", "import_history", "take_back_history")
"""At most one task of these is open."""


class UploadedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of past readings in the spool, which the web process and the host share."""

    upload_id: UUID
    name: str
    """As the person named it; its ending says what it is."""
    size: int
    """Bytes."""
    sha256: str
    facility_id: str | None = None
    """Whose it is, of a file that names no facilities."""


class CreateMeterLogin(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="create_meter_login"):
    facility_id: str
    password_hash: str | None = None
    """bcrypt; None once it is done."""


class RevokeMeterLogin(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="revoke_meter_login"):
    facility_id: str


class CheckHistory(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="check_history"):
    file: UploadedFile


class ImportHistory(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="import_history"):
    file: UploadedFile


class TakeBackHistory(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="take_back_history"):
    import_id: UUID
    reason: str


LoginWork: TypeAlias = CreateMeterLogin | RevokeMeterLogin
HistoryWork: TypeAlias = CheckHistory | ImportHistory | TakeBackHistory
Work: TypeAlias = LoginWork | HistoryWork


class HostTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task, as far as it is."""

    task_id: UUID
    work: Work
    requested_by: str
    trace_id: str
    state: State
    attempts: int
    """How often it was begun."""
    phase: Phase | None
    done: int
    """Rows of the phase that are done."""
    total: int | None
    """None: they are not counted yet."""
    result: msgspec.Raw | None
    problem: str | None
    """Why it is refused."""

    @property
    def is_open(self) -> bool:
        return self.state in ("waiting", "running")


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """The state that the host reported last."""

    age_s: float
    mqtt_port: int | None
    meter_logins: tuple[str, ...] | None
    """The facilities whose meters may log in; None: the broker is not its own."""


class HostTaskNotAllowed(PermissionError):
    """The database role of this process may ask nothing of the host."""


class HistoryTaskOpen(ValueError):
    """Another file of past readings is worked on."""


class HostTasks(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def add(self, task_id: UUID, work: Work, *, by: str, trace_id: str) -> None:
        """Raises HostTaskNotAllowed, or HistoryTaskOpen."""
        ...

    def find(self, task_id: UUID) -> HostTask | None: ...

    def newest_history(self) -> HostTask | None:
        """The one of HISTORY_KINDS that is open, or was asked for last."""
        ...

    def open_tasks(self) -> Sequence[HostTask]:
        """The tasks that wait or run, the oldest first; at most a hundred."""
        ...

    def state(self) -> HostState | None:
        """None: no host has ever said anything."""
        ...

    def show_state(self, *, mqtt_port: int | None, meter_logins: Sequence[str] | None) -> None:
        """Show the state of the host: that it runs, and what its broker has."""
        ...

    def begin(self, task_id: UUID) -> None:
        """It runs, and is attempted once more."""
        ...

    def note_progress(self, task_id: UUID, phase: Phase, done: int, total: int | None) -> None: ...

    def end(self, task_id: UUID, *, result: msgspec.Raw | None = None, problem: str | None = None) -> None:
        """It is done, or with `problem` refused. Of one that has ended nothing changes."""
        ...

    def forget(self, older_than: timedelta) -> None:
        """Delete tasks that have ended and are older."""
        ...
