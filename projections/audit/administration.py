"""Administrative acts as the audit shows them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from projections.audit.act_descriptions import act_text
from projections.audit.stream_log import StreamEntry, StreamLog


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One administrative act."""

    position: int
    domain_event_id: UUID
    recorded_at: datetime
    who: str
    """The actor: `operator:<key id>`, `operator:cli/<id>`, `worker:<name>`, `system`."""
    topic: str
    what: str
    """A sentence."""
    correlation_id: UUID
    """One for the beginning and the end of an import, and for everything that it recorded."""


class Acts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of acts, the newest first."""

    acts: tuple[Act, ...]
    next_before: int | None = None
    """The position before which the next page begins; None on the last page."""


def read_acts(log: StreamLog, *, before: int | None, limit: int) -> Acts:
    """Raises StreamLogUnavailable."""
    entries = log.acts(before=before, limit=limit + 1)
    page = entries[:limit]
    return Acts(
        acts=tuple(map(_act, page)), next_before=page[-1].position if len(entries) > limit and page else None
    )


def _act(entry: StreamEntry) -> Act:
    act = entry.domain_event
    return Act(
        position=entry.position,
        domain_event_id=act.domain_event_id,
        recorded_at=act.recorded_at,
        who=act.actor,
        topic=get_topic(type(act)),
        what=act_text(act),
        correlation_id=act.correlation_id,
    )
