"""Per request: whether the primary answers, and whether the replica serves the request instead."""

from __future__ import annotations

import time
from typing import NamedTuple, cast

from litestar.types import Scope

from application.ports.clock import Clock
from interfaces.web.broadcast.freshness import LiveState
from interfaces.web.middleware.raw_headers import list_header_of
from interfaces.web.route_policy import RoutePolicy
from interfaces.web.routes import READS_PAST
from projections.queries.replica import ReplicatedReadModels

_IS_AWAY = "gridproof.is_away"
_REPLICA_READ = "gridproof.replica_read"


class _ReplicaRead(NamedTuple):
    age_s: float
    """Clock seconds, at `at` on the monotonic clock."""
    at: float


def is_away(scope: Scope, state: LiveState) -> bool:
    """The state at the first call for this request, so that the whole request reads from one server."""
    noted: bool | None = cast("dict[str, bool | None]", scope).get(_IS_AWAY)
    if noted is None:
        noted = state.is_away
        scope[_IS_AWAY] = noted  # type: ignore[literal-required]
    return noted


def prefers_newest(scope: Scope) -> bool:
    """True if the request wants to see what was just recorded (`Prefer: wait=N`): the primary alone has it for sure."""
    return b"wait" in list_header_of(scope["headers"], b"prefer").lower()


def replica_can_serve(
    replica: ReplicatedReadModels | None, state: LiveState, clock: Clock, scope: Scope, policy: RoutePolicy
) -> bool:
    """True if the replica serves this request while the primary is down. Records the age for `replica_age_s`."""
    if replica is None or policy.cache != "replica" or READS_PAST in scope:
        return False
    age_wall_s = replica.age_s()
    if age_wall_s is None:
        return False
    # The replica of a primary that hangs is complete, but its data is not current.
    age_s = max(state.silence_s(), age_wall_s / max(clock.wall_seconds(1.0), 1e-9))
    scope[_REPLICA_READ] = _ReplicaRead(age_s, time.monotonic())  # type: ignore[literal-required]
    return True


def replica_age_s(scope: Scope, clock: Clock) -> float | None:
    """Clock seconds; None if the replica does not serve this request in place of the primary."""
    read: _ReplicaRead | None = cast("dict[str, _ReplicaRead | None]", scope).get(_REPLICA_READ)
    if read is None:
        return None
    return read.age_s + (time.monotonic() - read.at) / max(clock.wall_seconds(1.0), 1e-9)
