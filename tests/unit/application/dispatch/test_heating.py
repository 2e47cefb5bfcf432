"""A heated zone sheds load by a lower setpoint, bounded by its lower comfort limit."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies

from application.commands.dispatch import ReconcileDispatch, ZoneObservation
from application.facility.bms_networks import BmsNetworks
from application.facility.portfolio_entries import Portfolio, ZoneEntry
from application.facility.portfolio_validation import PortfolioInvalid, PortfolioRules, check_references
from application.facility.secret_references import SecretNamespace
from domain.allocation.allocate import FacilityOffer, ZoneOffer, allocate
from domain.dispatch import Dispatch, Setpoint
from domain.facility import within_comfort
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, STARTS_AT, facility_entry, zone_entry

KELVIN = strategies.floats(-100, 100)
CELSIUS = strategies.floats(-50, 50)


def heated(**changes: Any) -> ZoneEntry:
    return zone_entry("hall", **({"max_magnitude": -3.0, "lower_comfort_limit_c": 17.0} | changes))


def accepted(zone: ZoneEntry, target_kw: float = 100.0) -> InProcessSystem:
    return InProcessSystem.accepted("fac-001", target_kw=target_kw, zones=(zone,))


def seen(value: float, *, curtailed: bool = True) -> ReconcileDispatch:
    setpoint = Setpoint(value=value, unit="celsius")
    zone = ZoneObservation(zone_id="hall", setpoint=setpoint, curtailed=curtailed)
    return ReconcileDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-001", zones=(zone,))


def test_the_setpoint_of_a_heated_zone_is_lowered_and_restored() -> None:
    there = accepted(heated(), target_kw=50.0).until("active")
    assert there.dispatch().latest("commit")["hall"].command.magnitude == -1.5
    assert there.dispatch().in_force["hall"].value == 20.5
    assert there.buildings["fac-001"].shed_kw(there.scenario.clock.now()) == 50.0
    there.until("completed")
    building = there.buildings["fac-001"]
    assert building.zone_state("hall", there.scenario.clock.now()).setpoint.value == 22.0
    assert there.dispatch().status == "restored"


def test_a_setpoint_is_never_lowered_below_the_lower_comfort_limit() -> None:
    """The plan asks for 3 kelvin. The zone was at 22 degrees and may not be colder than 20."""
    there = accepted(heated(lower_comfort_limit_c=20.0)).until("active")
    assert there.dispatch().latest("commit")["hall"].command.magnitude == -2.0


def test_a_heated_zone_at_its_lower_limit_does_not_serve() -> None:
    there = accepted(heated(lower_comfort_limit_c=22.0)).until("completed")
    assert there.dispatch().failure == "no zone can be curtailed within its comfort limit"


def test_drift_of_a_heated_zone_is_corrected() -> None:
    there = accepted(heated(), target_kw=50.0).until("active")
    there.scenario.at(STARTS_AT + timedelta(minutes=5))
    there.scenario.when(seen(20.5)).then()
    there.buildings["fac-001"].override("hall", 23.0, there.scenario.clock.now())
    there.scenario.when(seen(23.0, curtailed=False)).then(
        fact(Dispatch.DriftDetected, zone_id="hall"), fact(Dispatch.BmsCommandRequested)
    )
    there.settle()
    assert there.buildings["fac-001"].shed_kw(there.scenario.clock.now()) == 50.0


def test_a_building_with_a_cooled_and_a_heated_zone_serves_with_both() -> None:
    zones = (heated(), zone_entry("roof", max_magnitude=3.0))
    there = InProcessSystem.accepted("fac-001", target_kw=100.0, zones=zones).until("active")
    magnitudes = {
        zone_id: one.command.magnitude for zone_id, one in there.dispatch().latest("commit").items()
    }
    assert magnitudes == {"hall": -1.5, "roof": 1.5}


@given(KELVIN, CELSIUS, CELSIUS, CELSIUS)
def test_an_offset_is_never_enlarged_nor_turned_and_stays_within_the_limits(
    offset_k: float, setpoint_c: float, one_c: float, other_c: float
) -> None:
    lower_c, upper_c = sorted((one_c, other_c))
    found = within_comfort(offset_k, setpoint_c, lower_c=lower_c, upper_c=upper_c)
    assert abs(found) <= abs(offset_k)
    assert found * offset_k >= 0
    if found > 0:
        assert setpoint_c + found <= upper_c + 1e-9
    if found < 0:
        assert setpoint_c + found >= lower_c - 1e-9


@given(KELVIN, CELSIUS, CELSIUS)
def test_heating_is_the_mirror_of_cooling(offset_k: float, setpoint_c: float, limit_c: float) -> None:
    heating = within_comfort(-abs(offset_k), setpoint_c, lower_c=limit_c, upper_c=None)
    cooling = within_comfort(abs(offset_k), -setpoint_c, lower_c=None, upper_c=-limit_c)
    assert heating == -cooling


@given(strategies.floats(0, 500), strategies.floats(0.001, 300), strategies.floats(-100, -0.001))
def test_a_share_of_a_heated_zone_has_a_part_of_its_offset(
    target_kw: float, zone_kw: float, offset_k: float
) -> None:
    offer = FacilityOffer("fac-001", (ZoneOffer("hall", zone_kw, "setpoint_offset", offset_k),))
    [share] = allocate(target_kw, [offer]).shares
    for zone in share.zones:
        assert offset_k * (1 + 1e-9) <= zone.magnitude <= 0
        assert zone.magnitude == pytest.approx(offset_k * zone.target_kw / zone_kw)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"max_magnitude": 0.0}, "max_magnitude: is 0"),
        ({"strategy": "shed_level"}, "a shed_level is above 0"),
        ({"lower_comfort_limit_c": None}, "lower_comfort_limit_c: is missing"),
        ({"lower_comfort_limit_c": 28.0}, "lower_comfort_limit_c: is not below comfort_limit_c, 28"),
    ],
)
def test_a_zone_that_could_not_be_heated_is_refused(changes: dict[str, Any], problem: str) -> None:
    portfolio = Portfolio(facilities=(facility_entry(zones=(heated(**changes),), programs=()),))
    rules = PortfolioRules(SecretNamespace(folder="/nonexistent"), BmsNetworks.of("127.0.0.0/8"))
    with pytest.raises(PortfolioInvalid, match=problem):
        check_references(portfolio, known_utilities=(), known_programs={}, rules=rules)
