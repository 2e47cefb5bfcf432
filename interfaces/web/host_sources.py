"""Requests of the edge to the process of `gridproof up`, and what it knows of it. All calls are synchronous."""

from collections.abc import Callable
from dataclasses import dataclass

from application.ports.access.meter_logins import DrawnPassword
from application.ports.operations.host_tasks import HostState, HostTasks
from application.ports.telemetry.imported_history import ImportedHistory
from interfaces.upload_spool import UploadSpool

ANSWERS_WITHIN_S = 45.0
"""A host that has said nothing for longer does not run. It says so every ten seconds."""


@dataclass(frozen=True, kw_only=True)
class HostSources:
    tasks: HostTasks
    imports: ImportedHistory
    spool: UploadSpool
    draw_password: Callable[[], DrawnPassword]
    """Of a meter's login."""

    def running(self) -> HostState | None:
        """The state that the host reported last; None where it does not run, or said it in the future of a clock that
        was put right.

        Raises OperationsUnavailable.
        """
        state = self.tasks.state()
        return state if state is not None and abs(state.age_s) <= ANSWERS_WITHIN_S else None
