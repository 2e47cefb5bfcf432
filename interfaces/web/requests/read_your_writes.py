"""Read your own writes: with `Prefer: wait=N` a read waits until its read models have caught up with the log."""

from __future__ import annotations

import asyncio
import re

from interfaces.web.edge import WebDependencies, web_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.replica_routing import is_away
from projections.engine.waits import ReadModelBehind
from projections.queries.views import ReadModelsUnavailable

MAX_WAIT_S = 10
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*(\d{1,4})\s*(?:[,;]|$)", re.IGNORECASE)


async def wait_for_projections(request: ApiRequest, *projections: str) -> dict[str, str]:
    """The headers of the response: `Preference-Applied` if the read models have caught up (RFC 7240).

    Without that header the response may lack recent writes: the caller did not ask to wait, the time was over, or too
    many requests wait already (each holds a thread).
    """
    web, preference = web_of(request), _WAIT.search(request.headers.get("prefer", ""))
    if preference is None or web.wait_limit.locked() or is_away(request.scope, web.live.state):
        return {}
    within_s = min(int(preference[1]), MAX_WAIT_S)
    async with web.wait_limit:
        caught_up = await asyncio.to_thread(_caught_up, web, projections, within_s)
    return {"Preference-Applied": f"wait={within_s}"} if caught_up else {}


def _caught_up(web: WebDependencies, projections: tuple[str, ...], within_s: int) -> bool:
    if web.waits is None:
        return False
    try:
        for position in web.read_models.positions():
            if position.name in projections and position.lag:
                web.waits.wait_for(position.name, position.head, timeout_s=within_s)
    except (ReadModelBehind, ReadModelsUnavailable):
        return False
    return True
