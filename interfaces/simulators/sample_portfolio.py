"""The demo's portfolio: a utility, its program, and buildings whose zones are plausible for their load."""

from collections.abc import Collection, Mapping

import msgspec

from application.facility.portfolio_entries import (
    BmsEntry,
    BmsProfile,
    FacilityEntry,
    MeterEntry,
    Portfolio,
    ProgramEntry,
    UtilityEntry,
    ZoneEntry,
)
from interfaces.simulators.meters.load_model import LoadModel
from interfaces.simulators.weather.climate import seed_of

UTILITY_ID = "city-power"
PROGRAM_ID = "summer-peak"
DEMO_TZ = "America/Los_Angeles"
DEMO_CELL = "los-angeles"


class SampleFacility(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a generated facility: its id, its time zone and the load that its zones are sized for."""

    facility_id: str
    tz: str
    weather_cell: str
    typical_kw: float


def modelled_facilities(count: int, *, tz: str = DEMO_TZ) -> list[SampleFacility]:
    """Facilities `fac-001`, `fac-002` and so on, with the mean load of their load models."""
    ids = [f"fac-{number:03}" for number in range(1, count + 1)]
    return [
        SampleFacility(
            facility_id=facility_id,
            tz=tz,
            weather_cell=DEMO_CELL,
            typical_kw=LoadModel(facility_id, tz=tz, weather_cell=DEMO_CELL).plateau_kw,
        )
        for facility_id in ids
    ]


def recorded_facilities(mean_kw: Mapping[str, float], zones: Mapping[str, str]) -> list[SampleFacility]:
    """The facilities of a readings file with their mean load and, where available, their time zone."""
    return [
        SampleFacility(
            facility_id=facility_id,
            tz=zones.get(facility_id, "UTC"),
            weather_cell=facility_id,
            typical_kw=typical_kw,
        )
        for facility_id, typical_kw in mean_kw.items()
        if typical_kw > 0
    ]


def make_portfolio(
    facilities: int | Collection[SampleFacility] = 50,
    *,
    bms_url: str,
    without_dedup: Collection[str] = (),
    single_phase: Collection[str] = (),
    webhook_secret_ref: str | None = None,
    callback_secret_ref: str | None = None,
    bms_credentials_ref: str | None = None,
    program: ProgramEntry | None = None,
) -> Portfolio:
    """A portfolio whose BMSs are at `{bms_url}/buildings/{facility_id}/bms`.

    `without_dedup` names the facilities whose BMS carries out repeated commands again, `single_phase` those whose BMS
    only reads and writes setpoints; the others support prepare and commit.
    """
    samples = modelled_facilities(facilities) if isinstance(facilities, int) else facilities
    program = program or ProgramEntry(
        program_id=PROGRAM_ID, utility_id=UTILITY_ID, rate_per_kw=4.0, rate_per_kwh=0.35
    )
    return Portfolio(
        utilities=(
            UtilityEntry(
                utility_id=program.utility_id,
                name="City Power",
                webhook_secret_ref=webhook_secret_ref,
                callback_secret_ref=callback_secret_ref,
            ),
        ),
        programs=(program,),
        facilities=tuple(
            FacilityEntry(
                facility_id=sample.facility_id,
                tz=sample.tz,
                latitude=34.05,
                longitude=-118.24,
                weather_cell=sample.weather_cell,
                meters=(MeterEntry(meter_id="main"),),
                zones=_zones(sample),
                bms=BmsEntry(
                    address=f"{bms_url}/buildings/{sample.facility_id}/bms",
                    profile=_profile(sample.facility_id, without_dedup, single_phase),
                    credentials_ref=bms_credentials_ref,
                ),
                programs=(program.program_id,),
            )
            for sample in samples
        ),
    )


def _profile(facility_id: str, without_dedup: Collection[str], single_phase: Collection[str]) -> BmsProfile:
    if facility_id in without_dedup:
        return "two_phase_no_dedup"
    return "single_phase" if facility_id in single_phase else "two_phase"


def _zones(sample: SampleFacility) -> tuple[ZoneEntry, ...]:
    """The one to three zones that together can shed 12 to 22 % of the typical load."""
    seed = seed_of("zones", sample.facility_id)
    count = 1 + seed % 3
    curtailable_kw = sample.typical_kw * (0.12 + (seed // 3 % 100) / 1000)
    return tuple(
        ZoneEntry(
            zone_id=f"zone-{number}",
            curtailable_kw=round(curtailable_kw / count, 3),
            strategy="shed_level" if number == 3 else "setpoint_offset",
            max_magnitude=60.0 if number == 3 else 3.0,
            rebound_ramp_s=900,
        )
        for number in range(1, count + 1)
    )
