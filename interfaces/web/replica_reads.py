"""What people may read of the replica while the primary does not answer, and how old that is at most."""

from __future__ import annotations

from litestar.types import Scope

from application.ports.clock import Clock
from interfaces.web.live_state import LiveState
from interfaces.web.routes import DR_EVENT, FACILITY
from projections.replica import ReplicatedReadModels

OF_REPLICA = frozenset(
    {
        "GET /api/dr-events",
        f"GET {DR_EVENT}",
        f"GET {DR_EVENT}/dispatches",
        f"GET {DR_EVENT}/performance",
        "GET /api/facilities",
        f"GET {FACILITY}",
        "GET /api/portfolio",
    }
)
"""What comes out of read models alone. The past and all proofs are in the log, which is read of the primary."""


def age_alone_s(
    replica: ReplicatedReadModels | None, state: LiveState, clock: Clock, scope: Scope, route: str
) -> float | None:
    """Clock seconds; None where the primary answers, or the replica has not got that.

    What it lacked when it was looked at last, and the time since nothing was heard of the primary.
    """
    if replica is None or not state.is_away or route not in OF_REPLICA:
        return None
    lag_s = replica.last_lag_s()
    if lag_s is None or b"as_of=" in scope.get("query_string", b""):
        return None
    return state.unheard_s() + lag_s / max(clock.wall_seconds(1.0), 1e-9)
