"""Wiring of `gridproof simulate fault-storm`: of the adapters it takes what a BMS without commands is spoken to by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interfaces.simulation.runs import Setting


def storm_setting(*, facilities: int = 3, planted: str | None = None) -> Setting:
    """What the seeds of a run share. `planted`: a key of `interfaces.simulation.planted_bugs.PLANTED`."""
    from adapters.bms.single_phase import SinglePhase
    from interfaces.simulation.runs import Setting

    return Setting(facilities=facilities, planted=planted, single_phase=SinglePhase)
