"""The audit trail of a DR event: who, what, why, caused by which, and the state at any moment."""

import asyncio
from datetime import datetime
from uuid import UUID

from litestar import Controller, get
from litestar.params import FromPath, FromQuery

from interfaces.web.access import ApiRequest
from interfaces.web.collaborators import collaborators_of
from interfaces.web.problems import Problem
from projections.audit_replay import AuditDocument, audit_document


class AuditController(Controller):
    path = "/api/audit"
    tags = ("audit",)

    @get("/dr-events/{dr_event_id:uuid}", summary="Every step of a DR event, and its state as of a moment")
    async def replay(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], as_of: FromQuery[datetime | None] = None
    ) -> AuditDocument:
        """Straight from the log, not from a read model."""
        if as_of is not None and as_of.tzinfo is None:
            raise Problem("invalid-request", "`as_of` is a time with an offset, as 2026-07-14T21:00:00Z")
        story_log = collaborators_of(request).story_log
        return await asyncio.to_thread(audit_document, story_log, dr_event_id, as_of=as_of)
