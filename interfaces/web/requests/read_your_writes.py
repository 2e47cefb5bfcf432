"""Reading one's own writes: with `Prefer: wait=N` a read waits until it knows all that was recorded before it."""

from __future__ import annotations

import asyncio
import re

from interfaces.web.edge import WebCollaborators, edge_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.replica_routing import is_away
from projections.engine.waits import ReadModelBehind
from projections.queries.views import ReadModelsUnavailable

MOST_WAIT_S = 10
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*(\d{1,4})\s*(?:[,;]|$)", re.IGNORECASE)


async def wait_for_projections(request: ApiRequest, *projections: str) -> dict[str, str]:
    """The headers of the answer: `Preference-Applied` where it knows everything by now (RFC 7240).

    Without it the answer is what is known so far: nobody asked to wait, it took longer, or too many wait already (each
    holds a session of the database).
    """
    edge, asked = edge_of(request), _WAIT.search(request.headers.get("prefer", ""))
    if asked is None or edge.waiting.locked() or is_away(request.scope, edge.live.state):
        return {}
    within_s = min(int(asked[1]), MOST_WAIT_S)
    async with edge.waiting:
        known = await asyncio.to_thread(_caught_up, edge.collaborators, projections, within_s)
    return {"Preference-Applied": f"wait={within_s}"} if known else {}


def _caught_up(collaborators: WebCollaborators, projections: tuple[str, ...], within_s: int) -> bool:
    if collaborators.waits is None:
        return False
    try:
        for position in collaborators.read_models.positions():
            if position.name in projections and position.lag:
                collaborators.waits.wait_for(position.name, position.head, timeout_s=within_s)
    except (ReadModelBehind, ReadModelsUnavailable):
        return False
    return True
