"""Many buildings and few places in the dispatch workers, so that a command may have to wait for one. Not in every seed.

Each BMS takes its time to say how its building stands, so that the checks alone would fill the places.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tests.simulation.scenario.hostile_utility import calm

if TYPE_CHECKING:
    from tests.simulation.scenario.plan import StormPlan

BUILDINGS = 8
SPEED = 60.0


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The most rows that one dispatch worker holds."""

    commands: int
    checks: int


def is_crowded(seed: int) -> bool:
    return Random(f"{seed}:places").random() < 0.04


def buildings_of(seed: int, wanted: int) -> int:
    """How many buildings the seed has, where `wanted` are the usual ones."""
    return max(wanted, BUILDINGS) if is_crowded(seed) else wanted


def with_few_places(plan: StormPlan) -> StormPlan:
    """The plan with slow checks and without faults of servers and processes, so that a command that waits shows."""
    return replace(
        calm(plan),
        speed=SPEED,
        skew_s=0.0,
        bms_faults={facility_id: {"dawdles": 1.0} for facility_id in plan.bms_faults},
        slow_s=dict.fromkeys(plan.slow_s, 0.2),
        places=Places(commands=1, checks=1),
    )
