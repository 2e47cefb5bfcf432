"""Wiring of a fault storm: the only adapters it takes are those between a worker and a BMS."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.bms.breaker import BmsBreakers
    from application.ports.clock import Clock
    from tests.simulation.runs import Setting


def storm_setting(*, facilities: int = 3, planted: str | None = None) -> Setting:
    """The settings shared by the seeds of a run. `planted`: a key of `tests.simulation.planted.bugs.PLANTED`."""
    from adapters.bms.single_phase import SinglePhase
    from tests.simulation.doubles.building_control import BmsAdapter
    from tests.simulation.runs import Setting

    adapter = BmsAdapter(single_phase=SinglePhase, breakers=bms_breakers)
    return Setting(facilities=facilities, planted=planted, adapter=adapter)


def bms_breakers(clock: Clock, changed: Callable[[str, str], None]) -> BmsBreakers:
    """The circuit breakers of a dispatch worker."""
    from adapters.bms.breaker import BmsBreakers
    from adapters.bms.soap import SoapLimits

    limits = SoapLimits()
    return BmsBreakers(
        threshold=limits.breaker_threshold,
        open_wall_s=clock.wall_seconds(limits.breaker_open_s),
        listener=changed,
    )
