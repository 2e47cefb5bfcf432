"""The audit trail of a DR event: who, what, why, caused by which, and the state at any moment."""

import asyncio
from uuid import UUID

from litestar import Controller, get
from litestar.params import FromPath

from interfaces.web.access import ApiRequest
from interfaces.web.collaborators import collaborators_of
from interfaces.web.past import AsOfQuery, past_of
from projections.audit_replay import AuditDocument, audit_document


class AuditController(Controller):
    path = "/api/audit"
    tags = ("audit",)

    @get("/dr-events/{dr_event_id:uuid}", summary="Every step of a DR event, and its state as of a moment")
    async def replay(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> AuditDocument:
        """Straight from the log, not from a read model."""
        story_log, past = collaborators_of(request).story_log, past_of(as_of)
        return await asyncio.to_thread(audit_document, story_log, dr_event_id, as_of=past)
