"""Defects of the release: work whose handling raises an unexpected error each time, until it is mended."""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

from application.commands.dispatch import (
    AbortDispatch,
    AlignDispatch,
    CommitDispatch,
    CompensateDispatch,
    LeaveDispatch,
    NoteRestore,
    PrepareDispatch,
)
from application.commands.dr_event import (
    CompleteDREvent,
    MeasureDREvent,
    ReallocateShortfall,
    ReplanDREvent,
    RequestCallback,
)

DefectiveQueue = Literal["bms_command", "callback", "saga_command"]
"""Where the work is parked."""
BMS_PHASES = ("prepare", "commit", "restore", "abort", "state")
CALLBACKS = ("accepted", "started", "completed", "cancelled")
SAGA_COMMANDS: tuple[type[msgspec.Struct], ...] = (
    AbortDispatch,
    AlignDispatch,
    CommitDispatch,
    CompensateDispatch,
    CompleteDREvent,
    LeaveDispatch,
    MeasureDREvent,
    NoteRestore,
    PrepareDispatch,
    ReallocateShortfall,
    ReplanDREvent,
    RequestCallback,
)
"""Commands that only the relay gives."""


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """All work with that mark fails until `mended_s`, in clock seconds after the epoch."""

    queue: DefectiveQueue
    mark: str
    """The phase and facility of a BMS command, the kind of a callback, or the name of a command of the saga."""
    mended_s: float


def draw_defects(rng: Random, facility_ids: tuple[str, ...], until_s: float) -> tuple[Defect, ...]:
    if rng.random() >= 0.12:
        return ()
    return tuple(_defect(rng, facility_ids, until_s) for _ in range(rng.choice((1, 1, 2, 4))))


def _defect(rng: Random, facility_ids: tuple[str, ...], until_s: float) -> Defect:
    mended_s = until_s * rng.uniform(0.4, 1.0)
    match rng.choice(("bms", "callback", "saga")):
        case "bms":
            mark = f"{rng.choice(BMS_PHASES)} {rng.choice(facility_ids)}"
            return Defect(queue="bms_command", mark=mark, mended_s=mended_s)
        case "callback":
            return Defect(queue="callback", mark=rng.choice(CALLBACKS), mended_s=mended_s)
    return Defect(queue="saga_command", mark=rng.choice(SAGA_COMMANDS).__name__, mended_s=mended_s)
