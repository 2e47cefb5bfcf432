"""Whether the primary answers, as a request found it when it was let in, and what is read of the replica meanwhile."""

from __future__ import annotations

import time
from typing import NamedTuple, cast

from litestar.types import Scope

from application.ports.clock import Clock
from interfaces.web.broadcast.freshness import LiveState
from interfaces.web.middleware.raw_headers import list_header_of
from interfaces.web.route_policy import RoutePolicy
from interfaces.web.routes import names_a_past
from projections.queries.replica import ReplicatedReadModels

_IS_AWAY = "gridproof.is_away"
_ALONE = "gridproof.replica_alone"


class _Alone(NamedTuple):
    age_s: float
    """Clock seconds, at `at` on the monotonic clock."""
    at: float


def is_away(scope: Scope, state: LiveState) -> bool:
    """As it was when this request asked first: who reads where goes by it to the end, whatever is heard meanwhile."""
    found: bool | None = cast("dict[str, bool | None]", scope).get(_IS_AWAY)
    if found is None:
        found = state.is_away
        scope[_IS_AWAY] = found  # type: ignore[literal-required]
    return found


def prefers_newest(scope: Scope) -> bool:
    """Whether it asks to know what was just recorded (`Prefer: wait=N`): of that the primary alone can be sure."""
    return b"wait" in list_header_of(scope["headers"], b"prefer").lower()


def may_read_alone(
    replica: ReplicatedReadModels | None, state: LiveState, clock: Clock, scope: Scope, policy: RoutePolicy
) -> bool:
    """Whether the replica has what is asked for. How old that is at most is known to `age_alone_s` from now on."""
    if replica is None or policy.cache != "replica" or names_a_past(scope.get("query_string", b"")):
        return False
    age_wall_s = replica.age_s()
    if age_wall_s is None:
        return False
    # Of a primary that hangs its replica lacks nothing, and is not of now all the same.
    age_s = max(state.unheard_s(), age_wall_s / max(clock.wall_seconds(1.0), 1e-9))
    scope[_ALONE] = _Alone(age_s, time.monotonic())  # type: ignore[literal-required]
    return True


def age_alone_s(scope: Scope, clock: Clock) -> float | None:
    """Clock seconds; None where this request does not read the replica alone."""
    alone: _Alone | None = cast("dict[str, _Alone | None]", scope).get(_ALONE)
    if alone is None:
        return None
    return alone.age_s + (time.monotonic() - alone.at) / max(clock.wall_seconds(1.0), 1e-9)
